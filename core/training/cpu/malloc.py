"""Keeping freed memory in the process (glibc's mallopt) during training on the processor.

glibc gives every large block back to the system when it is freed, and the system clears each page before it gives it out
again: for tensors of some megabytes, made and freed a few hundred times a step, that is a fifth of the processor's time.
"""

from __future__ import annotations

import ctypes
import platform
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

# <malloc.h>
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_MIB = 1 << 20
# Before glibc 2.35 a threshold above 32 MiB is refused: then the first one stays.
_KEEPING = (
    (_TRIM_THRESHOLD, 2047 * _MIB),
    (_TOP_PAD, 64 * _MIB),
    (_MMAP_THRESHOLD, 32 * _MIB),
    (_MMAP_THRESHOLD, 1024 * _MIB),
)
# Where glibc's own adaptation ends in a process that handles large images; its adaptation cannot be switched on again.
_ORDINARY = ((_TRIM_THRESHOLD, 64 * _MIB), (_TOP_PAD, _MIB // 8), (_MMAP_THRESHOLD, 32 * _MIB))

_guard = threading.Lock()
_holders = 0


@contextmanager
def retain_freed_memory(device: torch.device) -> Iterator[bool]:
    """Within the block, freed memory stays with the process; after the last such block it goes back to the system.

    Gives whether it does so: only where tensors are on a processor, and with glibc (Linux).
    """
    libc = _glibc() if device.type == "cpu" else None
    if libc is None:
        yield False
        return
    _hold(libc, 1)
    try:
        yield True
    finally:
        _hold(libc, -1)


def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return None
    return ctypes.CDLL(None)


def _hold(libc: ctypes.CDLL, change: int) -> None:
    """The first holder sets, the last one resets: trainings of one process share its memory."""
    global _holders
    with _guard:
        before, _holders = _holders, _holders + change
        if before == 0 or _holders == 0:
            for parameter, size in _KEEPING if _holders else _ORDINARY:
                libc.mallopt(parameter, size)
        if _holders == 0:
            libc.malloc_trim(0)
