"""last.pt, the checkpoint: all that is needed to resume as if nothing had happened. Only plain numbers and tensors, so it
loads safely.

It is written between two updates of the weights only. There are no random states in it: every random draw of a training is
a function of seed, epoch and step (core.training.rng, core.data.batches).
"""

from __future__ import annotations

import reprlib
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import torch
from pydantic import Field, StrictBool, StrictFloat, StrictStr, TypeAdapter, ValidationError

from core.errors import BadRun
from core.files.folders import write_atomically
from core.files.untrusted import open_regular
from core.model.torch_file import read_torch_file
from core.training.timing import LoopTiming

FORMAT = 2

Count = Annotated[int, Field(strict=True, ge=0, lt=2**63)]
Losses = Annotated[list[StrictFloat], Field(strict=True)]


@dataclass
class TrainState:
    """How far a training has come; every field is a plain number or text. It is "progress" in the file.

    `epoch` is the epoch being trained (1-based), `step` the batches of it that are done, `update` the updates of the
    weights in its phase, `global_step` all batches so far. `loss_sum` and `loss_count` make the epoch's training loss.
    `best_epoch` 0 means: none yet. `stale` counts epochs of the phase without a new best. `sequence` is the last event
    that belongs to this state; `seconds` the time spent training, pauses left out, `epoch_seconds` that of the epoch, of
    which `wait_seconds` went by without a batch. `updates` are all updates so far, of which the averaged weights depend;
    `train_losses` and `val_losses` have an entry a finished epoch. `precision` is what was chosen at the start. `patch_step`
    are the steps of the patch phase that are done.
    """

    epoch: Count = 1
    step: Count = 0
    update: Count = 0
    global_step: Count = 0
    loss_sum: StrictFloat = 0.0
    loss_count: Count = 0
    best_epoch: Count = 0
    best_value: StrictFloat = 0.0
    best_loss: StrictFloat = 0.0
    best_threshold: StrictFloat = 0.0
    stale: Count = 0
    sequence: Count = 0
    seconds: StrictFloat = 0.0
    epoch_seconds: StrictFloat = 0.0
    validation_seconds: StrictFloat = 0.0
    wait_seconds: StrictFloat = 0.0
    wait_warned: StrictBool = False
    updates: Count = 0
    precision: StrictStr = ""
    train_losses: Losses = field(default_factory=list)
    val_losses: Losses = field(default_factory=list)
    pretrained: StrictBool = False
    patch_step: Count = 0
    finished: StrictBool = False

    def add_training_time(self, seconds: float) -> None:
        """Count time that went into optimizer steps."""
        self.seconds += seconds
        self.epoch_seconds += seconds

    def add_validation_time(self, seconds: float) -> None:
        """Count the time of the epoch's validation."""
        self.seconds += seconds
        self.validation_seconds = seconds


_STATE = TypeAdapter(TrainState)
_FIELDS = set(asdict(TrainState()))
_FORMER = "wait_told"  # what `wait_warned` was called by earlier versions
_LATER = {"patch_step"}  # what checkpoints of earlier versions do not have


class Checkpointer:
    """Writes last.pt, and knows when the next one is due."""

    def __init__(self, path: Path, timing: LoopTiming, *, writes: bool) -> None:
        """`writes`: whether this process writes the run folder."""
        self.path = path
        self.timing = timing
        self.writes = writes
        self.unsaved_epochs = False
        self._saved = time.monotonic()

    def due(self) -> bool:
        """Whether the last one is so old that a kill would cost too much work."""
        return time.monotonic() - self._saved >= self.timing.between_checkpoints

    def due_after_light_epoch(self) -> bool:
        """The same after an epoch that took less time than writing a checkpoint."""
        seconds = min(self.timing.between_checkpoints, self.timing.between_light_checkpoints)
        return time.monotonic() - self._saved >= seconds

    def save(self, state: TrainState, states: dict[str, Any]) -> None:
        """Write it now; see `save_checkpoint`."""
        if self.writes:
            save_checkpoint(self.path, state, states)
        self._saved = time.monotonic()
        self.unsaved_epochs = False


def save_checkpoint(path: Path, state: TrainState, states: dict[str, Any]) -> None:
    """Write `state` and `states` (state dicts: "model", "optimizer", "scaler", "average"; "patches" too in a patch phase),
    atomically.

    Raises:
        OSError: the disk is full or cannot be written; the last checkpoint stays as it was.
    """
    content = {"format": FORMAT, "progress": asdict(state), **states}

    def write(stream: BinaryIO) -> None:
        try:
            torch.save(content, stream)
        except RuntimeError as error:
            # torch hides a failed write behind its own error ("unexpected pos ..."); the cause is the real one.
            if isinstance(error.__context__, OSError):
                raise error.__context__ from error
            raise

    write_atomically(path, write)


def load_checkpoint(path: Path) -> tuple[TrainState, dict[str, Any]] | None:
    """(state, states) as saved, on the processor; None when there is no checkpoint.

    Nothing in the file is run, and nothing larger than the file is made of it.

    Raises:
        BadRun: the file is damaged, no regular file, or of another version.
    """
    try:
        with open_regular(path) as stream:
            version, state, states = _parts(read_torch_file(stream))
            if version != FORMAT:
                raise BadRun(
                    f"{path}: expected a checkpoint of format {FORMAT}; it was written by another version. Start a new run."
                )
            return _train_state(state), states
    except FileNotFoundError:
        return None
    except (OSError, ValueError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadRun(
            f"{path}: the checkpoint is damaged ({reason}). Start a new run; the best model so far can still be used, "
            "also as its starting weights."
        ) from error


def _parts(content: Any) -> tuple[Any, Any, dict[str, Any]]:
    """(format, state, states) of what was saved."""
    wanted = ("format", "progress", *_STATES)
    if not isinstance(content, dict):
        raise ValueError(f"expected a dictionary of {', '.join(wanted)}, got a {type(content).__name__}")
    missing = [name for name in wanted if name not in content]
    if missing:
        raise ValueError(f"expected {', '.join(wanted)}, {', '.join(missing)} is missing")
    if not all(isinstance(content[name], dict) for name in _STATES):
        raise ValueError(f"expected dictionaries for {', '.join(_STATES)}")
    states = {name: content[name] for name in _STATES}
    patches = content.get(PATCH_STATE, {})
    if not isinstance(patches, dict):
        raise ValueError(f"expected a dictionary for {PATCH_STATE}, got a {type(patches).__name__}")
    return content["format"], content["progress"], states | ({PATCH_STATE: patches} if patches else {})


def _train_state(saved: Any) -> TrainState:
    """The saved numbers and texts, each of its own type, and plausible.

    Raises:
        ValueError: a field is missing, unknown or of another type.
    """
    if isinstance(saved, dict) and _FORMER in saved:
        saved = {"wait_warned" if name == _FORMER else name: value for name, value in saved.items()}
    if not isinstance(saved, dict) or not _FIELDS - _LATER <= set(saved) <= _FIELDS:
        raise ValueError("its progress does not have the fields of this version")
    try:
        return _STATE.validate_python(saved)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name, got = ".".join(map(str, first["loc"])), reprlib.repr(first["input"])[:40]
        raise ValueError(f"progress.{name}: {first['msg']}, got {got}") from error


_STATES = ("model", "optimizer", "scaler", "average")
PATCH_STATE = "patches"  # in the middle of a patch phase: head, optimizer and scaler of the patches
