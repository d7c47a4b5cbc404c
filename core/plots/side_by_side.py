"""Several runs in one figure: a colour a run, training dashed, validation solid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.plots.style import RUN_COLORS, base_figure, empty_figure
from core.plots.training import METRIC_TITLES, add_epoch_line, add_smooth_loss, set_epoch_axis
from core.runs.history import History


def run_colors(names: list[str]) -> dict[str, str]:
    """A colour for each run, in this order; the ninth has that of the first."""
    return {name: RUN_COLORS[index % len(RUN_COLORS)] for index, name in enumerate(names)}


def losses_figure(runs: Mapping[str, History], *, height: int = 380) -> Any:
    """Training loss (smoothed, dashed) and validation loss (solid) of several runs by name."""
    shown = {name: history for name, history in runs.items() if len(history.loss) or history.epochs}
    if not shown:
        return empty_figure("None of these runs has made a step yet.", height=height)
    figure = base_figure("Epoch", "Loss, validation solid (optimistic)", height=height, revision="losses")
    colors = run_colors(list(runs))
    for name, history in shown.items():
        if len(history.loss):
            add_smooth_loss(figure, history, f"{name}, training", color=colors[name], dash="dash", width=1.5)
        else:
            series = history.series("train_loss")
            add_epoch_line(figure, history, series, f"{name}, training", color=colors[name], dash="dash", width=1.5)
        add_epoch_line(figure, history, history.series("val_loss"), name, color=colors[name])
    for trace in figure.data:
        trace.showlegend = not trace.name.endswith(", training")
    _finish(figure, shown)
    return figure


def metrics_figure(runs: Mapping[str, History], metric: str = "auc", *, height: int = 380) -> Any:
    """One validation metric of several runs by name; `metric` is a key of METRIC_TITLES."""
    shown = {name: history for name, history in runs.items() if any(value is not None for value in history.series(metric))}
    if not shown:
        return empty_figure("None of these runs has finished an epoch yet.", height=height)
    figure = base_figure(
        "Epoch", f"{METRIC_TITLES.get(metric, metric)}, validation (optimistic)", height=height, revision="metrics"
    )
    colors = run_colors(list(runs))
    for name, history in shown.items():
        add_epoch_line(figure, history, history.series(metric), name, color=colors[name])
    figure.update_yaxes(range=[-0.01, 1.01], dtick=0.2)
    _finish(figure, shown)
    return figure


def _finish(figure: Any, runs: Mapping[str, History]) -> None:
    set_epoch_axis(figure, max(history.reached for history in runs.values()))
    figure.update_layout(showlegend=True)
