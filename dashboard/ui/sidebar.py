"""The sidebar of every page below the navigation: current data set, current model, device."""

from __future__ import annotations

import html
from pathlib import Path

import streamlit as st

from core.errors import LabError
from core.wording import counted
from dashboard.access import settings as access_settings
from dashboard.state import datasets, machine, settings, training_runs
from dashboard.state.run_states import state_line
from dashboard.ui import components, glossary

COUNTING = "being read …"
_FRONTEND = Path(__file__).parent / "frontend"
# A file of ours: browsers would fetch a `:material/...:` page icon from an outside host.
ICON = str(_FRONTEND / "icon.png")


def show() -> None:
    """Draw the shared part of the sidebar, and give the page the styles that the theme cannot express."""
    st.html(_FRONTEND / "pages.css")
    if news := datasets.adopt_finished():
        st.toast(news, icon=":material/check_circle:")
    st.logo(_FRONTEND / "logo.svg", size="large")
    with st.sidebar:
        glossary.show()
        rows = {"Data set": _data(), "Model": _model(), "Device": machine.device_label()}
        body = "".join(f"<div><b>{name}</b><span>{html.escape(value)}</span></div>" for name, value in rows.items())
        st.html(f'<div class="lab-status">{body}</div>')
        if _asks_for_a_password():
            st.html('<a href="./logout" target="_self">Log out</a>')
        st.caption(components.RESEARCH_ONLY)


def _data() -> str:
    try:
        path = datasets.current_manifest()
        if path is None:
            return "none yet"
        counts = datasets.counts_of(path)
    except LabError:
        return "not readable"
    if counts is None:
        st.fragment(_counting, run_every=1.0)(path)
        return f"{settings.display_path(path)} · {COUNTING}"
    what = f"{counted(counts.images, 'image')}, {counts.patient_words}{counts.excluded_words}"
    return f"{settings.display_path(path)} · {what}"


def _counting(path: Path) -> None:
    """While a long data set is read: rerun the page once that has ended."""
    try:
        read = datasets.counts_of(path) is not None
    except LabError:
        read = True
    if read:
        st.rerun()


def _model() -> str:
    try:
        run = training_runs.current_run()
        return "none yet" if run is None else f"{run.name} · {state_line(run.status(), run)}"
    except LabError:
        return "not readable"


def _asks_for_a_password() -> bool:
    try:
        return bool(access_settings.current().password)
    except LabError:  # config.yaml was damaged after the server had read it; the page shows that
        return False
