"""Decision curves: whether acting on the model does more good than acting on all or on none.

Somebody who would examine 20 healthy people to find one cancer acts at a risk of 1/21; at that threshold the net benefit counts
true positives less false positives at that exchange. It takes the scores as probabilities: calibrate them first.

Source: Vickers, Elkin, Med Decis Making 2006;26:565.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from core.metrics.bootstrap import Patients, resamples
from core.metrics.checks import Labels, Scores, checked


@dataclass(frozen=True)
class DecisionCurve:
    """Net benefit per row, (k,) each, at the threshold probabilities `thresholds` in (0, 1).

    A row is what was handed in: per person only where each patient has one row. `model` with pointwise limits `low` and `high`;
    `treat_all` calls every row malignant; calling none is 0 everywhere.
    """

    thresholds: Scores
    model: Scores
    low: Scores
    high: Scores
    treat_all: Scores
    prevalence: float
    confidence: float


def decision_curve(
    y: ArrayLike,
    s: ArrayLike,
    groups: ArrayLike,
    *,
    thresholds: ArrayLike | None = None,
    prevalence: float | None = None,
    samples: int = 1000,
    confidence: float,
    seed: int = 0,
) -> DecisionCurve:
    """The decision curve of probabilities `s` (n,), with limits from resampled patients.

    Args:
        thresholds: (k,) in (0, 1), 0.01 to 0.99 by default.
        prevalence: of the people to be examined; None takes the share of malignant in `y`, which in a data set made for
            training is far above that of screening.
    """
    labels, scores = checked(y, s, both_classes=True)
    grid = np.linspace(0.01, 0.99, 99) if thresholds is None else np.asarray(thresholds, dtype=np.float64)
    if grid.ndim != 1 or not grid.size or grid.min() <= 0 or grid.max() >= 1:
        raise ValueError("expected threshold probabilities in (0, 1)")
    patients = Patients.of(groups)
    true, false = _called_by_patient(labels, scores, grid, patients)
    classes = patients.sums(np.column_stack((labels, ~labels)).astype(np.float64))
    odds = grid / (1 - grid)

    def benefit(counts: Scores) -> Scores:
        malignant, benign = (counts @ classes).T[:, :, None]
        share = malignant / (malignant + benign) if prevalence is None else prevalence
        with np.errstate(invalid="ignore", divide="ignore"):  # a resample may lack a class
            return np.asarray(share * (counts @ true) / malignant - (1 - share) * (counts @ false) / benign * odds)

    drawn = np.concatenate([benefit(c.astype(np.float64)) for c in resamples(patients.count, samples, seed, labels.size)])
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(drawn, (tail, 1 - tail), axis=0)
    share = float(labels.mean()) if prevalence is None else prevalence
    model = benefit(np.ones((1, patients.count)))[0]
    return DecisionCurve(grid, model, low, high, share - (1 - share) * odds, share, confidence)


def _called_by_patient(labels: Labels, scores: Scores, grid: Scores, patients: Patients) -> tuple[Scores, Scores]:
    """Malignant and benign images of each patient that are called malignant at each threshold, (patients, k) each."""
    order = np.argsort(grid)
    # An image is called at every threshold up to its score: count where it stops, then sum from the right.
    stop = np.searchsorted(grid[order], scores, side="right")
    tables = []
    for rows in (labels, ~labels):
        table = np.zeros((patients.count, grid.size + 1))
        np.add.at(table, (patients.index[rows], stop[rows]), 1)
        called = table[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]
        tables.append(called[:, np.argsort(order)])
    return tables[0], tables[1]
