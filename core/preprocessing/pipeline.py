"""Mammogram + Recipe -> Prepared: the one chain of steps behind training, preview and prediction.

    polarity -> background -> pectoral -> crop -> orientation -> window -> clahe -> resize
    '---------------------- arrange ----------------------'   '- enhance -'   'finish'

`prepare` runs it; `stages` runs the same chain and keeps a picture after each step. A caller who moves sliders keeps
what the first part gave and repeats the rest.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from core.config import Recipe
from core.images import read
from core.images.mammogram import Mammogram, Pixels, Step
from core.preprocessing.analysis import Analysis
from core.preprocessing.intensity import Enhanced, enhance
from core.preprocessing.intensity import run as run_enhancing
from core.preprocessing.prepared import Prepared
from core.preprocessing.resize import fit, place
from core.preprocessing.spatial import arrange
from core.preprocessing.spatial import run as run_arranging
from core.preprocessing.step_timer import Recorder, Stage


def load(source: Path | str | bytes, recipe: Recipe, *, frame: int | None = None, name: str = "") -> Mammogram:
    """Read a mammogram the way this recipe wants it read. Everything that goes from a file to a model starts here.

    `frame` and `name` as in core.images.read.

    Raises:
        UnreadableImage: see core.images.read.
    """
    return read(source, frame=frame, window=recipe.voi, name=name)


def prepare(mammogram: Mammogram, recipe: Recipe, *, analysis: Analysis | None = None) -> Prepared:
    """Prepare a mammogram. Deterministic, thread-safe, and never fails on a readable image: doubts become warnings.

    `analysis` may be one made before by `analyse` for the same image and the same `recipe.polarity`.

    Raises:
        ValueError: the analysis belongs to another image or polarity.
    """
    return finish(enhance(arrange(mammogram, recipe, analysis=analysis), recipe), recipe)


def stages(mammogram: Mammogram, recipe: Recipe, *, analysis: Analysis | None = None) -> list[Stage]:
    """The image as read, then after each step; the last is `prepare(...).pixels / 255`."""
    trace: list[Stage] = [Stage("original", mammogram.pixels, Step("original"))]
    arranged = run_arranging(mammogram, recipe, analysis, trace)
    _finish(run_enhancing(arranged, recipe, trace), recipe, trace)
    return trace


def finish(enhanced: Enhanced, recipe: Recipe) -> Prepared:
    """Shrink what `enhance` gave to the recipe's size."""
    return _finish(enhanced, recipe, None)


def _finish(enhanced: Enhanced, recipe: Recipe, trace: list[Stage] | None) -> Prepared:
    height, width = enhanced.pixels.shape
    placement = place((height, width), recipe.shape, enhanced.chest_wall)
    result = np.zeros(0, np.uint8)

    def picture() -> Pixels:
        return result.astype(np.float32) / np.float32(255)

    def resize() -> dict[str, Any]:
        nonlocal result
        result = fit(enhanced.pixels, placement)
        canvas_height, canvas_width = placement.shape
        return {"from": f"{width}×{height}", "to": f"{canvas_width}×{canvas_height}", "image": placement.box}

    recorder = Recorder(picture, trace)
    recorder.do("resize", resize)
    steps = (*enhanced.steps, *recorder.steps)
    return Prepared(result, recipe.hash, placement.matrix @ enhanced.matrix, placement.box, steps, enhanced.breast_found)
