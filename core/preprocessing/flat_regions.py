"""Large flat regions at an image's margin: the candidates for air."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from core.images.mammogram import Pixels

_SIDE = 192  # px: enough to see the background, small enough for a fraction of a millisecond
_FLAT = 0.02  # of the grey range: largest change between neighbours inside a flat region
_SMALLEST = 0.004  # of the image: smaller regions do not count
_MARGIN = 0.06  # of the shorter side: how far from the edge a film frame may keep the air


@dataclass(frozen=True)
class FlatRegion:
    """`share` of the image 0..1; `values` are the region's levels."""

    share: float
    values: NDArray[np.float32]


def normalised_copy(image: Pixels) -> Pixels | None:
    """A copy of at most 192 px with the 0.5 and 99.5 percentiles at 0 and 1; None without contrast or too small."""
    height, width = image.shape
    scale = _SIDE / max(height, width)
    if scale < 1:
        image = cv2.resize(image, (max(1, round(width * scale)), max(1, round(height * scale))), interpolation=cv2.INTER_AREA)
    low, high = (float(level) for level in np.percentile(image, (0.5, 99.5)))
    if high - low < 1e-6 or min(image.shape) < 8:
        return None
    return np.clip((image - low) / (high - low), 0, 1).astype(np.float32)


def flat_regions(levels: Pixels) -> Iterator[FlatRegion]:
    """Connected flat regions of a normalised copy that come near its edge."""
    kernel = np.ones((3, 3), np.uint8)
    flat = ((cv2.dilate(levels, kernel) - cv2.erode(levels, kernel)) <= _FLAT).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(flat, connectivity=4)
    margin = max(1, round(_MARGIN * min(levels.shape)))
    edge = np.ones(levels.shape, bool)
    edge[margin:-margin, margin:-margin] = False
    for label in np.unique(labels[edge & (flat > 0)]):
        share = float(stats[label, cv2.CC_STAT_AREA]) / levels.size
        if _SMALLEST <= share <= 1 - _SMALLEST:
            yield FlatRegion(share, levels[labels == label])
