"""What every threshold of a grid does, at once: counts and shares with intervals, for a slider that must not wait.

The intervals are those of `clustered_wilson` at each threshold (the tests compare them); done for all thresholds together they
cost about as much as a few of them one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, stdtrit

from core.metrics.bootstrap import Patients
from core.metrics.checks import Labels, Scores, checked

GRID = 201  # evenly spaced thresholds, and as many scores at most


@dataclass(frozen=True)
class Shares:
    """A share at each threshold, (k,) each, in [0, 1]; NaN where it is 0 / 0. `patients` (k,): how many stand behind it."""

    value: Scores
    low: Scores
    high: Scores
    patients: NDArray[np.int64]


@dataclass(frozen=True)
class Sweep:
    """Counts (k,) and shares at `thresholds` (k,), rising; score >= threshold is called malignant."""

    thresholds: Scores
    tp: NDArray[np.int64]
    fp: NDArray[np.int64]
    tn: NDArray[np.int64]
    fn: NDArray[np.int64]
    sensitivity: Shares
    specificity: Shares
    ppv: Shares
    npv: Shares
    confidence: float

    def nearest(self, threshold: float) -> int:
        """The index of the threshold that is closest to this one."""
        return int(np.abs(self.thresholds - threshold).argmin())


def threshold_grid(s: ArrayLike, *also: float) -> Scores:
    """Thresholds worth a look, rising: evenly spaced and at scores (so that every step changes something), and `also` exactly.

    They reach from the lowest score, where everything is called malignant, to just above the highest, where nothing is.
    """
    scores = np.unique(np.asarray(s, dtype=np.float64))
    steps = scores if scores.size <= GRID else np.quantile(scores, np.linspace(0, 1, GRID), method="nearest")
    low, high = min((scores[0], *also)), max((scores[-1], *also))
    beyond = high + max(1e-6, (high - low) / (GRID - 1))
    return np.unique(np.concatenate((np.round(np.linspace(low, high, GRID), 6), steps, also, [beyond])))


def sweep(y: ArrayLike, s: ArrayLike, groups: ArrayLike, thresholds: ArrayLike, *, confidence: float) -> Sweep:
    """The four counts, and sensitivity, specificity, PPV and NPV with intervals, at each of `thresholds` (k,).

    Args:
        y, s, groups: labels, scores and patients of the images, each (n,).
    """
    labels, scores = checked(y, s)
    grid = np.unique(np.asarray(thresholds, dtype=np.float64))
    patients = Patients.of(groups)
    found, alarms = (_called(scores[rows], patients.index[rows], patients.count, grid) for rows in (labels, ~labels))
    malignant, benign = (_whole(rows, patients, grid.size) for rows in (labels, ~labels))
    return Sweep(
        thresholds=grid,
        tp=found.sum(axis=0),
        fp=alarms.sum(axis=0),
        tn=(benign - alarms).sum(axis=0),
        fn=(malignant - found).sum(axis=0),
        sensitivity=_shares(found, malignant, confidence),
        specificity=_shares(benign - alarms, benign, confidence),
        ppv=_shares(found, found + alarms, confidence),
        npv=_shares(benign - alarms, malignant - found + benign - alarms, confidence),
        confidence=confidence,
    )


def _called(scores: Scores, patient: NDArray[np.int64], patients: int, grid: Scores) -> NDArray[np.int64]:
    """Images of each patient that are called malignant at each threshold, (patients, k)."""
    table = np.zeros((patients, grid.size + 1), dtype=np.int64)
    # An image is called at every threshold up to its score: count where it stops, then sum from the right.
    np.add.at(table, (patient, np.searchsorted(grid, scores, side="right")), 1)
    return table[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]


def _whole(rows: Labels, patients: Patients, size: int) -> NDArray[np.int64]:
    counts = np.bincount(patients.index[rows], minlength=patients.count)
    return np.repeat(counts[:, None], size, axis=1)


def _shares(hits: NDArray[np.int64], among: NDArray[np.int64], confidence: float) -> Shares:
    """`hits` of `among` (patients, k) as shares over all patients, with Wilson's limits for what the patients are worth."""
    rows, behind = among.sum(axis=0), (among > 0).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = hits.sum(axis=0) / rows
        residual = hits - share * among
        clustered = behind / (behind - 1) * np.einsum("ij,ij->j", residual, residual) / rows**2
        worth = rows * np.minimum(1.0, np.where(clustered > 0, share * (1 - share) / rows / clustered, 1.0))
        tail = 0.5 + confidence / 2
        worth = np.maximum(1.0, worth * (ndtri(tail) / stdtrit(behind - 1, tail)) ** 2)
    worth = np.where((behind < 2) | (share == 0) | (share == 1), behind, worth)
    low, high = _wilson(share, worth, confidence)
    return Shares(share, low, high, behind)


def _wilson(share: Scores, total: Any, confidence: float) -> tuple[Scores, Scores]:
    """Limits as `core.metrics.intervals.wilson` gives them, for many shares; NaN where there is none."""
    z = float(ndtri(0.5 + confidence / 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        denominator = 1 + z * z / total
        centre = (share + z * z / (2 * total)) / denominator
        half = z / denominator * np.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return np.maximum(0.0, np.minimum(centre - half, share)), np.minimum(1.0, np.maximum(centre + half, share))
