"""The training runs: which there are, the chosen one, and which are active."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import BadRun
from core.runs import Run
from core.runs.status import Status
from dashboard.state import preferences, settings
from dashboard.state.tasks import live

if TYPE_CHECKING:
    from core.training.launchers import Job

# ---------------------------------------------------------------- which there are


def list_runs() -> list[Run]:
    """The runs that pages can work with, newest first."""
    return [run for run in all_runs() if run.readable_name]


def all_runs() -> list[Run]:
    """All runs, newest first; also those whose name no page can hold (see Run.problem)."""
    from core.runs.run import list_runs as find

    if launchers := sys.modules.get("core.training.launchers"):
        launchers.collect_children()  # a process that was killed does not count as one at work
    return find(settings.checkpoints())


def has_model(run: Run) -> bool:
    """Whether the run has a model to predict with. As core.model.has_model, whose import loads torch."""
    cards = ("model.json", "model.json.new")  # the latter: the first save was cut short
    return (run.path / "model.safetensors").is_file() and any((run.path / name).is_file() for name in cards)


def open_run(name: str) -> Run:
    """The run of this name in the runs folder. Names come from addresses too (`?run=`): none leads out of it. Raises BadRun."""
    if not name or name != Path(name).name or name.startswith(".") or any(each in name for each in "/\\:\0"):
        raise BadRun(f"{name[:80]!r}: expected the name of a run. The Runs page has them all.")
    run = Run.open(settings.checkpoints() / name)
    run.require_regular()
    return run


def current_run(*, with_model: bool = False) -> Run | None:
    """The chosen run; without a choice the newest (with `with_model`: the newest that has a model)."""
    found = [run for run in list_runs() if has_model(run) or not with_model]
    chosen = preferences.get("run")
    for name in (chosen, current_name(str(chosen))):
        for run in found:
            if run.name == name:
                return run
    return found[0] if found else None


def set_current_run(name: str | None) -> None:
    """Make this run the current one on every page."""
    preferences.set("run", name)


def current_name(name: str) -> str:
    """The name that a run of this name has now: another page, or another person, may have renamed it since."""
    folder = settings.checkpoints()
    if (folder / name).is_dir():
        return name
    renamed, seen = live().renamed, {str(folder / name)}
    path = renamed.get(str(folder / name))
    while path in renamed and path not in seen:
        seen.add(path)
        path = renamed[path]
    return Path(path).name if path else name


def why_missing(run: Run) -> str:
    """Why the run is no longer there, as a sentence; "" while it is."""
    if run.path.is_dir():
        return ""
    name = current_name(run.name)
    if name != run.name and (run.path.parent / name).is_dir():
        return f"The run {run.name} was renamed to {name}."
    return f"The run {run.name} is no longer there: it was deleted, or its folder was renamed."


# ---------------------------------------------------------------- what they are doing


def job_of(run: Run) -> Job | None:
    """This server's job for the run, running or ended; None when another process, or nobody, trains it."""
    job: Job | None = live().jobs.get(str(run.path))
    return job


def job_alive(run: Run) -> bool:
    """Whether a thread of this server works on the run, or waits with it."""
    job = job_of(run)
    return job is not None and bool(job.alive)


def is_active(run: Run, status: Status) -> bool:
    """Whether anybody trains the run, or waits with it: only then does its folder change."""
    return status.live or status.waiting or job_alive(run)


def active_runs() -> list[Run]:
    """The runs that are trained, paused or waiting, wherever they were started: those that are training first."""
    found = [(run.status(), run) for run in list_runs()]
    active = [(status, run) for status, run in found if is_active(run, status)]
    return [run for _, run in sorted(active, key=lambda entry: not entry[0].live)]
