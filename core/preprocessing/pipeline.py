"""Mammogram + Recipe -> Prepared: the one chain of steps behind training, preview and prediction.

    polarity -> background -> pectoral -> crop -> orientation -> window -> clahe -> resize
    '---------------- normalise_spatially ---------------'   '-------------'   resize_to_input
                                                           normalise_intensity

`prepare` runs it; `stages` runs the same chain and keeps a picture after each step. A caller who moves sliders keeps
what the first part gave and repeats the rest.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from core.config import Recipe
from core.images.mammogram import Mammogram, Pixels, Step
from core.preprocessing.analysis import Analysis
from core.preprocessing.intensity import IntensityNormalised, normalise_intensity
from core.preprocessing.prepared import Prepared
from core.preprocessing.resize import fit, place
from core.preprocessing.spatial import normalise_spatially
from core.preprocessing.step_timer import Stage, StepTimer


def prepare(mammogram: Mammogram, recipe: Recipe, *, analysis: Analysis | None = None) -> Prepared:
    """Prepare a mammogram. Deterministic, thread-safe, and never fails on a readable image: doubts become warnings.

    `analysis` may be one made before by `analyse` for the same image and the same `recipe.polarity`.

    Raises:
        ValueError: the analysis belongs to another image or polarity.
    """
    return resize_to_input(normalise_intensity(normalise_spatially(mammogram, recipe, analysis=analysis), recipe), recipe)


def stages(mammogram: Mammogram, recipe: Recipe, *, analysis: Analysis | None = None) -> list[Stage]:
    """The image as read, then after each step; the last is `prepare(...).pixels / 255`."""
    trace: list[Stage] = [Stage("original", mammogram.pixels, Step("original"))]
    spatial = normalise_spatially(mammogram, recipe, analysis=analysis, trace=trace)
    resize_to_input(normalise_intensity(spatial, recipe, trace=trace), recipe, trace=trace)
    return trace


def resize_to_input(image: IntensityNormalised, recipe: Recipe, *, trace: list[Stage] | None = None) -> Prepared:
    """Shrink the full-resolution image to the recipe's size, padded with black. A `trace` gets the result as a picture."""
    height, width = image.pixels.shape
    placement = place((height, width), recipe.shape, image.chest_wall)
    result = np.zeros(0, np.uint8)

    def picture() -> Pixels:
        return result.astype(np.float32) / np.float32(255)

    def resize() -> dict[str, Any]:
        nonlocal result
        result = fit(image.pixels, placement)
        canvas_height, canvas_width = placement.shape
        return {"from": f"{width}×{height}", "to": f"{canvas_width}×{canvas_height}", "image": placement.box}

    timer = StepTimer(picture, trace)
    timer.run("resize", resize)
    steps = (*image.steps, *timer.steps)
    return Prepared(result, recipe.hash, placement.matrix @ image.matrix, placement.box, steps, image.breast_found)
