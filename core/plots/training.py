"""Live curves from the events of a run: the same axes and colours on Train, Evaluate and in the report."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.plots.style import COLORS, MAX_POINTS, base_figure, empty_figure, pick, tick_step

METRIC_TITLES = {
    "auc": "ROC AUC",
    "average_precision": "Average precision",
    "sensitivity_at_90_specificity": "Sensitivity at 90 % specificity",
    "specificity_at_90_sensitivity": "Specificity at 90 % sensitivity",
}
_METRIC_COLORS = (COLORS["val"], "#0072B2", "#E69F00", "#009E73")
_METRIC_DASHES = ("solid", "dash", "dot", "dashdot")
_PHASES = {"head": "head only", "fine_tune": "fine-tuning", "scratch": "from scratch"}


@dataclass
class _History:
    """What the events say, with anything that a resumed training did again counted once."""

    steps: list[tuple[float, float]] = field(default_factory=list)  # (position in epochs, loss)
    epochs: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    phases: dict[str, tuple[int, int]] = field(default_factory=dict)
    total: int = 0
    ended: bool = False

    @classmethod
    def of(cls, events: Iterable[Mapping[str, Any]]) -> _History:
        history = cls()
        for event in events:
            kind = event.get("type")
            if kind == "step":
                history._add_step(event)
            elif kind == "epoch":
                history._add_epoch(event)
            elif kind == "phase":
                history.phases[str(event.get("phase", ""))] = (int(event["first_epoch"]), int(event["last_epoch"]))
                history.total = max(history.total, int(event["last_epoch"]))
            elif kind == "done":
                history.ended = True
            elif kind == "start":
                history.ended = False
        return history

    def _add_step(self, event: Mapping[str, Any]) -> None:
        loss = _number(event.get("loss"))
        position = int(event["epoch"]) - 1 + int(event["step"]) / max(1, int(event["steps"]))
        while self.steps and self.steps[-1][0] >= position:  # resumed from an earlier point
            self.steps.pop()
        if loss is not None:
            self.steps.append((position, loss))

    def _add_epoch(self, event: Mapping[str, Any]) -> None:
        epoch = int(event["epoch"])
        for later in [done for done in self.epochs if done >= epoch]:
            del self.epochs[later]
        self.epochs[epoch] = event
        self.total = max(self.total, int(event.get("epochs") or 0))

    @property
    def best_epoch(self) -> int | None:
        """The last epoch that was the best so far."""
        marked = [epoch for epoch, event in self.epochs.items() if event.get("best")]
        return marked[-1] if marked else None

    @property
    def reached(self) -> float:
        return max([self.steps[-1][0] if self.steps else 0.0, *map(float, self.epochs)])


def loss_figure(events: Sequence[Mapping[str, Any]], *, smoothing: float = 0.95, height: int = 380) -> Any:
    """Training loss by step (pale as it came, bold smoothed) and validation loss by epoch.

    Args:
        events: lines of events.jsonl, in order; a resumed run's repeated steps replace the earlier ones.
        smoothing: weight of the past in the exponential mean of the step loss, in [0, 1).
    """
    history = _History.of(events)
    if not history.steps and not history.epochs:
        return empty_figure("No step has been made yet: the curve starts with the first one.", height=height)
    figure = base_figure("Epoch", "Loss", height=height, revision="loss")
    if history.steps:
        _add_step_loss(figure, history.steps, smoothing)
    else:
        _add_epoch_line(figure, history, [e.get("train_loss") for e in history.epochs.values()], "training", COLORS["train"])
    _add_epoch_line(figure, history, [e.get("val_loss") for e in history.epochs.values()], "validation", COLORS["val"])
    _finish(figure, history)
    return figure


def metric_figure(events: Sequence[Mapping[str, Any]], names: Sequence[str] | None = None, *, height: int = 380) -> Any:
    """Validation figures by epoch, each in [0, 1].

    Args:
        events: lines of events.jsonl, in order.
        names: which figures of the epochs' `val`; None shows those of METRIC_TITLES that are there.
    """
    history = _History.of(events)
    values = [event.get("val") or {} for event in history.epochs.values()]
    present = {name for figures in values for name in figures}
    chosen = [name for name in (names or METRIC_TITLES) if name in present]
    if not chosen:
        return empty_figure("No epoch is complete yet: validation comes at the end of each.", height=height)
    figure = base_figure("Epoch", "Validation figure", height=height, revision="metrics")
    for index, name in enumerate(chosen):
        color, dash = _METRIC_COLORS[index % 4], _METRIC_DASHES[index % 4]
        series = [figures.get(name) for figures in values]
        _add_epoch_line(figure, history, series, METRIC_TITLES.get(name, name), color, dash, width=3 if index == 0 else 2)
    figure.update_yaxes(range=[-0.01, 1.01], dtick=0.2)
    _finish(figure, history)
    return figure


def _add_step_loss(figure: Any, steps: list[tuple[float, float]], smoothing: float) -> None:
    positions, losses = [p for p, _ in steps], [loss for _, loss in steps]
    smooth = _smoothed(losses, smoothing)
    color = COLORS["train"]
    raw = _extremes(losses, MAX_POINTS // 2)
    figure.add_scatter(
        x=[positions[i] for i in raw],
        y=[losses[i] for i in raw],
        mode="lines",
        line={"color": color, "width": 1},
        opacity=0.28,
        hoverinfo="skip",
        showlegend=False,
    )
    kept = pick(len(steps), MAX_POINTS // 4)
    figure.add_scatter(
        x=[positions[i] for i in kept],
        y=[smooth[i] for i in kept],
        mode="lines",
        name="training",
        line={"color": color, "width": 2.5},
        hovertemplate="training %{y:.4f} (smoothed)<extra></extra>",
    )


def _add_epoch_line(
    figure: Any, history: _History, series: Sequence[Any], name: str, color: str, dash: str = "solid", width: float = 2.5
) -> None:
    numbers = [_number(value) for value in series]
    if all(number is None for number in numbers):
        return
    epochs = list(history.epochs)
    best = history.best_epoch
    kept = sorted({*pick(len(epochs), MAX_POINTS // 4), *(i for i, epoch in enumerate(epochs) if epoch == best)})
    figure.add_scatter(
        x=[epochs[i] for i in kept],
        y=[numbers[i] for i in kept],
        mode="lines+markers",
        name=name,
        line={"color": color, "width": width, "dash": dash},
        marker={
            "line": {"width": 0},
            "size": [13 if epochs[i] == best else 6 for i in kept],
            "symbol": ["star" if epochs[i] == best else "circle" for i in kept],
        },
        hovertemplate=name + " %{y:.4f}<extra></extra>",
    )


def _finish(figure: Any, history: _History) -> None:
    """Shade the phases, mark the best epoch, and hold the x axis still while the run goes on."""
    end = history.reached if history.ended else max(history.total, history.reached)
    for index, (phase, (first, last)) in enumerate(history.phases.items()):
        if first - 1 >= end or len(history.phases) < 2:
            continue
        figure.add_vrect(
            x0=first - 1,
            x1=min(last, end),
            layer="below",
            line_width=0,
            fillcolor=COLORS["neutral"],
            opacity=0.05 + 0.08 * (index % 2),
        )
        words = {"text": _PHASES.get(phase, phase), "font": {"size": 13}, "showarrow": False}
        figure.add_annotation(x=first - 1, y=0, yref="paper", xanchor="left", yanchor="bottom", xshift=4, **words)
    best = history.best_epoch
    if best is not None:
        figure.add_vline(x=best, line={"color": COLORS["neutral"], "dash": "dot", "width": 1.5})
        anchor = "right" if best > end / 2 else "left"
        figure.add_annotation(
            x=best,
            y=1,
            yref="paper",
            xanchor=anchor,
            yanchor="top",
            text=f" best: epoch {best} ",
            showarrow=False,
            font={"size": 13},
        )
    figure.update_xaxes(
        range=[0, end * 1.02], dtick=tick_step(end), hoverformat=".2f", unifiedhovertitle={"text": "epoch %{x:.2f}"}
    )
    figure.update_layout(hovermode="x unified")


def _smoothed(values: Sequence[float], weight: float) -> list[float]:
    """Exponential mean, corrected at the start so that it begins at the first value and not at 0."""
    smooth, mean = [], 0.0
    for count, value in enumerate(values, start=1):
        mean = weight * mean + (1 - weight) * value
        smooth.append(mean / (1 - weight**count))
    return smooth


def _extremes(values: Sequence[float], limit: int) -> list[int]:
    """At most about `limit` indices that keep the lowest and highest of each stretch: peaks survive."""
    if len(values) <= limit:
        return list(range(len(values)))
    width = math.ceil(len(values) / (limit // 2))
    kept: set[int] = {len(values) - 1}
    for start in range(0, len(values), width):
        stretch = range(start, min(start + width, len(values)))
        kept |= {min(stretch, key=values.__getitem__), max(stretch, key=values.__getitem__)}
    return sorted(kept)


def _number(value: Any) -> float | None:
    """A finite number, else None: JSON writes an undefined figure as null or NaN."""
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None
