"""Where breast and lesions lie in a prepared image, as masks.

The columns of a manifest that name lesions are described in core.data.lesion_places.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from core.config import Recipe
from core.data.lesion_places import circles_of, exact_mask, resized_mask, text_of
from core.data.lesions import lesions_of, lesions_text
from core.preprocessing.breast import find_breast
from core.preprocessing.geometry import map_points

Mask = NDArray[np.bool_]

_SMALLEST = 0.01  # of the image: a smaller speck of light is no breast
_FAR = 1e6  # px: no image reaches as far
_SEARCH_SIDE = 512  # px, longer side of the copy in which a breast is looked for


def has_lesion(row: Mapping[Any, Any]) -> bool:
    """Whether the row says where a lesion is. Raises BadManifest where what it says cannot be read."""
    if text_of(row, "lesion_masks"):
        return True
    circles = circles_of(row)
    if circles is not None:
        return bool(circles)
    return any(lesion.mask or lesion.bounds is not None for lesion in lesions_of(row))


def lesion_mask(row: Mapping[Any, Any], matrix: NDArray[np.float64], original: tuple[int, int], shape: tuple[int, int]) -> Mask:
    """The row's lesions over the prepared image, bool (H, W); a lesion smaller than a pixel is one pixel.

    Args:
        row: of a manifest, see core.data.lesion_places.
        matrix: (3, 3), original coordinates to prepared ones (core.preprocessing.geometry).
        original: (height, width) of the original image.
        shape: (height, width) of the prepared image.

    Raises:
        BadManifest: the row's lesions cannot be read, or a mask is of another size than the image.
        UnreadableImage: a mask's file cannot be read.
    """
    x, y = _original_of_pixels(matrix, shape)
    folder = Path(str(row["path"])).parent
    if files := text_of(row, "lesion_masks"):
        every = [exact_mask(folder / name.strip(), original) for name in files.split("|")]
        return np.logical_or.reduce([_drawn(each, matrix, (x, y)) for each in every])
    inside = np.zeros(shape, np.bool_)
    centres = []
    if (circles := circles_of(row)) is not None:
        for cx, cy, radius in circles:
            inside |= (x[None, :] - cx) ** 2 + (y[:, None] - cy) ** 2 <= radius**2
            centres.append((cx, cy))
    else:
        for lesion in lesions_of(row):
            placed = lesion.scaled(original[1], original[0])
            if placed.mask:
                inside |= _drawn(resized_mask(folder / placed.mask, original), matrix, (x, y))
            elif len(placed.polygon) > 2:
                inside |= _filled(placed.polygon, matrix, shape)
                centres.append(placed.polygon[0])
            elif placed.bounds is not None:
                x0, y0, x1, y1 = placed.bounds
                inside |= np.outer((y >= y0) & (y < y1), (x >= x0) & (x < x1))
                centres.append(((x0 + x1) / 2, (y0 + y1) / 2))
    return inside | _marked(np.array(centres), matrix, shape)


@dataclass(frozen=True)
class PlacedLesion:
    """A lesion's box in a prepared image, (x0, y0, x1, y1) in whole pixels, and "benign", "malignant" or "" for unknown."""

    box: tuple[int, int, int, int]
    label: str


def placed_lesions(
    row: Mapping[Any, Any], matrix: NDArray[np.float64], original: tuple[int, int], shape: tuple[int, int]
) -> list[PlacedLesion]:
    """The row's lesions one by one, arguments and errors as `lesion_mask`; what lies outside of the prepared image is left out.

    A lesion is what its own pathology says, and where that says nothing what the image's label says.
    """
    label = text_of(row, "label")
    if text_of(row, "lesion_masks") or circles_of(row) is not None:
        parts = [(lesion_mask(row, matrix, original, shape), label)]
    else:
        each = [({**row, "lesions": lesions_text([lesion])}, lesion.pathology) for lesion in lesions_of(row)]
        parts = [(lesion_mask(own, matrix, original, shape), _label(said) or label) for own, said in each if has_lesion(own)]
    return [PlacedLesion(box, kind) for mask, kind in parts for box in _boxes(mask)]


def _label(pathology: str) -> str:
    return next((label for label in ("benign", "malignant") if pathology.startswith(label)), "")


def _boxes(mask: Mask) -> list[tuple[int, int, int, int]]:
    """Boxes round the connected parts of a mask."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    return [(int(x), int(y), int(x + width), int(y + height)) for x, y, width, height, _ in stats[1:]]


def breast_mask(pixels: NDArray[np.uint8], recipe: Recipe) -> Mask:
    """Where the breast is in a prepared image, uint8 (H, W) -> bool (H, W), holes filled.

    Where the recipe blackens the background, it is what was left; else it is looked for. Everything is breast where none
    is found.
    """
    if not recipe.remove_background:
        return _found(pixels)
    contours, _ = cv2.findContours((pixels > 0).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros(pixels.shape, np.uint8)
    large = [contour for contour in contours if cv2.contourArea(contour) >= _SMALLEST * pixels.size]
    cv2.drawContours(filled, large, -1, 1, thickness=cv2.FILLED)
    return filled > 0 if large else np.ones(pixels.shape, np.bool_)


def _found(pixels: NDArray[np.uint8]) -> Mask:
    height, width = pixels.shape
    scale = min(1.0, _SEARCH_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.float32) / np.float32(255)
    mask = find_breast(small).mask
    return np.asarray(cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST) > 0)


def _original_of_pixels(matrix: NDArray[np.float64], shape: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Original x of each prepared column's centre, and y of each row's: there is no rotation or shear."""
    columns, rows = np.arange(shape[1]) + 0.5, np.arange(shape[0]) + 0.5
    return (columns - matrix[0, 2]) / matrix[0, 0], (rows - matrix[1, 2]) / matrix[1, 1]


def _marked(points: NDArray[np.float64], matrix: NDArray[np.float64], shape: tuple[int, int]) -> Mask:
    """The prepared pixels that hold any of these original points (N, 2)."""
    marked = np.zeros(shape, np.bool_)
    if len(points):
        x, y = np.floor(map_points(points, matrix)).astype(np.int64).T
        there = (x >= 0) & (x < shape[1]) & (y >= 0) & (y < shape[0])
        marked[y[there], x[there]] = True
    return marked


def _filled(polygon: Sequence[tuple[float, float]], matrix: NDArray[np.float64], shape: tuple[int, int]) -> Mask:
    """The prepared pixels inside an outline in original coordinates."""
    points = map_points(np.array(polygon, np.float64), matrix)
    points = points.clip(-_FAR, _FAR)  # OpenCV's coordinates are 32 bits wide
    drawn = np.zeros(shape, np.uint8)
    cv2.fillPoly(drawn, [np.floor(points).astype(np.int32)], 1)
    return drawn > 0


def _drawn(drawn: Mask, matrix: NDArray[np.float64], centres: tuple[NDArray[np.float64], NDArray[np.float64]]) -> Mask:
    """A mask over the original image, bool (H, W), over the prepared one."""
    original = drawn.shape
    x, y = centres
    columns, rows = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    within = np.outer((rows >= 0) & (rows < original[0]), (columns >= 0) & (columns < original[1]))
    columns, rows = columns.clip(0, original[1] - 1), rows.clip(0, original[0] - 1)
    # Both ways, so that neither a small lesion falls between the prepared pixels nor a large one gets holes.
    found_y, found_x = np.nonzero(drawn)
    points = np.column_stack([found_x, found_y]).astype(np.float64) + 0.5
    return (drawn[np.ix_(rows, columns)] & within) | _marked(points, matrix, (within.shape[0], within.shape[1]))
