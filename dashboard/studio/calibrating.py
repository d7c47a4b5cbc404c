"""Whether a score of 0.3 means that three in ten are malignant; before and after calibration on validation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from core.metrics import Interval
from dashboard import components, kept
from dashboard.studio import paper
from dashboard.studio.charts import calibration
from dashboard.studio.scene import Scene

if TYPE_CHECKING:
    from core.evaluate import CalibrationReport
    from core.metrics import CalibrationSummary

METHODS = {"temperature": "Temperature", "logistic": "Logistic", "isotonic": "Isotonic"}
HELP = """
**Reliability diagram.** Images are sorted by score into ten bins. A point on the diagonal keeps its promise: among images
with a score of about 0.3, three in ten are malignant. Below the diagonal, scores promise too much.

**Brier score** is the mean squared distance between score and truth; **ECE** the mean distance of the bins from the diagonal.
Lower is better; chance alone gives an ECE above zero, so read it beside *what chance gives*.
**Slope** below 1: scores too extreme. **Intercept** below 0: scores too high on the whole.

**Temperature** is one number that draws scores towards or away from 0.5; **logistic** also shifts them; **isotonic** makes
steps. All are fitted on validation and frozen. None changes the order of scores, so AUC and decisions stay as they are.
"""


def calibrating(scene: Scene) -> None:
    """Reliability diagram and figures of calibration, as the scores come and calibrated."""
    report = scene.found.calibration
    if isinstance(report, str):
        st.info(report, icon=":material/info:")
        return
    if scene.same_weights and calibration(scene).to_dict() != report.frozen.to_dict():
        st.warning(
            f"The calibration has been fitted again since this split was scored: frozen now is {calibration(scene).method}. "
            "What is called frozen below is the earlier one; score again for figures of the model as it is."
        )
    methods = [name for name in report.bins if name != "none"]
    left, right = paper.halves("calibration", (400, 560))
    with left:
        names = {name: METHODS[name] + (", the model's own" if name == report.frozen.method else "") for name in methods}
        own = report.frozen.method if report.frozen.method in methods else None
        shown = kept.segmented("Beside the raw score", names, "evaluate:calibration", default=own) if methods else ""
        diagram(report, shown)
    with right:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(_verdict(report), width="stretch")
            with st.popover("What is this?", icon=":material/help:"):
                st.markdown(HELP)
        figures(report)
        _notes(scene, report)


def diagram(report: CalibrationReport, shown: str) -> None:
    """Raw and calibrated scores against what was observed."""
    from core.plots import reliability_figure

    curves = {"raw score": report.bins["none"]}
    if shown:
        curves[METHODS[shown].lower()] = report.bins[shown]
    components.figure(reliability_figure(curves, height=430), "evaluate:reliability", alt="reliability diagram")


def figures(report: CalibrationReport) -> None:
    """Brier score, ECE, slope and intercept of every method."""
    told = {name: found for name, found in report.summaries.items() if not isinstance(found, str)}
    heads = [
        "Raw score" if name == "none" else METHODS[name] + (" (frozen)" if name == report.frozen.method else "")
        for name in told
    ]
    rows: list[list[Interval | str | None]] = [
        ["Brier score", *(found.brier for found in told.values())],
        ["ECE", *(found.ece for found in told.values())],
        ["ECE that chance gives", *(f"{found.chance:.3f}" for found in told.values())],
        ["Slope", *(found.slope for found in told.values())],
        ["Intercept", *(found.intercept for found in told.values())],
    ]
    paper.table(["", *heads], rows, stacked=True)
    for name, found in report.summaries.items():
        if isinstance(found, str):
            st.caption(f"{METHODS.get(name, name)}: {found}")


def _verdict(report: CalibrationReport) -> str:
    """Before and after in a sentence."""
    before, after = report.before, report.after
    if isinstance(before, str):
        return before
    words = f"As they come, the scores are {_quality(before)}"
    if report.frozen.method == "none" or isinstance(after, str):
        return words + "; the model has no calibration of its own."
    return f"{words}; with the frozen {report.frozen.method} calibration they are {_quality(after)}."


def _quality(found: CalibrationSummary) -> str:
    far = found.beyond_chance
    return f"**{'not calibrated' if far else 'as well calibrated as can be told'}** (ECE {found.ece.value:.3f})"


def _notes(scene: Scene, report: CalibrationReport) -> None:
    notes = ["By images, whatever the level above."] if scene.level != "image" else []
    if report.on_validation:
        notes.append("The calibrations were fitted on these very images: here they look too good. See the test set.")
    if report.note:
        notes.append(f"No calibration is frozen with this model: {report.note}.")
    if report.frozen.method == "temperature":
        drawn = "scores were too sure of themselves" if report.frozen.temperature > 1 else "scores were too timid"
        notes.append(f"The frozen temperature is {report.frozen.temperature:.2f}: {drawn}.")
    notes.append("Points with few images have long intervals; a bin off the diagonal within its interval says nothing.")
    st.caption(" ".join(notes))
