"""Image formats, recognised by the first bytes of a file; what other files seem to be."""

from __future__ import annotations

from typing import Literal

from core.images.limits import got

Format = Literal["DICOM", "PNG", "JPEG", "PGM", "TIFF"]
HEAD_BYTES = 4096  # enough to recognise a format


def format_of(head: bytes) -> Format:
    """The format of a file that begins with these bytes.

    Raises:
        UnreadableImage: none that is read here; the message says what it seems to be.
    """
    # A preamble may hold another format's header (TIFF, in digital pathology), so DICM decides first.
    if head[128:132] == b"DICM":
        return "DICOM"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "TIFF"
    if head[:2] in (b"P2", b"P5") and head[2:3] in (b" ", b"\t", b"\r", b"\n", b"#"):
        return "PGM"
    if _is_bare_dicom(head):
        return "DICOM"
    raise got("a DICOM, PNG, JPEG, PGM or TIFF image", describe(head), "Export the image in one of these formats")


def _is_bare_dicom(head: bytes) -> bool:
    """Whether bytes without a preamble start like a DICOM data set: a plausible first element of group 2 or 8."""
    orders: tuple[Literal["little", "big"], ...] = ("little", "big")
    for order in orders:
        group, element = int.from_bytes(head[0:2], order), int.from_bytes(head[2:4], order)
        explicit = head[4:6].isalpha() and head[4:6].isupper()
        implicit = int.from_bytes(head[4:8], "little") <= 256
        if len(head) > 8 and group in (0x0002, 0x0008) and element <= 0x0100 and (explicit or implicit):
            return True
    return False


def describe(content: bytes) -> str:
    """What the bytes of a file that is not read here seem to be, for a message."""
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
