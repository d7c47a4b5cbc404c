"""Headers of compressed frames: a decoder allocates their dimensions, whatever the DICOM header says.

Read from the marker segments of JPEG (ITU T.81, annex B), JPEG-LS (T.87) and JPEG 2000 (T.800, annex A; HTJ2K is the
same with T.814), without decoding anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

Kind = Literal["JPEG", "JPEG-LS", "JPEG 2000"]

_JPEG_LS = 0xF7
_SOF = {*range(0xC0, 0xD0), _JPEG_LS} - {0xC4, 0xC8, 0xCC}  # start-of-frame markers
_ALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a length
_SOT = b"\xff\x90"
# The end marker is followed by a byte that makes the length even, by some writers' zeros, or by nothing.
_TAIL = 64


class JpegFrame(NamedTuple):
    """The frame header of a JPEG: `marker` 0xC0..0xCF or 0xF7, bits a sample, size, samples a pixel."""

    marker: int
    bits: int
    rows: int
    columns: int
    samples: int


@dataclass(frozen=True)
class Codestream:
    """Dimensions in pixels, bits a sample, whether samples are signed, and how much of the stream there is.

    `end` is where the last tile of a JPEG 2000 stream ends, 0 where that is not known.
    `missing` is "" for a stream that reaches its end, else what is missing.
    """

    kind: Kind
    rows: int
    columns: int
    components: int
    bits: int
    signed: bool
    missing: str
    end: int = 0


def inspect(frame: bytes) -> Codestream | None:
    """Read the headers of one compressed frame; None where no known header is found.

    A JPEG may leave its rows open until the end of the first scan; they are 0 then.
    """
    if frame[:2] == b"\xff\xd8":
        return _jpeg(frame)
    start = frame.find(b"\xff\x4f\xff\x51", 0, 4096)  # SOC, SIZ; JP2 boxes may come before
    return _jpeg_2000(frame, start) if start >= 0 and len(frame) >= start + 44 else None


def jpeg_frame(content: bytes) -> JpegFrame | None:
    """The first frame header of a JPEG or JPEG-LS stream; None where there is none before the first scan."""
    for marker, start, end in jpeg_segments(content):
        if marker in _SOF and start + 6 <= min(end, len(content)):
            rows, columns = (int.from_bytes(content[start + at : start + at + 2], "big") for at in (1, 3))
            return JpegFrame(marker, content[start], rows, columns, content[start + 5])
    return None


def jpeg_segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, start, end) of the payload of each segment before the first scan."""
    position = 2
    while position + 4 <= len(content) and content[position] == 0xFF:
        marker = content[position + 1]
        if marker == 0xFF or marker in _ALONE:  # fill byte, or a marker alone
            position += 1 if marker == 0xFF else 2
            continue
        if marker == 0xDA:
            return
        end = position + 2 + max(2, int.from_bytes(content[position + 2 : position + 4], "big"))
        yield marker, position + 4, end
        position = end


def _jpeg(frame: bytes) -> Codestream | None:
    header = jpeg_frame(frame)
    if header is None:
        return None
    kind: Kind = "JPEG-LS" if header.marker == _JPEG_LS else "JPEG"
    missing = "" if b"\xff\xd9" in frame[-_TAIL:] else "its end marker"
    return Codestream(kind, header.rows, header.columns, header.samples, header.bits, False, missing)


def _jpeg_2000(frame: bytes, start: int) -> Codestream:
    right, bottom, left, top = (int.from_bytes(frame[start + at : start + at + 4], "big") for at in (8, 12, 16, 20))
    components = int.from_bytes(frame[start + 40 : start + 42], "big")
    depth = frame[start + 42]
    missing, end = _tile_parts(frame, start)
    return Codestream(
        kind="JPEG 2000",
        rows=bottom - top,
        columns=right - left,
        components=components,
        bits=(depth & 0x7F) + 1,
        signed=bool(depth & 0x80),
        missing=missing,
        end=end,
    )


def _tile_parts(frame: bytes, start: int) -> tuple[str, int]:
    """What is missing, and where the last tile-part ends, by the lengths that they announce (A.4.2).

    A decoder fills what is missing with grey, in silence.
    """
    first = re.compile(re.escape(_SOT) + rb"\x00\x0a").search(frame, start)
    if first is None:
        return "every tile", 0
    position, seen = first.start(), set()
    while frame[position : position + 2] == _SOT:
        seen.add(frame[position + 4 : position + 6])
        length = int.from_bytes(frame[position + 6 : position + 10], "big")
        if length == 0:  # the last one reaches to the end marker
            return ("" if b"\xff\xd9" in frame[-_TAIL:] else "its end marker"), 0
        position += length
        if position > len(frame):
            return f"{position - len(frame):,} bytes of its last tile", 0
    tiles = _tiles(frame, start)
    return (f"{tiles - len(seen):,} of its {tiles:,} tiles" if len(seen) < tiles else ""), position


def _tiles(frame: bytes, start: int) -> int:
    """How many tiles cover the image (B.3)."""
    at = (int.from_bytes(frame[start + at : start + at + 4], "big") for at in range(8, 40, 4))
    right, bottom, _, _, width, height, left, top = at
    return -((left - right) // max(width, 1)) * -((top - bottom) // max(height, 1))
