"""Operating points: the threshold is chosen on validation, by one of these, and frozen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import ConfigDict

from core.errors import BadRun
from core.files.typed import from_plain
from core.metrics.checks import checked
from core.metrics.curves import roc

Kind = Literal["sensitivity", "youden", "cost"]


@dataclass(frozen=True)
class ThresholdRule:
    """How a threshold is chosen on validation: for a `target` sensitivity, by Youden's index, or by costs.

    `cost_ratio` is what a missed malignancy costs in false alarms; `prevalence` that of the people to be examined, None for
    that of the validation set. `per_view`: CC and MLO images each get their own (see core.metrics.by_view).
    """

    __pydantic_config__ = ConfigDict(extra="forbid")  # a rule of another version must not be taken for one of ours

    kind: Kind = "sensitivity"
    target: float = 0.90
    cost_ratio: float = 10.0
    prevalence: float | None = None
    per_view: bool = False

    @property
    def words(self) -> str:
        """Which threshold it chooses: "the highest one with a sensitivity of at least 90%"."""
        if self.kind == "youden":
            return "the one with the highest sensitivity + specificity − 1 (Youden)"
        if self.kind == "cost":
            at = f"a prevalence of {self.prevalence:.2%}" if self.prevalence else "the validation set's prevalence"
            return (
                f"the one with the lowest expected cost, a missed malignancy weighing {self.cost_ratio:g} false alarms at {at}"
            )
        return f"the highest one with a sensitivity of at least {self.target:.0%}"

    def choose(self, y: ArrayLike, s: ArrayLike) -> float:
        """The threshold for validation labels and scores (n,)."""
        if self.kind == "youden":
            return youden_threshold(y, s)
        if self.kind == "cost":
            return cost_threshold(y, s, self.cost_ratio, self.prevalence)
        return threshold_for_sensitivity(y, s, self.target)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> ThresholdRule:
        """The rule that these plain values of a file are. Raises BadRun: not a rule of ours."""
        try:
            return from_plain(cls, plain)
        except ValueError as error:
            raise BadRun(f"threshold rule: {error}. It may be of another version: choose the threshold again.") from error


def youden_threshold(y: ArrayLike, s: ArrayLike) -> float:
    """The threshold with the highest sensitivity + specificity - 1 (Youden, Cancer 1950;3:32); of several the highest."""
    curve = roc(y, s)
    index = (curve.tpr - curve.fpr)[1:]
    # Equal on paper, they differ in the last bits: take them as equal, so that the highest threshold wins.
    return float(curve.thresholds[1:][np.argmax(index >= index.max() - 1e-12)])


def cost_threshold(y: ArrayLike, s: ArrayLike, cost_ratio: float, prevalence: float | None = None) -> float:
    """The threshold with the lowest expected cost, where a missed malignancy costs `cost_ratio` false alarms.

    The cost is prevalence · cost_ratio · (1 - sensitivity) + (1 - prevalence) · (1 - specificity) (Metz, Semin Nucl Med
    1978;8:283); of several such thresholds the highest. It is always a score: where calling nobody is cheapest, the highest.

    Args:
        cost_ratio: above 0.
        prevalence: in (0, 1); None takes the share of malignant in `y`.
    """
    if not cost_ratio > 0 or not (prevalence is None or 0 < prevalence < 1):
        raise ValueError(f"expected a cost ratio above 0 and a prevalence in (0, 1), got {cost_ratio} and {prevalence}")
    labels, scores = checked(y, s, both_classes=True)
    share = float(labels.mean()) if prevalence is None else prevalence
    curve = roc(labels, scores)
    cost = share * cost_ratio * (1 - curve.tpr) + (1 - share) * curve.fpr
    # Costs that are equal on paper differ in the last bits: take them as equal, so that the highest threshold wins.
    return float(curve.thresholds[1:][np.argmax(cost[1:] <= cost[1:].min() + 1e-12)])


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
    """The highest sensitivity at any threshold whose specificity is at least `specificity`."""
    curve = roc(y, s)
    return float(curve.tpr[1 - curve.fpr >= specificity - 1e-12].max())


def specificity_at_sensitivity(y: ArrayLike, s: ArrayLike, sensitivity: float = 0.90) -> float:
    """The highest specificity at any threshold whose sensitivity is at least `sensitivity`."""
    curve = roc(y, s)
    return float(1 - curve.fpr[curve.tpr >= sensitivity - 1e-12].min())
