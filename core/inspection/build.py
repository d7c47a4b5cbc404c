"""Mammogram + Recipe -> Inspection: pictures, grey levels and words for every stage of the very chain that training runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from core.config import Recipe
from core.images import one_large_at_a_time, to_uint8
from core.images.mammogram import ImageMeta, Mammogram, Step
from core.inspection.descriptions import title, what_changed
from core.preprocessing import Prepared, Stage, arrange, enhance, finish, load, stages

SIDE = 1024  # px, longer side of the pictures
BINS = 256  # one a grey level that a screen can show

Picture = NDArray[np.uint8]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class InspectedStage:
    """The image after one step.

    `picture` uint8 is the whole image, shrunk to the inspection's side and never stretched or enlarged. Everything else
    is of the image at its full size: `shape` (height, width); `lowest`, `highest`, `mean` in [0, 1]; `histogram` and
    `inside`, int64 (256,), pixels at each of 256 grey levels in the whole image and in the breast. `words` say what
    the step did; `changed` is whether any pixel is another than after the step before.
    """

    name: str
    title: str
    words: str
    picture: Picture
    shape: tuple[int, int]
    lowest: float
    highest: float
    mean: float
    histogram: Counts
    inside: Counts
    changed: bool
    step: Step


@dataclass(frozen=True)
class Inspection:
    """Everything between a file and the model's input. `reading` is what the reader did before the first stage."""

    meta: ImageMeta
    reading: tuple[Step, ...]
    stages: tuple[InspectedStage, ...]
    recipe: Recipe
    prepared: Prepared

    @property
    def milliseconds(self) -> float:
        """From the file's bytes to the model's input, without the pictures made here."""
        return sum(step.milliseconds for step in (*self.reading, *(stage.step for stage in self.stages)))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What any step was unsure about, each doubt once."""
        steps = (*self.reading, *(stage.step for stage in self.stages))
        return tuple(dict.fromkeys(warning for step in steps for warning in step.warnings))

    @property
    def spacing(self) -> tuple[float, float] | None:
        """(row, column) in mm of one pixel of the model's input, where the file gives its own."""
        if self.meta.pixel_spacing is None:
            return None
        row, column = self.meta.pixel_spacing
        scale = np.abs(np.diag(self.prepared.matrix))
        return row / float(scale[1]), column / float(scale[0])

    def pair(self, index: int) -> tuple[Picture, Picture]:
        """The pictures before and after stage `index`, at one size and in one place, for comparing by swipe.

        A crop is laid back where it was cut; the model's input is enlarged, each of its pixels kept, without padding.
        The first stage is compared with itself.
        """
        stage, earlier = self.stages[index], self.stages[max(0, index - 1)]
        before, after = earlier.picture, stage.picture
        if stage.name == "crop":
            return before, _lay_back(after, stage.step.parameters["box"], before.shape, earlier.shape)
        if stage.name == "resize":
            x0, y0, x1, y1 = self.prepared.breast
            after = self.prepared.pixels[y0:y1, x0:x1]
        if after.shape != before.shape:
            after = _resized(after, before.shape, cv2.INTER_NEAREST)
        return before, after


def inspect(source: Path | str | bytes, recipe: Recipe, *, frame: int | None = None, side: int | None = SIDE) -> Inspection:
    """Read a mammogram as this recipe wants it and lay open what becomes of it; `frame` as in core.images.read.

    `side` is the longest that pictures may be; None keeps every pixel.

    Raises:
        UnreadableImage: see core.images.read.
    """
    with one_large_at_a_time():
        return inspect_image(load(source, recipe, frame=frame), recipe, side=side)


def inspect_image(mammogram: Mammogram, recipe: Recipe, *, side: int | None = SIDE) -> Inspection:
    """`inspect` of a mammogram that was read before (with the recipe's `voi`)."""
    arranged = arrange(mammogram, recipe)
    prepared = finish(enhance(arranged, recipe), recipe)
    trace = stages(mammogram, recipe, analysis=arranged.analysis)
    # The steps of `prepared` were timed with the analysis that they needed, as training pays for it.
    timed = (trace[0].step, *prepared.steps)
    breast = _at_size(arranged.analysis.breast.mask, mammogram.pixels.shape)
    inspected: list[InspectedStage] = []
    earlier: Stage | None = None
    for stage, step in zip(trace, timed, strict=True):
        breast = _follow(breast, stage, earlier)
        inspected.append(_look(stage, step, earlier, breast, side))
        earlier = stage
    return Inspection(mammogram.meta, mammogram.steps, tuple(inspected), recipe, prepared)


def _look(stage: Stage, step: Step, earlier: Stage | None, breast: Picture, side: int | None) -> InspectedStage:
    pixels = np.ascontiguousarray(stage.pixels)
    grey = to_uint8(pixels)
    lowest, highest, *_ = cv2.minMaxLoc(pixels)
    height, width = pixels.shape
    return InspectedStage(
        name=stage.name,
        title=title(stage.name),
        words=what_changed(step, (height, width), None if earlier is None else earlier.pixels.shape),
        picture=grey if side is None else shrunk(grey, side),
        shape=(height, width),
        lowest=float(lowest),
        highest=float(highest),
        mean=float(cv2.mean(pixels)[0]),
        histogram=_count(grey, None),
        inside=_count(grey, breast),
        changed=earlier is not None and not np.array_equal(stage.pixels, earlier.pixels),
        step=step,
    )


def _follow(breast: Picture, stage: Stage, earlier: Stage | None) -> Picture:
    """The breast's mask, 255 inside, in the geometry of this stage, given that of the stage before."""
    parameters = stage.step.parameters
    if stage.name == "pectoral" and earlier is not None:
        removed = (stage.pixels == 0) & (earlier.pixels > 0)
        return np.where(removed, 0, breast).astype(np.uint8)
    if stage.name == "crop":
        x0, y0, x1, y1 = parameters["box"]
        return np.ascontiguousarray(breast[y0:y1, x0:x1])
    if stage.name == "orientation" and parameters["mirrored"]:
        return np.asarray(cv2.flip(breast, 1), np.uint8)
    if stage.name == "resize":
        x0, y0, x1, y1 = parameters["image"]
        canvas = np.zeros(stage.pixels.shape, np.uint8)
        canvas[y0:y1, x0:x1] = _resized(breast, (y1 - y0, x1 - x0), cv2.INTER_NEAREST)
        return canvas
    return breast


def _at_size(mask: Picture, shape: tuple[int, ...]) -> Picture:
    """A small mask at the image's size, with the same smooth outline as the step that removes the background."""
    large = _resized(mask, shape, cv2.INTER_LINEAR)
    return np.where(large > 127, 255, 0).astype(np.uint8)


def _count(grey: Picture, mask: Picture | None) -> Counts:
    return np.rint(cv2.calcHist([grey], [0], mask, [BINS], [0, BINS])).astype(np.int64).ravel()


def shrunk(grey: Picture, side: int) -> Picture:
    """A picture whose longer side is at most `side`, by averaging; never enlarged."""
    height, width = grey.shape
    scale = side / max(height, width)
    if scale >= 1:
        return grey
    return _resized(grey, (max(1, round(height * scale)), max(1, round(width * scale))), cv2.INTER_AREA)


def _resized(grey: Picture, shape: tuple[int, ...], interpolation: int) -> Picture:
    return np.asarray(cv2.resize(grey, (shape[1], shape[0]), interpolation=interpolation), np.uint8)


def _lay_back(cut: Picture, box: Any, canvas: tuple[int, ...], original: tuple[int, int]) -> Picture:
    """`cut`, which was `box` (x0, y0, x1, y1) of an image of `original` shape, in its place on black of `canvas` shape."""
    down, across = canvas[0] / original[0], canvas[1] / original[1]
    x0, x1 = (min(round(x * across), canvas[1]) for x in (box[0], box[2]))
    y0, y1 = (min(round(y * down), canvas[0]) for y in (box[1], box[3]))
    result = np.zeros(canvas[:2], np.uint8)
    if x1 > x0 and y1 > y0:
        result[y0:y1, x0:x1] = _resized(cut, (y1 - y0, x1 - x0), cv2.INTER_AREA)
    return result
