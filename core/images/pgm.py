"""PGM decoder (P2 text, P5 binary; up to 16 bits, big-endian) -> stored values. Netpbm's own description is the reference."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.images.limits import check_size, got

_REMEDY = "The file is damaged or cut short; copy or convert it again"
# A separator is white space and comments; comments run from # to the end of the line.
_GAP = rb"(?:[ \t\r\n\v\f]|#[^\r\n]*[\r\n])+"
_NUMBER = _GAP + rb"(\d{1,9})"
_HEADER = re.compile(rb"P([25])" + 3 * _NUMBER + rb"(?:#[^\r\n]*)?[ \t\r\n\v\f]")
_MAX_HEADER = 65_536
_MAX_IN_TEXT = 30_000_000  # values; more take too long to parse
_PIECE = 2**20  # characters parsed at once
_LONGEST = 9  # digits in a number
_WHITE = re.compile(rb"[ \t\r\n\v\f]")
_STRANGE = re.compile(rb"[^0-9 \t\r\n\v\f]|[0-9]{10}")  # no number, or one that is too long


@dataclass(frozen=True)
class Pgm:
    """Stored values uint8 or uint16 (H, W), the value that stands for white, and the header's comments."""

    values: NDArray[Any]
    full_scale: int
    comment: str


def decode(content: bytes) -> Pgm:
    """Decode the first image of a PGM file.

    Raises:
        UnreadableImage: a broken header, too few values, or values above the header's maximum.
    """
    header = _HEADER.match(content[:_MAX_HEADER])
    if header is None:
        raise got("a PGM header of width, height and maximum", "another one", _REMEDY)
    width, height, full_scale = (int(text) for text in header.groups()[1:])
    check_size(height, width)
    if not 1 <= full_scale <= 65_535:
        raise got("a PGM maximum from 1 to 65535", str(full_scale), _REMEDY)
    values = np.empty(height * width, np.uint8 if full_scale < 256 else np.uint16)
    if header.group(1) == b"5":
        stored = values.dtype.newbyteorder(">")
        available = len(content) - header.end()
        if available < values.nbytes:
            raise got(f"{values.nbytes} bytes of pixels", f"{available}", _REMEDY)
        values[:] = np.frombuffer(content, stored, values.size, header.end())
        _check_maximum(int(values.max()), full_scale)
    else:
        _fill_from_text(content, header.end(), values, full_scale)
    comment = b"\n".join(re.findall(rb"#[^\r\n]*", content[: header.end()])).decode("latin-1")
    return Pgm(values.reshape(height, width), full_scale, comment)


def _fill_from_text(content: bytes, position: int, values: NDArray[Any], full_scale: int) -> None:
    """Parse decimal numbers between white space into `values` (N,), a piece of the text at a time."""
    if values.size > _MAX_IN_TEXT:
        raise got(
            f"at most {_MAX_IN_TEXT // 10**6} megapixels as text", f"{values.size // 10**6}", "Write it as binary PGM (P5)"
        )
    if len(content) - position < 2 * values.size - 1:  # a digit and a gap each
        raise got(f"{values.size} values", f"{len(content) - position} characters", _REMEDY)
    if content.find(b"#", position) >= 0:
        content, position = re.sub(rb"#[^\r\n]*", b" ", content[position:]), 0
    done = 0
    while done < values.size and position < len(content):
        end = position + _PIECE
        if end < len(content):  # never in the middle of a number
            gap = _WHITE.search(content, end, end + _LONGEST)
            if gap is None and len(content) - end > _LONGEST:
                raise got("whole numbers", "something else among them", _REMEDY)
            end = gap.start() if gap else len(content)
        piece = content[position:end]
        if _STRANGE.search(piece):
            raise got("whole numbers", "something else among them", _REMEDY)
        numbers = np.fromstring(piece, np.int64, sep=" ")[: values.size - done] if piece.strip() else np.empty(0, np.int64)
        _check_maximum(int(numbers.max(initial=0)), full_scale)
        values[done : done + numbers.size] = numbers
        done += numbers.size
        position = end
    if done < values.size:
        raise got(f"{values.size} whole numbers", str(done), _REMEDY)


def _check_maximum(largest: int, full_scale: int) -> None:
    if largest > full_scale:
        raise got(f"values up to {full_scale}", str(largest), _REMEDY)
