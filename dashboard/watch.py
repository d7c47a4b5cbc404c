"""Following a training through its folder: what is new since the last look, and the figures it makes.

One `Watch` a run, shared by all sessions (services.watch): a line of events.jsonl is read once, however many tabs look.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from core.plots import loss_figure, metric_figure

if TYPE_CHECKING:
    from core.training import Event, Run, Status

# What a run's state is called on a page, and the colour of its badge.
STATES: dict[str, tuple[str, str]] = {
    "queued": ("not started", "gray"),
    "running": ("training", "blue"),
    "paused": ("paused", "orange"),
    "stopped": ("stopped", "violet"),
    "done": ("finished", "green"),
    "failed": ("failed", "red"),
    "interrupted": ("interrupted", "orange"),
}
PHASES = {"head": "head only", "fine_tune": "fine-tuning", "scratch": "from scratch"}


@dataclass
class Watch:
    """All events of a run so far, the last of each type, and figures made of them. Safe for several threads."""

    run: Run
    events: list[Event] = field(default_factory=list)
    last: dict[str, Event] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    excluded: int = 0
    _figures: dict[str, tuple[int, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._reader = self.run.event_reader()
        self._lock = threading.Lock()

    def refresh(self) -> None:
        """Read what the run has written since the last call."""
        with self._lock:
            new = self._reader.read()
            if self._reader.restarted:
                self.events, self.last, self.warnings, self.excluded = [], {}, [], 0
                self._figures.clear()
            for event in new:
                self._take(event)

    def _take(self, event: Event) -> None:
        kind = str(event.get("type", ""))
        if kind == "warning":
            message = str(event.get("message", ""))
            if message and message not in self.warnings:
                self.warnings.append(message)
        elif kind == "excluded":
            self.excluded += 1
        self.last[kind] = event
        self.events.append(event)

    def loss(self, height: int) -> Any:
        """The loss curves, made again only when there are new events."""
        return self._figure("loss", lambda events: loss_figure(events, height=height))

    def metric(self, monitor: str, height: int) -> Any:
        """The monitored figure by epoch (ROC AUC where the loss is monitored)."""
        name = "auc" if monitor in ("", "loss") else monitor
        return self._figure(name, lambda events: metric_figure(events, [name], height=height))

    def _figure(self, name: str, make: Any) -> Any:
        with self._lock:
            seq, figure = self._figures.get(name, (-1, None))
            now = self.events[-1]["seq"] if self.events else 0
            if seq != now:
                figure = make(self.events)
                self._figures[name] = (now, figure)
            return type(figure)(figure)  # a copy: pages style what they show

    @property
    def train_loss(self) -> float | None:
        """The last training loss: of the last finished epoch, else of the last step."""
        for kind, name in (("epoch", "train_loss"), ("step", "loss")):
            value = self.last.get(kind, {}).get(name)
            if value is not None:
                return float(value)
        return None

    def figure_of_last_epoch(self, monitor: str) -> float | None:
        """The monitored validation figure of the last epoch."""
        value = self.last.get("epoch", {}).get("val", {}).get("auc" if monitor in ("", "loss") else monitor)
        return None if value is None else float(value)


def progress(status: Status, last: dict[str, Event]) -> tuple[float, str]:
    """(share done in [0, 1], the line that says so) of a run that is at work."""
    from dashboard.components import duration

    step, prepare = last.get("step"), last.get("prepare")
    if step is None:
        if prepare is not None and int(prepare.get("total") or 0) > 0:
            done, total = int(prepare["done"]), int(prepare["total"])
            return (done / total if done < total else 0.0), f"Preparing images · {done:,} of {total:,}"
        return 0.0, "Starting"
    epochs = max(1, status.epochs)
    epoch, within = int(step["epoch"]), int(step["step"]) / max(1, int(step["steps"]))
    finished = int(last["epoch"]["epoch"]) if "epoch" in last else 0
    if finished >= epoch:  # validated; the next epoch has made no step yet
        share, where = finished / epochs, f"Epoch {finished} of {epochs}"
    else:
        share = (epoch - 1 + within) / epochs
        where = f"Epoch {epoch} of {epochs} · " + (f"step {step['step']} of {step['steps']}" if within < 1 else "validating")
    newest = max((last[kind] for kind in ("step", "epoch") if kind in last), key=lambda event: event["seq"])
    eta = newest.get("eta_seconds")
    left = "" if eta is None else f" · about {duration(float(eta))} left"
    return min(1.0, share), where + left


def is_stale(status: Status, *, job_alive: bool) -> bool:
    """Whether nobody works on the run though it is not finished: made and never started, or its trainer died."""
    return status.state == "interrupted" or (status.state == "queued" and not job_alive)
