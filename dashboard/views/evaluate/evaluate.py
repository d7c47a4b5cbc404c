"""Evaluate: how good a run's model is, with intervals, and what a threshold does to its decisions."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import streamlit as st

from core.errors import LabError
from core.runs import Run
from core.runs.test_set.external import is_external
from dashboard.cache import results
from dashboard.state import widgets
from dashboard.ui import components, notices
from dashboard.views.evaluate import export, external, parts, split_scoring, threshold_slider
from dashboard.views.evaluate.context import LEVELS, NEW, Context

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator


def show(buttons: DeltaGenerator) -> None:
    """Run, split and level first; then the split's metrics, or the way to have it scored. `buttons`: where the header's go."""
    row = st.container(horizontal=True, gap="medium")
    with row:
        run = components.run_picker(with_model=True)
    if run is None:
        return
    with row:
        split = widgets.segmented("Split", external.splits_of(run), "evaluate:split")
    with row:
        levels = _levels(run, split)
        level = widgets.segmented(
            "Count per", levels, "evaluate:level", help="Scores of one breast, or one patient, are averaged."
        )
    if split == NEW:
        external.form(run)
        return
    scoring = split_scoring.scoring(run, split)
    try:
        found = results.evaluation(run, split)
    except LabError as error:
        if not scoring:
            split_scoring.damaged(run, split, error)
        return
    if found is None:
        if not scoring:
            split_scoring.not_scored(run, split)
        return
    summary = found.levels[level]
    context = None if isinstance(summary, str) else Context(run, found, summary)
    with buttons:
        split_scoring.report(run)
        export.export(run, found, context)
        split_scoring.scored_again(run, found)
    with st.container(gap="xxsmall"):  # the curves are to be seen without scrolling
        split_scoring.about(run, found)
    if context is None:
        notices.info(str(summary))
        return
    studio(context)


def _levels(run: Run, split: str) -> dict[str, str]:
    """What can be counted: images, breasts and patients, as far as the model scores and anybody knows them."""
    levels = LEVELS if _patients_known(run, split) else {"image": LEVELS["image"]}
    with suppress(LabError):  # a damaged card is said below
        if run.model_card().scored == "breast":
            return {level: words for level, words in LEVELS.items() if level != "image"}
    return levels


def _patients_known(run: Run, split: str) -> bool:
    """Whether the images of what is looked at have patients."""
    if is_external(split):
        with suppress(LabError):  # a damaged evaluation is said below
            found = results.evaluation(run, split)
            return found is not None and found.external is not None and found.external.patients is not None
    return results.patients_known(run)


@st.fragment
@notices.errors_shown()
def studio(context: Context) -> None:
    """The threshold and everything below it; only this runs again when the slider has moved or another part is chosen."""
    notices.require_existing(context.run)
    with st.container(gap="xsmall"):
        with st.container(key="evaluate_parts", horizontal=True, vertical_alignment="center"):
            part = parts.choose()
        if part not in parts.WITHOUT_SLIDER:
            threshold_slider.dial(context)
        threshold_slider.about_units(context)
        with notices.errors_shown():
            part(context)


with components.page("Evaluate", "How good the model is on images it has never seen.") as header:
    show(header)
