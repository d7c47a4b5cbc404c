"""The form of a new study, and the quick answer. Part of the Studies page."""

from __future__ import annotations

from typing import Any

import streamlit as st

from core.errors import BadConfig, LabError
from core.studies import Design, Study
from core.studies.quick_probe import unseen
from core.wording import counted, plain
from dashboard.state import datasets, preferences, settings, studies, tasks, widgets
from dashboard.ui import background, components, html_tables, notices, quick_answer
from dashboard.views.studies import plan, search

# What is asked most: (words, setting, values with the reference first)
ASKED: dict[str, tuple[str, list[Any]]] = {
    "CLAHE on or off": ("preprocessing.clahe", [True, False]),
    "CLAHE clip limit": ("preprocessing.clip_limit", [1, 2, 4]),
    "Input size": ("preprocessing.size", [[512, 320], [640, 400]]),
    "Network": ("model.name", ["tf_efficientnet_lite0", "small_cnn"]),
    "Loss": ("training.loss", ["bce", "focal"]),
}
KINDS = {"compare": "Compare values", "search": "Search for the best", "plan": "Plan for me"}
HOW = {"full": "Every combination", "one at a time": "One setting at a time"}


def form() -> None:
    """Question, what is compared, folds; then a quick answer, or a study."""
    manifest = datasets.current_manifest()
    if manifest is None:
        components.empty_state("No data set yet", "Import images on the Data page first.", icon=":material/database:")
        return
    left, right = html_tables.columns("study-form", (420, 320))
    with left:
        question = widgets.text("Question", "study:question", placeholder="Does CLAHE help on my data?")
        kind = widgets.segmented("Settings", KINDS, "study:kind")
        searching = kind == "search"
        asked: list[str] = []
        more, wanted, problem = "", None, ""
        if searching:
            try:
                wanted = search.form()
            except LabError as error:
                problem = str(error)
        elif kind == "compare":
            asked = widgets.pills("Compare", list(ASKED), "study:asked", help="The first value of each is the reference.")
            st.caption(_values(asked))
            more = st.text_area(
                "More settings, a line each",
                key="study:more",
                height=80,
                placeholder="training.epochs = [4, 8]",
                help="Any setting of preprocessing, model, augmentation and training; the first value is the reference.",
            )
    with right:
        if kind == "plan":
            name = widgets.text("Name", "study:name", placeholder="first")
        else:
            folds = widgets.whole("Folds of the patients", 2, 20, "study:folds", default=5)
            repeats = widgets.whole("Repeats with other folds and seeds", 1, 20, "study:repeats", default=1)
            how = "full" if searching else widgets.segmented("Train", HOW, "study:how")
            name = widgets.text("Name", "study:name", placeholder="clahe")
    if kind == "plan":
        plan.form(name, question)
        return
    factors = dict(ASKED[each] for each in asked)
    try:
        if problem or (searching and wanted is None):
            raise BadConfig(problem or "Choose at least one setting to search, or write one in a line.")
        design = studies.design_of(question, factors, more, folds, repeats, how, wanted)
    except LabError as error:
        notices.warning(plain(str(error)))
        return
    if design.search is not None:
        st.markdown(search.noted(design.search, len(design.jobs)))
    else:
        st.markdown(f"{counted(len(design.jobs), 'run')} to train: {counted(len(design.cells), 'combination')}, {folds} folds.")
    _actions(design, name)
    quick_answer.shown(design)


def _values(asked: list[str]) -> str:
    """The settings that the choices stand for, with their values."""
    if not asked:
        return "Nothing: a cross-validation of the settings as they are."
    return "; ".join(f"`{setting}`: {', '.join(map(str, values))}" for setting, values in (ASKED[each] for each in asked))


def _actions(design: Design, name: str) -> None:
    manifest = datasets.current_manifest()
    assert manifest is not None
    if background.running(studies.MAKE, stop="study:make:stop") or background.running(studies.QUICK, stop="study:quick:stop"):
        return
    made = tasks.task(studies.MAKE)
    if made is not None and made.state == "done" and isinstance(made.result, Study):
        preferences.set("study", made.result.name)
        tasks.forget_task(studies.MAKE)
        st.rerun()
    with st.container(horizontal=True):
        if st.button(
            "Make the study", type="primary", icon=":material/science:", disabled=not name.strip(), key="study:create"
        ):
            studies.start_making(name, design, settings.current(), manifest)
            st.rerun()
        help_words = "Compares by a probe on a frozen network, in minutes: nothing is trained, and no study is made."
        possible = bool(design.factors) and not unseen(design)
        if st.button("Quick answer", icon=":material/bolt:", disabled=not possible, help=help_words, key="study:ask"):
            studies.start_quick(design, settings.current(), manifest)
            st.rerun()
    if not name.strip():
        st.caption("A study needs a name. A quick answer compares preprocessing, or networks that start from weights.")
