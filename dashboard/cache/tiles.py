"""Tiles of an image after one of its steps, at its own resolution and halved again and again, with all of its grey levels.

A viewer asks for the few tiles that it shows, at the resolution of the screen, and makes what is seen out of their grey levels
itself: window and inversion cost no request. Level 0 has the picture's own pixels; each pixel of the next one is the mean of
2 x 2. Level 0 is cut from what dashboard.cache.images holds anyway; of the others, a third of it in all, there is a copy here.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from core.config import Recipe
from core.images.row_bands import in_row_bands
from core.preprocessing.prepared import Matrix
from dashboard.cache import images
from dashboard.cache.image_memory import cached
from dashboard.cache.images import ImageRef

TILE = 512  # px; one side of a tile
FULL = 65_535
ORIGINAL, WINDOW, CLAHE, INPUT = "original", "window", "clahe", "resize"
# The steps that move, cut or clean an image, in their order, and the field of the recipe that leaves each out.
_SPATIAL = {"polarity": "", "background": "remove_background", "pectoral": "pectoral", "crop": "crop", "orientation": "orient"}
STAGES = (ORIGINAL, *_SPATIAL, WINDOW, CLAHE, INPUT)  # names as core.inspection has them

Levels = NDArray[np.uint16]


class NoSuchTile(ValueError):
    """A tile beyond the picture's edges, or of a level that it does not have."""


@dataclass(frozen=True)
class Place:
    """Which tile: its level, and its column `x` and row `y` among those of the level, all from 0."""

    level: int
    x: int
    y: int


def stage_of(text: str) -> str:
    """The name of a step. Raises ValueError."""
    if text not in STAGES:
        raise ValueError(f"expected a stage out of {', '.join(STAGES)}, got {text!r}")
    return text


@dataclass(frozen=True)
class Staged:
    """An image after one of its steps, at full size: `pixels` uint16, float32 in [0, 1] (`original`) or uint8 (`resize`);
    `matrix` (3, 3) from the original's coordinates to its own; the side on which the chest wall is now."""

    pixels: NDArray[Any]
    matrix: Matrix
    chest_wall: Literal["left", "right"]

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.pixels.shape[1], self.pixels.shape[0]


def staged(image: ImageRef, recipe: Recipe, stage: str) -> Staged:
    """The whole image after this step. A step that the recipe leaves out changes nothing. Raises UnreadableImage."""
    if stage == ORIGINAL:
        found = images.analysis(image, recipe).chest_wall
        return Staged(images.mammogram(image, recipe).pixels, np.eye(3), found.side)
    if stage == INPUT:
        prepared = images.prepared(image, recipe)
        return Staged(prepared.pixels, prepared.matrix, images.arranged(image, recipe).chest_wall)
    if stage in _SPATIAL:
        names = list(_SPATIAL)
        later = [_SPATIAL[name] for name in names[names.index(stage) + 1 :]]
        arranged = images.arranged(image, recipe.model_copy(update=dict.fromkeys(later, False)))
        return Staged(arranged.levels, arranged.matrix, arranged.chest_wall)
    enhanced = images.enhanced(image, recipe.model_copy(update={"clahe": recipe.clahe and stage == CLAHE}))
    return Staged(enhanced.pixels, enhanced.matrix, enhanced.chest_wall)


def as_levels(pixels: NDArray[Any]) -> Levels:
    """uint16 as it is; uint8 and float32 in [0, 1] spread over its whole range, rounding half up."""
    if pixels.dtype == np.uint16:
        return pixels
    if pixels.dtype == np.uint8:
        return pixels.astype(np.uint16) * np.uint16(257)
    return in_row_bands(lambda band: np.floor(band * np.float32(FULL) + np.float32(0.5)).astype(np.uint16), pixels, np.uint16)


def halved(levels: Levels) -> Levels:
    """Each 2 x 2 as its mean, halves rounded up; an odd last row or column counts twice."""
    height, width = levels.shape
    if height % 2 or width % 2:
        levels = cv2.copyMakeBorder(levels, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    size = (levels.shape[1] // 2, levels.shape[0] // 2)
    return np.asarray(cv2.resize(levels, size, interpolation=cv2.INTER_AREA), np.uint16)


@cached(lambda recipe, stage: (recipe.voi_index if stage == ORIGINAL else recipe.hash, stage))
def _reduced(image: ImageRef, recipe: Recipe, stage: str) -> tuple[Levels, ...]:
    """Levels 1, 2, ... to the first one that is a single tile."""
    found: list[Levels] = []
    last = as_levels(staged(image, recipe, stage).pixels)
    while max(last.shape) > TILE:
        last = halved(last)
        found.append(last)
    return tuple(found)


def tile(image: ImageRef, recipe: Recipe, stage: str, place: Place) -> Levels:
    """The pixels of a tile, uint16 (h, w), at most TILE a side: less at the right and at the lower edge.

    Raises UnreadableImage; NoSuchTile.
    """
    pixels = staged(image, recipe, stage).pixels
    if place.level > 0:
        reduced = _reduced(image, recipe, stage)
        if place.level > len(reduced):
            raise NoSuchTile(f"expected a level from 0 to {len(reduced)}, got {place.level}")
        pixels = reduced[place.level - 1]
    left, top = place.x * TILE, place.y * TILE
    if place.level < 0 or not (0 <= left < pixels.shape[1] and 0 <= top < pixels.shape[0]):
        raise NoSuchTile(f"there is no tile {place.x}, {place.y} on level {place.level}")
    return as_levels(np.ascontiguousarray(pixels[top : top + TILE, left : left + TILE]))


def packed(levels: Levels) -> bytes:
    """A tile as it is sent, gzip of: per pixel the difference to its left neighbour (to 0 in the first column), modulo 65,536
    as a zigzag number (0, -1, 1, -2, ... -> 0, 1, 2, 3, ...); first the upper bytes of all, row by row, then the lower ones.

    Grey levels change little from pixel to pixel, so the upper bytes are nearly all alike. Smaller than a PNG and made in less
    than half of its time (see benchmarks), and no browser passes it through a colour profile.
    """
    steps = np.diff(levels, axis=1, prepend=np.uint16(0)).view(np.int16)
    numbers = ((steps << 1) ^ (steps >> 15)).view(np.uint16)
    gzip = zlib.compressobj(1, zlib.DEFLATED, 16 + zlib.MAX_WBITS, 9, zlib.Z_RLE)
    upper, lower = (numbers >> 8).astype(np.uint8), numbers.astype(np.uint8)
    return gzip.compress(upper.tobytes()) + gzip.compress(lower.tobytes()) + gzip.flush()
