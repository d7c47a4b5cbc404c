"""Analysis of an image before anything is changed: polarity, breast, chest wall, grey levels.

It takes a downscaled copy, does not depend on the sliders (only on `recipe.polarity`), and can be stored by a caller
that prepares the same image again and again: `prepare(mammogram, recipe, analysis=analysis)`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from core.config import Recipe
from core.images.mammogram import Mammogram, Pixels
from core.preprocessing.breast import BreastMask, find_breast
from core.preprocessing.orientation import ChestWall, find_chest_wall
from core.preprocessing.polarity import Polarity, detect_polarity
from core.preprocessing.resize import shrink

_SIDE = 512  # px, longer side of the copy
_SAMPLES = 200_000  # grey levels sampled for percentiles


@dataclass(frozen=True)
class Analysis:
    """The findings.

    `small` float32 (h, w) is the downscaled copy, air dark; `breast.mask` is at its scale; `box` (x0, y0, x1, y1) is in
    original pixels, no margin; `levels` are sorted grey levels of the breast at full resolution, after polarity;
    `milliseconds` by finding.
    """

    polarity_mode: Literal["auto", "keep", "invert"]
    shape: tuple[int, int]
    polarity: Polarity
    inverted: bool
    small: Pixels
    breast: BreastMask
    box: tuple[int, int, int, int]
    chest_wall: ChestWall
    levels: NDArray[np.float32]
    milliseconds: dict[str, float]

    def level_at(self, percentile: float) -> float:
        """Grey level in [0, 1] below which this percentage of the breast lies."""
        position = percentile / 100 * (self.levels.size - 1)
        below = int(position)
        above = min(below + 1, self.levels.size - 1)
        low, high = float(self.levels[below]), float(self.levels[above])
        return low + (high - low) * (position - below)


def analyse(mammogram: Mammogram, recipe: Recipe) -> Analysis:
    """Find polarity, breast and chest wall. Never fails; what is unsure is flagged in the findings."""
    laps = {"": time.perf_counter()}

    def lap(name: str) -> None:
        laps[name] = time.perf_counter()

    pixels = mammogram.pixels
    small = _shrink(pixels)
    polarity = detect_polarity(small)
    inverted = {"auto": polarity.inverted, "keep": False, "invert": True}[recipe.polarity]
    if inverted:
        small = np.float32(1) - small
    lap("polarity")
    breast = find_breast(small)
    box = _box(breast.mask, pixels.shape)
    lap("breast")
    chest_wall = find_chest_wall(breast.mask) if breast.found else ChestWall("left", 0.0)
    lap("orientation")
    levels = _levels(pixels, breast.tissue, inverted)
    lap("window")
    ends = list(laps.values())
    milliseconds = {name: (end - start) * 1000 for name, start, end in zip([*laps][1:], ends, ends[1:], strict=False)}
    shape = (pixels.shape[0], pixels.shape[1])
    return Analysis(recipe.polarity, shape, polarity, inverted, small, breast, box, chest_wall, levels, milliseconds)


def _shrink(pixels: Pixels) -> Pixels:
    height, width = pixels.shape
    scale = _SIDE / max(height, width)
    if scale >= 1:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return shrink(pixels, size)


def _box(mask: NDArray[np.uint8], shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Bounding box of the mask in original pixels, never cutting a pixel that the mask touches."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    across, down = shape[1] / mask.shape[1], shape[0] / mask.shape[0]
    left, right = int(np.floor(columns[0] * across)), int(np.ceil((columns[-1] + 1) * across))
    top, bottom = int(np.floor(rows[0] * down)), int(np.ceil((rows[-1] + 1) * down))
    return (left, top, min(right, shape[1]), min(bottom, shape[0]))


def _levels(pixels: Pixels, tissue: NDArray[np.uint8], inverted: bool) -> NDArray[np.float32]:
    """Sorted grey levels of the breast, from every k-th row and column of the original.

    Without the rim of air around it, which would take the lowest percents for itself.
    """
    step = max(1, int(np.sqrt(pixels.size / _SAMPLES)))
    sample = pixels[step // 2 :: step, step // 2 :: step]
    inside = cv2.resize(tissue, sample.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0
    levels = sample[inside] if inside.any() else sample.ravel()
    levels = np.float32(1) - levels if inverted else levels
    return np.sort(levels)
