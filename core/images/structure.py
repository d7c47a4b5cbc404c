"""Structure checks of PNG, JPEG and TIFF files before a decoder sees them.

Decoders trust what a file says about itself: a directory of a megabyte makes Pillow load gigabytes of tags, a progressive
JPEG of a megabyte keeps libjpeg busy for minutes. No scanner and no export writes such files.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from core.images.codestream import JpegFrame, jpeg_frame, jpeg_segments
from core.images.limits import got

_MAX_PIECES = 200_000  # chunks of a PNG, segments of a JPEG's header
_MAX_EXIF = 2  # Exif blocks of a JPEG, each of up to 64 KB; Pillow joins them
_MAX_PAGES = 1_000
_MAX_TAGS = 256  # in one directory; cameras write up to about 150
_MAX_TAG_BYTES = 2**24  # of one directory
_MAX_SCANS = 16  # of a JPEG; a progressive one has 6 in grey and 10 in colour
_MAX_SCAN_PIXELS = 2 * 10**9  # scans × pixels, where there are more
_PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # a pixel, by colour type
_PORTION = 1 << 20  # bytes that are unpacked at a time
_COPY = "The file is cut short or damaged; copy it again"
_UNUSUAL = "It is no mammogram as scanners or exports write them; leave it out or export the image again"
_WHOLE_NUMBERS = {1: "B", 3: "H", 4: "I", 16: "Q"}
_SUB_DIRECTORIES = {34665, 34853, 40965}  # Exif, GPS, interoperability: Pillow loads them too
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}


@dataclass(frozen=True)
class PngHeader:
    """Bits a sample and colour type (0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA) of a PNG."""

    bits: int
    colour_type: int


def check_png(content: bytes) -> PngHeader:
    """Refuse a PNG of absurdly many chunks. Raises UnreadableImage: too many chunks, or cut short within its header."""
    if len(content) < 26:
        raise got("a complete PNG image", f"{len(content)} bytes", "The file is cut short; copy it again")
    position = 8
    for _ in range(_MAX_PIECES):
        if position + 8 > len(content):
            return PngHeader(content[24], content[25])
        position += 12 + int.from_bytes(content[position : position + 4], "big")
    raise got(f"at most {_MAX_PIECES} chunks in a PNG", "more", _UNUSUAL)


def require_whole_png(content: bytes) -> None:
    """Refuse a PNG whose compressed data end before its last row: decoders fill what is missing with black.

    Raises:
        UnreadableImage: there are fewer bytes of pixels than the header says (PNG specification, sections 7.2 and 8).
    """
    width, height, bits, colour_type, interlaced = struct.unpack(">IIBB2xB", content[16:29])
    wanted = sum(
        rows * (1 + (columns * bits * _PNG_SAMPLES.get(colour_type, 1) + 7) // 8)
        for columns, rows in (_adam7(width, height) if interlaced else [(width, height)])
        if columns and rows
    )
    inflater, got_bytes, position = zlib.decompressobj(), 0, 8
    try:
        while got_bytes < wanted and position + 8 <= len(content):
            length = int.from_bytes(content[position : position + 4], "big")
            if content[position + 4 : position + 8] == b"IDAT":
                waiting = content[position + 8 : position + 8 + length]
                while waiting and got_bytes < wanted:
                    got_bytes += len(inflater.decompress(waiting, _PORTION))
                    waiting = inflater.unconsumed_tail
            position += 12 + length
        while got_bytes < wanted and (rest := inflater.decompress(inflater.unconsumed_tail, _PORTION)):
            got_bytes += len(rest)
    except zlib.error as error:
        raise got("a complete PNG image", f"one whose pixels cannot be unpacked ({error})", _COPY) from error
    if got_bytes < wanted:
        raise got("a complete PNG image", f"one that ends after {100 * got_bytes // wanted} % of its pixels", _COPY)


def _adam7(width: int, height: int) -> list[tuple[int, int]]:
    """Columns and rows of the seven passes of an interlaced PNG."""
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    return [(max(0, -(-(width - x) // dx)), max(0, -(-(height - y) // dy))) for x, y, dx, dy in passes]


def check_jpeg(content: bytes) -> JpegFrame | None:
    """Refuse a JPEG that would take minutes or gigabytes; its frame header, where there is one.

    Raises:
        UnreadableImage: too many segments, Exif blocks or scans.
    """
    if content.count(b"Exif\0\0") > _MAX_EXIF or any(n > _MAX_PIECES for n, _ in enumerate(jpeg_segments(content))):
        raise got("a JPEG header of usual size", "one of very many segments", _UNUSUAL)
    frame = jpeg_frame(content)
    scans = content.count(b"\xff\xda")
    if frame is not None and scans > _MAX_SCANS and scans * frame.rows * frame.columns > _MAX_SCAN_PIXELS:
        raise got(f"at most {_MAX_SCANS} scans in a large JPEG", str(scans), _UNUSUAL)
    return frame


def check_tiff(content: bytes) -> list[dict[int, int]]:
    """Walk through a TIFF's directories; for each page, its tags that are one whole number, by tag number.

    Raises:
        UnreadableImage: no directory, too many of them, or one that is too large.
    """
    order = "<" if content[:2] == b"II" else ">"
    big = content[2:4] in (b"+\0", b"\0+")
    pages: list[dict[int, int]] = []
    seen: set[int] = set()
    try:
        offset = _number(content, 8 if big else 4, order, big)
        while offset and offset not in seen:
            if len(pages) == _MAX_PAGES:
                raise got(f"at most {_MAX_PAGES} pages in a TIFF", "more", _UNUSUAL)
            seen.add(offset)
            tags, following = _directory(content, offset, order, big)
            pages.append(tags)
            for tag in _SUB_DIRECTORIES & tags.keys():
                _directory(content, tags[tag], order, big)
            offset = _number(content, following, order, big)
    except struct.error as error:
        if not pages:
            raise got("a complete TIFF image", "one whose directory is missing", "Copy the file again") from error
    return pages


def check_exif(block: bytes) -> None:
    """Refuse an Exif block (a small TIFF) that is absurdly large; an empty one is fine.

    Raises:
        UnreadableImage: as check_tiff.
    """
    if block:
        check_tiff(block.removeprefix(b"Exif\0\0"))


def _directory(content: bytes, offset: int, order: str, big: bool) -> tuple[dict[int, int], int]:
    """Tags of one directory that are one whole number, and where the offset of the next directory stands."""
    entry, inline = (struct.Struct(order + "HHQ8s"), 8) if big else (struct.Struct(order + "HHI4s"), 4)
    (entries,) = struct.unpack_from(order + ("Q" if big else "H"), content, offset)
    if entries > _MAX_TAGS:
        raise got(f"at most {_MAX_TAGS} tags for a page", str(entries), _UNUSUAL)
    start = offset + (8 if big else 2)
    tags, total = {}, 0
    for at in range(start, start + entries * entry.size, entry.size):
        tag, kind, count, value = entry.unpack_from(content, at)
        size = count * _TYPE_BYTES.get(kind, 1)
        total += size if size > inline else 0
        if kind in _WHOLE_NUMBERS and count == 1:
            (tags[tag],) = struct.unpack_from(order + _WHOLE_NUMBERS[kind], value)
    if total > _MAX_TAG_BYTES:
        raise got(f"at most {_MAX_TAG_BYTES >> 20} MB of tags for a page", f"{total >> 20} MB", _UNUSUAL)
    return tags, start + entries * entry.size


def _number(content: bytes, at: int, order: str, big: bool) -> int:
    return int(struct.unpack_from(order + ("Q" if big else "I"), content, at)[0])
