"""The worker of a study: trains what is left to train, one run after another; several may work on one study at once."""

from __future__ import annotations

import os
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import psutil

from core.errors import BadRun, LabError
from core.files.folders import write_text
from core.files.untrusted import irregular
from core.runs.events import Event
from core.runs.run import Run
from core.studies.attempts import LOOK, attempt
from core.studies.design import Job
from core.studies.search import search
from core.studies.study import PROCESS_LOG, WORKERS, Study

_STARTED = "MAMMOLAB_STUDY_WORKER"  # in the environment of a process that `start_process` has started


@dataclass
class Outcome:
    """What a worker has done: runs trained to their end, those that failed with the reason, and whether it was stopped. Runs of
    a search's trials are in neither list, but for those that have all failed."""

    trained: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    stopped: bool = False


def work(
    study: Study,
    *,
    on_run: Callable[[Job, Run], None] | None = None,
    on_event: Callable[[Event], None] | None = None,
    retry: bool | Sequence[str] = False,
    queue: bool = True,
) -> Outcome:
    """Train all runs of the study that are not finished, in this thread, until none is left or a stop is requested.

    A study that searches trains its trials first. A run that was cut off is resumed; a finished one is never repeated; one that
    another worker trains is left to it, and waited for at the end, in case that worker is killed. A run that fails is listed
    with its reason; the others are trained.

    Args:
        on_run: called before each training; of a trial with a TrialJob.
        on_event: called with each event of the trainings (see checkpoints/README.md).
        retry: also resume runs that have failed before, all or those of these names, and repeat trials that have failed.
        queue: wait while another training uses the device.

    Raises:
        LabError: the study's own files are damaged.
    """
    study.require_regular()
    design, manifest = study.design(), study.manifest()  # in this order: an extension writes the manifest first
    if _STARTED not in os.environ and not active_workers(study):  # else what was asked since then, or of others, counts
        study.withdraw_stop()
    with _present(study):
        if design.search is not None and design.search.winner is None:
            found = search(study, design, manifest, on_run=on_run, on_event=on_event, retry=bool(retry), queue=queue)
            if found.stopped or found.failed:
                return Outcome(failed=found.failed, stopped=found.stopped)
            design, manifest = study.design(), study.manifest()  # with the winner, and what it was extended by meanwhile
        return _work(study, design.jobs, manifest, on_run=on_run, on_event=on_event, retry=retry, queue=queue)


def _work(
    study: Study,
    jobs: Sequence[Job],
    manifest: pd.DataFrame,
    *,
    on_run: Callable[[Job, Run], None] | None,
    on_event: Callable[[Event], None] | None,
    retry: bool | Sequence[str],
    queue: bool,
) -> Outcome:
    outcome = Outcome()
    left, refused = list(jobs), Counter[str]()
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
            if state == "failed" and not (retry is True or (retry and job.name in retry)):
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
                study.set_failure(job, str(error))
                continue
            study.set_failure(job, "")
            if not _train(study, run, job, outcome, refused, on_run=on_run, on_event=on_event, queue=queue):
                others.append(job)
        if others:
            time.sleep(LOOK)
        left = others
    return outcome


def _train(
    study: Study,
    run: Run,
    job: Job,
    outcome: Outcome,
    refused: Counter[str],
    *,
    on_run: Callable[[Job, Run], None] | None,
    on_event: Callable[[Event], None] | None,
    queue: bool,
) -> bool:
    """Train a run to its end, or until it stops; False where another worker has it."""

    def begin() -> None:
        if on_run is not None:
            on_run(job, run)

    found = attempt(study, run, refused, begin=begin, on_event=on_event, queue=queue)
    if found.ended == "elsewhere":
        return False
    if found.ended == "failed":
        outcome.failed[job.name] = found.reason
        return True
    if found.ended == "done":
        outcome.trained.append(job.name)
    outcome.stopped = found.asked or found.ended != "done"
    return True


# ---------------------------------------------------------------- workers in processes of their own


def start_process(study: Study, *, retry: bool | Sequence[str] = False) -> int:
    """Work in a process of its own, which outlives this one; returns its id at once. What it prints goes to process.log.

    Raises:
        BadRun: the system starts no process, or the folder cannot be written to.
    """
    from core.training.launchers import start_command

    study.require_regular()
    try:
        study.withdraw_stop()
        arguments = [
            "study",
            "run",
            str(study.path),
            *(["--retry"] if retry else []),
            *(retry if not isinstance(retry, bool) else ()),
        ]
        process = start_command(arguments, study.path / PROCESS_LOG, {_STARTED: "1"})
        _mark(study, process.pid)
    except OSError as error:
        raise BadRun(f"{study.name}: no process could be started for it ({error.strerror or error}).") from error
    return process.pid


def active_workers(study: Study) -> int:
    """How many processes of this machine work on the study now."""
    from core.training.launchers import collect_children

    collect_children()  # one that was killed does not count as one at work
    study.require_regular()
    count = 0
    for path in (study.path / WORKERS).glob("*"):
        host, _, number = path.name.rpartition("-")
        if host != platform.node() or not number.isdigit() or irregular(path):
            continue  # of another machine, or nothing of ours
        if (began := _began(int(number))) and began == path.read_text(encoding="utf-8"):
            count += 1
        else:
            path.unlink(missing_ok=True)
    return count


def _began(process: int) -> str:
    """When a process began, as its mark says it: the next one of the same number has another time. "" for none."""
    try:
        return repr(psutil.Process(process).create_time())
    except psutil.Error:
        return ""


@contextmanager
def _present(study: Study) -> Iterator[None]:
    """Within the block this process is one of the study's workers."""
    path = _mark(study, os.getpid())
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _mark(study: Study, process: int) -> Path:
    path = study.path / WORKERS / f"{platform.node()}-{process}"
    path.parent.mkdir(exist_ok=True)
    write_text(path, _began(process))
    return path
