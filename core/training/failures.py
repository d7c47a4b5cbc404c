"""Explanations of failed trainings: what happened, and what to do."""

from __future__ import annotations

import errno

import torch

from core.errors import LabError, UnreadableImage

_KEPT = "Nothing before the last checkpoint is lost: resume the run afterwards."
_SMALLER = (
    "start a new run with a smaller training.batch_size (with training.advanced.accumulation_steps raised as much, the result "
    "stays nearly the same), a smaller preprocessing.size, or model.gradient_checkpointing."
)


def explain(error: BaseException) -> str:
    """What happened and what to do. The text of our own errors as it is; for others class, message and advice."""
    if isinstance(error, UnreadableImage):  # it could be read when the training began
        return f"{error} Put the file back as it was. {_KEPT}"
    if isinstance(error, LabError):
        return str(error)
    text = f"{type(error).__name__}: {error}".strip(": ")
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return f"The GPU ran out of memory. End what else uses it and resume, or {_SMALLER} ({_first_line(text)})"
    if isinstance(error, MemoryError) or "can't allocate memory" in text or "not enough memory" in text:
        return f"The computer ran out of memory. End what else uses it and resume, or {_SMALLER} ({_first_line(text)})"
    if isinstance(error, torch.distributed.DistError) or "Connection closed by peer" in text:
        return (
            "Another process of this training ended or cannot be reached; what it printed says why. "
            f"{_KEPT} ({_first_line(text)})"
        )
    if isinstance(error, OSError):
        return _explain_os(error, text)
    if "Expected more than 1 value per channel" in text:
        return (
            "The last batch of an epoch holds a single image, too few for this architecture's batch normalisation. "
            "Start a new run with a training.batch_size one larger or smaller."
        )
    return f"{text}. This was not foreseen; train.log in the run's folder has the details. {_KEPT}"


def diverged(precision: str) -> str:
    """The reason when the loss is no number any more."""
    cause = "" if precision == "fp32" else f" or in full precision (training.precision=fp32 instead of {precision})"
    return (
        "The loss became NaN or infinite: the weights have diverged. The best model so far and the last checkpoint are from "
        f"before. Start a new run with a lower training.learning_rate and fine_tune_learning_rate{cause}."
    )


def _explain_os(error: OSError, text: str) -> str:
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk is full{where}. Free some space. {_KEPT}"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"A file or folder cannot be written to{where}: {error.strerror}. Give this user the right to write. {_KEPT}"
    return f"{text}. A disk, or a network folder, did not do what was asked. {_KEPT}"


def _first_line(text: str) -> str:
    return text.splitlines()[0][:200]
