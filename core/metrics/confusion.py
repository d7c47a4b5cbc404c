"""What a threshold does: the four counts and the metrics made of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from core.metrics.checks import Scores, checked


@dataclass(frozen=True)
class Confusion:
    """Counts at one threshold; malignant is the positive class, and score >= threshold is called malignant."""

    tp: int
    fp: int
    tn: int
    fn: int

    @property
    def total(self) -> int:
        return self.tp + self.fp + self.tn + self.fn

    @property
    def accuracy(self) -> float:
        return _ratio(self.tp + self.tn, self.total)

    @property
    def precision(self) -> float:
        """Share of truly malignant among those called malignant; NaN when none is called so."""
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def sensitivity(self) -> float:
        """Recall: share of the malignant that are called malignant; NaN when there is none."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def specificity(self) -> float:
        """Share of the benign that are called benign; NaN when there is none."""
        return _ratio(self.tn, self.tn + self.fp)

    @property
    def f1(self) -> float:
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)


def confusion(y: ArrayLike, s: ArrayLike, threshold: float | Scores) -> Confusion:
    """The four counts at `threshold` (score >= threshold is malignant), one for all or one a row (n,)."""
    labels, scores = checked(y, s)
    called = scores >= threshold
    tp = int(np.count_nonzero(called & labels))
    fp = int(np.count_nonzero(called)) - tp
    positives = int(np.count_nonzero(labels))
    return Confusion(tp=tp, fp=fp, tn=labels.size - positives - fp, fn=positives - tp)


def at_threshold(y: ArrayLike, s: ArrayLike, threshold: float | Scores) -> dict[str, float]:
    """accuracy, precision, sensitivity, specificity and f1 at `threshold`, each in [0, 1], NaN where it is 0 / 0."""
    counts = confusion(y, s, threshold)
    return {name: getattr(counts, name) for name in ("accuracy", "precision", "sensitivity", "specificity", "f1")}


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
