"""The training history of a run, from its events: the values behind its curves."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from core.runs.events import EpochEvent, Event, StepEvent

SMOOTHING = 0.95  # weight of the past in the mean of the step loss


@dataclass
class Track:
    """A curve by step: `x` in epochs (2.5: half-way through the third), strictly ascending, and `y`, finite."""

    x: array[float] = field(default_factory=lambda: array("d"))
    y: array[float] = field(default_factory=lambda: array("d"))

    def __len__(self) -> int:
        return len(self.x)

    def add(self, x: float, y: float) -> None:
        """Append a point."""
        self.x.append(x)
        self.y.append(y)

    def cut(self, x: float) -> None:
        """Drop the points from `x` on: the training was resumed from an earlier one and makes them again."""
        while self.x and self.x[-1] >= x:
            self.x.pop()
            self.y.pop()


class History:
    """The curves of one run; what a resumed training did again counts once.

    `take` costs the same for the hundred-thousandth event as for the first, so a page may follow a run of any length.
    """

    def __init__(self, smoothing: float = SMOOTHING) -> None:
        """`smoothing`, in [0, 1): weight of the past in the exponential mean of the step loss."""
        self.smoothing = smoothing
        self.loss = Track()
        self.rate = Track()
        self.epochs: dict[int, EpochEvent] = {}  # the "epoch" events by number
        self.phases: dict[str, tuple[int, int]] = {}  # name -> first and last epoch
        self.planned = 0  # epochs
        self.ended = False
        self._means = array("d")  # of the losses, not yet corrected for the start

    @classmethod
    def of(cls, source: History | Iterable[Event], smoothing: float = SMOOTHING) -> History:
        """The history of these events; a History as it is."""
        if isinstance(source, History):
            return source
        history = cls(smoothing)
        for event in source:
            history.take(event)
        return history

    def take(self, event: Event) -> None:
        """Add the next line of events.jsonl."""
        if event["type"] == "step":
            self._take_step(event)
        elif event["type"] == "epoch":
            self._take_epoch(event)
        elif event["type"] == "phase":
            self.phases[event.get("phase", "")] = (event["first_epoch"], event["last_epoch"])
            self.planned = max(self.planned, event["last_epoch"])
        elif event["type"] == "done":
            self.ended = True
        elif event["type"] in ("start", "resume"):
            self.ended = False

    def _take_step(self, event: StepEvent) -> None:
        position = event["epoch"] - 1 + event["step"] / max(1, event["steps"])
        self.loss.cut(position)
        self.rate.cut(position)
        del self._means[len(self.loss) :]
        loss, rate = number(event.get("loss")), number(event.get("learning_rate"))
        if loss is not None:
            self.loss.add(position, loss)
            before = self._means[-1] if self._means else 0.0
            self._means.append(self.smoothing * before + (1 - self.smoothing) * loss)
        if rate is not None:
            self.rate.add(position, rate)

    def _take_epoch(self, event: EpochEvent) -> None:
        epoch = event["epoch"]
        for later in [done for done in self.epochs if done >= epoch]:
            del self.epochs[later]
        self.epochs[epoch] = event
        self.planned = max(self.planned, event.get("epochs", 0))

    def smoothed(self, indices: Sequence[int]) -> list[float]:
        """The exponential mean of the step loss at these steps; it begins at the first loss and not at 0."""
        return [self._means[index] / (1 - self.smoothing ** (index + 1)) for index in indices]

    @property
    def best_epoch(self) -> int | None:
        """The last epoch that was the best so far."""
        marked = [epoch for epoch, event in self.epochs.items() if event.get("best")]
        return marked[-1] if marked else None

    @property
    def reached(self) -> float:
        """How far the training has come, in epochs."""
        return max([self.loss.x[-1] if self.loss else 0.0, *map(float, self.epochs)])

    def series(self, name: str) -> list[float | None]:
        """A metric by epoch: a loss of the event itself ("train_loss", "val_loss"), else one of its validation ("auc"); None
        where it is undefined.
        """
        return [number(metric_of(event, name)) for event in self.epochs.values()]


def metric_of(event: EpochEvent, name: str) -> float | None:
    """`train_loss`, `val_loss`, or a metric of the epoch's validation; None where it is undefined."""
    if name == "train_loss":
        return event.get("train_loss")
    if name == "val_loss":
        return event.get("val_loss")
    return (event.get("val") or {}).get(name)


def number(value: float | None) -> float | None:
    """A finite number, else None: events that were not read from a file may hold NaN."""
    return None if value is None or not math.isfinite(value) else float(value)
