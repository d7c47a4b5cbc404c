"""Tensors of a file: what they are is known, their values are given when they are asked for (safetensors: read then).

So names, shapes and types can be compared with a network before anything large is in memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import psutil
import torch
from torch import Tensor


class DamagedFile(ValueError):
    """A file of tensors that cannot be read; the message says what was found, without the file's name."""


@dataclass(frozen=True)
class StoredTensor:
    """A dense tensor in a file: its shape and dtype are the file's word, already checked against the file's size."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    load: Callable[[], Tensor]  # raises DamagedFile, OSError

    @property
    def nbytes(self) -> int:
        """Bytes that the loaded tensor has."""
        return math.prod(self.shape) * self.dtype.itemsize


def require_memory(size: int, what: str) -> None:
    """Raises MemoryError where `size` bytes, of `what`, are more than this machine has free: before asking for them.

    The kernel grants memory that there is not, and ends the process, or another one, when it is used.
    """
    free = psutil.virtual_memory().available
    if size > free:
        raise MemoryError(f"{what} need {size / 2**30:,.1f} GiB of memory, and {free / 2**30:,.1f} GiB are free")
