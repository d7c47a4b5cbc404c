"""Where the lesions of a manifest's row lie in its image, as outlines to be drawn; and the mask files that say it.

Columns, the first of these that a row fills is used:

    lesion_masks    image files, "|" between them, of the original's size, lesion above 0 (CBIS-DDSM draws them);
                    a relative path starts at the image's own folder
    lesion_circles  JSON list of [x, y, radius] (mini-MIAS); "[]" says that none is known, whatever the boxes
    lesions         JSON list of boxes [x0, y0, x1, y1], or of objects with a box, a polygon or a mask (core.data.lesions)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.data.lesions import Lesion, lesions_of, number_lists
from core.data.tables import shown
from core.errors import BadManifest
from core.images import read

Mask = NDArray[np.bool_]
Circle = tuple[float, float, float]
Points = tuple[tuple[float, float], ...]

_COLUMNS = ("lesion_masks", "lesion_circles", "lesions")
_ROUND = 48  # corners of a circle
_FINE = 0.0005  # of the image's longer side: an outline's corners may be this far from the mask's edge
_SAYS_WHERE = r'"(?:box|polygon|mask)"|\[\s*\['


@dataclass(frozen=True)
class Outline:
    """A closed line round a lesion: `points` (x, y) in pixels of the original image; `words` say what the data set says."""

    points: Points
    words: str = ""


def with_lesions(frame: pd.DataFrame) -> NDArray[np.bool_]:
    """Which rows say where a lesion is, bool (N,). Looks at the text only, so that it is quick for a long manifest."""
    columns = {name: frame[name].astype("str").str.strip() for name in _COLUMNS if name in frame.columns}
    nothing = pd.Series(data=False, index=frame.index)
    masks, circles, lesions = (columns.get(name) for name in _COLUMNS)
    by_mask = nothing if masks is None else masks != ""
    by_circle = nothing if circles is None else ~circles.isin(("", "[]"))
    known_none = nothing if circles is None else circles == "[]"
    by_lesion = nothing if lesions is None else lesions.str.contains(_SAYS_WHERE, regex=True) & ~known_none
    return np.asarray(by_mask | by_circle | by_lesion, np.bool_)


def lesion_outlines(
    row: Mapping[Any, Any], original: tuple[int, int], require: Callable[[Path], object] | None = None
) -> list[Outline]:
    """The row's lesions as outlines; [] where it names none, or does not say where.

    Args:
        row: of a manifest, see above.
        original: (height, width) of the original image.
        require: called with each mask file before it is read; may raise.

    Raises:
        BadManifest: the row's lesions cannot be read, or a mask is of another size than the image.
        UnreadableImage: a mask's file cannot be read.
    """
    folder = Path(str(row.get("path", ""))).parent
    ask = require or (lambda path: None)
    if files := text_of(row, "lesion_masks"):
        paths = [folder / name.strip() for name in files.split("|")]
        for path in paths:
            ask(path)
        return [Outline(points) for path in paths for points in _round_mask(exact_mask(path, original))]
    circles = circles_of(row)
    if circles is not None:
        return [Outline(_circle(*circle)) for circle in circles]
    found = []
    for lesion in lesions_of(row):
        words = lesion_words(lesion)
        placed = lesion.scaled(original[1], original[0])
        if placed.mask:
            ask(folder / placed.mask)
            found += [Outline(points, words) for points in _round_mask(resized_mask(folder / placed.mask, original))]
        elif len(placed.polygon) > 2:
            found.append(Outline(placed.polygon, words))
        elif placed.bounds is not None:
            x0, y0, x1, y1 = placed.bounds
            found.append(Outline(((x0, y0), (x1, y0), (x1, y1), (x0, y1)), words))
    return found


def lesion_words(lesion: Lesion) -> str:
    """What the data set says of a lesion: "mass, malignant, BI-RADS 4"; "" for nothing."""
    parts = (lesion.type, lesion.pathology.replace("_", " "), f"BI-RADS {lesion.birads}" if lesion.birads else "")
    return ", ".join(part for part in parts if part)


def boxes_of(outlines: Iterable[Outline]) -> list[tuple[float, float, float, float]]:
    """The boxes (x0, y0, x1, y1) round outlines."""
    found = []
    for outline in outlines:
        xs, ys = zip(*outline.points, strict=True)
        found.append((min(xs), min(ys), max(xs), max(ys)))
    return found


# ---------------------------------------------------------------- what the columns say


def circles_of(row: Mapping[Any, Any]) -> list[Circle] | None:
    """The row's circles (x, y, radius); None where it has no such column, or nothing in it.

    Raises:
        BadManifest: they are no circles.
    """
    content = text_of(row, "lesion_circles")
    if not content:
        return None
    wanted = "expected a JSON list of [x, y, radius] in pixels with a radius above 0"
    circles = number_lists(content, 3)
    if circles is None or not all(math.isfinite(sum(circle)) and circle[2] > 0 for circle in circles):
        raise BadManifest(f"lesion_circles {shown(content)}: {wanted}")
    return [(x, y, radius) for x, y, radius in circles]


def text_of(row: Mapping[Any, Any], name: str) -> str:
    """A cell's text; "" where it is empty or the column is missing."""
    value = row.get(name, "")
    return "" if value is None or (isinstance(value, float) and math.isnan(value)) else str(value).strip()


def exact_mask(path: Path, original: tuple[int, int]) -> Mask:
    """A mask file of the image's (height, width): what is above 0.

    Raises:
        BadManifest: it is of another size.
        UnreadableImage: it cannot be read.
    """
    drawn = read(path).pixels > 0
    if drawn.shape != original:
        raise BadManifest(
            f"{path.name}: expected a lesion mask of {original[0]} x {original[1]} px, the image's size, got "
            f"{drawn.shape[0]} x {drawn.shape[1]} px. Give the mask of the whole image, not of a crop."
        )
    return drawn


def resized_mask(path: Path, original: tuple[int, int]) -> Mask:
    """A mask file, brought to the image's size: what is nearer to white than to black, for some are JPEGs.

    Raises:
        UnreadableImage: it cannot be read.
    """
    drawn = (read(path).pixels >= np.float32(0.5)).astype(np.uint8)
    if drawn.shape != original:
        drawn = cv2.resize(drawn, (original[1], original[0]), interpolation=cv2.INTER_NEAREST)
    return drawn > 0


def _circle(x: float, y: float, radius: float) -> Points:
    angles = (2 * math.pi * step / _ROUND for step in range(_ROUND))
    return tuple((x + radius * math.cos(angle), y + radius * math.sin(angle)) for angle in angles)


def _round_mask(mask: Mask) -> list[Points]:
    """The outer edges of what is white, in continuous coordinates; a single pixel has four corners, too."""
    # Twice as large, so that contours, which run through centres of pixels, come to lie within half a pixel of the edge.
    padded = cv2.resize(mask.astype(np.uint8), None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(padded, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    fine = max(0.5, 2 * _FINE * max(mask.shape))
    found = []
    for contour in contours:
        corners = cv2.approxPolyDP(contour, fine, closed=True).reshape(-1, 2)
        if len(corners) > 2:
            found.append(tuple(((float(x) + 0.5) / 2, (float(y) + 0.5) / 2) for x, y in corners))
    return found
