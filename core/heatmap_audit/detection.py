"""A heatmap's peaks as marks: which lesions they find, and how many false ones they set (core.metrics.froc).

A map says where, not how sure: it is scaled to its own highest value. A peak's rating is therefore the model's score times the
peak's share of the map's highest one, so that marks of different images can be ordered.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from core.data.lesion_masks import Mask
from core.errors import NotEnoughData
from core.heatmap_audit.localisation import Map
from core.heatmap_audit.results import DECIMALS, Case
from core.heatmap_audit.settings import AuditSettings
from core.metrics.froc import Froc, MarkedImage, froc

LEAST, MOST = 0.5, 5  # of the map's highest value; marks an image


def peaks(values: Map, distance: float) -> list[tuple[int, int, float]]:
    """(row, column, share of the highest value) of local maxima that lie more than `distance` px apart, the highest first."""
    heights, highest = values.astype(np.float32), float(values.max())
    # The flank of a higher peak is no peak, however far from its top.
    left = np.where(heights >= cv2.dilate(heights, np.ones((3, 3), np.uint8)), heights, np.float32(-1))
    rows, columns = np.ogrid[: values.shape[0], : values.shape[1]]
    found: list[tuple[int, int, float]] = []
    while len(found) < MOST:
        row, column = np.unravel_index(int(left.argmax()), left.shape)
        share = float(left[row, column]) / highest if highest > 0 else 0.0
        if share < LEAST:
            break
        found.append((int(row), int(column), share))
        left[(rows - row) ** 2 + (columns - column) ** 2 <= max(distance, 0.0) ** 2] = -1.0
    return found


def marks_of(values: Map, lesion: Mask | None, score: float, tolerance: float) -> tuple[list[list[float]], int]:
    """Marks as [rating, number of the lesion or -1], and how many lesions there are.

    Args:
        values: float (H, W), at least 0, not all 0.
        lesion: bool (H, W); parts that do not touch are lesions of their own. None: there is none.
        score: of the image, in [0, 1].
        tolerance: px, how far from a lesion a mark still hits, and how far apart marks are.
    """
    count, labels = (1, None) if lesion is None else cv2.connectedComponents(lesion.astype(np.uint8), connectivity=8)
    places = [] if labels is None else [np.argwhere(labels == number) for number in range(1, count)]
    marks = []
    for row, column, share in peaks(values, tolerance):
        away = [float(np.hypot(*(place - (row, column)).T).min()) for place in places]
        near = int(np.argmin(away)) if away else -1
        hit = near if near >= 0 and away[near] <= tolerance else -1
        marks.append([round(score * share, DECIMALS), float(hit)])
    return marks, count - 1


def lesions_in(lesion: Mask | None) -> int:
    """How many lesions a mask (H, W) has: parts that do not touch are lesions of their own; 0 without a mask."""
    return 0 if lesion is None else cv2.connectedComponents(lesion.astype(np.uint8), connectivity=8)[0] - 1


def detection_of(cases: Sequence[Case], settings: AuditSettings) -> Froc | str:
    """FROC and AFROC of the audited images: malignant ones whose lesion is known, and benign ones, which have no malignant
    lesion to find. A mark on a benign lesion is a false mark.

    An empty or flat map is an image without marks, which ranks below all others; a map of values that are no numbers says
    nothing, and is left out.
    """
    images = [
        MarkedImage(case.patient_id, case.lesions, case.marks)
        for case in cases
        if not case.undefined and (case.lesions or case.label != "malignant")
    ]
    try:
        return froc(images, samples=settings.samples, confidence=settings.confidence, seed=settings.seed)
    except NotEnoughData as error:
        return str(error)
