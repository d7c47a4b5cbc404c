"""The number of grey levels that an image really uses: a mammogram uses hundreds, a mask two, a diagram a handful."""

from __future__ import annotations

import math

import numpy as np

from core.images.mammogram import Pixels

_SAMPLES = 65_536
_SHARE = 0.99  # of the pixels that are not background
_END = 0.06  # of the grey range: this near to black or white is black or white, for JPEG does not keep a mask's two values
_ENDS = 0.97  # of all pixels: what lies between is the soft edges that JPEG or scaling gives a mask
_SMALLEST = 0.002  # of all pixels: less white than this is a few hot pixels, in an image that is nearly black


def count_grey_levels(pixels: Pixels) -> int:
    """The fewest grey levels, background included, that make up 99 % of the picture beside its most frequent level.

    Counted by exact value on an evenly spaced sample, so that one hot pixel, or a window that shows an image nearly black,
    does not turn a mammogram into a mask. 2 for black and white with soft edges; 1 for a uniform image; at most 256.
    """
    step = max(1, math.isqrt(pixels.size // _SAMPLES))
    sample = pixels[::step, ::step]
    black, white = float((sample <= _END).mean()), float((sample >= 1 - _END).mean())
    if black + white >= _ENDS and min(black, white) >= _SMALLEST:
        return 2
    rest = np.sort(np.unique(sample, return_counts=True)[1])[::-1][1:]
    if not rest.size:
        return 1
    needed = int(np.searchsorted(np.cumsum(rest), _SHARE * rest.sum())) + 1
    return min(256, 1 + needed)
