"""The limit to one very large image at a time in a process, from its decoding to the small picture made of it.

An image of 150 megapixels needs about a gigabyte meanwhile (docs/preprocessing.md), and a server decodes for several people
and workers at once. Within `one_large_at_a_time`, `wait_if_large` is called with the size in an image's header, before its
pixels are decoded; above LARGE it waits until no other thread has one, and holds the lock until the block ends. Small
images never wait.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

LARGE = 30_000_000  # pixels, in colour samples; or bytes of a file. Digital mammograms have up to 28 million pixels
_lock = threading.Lock()


class _ThreadState(threading.local):
    """Of each thread: how many blocks it is in, and whether it holds the lock."""

    depth = 0
    holds = False


_state = _ThreadState()


@contextmanager
def one_large_at_a_time() -> Iterator[None]:
    """A block in which this thread may decode images; blocks inside it belong to it. The lock is released with the outermost.

    Nothing in it may wait for another thread that decodes, and no generator may yield from inside it: the one would wait
    for ever, the other keeps everybody waiting.
    """
    _state.depth += 1
    try:
        yield
    finally:
        _state.depth -= 1
        if _state.depth == 0 and _state.holds:
            _state.holds = False
            _lock.release()


def wait_if_large(size: int) -> None:
    """Wait for the lock if `size`, in pixels or bytes, is that of a large image; return at once where this thread holds it.

    Outside of any block it does nothing.
    """
    if size > LARGE and _state.depth and not _state.holds:
        _lock.acquire()
        _state.holds = True
