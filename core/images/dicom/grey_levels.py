"""Grey levels [0, 1] from stored DICOM values: Modality LUT, VOI LUT or window, Presentation LUT, padding; in this order.

The transformations (PS3.3 C.11) are worked out once for every value that occurs and then looked up: a mammogram has
14 million pixels, but at most 65,536 different ones. Values of more than 16 bits, and fractions, are computed one by one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from core.images.dicom.elements import BROKEN, items, number_of, text_of
from core.images.dicom.voi import Lut, VoiLut, read_lut, vois_of
from core.images.limits import got
from core.images.mammogram import Pixels, Step

_REMEDY = "The header contradicts itself; ask the vendor for a corrected file or export as PNG"
_SHOWS_NOTHING = 0.999  # share of the pixels at one end of the grey scale
_INVISIBLE = 1 / 1024  # a SIGMOID never quite reaches its ends


@dataclass(frozen=True)
class _Extent:
    """What an image holds apart from its padding: lowest and highest stored value, every value and how often it occurs.

    `levels` and `counts` are None for values that are not looked up.
    """

    lowest: float
    highest: float
    padded: bool
    levels: NDArray[Any] | None = None
    counts: NDArray[np.int64] | None = None


def to_grey(
    stored: NDArray[Any], ds: Dataset, bits: int, identity: frozenset[str], window: int = 1
) -> tuple[Pixels, Step, tuple[str, ...]]:
    """Stored values (H, W), integer or float -> float32 (H, W) in [0, 1], 0 = air; what was done; what could be chosen.

    `bits` is how many the values use. `window` chooses as in `core.images.read`. Without any, 8-bit images keep their
    scale and deeper ones are stretched from their lowest to their highest value, padding apart.

    Raises:
        UnreadableImage: not finite, or a LUT that cannot be applied.
    """
    if np.issubdtype(stored.dtype, np.floating) and not np.isfinite(stored).all():
        raise got("finite grey levels", "NaN or infinite values", "Replace them and write the image again")
    grey_levels = text_of(ds, "PhotometricInterpretation").upper().startswith("MONOCHROME")
    padding = _padding_range(ds, stored.dtype) if grey_levels else None
    extent = _extent(stored, padding)
    levels = stored if extent.levels is None else extent.levels
    warnings: list[str] = []
    vois, remarks = vois_of(ds, identity) if grey_levels else ([], [])
    words: list[str] = []
    voi: VoiLut | None = None
    parameters: dict[str, Any] = {}
    try:
        with np.errstate(all="ignore"):  # what is not finite in the end is refused below
            modality = _modality_lut(ds, warnings) if grey_levels else ("none", None)
            parameters["modality"] = modality[0]
            if isinstance(modality[1], Lut) and extent.highest > modality[1].last:
                raise ValueError("a modality LUT without entries for the image's values")
            values = levels if modality[1] is None else modality[1](levels)
            vois, more = _complete(vois, values, extent)
            remarks = [*remarks, *more]
            voi, words = _choose(vois, window)
            grey = (
                _whole_range(values, _scale(stored, bits, modality), extent, modality, parameters)
                if voi is None
                else voi.apply(values)
            )
    except BROKEN:
        raise got("a usable modality LUT and VOI LUT or window", "one that cannot be applied", _REMEDY) from None
    if not np.isfinite(grey).all():
        raise got("a usable rescale slope and window", "values that give no finite grey levels", _REMEDY)
    if voi is not None:
        parameters["voi"] = voi.description
        warnings += [text for text in (voi.remark, _nothing_to_see(grey, extent, values, voi)) if text]
    if len(vois) > 1:
        parameters["windows"] = len(vois)
    inverted = grey_levels and _is_inverted(ds)
    shown = (1 - grey if inverted else grey).astype(np.float32)
    if padding is not None and extent.padded:
        # Padding is no part of the picture: black, whatever its value would have become.
        shown[(levels >= padding[0]) & (levels <= padding[1])] = 0
        parameters["padding"] = f"{padding[0]:g}..{padding[1]:g}"
    parameters["inverted"] = inverted
    pixels = shown if extent.levels is None else _look_up(stored, extent.levels, shown)
    warnings = [*remarks, *words, *warnings]
    step = Step("grey levels", parameters, warnings=tuple(warnings))
    return np.ascontiguousarray(pixels), step, tuple(one.description for one in vois)


def _complete(vois: list[VoiLut], values: NDArray[Any], extent: _Extent) -> tuple[list[VoiLut], list[str]]:
    """The transformations that have an answer to every value of the image, and remarks about others.

    A LUT cut short would show whatever lies beyond it as its last entry.
    """
    if all(math.isinf(voi.last) for voi in vois):
        return vois, []
    image = values if extent.levels is None else values[(extent.levels >= extent.lowest) & (extent.levels <= extent.highest)]
    highest = float(np.max(image))
    remarks = [
        f"VOI {voi.description} of the header is cut short: it ends at the value {voi.last:g}, the image reaches {highest:g}. "
        "It was left out"
        for voi in vois
        if highest > voi.last
    ]
    return [voi for voi in vois if highest <= voi.last], remarks


def _choose(vois: list[VoiLut], window: int) -> tuple[VoiLut | None, list[str]]:
    if window == 0 or not vois:
        return None, []
    if window > len(vois):
        offers = f"{len(vois)} window" + ("s" if len(vois) > 1 else "")
        return vois[-1], [f"window {window} was asked for and the file has {offers}: the last one was taken"]
    return vois[window - 1], []


def _modality_lut(ds: Dataset, warnings: list[str]) -> tuple[str, Any]:
    """The Modality LUT or rescale, described, and what applies it (None: nothing to apply)."""
    luts = items(ds, "ModalityLUTSequence")
    if luts:
        return "LUT", read_lut(luts[0], ds)
    slope, intercept = number_of(ds, "RescaleSlope"), number_of(ds, "RescaleIntercept")
    if slope is None or intercept is None:
        return "none", None
    if slope == 0:
        warnings.append("the rescale slope is 0, which leaves no picture: the stored values were taken")
        return "none", None
    if (slope, intercept) == (1, 0):
        return "× 1 + 0", None
    return f"× {slope:g} + {intercept:g}", lambda values: values * slope + intercept


def _whole_range(
    values: NDArray[Any],
    scale: tuple[float, float] | None,
    extent: _Extent,
    modality: tuple[str, Any],
    parameters: dict[str, Any],
) -> NDArray[np.float64]:
    """Values -> 0..1 without any window: over the given scale, or from the lowest to the highest value."""
    if scale is not None:
        low, high = scale
    else:
        ends = np.array([extent.lowest, extent.highest])
        if extent.levels is not None:
            inside = (extent.levels >= extent.lowest) & (extent.levels <= extent.highest)
            ends = values[inside]
        elif modality[1] is not None:
            ends = modality[1](ends)
        low, high = float(np.min(ends)), float(np.max(ends))
    parameters["voi"] = f"none: {low:g}..{high:g}"
    return np.clip((values.astype(np.float64) - low) / ((high - low) or 1.0), 0, 1)


def _scale(stored: NDArray[Any], bits: int, modality: tuple[str, Any]) -> tuple[float, float] | None:
    """The values that 8-bit images can have: those are made for the screen as they are. None for others."""
    if bits > 8 or modality[1] is not None or stored.dtype.kind == "f":
        return None
    return (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if stored.dtype.kind == "i" else (0.0, 2.0**bits - 1)


def _nothing_to_see(grey: NDArray[np.float64], extent: _Extent, values: NDArray[Any], voi: VoiLut) -> str:
    """A warning for a window that lies beside the image's values, "" for others."""
    weights = extent.counts
    if extent.lowest == extent.highest or (weights is not None and not weights.any()):
        return ""
    for end, colour in ((0.0, "black"), (1.0, "white")):
        if float(np.average(abs(grey - end) < _INVISIBLE, weights=weights)) >= _SHOWS_NOTHING:
            shown = values if weights is None else values[weights > 0]
            low, high = float(shown.min()), float(shown.max())
            return (
                f"the window {voi.description} shows nothing of this image, whose values are {low:g}..{high:g}: it is all "
                f"{colour}. Choose another window, or 0 for the whole range"
            )
    return ""


def _look_up(stored: NDArray[Any], levels: NDArray[Any], grey: Pixels) -> Pixels:
    """Every stored value replaced by the grey of its level."""
    table = np.zeros(256 if stored.dtype.itemsize == 1 else 65_536, np.float32)
    # A signed value's bits, read as unsigned, index the table.
    table[levels.astype(np.int64) % table.size] = grey
    unsigned = stored.view(np.uint16 if stored.dtype.itemsize == 2 else np.uint8)
    return cv2.LUT(np.ascontiguousarray(unsigned), table)


def _extent(stored: NDArray[Any], padding: tuple[float, float] | None) -> _Extent:
    if stored.dtype.itemsize > 2 or not np.issubdtype(stored.dtype, np.integer):
        return _computed_extent(stored, padding)
    size = 256 if stored.dtype.itemsize == 1 else 65_536
    unsigned = np.ascontiguousarray(stored.view(np.uint8 if size == 256 else np.uint16))
    counts = cv2.calcHist([unsigned], [0], None, [size], [0, size]).ravel().astype(np.int64)
    occurring = np.flatnonzero(counts)
    levels = occurring - size * ((occurring >= size // 2) & (stored.dtype.kind == "i"))
    order = np.argsort(levels)
    levels, counts = levels[order], counts[occurring][order]
    if padding is None:
        return _Extent(levels[0], levels[-1], False, levels, counts)
    image = (levels < padding[0]) | (levels > padding[1])
    if not image.any():
        return _Extent(levels[0], levels[-1], True, levels, counts)
    return _Extent(levels[image][0], levels[image][-1], not image.all(), levels, counts * image)


def _computed_extent(stored: NDArray[Any], padding: tuple[float, float] | None) -> _Extent:
    if padding is not None:
        is_padding = (stored >= padding[0]) & (stored <= padding[1])
        count = int(np.count_nonzero(is_padding))
        if 0 < count < stored.size:
            image = stored[~is_padding]
            return _Extent(image.min(), image.max(), True)
        return _Extent(stored.min(), stored.max(), bool(count))
    return _Extent(stored.min(), stored.max(), False)


def _padding_range(ds: Dataset, dtype: np.dtype[Any]) -> tuple[float, float] | None:
    """The stored values that stand for no picture (C.7.5.1.1.2), which may be one or a range."""
    names = ("PixelPaddingValue", "PixelPaddingRangeLimit")
    if dtype.kind == "f":
        names = ("FloatPixelPaddingValue", "FloatPixelPaddingRangeLimit")
    found: list[float] = []
    for name in names:
        value = number_of(ds, name)
        if value is None:
            break
        # Written unsigned where the pixels are signed, by writers that did not think of it.
        if dtype.kind == "i" and value >= 2 ** (8 * dtype.itemsize - 1):
            value -= 2 ** (8 * dtype.itemsize)
        found.append(value)
    return (min(found), max(found)) if found else None


def _is_inverted(ds: Dataset) -> bool:
    """MONOCHROME1 and Presentation LUT Shape INVERSE say the same thing: 0 is white. Both together still invert once."""
    shape = text_of(ds, "PresentationLUTShape").upper()
    return text_of(ds, "PhotometricInterpretation").upper() == "MONOCHROME1" or shape == "INVERSE"
