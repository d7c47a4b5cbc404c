"""Mammogram + Recipe -> Prepared: the one chain of steps behind training, preview and prediction.

    polarity -> background -> crop -> orientation -> window -> clahe -> resize

`prepare` runs it; `stages` runs the same chain and keeps a picture after each step. To be quick on 14-megapixel images
the chain carries a view of the original and one affine change of grey levels, and touches the pixels first at `window`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from core.config import Recipe
from core.images.mammogram import Mammogram, Pixels, Step
from core.preprocessing.analysis import Analysis, analyse
from core.preprocessing.clahe import apply_clahe
from core.preprocessing.geometry import Matrix, mirror, translation
from core.preprocessing.resize import Placement, fit, place

_FULL = 65_535


@dataclass(frozen=True)
class Prepared:
    """What the model sees, before mean and standard deviation.

    `pixels` uint8 (H, W), contiguous; `matrix` float64 (3, 3) maps original coordinates (x, y, 1) to prepared ones
    (see geometry.py); `breast` (x0, y0, x1, y1) is the area of `pixels` that is image rather than padding.
    """

    pixels: NDArray[np.uint8]
    recipe_hash: str
    matrix: Matrix
    breast: tuple[int, int, int, int]
    steps: tuple[Step, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the preparation was unsure about, in words."""
        return tuple(warning for step in self.steps for warning in step.warnings)


@dataclass(frozen=True)
class Stage:
    """The image after one step: float32 (h, w) in [0, 1]."""

    name: str
    pixels: Pixels
    step: Step


def prepare(mammogram: Mammogram, recipe: Recipe, *, analysis: Analysis | None = None) -> Prepared:
    """Prepare a mammogram. Deterministic, thread-safe, and never fails on a readable image: doubts become warnings.

    `analysis` may be one made before by `analyse` for the same image and the same `recipe.polarity`.

    Raises:
        ValueError: the analysis belongs to another image or polarity.
    """
    return _run(mammogram, recipe, analysis, None)


def stages(mammogram: Mammogram, recipe: Recipe, *, analysis: Analysis | None = None) -> list[Stage]:
    """The image as read, then after each step; the last is `prepare(...).pixels / 255`."""
    trace: list[Stage] = [Stage("original", mammogram.pixels, Step("original"))]
    _run(mammogram, recipe, analysis, trace)
    return trace


@dataclass
class _State:
    """The image on its way: `view` of the original, to be read as gain × view + offset, until `pixels` exist."""

    view: Pixels
    gain: float = 1.0
    offset: float = 0.0
    outside: NDArray[np.uint8] | None = None  # of the view's shape, 255 outside the breast
    pixels: NDArray[np.uint16] | None = None
    matrix: Matrix = field(default_factory=lambda: np.eye(3))
    result: NDArray[np.uint8] | None = None

    def picture(self) -> Pixels:
        """The image as it is now, float32 in [0, 1]."""
        if self.result is not None:
            return self.result.astype(np.float32) / np.float32(255)
        if self.pixels is not None:
            return self.pixels.astype(np.float32) / np.float32(_FULL)
        picture = np.clip(self.view * np.float32(self.gain) + np.float32(self.offset), 0, 1).astype(np.float32)
        if self.outside is not None:
            picture[self.outside > 0] = 0
        return picture


class _Recorder:
    """Runs steps, timing each; keeps a picture after each when there is a trace."""

    def __init__(self, state: _State, trace: list[Stage] | None) -> None:
        self.state = state
        self.steps: list[Step] = []
        self._trace = trace

    def do(self, name: str, action: Callable[[], dict[str, Any]], earlier: float = 0.0, warnings: tuple[str, ...] = ()) -> None:
        started = time.perf_counter()
        parameters = action()
        step = Step(name, parameters, earlier + (time.perf_counter() - started) * 1000, warnings)
        self.steps.append(step)
        if self._trace is not None:
            self._trace.append(Stage(name, self.state.picture(), step))


def _run(mammogram: Mammogram, recipe: Recipe, analysis: Analysis | None, trace: list[Stage] | None) -> Prepared:
    shape = mammogram.pixels.shape
    if analysis is None:
        analysis = analyse(mammogram, recipe)
        spent = analysis.milliseconds
    else:
        spent = {}  # paid before
    if (analysis.shape, analysis.polarity_mode) != (shape, recipe.polarity):
        raise ValueError(
            f"the analysis is of an image of {analysis.shape} pixels with polarity {analysis.polarity_mode!r}; "
            f"expected {shape} and {recipe.polarity!r}. Call analyse() again."
        )
    state = _State(mammogram.pixels)
    recorder = _Recorder(state, trace)
    doubts = _Doubts(analysis, recipe)
    recorder.do("polarity", lambda: _polarity(state, analysis, recipe), spent.get("polarity", 0.0), doubts.polarity())
    if recipe.remove_background and analysis.breast.found:
        recorder.do("background", lambda: _background(state, analysis), spent.get("breast", 0.0), doubts.breast())
    if recipe.crop:
        recorder.do("crop", lambda: _crop(state, analysis, recipe), 0.0, doubts.breast())
    if recipe.orient:
        recorder.do("orientation", lambda: _orient(state, analysis), spent.get("orientation", 0.0), doubts.orientation())
    recorder.do("window", lambda: _window(state, analysis, recipe), spent.get("window", 0.0))
    if recipe.clahe:
        recorder.do("clahe", lambda: _clahe(state, recipe))
    placement = place(
        (state.view.shape[0], state.view.shape[1]), recipe.shape, "left" if recipe.orient else analysis.chest_wall.side
    )
    recorder.do("resize", lambda: _resize(state, placement))
    assert state.result is not None
    return Prepared(state.result, recipe.hash, state.matrix, placement.box, tuple(recorder.steps))


@dataclass
class _Doubts:
    """What the analysis was unsure about, in words, as far as the recipe makes use of it."""

    analysis: Analysis
    recipe: Recipe
    _said: bool = False

    def polarity(self) -> tuple[str, ...]:
        found, chosen = self.analysis.polarity, self.recipe.polarity
        if chosen == "auto" and found.unsure:
            return ("it is not clear whether the image is stored inverted: check that air is black",)
        if chosen != "auto" and not found.unsure and self.analysis.inverted != found.inverted:
            return ("the background looks white: the image may be stored inverted",)
        return ()

    def breast(self) -> tuple[str, ...]:
        """Said once, by the first step that uses the breast's outline."""
        if self._said or not self.analysis.breast.warning:
            return ()
        self._said = True
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
    size = (state.view.shape[1], state.view.shape[0])
    # Linear interpolation and a cut at half: a smooth outline instead of the small copy's stairs.
    mask = cv2.resize(analysis.breast.mask, size, interpolation=cv2.INTER_LINEAR)
    state.outside = cv2.threshold(mask, 127, 255, cv2.THRESH_BINARY_INV, dst=mask)[1]
    return {"breast": f"{np.count_nonzero(analysis.breast.mask) / analysis.breast.mask.size:.1%} of the image"}


def _crop(state: _State, analysis: Analysis, recipe: Recipe) -> dict[str, Any]:
    x0, y0, x1, y1 = analysis.box
    height, width = state.view.shape
    margin = round(recipe.crop_margin * max(x1 - x0, y1 - y0))  # the same on all sides, also of a narrow breast
    x0, y0, x1, y1 = max(0, x0 - margin), max(0, y0 - margin), min(width, x1 + margin), min(height, y1 + margin)
    state.view = state.view[y0:y1, x0:x1]
    state.outside = None if state.outside is None else state.outside[y0:y1, x0:x1]
    state.matrix = translation(-x0, -y0) @ state.matrix
    return {"box": (x0, y0, x1, y1), "margin": recipe.crop_margin}


def _orient(state: _State, analysis: Analysis) -> dict[str, Any]:
    mirrored = analysis.chest_wall.side == "right"
    if mirrored:
        state.matrix = mirror(state.view.shape[1]) @ state.matrix
        state.view = state.view[:, ::-1]
        state.outside = None if state.outside is None else cv2.flip(state.outside, 1)
    return {"mirrored": mirrored, "margin": round(analysis.chest_wall.margin, 3)}


def _window(state: _State, analysis: Analysis, recipe: Recipe) -> dict[str, Any]:
    low, high = analysis.level_at(recipe.window_low), analysis.level_at(recipe.window_high)
    span = max(high - low, 1e-6)
    factor, shift = state.gain * _FULL / span, (state.offset - low) * _FULL / span
    # One pass that scales, rounds and saturates to 16 bits; OpenCV wants a view with positive strides.
    mirrored = state.view.strides[1] < 0
    source = state.view[:, ::-1] if mirrored else state.view
    pixels = cv2.addWeighted(source, factor, source, 0.0, shift, dtype=cv2.CV_16U)
    if mirrored:
        pixels = cv2.flip(pixels, 1)
    state.pixels = _blacken(pixels, state)
    return {"low": round(low, 5), "high": round(high, 5), "percentiles": (recipe.window_low, recipe.window_high)}


def _clahe(state: _State, recipe: Recipe) -> dict[str, Any]:
    assert state.pixels is not None
    state.pixels = _blacken(apply_clahe(state.pixels, recipe.clip_limit, recipe.tile_grid), state)
    return {"clip_limit": recipe.clip_limit, "tile_grid": recipe.tile_grid}


def _resize(state: _State, placement: Placement) -> dict[str, Any]:
    assert state.pixels is not None
    state.result = fit(state.pixels, placement)
    state.matrix = placement.matrix @ state.matrix
    (height, width), (canvas_height, canvas_width) = placement.source, placement.shape
    return {"from": f"{width}×{height}", "to": f"{canvas_width}×{canvas_height}", "image": placement.box}


def _blacken(pixels: NDArray[np.uint16], state: _State) -> NDArray[np.uint16]:
    """Black outside the breast mask, if there is one."""
    if state.outside is not None:
        cv2.bitwise_xor(pixels, pixels, dst=pixels, mask=state.outside)  # x ^ x = 0, in place and in one pass
    return pixels
