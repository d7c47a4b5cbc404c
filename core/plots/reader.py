"""The model's ROC curve with a reader's points on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.metrics import Roc
from core.plots.scores import roc_figure
from core.plots.style import COLORS


def reader_figure(curve: Roc, points: Sequence[tuple[str, float, float]], *, height: int = 420) -> Any:
    """`curve` is of the rows that the reader rated; `points` are (rating from which on it calls malignant, sensitivity,
    specificity).
    """
    figure = roc_figure({"model": curve}, height=height)
    ordered = sorted(points, key=lambda point: (1 - point[2], point[1]))
    figure.add_scatter(
        x=[1 - specificity for _, _, specificity in ordered],
        y=[sensitivity for _, sensitivity, _ in ordered],
        text=[rating for rating, _, _ in ordered],
        mode="markers+text",
        textposition="bottom right",
        cliponaxis=False,
        name="reader",
        marker={"color": COLORS["neutral"], "size": 10, "symbol": "diamond"},
        hovertemplate="reader, from %{text} on<br>sensitivity %{y:.3f}<br>1 − specificity %{x:.3f}<extra></extra>",
    )
    return figure
