"""Work that outlives a page: background tasks and training jobs, stored where no rerun can lose them.

A module-level registry is lost when a watched file is edited, `st.cache_resource` when caches are cleared.
A module object without a file, put in `sys.modules`, survives both. It dies with the server; what must outlive
the server is on disk (run folders, manifests).
"""

from __future__ import annotations

import logging
import sys
import threading
import time
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from core.errors import LabError

log = logging.getLogger(__name__)

Report = Callable[[int, int], None]

_REGISTRY = "mammolab_live_work"
# Name of the task of a quick answer (dashboard.state.studies): here, since who only looks for it needs no torch.
QUICK_ANSWER = "study:quick"


@dataclass
class Task:
    """One background task. Fields are written by its thread and read by any page.

    `state` is running | done | failed | stopped; `done` of `total` items are finished (total 0: not known yet).
    """

    name: str
    title: str
    started: float = field(default_factory=time.time)
    finished: float | None = None
    state: str = "running"
    done: int = 0
    total: int = 0
    result: Any = None
    error: str = ""
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def running(self) -> bool:
        return self.state == "running"

    @property
    def seconds(self) -> float:
        """Seconds since the start, or between start and end."""
        return (self.finished or time.time()) - self.started

    @property
    def share(self) -> float:
        """Progress in [0, 1]."""
        return min(1.0, self.done / self.total) if self.total else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Estimated seconds to the end, or None while it is not known."""
        if not self.running or not self.total or self.done < 2:
            return None
        return self.seconds / self.done * (self.total - self.done)


class Stopped(Exception):
    """Raised by `report` in a task that was asked to stop."""


class Live(types.ModuleType):
    """The registry: `tasks` by name, `jobs` by run path, and which runs were renamed."""

    def __init__(self) -> None:
        super().__init__(_REGISTRY)
        self.lock = threading.RLock()
        self.tasks: dict[str, Task] = {}
        self.jobs: dict[str, Any] = {}
        self.once: set[str] = set()
        self.renamed: dict[str, str] = {}  # folders of runs: what it was -> what it is


def live() -> Live:
    """The one registry of this process."""
    module = sys.modules.get(_REGISTRY)
    if module is None:
        module = sys.modules.setdefault(_REGISTRY, Live())
    return module  # type: ignore[return-value]


def start_task(name: str, title: str, work: Callable[[Report], Any]) -> Task:
    """Run `work(report)` in a daemon thread under `name`; a task of that name that still runs is returned instead.

    `report(done, total)` may be called from the work at any rate. A LabError becomes the task's `error` text; any
    other exception is logged with its traceback and its one-line form is the text.
    """
    registry = live()
    with registry.lock:
        existing = registry.tasks.get(name)
        if existing is not None and existing.running:
            return existing
        task = Task(name=name, title=title)
        registry.tasks[name] = task

    def report(done: int, total: int) -> None:
        task.done, task.total = done, total
        if task.stopping.is_set():
            raise Stopped

    def body() -> None:
        try:
            task.result = work(report)
            task.state = "done"
        except Stopped:
            task.state = "stopped"
        except LabError as error:
            task.error, task.state = str(error), "failed"
        except Exception as error:
            log.exception("task %s failed", name)
            task.error, task.state = f"{type(error).__name__}: {error}", "failed"
        finally:
            task.finished = time.time()

    threading.Thread(target=body, name=f"task-{name}", daemon=True).start()
    return task


def task(name: str) -> Task | None:
    """The task of this name, running or finished, or None."""
    return live().tasks.get(name)


def stop_task(name: str) -> None:
    """Ask a task to end the next time it reports; it is then `stopped`."""
    existing = task(name)
    if existing is not None:
        existing.stopping.set()


def forget_task(name: str) -> None:
    """Drop a finished task, so that its outcome is no longer shown. A running one stays."""
    registry = live()
    with registry.lock:
        existing = registry.tasks.get(name)
        if existing is not None and not existing.running:
            del registry.tasks[name]


def once(name: str) -> bool:
    """True the first time this process asks for `name`, False afterwards."""
    registry = live()
    with registry.lock:
        if name in registry.once:
            return False
        registry.once.add(name)
        return True
