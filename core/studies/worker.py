"""The worker of a study: trains what is left to train, one run after another; several may work on one study at once."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from core.errors import BadRun, LabError
from core.runs.events import Event
from core.runs.run import Run
from core.studies.design import Job
from core.studies.study import Study

_LOOK = 2.0  # seconds between two looks at what others train
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
    study.withdraw_stop()
    manifest = study.manifest()
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
