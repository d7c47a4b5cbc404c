"""Spatial normalisation, the first half of the chain: polarity -> background -> pectoral -> crop -> orientation.

None of it depends on the sliders that change grey levels, so a caller who moves those keeps what `normalise_spatially` gave.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from core.config import Recipe
from core.images.mammogram import Mammogram, Pixels, Step
from core.preprocessing.analysis import Analysis, analyse
from core.preprocessing.geometry import mirror, translation
from core.preprocessing.pectoral import find_pectoral
from core.preprocessing.prepared import Matrix
from core.preprocessing.step_timer import Stage, StepTimer

FULL = 65_535
# The fields of a recipe that `normalise_spatially` uses.
FIELDS = ("voi_index", "polarity", "remove_background", "pectoral", "crop", "crop_margin", "orient")


@dataclass(frozen=True)
class SpatiallyNormalised:
    """A mammogram turned, cut and cleaned, its grey levels as read.

    `levels` uint16 (h, w), contiguous, full range, 0 = air; `removed_mask` uint8 (h, w), 255 where the recipe removed
    something, or None; `matrix` float64 (3, 3) maps original coordinates to those of `levels`; `chest_wall` is the
    side on which it lies now.
    """

    levels: NDArray[np.uint16]
    removed_mask: NDArray[np.uint8] | None
    matrix: Matrix
    chest_wall: Literal["left", "right"]
    analysis: Analysis
    steps: tuple[Step, ...]


def normalise_spatially(
    mammogram: Mammogram, recipe: Recipe, *, analysis: Analysis | None = None, trace: list[Stage] | None = None
) -> SpatiallyNormalised:
    """Turn, cut and clean a mammogram. `analysis` may be one made before for the same image and `recipe.polarity`.

    A `trace` gets a picture after each step.

    Raises:
        ValueError: the analysis belongs to another image or polarity.
    """
    shape = mammogram.pixels.shape
    if analysis is None:
        analysis = analyse(mammogram, recipe)
        spent = analysis.milliseconds
    else:
        spent = {}  # was spent before
    if (analysis.shape, analysis.polarity_mode) != (shape, recipe.polarity):
        raise ValueError(
            f"the analysis is of an image of {analysis.shape} pixels with polarity {analysis.polarity_mode!r}; "
            f"expected {shape} and {recipe.polarity!r}. Call analyse() again."
        )
    state = _State(mammogram.pixels)
    timer = StepTimer(state.picture, trace)
    warnings = _Warnings(analysis, recipe)
    timer.run("polarity", lambda: _polarity(state, analysis, recipe), spent.get("polarity", 0.0), warnings.polarity())
    if recipe.remove_background and analysis.breast.found:
        timer.run("background", lambda: _background(state, analysis), spent.get("breast", 0.0), warnings.breast())
    if recipe.pectoral and analysis.breast.found:
        found = find_pectoral(analysis.small, analysis.breast.mask, analysis.chest_wall.side, mammogram.meta.view)
        timer.run("pectoral", lambda: _remove(state, found.mask, found.parameters), 0.0, found.warnings)
    if recipe.crop:
        timer.run("crop", lambda: _crop(state, analysis, recipe), 0.0, warnings.breast())
    if recipe.orient:
        timer.run("orientation", lambda: _orient(state, analysis), spent.get("orientation", 0.0), warnings.orientation())
    side = "left" if recipe.orient else analysis.chest_wall.side
    return SpatiallyNormalised(_levels(state), state.removed_mask, state.matrix, side, analysis, tuple(timer.steps))


@dataclass
class _State:
    """The image on its way: `view` of the original, to be read as gain × view + offset. To be quick on 14-megapixel
    images nothing touches the pixels before `_levels`."""

    view: Pixels
    gain: float = 1.0
    offset: float = 0.0
    removed_mask: NDArray[np.uint8] | None = None  # of the view's shape, 255 where something was removed
    matrix: Matrix = field(default_factory=lambda: np.eye(3))

    def picture(self) -> Pixels:
        """The image as it is now, float32 in [0, 1]."""
        picture = np.clip(self.view * np.float32(self.gain) + np.float32(self.offset), 0, 1).astype(np.float32)
        if self.removed_mask is not None:
            picture[self.removed_mask > 0] = 0
        return picture


@dataclass
class _Warnings:
    """Warnings about what the analysis was unsure of, as far as the recipe makes use of it."""

    analysis: Analysis
    recipe: Recipe
    _breast_warned: bool = False

    def polarity(self) -> tuple[str, ...]:
        found, chosen = self.analysis.polarity, self.recipe.polarity
        if chosen == "auto" and found.unsure:
            return ("it is not clear whether the image is stored inverted: check that air is black",)
        if chosen != "auto" and not found.unsure and self.analysis.inverted != found.inverted:
            return ("the background looks white: the image may be stored inverted",)
        return ()

    def breast(self) -> tuple[str, ...]:
        """Given once, to the first step that uses the breast's outline."""
        if self._breast_warned or not self.analysis.breast.warning:
            return ()
        self._breast_warned = True
        return (self.analysis.breast.warning,)

    def orientation(self) -> tuple[str, ...]:
        if self.analysis.breast.found and self.analysis.chest_wall.unsure:
            return ("it is not clear on which side the chest wall is: check the orientation",)
        return ()


def _polarity(state: _State, analysis: Analysis, recipe: Recipe) -> dict[str, Any]:
    if analysis.inverted:
        state.gain, state.offset = -1.0, 1.0
    return {"mode": recipe.polarity, "inverted": analysis.inverted, "margin": round(analysis.polarity.margin, 3)}


def _background(state: _State, analysis: Analysis) -> dict[str, Any]:
    inside = np.count_nonzero(analysis.breast.mask) / analysis.breast.mask.size
    return _remove(state, cv2.bitwise_not(analysis.breast.mask), {"breast": f"{inside:.1%} of the image"})


def _remove(state: _State, small: NDArray[np.uint8], parameters: dict[str, Any]) -> dict[str, Any]:
    """Blacken what `small`, a mask of the whole image at the analysis' scale, marks with 255."""
    size = (state.view.shape[1], state.view.shape[0])
    # Linear interpolation and a cut at half: a smooth outline instead of the small copy's stairs.
    mask = cv2.resize(small, size, interpolation=cv2.INTER_LINEAR)
    cv2.threshold(mask, 127, 255, cv2.THRESH_BINARY, dst=mask)
    state.removed_mask = mask if state.removed_mask is None else cv2.bitwise_or(state.removed_mask, mask)
    return parameters


def _crop(state: _State, analysis: Analysis, recipe: Recipe) -> dict[str, Any]:
    x0, y0, x1, y1 = analysis.box
    height, width = state.view.shape
    margin = round(recipe.crop_margin * max(x1 - x0, y1 - y0))  # the same on all sides, also of a narrow breast
    x0, y0, x1, y1 = max(0, x0 - margin), max(0, y0 - margin), min(width, x1 + margin), min(height, y1 + margin)
    state.view = state.view[y0:y1, x0:x1]
    state.removed_mask = None if state.removed_mask is None else np.ascontiguousarray(state.removed_mask[y0:y1, x0:x1])
    state.matrix = translation(-x0, -y0) @ state.matrix
    return {"box": (x0, y0, x1, y1), "margin": recipe.crop_margin}


def _orient(state: _State, analysis: Analysis) -> dict[str, Any]:
    mirrored = analysis.chest_wall.side == "right"
    if mirrored:
        state.matrix = mirror(state.view.shape[1]) @ state.matrix
        state.view = state.view[:, ::-1]
        state.removed_mask = None if state.removed_mask is None else cv2.flip(state.removed_mask, 1)
    return {"mirrored": mirrored, "margin": round(analysis.chest_wall.margin, 3)}


def _levels(state: _State) -> NDArray[np.uint16]:
    """The view as full-range 16 bits, black where something was removed."""
    mirrored = state.view.strides[1] < 0
    source = state.view[:, ::-1] if mirrored else state.view  # OpenCV wants positive strides
    # One pass that scales, rounds and saturates to 16 bits.
    levels = cv2.addWeighted(source, state.gain * FULL, source, 0.0, state.offset * FULL, dtype=cv2.CV_16U)
    return blacken(cv2.flip(levels, 1) if mirrored else levels, state.removed_mask)


def blacken(levels: NDArray[np.uint16], mask: NDArray[np.uint8] | None) -> NDArray[np.uint16]:
    """Black, in place, where `mask` is set."""
    if mask is not None:
        cv2.bitwise_xor(levels, levels, dst=levels, mask=mask)  # x ^ x = 0 in one pass
    return levels
