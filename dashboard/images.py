"""The images that pages point at, decoded and prepared once: the caches between a file and what is shown of it.

What a slider does not change is kept: the decoded image, its analysis, and the image turned, cut and cleaned
(`arranged`). A moved slider pays for `enhanced` only, and everything shown of one recipe comes out of that.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from core.config import Recipe
from dashboard.access.paths import require_allowed
from dashboard.services import stamp

if TYPE_CHECKING:
    from core.images.mammogram import Mammogram
    from core.preprocessing import Analysis, Arranged, Enhanced, Prepared
    from dashboard.preview import Before

PREVIEW_SIDE = 1024  # px; previews sent to the browser are no longer than this
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
        """What an error calls it: an upload's name. A path says its own, where `name` may be a row's title."""
        return self.name if isinstance(self.source, bytes) else ""


def image_ref(source: Path | str | bytes, name: str = "", frame: int | None = None) -> ImageRef:
    """Name a file or an upload for the caches.

    Raises:
        NotAllowed: a visitor may not name this file (see dashboard.access.paths).
    """
    if isinstance(source, bytes):
        return ImageRef(name or "upload", hashlib.sha256(source).hexdigest(), source, frame)
    path = require_allowed(source)
    return ImageRef(name or path.name, f"{path}:{stamp(path)}", path, frame)


def mammogram(image: ImageRef, recipe: Recipe) -> Mammogram:
    """The decoded image; the last few are kept in memory. Of the recipe only `voi` counts. Raises UnreadableImage."""
    return _mammogram(image.key, image.frame, recipe.voi, image)


@st.cache_resource(max_entries=4, show_spinner=False)
def _mammogram(key: str, frame: int | None, voi: int, _image: ImageRef) -> Mammogram:
    from core.preprocessing import load

    return load(_image.source, Recipe.model_validate({"voi": voi}), frame=frame, name=_image.file)


def analysis(image: ImageRef, recipe: Recipe) -> Analysis:
    """Breast, chest wall, polarity and grey levels of an image. Of the recipe only `voi` and `polarity` count."""
    return _analysis(image.key, image.frame, recipe.voi, recipe.polarity, image, recipe)


@st.cache_resource(max_entries=16, show_spinner=False)
def _analysis(key: str, frame: int | None, voi: int, polarity: str, _image: ImageRef, _recipe: Recipe) -> Analysis:
    from core.preprocessing import analyse

    return analyse(mammogram(_image, _recipe), _recipe)


def arranged(image: ImageRef, recipe: Recipe) -> Arranged:
    """The image turned, cut and cleaned, its grey levels as read: what no slider of grey levels changes."""
    from core.preprocessing.arranging import FIELDS

    return _arranged(image.key, image.frame, tuple(getattr(recipe, name) for name in FIELDS), image, recipe)


@st.cache_resource(max_entries=4, show_spinner=False)
def _arranged(key: str, frame: int | None, fields: tuple[Any, ...], _image: ImageRef, _recipe: Recipe) -> Arranged:
    from core.preprocessing import arrange

    return arrange(mammogram(_image, _recipe), _recipe, analysis=analysis(_image, _recipe))


def enhanced(image: ImageRef, recipe: Recipe) -> Enhanced:
    """The crop under this recipe at full resolution; the last few are kept. The recipe's size does not count."""
    return _enhanced(image.key, image.frame, recipe.model_copy(update={"size": PREVIEW_SIDE}).hash, image, recipe)


@st.cache_resource(max_entries=3, show_spinner=False)
def _enhanced(key: str, frame: int | None, recipe_hash: str, _image: ImageRef, _recipe: Recipe) -> Enhanced:
    from core.preprocessing import enhance

    return enhance(arranged(_image, _recipe), _recipe)


def before(image: ImageRef, recipe: Recipe) -> Before:
    """The same crop with its grey levels left alone, and what goes with it. No slider of grey levels changes it."""
    from core.preprocessing.arranging import FIELDS

    return _before(image.key, image.frame, tuple(getattr(recipe, name) for name in FIELDS), image, recipe)


@st.cache_resource(max_entries=2, show_spinner=False)
def _before(key: str, frame: int | None, fields: tuple[Any, ...], _image: ImageRef, _recipe: Recipe) -> Before:
    from dashboard.preview import make_before

    return make_before(arranged(_image, _recipe), _recipe)


def prepared(image: ImageRef, recipe: Recipe) -> Prepared:
    """What a model sees of this image: the very array of training and prediction. Raises UnreadableImage."""
    return _prepared(image.key, image.frame, recipe.hash, image, recipe)


@st.cache_resource(max_entries=64, show_spinner=False)
def _prepared(key: str, frame: int | None, recipe_hash: str, _image: ImageRef, _recipe: Recipe) -> Prepared:
    from core.preprocessing import finish

    return finish(enhanced(_image, _recipe), _recipe)


def small(image: ImageRef, recipe: Recipe) -> Mammogram:
    """A copy of the decoded image, at most `SMALL_SIDE` px long, kept apart from the large ones. Raises UnreadableImage."""
    return _small(image.key, image.frame, recipe.voi, image, recipe)


@st.cache_resource(max_entries=32, show_spinner=False)
def _small(key: str, frame: int | None, voi: int, _image: ImageRef, _recipe: Recipe) -> Mammogram:
    from core.images import one_large_at_a_time
    from core.preprocessing import load
    from dashboard.preview import shrunk

    with one_large_at_a_time():
        return shrunk(load(_image.source, _recipe, frame=_image.frame, name=_image.file), SMALL_SIDE)


def small_arranged(image: ImageRef, recipe: Recipe) -> Arranged:
    """`arranged` of the small copy."""
    from core.preprocessing.arranging import FIELDS

    return _small_arranged(image.key, image.frame, tuple(getattr(recipe, name) for name in FIELDS), image, recipe)


@st.cache_resource(max_entries=32, show_spinner=False)
def _small_arranged(key: str, frame: int | None, fields: tuple[Any, ...], _image: ImageRef, _recipe: Recipe) -> Arranged:
    from core.preprocessing import arrange

    return arrange(small(_image, _recipe), _recipe)


def thumbnail(image: ImageRef, side: int = 240) -> bytes:
    """The image as a file says it is, as JPEG bytes no longer than `side` px. Raises UnreadableImage."""
    return _thumbnail(image.key, image.frame, side, image)


@st.cache_data(max_entries=4096, show_spinner=False)
def _thumbnail(key: str, frame: int | None, side: int, _image: ImageRef) -> bytes:
    from core.images import one_large_at_a_time
    from core.preprocessing import load

    with one_large_at_a_time():
        return preview_jpeg(load(_image.source, Recipe(), frame=frame, name=_image.file).pixels, side, quality=85)


def preview_jpeg(pixels: Any, side: int = PREVIEW_SIDE, quality: int = 88) -> bytes:
    """Grey (uint8, uint16 or float in [0, 1]) or RGB uint8 as JPEG bytes, at most `side` px long, never stretched."""
    from core.images.encode import encode_jpeg
    from dashboard.preview import fit

    return encode_jpeg(fit(pixels, side), quality=quality)
