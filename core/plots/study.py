"""A study in charts: the AUC of each combination of settings with its folds, differences to the reference, AUC by level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.metrics.intervals import Interval
from core.plots.forest import forest_figure
from core.plots.style import COLORS, base_figure, error_bars


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


_LINES = ("#AA7722", "#0072B2", "#7468ee", "#009E73", "#CC79A7", "#56B4E9")


def levels_figure(name: str, levels: Sequence[str], lines: Mapping[str, Sequence[Interval | str]], *, height: int = 380) -> Any:
    """AUC by the level of one setting; a line for each combination of the other settings.

    Args:
        name: of the setting.
        levels: its values, in order.
        lines: of each combination the AUC at each level, or why there is none; a single one may be named "".
    """
    figure = base_figure(name, "ROC AUC, out of fold", height=height, revision="study-levels")
    for number, (label, areas) in enumerate(lines.items()):
        known = [(level, area) for level, area in zip(levels, areas, strict=True) if isinstance(area, Interval)]
        values = [area.value for _, area in known]
        figure.add_scatter(
            x=[level for level, _ in known],
            y=values,
            error_y=error_bars(values, [area.low for _, area in known], [area.high for _, area in known], 5),
            name=label,
            mode="lines+markers",
            line={"color": _LINES[number % len(_LINES)], "width": 2},
            marker={"size": 9},
            hovertemplate="%{x}: %{y:.3f}<extra>" + label + "</extra>",
        )
    figure.update_xaxes(type="category", categoryorder="array", categoryarray=list(levels))
    figure.update_layout(showlegend=len(lines) > 1)
    return figure


def heat_figure(
    rows: tuple[str, Sequence[str]], columns: tuple[str, Sequence[str]], areas: Sequence[Sequence[Interval | str]]
) -> Any:
    """AUC of each pair of levels of two settings, as colour and number.

    Args:
        rows, columns: name and levels of a setting.
        areas: of each row the AUC in each column, or why there is none.
    """
    (down, downs), (across, acrosses) = rows, columns
    figure = base_figure(across, down, height=120 + 60 * max(2, len(downs)), revision="study-heat")
    texts = [
        [f"<b>{area.value:.3f}</b><br>{area.low:.3f} to {area.high:.3f}" if isinstance(area, Interval) else "–" for area in row]
        for row in areas
    ]
    figure.add_heatmap(
        x=list(acrosses),
        y=list(downs),
        z=[[area.value if isinstance(area, Interval) else None for area in row] for row in areas],
        text=texts,
        texttemplate="%{text}",  # no annotations: these take a level "1" for the place of a category
        colorscale="Viridis",
        colorbar={"title": {"text": "AUC"}},
        hovertemplate=f"{down} %{{y}}, {across} %{{x}}: %{{z:.3f}}<extra></extra>",
    )
    figure.update_xaxes(type="category", showgrid=False)
    figure.update_yaxes(type="category", showgrid=False, autorange="reversed")
    return figure
