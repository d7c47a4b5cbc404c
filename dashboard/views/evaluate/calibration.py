"""Whether a score of 0.3 means that three in ten are malignant; before and after calibration on validation."""

from __future__ import annotations

import plotly.graph_objects as go
import streamlit as st

from core.evaluate import CalibrationReport
from core.metrics import CalibrationSummary, Interval
from core.plots import reliability_figure
from core.wording import number, plain
from dashboard.state import widgets
from dashboard.ui import components, html_tables, notices
from dashboard.views.evaluate.charts import calibration
from dashboard.views.evaluate.context import Context

NARROW = 0.1  # of the scale from 0 to 1
METHODS = {"temperature": "Temperature", "logistic": "Logistic", "isotonic": "Isotonic"}
HELP = """
**Reliability diagram.** Images (or breasts, or patients, as the level above says) are sorted by score into ten bins. A point
on the diagonal keeps its promise: among those with a score of about 0.3, three in ten are malignant. Below the diagonal, scores
promise too much.

**Brier score** is the mean squared distance between score and truth; **ECE** the mean distance of the bins from the diagonal.
Lower is better; chance alone gives an ECE above zero, so read it beside *what chance gives*.
**Scaled Brier**: 1 is perfect, 0 is what predicting the share of malignant for every row gives, below 0 is worse than that.
**Observed / expected**: how many malignant there are for each that the scores expect; 1 is right.
**Slope** below 1: scores too extreme. **Intercept** below 0: scores too high on the whole.

**Temperature** is one number that draws scores towards or away from 0.5; **logistic** also shifts them; **isotonic** makes
steps. All are fitted on validation and then stay fixed. Temperature and logistic keep the order of the scores. Isotonic gives
all scores of a step the same probability, so an AUC of these probabilities may differ from that of the scores. AUC and
decisions here are those of the scores as they come, whatever the calibration.
"""


def calibrating(context: Context) -> None:
    """Reliability diagram and metrics of calibration, as the scores come and calibrated."""
    report = context.found.calibration_at(context.level)
    if isinstance(report, str):
        notices.info(plain(report))
        return
    if report.no_probability:
        reason = report.no_probability.rstrip(".")
        notices.warning(f"No probability is shown for {context.units}: {plain(reason)}.")
    if context.same_weights and calibration(context) != report.frozen:
        notices.warning(
            f"The calibration has been fitted again since this split was scored: in use now is {calibration(context).method}. "
            "What is called in use below is the earlier one; score again for metrics of the model as it is."
        )
    methods = [name for name in report.bins if name != "none"]
    left, right = html_tables.columns("calibration", (400, 560))
    with left:
        names = {name: METHODS[name] + (", the model's own" if name == report.frozen.method else "") for name in methods}
        own = report.frozen.method if report.frozen.method in methods else None
        shown = widgets.segmented("Beside the raw score", names, "evaluate:calibration", default=own) if methods else ""
        diagram(context, report, shown)
    with right:
        with st.container(horizontal=True, vertical_alignment="center", key="sentence_calibration"):
            st.markdown(_verdict(report), width="stretch")
            with st.popover("What is this?", icon=":material/help:"):
                st.markdown(HELP)
        metrics(report, context.units)
        _notes(context, report)


def diagram(context: Context, report: CalibrationReport, shown: str) -> None:
    """Raw and calibrated scores against what was observed; below it how many images have which score."""
    raw = context.table["score"].to_numpy()
    low, high = float(raw.min()), float(raw.max())
    first, *rest = figures(context, report, shown)
    alt = "reliability diagram, and a histogram of the scores below it"
    components.chart(first, "evaluate:reliability", alt=alt, saved_as=context.file("reliability"))
    if high - low < NARROW:
        notices.warning(
            f"All raw scores lie between {low:.3f} and {high:.3f}. So close together they say little about how likely a "
            "malignant finding is, whatever the diagram shows; it is zoomed to them.",
            icon="zoom_in",
        )
    for chart in rest:
        alt = f"reliability diagram, {METHODS[shown]} calibration"
        components.chart(chart, "evaluate:reliability:calibrated", alt=alt, saved_as=context.file("reliability calibrated"))


def figures(context: Context, report: CalibrationReport, shown: str) -> list[go.Figure]:
    """The diagram; where the raw scores are close together a second one, of the calibrated: on one axis with them the raw
    scores would be a vertical line."""
    raw = context.table["score"].to_numpy()
    curves, scores = {"raw score": report.bins["none"]}, {"raw score": raw}
    beside, its_scores = {}, {}
    if shown:
        beside[METHODS[shown].lower()] = report.bins[shown]
        if shown == report.frozen.method:
            its_scores[METHODS[shown].lower()] = report.frozen.apply(raw)
    if float(raw.max() - raw.min()) >= NARROW:
        return [reliability_figure(curves | beside, scores=scores | its_scores, height=430)]
    found = [reliability_figure(curves, scores=scores, height=430)]
    return [*found, reliability_figure(beside, scores=its_scores, height=380)] if beside else found


def metrics(report: CalibrationReport, units: str) -> None:
    """Brier score (as it is and scaled), O/E, ECE, slope and intercept of every method, for scores of these `units`."""
    found = {name: each for name, each in report.summaries.items() if not isinstance(each, str)}
    heads = [
        "Raw score" if name == "none" else METHODS[name] + (" (in use)" if name == report.frozen.method else "")
        for name in found
    ]
    titles = {
        "brier": "Brier score",
        "scaled_brier": "Scaled Brier score",
        "observed_expected": "Observed / expected",
        "ece": "ECE",
        "chance": "ECE that chance gives",
        "slope": "Slope",
        "intercept": "Intercept",
    }
    rows: list[list[Interval | str | None]] = []
    for field, title in titles.items():
        values = (getattr(each, field) for each in found.values())
        rows.append([title, *(number(value) if isinstance(value, float) else value for value in values)])
    html_tables.table([units.capitalize(), *heads], rows, stacked=True)
    reference = next((each.reference for each in found.values() if each.reference is not None), None)
    if reference is not None:
        st.caption(f"Predicting the share of malignant for all {units} has a Brier score of {reference:.3f}.")
    for name, each in report.summaries.items():
        if isinstance(each, str):
            st.caption(f"{METHODS.get(name, name)}: {each}")


def _verdict(report: CalibrationReport) -> str:
    """Before and after in a sentence."""
    before, after = report.before, report.after
    if isinstance(before, str):
        return before
    words = f"The raw scores are {_quality(before)}"
    if report.frozen.method == "none" or isinstance(after, str):
        return words + "; the model has no calibration of its own."
    return f"{words}; with the model's own {report.frozen.method} calibration they are {_quality(after)}."


def _quality(found: CalibrationSummary) -> str:
    far = found.beyond_chance
    return f"**{'not calibrated' if far else 'not clearly miscalibrated'}** (ECE {found.ece.value:.3f})"


def _notes(context: Context, report: CalibrationReport) -> None:
    notes = [] if context.level == "image" else [f"Scores of {context.units} are means of their images' scores."]
    if report.on_validation:
        notes.append(f"The calibrations were fitted on these very {context.units}: here they look too good. See the test set.")
    if report.frozen.method == "temperature":
        drawn = "the raw scores were too extreme" if report.frozen.temperature > 1 else "the raw scores were too close to 0.5"
        notes.append(f"The temperature is {report.frozen.temperature:.2f}: {drawn}.")
    notes.append(
        f"Points with few {context.units} have long intervals; a point whose interval reaches the diagonal is no sign of "
        "miscalibration."
    )
    st.caption(" ".join(notes))
