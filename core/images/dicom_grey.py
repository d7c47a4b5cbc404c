"""Stored DICOM values -> grey levels in [0, 1]: modality LUT, VOI LUT or window, polarity, padding; in this order.

The transformations are pydicom's own (PS3.3 C.11). They are worked out once for every possible stored value and
then looked up: a mammogram has 14 million pixels, but at most 65,536 different ones.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi, apply_windowing

from core.images.limits import got
from core.images.mammogram import Pixels, Step

_REMEDY = "The header contradicts itself; ask the vendor for a corrected file or export as PNG"
_FULL = 65_535


def to_grey(stored: NDArray[Any], ds: Dataset) -> tuple[Pixels, Step]:
    """Stored values (H, W), integer or float -> float32 (H, W) in [0, 1], 0 = air, and what was done.

    Without any window, 8-bit images keep their scale and deeper ones are stretched from their lowest to their highest
    value, padding apart.

    Raises:
        UnreadableImage: not finite, or a LUT or window that cannot be applied.
    """
    if np.issubdtype(stored.dtype, np.floating) and not np.isfinite(stored).all():
        raise got("finite grey levels", "NaN or infinite values", "Replace them and write the image again")
    padding = _padding_range(ds)
    table_fits = stored.dtype.itemsize <= 2 and np.issubdtype(stored.dtype, np.integer)
    lowest, highest, padded = _extent(stored, padding)
    try:
        if table_fits:
            limits = np.iinfo(stored.dtype)
            ramp = np.arange(limits.min, limits.max + 1, dtype=np.int32)
            grey, parameters, warnings = _transform(ramp, ds, lowest, highest)
        else:
            grey, parameters, warnings = _transform(stored, ds, lowest, highest)
    except (ValueError, TypeError, LookupError, AttributeError, NotImplementedError, OverflowError, struct.error) as error:
        raise got("a usable modality LUT and VOI LUT or window", str(error)[:200], _REMEDY) from error
    if not np.isfinite(grey).all():
        raise got("a usable rescale slope and window", "values that give no finite grey levels", _REMEDY)
    inverted = _is_inverted(ds)
    if inverted:
        grey = np.float32(1) - grey
    if padding is not None and padded:
        # Padding is no part of the picture: black, whatever its value would have become.
        levels = ramp if table_fits else stored
        grey[(levels >= padding[0]) & (levels <= padding[1])] = 0
        parameters["padding"] = f"{padding[0]:g}..{padding[1]:g}"
    if table_fits:
        unsigned = stored.view(np.uint16 if stored.dtype.itemsize == 2 else np.uint8)
        # A signed value's bits, read as unsigned, index the table once its two halves are swapped.
        table = grey if limits.min == 0 else np.roll(grey, grey.size // 2)
        grey = table[unsigned]
    parameters["inverted"] = inverted
    return np.ascontiguousarray(grey, dtype=np.float32), Step("grey levels", parameters, warnings=tuple(warnings))


def _transform(levels: NDArray[Any], ds: Dataset, lowest: float, highest: float) -> tuple[Pixels, dict[str, Any], list[str]]:
    """Levels of any shape -> float32 [0, 1] before polarity. `lowest` and `highest` are the image's own extremes."""
    parameters: dict[str, Any] = {"modality": _modality_words(ds)}
    warnings: list[str] = []
    ends = apply_modality_lut(np.array([lowest, highest]).astype(levels.dtype), ds).astype(np.float64)
    values = apply_modality_lut(levels, ds)
    if ds.get("VOILUTSequence") and all(ds.VOILUTSequence[0].get(name) is not None for name in ("LUTDescriptor", "LUTData")):
        item = ds.VOILUTSequence[0]
        whole = np.rint(values).astype(np.int64) if np.issubdtype(values.dtype, np.floating) else values.astype(np.int64)
        looked_up = apply_voi(whole, ds).astype(np.float32)
        top = 2 ** int(item.LUTDescriptor[2]) - 1
        largest = float(looked_up.max())
        if 0 < largest <= top / 8:  # some vendors declare 16 bits and fill 12
            warnings.append(f"the VOI LUT declares values up to {top} and reaches {largest:g}: its own maximum is white")
            top = int(largest)
        parameters["voi"] = "LUT"
        return np.clip(looked_up / np.float32(max(top, 1)), 0, 1), parameters, warnings
    if ds.get("WindowCenter") is not None and ds.get("WindowWidth") is not None:
        windowed, words = _window(values, ds)
        if words:
            parameters["voi"] = words
            if int(ds["WindowCenter"].VM) > 1:
                parameters["windows"] = int(ds["WindowCenter"].VM)
            return windowed, parameters, warnings
        warnings.append("the window in the header is impossible (width below 1): the full range was taken")
    bits = int(ds.get("BitsStored", 0) or 0)
    if bits and bits <= 8 and "ModalityLUTSequence" not in ds and ds.get("RescaleSlope") is None:
        low, high = (0.0, 2.0**bits - 1) if not ds.get("PixelRepresentation") else (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1)
    else:
        low, high = float(ends.min()), float(ends.max())
    parameters["voi"] = f"none: {low:g}..{high:g}"
    span = (high - low) or 1.0
    return np.clip((values.astype(np.float64) - low) / span, 0, 1).astype(np.float32), parameters, warnings


def _window(values: NDArray[Any], ds: Dataset) -> tuple[Pixels, str]:
    """Apply the first window of the header; ("", unchanged) when it is impossible."""
    function = str(ds.get("VOILUTFunction") or "LINEAR").upper()
    centre, width = (_first(ds[name].value) for name in ("WindowCenter", "WindowWidth"))
    # LINEAR is defined from width 1 on (C.11.2.1.2.1), the other two above 0.
    if not np.isfinite([centre, width]).all() or (width < 1 if function == "LINEAR" else width <= 0):
        return values.astype(np.float32), ""
    window = Dataset()  # of 16 bits and no rescale, so that pydicom's output range is 0..65535
    window.PhotometricInterpretation = "MONOCHROME2"
    window.BitsStored = 16
    window.PixelRepresentation = 0
    window.WindowCenter, window.WindowWidth, window.VOILUTFunction = centre, width, function
    with np.errstate(over="ignore"):  # SIGMOID far below the window: exp overflows to the right answer, 0
        grey = apply_windowing(values, window) / _FULL
    return np.clip(grey, 0, 1).astype(np.float32), f"window {function} {centre:g}/{width:g}"


def _extent(stored: NDArray[Any], padding: tuple[float, float] | None) -> tuple[float, float, bool]:
    """Lowest and highest stored value apart from padding, and whether there is any padding."""
    if padding is None:
        return stored.min(), stored.max(), False
    is_padding = (stored >= padding[0]) & (stored <= padding[1])
    count = int(np.count_nonzero(is_padding))
    if count in (0, stored.size):
        return stored.min(), stored.max(), bool(count)
    image = stored[~is_padding]
    return image.min(), image.max(), True


def _padding_range(ds: Dataset) -> tuple[float, float] | None:
    for name, limit_name in (
        ("PixelPaddingValue", "PixelPaddingRangeLimit"),
        ("FloatPixelPaddingValue", "FloatPixelPaddingRangeLimit"),
    ):
        try:
            value = _first(ds.get(name))
            limit = _first(ds.get(limit_name)) if ds.get(limit_name) is not None else value
        except (TypeError, ValueError):
            continue
        return (min(value, limit), max(value, limit))
    return None


def _is_inverted(ds: Dataset) -> bool:
    """MONOCHROME1 and Presentation LUT Shape INVERSE say the same thing: 0 is white. Both together still invert once."""
    shape = str(ds.get("PresentationLUTShape") or "").upper()
    return str(ds.get("PhotometricInterpretation", "")).strip() == "MONOCHROME1" or shape == "INVERSE"


def _modality_words(ds: Dataset) -> str:
    if ds.get("ModalityLUTSequence"):
        return "LUT"
    if ds.get("RescaleSlope") is not None and ds.get("RescaleIntercept") is not None:
        return f"× {float(ds.RescaleSlope):g} + {float(ds.RescaleIntercept):g}"
    return "none"


def _first(value: Any) -> float:
    """The first number of an element with one or several values; TypeError or ValueError when there is none."""
    if value is None:
        raise TypeError("no value")
    if isinstance(value, (str, bytes, int, float)):
        return float(value)
    return float(next(iter(value)))
