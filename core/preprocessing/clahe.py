"""Contrast-limited adaptive histogram equalisation whose sliders mean the same at every resolution and bit depth."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

# OpenCV gives uint16 one bin a level, and clips at max(1, clip × tile area / bins): with 65,536 bins the clip limit does
# nothing between 1 and 4 on usual tiles. 2^10 bins keep it a smooth control, and previews equal to full resolution.
_BIT_SHIFT = 6
_BINS = 2 ** (16 - _BIT_SHIFT)
_QUANTISED = 16  # samples a level on average: fewer may differ by chance, and say nothing about the file's bits


def crowding(levels: NDArray[np.float32]) -> float:
    """How many bins share one grey level, for sorted grey levels that a window spreads over the whole range; at least 1.

    The levels of an 8-bit file fill a part of the bins, each the fuller, and would be clipped as much harder: without a
    clip limit raised by this factor, 2 does there what 0.5 does to 12 bits.
    """
    distinct = 1 + int(np.count_nonzero(np.diff(levels)))
    return max(1.0, _BINS / distinct) if levels.size >= _QUANTISED * distinct else 1.0


def apply_clahe(pixels: NDArray[np.uint16], clip_limit: float, tile_grid: int) -> NDArray[np.uint16]:
    """CLAHE of full-range uint16 (H, W) -> uint16 (H, W). `tile_grid` tiles along each side, at most one a pixel."""
    grid = max(1, min(tile_grid, *pixels.shape))
    # Made each time: a cv2.CLAHE object holds buffers and is not safe across threads; making one costs microseconds.
    equaliser = cv2.createCLAHE(clipLimit=clip_limit, tileGridSize=(grid, grid))
    equaliser.setBitShift(_BIT_SHIFT)
    return equaliser.apply(pixels)
