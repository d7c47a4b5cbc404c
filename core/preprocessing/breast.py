"""Breast segmentation: a mask on a downscaled copy, without labels, markers, film borders and scanner strips.

The background level is measured (air is flat and dark), everything clearly above it is foreground, and the breast is
the largest piece that is left once thin connections are cut. The pectoral muscle stays.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from core.images.mammogram import Pixels
from core.preprocessing.flat_regions import flat_regions, normalised_copy

_ABOVE_AIR = 0.03  # of the range from air to bright tissue: where skin begins
_ABOVE_UNEVEN_AIR = 0.05  # the same on digitised films, whose base is uneven
_UNEVEN = 0.01  # of that range: what the middle 80 % of air differ on film; on digital images not at all
# Stricter than film asks for: a flat region of fat that is taken for film costs tissue, film taken for tissue only room.
_FILM_SHARE = 0.03  # of the image: smaller flat regions are not taken for film
_FILM_RANGE = 0.06  # of the range from air to bright tissue: film is no brighter than this
_FILM_UNEVEN = 0.03  # and gets no brighter than this above its median: beyond, the region runs on into fat
_FILM_ABOVE = 0.025
_FRAME_LEVEL = 0.9  # of the grey range: a film's rim is at least this white
_FRAME_WIDTH = 0.04  # of the longer side: and no wider
_FRAME_LENGTH = 0.6  # of a side: and runs along at least so much of it
_FRAME_AIR = 0.2  # of a side: so much of a frame has air behind it
_RIM = 0.012  # of the longer side: width of the brush that widens the outline
_SMALLEST = 0.02  # of the image: anything smaller is no breast
_SOLID = 0.75  # of its convex hull: what a breast fills at least, with a fold of skin above or below
_CUT = 0.025  # of the longer side: connections thinner than this are cut
_SECOND = 0.3  # of the largest piece's area: what a second breast in the image has at least
_FILLS = 0.4  # of its bounding box: what a breast fills at least, and a film's frame does not
_BULGE = 0.03  # of the width: so far a joined pair curves out beyond its upper and lower end on both sides, one breast on one

# Compared with the warnings of cached images: another wording would need another format of the cache.
APART = "several breasts in one image: only one is looked at; split the image"
JOINED = "the outline curves out on both sides, as of two breasts side by side in one image: split the image"


@dataclass(frozen=True)
class BreastMask:
    """`mask` uint8 (h, w), 255 inside, with a narrow rim of air; `tissue` is what surely lies within the skin.

    `found` is False when there is no breast to be seen: then both are 255 everywhere.
    """

    mask: NDArray[np.uint8]
    tissue: NDArray[np.uint8]
    found: bool
    warning: str = ""


def find_breast(small: Pixels) -> BreastMask:
    """Find the breast in a downscaled image, float32 (h, w) in [0, 1], air dark. Never fails: see BreastMask.found."""
    everything = np.full(small.shape, 255, np.uint8)
    if min(small.shape) < 8:
        return BreastMask(everything, everything, False, "the image is too small to find a breast in it: nothing was cut")
    smooth = cv2.GaussianBlur(small, (0, 0), max(small.shape) / 512)
    threshold = _threshold(smooth)
    if threshold is None:
        return BreastMask(everything, everything, False, "no breast was found (the image is uniform): nothing was cut")
    frame = _film_frame(smooth, threshold)
    piece, several = _largest_piece((smooth > threshold).astype(np.uint8) & ~frame)
    if piece is None:
        return BreastMask(
            everything, everything, False, "no breast was found (nothing large enough stands out): nothing was cut"
        )
    # A little air belongs to the breast: skin is as dark as air on some films, and the outline comes from a small copy.
    breast = _fill_holes(cv2.dilate(piece, _brush(_RIM, small.shape))) & ~frame
    share = float(breast.mean())
    warning = several
    if warning:
        pass  # the outline is that of more than one
    elif share > 0.97:
        warning = "the breast fills nearly the whole image: was the background cut off?"
    elif _solidity(breast) < _SOLID:
        warning = "the outline is not that of a breast alone: check what the crop holds"
    # The smoothed copy's outline lies a little outside: an image's darkest percents must not be air.
    tissue = cv2.erode(piece, _brush(_RIM, small.shape))
    return BreastMask(breast * np.uint8(255), tissue * np.uint8(255), True, warning)


def _threshold(smooth: Pixels) -> float | None:
    """Grey level between air and skin, or None for an image without contrast."""
    low, high = (float(level) for level in np.percentile(smooth, (0.5, 98)))
    if high - low < 0.01:
        return None
    # Air: the most frequent level of the darker half of the grey range.
    counts, edges = np.histogram(smooth, bins=256, range=(low, high))
    dark_half = cv2.GaussianBlur(counts[:128].astype(np.float32).reshape(1, -1), (5, 1), 0)[0]
    peak = int(dark_half.argmax())
    air = float(edges[peak] + edges[peak + 1]) / 2
    contrast = high - air
    near = np.abs(smooth - air) < 0.05 * (high - low)
    noise = 1.4826 * float(np.median(np.abs(smooth[near] - air))) if near.any() else 0.0
    ends = np.percentile(smooth[smooth < air + _ABOVE_UNEVEN_AIR * contrast], (10, 90))
    above = _ABOVE_UNEVEN_AIR if ends[1] - ends[0] > _UNEVEN * contrast else _ABOVE_AIR
    return max(air + max(above * contrast, 4 * noise), _film_base(smooth, air, contrast) + _FILM_ABOVE * contrast)


def _film_base(smooth: Pixels, air: float, contrast: float) -> float:
    """Level of unexposed film, which is a little brighter than the black that scanners put around a film; else `air`."""
    levels = normalised_copy(smooth)
    if levels is None:
        return air
    low, top = (float(level) for level in np.percentile(smooth, (0.5, 99.5)))
    base = air
    for region in flat_regions(levels):
        median, brightest = (low + (top - low) * float(level) for level in np.percentile(region.values, (50, 95)))
        if region.share >= _FILM_SHARE and median < air + _FILM_RANGE * contrast:
            base = max(base, min(brightest, median + _FILM_UNEVEN * contrast))
    return base


def _largest_piece(foreground: NDArray[np.uint8]) -> tuple[NDArray[np.uint8] | None, str]:
    """The largest piece of a 0/1 mask after cutting thin connections, with its holes filled; None if too small.

    And APART or JOINED where there is more than one breast, else "".
    """
    kernel = _brush(_CUT, foreground.shape)
    # Outside the image counts as foreground: a breast that leaves the picture is not eaten from its edge.
    core = cv2.erode(foreground, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=1)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(core, connectivity=4)
    if count < 2:
        return None, ""
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    piece = cv2.dilate((labels == largest).astype(np.uint8), kernel)
    grown = cv2.dilate(piece, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))) & foreground
    if grown.mean() < _SMALLEST:
        return None, ""
    area, box = stats[1:, cv2.CC_STAT_AREA], stats[1:, cv2.CC_STAT_WIDTH] * stats[1:, cv2.CC_STAT_HEIGHT]
    like_breasts = (area > _SECOND * area.max()) & (area > _SMALLEST * foreground.size) & (area > _FILLS * box)
    if np.count_nonzero(like_breasts) > 1:
        return _fill_holes(grown), APART
    return _fill_holes(grown), JOINED if _curves_out_on_both_sides(labels == largest) else ""


def _curves_out_on_both_sides(piece: NDArray[np.bool_]) -> bool:
    """Whether both the left and the right outline lie further out in the middle than at their ends: neither is a chest wall."""
    rows = piece[piece.any(axis=1)]
    ends = round(0.1 * len(rows))
    rows = rows[ends : len(rows) - ends]
    if len(rows) < 5:
        return False
    outlines = (rows.argmax(axis=1), rows[:, ::-1].argmax(axis=1))  # of air, before the piece begins
    return all(min(air[0], air[-1]) - np.percentile(air, 5) > _BULGE * piece.shape[1] for air in outlines)


def _brush(share: float, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """A round brush, its width this share of the longer side."""
    size = max(3, round(share * max(shape)) | 1)
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)), dtype=np.uint8)


def _film_frame(smooth: Pixels, threshold: float) -> NDArray[np.uint8]:
    """0/1 mask of thin, nearly white strips along the image's sides: the unmasked rim of a digitised film.

    A bright strip of muscle at the chest wall looks alike, but a frame has air behind it for a part of its length.
    """
    side = max(smooth.shape)
    low, top = (float(level) for level in np.percentile(smooth, (0.5, 99.5)))
    bright = (smooth > low + _FRAME_LEVEL * (top - low)).astype(np.uint8)
    depth = max(2, round(_FRAME_WIDTH * side))
    frame = np.zeros_like(bright)
    for turns in range(4):  # each side in turn becomes the top
        strip = np.rot90(bright, turns)[: 2 * depth]
        # Depth of the white that starts at the edge, column by column: a frame is shallow nearly everywhere.
        depths = np.where(strip.all(axis=0), strip.shape[0], strip.argmin(axis=0))
        shallow = (depths > 0) & (depths <= depth)
        if shallow.mean() < _FRAME_LENGTH:
            continue
        rim = int(np.percentile(depths[shallow], 95)) + 2
        behind = np.rot90(smooth, turns)[min(rim + 2, smooth.shape[turns % 2] - 1)]
        if float((shallow & (behind <= threshold)).mean()) >= _FRAME_AIR:
            np.rot90(frame, turns)[:rim] = 1
    return frame


def _solidity(mask: NDArray[np.uint8]) -> float:
    """Area of a 0/1 mask as a share of its convex hull's."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = cv2.convexHull(np.concatenate(contours))
    return float(np.count_nonzero(mask)) / max(1.0, cv2.contourArea(hull))


def _fill_holes(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """0/1 mask with everything enclosed by it filled."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros_like(mask)
    cv2.drawContours(filled, contours, -1, 1, thickness=cv2.FILLED)
    return filled
