"""A heatmap as colour over an image."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import BadConfig
from core.gradcam.heat import Evidence, HasPixels, Heatmap, pixels_of

COLORMAPS = ("inferno", "turbo", "magma", "viridis", "cividis", "jet")
# Benign and malignant in one picture: the figures' blue and vermilion, brighter, because they lie on black.
BENIGN_RGB, MALIGNANT_RGB = (86, 180, 233), (255, 122, 26)


def overlay(
    image: HasPixels | NDArray[np.uint8],
    heat: Heatmap | Evidence | NDArray[np.float32],
    opacity: float = 0.5,
    colormap: str = "inferno",
    *,
    signed: bool = False,
) -> NDArray[np.uint8]:
    """The image, uint8 (H, W), with the map over it -> RGB uint8 (H, W, 3).

    Each pixel is tinted in proportion to its heat, so cold regions stay the grey they were; a flat map tints nothing.
    Evidence, and with `signed` an array in [-1, 1], is drawn in two colours (see `two_colours`), whatever the colour map.

    Raises:
        BadConfig: opacity outside [0, 1], unknown colour map, or image and map of different shapes.
    """
    if not 0.0 <= opacity <= 1.0:
        raise BadConfig(f"overlay opacity: got {opacity}; allowed: 0 to 1")
    if colormap not in COLORMAPS:
        raise BadConfig(f"overlay colour map: got {colormap!r}; allowed: {', '.join(COLORMAPS)}")
    grey = pixels_of(image)
    values = np.asarray(heat, dtype=np.float32) if isinstance(heat, np.ndarray) else heat.values
    if values.shape != grey.shape:
        raise BadConfig(
            f"overlay: the map is {values.shape} and the image {grey.shape}; map it with original_from_prepared, "
            "or pass the prepared image it was made from"
        )
    signed = signed or isinstance(heat, Evidence)
    values = np.clip(np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0), -1.0 if signed else 0.0, 1.0)
    colours = (two_colours() if signed else colours_of(colormap))[levels(values, signed=signed)]
    alpha = (opacity * np.abs(values))[..., None].astype(np.float32)
    blended = grey[..., None].astype(np.float32) * (1.0 - alpha) + colours.astype(np.float32) * alpha
    return np.floor(blended + 0.5).astype(np.uint8)


def levels(values: NDArray[Any], *, signed: bool) -> NDArray[np.uint8]:
    """Values as 8-bit levels: [0, 1] as 0..255 or, signed, [-1, 1] as 1..255, 128 for 0."""
    scaled = values * 127.0 + 128.0 if signed else values * 255.0
    return np.floor(np.clip(scaled, 0.0, 255.0) + 0.5).astype(np.uint8)


@cache
def colours_of(colormap: str) -> NDArray[np.uint8]:
    """The RGB of each level of a colour map, uint8 (256, 3)."""
    import cv2

    ramp = np.arange(256, dtype=np.uint8)[None]
    mapped = cv2.applyColorMap(ramp, getattr(cv2, f"COLORMAP_{colormap.upper()}"))
    return np.ascontiguousarray(mapped[0, :, ::-1])


@cache
def two_colours() -> NDArray[np.uint8]:
    """The RGB of each signed level, uint8 (256, 3): blue below 128 (benign), orange above it (malignant)."""
    table = np.empty((256, 3), np.uint8)
    table[:128], table[128:] = BENIGN_RGB, MALIGNANT_RGB
    return table
