"""How many grey levels a picture really uses: a mammogram uses hundreds, a mask two, a diagram a handful."""

from __future__ import annotations

import math

import numpy as np

from core.images.mammogram import Pixels

_SAMPLES = 65_536
_SHARE = 0.95  # of the pixels that are not background; the rest may be the soft edges that JPEG or scaling gives a mask


def used_levels(pixels: Pixels) -> int:
    """The fewest grey levels, background included, that make up 95 % of the picture beside its most frequent level.

    Counted by exact value on an evenly spaced sample, so that one hot pixel, or a window that shows an image nearly black,
    does not turn a mammogram into a mask. 1 for a uniform image; at most 256.
    """
    step = max(1, math.isqrt(pixels.size // _SAMPLES))
    counts = np.sort(np.unique(pixels[::step, ::step], return_counts=True)[1])[::-1]
    rest = counts[1:]
    if not rest.size:
        return 1
    needed = int(np.searchsorted(np.cumsum(rest), _SHARE * rest.sum())) + 1
    return min(256, 1 + needed)
