"""Overlays: a heatmap as colour over an image."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from core.errors import BadConfig
from core.gradcam.heatmaps import Evidence, HasPixels, Heatmap, pixels_of

COLORMAPS = ("inferno", "turbo", "magma", "viridis", "cividis", "jet")
# Benign and malignant in one picture: the charts' blue and vermilion, brighter, because they lie on black.
BENIGN_RGB, MALIGNANT_RGB = (86, 180, 233), (255, 122, 26)
OPACITY = 0.7
HALF = 0.5  # of the strongest: what reaches it is tinted with the whole opacity, and outlined
_OUTLINE_LEVEL = 210  # of the colour map: bright, and not yet the white of its peak
_FAR = 1e6  # px: no image reaches as far, and OpenCV counts in 32 bits
_LESION, _HALO = (255, 255, 255), (0, 0, 0)  # seen on every colour map, on black and on white tissue


def overlay(
    image: HasPixels | NDArray[np.uint8],
    heat: Heatmap | Evidence | NDArray[np.float32],
    opacity: float = OPACITY,
    colormap: str = "inferno",
    *,
    signed: bool = False,
) -> NDArray[np.uint8]:
    """The image, uint8 (H, W), with the map over it -> RGB uint8 (H, W, 3).

    Each pixel is tinted in proportion to its heat up to `HALF` of the strongest, and from there on with the whole opacity:
    cold regions stay the grey they were, a flat map tints nothing, and hot regions show on white tissue too.
    Evidence, and with `signed` an array in [-1, 1], is drawn in two colours (see `two_colours`), whatever the colour map.

    Raises:
        BadConfig: opacity outside [0, 1], unknown colour map, or image and map of different shapes.
    """
    if not 0.0 <= opacity <= 1.0:
        raise BadConfig(f"overlay opacity: got {opacity}; allowed: 0 to 1")
    if colormap not in COLORMAPS:
        raise BadConfig(f"overlay colour map: got {colormap!r}; allowed: {', '.join(COLORMAPS)}")
    grey = pixels_of(image)
    signed = signed or isinstance(heat, Evidence)
    values = _values(heat, grey.shape, signed=signed)
    colours = (two_colours() if signed else colours_of(colormap))[levels(values, signed=signed)]
    alpha = (opacity * np.minimum(np.abs(values) / HALF, 1.0))[..., None].astype(np.float32)
    blended = grey[..., None].astype(np.float32) * (1.0 - alpha) + colours.astype(np.float32) * alpha
    return np.floor(blended + 0.5).astype(np.uint8)


def _values(heat: Heatmap | Evidence | NDArray[np.float32], shape: tuple[int, ...], *, signed: bool) -> NDArray[np.float32]:
    """The map's values, finite and within [0, 1] or, signed, [-1, 1]. Raises BadConfig where they have another shape."""
    values = np.asarray(heat, dtype=np.float32) if isinstance(heat, np.ndarray) else heat.values
    if values.shape != shape:
        raise BadConfig(
            f"overlay: the map is {values.shape} and the image {shape}; map it with original_from_prepared, "
            "or pass the prepared image it was made from"
        )
    finite = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    return np.asarray(np.clip(finite, -1.0 if signed else 0.0, 1.0), dtype=np.float32)


def render(
    pixels: NDArray[np.uint8],
    heat: Heatmap | Evidence | NDArray[np.float32] | None = None,
    *,
    side: int | None = None,
    opacity: float = OPACITY,
    colormap: str = "inferno",
    signed: bool = False,
    outline: int = 1,
    outlines: Sequence[Sequence[tuple[float, float]]] = (),
    mask: NDArray[np.bool_] | None = None,
    peak: bool = False,
) -> NDArray[np.uint8]:
    """A picture for display -> RGB uint8, its longer side `side` px (None: as large as it is).

    Args:
        pixels: uint8 (H, W).
        heat: of the same shape, tinted as by `overlay`; None for the image alone.
        outline: px of a line round what reaches `HALF` of the strongest; 0 for none.
        outlines: closed lines round lesions, points (x, y) in `pixels`, drawn in white.
        mask: lesions as bool (H, W), outlined in white.
        peak: a cross at the strongest place.

    Raises:
        BadConfig: as `overlay`.
    """
    height, width = pixels.shape
    scale = 1.0 if side is None else side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    grey = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    if heat is None:
        shown = np.repeat(grey[..., None], 3, axis=2)
    else:
        signed = signed or isinstance(heat, Evidence)
        small = _values(heat, pixels.shape, signed=signed)
        values = np.asarray(cv2.resize(small, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR))
        shown = overlay(np.asarray(grey, np.uint8), values, opacity, colormap, signed=signed)
        if outline and opacity > 0:
            for sign, colour in _outlines(colormap, signed=signed):
                _draw_outline(shown, sign * values >= HALF, colour, outline)
        if peak:
            y, x = (int((at + 0.5) * scale) for at in np.unravel_index(int(small.argmax()), small.shape))
            cv2.drawMarker(shown, (x, y), _HALO, cv2.MARKER_TILTED_CROSS, 16, 5)
            cv2.drawMarker(shown, (x, y), _LESION, cv2.MARKER_TILTED_CROSS, 14, 2)
    if mask is not None:
        lesion = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
        _draw_outline(shown, lesion, _LESION, 2)
    lines = [np.rint(np.clip(np.array(each) * scale, -_FAR, _FAR)).astype(np.int32) for each in outlines]
    for colour, thickness in ((_HALO, 4), (_LESION, 2)):
        cv2.polylines(shown, lines, True, colour, thickness, cv2.LINE_AA)
    return np.asarray(shown, dtype=np.uint8)


def _outlines(colormap: str, *, signed: bool) -> list[tuple[int, tuple[int, ...]]]:
    """(sign of the values, colour) of each outline."""
    if signed:
        return [(1, MALIGNANT_RGB), (-1, BENIGN_RGB)]
    return [(1, tuple(int(level) for level in colours_of(colormap)[_OUTLINE_LEVEL]))]


def _draw_outline(shown: NDArray[np.uint8], where: NDArray[np.bool_], colour: tuple[int, ...], thickness: int) -> None:
    """A line with a dark rim round `where`, in place."""
    contours, _ = cv2.findContours(where.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(shown, contours, -1, _HALO, thickness + 2, cv2.LINE_AA)
    cv2.drawContours(shown, contours, -1, colour, thickness, cv2.LINE_AA)


def levels(values: NDArray[Any], *, signed: bool) -> NDArray[np.uint8]:
    """Values as 8-bit levels: [0, 1] as 0..255 or, signed, [-1, 1] as 1..255, 128 for 0."""
    scaled = values * 127.0 + 128.0 if signed else values * 255.0
    return np.floor(np.clip(scaled, 0.0, 255.0) + 0.5).astype(np.uint8)


@cache
def colours_of(colormap: str) -> NDArray[np.uint8]:
    """The RGB of each level of a colour map, uint8 (256, 3)."""
    ramp = np.arange(256, dtype=np.uint8)[None]
    mapped = cv2.applyColorMap(ramp, getattr(cv2, f"COLORMAP_{colormap.upper()}"))
    return np.ascontiguousarray(mapped[0, :, ::-1])


@cache
def two_colours() -> NDArray[np.uint8]:
    """The RGB of each signed level, uint8 (256, 3): blue below 128 (benign), orange above it (malignant)."""
    table = np.empty((256, 3), np.uint8)
    table[:128], table[128:] = BENIGN_RGB, MALIGNANT_RGB
    return table
