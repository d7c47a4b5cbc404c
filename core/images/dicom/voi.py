"""VOI LUTs and windows of a DICOM header (PS3.3 C.11.2)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from core.images.dicom.elements import BROKEN, items, numbers_of, text_of, texts_of
from core.images.dicom.identity import without_identity

Values = NDArray[np.float64]
_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")
_EXPLANATION = 40  # letters of a vendor's explanation that are kept


@dataclass(frozen=True)
class VoiLut:
    """One transformation: its description, and what maps values of any shape to 0..1."""

    description: str
    apply: Callable[[NDArray[Any]], Values]
    remark: str = ""
    last: float = math.inf  # the largest value that it has an entry for, of a LUT shorter than it says


@dataclass(frozen=True)
class Lut:
    """A lookup table of the header: `data[i]` belongs to the value first + i, out of 0..2**bits - 1 (C.11.1.1)."""

    first: int
    bits: int
    data: NDArray[np.uint16]
    declared: int = 0  # entries by its descriptor, 0 where that is not known

    @property
    def last(self) -> float:
        """The largest value that it can say something of: any, unless entries are missing."""
        return math.inf if self.data.size >= self.declared else self.first + self.data.size - 1

    def __call__(self, values: NDArray[Any]) -> NDArray[np.uint16]:
        """Look values up; those outside the table take its first or last entry."""
        if np.issubdtype(values.dtype, np.floating):
            values = np.rint(np.nan_to_num(values, nan=0, posinf=2**31, neginf=-(2**31)))
        index = np.clip(values.astype(np.int64) - self.first, 0, self.data.size - 1)
        return self.data[index]


def vois_of(ds: Dataset, identity: frozenset[str]) -> tuple[list[VoiLut], list[str]]:
    """Every usable transformation, LUTs before windows, and remarks about unusable ones."""
    found: list[VoiLut] = []
    remarks: list[str] = []
    for number, item in enumerate(items(ds, "VOILUTSequence"), start=1):
        try:
            found.append(_of_lut(read_lut(item, ds), f"LUT {number}", _explanation(text_of(item, "LUTExplanation"), identity)))
        except BROKEN:
            remarks.append(f"VOI LUT {number} of the header is incomplete: it was left out")
    function = text_of(ds, "VOILUTFunction").upper() or "LINEAR"
    centres, widths = numbers_of(ds, "WindowCenter"), numbers_of(ds, "WindowWidth")
    if (centres or widths) and function not in _FUNCTIONS:
        remarks.append(f"the header asks for a window function that DICOM does not know: {_FUNCTIONS[0]} was taken")
        function = _FUNCTIONS[0]
    if len(centres) != len(widths):
        remarks.append(f"the header has {len(centres)} window centres and {len(widths)} widths: the pairs were taken")
    explanations = texts_of(ds, "WindowCenterWidthExplanation")
    for number, (centre, width) in enumerate(zip(centres, widths, strict=False)):
        # LINEAR is defined from width 1 on (C.11.2.1.2.1), the other two above 0.
        if not math.isfinite(centre) or not math.isfinite(width) or (width < 1 and (function == "LINEAR" or width <= 0)):
            least = "1" if function == "LINEAR" else "above 0"
            remarks.append(
                f"window {number + 1} of the header is impossible (width {width:g}, at least {least}): it was left out"
            )
            continue
        explanation = _explanation(explanations[number] if number < len(explanations) else "", identity)
        words = f"{function} {centre:g}/{width:g}" + (f" ({explanation})" if explanation else "")
        found.append(VoiLut(words, _window(function, centre, width)))
    return found, remarks


def read_lut(item: Dataset, ds: Dataset) -> Lut:
    """A LUT from an item of ModalityLUTSequence or VOILUTSequence.

    Raises:
        ValueError, TypeError, AttributeError, LookupError: incomplete or damaged.
    """
    entries, first, bits = (int(number) for number in item.LUTDescriptor)
    entries &= 0xFFFF
    data = _lut_data(item, entries or 2**16, bits, little=ds.original_encoding[1] is not False)
    # The second number is signed where the values are; writers with the wrong VR give its bits as unsigned.
    signed = bool(ds.get("PixelRepresentation")) or any(value < 0 for value in numbers_of(ds, "RescaleIntercept"))
    if first >= 2**15 and signed:
        first -= 2**16
    if not 1 <= bits <= 16 or not data.size:
        raise ValueError("a lookup table without entries, or with entries of more than 16 bits")
    return Lut(first, bits, data, entries or 2**16)


def _lut_data(item: Dataset, entries: int, bits: int, *, little: bool) -> NDArray[np.uint16]:
    raw = item.get_item("LUTData")
    # The bytes themselves where pydicom has not parsed them yet: 65,536 Python integers take their time.
    value = raw.value if isinstance(raw, RawDataElement) else item["LUTData"].value
    if isinstance(value, bytes):
        narrow = bits <= 8 and len(value) <= entries + 1
        data = np.frombuffer(value[: len(value) // 2 * 2] if not narrow else value, "u1" if narrow else f"{'<>'[not little]}u2")
    else:
        data = np.atleast_1d(np.array(value, dtype=np.int64)) & 0xFFFF
    return data[:entries].astype(np.uint16)


def _of_lut(lut: Lut, words: str, explanation: str) -> VoiLut:
    top, largest, remark = 2**lut.bits - 1, int(lut.data.max()), ""
    if lut.data.size < lut.declared:
        remark = f"the VOI LUT has {lut.data.size:,} of its {lut.declared:,} entries; the image has no values beyond them"
    if 0 < largest <= top / 8:  # some vendors declare 16 bits and fill 12
        remark = f"the VOI LUT declares values up to {top} and reaches {largest}: its own maximum is white"
        top = largest

    def apply(values: NDArray[Any]) -> Values:
        return np.clip(lut(values) / top, 0, 1)

    return VoiLut(words + (f" ({explanation})" if explanation else ""), apply, remark, lut.last)


def _window(function: str, centre: float, width: float) -> Callable[[NDArray[Any]], Values]:
    """The three functions of C.11.2.1.2 and C.11.2.1.3 with an output of 0..1."""

    def linear(values: NDArray[Any]) -> Values:
        if width == 1:  # a threshold
            return np.where(values.astype(np.float64) > centre - 0.5, 1.0, 0.0)
        return np.clip((values - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)

    def linear_exact(values: NDArray[Any]) -> Values:
        return np.clip((values - centre) / width + 0.5, 0, 1)

    def sigmoid(values: NDArray[Any]) -> Values:
        with np.errstate(over="ignore"):  # far below the window exp overflows to the right answer, 0
            return 1 / (1 + np.exp(-4 * ((values - centre) / width)))

    return {"LINEAR": linear, "LINEAR_EXACT": linear_exact, "SIGMOID": sigmoid}[function]


def _explanation(text: str, identity: frozenset[str]) -> str:
    return without_identity(text, identity)[:_EXPLANATION]
