"""What the Preprocess page shows of one image under one recipe: arrays and numbers, encoded for the browser.

"Before" and "after" come out of the very function that training uses, only with a larger size, so that what the
sliders show is what the model gets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core.config import Recipe

if TYPE_CHECKING:
    from core.preprocessing import Prepared
    from dashboard.services import ImageRef

SIDE = 1024  # px; the previews' longer side


@dataclass(frozen=True)
class Preview:
    """`before` and `after` are JPEG of the same geometry, without the padding.

    Histograms are shares in percent of the breast's pixels, 64 bins of grey levels 0-255.
    """

    before: bytes
    after: bytes
    histogram_before: NDArray[np.float64]
    histogram_after: NDArray[np.float64]


def make_preview(image: ImageRef, recipe: Recipe, prepare: Callable[[ImageRef, Recipe], Prepared]) -> Preview:
    """Prepare the image at preview size, under `recipe` and with its grey levels left alone, and encode both."""
    from core.images.encode import encode_jpeg

    large = prepare(image, recipe.model_copy(update={"size": SIDE}))
    plain = prepare(image, neutral(recipe, SIDE))
    left, top, right, bottom = large.breast
    shown, original = large.pixels[top:bottom, left:right], plain.pixels[top:bottom, left:right]
    inside = shown > 0
    return Preview(
        before=encode_jpeg(original, quality=90),
        after=encode_jpeg(shown, quality=90),
        histogram_before=histogram(original[inside]),
        histogram_after=histogram(shown[inside]),
    )


def neutral(recipe: Recipe, side: int) -> Recipe:
    """The recipe's crop and orientation without anything that changes grey levels."""
    return recipe.model_copy(
        update={"clahe": False, "window_low": 0.0, "window_high": 100.0, "remove_background": False, "size": side}
    )


def histogram(values: NDArray[np.uint8], bins: int = 64) -> NDArray[np.float64]:
    """Share in percent of `values` in each of `bins` equal bins of 0-255; zeros when there is none."""
    counts = np.bincount(values.ravel(), minlength=256).reshape(bins, -1).sum(axis=1)
    total = counts.sum()
    return counts * (100.0 / total) if total else np.zeros(bins)


def fit(pixels: Any, side: int) -> Any:
    """`pixels` shrunk (area averaging) so that its longer side is at most `side`; never enlarged."""
    import cv2

    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
