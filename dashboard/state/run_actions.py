"""What can be done to a training run as a whole: start, rename, delete."""

from __future__ import annotations

from core.errors import BadRun
from core.runs import Run
from dashboard.state import models, preferences, settings, training_runs
from dashboard.state.tasks import live

_CHOICES = ("run", "train:run")  # preferences that hold the name of a run


def start_training(run: Run, launcher: str = "thread", *, queue: bool = True) -> None:
    """Train the run once its device is free (`queue`), from its beginning or from its last checkpoint; returns at once.

    `launcher`: "thread" of this server, or a "process" of its own that outlives it. Does nothing when a thread of this
    server trains it already. Raises BadRun when another process does.
    """
    from core.training.launchers import start_process, start_thread

    registry = live()
    with registry.lock:
        if training_runs.job_alive(run):
            return
        models.unload_all()  # frees the GPU memory of loaded models for the training
        if launcher == "process":
            start_process(run, resume=run.begun, queue=queue)
        else:
            registry.jobs[str(run.path)] = start_thread(run, resume=run.begun, queue=queue)


def rename_run(run: Run, name: str) -> Run:
    """Give the run another name; preferences that hold its name follow, and so does its scoring. Raises BadRun."""
    _require_idle(run, "renamed", ("audit", "report"))
    before, was = run.name, str(run.path)
    renamed = run.rename(name, keep=[settings.checkpoints()])
    with live().lock:
        live().renamed[was] = str(renamed.path)
        tasks = live().tasks
        for old in [old for old in tasks if old.startswith(f"evaluate:{was}:")]:
            moved = tasks.pop(old)
            moved.name = f"evaluate:{renamed.path}:{old.removeprefix(f'evaluate:{was}:')}"
            tasks[moved.name] = moved
    _change_choices(before, renamed.name)
    return renamed


def delete_run(run: Run, *, everything: bool = False) -> None:
    """Delete the run's folder with everything in it. Raises BadRun while it is trained or scored."""
    _require_idle(run, "deleted", ("evaluate", "audit", "report"))
    run.delete(keep=[settings.checkpoints()], everything=everything)
    _change_choices(run.name, None)


def _change_choices(before: str, name: str | None) -> None:
    for key in _CHOICES:
        if preferences.get(key) == before:
            preferences.set(key, name)


def _require_idle(run: Run, action: str, kinds: tuple[str, ...]) -> None:
    """Raises BadRun while a background task of these `kinds` (scoring, audit, report) works on the run."""
    ours = tuple(f"{kind}:{run.path}:" for kind in kinds)
    busy = [each for name, each in list(live().tasks.items()) if each.running and f"{name}:".startswith(ours)]
    if busy:
        raise BadRun(f"{run.name}: it cannot be {action} now ({busy[0].title.lower()}). Wait until that has ended, or stop it.")
