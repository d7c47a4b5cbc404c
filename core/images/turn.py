"""One very large image at a time: what it takes from its decoding to the small picture that is made of it.

An image of 150 megapixels needs about a gigabyte meanwhile (docs/preprocessing.md), and a server decodes for several people
and workers at once. Within `one_large_at_a_time`, `take` is called with an image's size as its header says it, before its
pixels are decoded; above LARGE it waits until no other thread has one, and keeps the turn until the block ends. Small
images never wait.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

LARGE = 30_000_000  # pixels, in colour samples; or bytes of a file. Digital mammograms have up to 28 million pixels
_turn = threading.Lock()


class _Own(threading.local):
    """Of each thread: how many blocks it is in, and whether it has the turn."""

    depth = 0
    holds = False


_own = _Own()


@contextmanager
def one_large_at_a_time() -> Iterator[None]:
    """A block in which this thread may decode images; blocks inside it belong to it. The turn ends with the outermost.

    Nothing in it may wait for another thread that decodes, and no generator may yield from inside it: the one would wait
    for ever, the other keeps everybody waiting.
    """
    _own.depth += 1
    try:
        yield
    finally:
        _own.depth -= 1
        if _own.depth == 0 and _own.holds:
            _own.holds = False
            _turn.release()


def take(size: int) -> None:
    """Wait for the turn if `size`, in pixels or bytes, is that of a large image; at once where this thread has it.

    Outside of any block it does nothing.
    """
    if size > LARGE and _own.depth and not _own.holds:
        _turn.acquire()
        _own.holds = True
