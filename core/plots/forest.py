"""Figures with intervals one below the other: subgroups, shortcuts, two runs. It draws numbers and computes none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.metrics.intervals import Interval
from core.plots.style import COLORS, base_figure, error_bars

Row = tuple[str, Interval | str]


def forest_figure(
    rows: Sequence[Row],
    *,
    title: str = "ROC AUC",
    reference: Interval | float | None = None,
    second: Sequence[Interval | str | None] = (),
    names: tuple[str, str] = ("", ""),
    chance: float | None = None,
    height: int | None = None,
) -> Any:
    """A point with its interval for each row, the first on top; a row that has a note shows it in place of a number.

    Args:
        rows: (label, metric or note); labels must differ.
        reference: a line to compare with (chance, the whole set's AUC), with its interval shaded.
        second: a second metric a row (the model's AUC beside that of the metadata), None or a note where there is none.
        names: what the first and the second metrics are, for the legend.
        chance: a thin line where a metric says nothing.
    """
    labels = [label for label, _ in rows]
    figure = base_figure(title, "", height=height or 90 + 34 * max(1, len(rows)), revision="forest")
    if chance is not None:
        figure.add_vline(x=chance, line={"color": COLORS["neutral"], "width": 1})
    if isinstance(reference, Interval):
        figure.add_vrect(x0=reference.low, x1=reference.high, fillcolor=COLORS["neutral"], opacity=0.15, line_width=0)
    if reference is not None:
        at = reference.value if isinstance(reference, Interval) else reference
        figure.add_vline(x=at, line={"color": COLORS["neutral"], "dash": "dot", "width": 1.5})
    _points(figure, rows, names[0], COLORS["test"], "circle")
    if second:
        _points(figure, [(label, s or "") for label, s in zip(labels, second, strict=True)], names[1], "#0072B2", "diamond")
    for label, figure_or_note in rows:
        if isinstance(figure_or_note, str):
            note = {"text": figure_or_note, "x": 0.01, "xref": "paper", "xanchor": "left", "showarrow": False}
            figure.add_annotation(y=label, **note)
    figure.update_yaxes(type="category", categoryorder="array", categoryarray=labels[::-1], range=[-0.6, len(rows) - 0.4])
    figure.update_layout(showlegend=bool(second))
    return figure


def _points(figure: Any, rows: Sequence[Row], name: str, color: str, symbol: str) -> None:
    stated = [(label, interval) for label, interval in rows if isinstance(interval, Interval)]
    values = [interval.value for _, interval in stated]
    figure.add_scatter(
        x=values,
        y=[label for label, _ in stated],
        error_x=error_bars(values, [interval.low for _, interval in stated], [interval.high for _, interval in stated], 5),
        text=[format(interval) for _, interval in stated],
        mode="markers",
        name=name,
        marker={"color": color, "size": 10, "symbol": symbol},
        hovertemplate="%{y}: %{text}<extra></extra>",
    )
