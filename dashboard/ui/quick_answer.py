"""The answer of a probe (core.studies.quick_probe) on a page."""

from __future__ import annotations

import streamlit as st

from core.studies import Design
from core.studies.quick_probe import NOTICE
from core.wording import counted, plain
from dashboard.state import datasets, settings, tasks
from dashboard.state.studies import QUICK, QuickAnswer
from dashboard.ui import html_tables


def shown(design: Design) -> bool:
    """Show what the last probe has found, if it was asked what `design` asks, of the current data set; whether it was."""
    task = tasks.task(QUICK)
    answer = None if task is None or task.state != "done" else task.result
    if not isinstance(answer, QuickAnswer):
        return False
    asked = (answer.manifest, answer.design.model_copy(update={"question": design.question}), answer.config)
    if asked != (datasets.current_manifest(), design, settings.current()):
        return False  # of another data set, another question, or from other settings
    found = answer.found
    st.markdown(f"**Quick answer: {plain(found.results.answer)}**")
    rows = [(row[0], row[2], row[3], row[6], row[7]) for row in found.results.table_rows()]
    html_tables.table(["Settings", "AUC of the probe", "AUC by fold", "Difference", "Adjusted p"], rows)
    st.caption(f"{NOTICE} Network: {', '.join(found.backbones)}.")
    if found.unreadable:
        with st.expander(f"Left out: {counted(len(found.unreadable), 'image')} that cannot be read"):
            st.markdown("\n".join(f"- {plain(path)}: {plain(reason)}" for path, reason in found.unreadable.items()))
    return True
