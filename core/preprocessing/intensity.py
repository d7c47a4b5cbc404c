"""Intensity normalisation, the second half of the chain: window and gamma -> CLAHE, at the crop's full resolution."""

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
from core.preprocessing.spatial import FULL, SpatiallyNormalised, blacken
from core.preprocessing.step_timer import Stage, StepTimer


@dataclass(frozen=True)
class IntensityNormalised:
    """The whole crop as the model will see it, but at full resolution: what may be viewed closely.

    `pixels` uint16 (h, w), contiguous, full range; `removed_mask`, `matrix` and `chest_wall` as in
    SpatiallyNormalised; `steps` from the first one on.
    """

    pixels: NDArray[np.uint16]
    removed_mask: NDArray[np.uint8] | None
    matrix: Matrix
    chest_wall: Literal["left", "right"]
    breast_found: bool
    steps: tuple[Step, ...]


def normalise_intensity(
    spatial: SpatiallyNormalised, recipe: Recipe, *, trace: list[Stage] | None = None
) -> IntensityNormalised:
    """Apply the recipe's window, gamma and CLAHE. Deterministic and thread-safe; `spatial` stays as it is.

    A `trace` gets a picture after each step.
    """
    pixels = spatial.levels

    low, high = (spatial.analysis.level_at(percentile) for percentile in (recipe.window_low, recipe.window_high))

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
        levels = spatial.analysis.levels
        first, last = np.searchsorted(levels, (low, high))
        clip = recipe.clip_limit * crowding(levels[first : last + 1])
        pixels = blacken(apply_clahe(pixels, clip, recipe.tile_grid), spatial.removed_mask)
        return {"clip_limit": recipe.clip_limit, "tile_grid": recipe.tile_grid, "applied_clip_limit": round(clip, 2)}

    timer = StepTimer(picture, trace)
    timer.run("window", window)
    if recipe.clahe:
        timer.run("clahe", clahe)
    steps = (*spatial.steps, *timer.steps)
    return IntensityNormalised(
        pixels, spatial.removed_mask, spatial.matrix, spatial.chest_wall, spatial.analysis.breast.found, steps
    )


def _curve(low: float, high: float, gamma: float) -> NDArray[np.uint16]:
    """Table of 65,536 levels: `low` becomes black, `high` white, with an exponent between. Black stays black."""
    ramp = np.clip((np.arange(FULL + 1) / FULL - low) / max(high - low, 1e-6), 0, 1)
    curve = np.rint(ramp**gamma * FULL).astype(np.uint16)
    curve[0] = 0
    return curve
