"""What a run's test set was used for, as Evaluate lists it."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.runs import Run
from core.runs.test_set.accesses import Access, access_counts, accesses, counts_in_words
from core.runs.test_set.models import seen_words
from core.wording import plain
from dashboard.cache import results
from dashboard.ui import html_tables, notices


@notices.errors_shown()
def summary(run: Run) -> None:
    """One line: how often each kind of access was made; a damaged record is an error, never "none"."""
    counts = access_counts(run.path)
    words = f"Recorded so far: {counts_in_words(counts)}." if counts else "No access to its images has been recorded."
    st.caption(f":material/history: {words}")


@notices.errors_shown()
def models(run: Run) -> None:
    """How many models were scored on this test set before and after this one, and when; what may be missing as a warning."""
    use = results.test_set_use(run)
    words = seen_words(use, results.patients_known(run))
    st.markdown(f":material/groups: {plain(' '.join(words[: len(words) - bool(use.gap)]))}")
    if use.gap:
        notices.warning(plain(use.gap))


@notices.errors_shown()
def table(run: Run) -> None:
    """Every access by time, with those made before this run existed, and what was decided after them."""
    found = accesses(run.path)
    if not found:
        st.markdown("No access to its test images has been recorded.")
        return
    listing(found)


def listing(found: Sequence[Access]) -> None:
    """These accesses as a table."""
    rows = [[_when(each), each.words, each.where, f"{each.images:,}" if each.counts else "–", _about(each)] for each in found]
    html_tables.table(["When", "What", "Where", "Images", "About it"], rows)


def _when(access: Access) -> str:
    first = access.when.replace("T", " ")[:16] + " UTC" if access.when else "not recorded"
    return f"{first}, {access.times} times until {access.last[:10]}" if access.times > 1 and access.last else first


def _about(access: Access) -> str:
    parts = [
        f"by the run {access.run}" if access.run else "",
        f"of {access.manifest}" if access.manifest else "",
        f"inherited from {access.inherited}" if access.inherited else "",
        access.detail,
        "before the threshold was frozen" if access.before_threshold else "",
    ]
    return "; ".join(part for part in parts if part)
