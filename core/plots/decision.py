"""Figures for a decision: net benefit by threshold, and what a prevalence makes of an operating point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from core.metrics.decision import DecisionCurve
from core.metrics.screening import Screening
from core.plots.style import COLORS, base_figure, translucent

_PREVALENCES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)  # ticks that do not crowd one another


def decision_figure(curve: DecisionCurve, *, threshold: float | None = None, height: int = 380) -> Any:
    """Net benefit of the model, of calling everybody malignant and of calling nobody, by threshold probability."""
    figure = base_figure("Threshold probability", "Net benefit", height=height, revision="decision")
    color = COLORS["test"]
    figure.add_traces(_band(curve.thresholds, curve.low, curve.high, color, curve.confidence))
    _line(figure, curve.thresholds, curve.model, "model", color, 2.5)
    _line(figure, curve.thresholds, curve.treat_all, "recall everyone", COLORS["malignant"], 1.5, "dash")
    _line(figure, curve.thresholds, np.zeros_like(curve.thresholds), "recall no one", COLORS["benign"], 1.5, "dot")
    if threshold is not None:
        figure.add_vline(x=threshold, line={"color": COLORS["threshold"], "dash": "dash", "width": 2})
    # Far below zero nothing is to be read; recalling everybody would otherwise press the rest flat.
    top = max(0.01, float(np.nanmax(curve.high)), float(curve.treat_all.max()))
    figure.update_yaxes(range=[-0.25 * top, 1.08 * top])
    figure.update_xaxes(range=[0, 1], tickformat=".0%")
    return figure


def prevalence_figure(points: Sequence[Screening], *, current: float | None = None, height: int = 340) -> Any:
    """PPV and NPV with intervals over prevalences (logarithmic), at one operating point; `current` is marked."""
    figure = base_figure("Prevalence", "Predictive value", height=height, revision="prevalence")
    x = np.array([point.prevalence for point in points])
    for name, title, color in (("ppv", "PPV", COLORS["malignant"]), ("npv", "NPV", COLORS["benign"])):
        intervals = [getattr(point, name) for point in points]
        low, high = np.array([i.low for i in intervals]), np.array([i.high for i in intervals])
        figure.add_traces(_band(x, low, high, color, None))
        _line(figure, x, np.array([i.value for i in intervals]), title, color, 2.5)
    if current is not None:
        # Plotly takes a shape's place on a logarithmic axis as it is written, not as a logarithm.
        figure.add_vline(x=current, line={"color": COLORS["threshold"], "dash": "dash", "width": 2})
    marks = [mark for mark in _PREVALENCES if x.min() <= mark <= x.max()]
    figure.update_xaxes(type="log", tickvals=marks, ticktext=[f"{100 * mark:g}%" for mark in marks])
    figure.update_yaxes(range=[-0.01, 1.01], tickformat=".0%")
    return figure


def _line(figure: Any, x: Any, y: Any, name: str, color: str, width: float, dash: str = "solid") -> None:
    figure.add_scatter(
        x=x,
        y=y,
        mode="lines",
        name=name,
        line={"color": color, "width": width, "dash": dash},
        hovertemplate=f"{name} %{{y:.3f}} at %{{x:.3f}}<extra></extra>",
    )


def _band(x: Any, low: Any, high: Any, color: str, confidence: float | None) -> list[Any]:
    edge = {"width": 0, "color": color}
    shared = {"x": x, "mode": "lines", "line": edge, "hoverinfo": "skip"}
    named = {"showlegend": False} if confidence is None else {"name": f"{confidence:.0%} interval"}
    below = go.Scatter(y=low, showlegend=False, **shared)
    return [below, go.Scatter(y=high, fill="tonexty", fillcolor=translucent(color, 0.18), **shared, **named)]
