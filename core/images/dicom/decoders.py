"""Decoders of compressed frames, by imagecodecs: which codec takes which DICOM transfer syntax.

imagecodecs (BSD, around libjpeg-turbo, CharLS and OpenJPEG) is the only package without GPL that takes every
syntax, and the fastest in each; docs/dicom.md has the measurements. JPEG and JPEG 2000 are distinguished by their content, for
headers that name another member of the family.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.images.codestream import Codestream

_JPEG = ("50", "51", "57", "70")
_JPEG_LS = ("80", "81")
# HTJ2K is left to OpenJPEG too: imagecodecs' OpenJPH is twice as fast, but lets values beyond white wrap around to black,
# and hands out whatever was in memory for a damaged frame.
_JPEG_2000 = ("90", "91", "201", "202", "203")
_PREFIX = "1.2.840.10008.1.2.4."
RLE = "1.2.840.10008.1.2.5"
# Transfer syntax -> library that decodes it, for people.
DECODERS = {
    RLE: "imagecodecs",
    **{_PREFIX + number: "libjpeg-turbo" for number in _JPEG},
    **{_PREFIX + number: "CharLS" for number in _JPEG_LS},
    **{_PREFIX + number: "OpenJPEG" for number in _JPEG_2000},
}
_COLOUR_MARKER = re.compile(rb"\xff\xe0..JFIF|\xff\xee\x00[\x0e-\xff]Adobe", re.DOTALL)
_END = b"\xff\xd9"  # JPEG 2000's last marker
_MAX_THREADS = 4  # OpenJPEG's gain beyond is small


class Undecodable(ValueError):
    """The decoders' own error messages about a frame: they know nothing of the header around it."""


def decoder_of(syntax: str) -> str:
    """The library that decodes a compressed transfer syntax here, "" where none does."""
    return DECODERS.get(syntax, "") if importlib.util.find_spec("imagecodecs") else ""


def decode(frame: bytes, stream: Codestream, photometric: str) -> tuple[NDArray[Any], str]:
    """A JPEG or JPEG 2000 frame -> values (H, W) or (H, W, samples), and the names of the libraries that gave them.

    Colour comes as RGB where the codec itself transforms it, as stored otherwise.

    Raises:
        Undecodable: every codec refused the frame; the message has their reasons.
    """
    if stream.end and frame[stream.end : stream.end + 2] != _END:
        frame = frame[: stream.end] + _END  # its tiles are complete, and OpenJPEG misses the marker all the same
    reasons: list[str] = []
    for name, codec in _codecs(stream, photometric):
        try:
            return _by_pixel(np.asarray(codec(frame)), stream), name
        except (RuntimeError, ValueError, TypeError, NotImplementedError, MemoryError) as error:
            reasons.append(f"{name}: {' '.join(str(error).split())[:120] or 'no reason given'}")
    raise Undecodable("; ".join(reasons))


def decode_rle(frame: bytes, shape: tuple[int, int], samples: int, bytes_a_sample: int) -> NDArray[Any]:
    """A DICOM RLE frame (PS3.5 annex G) -> values (H, W) or (H, W, samples).

    Raises:
        Undecodable: the segments are damaged or end before the image is complete.
    """
    import imagecodecs  # 80 MB on disk: only when a frame needs it

    dtype = np.dtype(f"<u{bytes_a_sample}")
    rows, columns = shape
    count = rows * columns * samples
    segments = int.from_bytes(frame[:4], "little")
    if segments != samples * bytes_a_sample:
        raise Undecodable(f"{segments} run-length segments instead of {samples * bytes_a_sample}")
    _check_segments(frame, segments)
    values = imagecodecs.dicomrle_decode(frame, dtype)
    if values is None or len(values) < count * dtype.itemsize:
        raise Undecodable("the run-length segments end before the image is complete")
    planes = np.frombuffer(values, dtype, count)
    return planes.reshape(shape) if samples == 1 else np.moveaxis(planes.reshape(samples, rows, columns), 0, 2)


def _check_segments(frame: bytes, segments: int) -> None:
    offsets = [int.from_bytes(frame[4 * number : 4 * number + 4], "little") for number in range(1, segments + 1)]
    if len(frame) < 64 or offsets != sorted(offsets) or offsets[0] < 64 or offsets[-1] >= len(frame):
        raise Undecodable("run-length segments that begin outside the frame")


def _codecs(stream: Codestream, photometric: str) -> list[tuple[str, Callable[[bytes], Any]]]:
    import imagecodecs

    threads = min(os.cpu_count() or 1, _MAX_THREADS)

    def open_jpeg(frame: bytes) -> Any:
        return imagecodecs.jpeg2k_decode(frame, numthreads=threads)

    def jpeg(frame: bytes) -> Any:
        # Without a marker that says so, libjpeg takes three components for YCbCr, also where DICOM says RGB.
        plain = photometric == "RGB" and not _COLOUR_MARKER.search(frame, 0, 1024)
        colours = "RGB" if plain else None
        return imagecodecs.jpeg8_decode(frame, colorspace=colours, outcolorspace=colours)

    if stream.kind == "JPEG":
        return [("libjpeg-turbo", jpeg)]
    if stream.kind == "JPEG-LS":
        return [("CharLS", imagecodecs.jpegls_decode)]
    return [("OpenJPEG", open_jpeg)]


def _by_pixel(values: NDArray[Any], stream: Codestream) -> NDArray[Any]:
    """(H, W) or (H, W, samples), whichever order the codec gave."""
    if values.ndim == 3 and values.shape[0] == stream.components and values.shape[2] != stream.components:
        values = np.moveaxis(values, 0, 2)
    return values[:, :, 0] if values.ndim == 3 and values.shape[2] == 1 else values
