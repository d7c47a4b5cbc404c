"""Pectoral muscle, on views that show it: the bright corner between chest wall and upper edge.

Its edge is nearly straight and steep (Karssemeijer, Phys. Med. Biol. 43, 1998, finds it with a Hough transform; Kwok et
al., IEEE Trans. Med. Imaging 23, 2004, bend the line afterwards). Here straight lines are scored by the step from bright to
dark across them along their weaker parts, the best is bent to the steepest course nearby, and it has to pass several
tests: cutting tissue that is not muscle may cut a lesion, keeping the muscle costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from core.images.mammogram import Pixels

VIEWS = ("", "MLO", "LMO", "ML", "LM", "SIO", "ISO")  # views that show the muscle, and unknown ones

_ANGLES = (45.0, 82.0)  # degrees to the horizontal
_POINTS = 48  # along a line
_HALF = 0.008  # of the longer side: how far from the line both sides are compared
_BEND = 12  # px: how far the edge may leave the straight line
_STEP = 0.03  # of the range from air to bright tissue: the step at the line's weaker quarter
_POSITIVE = 0.9  # of the line: so much of it goes from bright to dark
_AREA = (0.015, 0.3)  # of the breast: smallest and largest muscle
_KEPT = 0.85  # of the edge's length, from above: the tip is faint, and tissue behind it is easily taken for it
_BRIGHTER = 0.1  # of that range: the muscle above the tissue along its edge

Points = NDArray[np.float32]


@dataclass(frozen=True)
class Pectoral:
    """`mask` uint8 (h, w), 255 on the muscle, all 0 when none was found."""

    mask: NDArray[np.uint8]
    parameters: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def find_pectoral(small: Pixels, breast: NDArray[np.uint8], chest_wall: Literal["left", "right"], view: str) -> Pectoral:
    """Find the muscle in a downscaled image, float32 (h, w) in [0, 1], air dark, with its breast mask (h, w).

    Never fails. Views without a muscle (CC and its variants) are left alone; where the edge is not clear nothing is
    marked, and a warning says so if the view is known to show it.
    """
    nothing = np.zeros_like(breast)
    if view not in VIEWS:
        return Pectoral(nothing, {"found": False, "reason": f"a view {view} shows no muscle"})
    mirrored = chest_wall == "right"
    image, inside = (small[:, ::-1].copy(), breast[:, ::-1].copy()) if mirrored else (small, breast)
    sigma = max(image.shape) / 256
    smooth = cv2.GaussianBlur(image, (0, 0), sigma)
    levels = smooth[inside > 0]
    air, bright = (float(level) for level in np.percentile(smooth, (1, 99)))
    contrast = bright - air
    corner = _corner(inside)
    if corner is None or contrast < 0.01 or levels.size < 1000:
        return _unsure(nothing, view, "the breast does not reach the upper edge at the chest wall")
    line, step, positive = _best_line(smooth, inside, corner)
    if line is None:
        return _unsure(nothing, view, "no line fits")
    course = _bent(smooth, line)
    mask = _above(course, corner, inside)
    found: dict[str, Any] = {"found": True, "step": round(step / contrast, 3), "positive": round(positive, 2)}
    share = float(np.count_nonzero(mask)) / max(1, int(np.count_nonzero(inside)))
    brighter = _brighter(smooth, mask, inside) / contrast
    found |= {"area": f"{share:.1%} of the breast", "brighter": round(brighter, 3)}
    if step < _STEP * contrast or positive < _POSITIVE or not _AREA[0] <= share <= _AREA[1] or brighter < _BRIGHTER:
        return _unsure(nothing, view, "its edge is not clear", found)
    return Pectoral(np.ascontiguousarray(mask[:, ::-1]) if mirrored else mask, found)


def _unsure(nothing: NDArray[np.uint8], view: str, reason: str, measured: dict[str, Any] | None = None) -> Pectoral:
    warning = f"the pectoral muscle was not found ({reason}): nothing was removed"
    # Of unknown views half are CC: a warning at each would say nothing.
    return Pectoral(nothing, {**(measured or {}), "found": False, "reason": reason}, (warning,) if view else ())


def _corner(inside: NDArray[np.uint8]) -> tuple[int, int, int, int] | None:
    """x, y of the breast's upper corner at the chest wall, and the width and height to search; None without one."""
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if rows.size < 32 or columns.size < 32:
        return None
    # The mask has a rim of air (see breast.py) where the image goes on beyond the breast.
    rim = round(0.008 * max(inside.shape))
    top = int(rows[0]) + (rim if rows[0] > 0 else 0)
    left = int(columns[0]) + (rim if columns[0] > 0 else 0)
    first = np.flatnonzero(inside[top + 3])
    if first.size < 16 or first[0] > left + 0.1 * columns.size:
        return None
    return left, top, int(first[-1]) - left, int(rows[-1]) - top


def _best_line(
    smooth: Pixels, inside: NDArray[np.uint8], corner: tuple[int, int, int, int]
) -> tuple[Points | None, float, float]:
    """The line with the strongest step along its weaker parts: (_POINTS, 2) x, y from the top down; step; share > 0."""
    left, top, width, height = corner
    grid = np.meshgrid(np.linspace(0.12, 1.0, 32) * width, np.linspace(0.12, 0.95, 40) * height)
    along, down = (axis.ravel() for axis in grid)
    angles = np.degrees(np.arctan2(down, along))
    possible = (angles >= _ANGLES[0]) & (angles <= _ANGLES[1])
    if not possible.any():
        return None, 0.0, 0.0
    along, down = along[possible], down[possible]
    share = np.linspace(0.02, 0.98, _POINTS)
    x = left + along[:, None] * (1 - share)
    y = top + down[:, None] * share
    length = np.hypot(along, down)
    half = max(2.0, _HALF * max(smooth.shape))
    normal = np.stack([down / length, along / length], axis=1) * half  # away from the corner
    bright, dark = (_sample(smooth, x + sign * normal[:, :1], y + sign * normal[:, 1:]) for sign in (-1, 1))
    # Beyond the outline is air: a step to it is the skin, not the muscle.
    tissue = _sample(inside.astype(np.float32), x + 3 * normal[:, :1], y + 3 * normal[:, 1:]) > 127
    steps = np.where(tissue, bright - dark, 0.0)
    weaker = np.quantile(steps, 0.25, axis=1)
    # Of lines that are equally clear the longer one: short ones find strands inside the muscle.
    best = int((weaker * np.sqrt(length)).argmax())
    line = np.stack([x[best], y[best]], axis=1).astype(np.float32)
    return line, float(weaker[best]), float((steps[best] > 0).mean())


def _bent(smooth: Pixels, line: Points) -> Points:
    """The line, moved point by point to the steepest step nearby, neighbours by at most one pixel apart."""
    direction = line[-1] - line[0]
    normal = np.array([direction[1], -direction[0]], np.float32) / max(1e-6, float(np.hypot(*direction)))
    offsets = np.arange(-_BEND, _BEND + 1, dtype=np.float32)
    half = max(2.0, _HALF * max(smooth.shape))
    x = line[:, :1] + offsets * normal[0]
    y = line[:, 1:] + offsets * normal[1]
    steps = _sample(smooth, x - half * normal[0], y - half * normal[1]) - _sample(
        smooth, x + half * normal[0], y + half * normal[1]
    )
    # Dynamic programming from the top down: the best sum of steps that ends at each offset.
    best, came = steps[0].copy(), np.zeros(steps.shape, int)
    for row in range(1, len(steps)):
        padded = np.pad(best, 1, constant_values=-np.inf)
        choices = np.stack([padded[:-2], padded[1:-1], padded[2:]])
        came[row] = choices.argmax(axis=0) - 1
        best = choices.max(axis=0) + steps[row]
    at = int(best.argmax())
    path = np.zeros(len(steps), int)
    for row in range(len(steps) - 1, -1, -1):
        path[row] = at
        at = int(np.clip(at + came[row, at], 0, offsets.size - 1))
    moved: Points = line + offsets[path][:, None] * normal
    return moved


def _above(course: Points, corner: tuple[int, int, int, int], inside: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Mask of what lies between the course and the corner, a pixel away from the edge, without the muscle's thin tip."""
    course = course[: round(_KEPT * len(course))]
    first, last = course[0], course[-1]
    ends = [[first[0], -1.0], *course.tolist(), [-1.0, last[1]], [-1.0, -1.0]]
    mask = np.zeros_like(inside)
    cv2.fillPoly(mask, [np.rint(np.array(ends)).astype(np.int32)], 255)
    return np.asarray(cv2.erode(mask, np.ones((3, 3), np.uint8), borderValue=255) & inside, dtype=np.uint8)


def _brighter(smooth: Pixels, mask: NDArray[np.uint8], inside: NDArray[np.uint8]) -> float:
    """How much brighter the muscle is than the tissue in a band along its edge (medians)."""
    size = max(5, round(0.06 * max(mask.shape)) | 1)
    band = (cv2.dilate(mask, np.ones((size, size), np.uint8)) > 0) & (mask == 0) & (inside > 0)
    if not band.any() or not mask.any():
        return 0.0
    return float(np.median(smooth[mask > 0]) - np.median(smooth[band]))


def _sample(picture: Pixels, x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.float32]:
    """Levels at fractional places, linear; the border's beyond it."""
    columns, rows = (np.ascontiguousarray(places, dtype=np.float32) for places in (x, y))
    sampled = cv2.remap(picture, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(sampled, dtype=np.float32)
