"""Prepared: what preprocessing returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.images.mammogram import Step

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Prepared:
    """What the model sees, before mean and standard deviation.

    `pixels` uint8 (H, W), contiguous; `matrix` float64 (3, 3) maps original coordinates (x, y, 1) to prepared ones
    (see geometry.py); `breast` (x0, y0, x1, y1) is the area of `pixels` that is image rather than padding;
    `breast_found` is False where nothing in the image looks like a breast.
    """

    pixels: NDArray[np.uint8]
    recipe_hash: str
    matrix: Matrix
    breast: tuple[int, int, int, int]
    steps: tuple[Step, ...] = ()
    breast_found: bool = True

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the preparation was unsure about."""
        return tuple(warning for step in self.steps for warning in step.warnings)
