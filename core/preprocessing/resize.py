"""Resizing with the aspect ratio preserved, and the padding that fills the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from core.preprocessing.geometry import scaling, translation
from core.preprocessing.prepared import Matrix

Level = TypeVar("Level", np.uint16, np.float32)


@dataclass(frozen=True)
class Placement:
    """Where an image of `source` (height, width) comes to lie in a canvas of `shape` (height, width)."""

    source: tuple[int, int]
    shape: tuple[int, int]
    x: int
    y: int
    width: int
    height: int

    @property
    def box(self) -> tuple[int, int, int, int]:
        """(x0, y0, x1, y1) of the image within the canvas."""
        return (self.x, self.y, self.x + self.width, self.y + self.height)

    @property
    def matrix(self) -> Matrix:
        """Source coordinates -> canvas coordinates."""
        return translation(self.x, self.y) @ scaling(self.width / self.source[1], self.height / self.source[0])


def place(source: tuple[int, int], shape: tuple[int, int], chest_wall: Literal["left", "right"] = "left") -> Placement:
    """Fit (height, width) `source` into `shape`: the chest wall lies at its edge of the canvas, the height is centred.

    So all padding is on the side of the nipple, or in equal parts above and below.
    """
    height, width = source
    scale = min(shape[0] / height, shape[1] / width)
    fitted_height = min(shape[0], max(1, round(height * scale)))
    fitted_width = min(shape[1], max(1, round(width * scale)))
    x = 0 if chest_wall == "left" else shape[1] - fitted_width
    return Placement(source, shape, x, (shape[0] - fitted_height) // 2, fitted_width, fitted_height)


def shrink(pixels: NDArray[Level], size: tuple[int, int]) -> NDArray[Level]:
    """Average a picture (h, w) over areas down to (width, height) `size`.

    Rows first, then columns: the same sums as in one call, which takes twice as long when the ratio is no whole number.
    """
    rows = cv2.resize(pixels, (pixels.shape[1], size[1]), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(rows, size, interpolation=cv2.INTER_AREA), dtype=pixels.dtype)


def fit(pixels: NDArray[np.uint16], placement: Placement) -> NDArray[np.uint8]:
    """uint16 (h, w) over the full range -> uint8 canvas, black around the image.

    Shrinking averages over areas (no moiré from fine tissue); enlarging is linear.
    """
    size = (placement.width, placement.height)
    shrinks = placement.width <= pixels.shape[1] and placement.height <= pixels.shape[0]
    resized = shrink(pixels, size) if shrinks else cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR)
    canvas = np.zeros(placement.shape, np.uint8)
    x0, y0, x1, y1 = placement.box
    canvas[y0:y1, x0:x1] = ((resized.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return canvas
