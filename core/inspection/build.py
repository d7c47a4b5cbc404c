"""Inspections: mammogram + recipe -> pictures, grey levels and descriptions of every step that training runs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from core.config import Recipe
from core.images import one_large_at_a_time, read, to_uint8
from core.images.mammogram import Mammogram, Step
from core.inspection.descriptions import title, what_changed
from core.inspection.result import Counts, InspectedStage, Inspection, Picture, resized
from core.preprocessing import Stage, normalise_intensity, normalise_spatially, resize_to_input, stages
from core.preprocessing.geometry import mirror, translation
from core.preprocessing.prepared import Matrix
from core.preprocessing.preview import fit

SIDE = 1024  # px, longer side of the pictures
BINS = 256  # one a grey level that a screen can show


def inspect(source: Path | str | bytes, recipe: Recipe, *, frame: int | None = None, side: int | None = SIDE) -> Inspection:
    """Read a mammogram as this recipe wants it and lay open what becomes of it; `frame` as in core.images.read.

    `side` is the longest that pictures may be; None keeps every pixel.

    Raises:
        UnreadableImage: see core.images.read.
    """
    with one_large_at_a_time():
        return inspect_image(read(source, frame=frame, window=recipe.voi_index), recipe, side=side)


def inspect_image(mammogram: Mammogram, recipe: Recipe, *, side: int | None = SIDE) -> Inspection:
    """`inspect` of a mammogram that was read before (with the recipe's `voi_index`)."""
    spatial = normalise_spatially(mammogram, recipe)
    prepared = resize_to_input(normalise_intensity(spatial, recipe), recipe)
    trace = stages(mammogram, recipe, analysis=spatial.analysis)
    # The steps of `prepared` were timed with the analysis that they needed, as training pays for it.
    timed = (trace[0].step, *prepared.steps)
    breast = _at_size(spatial.analysis.breast.mask, mammogram.pixels.shape)
    inspected: list[InspectedStage] = []
    earlier: Stage | None = None
    matrix = np.eye(3)
    for stage, step in zip(trace, timed, strict=True):
        breast = _follow(breast, stage, earlier)
        matrix = prepared.matrix if stage.name == "resize" else _moved(stage) @ matrix
        inspected.append(_look(stage, step, earlier, breast, side, matrix))
        earlier = stage
    return Inspection(mammogram.meta, mammogram.steps, tuple(inspected), recipe, prepared)


def _moved(stage: Stage) -> Matrix:
    """How this step moved the image, (3, 3)."""
    if stage.name == "crop":
        x0, y0, _, _ = stage.step.parameters["box"]
        return translation(-x0, -y0)
    if stage.name == "orientation" and stage.step.parameters["mirrored"]:
        return mirror(stage.pixels.shape[1])
    return np.eye(3)


def _look(stage: Stage, step: Step, earlier: Stage | None, breast: Picture, side: int | None, matrix: Matrix) -> InspectedStage:
    pixels = np.ascontiguousarray(stage.pixels)
    grey = to_uint8(pixels)
    lowest, highest, *_ = cv2.minMaxLoc(pixels)
    height, width = pixels.shape
    return InspectedStage(
        name=stage.name,
        title=title(stage.name),
        words=what_changed(step, (height, width), None if earlier is None else earlier.pixels.shape),
        picture=grey if side is None else fit(grey, side),
        shape=(height, width),
        lowest=float(lowest),
        highest=float(highest),
        mean=float(cv2.mean(pixels)[0]),
        histogram=_count(grey, None),
        inside=_count(grey, breast),
        changed=earlier is not None and not np.array_equal(stage.pixels, earlier.pixels),
        step=step,
        matrix=matrix,
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
        canvas[y0:y1, x0:x1] = resized(breast, (y1 - y0, x1 - x0), cv2.INTER_NEAREST)
        return canvas
    return breast


def _at_size(mask: Picture, shape: tuple[int, ...]) -> Picture:
    """A small mask at the image's size, with the same smooth outline as the step that removes the background."""
    large = resized(mask, shape, cv2.INTER_LINEAR)
    return np.where(large > 127, 255, 0).astype(np.uint8)


def _count(grey: Picture, mask: Picture | None) -> Counts:
    return np.rint(cv2.calcHist([grey], [0], mask, [BINS], [0, BINS])).astype(np.int64).ravel()
