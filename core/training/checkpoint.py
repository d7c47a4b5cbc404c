"""last.pt: all that is needed to go on as if nothing had happened. Only plain numbers and tensors, so it loads safely.

It is written between two updates of the weights only. There are no random states in it: every random draw of a
training is a function of seed, epoch and step (see loop.py and core.data.batches).
"""

from __future__ import annotations

import reprlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import torch

from core.errors import BadRun
from core.files.folders import write_atomically
from core.files.untrusted import open_regular
from core.model.torch_file import read_torch_file

FORMAT = 2


@dataclass
class Progress:
    """Where a training stands; every field is a plain number or text.

    `epoch` is the epoch being trained (1-based), `step` the batches of it that are done, `update` the updates of the
    weights in its phase, `global_step` all batches so far. `loss_sum` and `loss_count` make the epoch's training loss.
    `best_epoch` 0 means: none yet. `stale` counts epochs of the phase without a new best. `sequence` is the last event
    that belongs to this state; `seconds` the time spent training, pauses left out, `epoch_seconds` that of the epoch, of
    which `wait_seconds` went by without a batch. `updates` are all updates so far, of which the averaged weights depend;
    `train_losses` and `val_losses` have an entry a finished epoch. `precision` is what was chosen at the start.
    """

    epoch: int = 1
    step: int = 0
    update: int = 0
    global_step: int = 0
    loss_sum: float = 0.0
    loss_count: int = 0
    best_epoch: int = 0
    best_value: float = 0.0
    best_loss: float = 0.0
    best_threshold: float = 0.0
    stale: int = 0
    sequence: int = 0
    seconds: float = 0.0
    epoch_seconds: float = 0.0
    validation_seconds: float = 0.0
    wait_seconds: float = 0.0
    wait_told: bool = False
    updates: int = 0
    precision: str = ""
    train_losses: list[float] = field(default_factory=list)
    val_losses: list[float] = field(default_factory=list)
    pretrained: bool = False
    finished: bool = False

    def compare(self, monitor: str, figures: dict[str, float], threshold: float) -> bool:
        """Whether this epoch is the best so far; of equal ones (AUC has few values on a small set) that of lower loss.

        Equal means to six decimals, as scores are kept: a loss that falls by less is no reason to go on.
        """
        value, loss = figures[monitor], figures["loss"]
        gain = round(self.best_value - value if monitor == "loss" else value - self.best_value, 6)
        improved = not self.best_epoch or gain > 0
        self.stale = 0 if improved else self.stale + 1
        if not improved and (gain < 0 or monitor == "loss" or loss >= self.best_loss):
            return False
        self.best_epoch, self.best_value, self.best_loss, self.best_threshold = self.epoch, value, loss, threshold
        return True


_DEFAULTS = asdict(Progress())


def save_checkpoint(path: Path, progress: Progress, states: dict[str, Any]) -> None:
    """Write `progress` and `states` ("model", "optimizer", "scaler", "average": state dicts), atomically.

    Raises:
        OSError: the disk is full or cannot be written; the last checkpoint stays as it was.
    """
    content = {"format": FORMAT, "progress": asdict(progress), **states}

    def write(stream: BinaryIO) -> None:
        try:
            torch.save(content, stream)
        except RuntimeError as error:
            # torch wraps a failed write in its own words ("unexpected pos ..."); the cause says what happened.
            if isinstance(error.__context__, OSError):
                raise error.__context__ from error
            raise

    write_atomically(path, write)


def load_checkpoint(path: Path) -> tuple[Progress, dict[str, Any]] | None:
    """(progress, states) as saved, on the processor; None when there is no checkpoint.

    Nothing in the file is run, and nothing larger than the file is made of it.

    Raises:
        BadRun: the file is damaged, no regular file, or of another version.
    """
    try:
        with open_regular(path) as stream:
            kind, progress, states = _parts(read_torch_file(stream))
            if kind != FORMAT:
                raise BadRun(
                    f"{path}: expected a checkpoint of format {FORMAT}; it was written by another version. Start a new run."
                )
            return _progress(progress), states
    except FileNotFoundError:
        return None
    except (OSError, ValueError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadRun(
            f"{path}: the checkpoint is damaged ({reason}). Start a new run; the best model so far can still be used, "
            "also as its starting weights."
        ) from error


def _parts(content: Any) -> tuple[Any, Any, dict[str, Any]]:
    """(format, progress, states) of what was saved."""
    wanted = ("format", "progress", *_STATES)
    if not isinstance(content, dict):
        raise ValueError(f"expected a dictionary of {', '.join(wanted)}, got a {type(content).__name__}")
    missing = [name for name in wanted if name not in content]
    if missing:
        raise ValueError(f"expected {', '.join(wanted)}, {', '.join(missing)} is missing")
    if not all(isinstance(content[name], dict) for name in _STATES):
        raise ValueError(f"expected dictionaries for {', '.join(_STATES)}")
    return content["format"], content["progress"], {name: content[name] for name in _STATES}


def _progress(saved: Any) -> Progress:
    """The saved numbers and texts, each of its own type, and plausible.

    Raises:
        ValueError: a field is missing, unknown or of another type.
    """
    if not isinstance(saved, dict) or set(saved) != _DEFAULTS.keys():
        raise ValueError("its progress does not have the fields of this version")
    for name, default in _DEFAULTS.items():
        if not _is_like(saved[name], default):
            raise ValueError(f"progress.{name}: expected {_WORDS[type(default)]}, got {reprlib.repr(saved[name])[:40]}")
    return Progress(**saved)


def _is_like(value: Any, default: Any) -> bool:
    if isinstance(default, bool | str):
        return type(value) is type(default)
    if isinstance(default, int):
        return type(value) is int and 0 <= value < 2**63
    if isinstance(default, float):
        return type(value) is float or (type(value) is int and abs(value) < 2**63)
    return isinstance(value, list) and all(_is_like(each, 0.0) for each in value)


_STATES = ("model", "optimizer", "scaler", "average")
_WORDS = {bool: "true or false", str: "a text", int: "a whole number from 0", float: "a number", list: "a list of numbers"}
