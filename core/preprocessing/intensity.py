"""The second half of the chain, how bright things are: window and gamma -> CLAHE, at the crop's full resolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from core.config import Recipe
from core.images.mammogram import Pixels, Step
from core.preprocessing.clahe import apply_clahe, crowding
from core.preprocessing.prepared import Matrix
from core.preprocessing.spatial import FULL, Arranged, blacken
from core.preprocessing.step_timer import Recorder, Stage


@dataclass(frozen=True)
class Enhanced:
    """The whole crop as the model will see it, but at full resolution: what a person may look at closely.

    `pixels` uint16 (h, w), contiguous, full range; `outside`, `matrix` and `chest_wall` as in Arranged; `steps` from
    the first one on.
    """

    pixels: NDArray[np.uint16]
    outside: NDArray[np.uint8] | None
    matrix: Matrix
    chest_wall: Literal["left", "right"]
    breast_found: bool
    steps: tuple[Step, ...]


def enhance(arranged: Arranged, recipe: Recipe) -> Enhanced:
    """Apply the recipe's window, gamma and CLAHE. Deterministic and thread-safe; `arranged` stays as it is."""
    return run(arranged, recipe, None)


def run(arranged: Arranged, recipe: Recipe, trace: list[Stage] | None) -> Enhanced:
    """`enhance`, keeping a picture after each step when there is a `trace`."""
    pixels = arranged.levels

    low, high = (arranged.analysis.level_at(percentile) for percentile in (recipe.window_low, recipe.window_high))

    def picture() -> Pixels:
        return pixels.astype(np.float32) / np.float32(FULL)

    def window() -> dict[str, Any]:
        nonlocal pixels
        pixels = cv2.LUT(pixels, _curve(low, high, recipe.gamma))
        return {"low": round(low, 5), "high": round(high, 5), "percentiles": (recipe.window_low, recipe.window_high)} | (
            {"gamma": recipe.gamma} if recipe.gamma != 1 else {}
        )

    def clahe() -> dict[str, Any]:
        nonlocal pixels
        levels = arranged.analysis.levels
        first, last = np.searchsorted(levels, (low, high))
        clip = recipe.clip_limit * crowding(levels[first : last + 1])
        pixels = blacken(apply_clahe(pixels, clip, recipe.tile_grid), arranged.outside)
        return {"clip_limit": recipe.clip_limit, "tile_grid": recipe.tile_grid, "applied_clip_limit": round(clip, 2)}

    recorder = Recorder(picture, trace)
    recorder.do("window", window)
    if recipe.clahe:
        recorder.do("clahe", clahe)
    steps = (*arranged.steps, *recorder.steps)
    return Enhanced(pixels, arranged.outside, arranged.matrix, arranged.chest_wall, arranged.analysis.breast.found, steps)


def _curve(low: float, high: float, gamma: float) -> NDArray[np.uint16]:
    """Table of 65,536 levels: `low` becomes black, `high` white, with an exponent between. Black stays black."""
    ramp = np.clip((np.arange(FULL + 1) / FULL - low) / max(high - low, 1e-6), 0, 1)
    curve = np.rint(ramp**gamma * FULL).astype(np.uint16)
    curve[0] = 0
    return curve
