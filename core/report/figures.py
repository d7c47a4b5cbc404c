"""The report's figures, one function each: numbers in, a drawing out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike, NDArray

from core.heatmap_audit.results import Curve
from core.metrics import Confusion, DecisionCurve, Interval, PrecisionRecall, Reliability, Roc, RocBand
from core.plots import COLORS, METRIC_TITLES, PHASE_TITLES
from core.plots.thinning import evenly, extremes
from core.report.document import Figure
from core.report.drawing import FULL, HALF, INK, LONGEST, QUIET, canvas, label, legend, percent, to_svg, unit_square
from core.runs.events import Event
from core.runs.history import History
from core.wording import shortened

_POINTS = 400
_SQUARE = 3.35
_LINES = (COLORS["val"], "#0072B2", "#C77F00", "#009E73", "#7B68C8")
_DASHES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1)))

Floats = NDArray[np.float64]


def loss(name: str, events: Sequence[Event], caption: str) -> Figure:
    """Training loss by step (pale as it came, bold smoothed) and validation loss by epoch."""
    history = History.of(events, 0.9)
    figure, axes = canvas(HALF, 2.7)
    if len(history.loss):
        x, y = np.array(history.loss.x), np.array(history.loss.y)
        raw, shown = extremes(y, _POINTS), evenly(y.size, _POINTS)
        axes.plot(x[raw], y[raw], color=COLORS["train"], linewidth=0.6, alpha=0.35)
        axes.plot(x[shown], history.smoothed(shown.tolist()), color=COLORS["train"], linewidth=1.6, label="training")
    else:
        _by_epoch(axes, history, history.series("train_loss"), "training", COLORS["train"], "-")
    _by_epoch(axes, history, history.series("val_loss"), "validation (optimistic)", COLORS["val"], "-")
    _phases(axes, history)
    label(axes, "Epoch", "Loss")
    legend(axes)
    last = [value for value in history.series("val_loss") if value is not None]
    return Figure(name, to_svg(figure, name), caption, f"Loss by epoch; validation ends at {last[-1]:.3f}" if last else "Loss")


def validation(name: str, events: Sequence[Event], caption: str) -> Figure:
    """Validation metrics by epoch; a star marks the epoch whose weights were saved."""
    history = History.of(events, 0.9)
    figure, axes = canvas(HALF, 2.7)
    present = {key for event in history.epochs.values() for key in event.get("val") or {}}
    for index, key in enumerate(key for key in METRIC_TITLES if key in present):
        title = (
            METRIC_TITLES[key].replace(" %", "%").replace("Sensitivity at", "Sens. at").replace("Specificity at", "Spec. at")
        )
        _by_epoch(axes, history, history.series(key), title, _LINES[index % 5], _DASHES[index % 5])
    _phases(axes, history)
    axes.set_ylim(-0.01, 1.01)
    label(axes, "Epoch", "Metric on validation (optimistic)")
    legend(axes)
    return Figure(name, to_svg(figure, name), caption, "Validation metrics by epoch")


def _by_epoch(axes: Any, history: History, series: Sequence[float | None], title: str, color: str, dash: Any) -> None:
    if all(value is None for value in series):
        return
    epochs = list(history.epochs)
    values = np.array([np.nan if value is None else value for value in series], dtype=np.float64)
    size = 3.0 if len(epochs) <= 40 else 0.0
    axes.plot(epochs, values, color=color, linestyle=dash, linewidth=1.5, marker="o", markersize=size, label=title)
    if history.best_epoch in epochs:
        best = epochs.index(history.best_epoch)
        axes.plot(epochs[best], values[best], color=color, marker="*", markersize=9)


def _phases(axes: Any, history: History) -> None:
    end = max(history.reached, 1.0)
    for index, (phase, (first, last)) in enumerate(history.phases.items()):
        if len(history.phases) > 1 and first - 1 < end:
            right = min(float(last), end)
            axes.axvspan(first - 1, right, color=COLORS["neutral"], alpha=0.05 + 0.08 * (index % 2), linewidth=0)
            # In the middle of its stretch, above the curves' own room; a stretch too short for its name has none.
            if right - first + 1 >= 0.18 * end:
                words = shortened(PHASE_TITLES.get(phase, phase), 16)
                style = {"ha": "center", "va": "bottom", "fontsize": 7.5, "color": QUIET}
                axes.text((first - 1 + right) / 2, 1.02, words, transform=axes.get_xaxis_transform(), **style)
    if history.best_epoch is not None:
        axes.axvline(history.best_epoch, color=COLORS["neutral"], linestyle=":", linewidth=1)
    axes.set_xlim(0, end * 1.02)


Points = Mapping[str, tuple[float, float, float]]  # sensitivity, specificity and precision as the model decides, by curve


def roc_curve(name: str, curves: Mapping[str, Roc], points: Points, band: RocBand | None, caption: str) -> Figure:
    """ROC curves; a dot where the model decides, a band behind the first."""
    figure, axes = canvas(HALF, _SQUARE)
    axes.plot([0, 1], [0, 1], color=COLORS["neutral"], linestyle=":", linewidth=1)
    stated = []
    for index, (title, curve) in enumerate(curves.items()):
        color = _color(title, index)
        if band is not None and index == 0:
            axes.fill_between(band.fpr, band.low, band.high, color=color, alpha=0.16, linewidth=0)
        keep = evenly(curve.fpr.size, _POINTS)
        axes.plot(curve.fpr[keep], curve.tpr[keep], color=color, linewidth=1.7, label=f"{title}, AUC {curve.auc:.3f}")
        y, specificity, _ = points[title]
        axes.plot(1 - specificity, y, marker="o", markersize=6, color=color, markeredgecolor="white", markeredgewidth=1)
        stated.append(f"{title} AUC {curve.auc:.3f}")
    unit_square(axes)
    label(axes, "1 − specificity", "Sensitivity")
    legend(axes, "lower right")
    return Figure(name, to_svg(figure, name), caption, "ROC curves: " + ", ".join(stated))


def precision_recall_curve(name: str, curves: Mapping[str, PrecisionRecall], points: Points, caption: str) -> Figure:
    """Precision against recall; dotted, what chance would give."""
    figure, axes = canvas(HALF, _SQUARE)
    stated = []
    for index, (title, curve) in enumerate(curves.items()):
        color = _color(title, index)
        axes.axhline(curve.prevalence, color=color, linestyle=":", linewidth=1)
        keep = evenly(curve.recall.size, _POINTS)
        words = f"{title}, AP {curve.average_precision:.3f}"
        axes.step(curve.recall[keep], curve.precision[keep], where="pre", color=color, linewidth=1.7, label=words)
        recall, _, precision = points[title]
        if not math.isnan(precision):  # nothing is called malignant
            axes.plot(recall, precision, marker="o", markersize=6, color=color, markeredgecolor="white", markeredgewidth=1)
        stated.append(words)
    unit_square(axes)
    label(axes, "Recall (sensitivity)", "Precision")
    legend(axes, "upper right")
    return Figure(name, to_svg(figure, name), caption, "Precision-recall curves: " + "; ".join(stated))


def confusion(name: str, counts: Confusion, caption: str) -> Figure:
    """The four counts, truth in rows, decision in columns, shaded by the share of the row."""
    figure, axes = canvas(HALF, 2.6)
    axes.grid(False)
    cells = [[counts.tn, counts.fp], [counts.fn, counts.tp]]
    for row, pair in enumerate(cells):
        for column, value in enumerate(pair):
            share = value / max(1, sum(pair))
            axes.add_patch(
                Rectangle((column + 0.02, 1 - row + 0.02), 0.96, 0.96, color="#5B72A8", alpha=0.08 + 0.5 * share, lw=0)
            )
            axes.text(column + 0.5, 1.52 - row, f"{value:,}", ha="center", va="center", fontsize=13, color="#1D2230")
            axes.text(column + 0.5, 1.27 - row, f"{share:.1%}", ha="center", va="center", fontsize=8.5, color=INK)
    axes.set_xlim(0, 2)
    axes.set_ylim(0, 2)
    axes.set_xticks([0.5, 1.5], ["benign", "malignant"])
    axes.set_yticks([1.5, 0.5], ["benign", "malignant"], rotation=90, va="center")
    axes.tick_params(length=0)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    label(axes, "Decision of the model", "Label")
    text = f"True positive {counts.tp}, false positive {counts.fp}, true negative {counts.tn}, false negative {counts.fn}"
    return Figure(name, to_svg(figure, name), caption, text)


def histogram(name: str, malignant: ArrayLike, s: ArrayLike, threshold: float, caption: str) -> Figure:
    """How the scores of each class spread, as shares of the class, with the threshold."""
    labels, scores = np.asarray(malignant, dtype=bool), np.asarray(s, dtype=np.float64)
    inside = np.append(scores, threshold)
    low, high = np.floor(inside.min() * 20) / 20, np.ceil(inside.max() * 20) / 20
    edges = np.linspace(low, max(high, low + 0.05), 31)
    figure, axes = canvas(HALF, 2.6)
    for title, rows in (("benign", ~labels), ("malignant", labels)):
        count, _ = np.histogram(scores[rows], edges)
        share = count / max(1, int(rows.sum()))
        words = f"{title} ({int(rows.sum()):,})"
        axes.stairs(share, edges, fill=True, color=COLORS[title], alpha=0.45, label=words, linewidth=0)
        axes.stairs(share, edges, color=COLORS[title], linewidth=1)
    axes.axvline(threshold, color=INK, linestyle="--", linewidth=1, label=f"threshold {threshold:.3f}")
    percent(axes.yaxis)
    label(axes, "Score", "Share of the class")
    legend(axes)
    return Figure(name, to_svg(figure, name), caption, f"Histograms of the scores by class; threshold {threshold:.3f}")


def reliability_diagram(name: str, curves: Mapping[str, Reliability], caption: str) -> Figure:
    """Observed share of malignant against mean score, a point a bin with its interval; dotted, perfect calibration."""
    figure, axes = canvas(HALF, _SQUARE)
    axes.plot([0, 1], [0, 1], color=COLORS["neutral"], linestyle=":", linewidth=1)
    stated = []
    for index, (title, curve) in enumerate(curves.items()):
        error = np.vstack((curve.observed - curve.low, curve.high - curve.observed)).clip(0)
        words = f"{title}, ECE {curve.ece:.3f}"
        color = (COLORS["test"], "#0072B2", "#009E73")[index % 3]
        style = {"color": color, "linewidth": 1.4, "marker": "os^"[index % 3], "markersize": 4.5, "elinewidth": 1, "capsize": 2}
        axes.errorbar(curve.score, curve.observed, yerr=error, label=words, **style)
        stated.append(words)
    unit_square(axes)
    # A timid model's scores fill a corner of the square: show what there is, on the same scale both ways.
    shown = np.concatenate([np.concatenate((curve.score, curve.low, curve.high)) for curve in curves.values()])
    low, high = np.floor(shown.min() * 10) / 10, np.ceil(shown.max() * 10) / 10
    axes.set_xlim(low - 0.01, high + 0.01)
    axes.set_ylim(low - 0.01, high + 0.01)
    label(axes, "Mean score of the bin", "Share that is malignant")
    legend(axes, "upper left")
    return Figure(name, to_svg(figure, name), caption, "Reliability diagram: " + "; ".join(stated))


def decision(name: str, curve: DecisionCurve, threshold: float | None, caption: str) -> Figure:
    """Net benefit of the model, of calling everybody malignant and of calling nobody, by threshold probability."""
    figure, axes = canvas(HALF, _SQUARE)
    axes.fill_between(curve.thresholds, curve.low, curve.high, color=COLORS["test"], alpha=0.16, linewidth=0)
    axes.plot(curve.thresholds, curve.model, color=COLORS["test"], linewidth=1.7, label="model")
    axes.plot(curve.thresholds, curve.treat_all, color=INK, linestyle="--", linewidth=1.2, label="recall everyone")
    axes.axhline(0, color=COLORS["benign"], linestyle=":", linewidth=1.2, label="recall no one")
    if threshold is not None:
        axes.axvline(threshold, color=INK, linestyle="--", linewidth=0.8)
    top = max(0.01, float(np.nanmax(curve.high)), float(curve.treat_all.max()))
    axes.set_ylim(-0.25 * top, 1.08 * top)
    axes.set_xlim(0, 1)
    percent(axes.xaxis)
    label(axes, "Threshold probability", "Net benefit")
    legend(axes, "upper right")
    return Figure(name, to_svg(figure, name), caption, "Net benefit of the model against recalling everybody and nobody")


def forest(
    name: str,
    rows: Sequence[tuple[str, Interval | str]],
    caption: str,
    *,
    reference: Interval | None = None,
    second: Sequence[Interval | str | None] = (),
    names: tuple[str, str] = ("", ""),
    heads: frozenset[int] = frozenset(),
    axis: str = "ROC AUC",
    line: float = 0.5,
) -> Figure:
    """A point with its interval for each row, the first on top; a row without a metric says so.

    Args:
        reference: a metric to compare with (the whole set's), as a band.
        second: another metric a row, drawn below the first.
        names: what both are, for the legend.
        heads: rows that are headings.
        axis: what the points are.
        line: where chance is, or no difference.
    """
    height = 0.75 + 0.235 * len(rows) * (1.35 if second else 1.0)
    figure, axes = canvas(FULL, height)
    axes.grid(False, axis="y")
    axes.axvline(line, color=COLORS["neutral"], linestyle=":", linewidth=1)
    if reference is not None:
        axes.axvspan(reference.low, reference.high, color=COLORS["neutral"], alpha=0.13, linewidth=0)
        axes.axvline(reference.value, color=COLORS["neutral"], linewidth=1)
    shift = 0.16 if second else 0.0
    for index, (_, found) in enumerate(rows):
        _interval(axes, found, index - shift, COLORS["test"], "o", names[0] if index == _first(rows) else None, index in heads)
    for index, other in enumerate(second):
        _interval(axes, other or "", index + shift, "#0072B2", "D", names[1] if index == 0 else None, True)
    axes.set_yticks(range(len(rows)), [shortened(text, LONGEST) for text, _ in rows])
    for index, tick in enumerate(axes.get_yticklabels()):
        tick.set_fontweight("bold" if index in heads else "normal")
    axes.tick_params(axis="y", length=0, labelsize=8.5)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    label(axes, axis, "")
    if second:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, fontsize=8, labelcolor=INK, borderpad=0)
    stated = "; ".join(f"{text} {found}" for text, found in rows if isinstance(found, Interval))
    return Figure(name, to_svg(figure, name), caption, f"{axis}: {stated}")


def _first(rows: Sequence[tuple[str, Interval | str]]) -> int:
    return next((index for index, (_, found) in enumerate(rows) if isinstance(found, Interval)), -1)


def _interval(axes: Any, found: Interval | str, y: float, color: str, marker: str, name: str | None, silent: bool) -> None:
    if isinstance(found, str):
        if not silent:
            axes.text(0.01, y, "too few patients", transform=axes.get_yaxis_transform(), va="center", fontsize=8, color=QUIET)
        return
    axes.plot([found.low, found.high], [y, y], color=color, linewidth=1.3, solid_capstyle="butt")
    axes.plot(found.value, y, marker=marker, markersize=5, color=color, linestyle="", label=name)


def _color(title: str, index: int) -> str:
    return COLORS.get({"validation": "val"}.get(title, title), _LINES[index % 5])


def perturbation(name: str, curves: Mapping[str, Curve], caption: str) -> Figure:
    """Mean score by the share of the breast that was blurred or shown, by the order it was done in."""
    figure, axes = canvas(HALF, 2.6)
    looks = {"heatmap": (COLORS["test"], "-"), "random": (COLORS["neutral"], "--"), "centre": ("#0072B2", ":")}
    words = {"heatmap": "by the heatmap", "random": "at random", "centre": "from the middle"}
    for order, curve in curves.items():
        color, dash = looks[order]
        if order == "heatmap":
            axes.fill_between(curve.share, curve.low, curve.high, color=color, alpha=0.16, linewidth=0)
        axes.plot(curve.share, curve.mean, color=color, linestyle=dash, linewidth=1.5, label=words[order])
    percent(axes.xaxis)
    axes.set_xlim(0, 1)
    label(axes, "Share of the breast", "Mean score")
    legend(axes)
    return Figure(name, to_svg(figure, name), caption, caption)
