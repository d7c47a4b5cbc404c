"""Whether marks find lesions: FROC and AFROC, over images with lesions and images without any.

A mark has a rating and either hits a lesion or none. FROC sets the share of lesions that are hit by a mark rated at least t
against the number of false marks of an image, as t falls. AFROC sets the same share against the share of lesion-free images
with any such false mark; its area is the chance that a lesion is rated above the highest false mark of an image without
lesions, a lesion or image without marks being rated below all others. A lesion counts once, by its highest mark; further ones
are no false marks.

Intervals take patients, not lesions or images, as independent: that of the AFROC area is an AUC's, with lesions and lesion-free
images as its rows; those of the share at given numbers of false marks resample patients. They are never inside Wilson's at the
rating that the share stands at, since percentiles shrink to nothing where few lesions are found.

Sources: Bunch et al., J Appl Photogr Eng 1978;4:166 (FROC). Chakraborty, Winter, Radiology 1990;174:873 (AFROC).
Chakraborty, Observer Performance Methods for Diagnostic Imaging, 2017, chapter 13.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.errors import NotEnoughData
from core.metrics.bootstrap import Patients, percentiles, resamples
from core.metrics.checks import Scores
from core.metrics.intervals import Estimate, Interval
from core.metrics.proportions import clustered_wilson
from core.metrics.summary import auc_or_note, why_not

RATES = (0.25, 0.5, 1.0, 2.0)  # false marks an image
_UNMARKED = -1.0  # below every rating


@dataclass(frozen=True)
class MarkedImage:
    """The marks of one image: (rating in [0, 1], number of the lesion that it hits, or -1). `lesions` may be 0."""

    patient_id: str
    lesions: int
    marks: Sequence[Sequence[float]]


@dataclass(frozen=True)
class Froc:
    """`area` is that of the AFROC; `found` the share of lesions found at no more than so many false marks an image (RATES).

    `false_marks` and `shares` (k,) are the FROC's points, rising. Metrics are notes where a side has too few patients.
    """

    area: Estimate
    found: dict[float, Estimate]
    false_marks: tuple[float, ...]
    shares: tuple[float, ...]
    images: int
    lesion_free: int
    lesions: int
    patients: int


def froc(
    images: Sequence[MarkedImage],
    *,
    samples: int = 2000,
    confidence: float,
    seed: int = 0,
    rates: Sequence[float] = RATES,
) -> Froc:
    """FROC and AFROC of marked images. Raises NotEnoughData: no image has a lesion, or a rating is NaN."""
    lesions = sum(image.lesions for image in images)
    if not lesions:
        raise NotEnoughData(f"FROC: expected images with lesions, got {len(images)} without. Name lesions in the manifest.")
    owner, ratings, hits = _events(images)
    patients = Patients.of([image.patient_id for image in images])
    order = np.argsort(-ratings, kind="stable")
    owner, ratings, hits = owner[order], ratings[order], hits[order]
    # A threshold lies between two ratings: marks that tie are taken together.
    ends = np.flatnonzero(np.append(np.diff(ratings) != 0, True)) if ratings.size else np.zeros(0, dtype=np.int64)
    number = np.array([image.lesions for image in images], dtype=np.float64)

    def curve(weight: Scores) -> tuple[Scores, Scores]:
        """False marks an image and share of lesions found, (k,) each, from (0, 0) on, for images that count so often."""
        of_event = weight[owner]
        false = np.cumsum(of_event * ~hits)[ends] / weight.sum()
        found = np.cumsum(of_event * hits)[ends] / max(1e-300, float(weight @ number))
        return np.append(0.0, false), np.append(0.0, found)

    def at(points: tuple[Scores, Scores]) -> list[float]:
        false, found = points
        return [float(found[int(np.searchsorted(false, rate + 1e-12, side="right")) - 1]) for rate in rates]

    def fixed(rate: float) -> Interval:
        """Wilson's limits at the lowest rating that gives no more false marks than that, as if it had been set before."""
        last = int(np.searchsorted(whole[0], rate + 1e-12, side="right")) - 2  # the curve's first point is before all ratings
        seen = hits & (ratings >= ratings[ends[last]]) if last >= 0 else np.zeros_like(hits)
        found = np.bincount(owner[seen], minlength=len(images))
        lesions_hit = [place < count for image, count in zip(images, found, strict=True) for place in range(image.lesions)]
        whose = [image.patient_id for image in images for _ in range(image.lesions)]
        return clustered_wilson(lesions_hit, whose, confidence=confidence)

    whole = curve(np.ones(len(images)))
    values = at(whole)
    drawn = []
    for counts in resamples(patients.count, samples, seed, len(images)):
        for row in counts:
            weight = row[patients.index].astype(np.float64)
            if weight @ number > 0:
                drawn.append(at(curve(weight)))
    with_lesions = len({image.patient_id for image in images if image.lesions})
    why = why_not("sensitivity", {"malignant": with_lesions, "benign": 0})
    low, high = percentiles(np.array(drawn), confidence)

    def limited(value: float, least: float, most: float, wilson: Interval) -> Interval:
        return Interval(value, min(least, wilson.low), max(most, wilson.high))

    limits = zip(rates, values, low.tolist(), high.tolist(), strict=True)
    found = {rate: why or limited(value, least, most, fixed(rate)) for rate, value, least, most in limits}
    return Froc(
        area=_area(images, confidence),
        found=found,
        false_marks=tuple(whole[0].tolist()),
        shares=tuple(whole[1].tolist()),
        images=len(images),
        lesion_free=sum(not image.lesions for image in images),
        lesions=lesions,
        patients=patients.count,
    )


def _events(images: Sequence[MarkedImage]) -> tuple[np.ndarray, Scores, np.ndarray]:
    """Image, rating and whether it is a lesion's, of each lesion's highest mark and each false mark, (k,)."""
    owner, ratings, hits = [], [], []
    for index, image in enumerate(images):
        best: dict[int, float] = {}
        for rating, lesion in image.marks:
            if not np.isfinite(rating):
                raise NotEnoughData(f"FROC: expected ratings that are numbers, got {rating}.")
            if lesion >= 0:
                best[int(lesion)] = max(rating, best.get(int(lesion), _UNMARKED))
            else:
                owner.append(index)
                ratings.append(rating)
                hits.append(False)
        for rating in best.values():
            owner.append(index)
            ratings.append(rating)
            hits.append(True)
    return np.array(owner, dtype=np.int64), np.array(ratings, dtype=np.float64), np.array(hits, dtype=np.bool_)


def _area(images: Sequence[MarkedImage], confidence: float) -> Interval | str:
    truth, ratings, groups = [], [], []
    for image in images:
        if image.lesions:
            best = [_UNMARKED] * image.lesions
            for rating, lesion in image.marks:
                if lesion >= 0:
                    best[int(lesion)] = max(best[int(lesion)], rating)
        else:
            best = [max((rating for rating, _ in image.marks), default=_UNMARKED)]
        truth += [image.lesions > 0] * len(best)
        ratings += best
        groups += [image.patient_id] * len(best)
    return auc_or_note(np.array(truth), ratings, groups, confidence)
