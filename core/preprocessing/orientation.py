"""Side of the chest wall, from the breast's shape: it is wide at the chest wall and tapers to the nipple."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

_BANDS = (0.06, 0.15)  # shares of the breast's width at either side that are compared
_UNSURE = 0.12


@dataclass(frozen=True)
class ChestWall:
    """The side, and the margin of the verdict: -1 (surely right) .. 1 (surely left)."""

    side: Literal["left", "right"]
    margin: float

    @property
    def unsure(self) -> bool:
        """Whether both sides of the breast look alike."""
        return abs(self.margin) < _UNSURE


def find_chest_wall(mask: NDArray[np.uint8]) -> ChestWall:
    """Judge a breast mask, (h, w), nonzero inside."""
    columns = np.count_nonzero(mask, axis=0)
    inside = np.flatnonzero(columns)
    if inside.size < 4:
        return ChestWall("left", 0.0)
    heights = columns[inside[0] : inside[-1] + 1].astype(np.float64)
    margin = 0.0
    for share in _BANDS:
        band = max(1, round(share * heights.size))
        left, right = float(heights[:band].mean()), float(heights[-band:].mean())
        margin += (left - right) / max(left + right, 1.0) / len(_BANDS)
    return ChestWall("left" if margin >= 0 else "right", margin)
