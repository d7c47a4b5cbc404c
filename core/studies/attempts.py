"""One attempt to train a run of a study, by one of several workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from core.errors import BadRun, LabError
from core.runs.events import Event
from core.runs.run import Run
from core.studies.study import Study

LOOK = 2.0  # seconds between two looks at what others train
TRIES = 5  # looks at a run that nobody trains and that cannot be taken


@dataclass(frozen=True)
class Attempt:
    """How it ended; "elsewhere": another worker has the run. `asked`: a stop was requested meanwhile."""

    ended: Literal["done", "stopped", "failed", "elsewhere"]
    reason: str = ""
    asked: bool = False


def free(run: Run, refused: Counter[str]) -> Attempt | None:
    """None where the run can be taken; `refused` counts how often it could not, although nobody seems to train it."""
    try:
        run.acquire().release()
    except BadRun as error:
        refused[run.name] += 1
        status = run.status()
        if not (run.problem or refused[run.name] > TRIES) or status.live or status.waiting:
            return Attempt("elsewhere")
        return Attempt("failed", str(error))
    return None


def attempt(
    study: Study,
    run: Run,
    refused: Counter[str],
    *,
    begin: Callable[[], None],
    on_event: Callable[[Event], None] | None,
    queue: bool,
) -> Attempt:
    """Train a run to its end, or until it stops. `begin` is called once it is this worker's, and no other's."""
    from core.training.launchers import run_to_end

    if (found := free(run, refused)) is not None:
        return found
    asked = False

    def follow(event: Event) -> None:
        # A stop of the study may come before the run is at work, and one of the run, or Ctrl-C, after its last step.
        nonlocal asked
        if study.stopping and not run.requested("stop"):
            run.request("stop")
        asked = asked or run.requested("stop")
        if on_event is not None:
            on_event(event)

    try:
        status = run_to_end(run, resume=run.begun, on_event=follow, queue=queue, on_acquired=begin)
    except BadRun as error:
        refused[run.name] += 1  # another worker may have been quicker, and not yet be seen at work
        if refused[run.name] <= TRIES or run.status().live or run.status().waiting:
            return Attempt("elsewhere")
        return Attempt("failed", str(error), asked)
    except LabError as error:
        return Attempt("failed", str(error), asked)
    return Attempt("done" if status.state == "done" else "stopped", status.reason, asked)
