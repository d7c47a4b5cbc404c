"""The images that pages point at, decoded and prepared once: the caches between a file and what is shown of it.

What a slider does not change stays cached: the decoded image, its analysis, and the image turned, cut and cleaned
(`arranged`). A moved slider costs `enhanced` only, and everything shown of one recipe comes out of that. All of it
together is bounded in bytes (dashboard.cache.image_memory).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.config import Recipe
from core.images import one_large_at_a_time, read
from core.images.encode import encode_jpeg
from core.images.mammogram import Mammogram
from core.preprocessing import (
    Analysis,
    IntensityNormalised,
    Prepared,
    SpatiallyNormalised,
    analyse,
    normalise_intensity,
    normalise_spatially,
    resize_to_input,
)
from core.preprocessing.preview import Before, fit, make_before, shrunk
from core.preprocessing.spatial import FIELDS
from dashboard.access.paths import require_allowed
from dashboard.cache.image_memory import cached
from dashboard.state.file_stamps import stamp

PREVIEW_SIDE = 1024  # px; previews sent to the browser are no longer than this
THUMBNAIL_SIDE = 240  # px; pictures of galleries
SMALL_SIDE = 768  # px; copies on which many images are shown at once


@dataclass(frozen=True)
class ImageRef:
    """An image the user points at: a file, or the bytes of an upload. Build it with `image_ref`.

    `key` changes whenever the bytes may have changed; it is what caches are keyed by, together with `frame`: the frame
    to take of a file with several, None for the one that the reader chooses.
    """

    name: str
    key: str
    source: Path | bytes
    frame: int | None = None

    @property
    def file(self) -> str:
        """Its name in error messages: an upload's. A path has its own there, where `name` may be a row's title."""
        return self.name if isinstance(self.source, bytes) else ""


def image_ref(source: Path | str | bytes, name: str = "", frame: int | None = None) -> ImageRef:
    """Name a file or an upload for the caches.

    Raises NotAllowed (a visitor may not name this file (see dashboard.access.paths)).
    """
    if isinstance(source, bytes):
        return ImageRef(name or "upload", hashlib.sha256(source).hexdigest(), source, frame)
    path = require_allowed(source)
    return ImageRef(name or path.name, f"{path}:{stamp(path)}", path, frame)


@cached(lambda recipe: recipe.voi_index)
def mammogram(image: ImageRef, recipe: Recipe) -> Mammogram:
    """The decoded image. Of the recipe only `voi_index` counts. Raises UnreadableImage."""
    return read(image.source, frame=image.frame, window=recipe.voi_index, name=image.file)


@cached(lambda recipe: (recipe.voi_index, recipe.polarity))
def analysis(image: ImageRef, recipe: Recipe) -> Analysis:
    """Breast, chest wall, polarity and grey levels of an image. Of the recipe only `voi_index` and `polarity` count."""
    return analyse(mammogram(image, recipe), recipe)


def _geometry(recipe: Recipe) -> tuple[Any, ...]:
    """All of the recipe that decides how an image is turned, cut and cleaned."""
    return tuple(getattr(recipe, name) for name in FIELDS)


@cached(_geometry)
def arranged(image: ImageRef, recipe: Recipe) -> SpatiallyNormalised:
    """The image turned, cut and cleaned, its grey levels as read: what no slider of grey levels changes."""
    return normalise_spatially(mammogram(image, recipe), recipe, analysis=analysis(image, recipe))


@cached(lambda recipe: recipe.model_copy(update={"size": PREVIEW_SIDE}).hash)
def enhanced(image: ImageRef, recipe: Recipe) -> IntensityNormalised:
    """The crop under this recipe at full resolution. The recipe's size does not count."""
    return normalise_intensity(arranged(image, recipe), recipe)


@cached(_geometry)
def before(image: ImageRef, recipe: Recipe) -> Before:
    """The same crop with its grey levels left alone, and what goes with it. No slider of grey levels changes it."""
    return make_before(arranged(image, recipe), recipe, mammogram(image, recipe).meta)


@cached(lambda recipe: recipe.hash)
def prepared(image: ImageRef, recipe: Recipe) -> Prepared:
    """What a model sees of this image: the very array of training and prediction. Raises UnreadableImage."""
    return resize_to_input(enhanced(image, recipe), recipe)


def _small_copy(image: ImageRef, recipe: Recipe) -> Mammogram:
    with one_large_at_a_time():
        return shrunk(read(image.source, frame=image.frame, window=recipe.voi_index, name=image.file), SMALL_SIDE)


@cached(lambda recipe: recipe.voi_index)
def small(image: ImageRef, recipe: Recipe) -> Mammogram:
    """A copy of the decoded image, at most `SMALL_SIDE` px long, cached. Raises UnreadableImage."""
    return _small_copy(image, recipe)


@cached(_geometry)
def small_arranged(image: ImageRef, recipe: Recipe) -> SpatiallyNormalised:
    """`arranged` of the small copy."""
    return normalise_spatially(small(image, recipe), recipe)


@dataclass(frozen=True)
class Thumbnail:
    """A small picture of an image as JPEG bytes, and whether the file is stored inverted: air white."""

    picture: bytes
    inverted: bool


@cached(lambda recipe=None: recipe.hash if recipe else "")
def thumbnail(image: ImageRef, recipe: Recipe | None = None) -> Thumbnail:
    """An image as it is stored or, with a recipe, prepared by it, at most `THUMBNAIL_SIDE` px long. Raises UnreadableImage.

    Made from a small copy that is not cached: galleries show many.
    """
    wanted = recipe or Recipe()
    copy = _small_copy(image, wanted)
    found = analyse(copy, wanted)
    pixels: Any = copy.pixels
    if recipe is not None:
        pixels = normalise_intensity(normalise_spatially(copy, recipe, analysis=found), recipe).pixels
    return Thumbnail(preview_jpeg(pixels, THUMBNAIL_SIDE, quality=85), found.polarity.inverted)


def preview_jpeg(pixels: Any, side: int = PREVIEW_SIDE, quality: int = 88) -> bytes:
    """Grey (uint8, uint16 or float in [0, 1]) or RGB uint8 as JPEG bytes, at most `side` px long, never stretched."""
    return encode_jpeg(fit(pixels, side), quality=quality)
