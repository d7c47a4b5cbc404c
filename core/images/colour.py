"""Grey levels of colour images: equal channels are taken as they are, others turned to grey with a warning."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

# JPEG's chroma rounding moves grey pixels by a few levels; burned-in coloured marks are a small share of the image.
_CHROMA_TOLERANCE = 12 / 255
_COLOURED_SHARE = 0.005
COLOURED = "a colour image"  # how the warning about one begins


def grey_from_colour(values: NDArray[Any]) -> tuple[NDArray[Any], str]:
    """(H, W, 3) RGB integers -> (H, W) of the same type, and a warning unless the three channels are one.

    Equal channels are taken as they are; otherwise the luminance (BT.601) is.
    """
    red = values[:, :, 0]
    if np.array_equal(red, values[:, :, 1]) and np.array_equal(red, values[:, :, 2]):
        return np.ascontiguousarray(red), ""
    if values.dtype in (np.uint8, np.uint16):
        grey: NDArray[Any] = cv2.cvtColor(np.ascontiguousarray(values), cv2.COLOR_RGB2GRAY)
    else:
        grey = np.rint(values @ np.array([0.299, 0.587, 0.114])).astype(values.dtype)
    share = coloured_share(values)
    if share > _COLOURED_SHARE:
        return grey, f"{COLOURED} ({share:.0%} of it coloured) was turned to grey: is this a mammogram?"
    return grey, "the image is stored in colour; its grey was taken"


def is_grey(values: NDArray[Any]) -> bool:
    """Whether an RGB (H, W, 3) integer image is grey but for rounding and a few marks."""
    return coloured_share(values) <= _COLOURED_SHARE


def coloured_share(values: NDArray[Any]) -> float:
    """Share of pixels, 0..1, whose channels differ by more than rounding."""
    red, green, blue = (values[:, :, channel] for channel in range(3))
    brightest = np.maximum(np.maximum(red, green), blue)
    # The range of signed values may not fit their type: reading the difference as unsigned puts that right.
    spread = (brightest - np.minimum(np.minimum(red, green), blue)).view(f"u{values.dtype.itemsize}")
    return float(np.count_nonzero(spread > _CHROMA_TOLERANCE * np.iinfo(values.dtype).max) / spread.size)
