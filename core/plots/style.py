"""Colours and the base of every figure: readable on a light and on a dark page, and for the colour-blind.

Colours are Okabe and Ito's, each with a contrast of at least 3:1 on white and on near-black. Text, axes and
grid colours stand in the figure's template, where a page's theme may replace them; backgrounds are transparent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import plotly.graph_objects as go

COLORS = {
    "benign": "#0072B2",
    "malignant": "#D55E00",
    "train": "#009E73",
    "val": "#CC79A7",
    "test": "#A6761D",
    "threshold": "#808495",
    "neutral": "#808495",
}
# For runs side by side, in this order: no two neighbours are alike to the colour-blind.
RUN_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#A6761D", "#7B68C8", "#808495", "#B8405E")
# What a person reads for the words of the run folder.
NAMES = {"train": "training", "val": "validation", "test": "test"}
MAX_POINTS = 2000
# For every place that shows a figure. Plotly 7 by default has a button that uploads the chart to cloud.plotly.com.
CONFIG = {
    "displaylogo": False,
    "showSendToCloud": False,
    "plotlyServerURL": "",
    "responsive": True,
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "sendChartToCloud"],
}

_TEXT = "#767B87"
_GRID = "rgba(128, 132, 149, 0.22)"
_AXIS = {
    "automargin": True,
    "gridcolor": _GRID,
    "linecolor": _GRID,
    "zerolinecolor": _GRID,
    "ticks": "outside",
    "tickcolor": _GRID,
    "title": {"standoff": 10},
}
_TEMPLATE = go.layout.Template(
    layout={
        "font": {"family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", "size": 14, "color": _TEXT},
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        "colorway": ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"],
        "hoverlabel": {"font": {"size": 14}, "align": "left"},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
    }
)


def base_figure(x: str, y: str, *, height: int = 380, revision: str = "figure") -> Any:
    """An empty figure with axis titles `x` and `y`.

    `revision` is constant for a kind of figure: what the person zoomed to is kept when numbers change.
    """
    layout = {
        "template": _TEMPLATE,
        "height": height,
        "margin": {"l": 16, "r": 16, "t": 40, "b": 16, "pad": 2},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "uirevision": revision,
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom", "font": {"size": 13}},
        "xaxis": {"title": {"text": x}, "automargin": True},
        "yaxis": {"title": {"text": y}, "automargin": True},
        "font": {"size": 14},
    }
    return go.Figure(layout=layout)  # at once: Plotly takes several times as long to update a figure


def empty_figure(message: str, *, height: int = 380) -> Any:
    """A figure without axes that says why there is nothing to see, as high as the one to come."""
    figure = base_figure("", "", height=height)
    figure.update_layout(xaxis={"visible": False}, yaxis={"visible": False})
    figure.add_annotation(text=message, x=0.5, y=0.5, xref="paper", yref="paper", showarrow=False, font={"size": 14})
    return figure


def error_bars(values: Iterable[float], lows: Iterable[float], highs: Iterable[float], width: int = 4) -> dict[str, Any]:
    """Limits around values, each (n,), as Plotly draws them (`error_x`, `error_y`); `width` in px of their ends."""
    above = [high - value for value, high in zip(values, highs, strict=True)]
    below = [value - low for value, low in zip(values, lows, strict=True)]
    return {"type": "data", "symmetric": False, "array": above, "arrayminus": below, "thickness": 2, "width": width}


def translucent(color: str, opacity: float) -> str:
    """`#RRGGBB` as rgba(...)."""
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {opacity})"


def pick(count: int, limit: int) -> list[int]:
    """At most `limit` indices of `count` points, evenly spread, the first and the last among them."""
    if count <= limit:
        return list(range(count))
    return sorted({round(i * (count - 1) / (limit - 1)) for i in range(limit)})


def tick_step(total: float) -> int:
    """A round whole number of epochs between ticks, so that about ten fit."""
    if total <= 10:
        return 1
    magnitude = 10 ** math.floor(math.log10(total / 10))
    return int(next(step * magnitude for step in (1, 2, 5, 10) if step * magnitude * 10 >= total))
