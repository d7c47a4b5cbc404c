"""The charts that follow the threshold slider. They hold what changes for each of its steps: see threshold_slider.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from core.errors import NotEnoughData
from core.evaluate import CalibrationReport
from core.metrics import Calibration, Confusion, PrecisionRecall, Roc, RocBand, decision_curve, precision_recall, roc, roc_band
from core.plots import (
    confusion_cells,
    confusion_figure,
    decision_figure,
    empty_figure,
    precision_recall_figure,
    roc_figure,
    score_histogram,
)
from dashboard.ui import components, html_tables
from dashboard.views.evaluate.context import Context, once
from dashboard.views.evaluate.threshold_slider import KEY, rounded

HEIGHT = 300
# px; below that charts go into another row. Two wide ones have long legends.
NARROWEST = {"roc": 290, "precision_recall": 290, "confusion": 290, "histogram": 400, "decision": 400}


_BY_VIEW = (
    " Thresholds are by view: the dots show the decisions at them and may lie beside the curves, which are of all views; the "
    "histogram shows each score less its view's threshold, plus the common one, so that one line parts them."
)


@dataclass(frozen=True)
class Following:
    """A chart, and what of it changes with the threshold."""

    chart: go.Figure
    follow: Mapping[str, Any] | None = None


def charts(context: Context) -> None:
    """ROC, precision-recall and confusion matrix; below them histogram and decision curve."""
    made = following(context)
    for row in (("roc", "precision_recall", "confusion"), ("histogram", "decision")):
        columns = html_tables.columns(f"evaluate-{row[0]}", [NARROWEST[name] for name in row], gap="small")
        for column, name in zip(columns, row, strict=True):
            with column:
                title, chart = name.replace("_", " "), made[name]
                saved_as = context.file(title)
                components.chart(chart.chart, f"evaluate:{name}", alt=title, saved_as=saved_as, follow=chart.follow)
    st.caption(
        f"A band is a {context.summary.confidence:.0%} interval with {context.people} resampled. The dotted lines are chance. "
        "Net benefit counts cancers found less false alarms, weighed by the risk at which one would act "
        "(Vickers and Elkin, 2006); it takes calibrated scores and this data set's share of malignant cases."
        + (_BY_VIEW if context.by_view else "")
    )


def following(context: Context) -> dict[str, Following]:
    """The charts of this part by name; made once."""
    return once("charts", context, lambda: _charts(context))


def _charts(context: Context) -> dict[str, Following]:
    makers = {
        "roc": _roc,
        "precision_recall": _precision_recall,
        "confusion": _confusion,
        "histogram": _histogram,
        "decision": _decision,
    }
    found = {}
    for name, make in makers.items():
        try:
            found[name] = make(context)
        except NotEnoughData as error:
            found[name] = Following(empty_figure(str(error).split(".")[0], height=HEIGHT))
    return found


def _follow(traces: Mapping[int, Mapping[str, Any]] | None = None, layout: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {"dial": KEY, "traces": {str(index): each for index, each in (traces or {}).items()}, "layout": layout or {}}


def _at_threshold(context: Context, chart: go.Figure, x: Any, y: Any) -> Following:
    """The chart's last trace, which marks the threshold, moves to (x, y) at each of the slider's steps.

    With thresholds by view the model's own place is not a point of the curve, so the mark is put there.
    """
    if context.by_view:
        index = context.sweep.nearest(context.frozen)
        chart.data[-1].update(x=[float(x[index])], y=[float(y[index])])
    columns = {"x": x, "y": y, "customdata": context.sweep.thresholds}
    moves = {name: [[value] for value in rounded(values)] for name, values in columns.items()}
    return Following(chart, _follow({len(chart.data) - 1: moves}))


def curves(context: Context) -> tuple[Roc, RocBand, PrecisionRecall]:
    """ROC with its band, and precision-recall. Raises NotEnoughData."""

    def make() -> tuple[Roc, RocBand, PrecisionRecall]:
        table = context.table
        y, s = table["label"], table["score"]
        band = roc_band(y, s, table["patient_id"], samples=1000, confidence=context.summary.confidence)
        return roc(y, s), band, precision_recall(y, s)

    return once("curves", context, make)


def plain_curves(context: Context) -> tuple[Roc, PrecisionRecall]:
    """ROC and precision-recall without the band, which takes long. Raises NotEnoughData."""
    y, s = context.table["label"], context.table["score"]
    return once("plain curves", context, lambda: (roc(y, s), precision_recall(y, s)))


def _roc(context: Context) -> Following:
    curve, band, _ = curves(context)
    chart = roc_figure({context.found.split: curve}, band=band, threshold=context.frozen, height=HEIGHT)
    return _at_threshold(context, chart, 1 - context.sweep.specificity.value, context.sweep.sensitivity.value)


def _precision_recall(context: Context) -> Following:
    chart = precision_recall_figure({context.found.split: curves(context)[2]}, threshold=context.frozen, height=HEIGHT)
    return _at_threshold(context, chart, context.sweep.sensitivity.value, context.sweep.ppv.value)


def _confusion(context: Context) -> Following:
    found = context.sweep
    counts = [Confusion(*map(int, each)) for each in zip(found.tp, found.fp, found.tn, found.fn, strict=True)]
    cells = [confusion_cells(each) for each in counts]
    shares = [[[round(share, 3) for share in line] for line in z] for z, _ in cells]
    chart = confusion_figure(counts[found.nearest(context.frozen)], height=HEIGHT)
    return Following(chart, _follow({0: {"z": shares, "text": [text for _, text in cells]}}))


def _histogram(context: Context) -> Following:
    table, thresholds = context.table, context.sweep.thresholds
    chart = score_histogram(table["label"], table["decided"], context.frozen, height=HEIGHT)
    low, high = chart.layout.xaxis.range
    places = rounded(thresholds)
    words = [f" threshold {value:.3f} " for value in thresholds.tolist()]
    sides = np.where(thresholds > (low + high) / 2, "right", "left").tolist()
    moves = {
        "shapes.0.x0": places,
        "shapes.0.x1": places,
        "annotations.0.x": places,
        "annotations.0.text": words,
        "annotations.0.xanchor": sides,
    }
    return Following(chart, _follow(layout=moves))


def calibration(context: Context) -> Calibration:
    """How scores of this level become probabilities, as fitted on validation; "none" where it never was. Raises BadRun.

    Breasts and patients have mean scores and a calibration of their own; a model of an earlier version has none for them, and
    the evaluation's then counts.
    """
    card, level = context.run.model_card(), context.level
    if level == "image":
        return card.image_calibration
    if level in (own := card.calibrations or {}):
        return own[level].fitted
    report = context.found.calibration_at(level)
    return report.frozen if isinstance(report, CalibrationReport) else Calibration()


def _decision(context: Context) -> Following:
    table, made, confidence = context.table, calibration(context), context.summary.confidence
    curve = decision_curve(table["label"], made.apply(table["score"]), table["patient_id"], samples=500, confidence=confidence)
    places = made.apply(context.sweep.thresholds)
    chart = decision_figure(curve, threshold=float(made.apply([context.frozen])[0]), height=HEIGHT)
    return Following(chart, _follow(layout=dict.fromkeys(("shapes.0.x0", "shapes.0.x1"), rounded(places))))
