"""Operating points: the threshold is chosen on validation, by one of these, and frozen."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from core.metrics.checks import checked
from core.metrics.curves import roc


def threshold_for_sensitivity(y: ArrayLike, s: ArrayLike, target: float) -> float:
    """The highest threshold whose sensitivity is at least `target`, when score >= threshold is malignant.

    It is always the score of a malignant image, so the target is always reached; with ties at that score
    the sensitivity may be higher.

    Args:
        y: labels (n,), at least one malignant.
        s: scores (n,).
        target: in (0, 1].

    Raises:
        NotEnoughData: one class only (a threshold chosen on it would say nothing), nothing to score, NaN scores.
    """
    if not 0 < target <= 1:
        raise ValueError(f"expected a target sensitivity above 0 and at most 1, got {target}")
    labels, scores = checked(y, s, both_classes=True)
    malignant = np.sort(scores[labels])[::-1]
    n = malignant.size
    needed = max(1, math.ceil(target * n))
    if needed > 1 and (needed - 1) / n >= target:  # 0.7 * 10 is a little above 7 in binary
        needed -= 1
    return float(malignant[needed - 1])


def sensitivity_at_specificity(y: ArrayLike, s: ArrayLike, specificity: float = 0.90) -> float:
    """The highest sensitivity at any threshold whose specificity is at least `specificity`.

    Raises:
        NotEnoughData: one class only, nothing to score, NaN scores.
    """
    curve = roc(y, s)
    return float(curve.tpr[1 - curve.fpr >= specificity - 1e-12].max())


def specificity_at_sensitivity(y: ArrayLike, s: ArrayLike, sensitivity: float = 0.90) -> float:
    """The highest specificity at any threshold whose sensitivity is at least `sensitivity`.

    Raises:
        NotEnoughData: one class only, nothing to score, NaN scores.
    """
    curve = roc(y, s)
    return float(1 - curve.fpr[curve.tpr >= sensitivity - 1e-12].min())
