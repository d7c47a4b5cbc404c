"""Inspection and InspectedStage."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from core.config import Recipe
from core.images.mammogram import ImageMeta, Step
from core.preprocessing import Prepared
from core.preprocessing.prepared import Matrix

Picture = NDArray[np.uint8]
Counts = NDArray[np.int64]

_LAID_OVER = ("crop", "resize")  # stages that are compared with the one before in the place that they have there


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

    def laid_over(self, index: int) -> Matrix:
        """(3, 3), coordinates of stage `index` at its full size to those of the stage before where the two are compared in one
        place: a crop lies where it was cut, the model's input where it comes from; else each pixel on the one of its number."""
        stage, earlier = self.stages[index], self.stages[max(0, index - 1)]
        return earlier.matrix @ np.linalg.inv(stage.matrix) if stage.name in _LAID_OVER else np.eye(3)


def resized(grey: Picture, shape: tuple[int, ...], interpolation: int) -> Picture:
    return np.asarray(cv2.resize(grey, (shape[1], shape[0]), interpolation=interpolation), np.uint8)
