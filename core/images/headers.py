"""The header of an image file, without decoding a pixel: what imports of tens of thousands of files need."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from core.images.dicom.reader import DicomHeader, read_dicom_header
from core.images.files import checked_format, opened
from core.images.library_warnings import silenced
from core.images.mammogram import ImageMeta

_BROKEN = (
    *(OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError, struct.error),
    *(ArithmeticError, AssertionError, RuntimeError, BufferError, Image.DecompressionBombError),
)


@dataclass(frozen=True)
class ImageHeader:
    """`size`: (width, height) in pixels, None where the header does not say. Of a DICOM file also what DicomHeader says."""

    size: tuple[int, int] | None = None
    dicom: DicomHeader | None = None
    meta: ImageMeta = field(default_factory=ImageMeta)


def read_header(path: Path) -> ImageHeader:
    """The header of an image file.

    Raises:
        UnreadableImage: nothing there, no regular file, not the beginning of an image, or a header that cannot be parsed.
    """
    with opened(path) as (stream, size):
        if checked_format(stream, size) == "DICOM":
            found = read_dicom_header(stream)
            return ImageHeader(found.size, found, found.meta)
        try:
            with silenced(), Image.open(stream) as image:
                return ImageHeader(image.size)
        except _BROKEN:  # a kind that Pillow does not know, or damaged bytes: the reader itself decides, when it decodes
            return ImageHeader()
