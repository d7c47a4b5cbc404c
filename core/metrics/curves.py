"""Metrics over all thresholds: ROC and precision-recall curves, their areas, the Brier score.

Ties are handled as the definitions ask: images of equal score move together, and a benign-malignant pair
of equal score counts half in the AUC.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from core.metrics.checks import Scores, checked


@dataclass(frozen=True)
class Roc:
    """A ROC curve from (0, 0) to (1, 1), one point a distinct score.

    `fpr` (1 - specificity), `tpr` (sensitivity) and `thresholds` are float64 (k,); the thresholds fall,
    the first is +inf: nothing is called malignant there. `auc` is the area, ties counted half.
    """

    fpr: Scores
    tpr: Scores
    thresholds: Scores
    auc: float

    def at(self, threshold: float) -> tuple[float, float]:
        """(fpr, tpr) where score >= threshold is called malignant."""
        index = _last_at_least(self.thresholds, threshold)
        return float(self.fpr[index]), float(self.tpr[index])


@dataclass(frozen=True)
class PrecisionRecall:
    """A precision-recall curve, one point a distinct score, thresholds falling, so recall rises.

    `average_precision` is the step-wise area (no interpolation); `prevalence` the precision of chance.
    """

    precision: Scores
    recall: Scores
    thresholds: Scores
    average_precision: float
    prevalence: float

    def at(self, threshold: float) -> tuple[float, float] | None:
        """(recall, precision) at `threshold`; None when no image scores that high."""
        if threshold > self.thresholds[0]:
            return None
        index = _last_at_least(self.thresholds, threshold)
        return float(self.recall[index]), float(self.precision[index])


def roc(y: ArrayLike, s: ArrayLike) -> Roc:
    """The ROC curve of scores `s` for labels `y`, each (n,)."""
    tp, fp, thresholds = _cumulative(y, s)
    tpr = np.concatenate(([0.0], tp / tp[-1]))
    fpr = np.concatenate(([0.0], fp / fp[-1]))
    return Roc(fpr, tpr, np.concatenate(([np.inf], thresholds)), float(np.trapezoid(tpr, fpr)))


def auc(y: ArrayLike, s: ArrayLike) -> float:
    """Area under the ROC curve: the chance that a malignant image scores above a benign one."""
    return roc(y, s).auc


def partial_auc(y: ArrayLike, s: ArrayLike, sensitivity: float = 0.8) -> float:
    """The part of the ROC area where the sensitivity is at least `sensitivity`, standardised as McClish (1989) does.

    0.5 is chance and 1 perfect, as for the whole area; a screening test is only ever used in this part. It is the usual
    partial area (over small false positive rates) of the mirrored curve, in which benign is what is looked for.

    Args:
        y: labels (n,), both classes.
        s: scores (n,).
        sensitivity: in [0, 1); 0 gives the AUC.
    """
    if not 0 <= sensitivity < 1:
        raise ValueError(f"expected a sensitivity from 0 to below 1, got {sensitivity}")
    curve = roc(y, s)
    missed, specificity = 1 - curve.tpr[::-1], 1 - curve.fpr[::-1]  # both rise from 0 to 1
    width = 1 - sensitivity
    inside = int(np.searchsorted(missed, width, side="right"))
    # The curve is cut off between two of its points, on the line that joins them.
    end = float(np.interp(width, missed[inside - 1 : inside + 1], specificity[inside - 1 : inside + 1]))
    area = float(np.trapezoid([*specificity[:inside], end], [*missed[:inside], width]))
    chance = width**2 / 2
    return (1 + (area - chance) / (width - chance)) / 2


def precision_recall(y: ArrayLike, s: ArrayLike) -> PrecisionRecall:
    """The precision-recall curve of scores `s` for labels `y`, each (n,)."""
    tp, fp, thresholds = _cumulative(y, s)
    called = tp + fp
    precision = np.divide(tp, called, out=np.ones_like(tp), where=called > 0)
    recall = tp / tp[-1]
    area = float(np.sum(np.diff(recall, prepend=0.0) * precision))
    return PrecisionRecall(precision, recall, thresholds, area, float(tp[-1] / called[-1]))


def average_precision(y: ArrayLike, s: ArrayLike) -> float:
    """Area under the precision-recall curve by steps (scikit-learn's average precision)."""
    return precision_recall(y, s).average_precision


def brier(y: ArrayLike, s: ArrayLike) -> float:
    """Mean squared distance between score and label, in [0, 1] for scores in [0, 1]; lower is better."""
    labels, scores = checked(y, s)
    return float(np.average((scores - labels) ** 2))


def _cumulative(y: ArrayLike, s: ArrayLike) -> tuple[Scores, Scores, Scores]:
    """True and false positives at every distinct score, falling."""
    labels, scores = checked(y, s, both_classes=True)
    order = np.argsort(-scores, kind="stable")
    labels, scores = labels[order], scores[order]
    ends = np.flatnonzero(np.concatenate((np.diff(scores) != 0, [True])))
    tp = np.cumsum(labels, dtype=np.float64)[ends]
    return tp, ends + 1.0 - tp, scores[ends]


def _last_at_least(falling: Scores, threshold: float) -> int:
    """Index of the last value >= threshold in a falling array (0 when there is none)."""
    return max(0, int(np.searchsorted(-falling, -threshold, side="right")) - 1)
