"""Files and bytes -> Mammogram. `read` is the one way in; it decides by content, never by extension.

    magic bytes -> dicom.py (DICOM, with or without preamble) | raster.py (PNG, JPEG, PGM, TIFF)

Anything else, and anything broken, huge or coloured beyond use, raises `UnreadableImage` with the reason.
"""

from __future__ import annotations

from pathlib import Path

from core.errors import UnreadableImage
from core.images import dicom, raster
from core.images.encode import encode_jpeg, encode_png, to_uint8
from core.images.limits import MAX_FILE_BYTES, describe, got
from core.images.mammogram import ImageMeta, Mammogram, Pixels, Step
from core.images.pseudonym import pseudonym

__all__ = [
    "ImageMeta",
    "Mammogram",
    "Pixels",
    "Step",
    "UnreadableImage",
    "encode_jpeg",
    "encode_png",
    "pseudonym",
    "read",
    "to_uint8",
]


def read(source: Path | str | bytes, *, frame: int | None = None) -> Mammogram:
    """Read one mammogram from a file or from the bytes of one.

    `frame` counts from 0 and only matters in files with several frames or pages; None takes the middle frame of a
    DICOM stack (tomosynthesis) and the first page of a TIFF, and says so in the steps.

    Returns pixels float32 (height, width) in [0, 1], 0 = air; the steps that led there; and what the file says about
    itself, without names, identifiers or dates.

    Raises:
        UnreadableImage: missing, unreadable, not an image, broken, too large, coloured, or without a decoder here.
    """
    content, name = _load(source)
    try:
        # A DICOM preamble may hold another format's header (TIFF, in digital pathology), so DICM decides first.
        if dicom.has_preamble(content):
            return dicom.read_dicom(content, frame=frame)
        if raster.recognise(content) is not None:
            return raster.read_raster(content, frame=frame)
        if dicom.looks_like_dicom(content):
            return dicom.read_dicom(content, frame=frame)
        raise got("a DICOM, PNG, JPEG, PGM or TIFF image", describe(content), "Export the image in one of these formats")
    except UnreadableImage as error:
        raise UnreadableImage(f"{name}: {error}") from error
    except MemoryError as error:
        raise UnreadableImage(f"{name}: the image does not fit in memory. Close other programs.") from error


def _load(source: Path | str | bytes) -> tuple[bytes, str]:
    """The bytes, and what to call them in messages (a file's name without its folders)."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        return bytes(source), "uploaded data"
    path = Path(source)
    name = path.name or str(path)
    try:
        if path.is_dir():
            raise UnreadableImage(f"{name}: expected an image file, got a folder. Name a file inside it.")
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise UnreadableImage(
                f"{name}: expected at most {MAX_FILE_BYTES / 2**30:.0f} GiB, got {size / 2**30:.1f} GiB. Split the file."
            )
        return path.read_bytes(), name
    except FileNotFoundError as error:
        raise UnreadableImage(f"{name}: expected an image file, got a path where there is none. Check the path.") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableImage(f"{name}: the file cannot be opened ({reason}). Check its permissions and the disk.") from error
