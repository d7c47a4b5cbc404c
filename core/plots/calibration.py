"""The reliability diagram: what scores promise against what was observed. It draws numbers and computes none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from core.metrics.calibration import Reliability
from core.plots.style import COLORS, base_figure, error_bars, translucent

_COLORS = (COLORS["test"], "#0072B2", "#009E73", "#CC79A7")
_BARS = 40
_NARROWEST = 0.02  # of an axis


def reliability_figure(
    curves: Reliability | Mapping[str, Reliability], *, scores: Mapping[str, ArrayLike] | None = None, height: int = 420
) -> Any:
    """Observed share of malignant against mean score, a point a bin with its interval; dotted, perfect calibration.

    The axes hold what there is: scores of a timid model fill the figure, instead of a line in its middle.

    Args:
        curves: one diagram, or several by name ("as trained", "calibrated"), drawn in that order.
        scores: (n,) scores in [0, 1] of some of the curves, by name: how many images have which, drawn below.
    """
    named = {"": curves} if isinstance(curves, Reliability) else dict(curves)
    figure = base_figure("Mean score of the bin", "Share that is malignant", height=height, revision="reliability")
    perfect = {"color": COLORS["neutral"], "dash": "dot", "width": 1.5}
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line=perfect, hoverinfo="skip", showlegend=False)
    for index, (name, curve) in enumerate(named.items()):
        color = _COLORS[index % len(_COLORS)]
        figure.add_scatter(
            x=curve.score,
            y=curve.observed,
            error_y=error_bars(curve.observed, curve.low, curve.high),
            customdata=np.column_stack((curve.low, curve.high, curve.count)),
            mode="lines+markers",
            name=f"{name} ECE {curve.ece:.3f}".strip(),
            line={"color": color, "width": 2.5},
            marker={"size": 8},
            hovertemplate="score %{x:.3f}<br>malignant %{y:.1%} [%{customdata[0]:.1%}, %{customdata[1]:.1%}]"
            "<br>%{customdata[2]:,} images<extra></extra>",
        )
    low, high = _span(*(curve.score for curve in named.values()), *(scores or {}).values())
    bottom, top = _span(*(limits for curve in named.values() for limits in (curve.low, curve.high)))
    figure.update_xaxes(range=[low, high], zeroline=False)
    figure.update_yaxes(range=[bottom, top], zeroline=False, tickformat=".0%")
    if scores:
        edges = np.linspace(low, high, _BARS + 1)
        for index, name in enumerate(named):
            if name in scores:
                count, _ = np.histogram(np.asarray(scores[name], dtype=np.float64), edges)
                figure.add_bar(
                    x=(edges[:-1] + edges[1:]) / 2,
                    y=count,
                    width=(high - low) / _BARS,
                    yaxis="y2",
                    marker={"color": translucent(_COLORS[index % len(_COLORS)], 0.6), "line": {"width": 0}},
                    hovertemplate=f"{name} %{{x:.3f}}: %{{y:,}} images<extra></extra>",
                    showlegend=False,
                )
        figure.update_layout(
            barmode="overlay",
            bargap=0,
            yaxis={"domain": [0.3, 1.0]},
            xaxis={"anchor": "y2"},
            yaxis2={"domain": [0.0, 0.2], "title": {"text": "images"}, "automargin": True, "nticks": 3, "zeroline": False},
        )
    return figure


def _span(*values: ArrayLike) -> tuple[float, float]:
    """The range of all values, a twentieth more at both ends, at least _NARROWEST, within [0, 1]; 0 to 1 without any."""
    each = np.concatenate([np.asarray(value, dtype=np.float64).ravel() for value in values]) if values else np.empty(0)
    each = each[np.isfinite(each)]
    if not each.size:
        return 0.0, 1.0
    low, high = float(each.min()), float(each.max())
    more = max(0.05 * (high - low), (_NARROWEST - (high - low)) / 2)
    return max(-0.01, low - more), min(1.01, high + more)
