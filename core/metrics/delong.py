"""AUC with its variance, without resampling: DeLong for independent images, Obuchowski for several of one patient.

Plain DeLong takes every image for a patient of its own and is too sure of itself where patients have several. Wherever a
patient may have more than one row, the sums of Obuchowski are used; with one row a patient both are the same numbers.

An AUC may be restricted to pairs within a stratum (an age band, a scanner, a cross-validation fold): what the scores say
beyond the stratum. The variance follows in the same way.

Limits of an AUC are those of a score interval (core.metrics.binormal): its variance is the model's at every area that may be
the true one, but never below what the patients themselves show. Limits from the estimated variance alone (`scale="logit"` and
"plain") are too narrow, and on the optimistic side, where few patients are malignant or the AUC is near 1. A difference of two
AUCs has limits from both intervals and their estimated correlation (square-and-add), with Student's t and one degree of freedom
less than the rarer class has patients where a patient has several images; its p value is the level at which these limits touch
0. Where an AUC shows no variance, both at 1 say, the correlation cannot be estimated and is taken as 0: that no patient moves
the difference does not show that there is none. `python -m benchmarks coverage` simulates what all of them hold.

Sources: DeLong, DeLong, Clarke-Pearson, Biometrics 1988;44:837. Sun, Xu, IEEE Signal Process Lett 2014;21:1389 (ranks
instead of pairs). Obuchowski, Biometrics 1997;53:567. Logit limits: Pepe, The Statistical Evaluation of Medical Tests,
2003, 5.2. Square-and-add: Zou, Donner, Stat Med 2008;27:1693.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import expit, logit, ndtri, stdtrit
from scipy.stats import norm, rankdata
from scipy.stats import t as student

from core.errors import NotEnoughData
from core.metrics.binormal import Design, design_of
from core.metrics.bootstrap import Patients
from core.metrics.checks import Labels, Scores, checked
from core.metrics.intervals import Interval, square_and_add, wilson

Scale = Literal["score", "logit", "plain"]
# A variance below this is rounding of zero: areas are multiples of 1 / pairs.
_NOTHING = 1e-18
_FARTHEST = 30.0  # standard errors: nobody needs to know more exactly how far beyond 0 a difference is


@dataclass(frozen=True)
class AucParts:
    """An AUC and what each patient's malignant and benign images move it by (structural components less their mean).

    `malignant` and `benign` are (patients,) and each sum to 0; `with_malignant` and `with_benign` count the patients
    that have such images in some pair; `pairs` is how many pairs of a malignant and a benign image were compared, `design` how
    these hang together.
    """

    area: float
    malignant: Scores
    benign: Scores
    with_malignant: int
    with_benign: int
    pairs: int
    design: Design

    def covariance(self, other: AucParts) -> float:
        """Covariance of two AUCs whose parts are numbered by the same patients; with itself, the variance.

        Images of one patient may stand in both, malignant in the one and benign in the other.
        """
        patients = _unbiased(self.malignant.size)
        malignant = _unbiased(min(self.with_malignant, other.with_malignant)) * float(self.malignant @ other.malignant)
        benign = _unbiased(min(self.with_benign, other.with_benign)) * float(self.benign @ other.benign)
        cross = float(self.malignant @ other.benign) + float(self.benign @ other.malignant)
        return malignant + benign + patients * cross

    @property
    def variance(self) -> float:
        return max(0.0, self.covariance(self))

    @property
    def inflation(self) -> float:
        """How many times the model's variance the patients show, at least 1; 1 where they, or the model, show none."""
        variance, expected = self.variance, self.design.variance(min(1.0, max(0.0, self.area)))
        return max(1.0, variance / expected) if variance > _NOTHING and expected > _NOTHING else 1.0


@dataclass(frozen=True)
class AucComparison:
    """Two models on the same images: both areas, `difference` (second minus first), its two-sided `p`, and `z`.

    `z` is how many standard errors the limits of the difference must be away to touch 0, with the difference's sign.
    """

    first: Interval
    second: Interval
    difference: Interval
    z: float
    p: float


def auc_parts(labels: Labels, scores: Scores, patients: Patients, strata: ArrayLike | None = None) -> AucParts:
    """The AUC and its structural components by patient, in O(n log n).

    Args:
        labels, scores: (n,), checked.
        strata: (n,), anything that sorts; only images of one stratum are compared. None compares all.

    Raises:
        NotEnoughData: no stratum has both classes.
    """
    # float64 sums of counts are exact up to 2**53 pairs.
    wins, opponents = np.zeros(labels.size), np.zeros(labels.size)
    stratum = np.zeros(labels.size, dtype=np.int64) if strata is None else Patients.of(strata).index
    order = np.argsort(stratum, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(stratum[order])) + 1):
        malignant, benign = rows[labels[rows]], rows[~labels[rows]]
        wins[malignant] = _below(scores[benign], scores[malignant])
        wins[benign] = malignant.size - _below(scores[malignant], scores[benign])
        opponents[malignant], opponents[benign] = benign.size, malignant.size
    pairs = float(opponents[labels].sum())
    if pairs == 0:
        raise NotEnoughData("Expected benign and malignant images to compare within a stratum, got none with both classes.")
    area = float(wins[labels].sum() / pairs)
    moved = (wins - area * opponents) / pairs
    compared = opponents > 0

    def by_patient(values: Scores) -> Scores:
        return np.bincount(patients.index, weights=values, minlength=patients.count).astype(np.float64)

    return AucParts(
        area=area,
        malignant=by_patient(np.where(labels, moved, 0.0)),
        benign=by_patient(np.where(labels, 0.0, moved)),
        with_malignant=int(np.unique(patients.index[labels & compared]).size),
        with_benign=int(np.unique(patients.index[~labels & compared]).size),
        pairs=int(pairs),
        design=design_of(
            labels[compared],
            scores[compared],
            Patients(patients.index[compared], patients.count),
            stratum[compared],
            opponents[compared],
        ),
    )


def auc_interval(
    y: ArrayLike,
    s: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    strata: ArrayLike | None = None,
    confidence: float,
    scale: Scale = "score",
) -> Interval:
    """AUC with a score interval; with `scale` "plain" area ± z·se, as most programs print it, "logit" the same on that scale.

    The last two take DeLong's variance, or Obuchowski's and t where patients have several rows, and are for comparison with
    other programs. Where scores do not vary at all there is no variance: Wilson's limits for as many patients stand in.

    Args:
        y, s: labels and scores (n,).
        groups: patient of each row (n,); None takes every row for a patient of its own.
        strata: see `auc_parts`.

    Raises:
        NotEnoughData: one class only, NaN scores, or a class with fewer than two patients.
    """
    labels, scores = checked(y, s, both_classes=True)
    patients = Patients.of(np.arange(labels.size) if groups is None else groups)
    return interval_of(auc_parts(labels, scores, patients, strata), labels.size, confidence, scale)


def compare_auc(
    y: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    strata: ArrayLike | None = None,
    confidence: float,
    scale: Scale = "score",
) -> AucComparison:
    """Paired comparison of two models' AUCs on the same images; with `scale` "plain" DeLong's own test, or Obuchowski's.

    Two models that rank all images alike have the same AUC on any of them: their difference is 0, without limits.

    Raises:
        NotEnoughData: as `auc_interval`; a model gives every image the same score; with "plain", also where the areas differ
            although neither varies.
    """
    labels, one = checked(y, first, both_classes=True)
    _, two = checked(y, second, both_classes=True)
    patients = Patients.of(np.arange(labels.size) if groups is None else groups)
    a, b = auc_parts(labels, one, patients, strata), auc_parts(labels, two, patients, strata)
    rows = labels.size
    if scale == "score" and a.design.varies and np.array_equal(rankdata(one), rankdata(two)):
        _require_two(a)
        same = interval_of(a, rows, confidence, scale)
        return AucComparison(same, same, Interval(0.0, 0.0, 0.0, "score"), 0.0, 1.0)
    difference, z, p = difference_of(_require_two(b), _require_two(a), rows, confidence, scale)
    return AucComparison(interval_of(a, rows, confidence, scale), interval_of(b, rows, confidence, scale), difference, z, p)


def difference_of(
    first: AucParts, second: AucParts, rows: int, confidence: float, scale: Scale = "score"
) -> tuple[Interval, float, float]:
    """first - second with interval, z and two-sided p; the parts are numbered by the same patients, `rows` as below.

    Raises:
        NotEnoughData: all scores behind an area are equal; with the scale "plain", the areas differ although neither varies
            (1 against 0).
    """
    value, clustered = first.area - second.area, first.malignant.size != rows
    variance = first.variance + second.variance - 2 * first.covariance(second)
    fewest = min(first.with_malignant, first.with_benign, second.with_malignant, second.with_benign)
    quantile = _quantile(confidence, fewest, clustered)
    if scale != "score":
        method: Literal["delong", "obuchowski"] = "obuchowski" if clustered else "delong"
        if variance <= _NOTHING and abs(value) <= 1e-12:
            return Interval(0.0, 0.0, 0.0, method), 0.0, 1.0
        if variance <= _NOTHING:
            raise NotEnoughData(f"The AUCs differ by {value:.3f} but do not vary between patients. More patients are needed.")
        half = quantile * math.sqrt(variance)
        z = value / math.sqrt(variance)
        return Interval(value, max(-1.0, value - half), min(1.0, value + half), method), z, _two_sided(z, fewest, clustered)
    if not (first.design.varies and second.design.varies):
        raise NotEnoughData(
            "The AUCs cannot be compared: expected scores that differ between images, got one score for all of them, whose "
            "AUC is 0.5 and shows no variance."
        )
    spread = math.sqrt(first.variance * second.variance)
    correlation = max(-1.0, min(1.0, first.covariance(second) / spread)) if spread > _NOTHING else 0.0

    def limits(deviations: float) -> Interval:
        subtracted, from_ = (Interval(part.area, *_score_limits(part, deviations), "score") for part in (second, first))
        return square_and_add(subtracted, from_, correlation)

    def beyond_zero(deviations: float) -> float:
        found = limits(deviations)
        return found.low if value > 0 else -found.high

    if abs(value) <= 1e-12:
        z = 0.0
    elif beyond_zero(_FARTHEST) >= 0:
        z = _FARTHEST
    else:
        z = float(brentq(beyond_zero, 1e-9, _FARTHEST, xtol=1e-10))
    return limits(quantile), math.copysign(z, value), _two_sided(z, fewest, clustered)


def _two_sided(z: float, fewest: int, clustered: bool) -> float:
    return float(2 * (student.sf(abs(z), fewest - 1) if clustered else norm.sf(abs(z))))


def interval_of(parts: AucParts, rows: int, confidence: float, scale: Scale = "score") -> Interval:
    """The interval of an area; `rows`, the number of images behind it, tells whether patients have several.

    Raises:
        NotEnoughData: a class has fewer than two patients.
    """
    _require_two(parts)
    variance, area = parts.variance, parts.area
    if scale == "score" and parts.design.varies:
        return Interval(area, *_score_limits(parts, float(ndtri(0.5 + confidence / 2))), "score")
    if variance <= _NOTHING:
        fewer = min(parts.with_malignant, parts.with_benign)
        limits = wilson(min(1.0, max(0.0, area)) * fewer, fewer, confidence)
        return Interval(area, limits.low, limits.high, "wilson")
    clustered = parts.malignant.size != rows
    half = _quantile(confidence, min(parts.with_malignant, parts.with_benign), clustered) * math.sqrt(variance)
    method: Literal["delong", "obuchowski"] = "obuchowski" if clustered else "delong"
    if scale == "plain":
        return Interval(area, max(0.0, area - half), min(1.0, area + half), method)
    centre, half = float(logit(area)), half / (area * (1 - area))
    return Interval(area, float(expit(centre - half)), float(expit(centre + half)), method)


def _score_limits(parts: AucParts, deviations: float) -> tuple[float, float]:
    """The areas from which this one is `deviations` standard errors away: the model's or the patients', the larger ones."""
    area = min(1.0, max(0.0, parts.area))
    low, high = parts.design.limits(area, deviations, parts.inflation)
    return min(low, parts.area), max(high, parts.area)


def _below(others: Scores, values: Scores) -> Scores:
    """How many of `others` stand below each of `values`, ties counted half."""
    ranked = np.sort(others)
    left, right = np.searchsorted(ranked, values, side="left"), np.searchsorted(ranked, values, side="right")
    return (left + right) / 2


def _quantile(confidence: float, patients: int, clustered: bool) -> float:
    tail = 0.5 + confidence / 2
    return float(stdtrit(patients - 1, tail) if clustered else ndtri(tail))


def _unbiased(count: int) -> float:
    return count / (count - 1) if count > 1 else 1.0


def _require_two(parts: AucParts) -> AucParts:
    for name, count in (("malignant", parts.with_malignant), ("benign", parts.with_benign)):
        if count < 2:
            raise NotEnoughData(f"Expected at least two patients with {name} images for the variance of an AUC, got {count}.")
    return parts
