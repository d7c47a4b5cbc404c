"""What is decided on validation and frozen with the model: a threshold for each level, and the calibration.

Thresholds are of raw scores. A calibration keeps their order, so it changes no decision; but isotonic steps make scores tie
that the model told apart, which is one more reason why no threshold is ever chosen on calibrated ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from numpy.typing import ArrayLike

from core.config.schema import EvaluationConfig
from core.errors import NotEnoughData
from core.metrics.calibration import Calibration, CalibrationMethod, fit_calibration
from core.metrics.levels import LEVELS, Level, level_thresholds
from core.metrics.thresholds import ThresholdRule

DECIMALS = 6  # of scores in predictions/*.csv


@dataclass(frozen=True)
class Frozen:
    """Thresholds by level, or a note where validation had none to give; `note` says why there is no calibration."""

    rule: ThresholdRule
    thresholds: dict[Level, float | str]
    calibration: Calibration
    note: str = ""

    def to_card(self) -> dict[str, Any]:
        """The fields of model.json; `target_sensitivity` is the rule's, where it has one."""
        calibration = self.calibration.to_dict() | ({"note": self.note} if self.note else {})
        return threshold_fields(self.rule, self.thresholds) | {"calibration": calibration}


def rule_of(settings: EvaluationConfig) -> ThresholdRule:
    """The threshold rule that the configuration asks for."""
    return ThresholdRule(settings.threshold_rule, settings.target_sensitivity, settings.cost_ratio, settings.prevalence or None)


def freeze(validation: pd.DataFrame, rule: ThresholdRule, method: CalibrationMethod) -> Frozen:
    """Decide on validation predictions: columns patient_id, laterality, label, score. Never on those of another split."""
    calibration, note = calibrate(validation["label"], validation["score"], method)
    return Frozen(rule, thresholds_of(validation, rule), calibration, note)


def thresholds_of(validation: pd.DataFrame, rule: ThresholdRule) -> dict[Level, float | str]:
    """A threshold for each level by this rule, or a note why there is none."""
    found = level_thresholds(validation, rule)
    return {level: value if isinstance(value, str) else with_room(value) for level, value in found.items()}


def calibrate(y: ArrayLike, s: ArrayLike, method: CalibrationMethod) -> tuple[Calibration, str]:
    """The calibration fitted on validation labels and scores (n,); "none" with the reason where it cannot be."""
    try:
        return fit_calibration(y, s, method), ""
    except NotEnoughData as error:
        return Calibration(), str(error)


def with_room(threshold: float) -> float:
    """One unit of the last decimal below: another batch size or device moves a score by less, and the image that the threshold
    was taken from must not fall under it."""
    return max(0.0, round(threshold - 10.0**-DECIMALS, DECIMALS))


def threshold_fields(rule: ThresholdRule, thresholds: Mapping[Level, float | str]) -> dict[str, Any]:
    """The fields of model.json that speak of thresholds: `threshold` of images, `thresholds` of the other levels."""
    return {
        "threshold": thresholds["image"],
        "thresholds": {level: value for level, value in thresholds.items() if level != "image"},
        "threshold_rule": rule.to_dict(),
        "target_sensitivity": rule.target if rule.kind == "sensitivity" else None,
    }


def frozen_thresholds(card: Mapping[str, Any]) -> dict[Level, float | str]:
    """The thresholds of a model.json, by level; a model of an earlier version has that of images only."""
    stored = card.get("thresholds") or {}
    missing = "no threshold was frozen for this level: score the validation set (`evaluate RUN --split val`), then again"
    return {level: stored.get(level, card["threshold"] if level == "image" else missing) for level in LEVELS}
