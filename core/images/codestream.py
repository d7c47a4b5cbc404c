"""Dimensions that a compressed frame claims for itself: a decoder allocates those, whatever the DICOM header says."""

from __future__ import annotations

_JPEG_FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}  # start-of-frame markers, 0xF7 is JPEG-LS
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}


def codestream_size(frame: bytes) -> tuple[int, int] | None:
    """(rows, columns) of a JPEG, JPEG-LS or JPEG 2000 stream; None where the header cannot be found.

    A JPEG may leave its rows open (0); None then too.
    """
    if frame[:2] == b"\xff\xd8":
        return _jpeg_size(frame)
    start = frame.find(b"\xff\x4f\xff\x51", 0, 4096)  # SOC, SIZ; JP2 boxes may come before
    if start < 0 or len(frame) < start + 24:
        return None
    right, bottom, left, top = (int.from_bytes(frame[start + at : start + at + 4], "big") for at in (8, 12, 16, 20))
    return (bottom - top, right - left)


def _jpeg_size(frame: bytes) -> tuple[int, int] | None:
    position = 2
    while position + 9 <= len(frame):
        if frame[position] != 0xFF:
            return None
        marker = frame[position + 1]
        if marker == 0xFF or marker in _WITHOUT_LENGTH:  # fill byte, or a marker alone
            position += 1 if marker == 0xFF else 2
            continue
        if marker in _JPEG_FRAMES:
            rows = int.from_bytes(frame[position + 5 : position + 7], "big")
            columns = int.from_bytes(frame[position + 7 : position + 9], "big")
            return (rows, columns) if rows and columns else None
        if marker == 0xDA:
            return None
        position += 2 + int.from_bytes(frame[position + 2 : position + 4], "big")
    return None
