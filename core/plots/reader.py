"""The model's ROC curve with a reader's points on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.metrics import Roc
from core.plots.scores import roc_figure
from core.plots.style import COLORS


def reader_figure(curve: Roc, points: Sequence[tuple[str, str, float, float]], *, height: int = 420) -> Any:
    """`curve` is of the rows that are compared; `points` are (a short name, which ratings are called malignant, sensitivity,
    specificity).
    """
    figure = roc_figure({"model": curve}, height=height)
    ordered = sorted(points, key=lambda point: (1 - point[3], point[2]))
    figure.add_scatter(
        x=[1 - specificity for _, _, _, specificity in ordered],
        y=[sensitivity for _, _, sensitivity, _ in ordered],
        text=[short for short, _, _, _ in ordered],
        customdata=[words for _, words, _, _ in ordered],
        mode="markers+text",
        # In turn below and above, so that names of near points do not lie over each other; those at the axis have no room.
        textposition=["top left" if place % 2 and point[3] < 0.8 else "bottom right" for place, point in enumerate(ordered)],
        cliponaxis=False,
        name="reader",
        marker={"color": COLORS["neutral"], "size": 10, "symbol": "diamond"},
        hovertemplate="called malignant: %{customdata}<br>sensitivity %{y:.3f}<br>1 − specificity %{x:.3f}<extra></extra>",
    )
    return figure
