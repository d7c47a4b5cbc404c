"""Titles and colours of a run's states, the same on every page. Imports nothing heavy: the sidebar shows it first."""

from __future__ import annotations

from core.runs import Run
from core.runs.status import Status

# What a run's state is called on a page, and the colour of its badge.
STATES: dict[str, tuple[str, str]] = {
    "queued": ("not started", "gray"),
    "waiting": ("waiting", "blue"),
    "running": ("training", "blue"),
    "pausing": ("pausing", "orange"),
    "paused": ("paused", "orange"),
    "stopping": ("stopping", "violet"),
    "stopped": ("stopped", "violet"),
    "done": ("finished", "green"),
    "failed": ("failed", "red"),
    "interrupted": ("interrupted", "orange"),
    "damaged": ("damaged", "red"),
}
LAUNCHERS = {
    "": "–",
    "thread": "this dashboard",
    "process": "own process",
    "command line": "command line",
    "torchrun": "torchrun",
}


def state_of(status: Status, run: Run) -> tuple[str, str]:
    """The run's state in words, and the colour of its badge; what was asked of its trainer shows until it is done."""
    if status.problem:
        return STATES["damaged"]
    if (status.live or status.waiting) and run.requested("stop"):
        return STATES["stopping"]
    if status.state == "running" and run.requested("pause"):
        return STATES["pausing"]
    return STATES["waiting" if status.waiting else status.state]


def state_line(status: Status, run: Run) -> str:
    """The state, with what a waiting run waits for: "waiting for b0 on cpu"."""
    words = state_of(status, run)[0]
    if words == STATES["waiting"][0] and status.reason.startswith("Waits for "):
        return "waiting for " + status.reason.removeprefix("Waits for ").rstrip(".")
    return words
