"""What a figure shows, in a few sentences, for readers who do not see it."""

from __future__ import annotations

from typing import Any

import numpy as np

_MOST = 6  # traces that are described


def in_words(figure: Any, title: str) -> str:
    """Title, axes, and of each named curve or set of bars how many points it has, where it begins and ends, and its range.

    Args:
        figure: a Plotly figure.
        title: what it is, in a few words.
    """
    layout = figure.layout
    axes = [str(axis.title.text) for axis in (layout.xaxis, layout.yaxis) if axis.title.text]
    said = [f"{title[:1].upper()}{title[1:]}.", *([f"{axes[1]} against {axes[0]}."] if len(axes) == 2 else [])]
    named = [trace for trace in figure.data if trace.name and trace.hoverinfo != "skip"]
    described = [words for trace in named if (words := _of(trace))]
    said += described[:_MOST]
    if len(described) > _MOST:
        said.append(f"And {len(described) - _MOST} more.")
    return " ".join(said).replace("<br>", " ").replace("<b>", "").replace("</b>", "")


def _of(trace: Any) -> str:
    horizontal = getattr(trace, "orientation", None) == "h"
    values = _numbers(trace.x if horizontal else trace.y)
    if not values.size:
        return ""
    low, high = f"{values.min():.3g}", f"{values.max():.3g}"
    if values.size == 1:
        return f"{trace.name}: {high}."
    if trace.type == "bar" or horizontal:
        return f"{trace.name}: {values.size} bars from {low} to {high}."
    return f"{trace.name}: {values.size} points, first {values[0]:.3g}, last {values[-1]:.3g}, from {low} to {high}."


def _numbers(values: Any) -> Any:
    """Finite numbers of a trace; none where they are words or nothing."""
    try:
        found = np.asarray([] if values is None else [np.nan if each is None else each for each in values], dtype=np.float64)
    except (TypeError, ValueError):
        return np.empty(0)
    return found[np.isfinite(found)]
