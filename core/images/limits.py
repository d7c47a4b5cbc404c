"""What no image may exceed, checked before anything is decoded, and how refusals are worded.

The largest mammograms are digitised films of about 115 megapixels; a decompression bomb is far beyond.
"""

from __future__ import annotations

from core.errors import UnreadableImage
from core.images.turn import take

MAX_SIDE = 20_000
MAX_PIXELS = 150_000_000
_DEEP = 3  # pixels of more than 16 bits are computed in double precision
MAX_FILE_BYTES = 4 * 2**30
MAX_RASTER_BYTES = 2**30  # PNG, JPEG, PGM, TIFF; a stack of tomosynthesis in DICOM is larger
MAX_INFLATED_BYTES = 2**30  # of a deflated DICOM file; nobody deflates tomosynthesis


def got(expected: str, came: str, remedy: str) -> UnreadableImage:
    """An UnreadableImage in the house's words: expected, got, what to do."""
    return UnreadableImage(f"expected {expected}, got {came}. {remedy}.")


def check_size(height: int, width: int, samples: int = 1, bits: int = 8) -> None:
    """Refuse impossible and dangerous dimensions; wait for the turn of a large image (core.images.turn).

    `samples` a pixel: 1 for grey, 3 or 4 for colour; of more than 16 `bits` each, they take as much memory as colours.

    Raises:
        UnreadableImage: a side below 1 or above MAX_SIDE, or more than MAX_PIXELS pixels, in colour MAX_PIXELS samples.
    """
    if height < 1 or width < 1:
        raise got("at least one pixel", f"{width}×{height}", "The file is damaged or empty; export it again")
    weight = max(samples, _DEEP if bits > 16 else 1)
    if height > MAX_SIDE or width > MAX_SIDE or height * width * weight > MAX_PIXELS:
        kind = " in colour" if samples > 1 else " of more than 16 bits" if weight > 1 else ""
        remedy = {" in colour": "in grey", " of more than 16 bits": "with 16 bits"}.get(kind, "at a lower resolution")
        raise got(
            f"at most {MAX_SIDE} pixels a side and {MAX_PIXELS // weight // 10**6} megapixels{kind}",
            f"{width}×{height}",
            f"If it is a real mammogram, export it {remedy}",
        )
    take(height * width * weight)


def describe(content: bytes) -> str:
    """In words, what some bytes that we cannot read seem to be."""
    if not content:
        return "an empty file"
    if not content.strip(b"\0"):
        return "a file of zeros"
    for magic, words in _KNOWN.items():
        if content.startswith(magic):
            return words
    if content[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypavif"):
        return "a HEIC or AVIF image"
    head = content[:512].lstrip().lower()
    if head.startswith((b"<!doctype html", b"<html")):
        return "a web page (the download probably failed)"
    if b"version https://git-lfs" in head:
        return "a Git LFS pointer, not the file itself (run git lfs pull)"
    try:
        content[:512].decode("utf-8")
    except UnicodeDecodeError:
        return "an unknown format"
    return "a text file"


_KNOWN = {
    b"%PDF": "a PDF",
    b"PK\x03\x04": "a ZIP archive",
    b"\x1f\x8b": "a gzip archive",
    b"GIF8": "a GIF image",
    b"BM": "a BMP image",
    b"RIFF": "a WebP image or other RIFF file",
    b"\xff\x4f\xff\x51": "a bare JPEG 2000 stream",
    b"\x00\x00\x00\x0cjP  ": "a JPEG 2000 image",
    b"\x5c\x01\x00\x00": "a NIfTI image",
    b"\x93NUMPY": "a NumPy array",
    b"\x89HDF": "an HDF5 file",
}
