"""The reliability diagram: what scores promise against what was observed. It draws numbers and computes none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from core.metrics.calibration import Reliability
from core.plots.style import COLORS, base_figure

_COLORS = (COLORS["test"], "#0072B2", "#009E73", "#CC79A7")
_UNIT = {"range": [-0.01, 1.01], "constrain": "domain", "dtick": 0.2, "zeroline": False}


def reliability_figure(curves: Reliability | Mapping[str, Reliability], *, height: int = 420) -> Any:
    """Observed share of malignant against mean score, a point a bin with its interval; dotted, perfect calibration.

    Args:
        curves: one diagram, or several by name ("as trained", "calibrated"), drawn in that order.
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
            error_y={
                "type": "data",
                "symmetric": False,
                "array": curve.high - curve.observed,
                "arrayminus": curve.observed - curve.low,
                "thickness": 1.5,
                "width": 4,
            },
            customdata=np.column_stack((curve.low, curve.high, curve.count)),
            mode="lines+markers",
            name=f"{name} ECE {curve.ece:.3f}".strip(),
            line={"color": color, "width": 2.5},
            marker={"size": 8},
            hovertemplate="score %{x:.3f}<br>malignant %{y:.1%} [%{customdata[0]:.1%}, %{customdata[1]:.1%}]"
            "<br>%{customdata[2]:,} images<extra></extra>",
        )
    figure.update_xaxes(**_UNIT)
    figure.update_yaxes(**_UNIT, scaleanchor="x", scaleratio=1)
    return figure
