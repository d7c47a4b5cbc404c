"""Monitoring a training through its folder: its events so far, and the charts made of them.

One `RunMonitor` per run, shared by all sessions (results.monitor): a line of events.jsonl is read once, however many tabs
show it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from core.plots import loss_figure, metric_figure, rate_figure
from core.runs import Run, Status
from core.runs.events import Event, LastEvents, remember
from core.runs.history import History, metric_of
from core.wording import duration

if TYPE_CHECKING:
    from core.plots.training import Span

# What comes before the first step and after the last one, by a "prepare" event's `what`; without one, images are prepared.
_PREPARING = {
    "hashes": "Looking for the same image in two splits",
    "copies": "Looking for the same picture in two splits",
    "lesions": "Lesions in the prepared images",
    "patches": "Patch phase: lesions and other tissue, step",
    "features": "Images through the frozen network, once",
    "gate": "Learning which images the model should not judge (input gate)",
}


PHASES = ("Queue", "Start", "Prepare images", "Train", "Validate", "Input gate")
PATCHES = "patches"  # steps of the patch phase, which comes before the first epoch
GATE = "gate"  # as a run's status and its events name the last phase, see core.training.gate_fitting
AT_WORK = ("running", "paused")
VALIDATION = 0.1  # of an epoch's part of the bar: it takes less time than training, and is not done before


class RunMonitor:
    """A run's curves so far, its last event of each type, its warnings. Safe for several threads."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._reader = run.event_reader()
        self.lock = threading.Lock()  # while it is held, `history` does not change
        self._clear()

    def _clear(self) -> None:
        self.history = History()
        self.last: LastEvents = {}
        self._warnings: dict[str, str] = {}
        self.excluded = 0
        self.count = 0
        self._charts: dict[tuple[str, int, Span], tuple[int, Any]] = {}

    @property
    def warnings(self) -> list[str]:
        """The training's warnings, the newest last; of each kind only the last one."""
        return [message for message in list(self._warnings.values()) if message]

    def refresh(self) -> None:
        """Read what the run has written since the last call."""
        with self.lock:
            new = self._reader.read()
            if self._reader.restarted:
                self._clear()
            for event in new:
                self._add(event)

    def _add(self, event: Event) -> None:
        if event["type"] == "warning":
            message = event["message"]
            if "epoch" in self.last and event.get("about"):  # it may have changed since
                message = f"After epoch {self.last['epoch']['epoch']}. {message}"
            about = event.get("about") or message
            self._warnings.pop(about, None)  # only the newest of a kind, at the end
            self._warnings[about] = message
        elif event["type"] == "excluded":
            self.excluded += 1
        remember(self.last, event)
        self.count += 1
        self.history.take(event)

    def loss(self, height: int, span: Span = "trained") -> Any:
        """The loss curves, made again only when there are new events."""
        return self._chart("loss", height, span, lambda: loss_figure(self.history, span=span, height=height))

    def metric(self, monitor: str, height: int, span: Span = "trained") -> Any:
        """The monitored metric by epoch (ROC AUC where the loss is monitored)."""
        name = monitored(monitor)
        return self._chart(name, height, span, lambda: metric_figure(self.history, [name], span=span, height=height))

    def rate(self, height: int, span: Span = "trained") -> Any:
        """The learning rate by step."""
        return self._chart("rate", height, span, lambda: rate_figure(self.history, span=span, height=height))

    def _chart(self, name: str, height: int, span: Span, make: Callable[[], Any]) -> Any:
        with self.lock:
            seen, chart = self._charts.get((name, height, span), (-1, None))
            if seen != self.count:
                chart = make()
                self._charts[name, height, span] = (self.count, chart)
            return type(chart)(chart)  # a copy: pages style what they show

    @property
    def train_loss(self) -> float | None:
        """The last training loss: of the last finished epoch, else of the last step."""
        epoch, step = self.last.get("epoch"), self.last.get("step")
        loss = None if epoch is None else epoch.get("train_loss")
        return step.get("loss") if loss is None and step is not None else loss

    def metric_of_epoch(self, monitor: str, epoch: int | None = None) -> float | None:
        """The monitored validation metric of an epoch; without one, of the last."""
        event = self.last.get("epoch") if epoch is None else self.history.epochs.get(epoch)
        return None if event is None else metric_of(event, monitored(monitor))

    @property
    def seconds(self) -> float:
        """Time spent on finished epochs; pauses and the time between a stop and a resume do not count."""
        return sum(event.get("seconds") or 0.0 for event in list(self.history.epochs.values()))


def monitored(monitor: str) -> str:
    """The metric to show for what is monitored: ROC AUC where that is the loss, which has a chart of its own."""
    return "auc" if monitor in ("", "loss") else monitor


def current_epoch(status: Status, last: LastEvents) -> int:
    """The epoch that a run is in, from 1; of one that has ended the last that it finished. The one count of all pages."""
    finished = last["epoch"]["epoch"] if "epoch" in last else 0
    if status.state not in AT_WORK:
        return finished
    begun = last["step"]["epoch"] if "step" in last else 0
    return min(max(1, status.epochs), max(finished + 1, begun))


def phase(status: Status, last: LastEvents) -> str:
    """Which of PHASES a run at work is in."""
    if status.waiting:
        return "Queue"
    if status.phase == GATE:
        return "Input gate"
    step, prepare = last.get("step"), last.get("prepare")
    if prepare is not None and (step is None or prepare["seq"] > step["seq"]):
        return {GATE: "Input gate", PATCHES: "Train"}.get(prepare.get("what", ""), "Prepare images")
    if step is None:
        return "Start"
    finished = last["epoch"]["epoch"] if "epoch" in last else 0
    return "Validate" if finished < step["epoch"] and step["step"] >= step["steps"] else "Train"


def progress(status: Status, last: LastEvents) -> tuple[float, str]:
    """(share done in [0, 1], the same in words) of a run that is at work."""
    if status.waiting:
        return 0.0, status.reason or "Starting"
    if status.state not in AT_WORK:  # by its folder it has ended, while the thread is still closing its files
        return 1.0, "Finishing"
    step, prepare = last.get("step"), last.get("prepare")
    if prepare is not None and prepare["total"] > 0 and (step is None or prepare["seq"] > step["seq"]):
        done, total = prepare["done"], prepare["total"]
        what = prepare.get("what", "")
        if status.state == "paused":  # a pause takes hold between steps: what came before them has ended
            ready = "the features are stored" if what == "features" else "the images are prepared"
            return 0.0, f"Paused before the first step · {ready}"
        share = done / total if done < total or what == GATE else 0.0
        return share, f"{_PREPARING.get(what, 'Preparing images')} · {done:,} of {total:,}"
    if step is None:
        return 0.0, "Starting"
    epochs = max(1, status.epochs)
    epoch, within = step["epoch"], step["step"] / max(1, step["steps"])
    finished = last["epoch"]["epoch"] if "epoch" in last else 0
    if finished >= epoch:  # validated; the next epoch has made no step yet
        share, where = finished / epochs, f"Epoch {current_epoch(status, last)} of {epochs}"
    else:
        share = (epoch - 1 + (1 - VALIDATION) * within) / epochs
        where = f"Epoch {epoch} of {epochs} · " + (f"step {step['step']} of {step['steps']}" if within < 1 else "validating")
    if status.state == "paused":
        return min(1.0, share), f"Paused · {where}"
    end = last.get("epoch")
    eta = step.get("eta_seconds") if end is None or step["seq"] > end["seq"] else end.get("eta_seconds")
    left = "" if eta is None else f" · about {duration(eta)} left"
    return min(1.0, share), where + left
