"""PGM (P2 text, P5 binary; up to 16 bits, big-endian) -> stored values. Netpbm's own description is the reference."""

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
        raise got("a PGM header: width, height, maximum", repr(content[:20]), _REMEDY)
    width, height, full_scale = (int(text) for text in header.groups()[1:])
    check_size(height, width)
    if not 1 <= full_scale <= 65_535:
        raise got("a PGM maximum from 1 to 65535", str(full_scale), _REMEDY)
    dtype = np.dtype(np.uint8) if full_scale < 256 else np.dtype(">u2")
    if header.group(1) == b"5":
        needed = height * width * dtype.itemsize
        available = len(content) - header.end()
        if available < needed:
            raise got(f"{needed} bytes of pixels", f"{available}", _REMEDY)
        values = np.frombuffer(content, dtype, height * width, header.end())
    else:
        values = _text_values(content[header.end() :], height * width)
    largest = int(values.max())
    if largest > full_scale:
        raise got(f"values up to {full_scale}", str(largest), _REMEDY)
    values = values.astype(np.uint8 if full_scale < 256 else np.uint16).reshape(height, width)
    comment = b"\n".join(re.findall(rb"#[^\r\n]*", content[: header.end()])).decode("latin-1")
    return Pgm(values, full_scale, comment)


def _text_values(text: bytes, count: int) -> NDArray[Any]:
    if len(text) < 2 * count - 1:  # a digit and a gap each: known too short before anything is allocated
        raise got(f"{count} values", f"{len(text)} characters", _REMEDY)
    words = re.sub(rb"#[^\r\n]*", b" ", text).split(maxsplit=count)[:count]
    if len(words) < count or not all(word.isdigit() and len(word) <= 9 for word in words):
        raise got(f"{count} whole numbers", f"{len(words)} words, or something else than numbers", _REMEDY)
    return np.array(words).astype(np.int64)
