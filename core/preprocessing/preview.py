"""Previews of one image under one recipe for the Preprocess page: pictures, loupe and numbers.

All of it comes out of one `normalise_intensity` at the full resolution of the crop, the very array that `resize_to_input`
shrinks to what the model sees: what the sliders show is what the model gets.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from core.config import Recipe

if TYPE_CHECKING:
    from core.images.mammogram import ImageMeta, Mammogram
    from core.preprocessing import SpatiallyNormalised

SIDE = 1024  # px; the preview's longer side
LOUPE = 320  # px of the full-resolution crop along each side of the loupe
BINS = 64
CUT_SIDE = 3072  # px; longer side of a part that is sent at native resolution: a large window on a dense screen


def neutral(recipe: Recipe) -> Recipe:
    """The recipe's geometry with grey levels left alone: "before" shows the breast's whole range, nothing enhanced."""
    return recipe.model_copy(update={"clahe": False, "window_low": 0.0, "window_high": 100.0, "gamma": 1.0})


@dataclass(frozen=True)
class Before:
    """The crop as it was, at full resolution and as a preview, and where the breast is.

    `pixels` uint16 (h, w); `inside` uint8 (h, w), nonzero on the breast; `inside_preview` the same of the preview's shape;
    `histogram` as the function of that name gives it; `spot` (shares of width and height) is worth showing first; `spacing`
    is the mm between two columns of it, None where the file does not say.
    """

    pixels: NDArray[np.uint16]
    inside: NDArray[np.uint8]
    inside_preview: NDArray[np.uint8]
    jpeg: bytes
    histogram: list[float]
    spot: tuple[float, float] = (0.4, 0.5)
    spacing: float | None = None


def make_before(spatial: SpatiallyNormalised, recipe: Recipe, meta: ImageMeta) -> Before:
    """What "before" shows of an image. Where the recipe leaves the background, the breast is what is not black."""
    from core.images.encode import encode_jpeg, to_uint8
    from core.preprocessing import normalise_intensity

    pixels = normalise_intensity(spatial, neutral(recipe)).pixels
    inside = cv2.bitwise_not(spatial.removed_mask) if spatial.removed_mask is not None else (pixels > 0).astype(np.uint8)
    preview = to_uint8(fit(pixels, SIDE))
    height, width = preview.shape
    inside_preview = cv2.resize(inside, (width, height), interpolation=cv2.INTER_NEAREST)
    jpeg, levels = encode_jpeg(preview, quality=90), histogram(preview, inside_preview)
    spot = salient_spot(preview, without_muscle(inside_preview, spatial, meta.view))
    spacing = meta.pixel_spacing[1] if meta.pixel_spacing else None
    return Before(pixels, inside, inside_preview, jpeg, levels, spot, spacing)


def salient_spot(levels: NDArray[np.uint8], inside: NDArray[np.uint8]) -> tuple[float, float]:
    """Where, well `inside` (not 0), bright structure stands out most from its surroundings; shares (0..1) of width and height.

    Local contrast: what is brighter in a difference of Gaussians of 1/250 and 1/40 of the picture, over a window of a
    twentieth of it. The edges of breast and picture, whose steps are the strongest of all, are kept off, and of two places
    with the same contrast the one deeper inside is taken.
    """
    height, width = levels.shape
    side = max(height, width)
    mask = cv2.copyMakeBorder((inside > 0).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    deep = cv2.distanceTransform(mask, cv2.DIST_L2, 3)[1:-1, 1:-1]
    deepest = float(deep.max())
    usable = deep >= min(max(3.0, side / 14), 0.6 * deepest)
    if not usable.any() or not deepest:
        return 0.4, 0.5
    image = levels.astype(np.float32)
    band = cv2.GaussianBlur(image, (0, 0), max(1.0, side / 250)) - cv2.GaussianBlur(image, (0, 0), max(4.0, side / 40))
    window = max(3, side // 20)
    energy = cv2.boxFilter(np.maximum(band, 0) ** 2, -1, (window, window)) * (deep / deepest)
    y, x = np.unravel_index(int(np.argmax(np.where(usable, energy, -1.0))), levels.shape)
    return (float(x) + 0.5) / width, (float(y) + 0.5) / height


def without_muscle(inside: NDArray[np.uint8], spatial: SpatiallyNormalised, view: str) -> NDArray[np.uint8]:
    """`inside`, uint8 of a preview of the image, without the pectoral muscle: for display, not for a model.

    Where the muscle's edge is not clear, on views that show it and unknown ones, without the corner that it usually fills.
    """
    from core.preprocessing.geometry import scaling
    from core.preprocessing.pectoral import VIEWS, find_pectoral

    analysis, (height, width) = spatial.analysis, inside.shape
    if view not in VIEWS or not analysis.breast.found:
        return inside
    small = find_pectoral(analysis.small, analysis.breast.mask, analysis.chest_wall.side, view).mask
    rest = inside.copy()
    if small.any():
        to_original = scaling(analysis.shape[1] / small.shape[1], analysis.shape[0] / small.shape[0])
        to_preview = scaling(width / spatial.levels.shape[1], height / spatial.levels.shape[0])
        matrix = (to_preview @ spatial.matrix @ to_original)[:2]
        muscle = cv2.warpAffine(small, matrix, (width, height), flags=cv2.INTER_NEAREST)
        margin = max(3, max(height, width) // 40) | 1
        rest[cv2.dilate(muscle, np.ones((margin, margin), np.uint8)) > 0] = 0
        return rest
    at = 0 if spatial.chest_wall == "left" else width - 1
    reach = round(0.5 * width) if at == 0 else round(0.5 * width) - 1
    cv2.fillConvexPoly(rest, np.array([[at, 0], [reach, 0], [at, round(0.45 * height)]], np.int32), 0)
    return rest


def fit(pixels: Any, side: int) -> Any:
    """`pixels` shrunk (area averaging) so that its longer side is at most `side`; never enlarged.

    For looking at, not for the model (`resize_to_input` is that): an odd last row or column is left out where it halves.
    """
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return pixels
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    if scale <= 0.5 and min(height, width) >= 2:  # averaging 2 x 2 is ten times quicker than any other factor
        even = pixels[: height // 2 * 2, : width // 2 * 2]
        pixels = cv2.resize(even, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)


def shrunk(mammogram: Mammogram, side: int) -> Mammogram:
    """A smaller copy of a mammogram, for showing a recipe on many images at once."""
    return replace(mammogram, pixels=np.ascontiguousarray(fit(mammogram.pixels, side)))


def loupe(pixels: NDArray[np.uint16], x: int, y: int, side: int = LOUPE) -> NDArray[np.uint8]:
    """`side` x `side` px of the picture, one to one: pixel (y, x) of it comes to lie at (side // 2, side // 2).

    Beyond the picture's edge it is black. uint8: what a screen can show.
    """
    from core.images.encode import to_uint8

    height, width = pixels.shape
    left, top = x - side // 2, y - side // 2
    x0, y0, x1, y1 = max(0, left), max(0, top), min(width, left + side), min(height, top + side)
    window = np.zeros((side, side), np.uint8)
    if x0 < x1 and y0 < y1:
        window[y0 - top : y1 - top, x0 - left : x1 - left] = to_uint8(pixels[y0:y1, x0:x1])
    return window


@dataclass(frozen=True)
class Cut:
    """A part of a picture, its edges in shares (0..1) of width and height, to be shown `dots` screen pixels wide."""

    left: float
    top: float
    right: float
    bottom: float
    dots: int

    def box(self, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
        """(x0, y0, x1, y1) in pixels of a picture of `shape` (height, width): whole ones, at least one each way."""
        height, width = shape[:2]
        x0, y0 = min(width - 1, int(self.left * width)), min(height - 1, int(self.top * height))
        return x0, y0, max(x0 + 1, math.ceil(self.right * width)), max(y0 + 1, math.ceil(self.bottom * height))


def cut_out(pixels: NDArray[np.uint16], cut: Cut) -> NDArray[np.uint8]:
    """A part of the full-resolution picture: its own pixels, or fewer where the screen has fewer. Never enlarged."""
    from core.images.encode import to_uint8

    x0, y0, x1, y1 = cut.box(pixels.shape)
    longer = max(x1 - x0, y1 - y0)
    wanted = max(1, math.ceil(cut.dots * longer / (x1 - x0)))
    return to_uint8(fit(pixels[y0:y1, x0:x1], min(wanted, CUT_SIDE)))


def histogram(levels: NDArray[np.uint8], inside: NDArray[np.uint8]) -> list[float]:
    """Share in percent of the pixels where `inside` is not 0 in each of `BINS` equal bins of 0-255; zeros without any."""
    counts = cv2.calcHist([levels], [0], inside, [BINS], [0, 256]).ravel()
    total = float(counts.sum())
    return [round(float(count) * 100.0 / total, 3) if total else 0.0 for count in counts]
