"""Training: the run folder, the loop that fills it, and the launchers of the loop.

`train`, which needs torch, is imported when it is first asked for; reading run folders stays light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from core.training.events import Event, EventReader
from core.training.run import Run, list_runs
from core.training.status import Status

if TYPE_CHECKING:
    from core.training.forking import fork
    from core.training.jobs import Job, run_to_end, start_process, start_thread
    from core.training.loop import train

__all__ = [
    "Event",
    "EventReader",
    "Job",
    "Run",
    "Status",
    "fork",
    "list_runs",
    "run_to_end",
    "start_process",
    "start_thread",
    "train",
]

_LATE = {
    "train": "loop",
    "Job": "jobs",
    "fork": "forking",
    "run_to_end": "jobs",
    "start_process": "jobs",
    "start_thread": "jobs",
}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_LATE[name]}"), name)
