"""Coordinate transforms through crop, mirror and resize, as one 3×3 matrix.

Coordinates are continuous: the pixel in column i, row j covers [i, i+1) × [j, j+1) and its centre is (i + 0.5, j + 0.5).
So a box (x0, y0, x1, y1) holds x1 - x0 columns, and cropping, mirroring and scaling move its edges exactly.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from core.preprocessing.prepared import Matrix, Prepared

Box = tuple[float, float, float, float]


def translation(x: float, y: float) -> Matrix:
    """3×3 matrix that adds (x, y)."""
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def scaling(x: float, y: float) -> Matrix:
    """3×3 matrix that multiplies by (x, y)."""
    return np.diag([x, y, 1.0])


def mirror(width: float) -> Matrix:
    """3×3 matrix that mirrors an image of this width left to right."""
    return np.array([[-1.0, 0.0, width], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])


def map_points(points: NDArray[Any], matrix: Matrix) -> NDArray[np.float64]:
    """(N, 2) points x, y -> (N, 2) mapped by an affine 3×3 matrix."""
    return np.asarray(points, dtype=np.float64).reshape(-1, 2) @ matrix[:2, :2].T + matrix[:2, 2]


def map_boxes(boxes: Iterable[Box], matrix: Matrix) -> list[Box]:
    """Boxes (x0, y0, x1, y1) of the original -> boxes of the prepared image, again with x0 <= x1 and y0 <= y1.

    Nothing is clipped: a box outside the crop maps outside the prepared image.
    """
    mapped = []
    for x0, y0, x1, y1 in boxes:
        corners = map_points(np.array([[x0, y0], [x1, y1]]), matrix)
        (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
        mapped.append((float(left), float(top), float(right), float(bottom)))
    return mapped


def original_from_prepared(image: NDArray[Any], prepared: Prepared, shape: tuple[int, ...]) -> NDArray[Any]:
    """Bring a map or picture in prepared geometry, (H, W) or (H, W, 3), back over the original image.

    `shape` is the original's (height, width, ...). uint8, uint16, float32 and float64 keep their type; areas that the
    preparation cut away are 0. Interpolation is linear.

    Raises:
        ValueError: the image has not the prepared image's size.
    """
    height, width = prepared.pixels.shape
    if image.shape[:2] != (height, width):
        raise ValueError(f"expected an image of {(height, width)} pixels (the prepared size), got {image.shape[:2]}")
    # OpenCV counts from pixel centres: shift by half a pixel on both sides.
    centred = translation(-0.5, -0.5) @ prepared.matrix @ translation(0.5, 0.5)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = (int(shape[1]), int(shape[0]))
    source = np.ascontiguousarray(image)
    warped = cv2.warpAffine(source, centred[:2], size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    # What lies beyond the area that held image is not known: black, not a smear of the border.
    return warped * _inside(prepared, size).reshape(*size[::-1], *(1,) * (warped.ndim - 2)).astype(warped.dtype)


def _inside(prepared: Prepared, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Which original pixels' centres fall into the part of the prepared image that is image, not padding."""
    columns, rows = np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5
    matrix = prepared.matrix  # no rotation or shear: columns and rows map apart
    x0, y0, x1, y1 = prepared.breast
    x, y = matrix[0, 0] * columns + matrix[0, 2], matrix[1, 1] * rows + matrix[1, 2]
    return np.outer((y >= y0) & (y <= y1), (x >= x0) & (x <= x1))
