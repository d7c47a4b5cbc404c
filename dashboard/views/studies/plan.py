"""A study planned by the data, the machine and the time there is. Part of the Studies page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import streamlit as st

from core.studies import Study
from core.studies.plan import Plan
from core.wording import counted, duration, plain, setting
from dashboard.state import datasets, preferences, settings, studies, tasks, widgets
from dashboard.state.studies import Planned
from dashboard.ui import background, html_tables, notices


def form(name: str, question: str) -> None:
    """How long it may take; then the choices with their reasons, and a button that makes the study."""
    manifest = datasets.current_manifest()
    assert manifest is not None
    st.caption(
        "By the images, the machine and the time there is, this chooses input size, network, batch, epochs, folds and repeats, "
        "and says why. It takes a minute or two."
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        minutes = widgets.whole("Minutes that the study may take", 1, 10_000, "study:plan:minutes", default=120)
        busy = background.running(studies.PLAN, stop="study:plan:stop")
        if not busy and st.button("Plan", icon=":material/architecture:", key="study:plan"):
            studies.start_plan(settings.current(), manifest, minutes, question)
            st.rerun()
    task = tasks.task(studies.PLAN)
    planned = None if task is None or task.state != "done" else task.result
    if busy or not isinstance(planned, Planned) or planned.manifest != manifest:
        return
    found = planned.plan
    choices(found.as_dict()["choices"])
    took = duration(60 * found.minutes)
    st.markdown(f"**{counted(len(found.design.jobs), 'run')}, {took} at most on this machine**, by estimate.")
    for each in found.notes:
        notices.warning(plain(each))
    _make(name, found)


def _make(name: str, found: Plan) -> None:
    manifest = datasets.current_manifest()
    assert manifest is not None
    if background.running(studies.MAKE, stop="study:plan:make:stop"):
        return
    made = tasks.task(studies.MAKE)
    if made is not None and made.state == "done" and isinstance(made.result, Study):
        preferences.set("study", made.result.name)
        tasks.forget_task(studies.MAKE)
        tasks.forget_task(studies.PLAN)
        st.rerun()
    label = "Make this study" if name.strip() else "Make this study (it needs a name)"
    if st.button(label, type="primary", icon=":material/science:", disabled=not name.strip(), key="study:plan:make"):
        studies.start_making(name, found.design, found.config, manifest, plan=found.as_dict())
        st.rerun()


def choices(found: Iterable[Mapping[str, Any]]) -> None:
    """Each setting that a plan has chosen, with its reason."""
    rows = [(str(each.get("setting", "")), setting(each.get("value")), str(each.get("why", ""))) for each in found]
    html_tables.table(["Setting", "Value", "Why"], rows)
