"""One model of the folds: the mean of a setting's runs as a run of its own. Part of the Studies page."""

from __future__ import annotations

import streamlit as st

from core.errors import LabError
from core.runs import Run
from core.studies import Study, ensemble_of_study
from core.studies.ensemble import usual_cell
from core.wording import counted, plain, upper_first
from dashboard.state import models, training_runs, widgets
from dashboard.state.studies import Progress
from dashboard.ui import notices, pages

_MADE = "studies:ensemble:made"  # in the session: the study, and the name of the run that was made of it


def form(study: Study, state: Progress) -> None:
    """Which setting, and a name; then where to go with the run that was made."""
    st.markdown(
        "The runs of all folds become one model, whose score is the **mean of their scores**. Its threshold and calibration "
        "are chosen on out-of-fold scores: each image scored by the runs that held it out. It is a run like any other."
    )
    design = study.design()
    labels = {str(cell.number): cell.label for cell in design.cells}
    number = usual_cell(design)
    if len(labels) > 1:
        number = int(widgets.select("Setting", labels, "studies:ensemble:setting", default=str(number)))
    jobs = [job.name for job in design.jobs if job.cell.number == number]
    statuses = [state.runs.get(name) for name in jobs]
    left = sum(each is None or each.state != "done" for each in statuses)
    name = widgets.text("Name of the run", "studies:ensemble:name", placeholder=f"{study.name}-ensemble")
    st.caption(f"A mean of {counted(len(jobs), 'model')} takes {len(jobs)} times the time and the memory of one.")
    if left:
        notices.info(f"{left} of {counted(len(jobs), 'run')} {'is' if left == 1 else 'are'} not finished yet: all are needed.")
    if st.button("Make one model", type="primary", icon=":material/join:", disabled=bool(left), key="studies:ensemble:make"):
        _make(study, number, name.strip() or None)
    made = st.session_state.get(_MADE)
    if made and made[0] == str(study.path):
        _made(made[1])


def _make(study: Study, number: int, name: str | None) -> None:
    try:
        with st.spinner("Making one model of the folds …"):
            run = ensemble_of_study(study, cell=number, name=name)
    except LabError as error:
        notices.show_error(str(error))
        return
    st.session_state[_MADE] = (str(study.path), run.name)
    training_runs.set_current_run(run.name)


def _made(name: str) -> None:
    """What was made, and the pages that use it."""
    run: Run | None = next((each for each in training_runs.list_runs() if each.name == name), None)
    if run is None:  # deleted or renamed since
        return
    notices.success(f"{name} is made: {upper_first(models.ensemble(run)[1])}.")
    st.caption(
        f"Out-of-fold scores: {plain(run.model_card().image_thresholds.stated())} is the threshold. It is the current run now."
    )
    with st.container(horizontal=True):
        for page, label in (("evaluate", "Evaluate"), ("explain", "Explain"), ("test_image", "Test image")):
            if st.button(label, key=f"studies:ensemble:{page}"):
                training_runs.set_current_run(name)
                pages.go_to(page)
