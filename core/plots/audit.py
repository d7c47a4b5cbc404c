"""Figures of a heatmap audit: how often lesions are found beside what finds them blindly, and deletion and insertion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.metrics.intervals import Interval
from core.plots.style import COLORS, base_figure, empty_figure, error_bars, translucent

Points = Sequence[float]
_HEATMAP, _CHANCE, _SHAPE = "#0072B2", COLORS["neutral"], "#E69F00"
# By whose ranking: colour, dash, and what a person reads.
ORDERS = {
    "heatmap": (_HEATMAP, "solid", "heatmap"),
    "random": (_CHANCE, "dot", "random order"),
    "centre": (_SHAPE, "dash", "breast's middle"),
}


def localisation_figure(rows: Sequence[tuple[str, Mapping[str, Interval | str]]], *, height: int | None = None) -> Any:
    """Shares with intervals, one row a metric, the first on top.

    Args:
        rows: (label, {"heatmap": ..., "chance": ..., "centre": ...}), each an interval or a note; labels must differ.
    """
    if not any(isinstance(found, Interval) for _, beside in rows for found in beside.values()):
        return empty_figure("No malignant image with a known lesion", height=height or 200)
    labels = [label for label, _ in rows]
    figure = base_figure("Share", "", height=height or 110 + 58 * len(rows), revision="localisation")
    styles = {
        "heatmap": ("heatmap", _HEATMAP, "circle"),
        "chance": ("chance", _CHANCE, "diamond"),
        "centre": ("breast's middle", _SHAPE, "square"),
    }
    for number, (name, (title, color, symbol)) in enumerate(styles.items()):
        stated = [(at, found) for at, (_, beside) in enumerate(rows) if isinstance(found := beside.get(name), Interval)]
        values = [found.value for _, found in stated]
        figure.add_scatter(
            x=values,
            # One below the other, or what lies at the same place hides its neighbour.
            y=[at + 0.22 * (number - 1) for at, _ in stated],
            error_x=error_bars(values, [found.low for _, found in stated], [found.high for _, found in stated]),
            text=[f"{labels[at]}, {title}: {found:.3f}" for at, found in stated],
            mode="markers",
            name=title,
            marker={"color": color, "size": 10, "symbol": symbol},
            hovertemplate="%{text}<extra></extra>",
        )
    figure.update_yaxes(tickmode="array", tickvals=list(range(len(rows))), ticktext=labels, range=[len(rows) - 0.5, -0.5])
    figure.update_xaxes(range=[-0.02, 1.02], tickformat=".0%")
    return figure


def perturbation_figure(kind: str, curves: Mapping[str, tuple[Points, Points, Points, Points]], *, height: int = 340) -> Any:
    """Mean score by the share of the breast that is blurred away ("deletion") or shown ("insertion"), with bands.

    Args:
        curves: by the keys of ORDERS: (share, mean, low, high).
    """
    if not curves:
        return empty_figure("Too few patients", height=height)
    done = {"deletion": "Share of the breast blurred, highest first", "insertion": "Share of the breast shown, highest first"}
    figure = base_figure(done[kind], "Mean score", height=height, revision=kind)
    for order, (share, mean, low, high) in curves.items():
        color, dash, title = ORDERS[order]
        band = {"mode": "lines", "line": {"width": 0, "color": color}, "hoverinfo": "skip", "showlegend": False}
        figure.add_scatter(x=list(share), y=list(low), **band)
        figure.add_scatter(x=list(share), y=list(high), fill="tonexty", fillcolor=translucent(color, 0.15), **band)
        figure.add_scatter(
            x=list(share),
            y=list(mean),
            mode="lines",
            name=title,
            line={"color": color, "width": 2.5, "dash": dash},
            hovertemplate=f"{title} %{{y:.3f}} at %{{x:.0%}}<extra></extra>",
        )
    # A little beyond the end, or the last label has no room and is left out.
    figure.update_xaxes(range=[0, 1.03], tickvals=[0, 0.25, 0.5, 0.75, 1], tickformat=".0%")
    figure.update_layout(legend_traceorder="normal")
    return figure
