"""Image readers: files and bytes -> Mammogram. `read` is the one way in; it decides by content, never by extension.

    formats.py -> dicom/reader.py (DICOM, with or without preamble) | raster.py (PNG, JPEG, PGM, TIFF)

Anything else, and anything broken, huge or coloured beyond use, raises `UnreadableImage` with the reason.
"""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

from core.errors import UnreadableImage
from core.images.dicom.reader import read_dicom
from core.images.encode import encode_jpeg, encode_png, to_uint8
from core.images.files import checked_format, opened, printable_name, read_all
from core.images.formats import format_of
from core.images.grey_level_count import count_grey_levels
from core.images.large_images import one_large_at_a_time
from core.images.library_warnings import silenced
from core.images.mammogram import Mammogram
from core.images.raster import read_raster

__all__ = [
    "Mammogram",
    "encode_jpeg",
    "encode_png",
    "one_large_at_a_time",
    "read",
    "to_uint8",
]


def read(source: Path | str | bytes, *, frame: int | None = None, window: int = 1, name: str = "") -> Mammogram:
    """Read one mammogram from a file or from the bytes of one.

    `frame` counts from 0 and only matters in files with several frames or pages; None takes the middle frame of a
    DICOM stack (tomosynthesis) and the first page of a TIFF, and says so in the steps.

    `window` chooses among the grey level transformations that a DICOM file offers (VOI LUTs, then windows), from 1;
    0 takes none of them but the whole range of the image. A file with fewer takes its last and says so in the steps;
    a file without any, and every other format, ignores it.

    `name` is what a refusal calls the image: of bytes, the file that they came from. A path has its own.

    Large images are decoded one at a time in a process. Whoever makes something small of one and lets go of it does so
    within `one_large_at_a_time()`, and others wait until then.

    Returns pixels float32 (height, width) in [0, 1], 0 = air; the steps that led there; and what the file says about
    itself, without names, identifiers or dates.

    Raises:
        UnreadableImage: missing, unreadable, not an image, broken, too large, coloured, or without a decoder here.
    """
    unnamed = "uploaded data" if isinstance(source, bytes | bytearray | memoryview) else source
    name = printable_name(name or unnamed)
    try:
        with one_large_at_a_time():
            mammogram = _read(source, frame, window)
            return replace(mammogram, meta=replace(mammogram.meta, grey_levels=count_grey_levels(mammogram.pixels)))
    except UnreadableImage as error:
        raise UnreadableImage(f"{name}: {error}") from error
    except MemoryError as error:
        raise UnreadableImage(f"{name}: the image does not fit in memory. Close other programs.") from error


def _read(source: Path | str | bytes, frame: int | None, window: int) -> Mammogram:
    with silenced():
        if isinstance(source, bytes | bytearray | memoryview):
            content = bytes(source)
            kind = format_of(content)
            if kind == "DICOM":
                return read_dicom(io.BytesIO(content), frame=frame, window=window)
            return read_raster(content, kind, frame=frame)
        with opened(source) as (stream, size):
            kind = checked_format(stream, size)
            if kind == "DICOM":  # from the open file: of a stack of gigabytes, only the frame asked for is ever in memory
                return read_dicom(stream, frame=frame, window=window)
            content = read_all(stream, size)
        return read_raster(content, kind, frame=frame)
