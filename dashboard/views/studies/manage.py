"""A study made longer, or deleted. Part of the Studies page."""

from __future__ import annotations

import streamlit as st

from core.errors import LabError
from core.studies import Study
from core.studies.removal import delete_study, require_deletable
from core.wording import counted, plain
from dashboard.state import preferences, studies, widgets
from dashboard.ui import notices

_DONE = "studies:managed"  # in the session: what was done, to be said once


def outcome() -> None:
    """Say once what was done."""
    if said := st.session_state.pop(_DONE, ""):
        st.toast(said, icon=":material/check_circle:")


def show(study: Study) -> None:
    """Both, in a popover."""
    with st.popover("More", icon=":material/more_horiz:"):
        with notices.errors_shown():
            _extend(study)
        st.divider()
        with notices.errors_shown():
            _delete(study)


def _extend(study: Study) -> None:
    design = study.design()
    st.markdown("**Make it longer** (what is trained stays)")
    repeats = widgets.whole("Repeats", design.repeats, 50, f"studies:extend:repeats:{study.name}", default=design.repeats)
    folds = design.train_folds or design.folds
    if folds < design.folds:
        folds = widgets.whole("Folds to train", folds, design.folds, f"studies:extend:folds:{study.name}", default=folds)
    lines = ""
    if design.factors:
        example = next(iter(design.factors))
        lines = st.text_area(
            "Further values, a line each",
            key=f"studies:extend:values:{study.name}:{len(design.jobs)}",
            placeholder=f"{example} = [...]",
            height=80,
        )
    if st.button("Make it longer", key="studies:extend", icon=":material/add:"):
        study.extend(
            repeats=repeats if repeats > design.repeats else None,
            train_folds=folds if design.train_folds is not None and folds > design.train_folds else None,
            values=studies.factors_of(lines),
        )
        st.session_state[_DONE] = f"{study.name} has {counted(len(study.design().jobs), 'run')} now."
        st.rerun()


def _delete(study: Study) -> None:
    st.markdown("**Delete it**, with all its runs. This cannot be undone.")
    typed = st.text_input(f"Type {plain(study.name)} to confirm", key="studies:delete:name")
    if st.button("Delete", icon=":material/delete:", disabled=typed.strip() != study.name, key="studies:delete"):
        try:
            count = len(require_deletable(study))
            delete_study(study)
        except LabError as error:
            notices.show_error(str(error))
            return
        preferences.set("study", None)
        st.session_state[_DONE] = f"{study.name} is deleted, with {counted(count, 'run')}."
        st.rerun()
