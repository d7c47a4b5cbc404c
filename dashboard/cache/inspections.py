"""Inspections of images, cached and encoded for the browser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.config import Recipe
from core.images.encode import encode_png
from dashboard.cache import images
from dashboard.cache.image_memory import cached
from dashboard.cache.images import ImageRef

if TYPE_CHECKING:
    from core.inspection import Inspection

_THUMBNAIL = 420  # px
_BINS = 64  # of the histograms shown


@dataclass(frozen=True)
class Inspected:
    """An inspection, a JPEG of each of its stages, and its downloads: one HTML file, the model's input as PNG."""

    inspection: Inspection
    thumbnails: tuple[bytes, ...]
    html: str
    png: bytes


@cached(lambda recipe: recipe.hash)
def inspected(image: ImageRef, recipe: Recipe) -> Inspected:
    """The image after each step of a recipe. Raises UnreadableImage."""
    from core.inspection import inspect_image, to_html

    found = inspect_image(images.mammogram(image, recipe), recipe)
    thumbnails = tuple(images.preview_jpeg(stage.picture, _THUMBNAIL) for stage in found.stages)
    return Inspected(found, thumbnails, to_html(found), encode_png(found.prepared.pixels))


def percentages(counts: Sequence[int]) -> list[float]:
    """A histogram of 256 grey levels as percent of its pixels in 64 bins; zeros when there is no pixel."""
    total = sum(counts)
    width = len(counts) // _BINS
    return [100 * sum(counts[start : start + width]) / total if total else 0.0 for start in range(0, len(counts), width)]
