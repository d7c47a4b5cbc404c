"""The queue of a device: which training is first, how far it is, and how long that may take."""

from __future__ import annotations

import streamlit as st

from core.errors import LabError
from core.runs import Run, Status
from core.runs.device_queue import QueuedRun
from core.wording import duration, plain
from dashboard.cache import results
from dashboard.state import settings
from dashboard.ui import notices


def before(run: Run, device: str) -> list[QueuedRun]:
    """The runs ahead of one that waits; all at the device where it is not among them."""
    found = results.queue_of(device)
    own = next((at for at, each in enumerate(found) if each.folder == run.path.absolute()), len(found))
    return found[:own]


def description(found: list[QueuedRun]) -> str:
    """Who is ahead, as Markdown: the one that trains, the number of the others, and an estimate of the wait."""
    if not found:
        return "It is next."
    first, status = found[0], _status(found[0])
    parts = [f"**{plain(first.name)}** is training"]
    if first.folder is not None and first.folder.parent != settings.checkpoints().absolute():
        lab = first.folder.parents[1] if len(first.folder.parents) > 1 else first.folder
        parts.append(f"in another lab on this computer ({plain(lab.as_posix())})")
    if status is not None and status.live and status.epochs:
        parts.append(f"epoch {min(status.epochs, status.epoch + 1)} of {status.epochs}")
    more = len(found) - 1
    waiting = (
        f" Ahead of yours in the queue: {more} more ({plain(', '.join(each.name for each in found[1:4]))})." if more else ""
    )
    left = status.eta_seconds if status is not None and status.live else None
    if left is None:
        wait = " How long it will take is not known yet."
    elif more:
        wait = f" At least {duration(left)} to wait, plus the time of {more} more."
    else:
        wait = f" About {duration(left)} to wait."
    return ", ".join(parts) + "." + waiting + wait


def share_label(device: str) -> str:
    """Label of the button that starts without waiting."""
    return f"Start now, share the {'CPU' if device == 'cpu' else 'GPU'}"


def share_help(device: str) -> str:
    """What starting without waiting costs."""
    slower = "Both trainings become slower: they share this computer's cores."
    return slower if device == "cpu" else "Both trainings become slower, and may run out of the GPU's memory."


@st.fragment(run_every=3.0)
@notices.errors_shown()
def waiting(run: Run, device: str) -> None:
    """Below a run that waits: for which others, and the button that starts it now."""
    if not run.status().waiting:
        st.rerun()
    found = before(run, device)
    if not found:
        return
    notices.info(f"{description(found)} Yours starts automatically.", icon="hourglass_top")
    st.button(
        "Starting …" if run.requested("begin") else share_label(device),
        icon=":material/play_arrow:",
        disabled=run.requested("begin"),
        key="train:begin",
        help=share_help(device),
        on_click=lambda: run.request("begin"),
    )


def device_of(run: Run) -> str:
    """The device that a run will be trained on, "" where that is not known."""
    from core.model.device import pick_device_config

    try:
        return str(pick_device_config(run.config().training).device)
    except LabError:
        return ""


def _status(occupant: QueuedRun) -> Status | None:
    if occupant.folder is None:
        return None
    try:
        return Run(occupant.folder).status()
    except (LabError, OSError):
        return None
