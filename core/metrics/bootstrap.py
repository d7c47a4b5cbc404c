"""Bootstrap over patients: whole patients are drawn, never single images of one.

Images of one patient resemble each other, so resampling images would give intervals that are too narrow.
A resample is a vector of counts, one a patient; every metric is computed from such counts for a block of
resamples at once, and blocks are small enough that memory stays bounded whatever the number of resamples.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.metrics.checks import Labels, Scores, checked

Counts = NDArray[np.int32]
# Elements of the largest array of a block: 4 MB of int32, about what a processor's cache holds.
MOST_SAMPLES = 100_000
_BLOCK = 1_000_000


@dataclass(frozen=True)
class Patients:
    """`index` int64 (n,): which patient each image belongs to, 0 .. count - 1."""

    index: NDArray[np.int64]
    count: int

    @classmethod
    def of(cls, groups: ArrayLike) -> Patients:
        """Number the patients of `groups` (n,): names, or anything that sorts."""
        names, index = np.unique(np.asarray(groups), return_inverse=True)
        return cls(index.reshape(-1).astype(np.int64), int(names.size))

    def of_class(self, labels: Labels) -> dict[str, int]:
        """How many patients have a malignant, and how many a benign image; `labels` (n,) are True for malignant."""
        return {name: int(np.unique(self.index[rows]).size) for name, rows in (("malignant", labels), ("benign", ~labels))}

    def sums(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum an image-wise table (n, k) by patient: (count, k)."""
        table = np.zeros((self.count, values.shape[1]))
        np.add.at(table, self.index, values)
        return table


def resamples_at(samples: int, confidence: float) -> int:
    """How many resamples it takes at a level of confidence so that as many lie beyond each limit as `samples` at 95 %."""
    return min(MOST_SAMPLES, math.ceil(samples * max(1.0, 0.05 / (1 - confidence) - 1e-9)))


def resamples(patients: int, samples: int, seed: int, images: int = 0) -> Iterator[Counts]:
    """Blocks of resamples, int32 (b, patients): how often each patient was drawn. Rows sum to `patients`.

    The same seed gives the same resamples whatever the size of the blocks, so that two models scored on the
    same patients can be compared resample by resample. `images` bounds the blocks for image-wise work.
    """
    generator = np.random.default_rng(seed)
    rows = max(1, _BLOCK // max(patients, images, 1))
    for start in range(0, samples, rows):
        size = min(rows, samples - start)
        drawn = generator.integers(0, patients, size=(size, patients), dtype=np.int64)
        drawn += np.arange(size)[:, None] * patients
        yield np.bincount(drawn.ravel(), minlength=size * patients).reshape(size, patients).astype(np.int32)


def percentiles(drawn: Scores, confidence: float) -> tuple[Any, Any]:
    """Limits of the bootstrap at a level of `confidence`: percentiles of `drawn`, along its first axis."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, (tail, 1 - tail), axis=0)
    return low, high


class RankMetrics:
    """AUC and average precision of weighted images, for a block of resamples at once.

    Sorting is done once. For every malignant image it is known how many benign images stand below it, so a
    resample costs one cumulative sum over the benign and one over the malignant images.
    """

    def __init__(self, labels: Labels, scores: Scores, patients: Patients) -> None:
        benign, malignant = np.flatnonzero(~labels), np.flatnonzero(labels)
        benign = benign[np.argsort(scores[benign], kind="stable")]
        malignant = malignant[np.argsort(scores[malignant], kind="stable")]
        self._benign_patient = patients.index[benign]
        self._malignant_patient = patients.index[malignant]
        # Numbers of benign images strictly below, and at or below, each malignant image.
        self._below = np.searchsorted(scores[benign], scores[malignant], side="left")
        self._upto = np.searchsorted(scores[benign], scores[malignant], side="right")
        self._ties = np.flatnonzero(self._upto > self._below)
        self._malignant_below = np.searchsorted(scores[malignant], scores[malignant], side="left")

    def __call__(self, counts: Counts) -> tuple[Scores, Scores]:
        """AUC and average precision, each (b,); NaN for a resample that lacks a class."""
        # One resample a column: gathering and adding whole rows is several times as fast as walking along them.
        columns = np.ascontiguousarray(counts.T)
        benign, malignant = _totals(columns, self._benign_patient), _totals(columns, self._malignant_patient)
        weight = np.take(columns, self._malignant_patient, axis=0)
        below = np.take(benign, self._below, axis=0)
        all_benign, all_malignant = benign[-1].astype(np.float64), malignant[-1].astype(np.float64)
        # Twice the pairs won, in whole numbers; only the malignant images that tie with a benign one cost more.
        exact = np.int32 if (all_benign * all_malignant).max(initial=0) < 2**30 else np.int64
        wins = 2 * np.einsum("ij,ij->j", weight, below, dtype=exact)
        tied = np.take(benign, self._upto[self._ties], axis=0) - below[self._ties]
        wins += np.einsum("ij,ij->j", weight[self._ties], tied, dtype=exact)
        tp = malignant[-1] - np.take(malignant, self._malignant_below, axis=0)
        called = tp + (benign[-1] - below)
        precision = np.divide(tp, np.maximum(called, 1))
        hits = np.einsum("ij,ij->j", weight, precision, dtype=np.float64)
        complete = (all_benign > 0) & (all_malignant > 0)
        nothing = np.full(len(counts), np.nan)
        area = np.divide(wins / 2, all_benign * all_malignant, out=nothing.copy(), where=complete)
        return area, np.divide(hits, all_malignant, out=nothing, where=complete)


def _totals(columns: Counts, patient: NDArray[np.int64]) -> Counts:
    """Running totals (k + 1, b) of the images' weights in order, starting at 0, one resample a column."""
    totals = np.zeros((patient.size + 1, columns.shape[1]), dtype=np.int32)
    np.cumsum(np.take(columns, patient, axis=0), axis=0, out=totals[1:])
    return totals


def _cumulative(counts: Counts, patient: NDArray[np.int64]) -> Counts:
    """Running totals (b, k + 1) of the images' weights in order, starting at 0."""
    totals = np.zeros((len(counts), patient.size + 1), dtype=np.int32)
    np.cumsum(np.take(counts, patient, axis=1), axis=1, out=totals[:, 1:])
    return totals


@dataclass(frozen=True)
class RocBand:
    """Pointwise limits (k,) of the sensitivity at the false positive rates `fpr` (k,), all in [0, 1]."""

    fpr: Scores
    low: Scores
    high: Scores
    confidence: float


def roc_band(
    y: ArrayLike,
    s: ArrayLike,
    groups: ArrayLike,
    *,
    samples: int = 2000,
    confidence: float,
    seed: int = 0,
    points: int = 101,
) -> RocBand:
    """Interval of the sensitivity at `points` fixed false positive rates, patients resampled.

    Args:
        y, s, groups: labels, scores and patients of the images, each (n,).
    """
    labels, scores = checked(y, s, both_classes=True)
    patients = Patients.of(groups)
    benign, malignant = np.flatnonzero(~labels), np.flatnonzero(labels)
    benign = benign[np.argsort(-scores[benign], kind="stable")]
    malignant = malignant[np.argsort(-scores[malignant], kind="stable")]
    # above[i]: malignant images that score higher than benign image i; the last: all of them.
    above = np.append(np.searchsorted(-scores[malignant], -scores[benign], side="left"), malignant.size)
    grid = np.linspace(0, 1, points)
    rates = []
    for counts in resamples(patients.count, samples, seed, labels.size):
        false, true = _cumulative(counts, patients.index[benign]), _cumulative(counts, patients.index[malignant])
        for row_false, row_true in zip(false, true, strict=True):
            if row_false[-1] and row_true[-1]:
                # The first benign image that would take the rate above the grid's value stays benign.
                reached = np.searchsorted(row_false[1:], grid * row_false[-1] + 1e-9, side="right")
                rates.append(row_true[above[reached]] / row_true[-1])
    return RocBand(grid, *percentiles(np.array(rates), confidence), confidence)
