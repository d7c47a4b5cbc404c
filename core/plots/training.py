"""Live curves from the events of a run: the same axes and colours on Train, Runs and in the report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from core.plots.style import COLORS, MAX_POINTS, base_figure, empty_figure, tick_step
from core.plots.thinning import evenly, extremes
from core.runs.events import Event
from core.runs.history import SMOOTHING, History

METRIC_TITLES = {
    "auc": "ROC AUC",
    "partial_auc": "Partial AUC (sensitivity ≥ 80 %)",
    "average_precision": "Average precision",
    "sensitivity_at_90_specificity": "Sensitivity at 90 % specificity",
    "specificity_at_90_sensitivity": "Specificity at 90 % sensitivity",
}
PHASE_TITLES = {"head": "head only", "fine_tune": "fine-tuning", "scratch": "from scratch"}
_METRIC_COLORS = (COLORS["val"], "#0072B2", "#E69F00", "#009E73")
_METRIC_DASHES = ("solid", "dash", "dot", "dashdot")
_DOTTED = 60  # epochs
_ROOM = 0.16  # share of the axis that a phase needs for its name
# Points of a curve by step: as it came, and smoothed; of a curve by epoch.
_RAW, _SMOOTH, _EPOCHS = MAX_POINTS // 2, MAX_POINTS // 4, MAX_POINTS // 4

Events = Sequence[Event]
Span = Literal["trained", "planned"]


def loss_figure(source: History | Events, *, smoothing: float = SMOOTHING, span: Span = "trained", height: int = 380) -> Any:
    """Training loss by step (pale as it came, bold smoothed) and validation loss by epoch.

    Validation is called optimistic, as in `metric_figure`: it chooses the epoch and the threshold.

    Args:
        source: lines of events.jsonl in order, or a History of them, which has a smoothing of its own.
        smoothing: weight of the past in the exponential mean of the step loss, in [0, 1).
        span: how far the axis of a run at work goes: to the end of the epoch it is in, or of the last one planned.
    """
    history = History.of(source, smoothing)
    if not len(history.loss) and not history.epochs:
        return empty_figure("No step has been made yet:<br>the curve starts with the first one.", height=height)
    figure = base_figure("Epoch", "Loss", height=height, revision="loss")
    if len(history.loss):
        _add_step_loss(figure, history)
    else:
        add_epoch_line(figure, history, history.series("train_loss"), "training", color=COLORS["train"])
    add_epoch_line(figure, history, history.series("val_loss"), "validation (optimistic)", color=COLORS["val"])
    _finish(figure, history, span)
    return figure


def metric_figure(
    source: History | Events, names: Sequence[str] | None = None, *, span: Span = "trained", height: int = 380
) -> Any:
    """Validation metrics by epoch, each in [0, 1]; of ROC AUC alone the upper part, with chance level.

    Args:
        source: lines of events.jsonl in order, or a History of them.
        names: which metrics of the epochs' `val`; None shows those of METRIC_TITLES that are there.
        span: as in `loss_figure`.
    """
    history = History.of(source)
    present = {name for event in history.epochs.values() for name in event.get("val") or {}}
    chosen = [name for name in (names or METRIC_TITLES) if name in present]
    if not chosen:
        return empty_figure("No epoch is complete yet:<br>validation comes at the end of each.", height=height)
    y = f"{METRIC_TITLES.get(chosen[0], chosen[0])}, validation" if len(chosen) == 1 else "Validation metric"
    y += " (optimistic)"
    figure = base_figure("Epoch", y, height=height, revision="metrics")
    for index, name in enumerate(chosen):
        color, dash = _METRIC_COLORS[index % 4], _METRIC_DASHES[index % 4]
        width = 3.0 if index == 0 else 2.0
        title = METRIC_TITLES.get(name, name)
        add_epoch_line(figure, history, history.series(name), title, color=color, dash=dash, width=width)
    values = [value for name in chosen for value in history.series(name) if value is not None]
    areas = all(name == "auc" for name in chosen)
    low = 0.4 if areas and min(values, default=0.0) >= 0.4 else 0.0
    figure.update_yaxes(range=[low - 0.01, 1.01], dtick=0.1 if low else 0.2)
    _finish(figure, history, span)
    if areas:  # of the others chance depends on the images
        figure.add_hline(y=0.5, line={"color": COLORS["neutral"], "dash": "dot", "width": 1.5})
        where = {"x": 1, "xref": "paper", "xanchor": "right", "yanchor": "bottom", "showarrow": False}
        figure.add_annotation(y=0.5, text="chance", font={"size": 14}, **where)
    return figure


def rate_figure(source: History | Events, *, span: Span = "trained", height: int = 160) -> Any:
    """The learning rate by step: warm-up, peak and decay of each phase."""
    history = History.of(source)
    if not len(history.rate):
        return empty_figure("Learning rate", height=height)
    # Named above, not beside, the axis: in a narrow column Plotly has no room left of the ticks.
    figure = base_figure("Epoch", "", height=height, revision="rate")
    figure.update_layout(
        title={"text": "Learning rate", "font": {"size": 14}, "x": 0, "xref": "paper"},
        title_y=1,
        title_yref="paper",
        title_yanchor="bottom",
        title_pad_b=10,
    )
    shown = extremes(history.rate.y, _RAW)
    figure.add_scatter(
        x=np.array(history.rate.x)[shown],
        y=np.array(history.rate.y, dtype=np.float32)[shown],
        mode="lines",
        name="learning rate",
        line={"color": COLORS["neutral"], "width": 2.5},
        hovertemplate="learning rate %{y:.2e}<extra></extra>",
    )
    figure.update_yaxes(rangemode="tozero", exponentformat="power", nticks=4)
    _finish(figure, history, span, words=False)
    figure.update_xaxes(dtick=None, nticks=5, tickangle=0)  # it stands in a narrow column
    return figure


def _add_step_loss(figure: Any, history: History) -> None:
    color = COLORS["train"]
    positions, losses = np.array(history.loss.x), np.array(history.loss.y)
    raw = extremes(losses, _RAW)
    figure.add_scatter(
        x=positions[raw],
        y=losses[raw].astype(np.float32),
        mode="lines",
        line={"color": color, "width": 1},
        opacity=0.28,
        hoverinfo="skip",
        showlegend=False,
    )
    add_smooth_loss(figure, history, "training", color=color)


def add_smooth_loss(figure: Any, history: History, name: str, *, color: str, dash: str = "solid", width: float = 2.5) -> None:
    """The smoothed training loss by step."""
    shown = evenly(len(history.loss), _SMOOTH)
    figure.add_scatter(
        x=np.array(history.loss.x)[shown],
        y=np.array(history.smoothed(shown.tolist()), dtype=np.float32),
        mode="lines",
        name=name,
        line={"color": color, "width": width, "dash": dash},
        hovertemplate=name + " %{y:.4f} (smoothed)<extra></extra>",
    )


def add_epoch_line(
    figure: Any,
    history: History,
    series: Sequence[float | None],
    name: str,
    *,
    color: str,
    dash: str = "solid",
    width: float = 2.5,
) -> None:
    """A figure by epoch, with a star at the best one; nothing when no epoch has it."""
    if all(value is None for value in series):
        return
    epochs = list(history.epochs)
    best = history.best_epoch
    dot = 6 if len(epochs) <= _DOTTED else 0  # more of them would run together into a band
    shown = sorted({*evenly(len(epochs), _EPOCHS).tolist(), *(i for i, epoch in enumerate(epochs) if epoch == best)})
    figure.add_scatter(
        x=[epochs[i] for i in shown],
        y=[series[i] for i in shown],
        mode="lines+markers",
        name=name,
        line={"color": color, "width": width, "dash": dash},
        marker={
            "line": {"width": 0},
            "size": [13 if epochs[i] == best else dot for i in shown],
            "symbol": ["star" if epochs[i] == best else "circle" for i in shown],
        },
        hovertemplate=name + " %{y:.4f}<extra></extra>",
    )


def set_epoch_axis(figure: Any, end: float, **layout: Any) -> None:
    """An x axis from 0 to `end` epochs, with whole numbers, and one label for all curves; with more of a layout."""
    title = {"text": "epoch %{x:.2f}"}
    axis = {"range": [0, end * 1.02], "dtick": tick_step(end), "hoverformat": ".2f", "unifiedhovertitle": title}
    figure.update_layout(hovermode="x unified", xaxis=axis, **layout)


def _finish(figure: Any, history: History, span: Span, *, words: bool = True) -> None:
    """Shade the phases, mark the best epoch, and set the axis: in one update, because Plotly checks each anew."""
    end = _end(history, span)
    over = {"yref": "y domain", "y0": 0, "y1": 1}
    shapes: list[dict[str, Any]] = []
    notes: list[dict[str, Any]] = []
    for index, (phase, (first, last)) in enumerate(history.phases.items()):
        if first - 1 >= end or len(history.phases) < 2:
            continue
        look = {"fillcolor": COLORS["neutral"], "opacity": 0.05 + 0.08 * (index % 2), "line": {"width": 0}, "layer": "below"}
        shapes.append({"type": "rect", "x0": first - 1, "x1": min(last, end), **over, **look})
        place = {"x": first - 1, "y": 0, "xanchor": "left", "yanchor": "bottom", "xshift": 4}
        if min(last, end) - first + 1 >= _ROOM * end:
            notes.append({"text": PHASE_TITLES.get(phase, phase), **place})
    best = history.best_epoch
    if best is not None:
        look = {"line": {"color": COLORS["neutral"], "dash": "dot", "width": 1.5}}
        # Named in the legend: within the axes there is no place that no curve ever comes to.
        named = {"name": f"best: epoch {best}", "showlegend": words}
        shapes.append({"type": "line", "x0": best, "x1": best, **named, **over, **look})
    common = {"yref": "paper", "showarrow": False, "font": {"size": 13}}
    figure.update_layout(showlegend=words)
    set_epoch_axis(figure, end, shapes=shapes, annotations=[note | common for note in notes] if words else [])


def _end(history: History, span: Span) -> float:
    """Where the axis ends. It moves once an epoch at most, so that a curve does not crawl while one looks at it."""
    if history.ended:
        return history.reached
    if span == "planned":
        return max(history.planned, history.reached)
    next_epoch = math.floor(history.reached) + 1.0
    return min(next_epoch, history.planned) if history.planned > history.reached else max(history.reached, history.planned)
