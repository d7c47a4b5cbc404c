"""The runs of a study: what each of them is doing, and another try for one that failed. Part of the Studies page."""

from __future__ import annotations

import streamlit as st

from core.studies import Study
from core.wording import duration, plain
from dashboard.state import studies, widgets
from dashboard.state.run_states import STATES
from dashboard.ui import html_tables, notices


@notices.errors_shown()
def shown(study: Study) -> None:
    """A table; below it a failed run can be tried again. It can be drawn again by itself."""
    state = studies.progress_of(study)
    rows = []
    for name, each in state.runs.items():
        epoch = "" if each is None or not each.epochs else f"{each.epoch} of {each.epochs}"
        failure = state.failures.get(name, "")
        said = STATES["failed" if failure else "queued" if each is None else each.state][0]
        took = duration(state.seconds[name]) if state.seconds.get(name) else ""
        rows.append((name, said, epoch, took, failure if each is None else each.reason))
    html_tables.table(["Run", "State", "Epoch", "Time", "Detail"], rows)
    failed = [
        name for name, each in state.runs.items() if name in state.failures or (each is not None and each.state == "failed")
    ]
    if not failed or state.workers:
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = widgets.select("A failed run", failed, "studies:failed")
        if st.button(f"Try {plain(name)} again", icon=":material/refresh:", key="studies:retry_one"):
            studies.start(study, retry=[name])
            st.rerun()
