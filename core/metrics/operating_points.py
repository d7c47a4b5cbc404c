"""What is decided on validation and frozen with the model: a threshold for each level, and the calibration.

Thresholds are of raw scores. A calibration keeps their order, so it changes no decision; but isotonic steps make scores tie
that the model distinguishes, which is one more reason why no threshold is ever chosen on calibrated ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from core.config.schema import EvaluationConfig
from core.errors import NotEnoughData
from core.metrics.by_view import VIEWS, choose_by_group
from core.metrics.calibration import Calibration, CalibrationMethod, fit_calibration
from core.metrics.frozen import Frozen, FrozenCalibration
from core.metrics.levels import LEVELS, Level, at_level, level_thresholds, of_breasts, unit_of
from core.metrics.thresholds import ThresholdRule

DECIMALS = 6  # of scores in predictions/*.csv
_FOLDS = 5
ROOM = 10.0**-DECIMALS  # by which a frozen threshold lies below the score that its rule chose


def rule_of(settings: EvaluationConfig) -> ThresholdRule:
    """The threshold rule that the configuration asks for."""
    return ThresholdRule(
        settings.threshold_rule,
        settings.target_sensitivity,
        settings.cost_ratio,
        settings.prevalence or None,
        settings.per_view_thresholds,
    )


def settings_of(rule: ThresholdRule) -> dict[str, Any]:
    """The fields of the evaluation settings that ask for this rule: `rule_of` them gives it back."""
    return {
        "threshold_rule": rule.kind,
        "target_sensitivity": rule.target,
        "cost_ratio": rule.cost_ratio,
        "prevalence": rule.prevalence or 0.0,
        "per_view_thresholds": rule.per_view,
    }


def freeze(validation: pd.DataFrame, rule: ThresholdRule, method: CalibrationMethod) -> Frozen:
    """Decide on validation predictions: columns patient_id, laterality, label, score. Never on those of another split."""

    def fitted(level: Level) -> FrozenCalibration:
        calibration, note = calibrate_level(validation, level, method)
        return FrozenCalibration(fitted=calibration, note=note)

    others: dict[Level, FrozenCalibration] = {level: fitted(level) for level in LEVELS if level != "image"}
    found = freeze_thresholds(validation, rule)
    own = others["breast"] if of_breasts(validation) else fitted("image")
    return found.model_copy(update={"calibration": own, "calibrations": others})


def freeze_thresholds(validation: pd.DataFrame, rule: ThresholdRule) -> Frozen:
    """As `freeze`, the thresholds alone; `threshold` is None where validation has none to give."""
    found = thresholds_of(validation, rule)
    own = found[unit_of(validation)]
    return Frozen(
        unit=unit_of(validation),
        threshold=None if isinstance(own, str) else own,
        thresholds={level: value for level, value in found.items() if level != "image"},
        view_thresholds=views_of(validation, rule),
        threshold_rule=rule,
        threshold_room=ROOM,
        target_sensitivity=rule.target if rule.kind == "sensitivity" else None,
    )


def calibrate_level(validation: pd.DataFrame, level: Level, method: CalibrationMethod) -> tuple[Calibration, str]:
    """The calibration of a level's scores on validation; "none" with the reason where there is none worth showing.

    It has to beat a forecast that knows nothing: with the patients in folds, each predicted by what the others gave, its Brier
    score must lie below that of predicting the share of malignant. Else no probability is shown.
    """
    try:
        table = at_level(validation, level)
    except NotEnoughData as error:
        return Calibration(), str(error)
    calibration, note = calibrate(table["label"], table["score"], method)
    if calibration.method == "none":
        return calibration, note
    worse = _no_better_than_prevalence(table, method)
    return (Calibration(rows=len(table)), worse) if worse else (calibration, note)


def _no_better_than_prevalence(table: pd.DataFrame, method: CalibrationMethod) -> str:
    """In words, that a calibration is no better than predicting the share of malignant; "" when it is, or nobody can tell."""
    y = (table["label"] == "malignant").to_numpy()
    scores, names = table["score"].to_numpy(dtype=np.float64), table["patient_id"].to_numpy()
    patients, index = np.unique(names, return_inverse=True)
    malignant = np.bincount(index, weights=y, minlength=patients.size) > 0
    fold = np.empty(patients.size, dtype=np.int64)
    for kind in (malignant, ~malignant):
        members = np.flatnonzero(kind)
        fold[members] = np.arange(members.size) % _FOLDS
    inside = fold[index]
    predicted, constant = np.empty(y.size), np.empty(y.size)
    for number in range(_FOLDS):
        held, rest = inside == number, inside != number
        if not held.any() or y[rest].all() or not y[rest].any():
            continue
        found, _ = calibrate(y[rest], scores[rest], method)
        constant[held] = y[rest].mean()
        # Where the others' scores do not rise with malignancy there is no calibration, and nothing known but the share.
        predicted[held] = constant[held] if found.method == "none" else found.apply(scores[held])
    stated = np.isin(inside, [n for n in range(_FOLDS) if (inside == n).any() and 0 < y[inside != n].mean() < 1])
    if not stated.any():
        return ""
    own, reference = (float(((values - y)[stated] ** 2).mean()) for values in (predicted, constant))
    if own < reference:
        return ""
    return (
        f"on validation, cross-validated, calibrated scores (Brier score {own:.4f}) are no better "
        f"than predicting the share of malignant for everybody ({reference:.4f})"
    )


def thresholds_of(validation: pd.DataFrame, rule: ThresholdRule) -> dict[Level, float | str]:
    """A threshold for each level by this rule, or a note why there is none."""
    found = level_thresholds(validation, rule)
    return {level: value if isinstance(value, str) else with_room(value) for level, value in found.items()}


def views_of(validation: pd.DataFrame, rule: ThresholdRule) -> dict[str, float | str]:
    """The thresholds of images by view, or why a view has none of its own; empty where the rule wants one for all."""
    found = choose_by_group(validation, "view", VIEWS, rule) if rule.per_view and not of_breasts(validation) else {}
    return {view: value if isinstance(value, str) else with_room(value) for view, value in found.items()}


def calibrate(y: ArrayLike, s: ArrayLike, method: CalibrationMethod) -> tuple[Calibration, str]:
    """The calibration fitted on validation labels and scores (n,); "none" with the reason where it cannot be."""
    try:
        return fit_calibration(y, s, method), ""
    except NotEnoughData as error:
        return Calibration(), str(error)


def with_room(threshold: float) -> float:
    """ROOM below the score that the rule chose: another device or batch size moves a score by less, and the image that the
    threshold was taken from must not fall under it."""
    return max(0.0, round(threshold - ROOM, DECIMALS))
