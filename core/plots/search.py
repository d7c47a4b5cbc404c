"""A search in figures: its trials one after the other, their settings side by side, and how much each setting matters."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from core.plots.style import COLORS, RUN_COLORS, base_figure, empty_figure, pick, translucent
from core.plots.training import METRIC_TITLES

_MOST_LINES = 200  # trials side by side: more cannot be told apart
_BETTER = RUN_COLORS[0]  # the better quarter of the trials


def trials_figure(
    finished: Sequence[tuple[int, float]], pruned: Sequence[tuple[int, float]], metric: str, *, higher_is_better: bool
) -> Any:
    """The optimisation history: the metric of each trial, and the best one so far as a line.

    Args:
        finished: (number, metric of its best epoch) of trials that were trained to their end, by number.
        pruned: the same of those that were stopped early.
        metric: a key of METRIC_TITLES.
    """
    if not finished and not pruned:
        return empty_figure("No trial has finished yet.")
    title = METRIC_TITLES.get(metric, metric)
    figure = base_figure("Trial", f"{title}, validation (optimistic)", revision="trials")
    best = max if higher_is_better else min
    values = [value for _, value in finished]
    figure.add_scatter(
        x=[number for number, _ in finished],
        y=[best(values[: place + 1]) for place in range(len(values))],
        mode="lines",
        name="best so far",
        line={"color": COLORS["malignant"], "width": 2, "shape": "hv"},
        hovertemplate="best of the first %{x} trials: %{y:.3f}<extra></extra>",
    )
    for name, points, symbol, color in (
        ("finished", finished, "circle", _BETTER),
        ("pruned", pruned, "x-thin-open", COLORS["neutral"]),
    ):
        figure.add_scatter(
            x=[number for number, _ in points],
            y=[value for _, value in points],
            mode="markers",
            name=name,
            marker={"color": color, "size": 9, "symbol": symbol, "line": {"color": color, "width": 2}},
            hovertemplate=f"trial %{{x}}, {name}: %{{y:.3f}}<extra></extra>",
        )
    last = max(number for number, _ in (*finished, *pruned))
    figure.update_xaxes(range=[0.5, max(last, 5) + 0.5], tickformat="d")
    figure.update_layout(showlegend=True)
    return figure


def coordinates_figure(
    trials: Sequence[tuple[int, Mapping[str, Any], float]], metric: str, *, higher_is_better: bool, log: Sequence[str] = ()
) -> Any:
    """Parallel coordinates: a line a trial through the values of its settings to its metric. The best one is orange, the better
    quarter blue.

    Args:
        trials: (number, settings, metric) of finished trials.
        log: settings whose axis is logarithmic.
    """
    if len(trials) < 2:
        return empty_figure("Trials are compared from two finished ones on.")
    names = list(dict.fromkeys(name for _, settings, _ in trials for name in settings))
    order = sorted(trials, key=lambda trial: -trial[2] if higher_is_better else trial[2])
    better = max(1, math.ceil(len(order) / 4))
    axes = [_axis([settings.get(name) for _, settings, _ in trials], log=name in log) for name in names]
    axes.append(_axis([value for *_, value in trials], log=False))
    titles = [*(_short(name, names) for name in names), METRIC_TITLES.get(metric, metric)]
    figure = base_figure("", "", height=420, revision="coordinates")
    # The best first: it is the first to be described in words. Drawn last, it is on top of the others.
    for place in pick(len(order), _MOST_LINES):
        number, settings, value = order[place]
        values = [*(settings.get(name) for name in names), value]
        color = COLORS["malignant"] if place == 0 else _BETTER if place < better else translucent(COLORS["neutral"], 0.45)
        figure.add_scatter(
            x=list(range(len(titles))),
            y=[at(each) for (at, _), each in zip(axes, values, strict=True)],
            mode="lines+markers",
            name=f"trial {number}",
            text=[_words(each) for each in values],
            line={"color": color, "width": 3 if place == 0 else 1.5},
            marker={"color": color, "size": 5},
            zorder=len(order) - place,
            hovertemplate=f"trial {number}<br>%{{text}}<extra></extra>",
            showlegend=False,
        )
    for place, (_, ticks) in enumerate(axes):
        figure.add_shape(
            type="line", x0=place, x1=place, y0=0, y1=1, line={"color": COLORS["neutral"], "width": 1}, layer="below"
        )
        for height, words in ticks:
            shift = -9 if height == 0 else 9  # off the lines that meet there
            figure.add_annotation(
                x=place, y=height, text=words, showarrow=False, xanchor="left", xshift=6, yshift=shift, font={"size": 12}
            )
    figure.update_xaxes(
        tickvals=list(range(len(titles))), ticktext=titles, side="top", range=[-0.2, len(titles) - 0.4], showgrid=False
    )
    figure.update_yaxes(visible=False, range=[-0.06, 1.12])
    return figure


def importance_figure(shares: Mapping[str, float]) -> Any:
    """Bars: how much each setting matters, in shares of 1, the largest on top."""
    if not shares:
        return empty_figure("Not known yet.")
    names = list(shares)
    figure = base_figure("Importance, share", "", height=100 + 34 * len(names), revision="importance")
    figure.add_bar(
        x=list(shares.values()),
        y=[_short(name, names) for name in names],
        orientation="h",
        name="importance",
        marker={"color": _BETTER},
        text=[f"{share:.0%}" for share in shares.values()],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{y}: %{x:.0%}<extra></extra>",
    )
    figure.update_xaxes(range=[0, 1.1 * max(shares.values()) or 1], tickformat=".0%")
    figure.update_yaxes(type="category", autorange="reversed")
    figure.update_layout(showlegend=False)
    return figure


def _axis(values: Sequence[Any], *, log: bool) -> tuple[Callable[[Any], float | None], list[tuple[float, str]]]:
    """Where a value stands on an axis from 0 to 1, and what is written beside it: (height, words)."""
    known = [value for value in values if value is not None]
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
        levels = sorted({_words(value) for value in known})
        heights = {words: place / max(1, len(levels) - 1) for place, words in enumerate(levels)}
        return (lambda value: None if value is None else heights[_words(value)]), [(at, words) for words, at in heights.items()]
    low, high = min(known), max(known)
    scale: Callable[[float], float] = math.log if log and low > 0 else float
    span = scale(high) - scale(low)

    def at(value: Any) -> float | None:
        return None if value is None else (scale(value) - scale(low)) / span if span else 0.5

    return at, [(0.0, _words(low)), (1.0, _words(high))] if span else [(0.5, _words(low))]


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:.4g}"
    return " × ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _short(name: str, names: Sequence[str]) -> str:
    last = name.split(".")[-1]
    return last if sum(each.split(".")[-1] == last for each in names) == 1 else name
