"""Messages of the pages: errors, warnings and hints with their icons, and badges for synthetic data."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import streamlit as st

from core.errors import LabError
from core.runs import Run
from core.wording import plain, sentences
from dashboard.state import training_runs

log = logging.getLogger(__name__)


class RunGone(LabError):
    """The run that a page shows has been renamed or deleted elsewhere."""


@contextmanager
def errors_shown() -> Iterator[None]:
    """A LabError becomes its text; anything unexpected is logged and shown in a line, and the rest of the page stays.

    Also a decorator: `@notices.errors_shown()`.
    """
    try:
        yield
    except RunGone as gone:
        st.toast(str(gone), icon=":material/drive_file_rename_outline:")
        warning(plain(str(gone)), icon="drive_file_rename_outline")
        if st.button("Reload the page", key="run_gone", icon=":material/refresh:"):
            st.rerun()
    except LabError as refusal:
        show_error(refusal)
    except Exception as unexpected:
        log.exception("unexpected error on a page")
        error(f"Something unexpected went wrong: {type(unexpected).__name__}. The server's log has the details.")
        with st.expander("Details"):
            st.exception(unexpected)


def require_existing(run: Run) -> None:
    """For a part of a page that is drawn again by itself: raises RunGone where its run was renamed or deleted meanwhile."""
    if words := training_runs.why_missing(run):
        raise RunGone(words)


def show_error(reason: LabError | str) -> None:
    """What went wrong, its text shown as it is."""
    error(plain(str(reason)))


def error(text: str, icon: str = "error") -> None:
    """An error in Markdown, with a Material icon; as `warning`, `info` and `success`."""
    st.error(text, icon=f":material/{icon}:")


def warning(text: str, icon: str = "warning") -> None:
    st.warning(text, icon=f":material/{icon}:")


def warnings(texts: Sequence[str], key: str = "page") -> None:
    """Plain texts as warnings in the room of one: the first, and a button beside it that opens the others.

    `key`: another one for each place of a page that shows warnings.
    """
    first, *others = [plain(sentences([text])) for text in dict.fromkeys(texts)] or [""]
    if not first:
        return
    if not others:
        warning(first)
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"warnings_{key}"):
        warning(first)
        with st.popover(f"{len(others)} more", icon=":material/warning:", width="content"):
            for text in others:
                warning(text)


def info(text: str, icon: str = "info") -> None:
    st.info(text, icon=f":material/{icon}:")


def success(text: str, icon: str = "check_circle") -> None:
    st.success(text, icon=f":material/{icon}:")


def synthetic_notice() -> None:
    """Shown wherever images of the demo set are shown."""
    st.badge("Synthetic demo images: not real mammograms", icon=":material/info:", color="orange")


def synthetic_badge(about: str = "The demo set: not real mammograms.") -> None:
    """Beside results of the demo set, or of a model trained on it."""
    st.badge("SYNTHETIC", color="orange", help=about)
