"""How far metrics could move if some benign labels, which nobody verified, were missed cancers: bounds, not estimates.

For a number of missed cancers among the unverified, the worst case is that they are those with the lowest scores, the best that
they are those with the highest: moving one image from benign to malignant lowers every one of these metrics the more, the lower
its score. Between the two lies every case with as many.

Sources: Begg, Greenes, Biometrics 1983;39:207 (verification bias). Kosinski, Barnhart, Stat Med 2003;22:2711 (a
global sensitivity analysis).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from core.errors import NotEnoughData
from core.metrics.checks import Labels, Scores, checked
from core.metrics.curves import auc

SHARES = (0.01, 0.02, 0.05, 0.1)


@dataclass(frozen=True)
class Bounds:
    """If `missed` of the unverified (a `share` of them, rounded up) were malignant: (worst, best) of each metric."""

    share: float
    missed: int
    auc: tuple[float, float]
    sensitivity: tuple[float, float]
    specificity: tuple[float, float]


def verification_bounds(
    y: ArrayLike, s: ArrayLike, unverified: ArrayLike, threshold: float | Scores, shares: Sequence[float] = SHARES
) -> tuple[Bounds, ...]:
    """Bounds for each share; sampling error is not in them.

    Args:
        y, s: labels and scores (n,).
        unverified: (n,), whether nobody verified the label; counts for benign ones only. What counts as verified is the
            caller's to say: core.evaluate.verified reads it from a manifest.
        threshold: scores at or above it are called malignant; one for all, or one a row (n,).

    Raises:
        NotEnoughData: one class only, NaN scores, lengths that differ, or every benign label would be turned.
    """
    labels, scores = checked(y, s, both_classes=True)
    doubtful = np.flatnonzero(np.asarray(unverified, dtype=bool) & ~labels)
    order = doubtful[np.argsort(scores[doubtful], kind="stable")]
    found = []
    for share in shares:
        missed = math.ceil(share * order.size)
        if missed >= int((~labels).sum()):
            raise NotEnoughData("Expected benign labels to be left when the unverified ones are turned, got none.")
        worst, best = (_metrics(labels, scores, rows, threshold) for rows in (order[:missed], order[order.size - missed :]))
        found.append(Bounds(share, missed, *zip(worst, best, strict=True)))
    return tuple(found)


def _metrics(labels: Labels, scores: Scores, turned: np.ndarray, threshold: float | Scores) -> tuple[float, float, float]:
    truth = labels.copy()
    truth[turned] = True
    called = scores >= threshold
    return float(auc(truth, scores)), float(called[truth].mean()), float((~called[~truth]).mean())
