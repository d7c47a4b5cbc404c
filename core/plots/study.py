"""A study in figures: the AUC of each combination of settings with its folds, and differences to the reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.metrics.intervals import Interval
from core.plots.forest import forest_figure
from core.plots.style import COLORS


def cells_figure(rows: Sequence[tuple[str, Interval | str]], by_fold: Sequence[Sequence[float | None]]) -> Any:
    """A point with its interval for each combination, and a pale dot for each of its folds.

    Args:
        rows: (label, AUC or why there is none), the reference first.
        by_fold: the AUCs of single folds, a row each; None where a fold has one class only.
    """
    figure = forest_figure(rows, title="ROC AUC, out of fold", chance=0.5)
    for (label, _), areas in zip(rows, by_fold, strict=True):
        known = [area for area in areas if area is not None]
        figure.add_scatter(
            x=known,
            y=[label] * len(known),
            mode="markers",
            name="a fold",
            marker={"color": COLORS["neutral"], "size": 7, "opacity": 0.55},
            hovertemplate="%{y}, one fold: %{x:.3f}<extra></extra>",
            showlegend=False,
        )
    return figure


def differences_figure(rows: Sequence[tuple[str, Interval | str]], reference: str) -> Any:
    """AUC less that of the reference, with intervals; the line is no difference."""
    return forest_figure(rows, title=f"Difference of AUC to {reference}", reference=0.0)
