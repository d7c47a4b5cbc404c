"""The events of a training: their types, and how each becomes a line of events.jsonl and is read back.

Every event has `seq` (1, 2, 3, ... without gaps), `time` (seconds since 1970) and `type`; the other fields depend on the type.
"""

from __future__ import annotations

import json
from typing import Annotated, Literal, NotRequired, TypeAlias

from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic takes that of `typing` from Python 3.12 on only

# ---------------------------------------------------------------- types: without these bounds, later code could not compute

Count = Annotated[int, Field(strict=True, ge=0, lt=10**15)]
Number = Annotated[float, Field(strict=True, gt=-1e15, lt=1e15, allow_inf_nan=False)]
Maybe: TypeAlias = Number | None  # JSON has no NaN: a number that is undefined is null
Metrics = Annotated[dict[str, Maybe], Field(max_length=100)]


class _Line(TypedDict, total=False):
    """What the writer adds to every event."""

    seq: Annotated[int, Field(strict=True, ge=1, lt=10**15)]
    time: Number


class _OnMachine(_Line, total=False):
    """What a training computes with."""

    device: str
    precision: str
    threads: Count
    processes: Count


class StartEvent(_OnMachine):
    """The training begins. `images` by split; `measured`: images per second by precision, where that was timed; `weights`: what
    it starts from, as StartingWeights in core.model.card."""

    type: Literal["start"]
    run: NotRequired[str]
    parameters: NotRequired[Count]
    images: NotRequired[Annotated[dict[str, Count], Field(max_length=100)]]
    measured: NotRequired[Metrics]
    weights: NotRequired[Annotated[dict[str, str | Count | list[str]], Field(max_length=100)]]


class ResumeEvent(_OnMachine):
    """The training goes on from its last checkpoint, in `epoch` after `step` batches."""

    type: Literal["resume"]
    epoch: NotRequired[Count]
    step: NotRequired[Count]


class PrepareEvent(_Line):
    """Progress before the first step or after the last. `what`: "hashes", "copies", "lesions", "patches" (steps of the
    patch phase), "features", "gate"; images without one."""

    type: Literal["prepare"]
    done: Count
    total: Count
    what: NotRequired[str]


class ExcludedEvent(_Line):
    """An image that is left out because it cannot be read."""

    type: Literal["excluded"]
    path: str
    reason: str


class WarningEvent(_Line):
    """`about` names the subject: a later warning about the same replaces this one."""

    type: Literal["warning"]
    message: str
    about: NotRequired[str]


class PatchEpochEvent(_Line):
    """The end of an epoch of the patch phase (core.training.patches): mean `loss` of its training patches, and `accuracy`, the
    share of them that were classified right as lesion or tissue."""

    type: Literal["patch_epoch"]
    epoch: Count
    epochs: Count
    patches: NotRequired[Count]
    loss: NotRequired[Maybe]
    accuracy: NotRequired[Maybe]
    seconds: NotRequired[Maybe]


class PhaseEvent(_Line):
    """A phase of the training (core.training.phases) begins; epochs are 1-based, both included."""

    type: Literal["phase"]
    phase: NotRequired[str]
    first_epoch: Count
    last_epoch: Count
    learning_rate: NotRequired[Maybe]


class StepEvent(_Line):
    """A training step, written several times a second at most. `memory` and `memory_total` in bytes."""

    type: Literal["step"]
    epoch: Count
    step: Count
    steps: Count
    global_step: NotRequired[Count]
    loss: NotRequired[Maybe]
    epoch_loss: NotRequired[Maybe]
    learning_rate: NotRequired[Maybe]
    images_per_second: NotRequired[Maybe]
    eta_seconds: NotRequired[Maybe]
    memory: NotRequired[Count]
    memory_total: NotRequired[Count]


class EpochEvent(_Line):
    """The end of an epoch, validated: `val` are its metrics, `best` says whether its model is the best so far."""

    type: Literal["epoch"]
    epoch: Count
    epochs: NotRequired[Count]
    phase: NotRequired[str]
    train_loss: NotRequired[Maybe]
    val_loss: NotRequired[Maybe]
    val: NotRequired[Metrics | None]
    best: NotRequired[bool]
    best_epoch: NotRequired[Count]
    seconds: NotRequired[Maybe]
    images_per_second: NotRequired[Maybe]
    eta_seconds: NotRequired[Maybe]


class DoneEvent(_Line):
    """The training has ended in order: `state` is "done" or "stopped"."""

    type: Literal["done"]
    state: NotRequired[str]
    reason: NotRequired[str]
    best_epoch: NotRequired[Count | None]
    threshold: NotRequired[Maybe]
    seconds: NotRequired[Maybe]


class ErrorEvent(_Line):
    """The training has failed."""

    type: Literal["error"]
    message: str


class WaitEvent(_Line):
    """The run waits for its device behind the runs `ahead`. For the launcher's listener only: it is not in the file."""

    type: Literal["wait"]
    device: str
    ahead: list[str]


Event: TypeAlias = (
    StartEvent
    | ResumeEvent
    | PrepareEvent
    | ExcludedEvent
    | WarningEvent
    | PatchEpochEvent
    | PhaseEvent
    | StepEvent
    | EpochEvent
    | DoneEvent
    | ErrorEvent
    | WaitEvent
)


class LastEvents(TypedDict, total=False):
    """The last event of each type; see `remember`."""

    start: StartEvent
    resume: ResumeEvent
    prepare: PrepareEvent
    excluded: ExcludedEvent
    warning: WarningEvent
    patch_epoch: PatchEpochEvent
    phase: PhaseEvent
    step: StepEvent
    epoch: EpochEvent
    done: DoneEvent
    error: ErrorEvent
    wait: WaitEvent


def remember(last: LastEvents, event: Event) -> None:
    """Put `event` in place of the last one of its type."""
    last[event["type"]] = event


class _Numbered(TypedDict):
    """An event of any type, also one of a later version."""

    seq: Annotated[int, Field(strict=True, ge=1, lt=10**15)]


_EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="type")])
_NUMBERED = TypeAdapter(_Numbered)


def encode(event: Event) -> bytes:
    return json.dumps(event, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8") + b"\n"


def decode(line: bytes) -> Event | None:
    """The event on a line; None for a line that is none."""
    try:
        event = _EVENT.validate_json(line)
    except ValidationError:
        return None
    return event if "seq" in event else None


def sequence_of(line: bytes) -> int:
    """`seq` of the event on a whole line, whatever its type; 0 for a line that is none."""
    try:
        return _NUMBERED.validate_json(line)["seq"] if line.endswith(b"\n") else 0
    except ValidationError:
        return 0
