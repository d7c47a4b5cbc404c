"""read_ahead: work done in advance by threads, its results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def read_ahead(
    function: Callable[[Item], Result], items: Iterable[Item], *, workers: int, ahead: int, name: str
) -> Generator[Result, None, None]:
    """`function` of each item, in their order, at most `ahead` of them waiting or done at a time; in threads called `name`.

    Decoding and OpenCV release the GIL, so threads are enough. Closing the iterator ends the work. What `function` raises is
    raised here, in its place.
    """
    remaining = iter(items)
    pool = ThreadPoolExecutor(workers, thread_name_prefix=name)
    try:
        waiting = deque(pool.submit(function, item) for item in islice(remaining, ahead))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(function, item) for item in islice(remaining, 1))
            yield result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
