"""Elements of a data set that may be absent, empty, repeated or impossible to parse: then they count as absent."""

from __future__ import annotations

import struct
import zlib
from typing import Any

from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

# What pydicom, the decoders and numpy raise on hostile bytes.
_PARSING = (InvalidDicomError, BytesLengthException, struct.error, zlib.error, OSError, EOFError, RecursionError)
_VALUES = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, AssertionError, BufferError)
BROKEN = (*_PARSING, *_VALUES, NotImplementedError, RuntimeError)
DAMAGED = "The file is damaged or incomplete; copy or export it again"
_LONGEST = 200  # letters of a text


def value_of(ds: Dataset, name: str) -> Any:
    """The value of an element, None where there is none that can be parsed."""
    try:
        return ds.get(name)
    except BROKEN:
        return None


def items(ds: Dataset, name: str) -> list[Dataset]:
    """The items of a sequence."""
    value = value_of(ds, name)
    return list(value) if isinstance(value, Sequence) else []


def texts_of(ds: Dataset, name: str) -> list[str]:
    """Every value of an element as one line of text."""
    value = value_of(ds, name)
    values = list(value) if isinstance(value, MultiValue) else [] if value is None else [value]
    return [_line(one) for one in values]


def text_of(ds: Dataset, name: str) -> str:
    """The first value of an element as one line of text, or ""."""
    return next(iter(texts_of(ds, name)), "")


def numbers_of(ds: Dataset, name: str) -> list[float]:
    """The numbers of an element, up to the first value that is none."""
    found: list[float] = []
    for text in texts_of(ds, name):
        try:
            found.append(float(text))
        except ValueError:
            break
    return found


def number_of(ds: Dataset, name: str) -> float | None:
    """The first number of an element."""
    return next(iter(numbers_of(ds, name)), None)


def _line(value: Any) -> str:
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
    return " ".join(text.replace("\0", " ").split())[:_LONGEST]
