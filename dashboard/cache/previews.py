"""Live previews over HTTP: what a slider of the Preprocess page shows while it is still being dragged.

Each value of a Streamlit slider costs a rerun of the page. So this page's own sliders ask for pictures at an address of
the same origin, one request at a time, newest values first; the page gets the values when a slider comes to rest.
An address holds a token that cannot be guessed, made for one image (or one grid of images) when a page shows it; nothing
is written anywhere, and browsers are asked to cache nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import math
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.config import Recipe
from core.errors import LabError
from core.images.encode import encode_jpeg, encode_png, to_uint8
from core.preprocessing import normalise_intensity, quality
from core.preprocessing.preview import LOUPE, SIDE, Cut, cut_out, fit, histogram, loupe
from core.preprocessing.spatial import FIELDS
from dashboard.cache import images
from dashboard.cache.envelope import envelope
from dashboard.cache.images import ImageRef

log = logging.getLogger(__name__)

GRID_SIDE = 320  # px; longer side of a picture in the grid
MOST_OPEN = 512  # images and grids that can be asked for at a time; an upload goes with its session (dashboard.ui.uploads)
QUIET = 0.4  # seconds without a request for the main picture before the grid continues to read


@dataclass
class ImageGrid:
    """Images that are shown together; `failed`: index -> why it could not be read."""

    refs: tuple[ImageRef, ...]
    lock: threading.Lock = field(default_factory=threading.Lock)
    ready: set[tuple[int, int]] = field(default_factory=set)  # (index, voi) read
    failed: dict[tuple[int, int], str] = field(default_factory=dict)
    reading: bool = False


_secret = secrets.token_bytes(32)
_lock = threading.Lock()
_known: OrderedDict[str, ImageRef | ImageGrid] = OrderedDict()


class _Sliders:
    """Whether somebody moves a slider: everything else waits until it rests."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._drawing = 0
        self._last = 0.0

    def __enter__(self) -> None:
        with self._lock:
            self._drawing += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._drawing -= 1
            self._last = time.monotonic()

    def wait(self, quiet: float) -> None:
        """Return once no picture is being made and none was for `quiet` seconds."""
        while self._drawing or time.monotonic() - self._last < quiet:
            time.sleep(0.02)


sliders = _Sliders()


def find(token: str) -> ImageRef | ImageGrid | None:
    """What this token was made for; None where that is no longer open here."""
    with _lock:
        found = _known.get(token)
        if found is not None:
            _known.move_to_end(token)
        return found


def open_image(image: ImageRef) -> str:
    """The token under which this image can be asked for; the same each time while the server lives."""
    return _store(_token(image), lambda: image)


def open_grid(refs: Sequence[ImageRef]) -> str:
    """The token of these images as a grid."""
    return _store(_token(*refs), lambda: ImageGrid(tuple(refs)))


def close(key: str) -> None:
    """No longer answer for the image of this key."""
    with _lock:
        for token in [token for token, known in _known.items() if isinstance(known, ImageRef) and known.key == key]:
            del _known[token]


def _token(*refs: ImageRef) -> str:
    text = json.dumps([len(refs), *([ref.key, ref.frame] for ref in refs)])
    return hmac.new(_secret, text.encode(), hashlib.sha256).hexdigest()[:32]


def _store(token: str, make: Callable[[], ImageRef | ImageGrid]) -> str:
    with _lock:
        if token not in _known:
            _known[token] = make()
        _known.move_to_end(token)
        while len(_known) > MOST_OPEN:
            _known.popitem(last=False)
    return token


# ---------------------------------------------------------------- pictures


@dataclass(frozen=True)
class Shown:
    """Names of what the browser shows already of the picture before: picture, loupe, part at native resolution."""

    picture: str = ""
    lens: str = ""
    cut: str = ""


def picture(
    image: ImageRef, recipe: Recipe, spot: tuple[float, float], seen: Shown | None = None, cut: Cut | None = None
) -> bytes:
    """All that follows the sliders, as one message: the picture after and before, the loupe before and after at `spot` (shares
    of width and height), the part `cut` after and before where one is asked for, numbers and histograms. What was `seen` of
    the picture before is empty. Raises UnreadableImage (see core.images.read).
    """
    started = time.perf_counter()
    before, after = images.before(image, recipe), images.enhanced(image, recipe)
    seen = seen or Shown()
    geometry = geometry_of(image, recipe)
    lens_at = _lens(geometry, after.pixels.shape, spot)
    cut_header, cut_blobs = _cut(geometry, before.pixels, after.pixels, cut, seen.cut) if cut else ({}, [])
    shown = to_uint8(fit(after.pixels, SIDE))
    blobs = [
        encode_jpeg(shown, quality=90),
        b"" if seen.picture == geometry else before.jpeg,
        *_loupe(before.pixels, after.pixels, spot, with_before=seen.lens != lens_at),
        *cut_blobs,
    ]
    numbers = quality(before.pixels, after.pixels, before.inside)
    height, width = after.pixels.shape
    header = {
        "recipe": recipe.hash,
        "geometry": geometry,
        "lens": lens_at,
        "spot": before.spot,
        "spacing": before.spacing,
        **cut_header,
        "width": width,
        "height": height,
        "contrast": _finite(numbers.local_contrast_gain),
        "noise": _finite(numbers.noise_gain),
        "histogram_before": before.histogram,
        "histogram_after": histogram(shown, before.inside_preview),
    }
    header["ms"] = round((time.perf_counter() - started) * 1000, 1)
    return envelope(header, blobs)


def geometry_of(image: ImageRef, recipe: Recipe) -> str:
    """Changes when the picture before does: with the image, its frame, and how it is cut and turned."""
    text = json.dumps([image.key, image.frame, [getattr(recipe, name) for name in FIELDS]])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def magnified(image: ImageRef, recipe: Recipe, spot: tuple[float, float]) -> bytes:
    """The loupe alone, before and after: what a moving pointer asks for."""
    before, after = images.before(image, recipe).pixels, images.enhanced(image, recipe).pixels
    header = {"recipe": recipe.hash, "lens": _lens(geometry_of(image, recipe), after.shape, spot)}
    return envelope(header, _loupe(before, after, spot))


def native(image: ImageRef, recipe: Recipe, cut: Cut, seen: str = "") -> bytes:
    """A part of the picture at native resolution, after and before: what a zoomed view asks for. The part before is empty
    where it is the one that was `seen`."""
    before, after = images.before(image, recipe).pixels, images.enhanced(image, recipe).pixels
    header, blobs = _cut(geometry_of(image, recipe), before, after, cut, seen)
    return envelope({"recipe": recipe.hash, **header}, blobs)


def _cut(
    geometry: str, before: NDArray[np.uint16], after: NDArray[np.uint16], cut: Cut, seen: str
) -> tuple[dict[str, Any], list[bytes]]:
    """The header of a part (its edges in shares of the picture), and the part after and before as JPEG."""
    x0, y0, x1, y1 = cut.box(after.shape)
    height, width = after.shape
    name = f"{geometry}:{x0}:{y0}:{x1}:{y1}:{cut.dots}"
    blobs = [encode_jpeg(cut_out(after, cut), quality=93)]
    blobs.append(b"" if name == seen else encode_jpeg(cut_out(before, cut), quality=93))
    return {"cut": name, "part": (x0 / width, y0 / height, x1 / width, y1 / height)}, blobs


def _loupe(
    before: NDArray[np.uint16], after: NDArray[np.uint16], spot: tuple[float, float], *, with_before: bool = True
) -> list[bytes]:
    x, y = pixel_at(after.shape, spot)
    return [encode_png(loupe(before, x, y, LOUPE)) if with_before else b"", encode_png(loupe(after, x, y, LOUPE))]


def _lens(geometry: str, shape: tuple[int, ...], spot: tuple[float, float]) -> str:
    """Changes when the loupe before does."""
    return "{}:{}:{}".format(geometry, *pixel_at(shape, spot))


def pixel_at(shape: tuple[int, ...], spot: tuple[float, float]) -> tuple[int, int]:
    """The pixel (x, y) of a picture of `shape` (height, width) at shares (0..1) of its width and height."""
    return min(shape[1] - 1, int(spot[0] * shape[1])), min(shape[0] - 1, int(spot[1] * shape[0]))


# ---------------------------------------------------------------- the grid


def grid(found: ImageGrid, recipe: Recipe) -> bytes:
    """The images of the grid under this recipe, on copies of `images.SMALL_SIDE` px: those that are read by now."""
    _read_missing(found, recipe)
    blobs: list[bytes] = []
    states: list[str] = []
    for index, ref in enumerate(found.refs):
        if (index, recipe.voi_index) in found.ready:
            sliders.wait(0)
            after = normalise_intensity(images.small_arranged(ref, recipe), recipe)
            blobs.append(encode_jpeg(fit(after.pixels, GRID_SIDE), quality=85))
            states.append("")
        else:
            blobs.append(b"")
            states.append(found.failed.get((index, recipe.voi_index), "reading"))
    return envelope({"recipe": recipe.hash, "states": states, "waiting": states.count("reading")}, blobs)


def _read_missing(found: ImageGrid, recipe: Recipe) -> None:
    """Start reading what is missing in the background, unless somebody is at it."""
    with found.lock:
        missing = [
            index
            for index in range(len(found.refs))
            if (index, recipe.voi_index) not in found.ready and (index, recipe.voi_index) not in found.failed
        ]
        if found.reading or not missing:
            return
        found.reading = True

    def read() -> None:
        try:
            for index in missing:
                sliders.wait(QUIET)
                try:
                    images.small_arranged(found.refs[index], recipe)
                    found.ready.add((index, recipe.voi_index))
                except LabError as error:
                    found.failed[index, recipe.voi_index] = str(error)
                except Exception:
                    log.exception("an image of the grid could not be read")
                    found.failed[index, recipe.voi_index] = "Something unexpected went wrong: the server's log has the details."
        finally:
            found.reading = False

    threading.Thread(target=read, name="grid", daemon=True).start()


def _finite(value: float) -> float | None:
    return round(value, 3) if math.isfinite(value) else None
