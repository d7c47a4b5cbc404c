"""Fewer points with the same look: what a curve of any length sends to the browser.

Stretches are powers of two long, so that while a curve grows its older points stay where they are instead of dancing.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Indices = NDArray[np.int64]


def extremes(values: ArrayLike, limit: int) -> Indices:
    """At most `limit` indices of `values` (n,), ascending: the ends, and the lowest and highest of each stretch.

    Peaks survive, however narrow. All indices when n <= limit; `limit` is at least 4. NaN is not allowed.
    """
    array = np.asarray(values, dtype=np.float64)
    count = array.size
    if count <= limit:
        return np.arange(count, dtype=np.int64)
    width = _power_of_two(2 * count / (limit - 4)) if limit > 4 else count
    whole = count // width * width
    stretches = array[:whole].reshape(-1, width)
    starts = np.arange(0, whole, width)
    chosen = [starts + stretches.argmin(axis=1), starts + stretches.argmax(axis=1), np.array([0, count - 1])]
    if whole < count:
        rest = array[whole:]
        chosen.append(np.array([whole + rest.argmin(), whole + rest.argmax()]))
    return np.unique(np.concatenate(chosen)).astype(np.int64)


def evenly(count: int, limit: int) -> Indices:
    """At most `limit` indices of `count` points, evenly spread, the first and the last among them; `limit` at least 2."""
    if count <= limit:
        return np.arange(count, dtype=np.int64)
    stride = _power_of_two(count / (limit - 1))
    return np.unique(np.append(np.arange(0, count, stride), count - 1)).astype(np.int64)


def _power_of_two(least: float) -> int:
    return 1 << max(0, math.ceil(math.log2(least)))
