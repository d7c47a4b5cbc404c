"""Figures about scores: ROC, precision-recall, confusion matrix, histogram. They draw numbers and compute none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import ArrayLike, NDArray

from core.metrics import Confusion, PrecisionRecall, Roc, RocBand
from core.plots.style import COLORS, MAX_POINTS, NAMES, base_figure, pick, translucent

Floats = NDArray[np.float64]
_EXTRA_COLORS = ("#56B4E9", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#7B68C8", "#B8405E")
_SOLID = 4  # curves; further ones are dashed, so that colour alone has to tell few apart
_AT_ROC = "sensitivity %{y:.3f}<br>1 − specificity %{x:.3f}"
_AT_PRECISION = "recall %{x:.3f}<br>precision %{y:.3f}"
_UNIT = {"range": [-0.01, 1.01], "constrain": "domain", "dtick": 0.2, "zeroline": False}


def roc_figure(
    curves: Roc | Mapping[str, Roc], *, band: RocBand | None = None, threshold: float | None = None, height: int = 420
) -> Any:
    """ROC curves on a square, with the operating point of the frozen threshold.

    Args:
        curves: one curve, or several by name ("val", "test", or a run's name), drawn in that order.
        band: pointwise interval, drawn behind the first curve.
        threshold: where to mark each curve; None marks nothing.
    """
    named = {"": curves} if isinstance(curves, Roc) else dict(curves)
    figure = base_figure("1 − specificity", "Sensitivity", height=height, revision="roc")
    chance = {"color": COLORS["neutral"], "dash": "dot", "width": 1.5}
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line=chance, hoverinfo="skip", showlegend=False)
    for index, (name, curve) in enumerate(named.items()):
        color = _color(name, index)
        if band is not None and index == 0:
            figure.add_traces(_band(band, color))
        keep = _corners(curve.fpr, curve.tpr)
        figure.add_scatter(
            x=curve.fpr[keep],
            y=curve.tpr[keep],
            customdata=np.column_stack((1 - curve.fpr[keep], _finite(curve.thresholds[keep]))),
            mode="lines",
            name=f"{NAMES.get(name, name)} AUC {curve.auc:.3f}".strip(),
            line={"color": color, "width": 2.5, "dash": _dash(index)},
            hovertemplate="sensitivity %{y:.3f}<br>specificity %{customdata[0]:.3f}"
            "<br>threshold %{customdata[1]:.3f}<extra></extra>",
        )
        if threshold is not None:
            figure.add_traces(_point(*curve.at(threshold), color, _AT_ROC, threshold))
    _square(figure)
    return figure


def precision_recall_figure(
    curves: PrecisionRecall | Mapping[str, PrecisionRecall], *, threshold: float | None = None, height: int = 420
) -> Any:
    """Precision against recall on a square; dotted, what chance would give at this prevalence."""
    named = {"": curves} if isinstance(curves, PrecisionRecall) else dict(curves)
    figure = base_figure("Recall (sensitivity)", "Precision", height=height, revision="precision-recall")
    for index, (name, curve) in enumerate(named.items()):
        color = _color(name, index)
        figure.add_scatter(
            x=[0, 1],
            y=[curve.prevalence] * 2,
            mode="lines",
            line={"color": color, "dash": "dot", "width": 1.5},
            hovertemplate=f"prevalence {curve.prevalence:.3f}<extra></extra>",
            showlegend=False,
        )
        keep = _corners(curve.recall, curve.precision)
        figure.add_scatter(
            x=curve.recall[keep],
            y=curve.precision[keep],
            customdata=curve.thresholds[keep],
            mode="lines",
            name=f"{NAMES.get(name, name)} AP {curve.average_precision:.3f}".strip(),
            # The area is by steps, so the curve is drawn by steps: precision holds back to the previous recall.
            line={"color": color, "width": 2.5, "shape": "vh", "dash": _dash(index)},
            hovertemplate="precision %{y:.3f}<br>recall %{x:.3f}<br>threshold %{customdata:.3f}<extra></extra>",
        )
        if threshold is not None:  # where nothing is called malignant the point is there and shows nothing
            x, y = curve.at(threshold) or (None, None)
            figure.add_traces(_point(x, y, color, _AT_PRECISION, threshold))
    _square(figure)
    return figure


def confusion_figure(counts: Confusion, *, height: int = 340) -> Any:
    """The four counts, truth in rows, decision in columns, shaded by the share of the row.

    Right decisions are blue; wrong ones are orange and hatched, so that they differ without colour, too.
    """
    figure = base_figure("Decision of the model", "Truth", height=height, revision="confusion")
    shares, texts = confusion_cells(counts)
    hover = [[(word, truth) for word in words] for words, truth in zip(_CELLS, _CLASSES, strict=True)]
    figure.add_trace(
        go.Heatmap(
            z=shares,
            x=[0, 1],
            y=[0, 1],
            text=texts,
            customdata=hover,
            texttemplate="%{text}",
            textfont={"size": 14, "color": "#1D2230"},
            zmin=-1,
            zmax=1,
            colorscale=[[0, "#E39A63"], [0.4999, "#FCEBDD"], [0.5, "#E6EFF7"], [1, "#8DB6DA"]],
            showscale=False,
            xgap=4,
            ygap=4,
            hovertemplate="%{customdata[0]}: %{text} of the %{customdata[1]} images<extra></extra>",
        )
    )
    for x, y in ((1, 0), (0, 1)):
        figure.add_scatter(
            x=[x - 0.49, x + 0.49, x + 0.49, x - 0.49],
            y=[y - 0.49, y - 0.49, y + 0.49, y + 0.49],
            mode="lines",
            fill="toself",
            line={"width": 0},
            fillcolor="rgba(0,0,0,0)",
            fillpattern={
                "shape": "/",
                "size": 9,
                "solidity": 0.12,
                "fgcolor": "rgba(120, 60, 10, 0.35)",
                "bgcolor": "rgba(0,0,0,0)",
            },
            hoverinfo="skip",
            showlegend=False,
        )
    ticks = {"tickvals": [0, 1], "ticktext": _CLASSES, "showgrid": False, "zeroline": False, "ticks": "", "constrain": "domain"}
    figure.update_xaxes(**ticks, range=[-0.5, 1.5], side="bottom")
    figure.update_yaxes(**ticks, range=[-0.5, 1.5], tickangle=-90, scaleanchor="x", scaleratio=0.72)
    figure.update_layout(margin={"t": 12})
    return figure


_CLASSES = ["benign", "malignant"]
_CELLS = [["cleared", "false alarms"], ["missed cancers", "cancers found"]]


def confusion_cells(counts: Confusion) -> tuple[list[list[float]], list[list[str]]]:
    """Shares of the row, and texts, of the matrix's cells: what changes in it with the threshold.

    The shares of wrong decisions are given below zero: they have colours of their own.
    """
    cells = [[counts.tn, counts.fp], [counts.fn, counts.tp]]
    shares, texts = [], []
    for row, (numbers, words) in enumerate(zip(cells, _CELLS, strict=True)):
        of_row = [value / max(1, sum(numbers)) for value in numbers]
        shares.append([share if row == column else -share for column, share in enumerate(of_row)])
        texts.append(
            [f"<b>{value:,}</b> ({share:.1%})<br>{word}" for value, word, share in zip(numbers, words, of_row, strict=True)]
        )
    return shares, texts


def score_histogram(y: ArrayLike, s: ArrayLike, threshold: float | None = None, *, bins: int = 40, height: int = 340) -> Any:
    """How the scores of each class spread, as shares of the class, with the threshold.

    Args:
        y: labels (n,), 1, True or "malignant" for malignant.
        s: scores (n,) in [0, 1].
    """
    labels = np.isin(np.asarray(y).astype(str), ("1", "1.0", "True", "malignant"))
    scores = np.asarray(s, dtype=np.float64)
    figure = base_figure("Score", "Share of the class", height=height, revision="histogram")
    low, high = _rounded_range(scores, threshold)
    edges = np.linspace(low, high, bins + 1)
    for name, rows in (("benign", ~labels), ("malignant", labels)):
        count, _ = np.histogram(scores[rows], edges)
        figure.add_bar(
            x=(edges[:-1] + edges[1:]) / 2,
            y=count / max(1, int(rows.sum())),
            width=(high - low) / bins,
            customdata=np.column_stack((count, edges[:-1], edges[1:])),
            name=f"{name} ({int(rows.sum()):,})",
            marker={"color": translucent(COLORS[name], 0.6), "line": {"width": 0}},
            hovertemplate=f"{name}: %{{customdata[0]}} images, %{{y:.1%}}"
            "<br>score %{customdata[1]:.3f} to %{customdata[2]:.3f}<extra></extra>",
        )
    if threshold is not None:
        line = {"color": COLORS["threshold"], "dash": "dash", "width": 2}
        figure.add_vline(x=threshold, line=line)
        anchor = "right" if threshold > (low + high) / 2 else "left"
        above = {"y": 1, "yref": "paper", "yanchor": "bottom", "xanchor": anchor, "showarrow": False}  # no bar reaches there
        figure.add_annotation(x=threshold, text=f" threshold {threshold:.3f} ", **above)
        figure.update_layout(margin={"t": 62}, legend={"y": 1.1})
    figure.update_layout(barmode="overlay", bargap=0, xaxis={"range": [low, high]}, yaxis={"tickformat": ".0%"})
    return figure


def _color(name: str, index: int) -> str:
    if name in COLORS:
        return COLORS[name]
    return COLORS["test"] if index == 0 else _EXTRA_COLORS[(index - 1) % len(_EXTRA_COLORS)]


def _dash(index: int) -> str:
    return "solid" if index < _SOLID else "dash"


def _band(band: RocBand, color: str) -> list[Any]:
    edge = {"width": 0, "color": color}
    low = go.Scatter(x=band.fpr, y=band.low, mode="lines", line=edge, hoverinfo="skip", showlegend=False)
    high = go.Scatter(
        x=band.fpr,
        y=band.high,
        mode="lines",
        line=edge,
        fill="tonexty",
        fillcolor=translucent(color, 0.18),
        hoverinfo="skip",
        name=f"{band.confidence:.0%} interval",
    )
    return [low, high]


def _point(x: float | None, y: float | None, color: str, words: str, threshold: float) -> Any:
    return go.Scatter(
        x=[x],
        y=[y],
        customdata=[threshold],
        mode="markers",
        name="at the threshold",
        marker={"size": 12, "color": color, "line": {"color": "white", "width": 2}},
        hovertemplate=f"threshold %{{customdata:.3f}}<br>{words}<extra></extra>",
        showlegend=False,
        cliponaxis=False,
    )


def _square(figure: Any) -> None:
    figure.update_xaxes(**_UNIT)
    figure.update_yaxes(**_UNIT, scaleanchor="x", scaleratio=1)


def _corners(x: Floats, y: Floats) -> list[int]:
    """Indices of the points where the line turns (the others change nothing), at most MAX_POINTS of them."""
    if x.size < 3:
        return list(range(x.size))
    dx, dy = np.diff(x), np.diff(y)
    turns = np.abs(dx[:-1] * dy[1:] - dx[1:] * dy[:-1]) > 1e-15
    indices = np.flatnonzero(np.concatenate(([True], turns, [True])))
    return [int(indices[i]) for i in pick(indices.size, MAX_POINTS)]


def _finite(thresholds: Floats) -> Floats:
    """The first threshold is infinite (nothing is called malignant); hover shows the score just above all."""
    return np.where(np.isfinite(thresholds), thresholds, 1.0)


def _rounded_range(scores: Floats, threshold: float | None) -> tuple[float, float]:
    """The scores' range (the threshold in it), out to the next 0.05, so that a timid model still fills the figure."""
    inside = scores if threshold is None else np.append(scores, threshold)
    if inside.size == 0:
        return 0.0, 1.0
    low, high = np.floor(inside.min() * 20) / 20, np.ceil(inside.max() * 20) / 20
    return (float(low), float(high)) if high > low else (max(0.0, float(low) - 0.05), min(1.0, float(high) + 0.05))
