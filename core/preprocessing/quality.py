"""Local contrast and noise inside the breast, before and after an enhancement.

Measured on square patches on a fixed grid, so the same picture always gives the same numbers, and a moving slider pays
a few milliseconds however large the mammogram is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

_Level = TypeVar("_Level", np.uint8, np.uint16)
_GRID = 24  # patches along each side of the crop
_ACROSS = 128  # patches of this share of the longer side are 1-2 mm on a breast of 13-25 cm
_SIDES = (8, 32)  # px: smallest and largest patch
_FULL = 65_535
_NOTHING = 0.1 / _FULL  # less than this is rounding
# Immerkaer's mask: the difference of two Laplacians. It does not see planes, ramps and straight edges along the axes.
_MASK = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
_SIGMA = np.sqrt(np.pi / 2) / 6  # mean absolute response -> standard deviation, for Gaussian noise


@dataclass(frozen=True)
class Quality:
    """Before and after, in shares of the full grey range (0..1).

    `local_contrast`: mean standard deviation of grey levels within patches of 1-2 mm (RMS contrast, Peli, J. Opt. Soc.
    Am. A 7, 1990). `noise`: standard deviation of pixel noise (Immerkaer, Comput. Vis. Image Underst. 64, 1996).
    A gain is after / before, and 1 where there was nothing before.
    """

    local_contrast_before: float
    local_contrast_after: float
    noise_before: float
    noise_after: float

    @property
    def local_contrast_gain(self) -> float:
        """How many times local contrast has become what it was."""
        return _gain(self.local_contrast_before, self.local_contrast_after)

    @property
    def noise_gain(self) -> float:
        """How many times noise has become what it was."""
        return _gain(self.noise_before, self.noise_after)


def quality(before: NDArray[np.uint16], after: NDArray[np.uint16], inside: NDArray[np.uint8] | None) -> Quality:
    """Compare two pictures (h, w) of the same crop, full range; `inside` (h, w), nonzero on the breast, None: everywhere.

    Only patches that lie wholly inside count; without any, all do.

    Raises:
        ValueError: the shapes differ.
    """
    if before.shape != after.shape or (inside is not None and inside.shape != before.shape):
        shapes = (before.shape, after.shape, None if inside is None else inside.shape)
        raise ValueError(f"expected two pictures and a mask of the same shape, got {shapes}")
    height, width = before.shape
    side = min(int(np.clip(round(max(height, width) / _ACROSS), *_SIDES)), height, width)
    rows, columns = (axis.ravel() for axis in np.meshgrid(_positions(height, side), _positions(width, side), indexing="ij"))
    if inside is not None:
        whole = _patches(inside, rows, columns, side).all(axis=(1, 2))
        if whole.any():
            rows, columns = rows[whole], columns[whole]
    (contrast_before, noise_before), (contrast_after, noise_after) = (
        _measure(_patches(picture, rows, columns, side)) for picture in (before, after)
    )
    return Quality(contrast_before, contrast_after, noise_before, noise_after)


def _positions(length: int, side: int) -> NDArray[np.int64]:
    """First pixels of the patches along an axis, evenly spread from edge to edge."""
    return np.unique(np.linspace(0, length - side, _GRID).round().astype(np.int64))


def _patches(picture: NDArray[_Level], rows: NDArray[np.int64], columns: NDArray[np.int64], side: int) -> NDArray[_Level]:
    """(n, side, side) copies of the patches whose first pixels are at (rows, columns)."""
    return sliding_window_view(picture, (side, side))[rows, columns]


def _measure(patches: NDArray[np.uint16]) -> tuple[float, float]:
    """Mean local standard deviation and noise of (n, side, side) patches, in shares of the full range."""
    count, side, _ = patches.shape
    levels = patches.astype(np.float32) / np.float32(_FULL)
    contrast = float(levels.reshape(count, -1).std(axis=1).mean())
    if side < 3:
        return contrast, 0.0
    # One filter call over all patches stacked; rows and columns at a patch's border see its neighbours and do not count.
    response = cv2.filter2D(levels.reshape(-1, side), cv2.CV_32F, _MASK).reshape(patches.shape)
    return contrast, float(_SIGMA * np.abs(response[:, 1:-1, 1:-1]).mean())


def _gain(before: float, after: float) -> float:
    return after / before if before > _NOTHING else 1.0
