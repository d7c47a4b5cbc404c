"""Augmentation: random changes to a training image; the same seed, epoch and index give the same change."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from core.config import AugmentationConfig

# Grey levels below this share of white are shifted less and less, and black not at all: padding and air stay black
# without an edge around the breast.
_DARK = 0.1
_LEVELS = (np.arange(256, dtype=np.float32) / np.float32(255)).astype(np.float32)


@dataclass(frozen=True)
class Change:
    """What will be done to one image: mirrored or not, angle in degrees, scale, shifts of grey levels (of 1), upside down."""

    flip: bool
    angle: float
    scale: float
    brightness: float
    contrast: float
    upside_down: bool = False


def draw(config: AugmentationConfig, seed: int, epoch: int, index: int, occurrence: int = 0) -> Change:
    """The change for image `index` in this epoch; `occurrence` counts from 0 where a sampler draws an image again.

    Stateless: nothing but the arguments matters, so a resumed run and any number of workers see the same images. Each
    number is drawn whether or not it is used: turning one setting off leaves the others' draws as they were.
    """
    key = (seed, epoch, index) if occurrence == 0 else (seed, epoch, index, occurrence)
    flip, angle, scale, brightness, contrast, turn = np.random.default_rng(np.random.SeedSequence(key)).random(6)
    return Change(
        flip=bool(config.horizontal_flip and flip < 0.5),
        angle=(2 * angle - 1) * config.rotation,
        scale=1 + (2 * scale - 1) * config.zoom,
        brightness=(2 * brightness - 1) * config.brightness,
        contrast=1 + (2 * contrast - 1) * config.contrast,
        upside_down=bool(config.vertical_flip and turn < 0.5),
    )


def to_float(pixels: NDArray[np.uint8], out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """uint8 (H, W) to float32 in [0, 1], written into `out` where one is given."""
    return _look_up(pixels, _LEVELS, out)


def apply(pixels: NDArray[np.uint8], change: Change, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """The changed image: uint8 (H, W) to float32 (H, W) in [0, 1], what comes in from outside is black; into `out` if given."""
    moved = _move(pixels, change)
    return _look_up(moved, _grey_levels(moved, change), out)


def crop(
    pixels: NDArray[np.uint8], change: Change, centre: tuple[float, float], side: int, out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    """The changed square of `side` pixels around `centre` (x, y), float32 (side, side) in [0, 1], as `apply` changes images.

    It is cut from the whole image in one step: what a rotation or a smaller scale brings in is tissue where there is some.
    """
    matrix = _about((centre[0] - 0.5, centre[1] - 0.5), change)
    matrix[:, 2] += (side - 1) / 2 - np.array([centre[0] - 0.5, centre[1] - 0.5])
    moved = np.asarray(cv2.warpAffine(np.asarray(pixels), matrix, (side, side), flags=cv2.INTER_LINEAR), dtype=np.uint8)
    return _look_up(moved, _grey_levels(moved, change), out)


def move_mask(mask: NDArray[np.uint8], change: Change, cell: int, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """A mask in cells of `cell` pixels, moved as `apply` moves the image of this `shape`, which need not be a multiple of it:
    uint8 (h, w), same size."""
    if _stays(change):
        return mask
    height, width = mask.shape
    matrix = _about(((shape[1] - 1) / 2, (shape[0] - 1) / 2), change)
    # Centres of cells lie at (column + 0.5) * cell - 0.5 in the image's pixels.
    shift = (cell - 1) / 2
    matrix[:, 2] = (matrix[:, :2] @ np.array([shift, shift]) + matrix[:, 2] - shift) / cell
    return np.asarray(cv2.warpAffine(mask, matrix, (width, height), flags=cv2.INTER_NEAREST), dtype=np.uint8)


def _look_up(pixels: NDArray[np.uint8], levels: NDArray[np.float32], out: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """`levels[pixels]`, five times quicker."""
    return np.asarray(cv2.LUT(pixels, levels, out), dtype=np.float32)


def _move(pixels: NDArray[np.uint8], change: Change) -> NDArray[np.uint8]:
    if _stays(change):
        return pixels
    height, width = pixels.shape
    # Pixel centres: the middle of the image is at (width - 1) / 2, so a flip alone loses nothing.
    matrix = _about(((width - 1) / 2, (height - 1) / 2), change)
    moved = cv2.warpAffine(
        np.asarray(pixels), matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0
    )
    return np.asarray(moved, dtype=np.uint8)


def _stays(change: Change) -> bool:
    return not (change.flip or change.upside_down) and change.angle == 0 and change.scale == 1


def _about(centre: tuple[float, float], change: Change) -> NDArray[np.float64]:
    """The change's movement about a point (x, y), (2, 3)."""
    x, y = centre
    matrix = np.asarray(cv2.getRotationMatrix2D(centre, change.angle, change.scale), dtype=np.float64)
    if change.flip:
        matrix = matrix @ np.array([[-1, 0, 2 * x], [0, 1, 0], [0, 0, 1]], dtype=np.float64)
    if change.upside_down:
        matrix = matrix @ np.array([[1, 0, 0], [0, -1, 2 * y], [0, 0, 1]], dtype=np.float64)
    return matrix


def _grey_levels(pixels: NDArray[np.uint8], change: Change) -> NDArray[np.float32]:
    """What each of the 256 grey levels becomes, float32 (256,): contrast about the mean of what is not black."""
    if change.brightness == 0 and change.contrast == 1:
        return _LEVELS
    mean = cv2.sumElems(pixels)[0] / 255 / max(1, cv2.countNonZero(pixels))
    share = np.minimum(_LEVELS / np.float32(_DARK), np.float32(1))
    levels = _LEVELS + share * ((change.contrast - 1) * (_LEVELS - mean) + change.brightness)
    return np.clip(levels, 0, 1).astype(np.float32)
