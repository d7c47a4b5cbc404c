"""How long a call takes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable


def best_of(call: Callable[[], object], repeats: int) -> float:
    """Seconds of the quickest of `repeats` calls: the one that other work on the machine disturbed least."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def processor_seconds() -> float:
    """Of this process, its threads and its ended children; on Windows, which does not add these up, without the children."""
    used = os.times()
    return time.process_time() + used.children_user + used.children_system
