"""Inspection and InspectedStage."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from core.config import Recipe
from core.images.mammogram import ImageMeta, Step
from core.preprocessing import Prepared
from core.preprocessing.geometry import scaling
from core.preprocessing.prepared import Matrix

Picture = NDArray[np.uint8]
Counts = NDArray[np.int64]

_LAID_OVER = ("crop", "resize")  # stages that `pair` shows in the place where the stage before has them


@dataclass(frozen=True)
class InspectedStage:
    """The image after one step.

    `picture` uint8 is the whole image, shrunk to the inspection's side and never stretched or enlarged. Everything else
    is of the image at its full size: `shape` (height, width); `lowest`, `highest`, `mean` in [0, 1]; `histogram` and
    `inside`, int64 (256,), pixels at each of 256 grey levels in the whole image and in the breast. `words` say what
    the step did; `changed` is whether any pixel is another than after the step before. `matrix` (3, 3): original coordinates to
    those of this stage at its full size (core.preprocessing.geometry).
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
    matrix: Matrix = field(default_factory=lambda: np.eye(3))

    @property
    def to_picture(self) -> Matrix:
        """(3, 3), original coordinates to those of `picture`."""
        return scaling(self.picture.shape[1] / self.shape[1], self.picture.shape[0] / self.shape[0]) @ self.matrix


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
        if stage.name == "crop":  # see _LAID_OVER
            return before, _lay_back(after, stage.step.parameters["box"], before.shape, earlier.shape)
        if stage.name == "resize":
            x0, y0, x1, y1 = self.prepared.breast
            after = self.prepared.pixels[y0:y1, x0:x1]
        if after.shape != before.shape:
            after = resized(after, before.shape, cv2.INTER_NEAREST)
        return before, after

    def pair_matrices(self, index: int) -> tuple[Matrix, Matrix]:
        """(3, 3) each, original coordinates to those of the two pictures of `pair`."""
        stage, earlier = self.stages[index], self.stages[max(0, index - 1)]
        before = earlier.to_picture
        return before, before if stage.name in _LAID_OVER else stage.to_picture


def resized(grey: Picture, shape: tuple[int, ...], interpolation: int) -> Picture:
    return np.asarray(cv2.resize(grey, (shape[1], shape[0]), interpolation=interpolation), np.uint8)


def _lay_back(cut: Picture, box: Any, canvas: tuple[int, ...], original: tuple[int, int]) -> Picture:
    """`cut`, which was `box` (x0, y0, x1, y1) of an image of `original` shape, in its place on black of `canvas` shape."""
    down, across = canvas[0] / original[0], canvas[1] / original[1]
    x0, x1 = (min(round(x * across), canvas[1]) for x in (box[0], box[2]))
    y0, y1 = (min(round(y * down), canvas[0]) for y in (box[1], box[3]))
    result = np.zeros(canvas[:2], np.uint8)
    if x1 > x0 and y1 > y0:
        result[y0:y1, x0:x1] = resized(cut, (y1 - y0, x1 - x0), cv2.INTER_AREA)
    return result
