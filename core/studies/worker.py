"""The worker of a study: trains what is left to train, one run after another; several may work on one study at once."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import psutil

import core
from core.errors import BadRun, LabError
from core.files.untrusted import open_to_write
from core.runs.events import Event
from core.runs.run import Run
from core.studies.design import Job
from core.studies.study import Study

_LOOK = 2.0  # seconds between two looks at what others train
_WORKERS = "workers"  # a file for each process that works on the study: its machine and its number
_TRIES = 5  # looks at a run that nobody trains and that cannot be taken


@dataclass
class Outcome:
    """What a worker has done: runs trained to their end, those that failed with the reason, and whether it was stopped."""

    trained: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    stopped: bool = False


def work(
    study: Study,
    *,
    on_run: Callable[[Job, Run], None] | None = None,
    on_event: Callable[[Event], None] | None = None,
    retry: bool = False,
    queue: bool = True,
) -> Outcome:
    """Train all runs of the study that are not finished, in this thread, until none is left or a stop is requested.

    A run that was cut off is resumed; a finished one is never repeated; one that another worker trains is left to it, and
    waited for at the end, in case that worker is killed. A run that fails is listed with its reason, and the others go on.

    Args:
        on_run: called before each training.
        on_event: called with each event of the trainings (see checkpoints/README.md).
        retry: also resume runs that have failed before.
        queue: wait while another training uses the device.

    Raises:
        LabError: the study's own files are damaged.
    """
    manifest = study.manifest()
    study.withdraw_stop()
    with _present(study):
        return _work(study, manifest, on_run=on_run, on_event=on_event, retry=retry, queue=queue)


def _work(
    study: Study,
    manifest: pd.DataFrame,
    *,
    on_run: Callable[[Job, Run], None] | None,
    on_event: Callable[[Event], None] | None,
    retry: bool,
    queue: bool,
) -> Outcome:
    outcome = Outcome()
    left, refused = list(study.design().jobs), Counter[Job]()
    while left:
        others = []
        for job in left:
            if outcome.stopped or study.stopping:
                outcome.stopped = True
                return outcome
            run = study.run_of(job)
            state = "" if run is None else run.status().state
            if state == "done" or job.name in outcome.failed:
                continue
            if state == "failed" and not retry:
                outcome.failed[job.name] = run.status().reason if run is not None else ""
                continue
            try:
                run = run or study.create_run(job, manifest)
            except BadRun:
                if study.run_of(job) is None:  # it is no other worker that has just made it
                    raise
                others.append(job)
                continue
            except LabError as error:
                outcome.failed[job.name] = str(error)
                continue
            if not _train(run, job, outcome, refused, on_run=on_run, on_event=on_event, queue=queue):
                others.append(job)
        if others:
            time.sleep(_LOOK)
        left = others
    return outcome


def _train(
    run: Run,
    job: Job,
    outcome: Outcome,
    refused: Counter[Job],
    *,
    on_run: Callable[[Job, Run], None] | None,
    on_event: Callable[[Event], None] | None,
    queue: bool,
) -> bool:
    """Train a run to its end, or until it stops; False where another worker has it. `refused` counts how often it could not be
    taken although nobody seems to train it."""
    from core.training.launchers import run_to_end

    try:
        run.acquire().release()
    except BadRun as error:
        refused[job] += 1
        status = run.status()
        if not (run.problem or refused[job] > _TRIES) or status.live or status.waiting:
            return False
        outcome.failed[job.name] = str(error)
        return True
    if on_run is not None:
        on_run(job, run)
    try:
        status = run_to_end(run, resume=run.begun, on_event=on_event, queue=queue)
    except BadRun as error:
        if run.status().live or run.status().waiting:  # another worker was quicker
            return False
        outcome.failed[job.name] = str(error)
    except LabError as error:
        outcome.failed[job.name] = str(error)
    else:
        if status.state == "done":
            outcome.trained.append(job.name)
        else:
            outcome.stopped = True
    return True


# ---------------------------------------------------------------- workers in processes of their own


def start_process(study: Study, *, retry: bool = False) -> int:
    """Work in a process of its own, which outlives this one; returns its id at once. What it prints goes to process.log.

    Raises:
        BadRun: the system starts no process, or the folder cannot be written to.
    """
    from core.training.launchers import PROCESS_LOG, detached

    command = [sys.executable, "-m", "core", "study", "run", str(study.path), *(["--retry"] if retry else [])]
    try:
        study.withdraw_stop()
        with os.fdopen(open_to_write(study.path / PROCESS_LOG, append=True), "ab") as output:
            process = subprocess.Popen(
                command,
                cwd=Path(core.__file__).parents[1],
                env=dict(os.environ),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                **detached(os.name == "nt"),
            )
        _children.append(process)
        _mark(study, process.pid)
    except OSError as error:
        raise BadRun(f"{study.name}: no process could be started for it ({error.strerror or error}).") from error
    return process.pid


_children: list[subprocess.Popen[bytes]] = []  # kept, so that one that has ended is collected


def active_workers(study: Study) -> int:
    """How many processes of this machine work on the study now."""
    _children[:] = [child for child in _children if child.poll() is None]
    count = 0
    for path in (study.path / _WORKERS).glob(f"{platform.node()}-*"):
        number = path.name.rpartition("-")[2]
        try:
            alive = number.isdigit() and psutil.Process(int(number)).create_time() <= path.stat().st_mtime + 1
        except (psutil.Error, OSError):
            alive = False
        if alive:
            count += 1
        else:
            path.unlink(missing_ok=True)
    return count


@contextmanager
def _present(study: Study) -> Iterator[None]:
    """Within the block this process is one of the study's workers."""
    path = _mark(study, os.getpid())
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _mark(study: Study, process: int) -> Path:
    path = study.path / _WORKERS / f"{platform.node()}-{process}"
    path.parent.mkdir(exist_ok=True)
    path.touch()
    return path
