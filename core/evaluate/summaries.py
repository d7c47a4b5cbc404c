"""Predictions of a split to everything that is reported of them; where the data cannot carry a metric, a note says why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import get_args

import pandas as pd

from core.config.schema import EvaluationConfig
from core.data.identity import patients_known
from core.errors import NotEnoughData
from core.evaluate.further import FurtherColumn
from core.evaluate.metadata import LESIONS, OF_FILE, grouping
from core.evaluate.result import CalibrationReport, DecisionTable, NetBenefit
from core.metrics import (
    LEVELS,
    Calibration,
    CalibrationMethod,
    CalibrationSummary,
    Interval,
    Level,
    Reliability,
    ShortcutAudit,
    Subgroup,
    Summary,
    ThresholdRule,
    ThresholdUncertainty,
    ViewThresholds,
    at_level,
    calibrate,
    calibration_summary,
    columns_for_audit,
    decision_curve,
    reliability,
    shortcut_audit,
    subgroups,
    summarize,
    threshold_uncertainty,
)
from core.metrics.bootstrap import Patients, resamples_at
from core.metrics.checks import Scores
from core.metrics.frozen import Frozen
from core.metrics.omnibus import Omnibus, omnibus_tests
from core.metrics.operating_points import calibrate_level
from core.metrics.shortcut_columns import with_counts
from core.metrics.summary import why_not

MOST_RESAMPLES = 2000  # of two sets at once, a threshold chosen in each; of 95 % intervals, more above
# Risks at which somebody may want to act, from screening (one cancer in fifty recalls is worth it) to biopsy and above.
RISKS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5)


def levels_of(
    predictions: pd.DataFrame,
    thresholds: Mapping[Level, float | str],
    settings: EvaluationConfig,
    views: ViewThresholds | None = None,
) -> dict[str, Summary | str]:
    """Metrics at each level, each at its own frozen threshold; images at their view's, where `views` have their own."""
    levels: dict[str, Summary | str] = {}
    for level in LEVELS:
        threshold = thresholds[level]
        if isinstance(threshold, str):
            levels[level] = threshold
            continue
        try:
            table = at_level(predictions, level)
        except NotEnoughData as error:
            levels[level] = str(error)
            continue
        levels[level] = summarize(
            table["label"],
            table["score"],
            threshold,
            table["patient_id"],
            samples=resamples_of(settings),
            confidence=settings.confidence,
            level=level,
            row_thresholds=views.at(table["view"]) if views is not None and views.own and level == "image" else None,
        )
    return levels


def calibration_of(
    predictions: pd.DataFrame,
    card: Frozen,
    validation: pd.DataFrame | str,
    settings: EvaluationConfig,
    *,
    on_validation: bool,
    level: Level = "image",
) -> CalibrationReport | str:
    """Calibration as the scores come, with the model's own calibration, and with the others as fitted on `validation`."""
    try:
        table = at_level(predictions, level)
        taught = validation if isinstance(validation, str) else at_level(validation, level)
    except NotEnoughData as error:
        return str(error)
    why = too_few(table)
    if why:
        return why
    frozen, note = frozen_calibration(card, level, validation)
    maps: dict[str, Calibration | str] = {"none": Calibration(), frozen.method: frozen}
    for method in get_args(CalibrationMethod):
        if method not in maps:
            maps[method] = _fitted(taught, method)
    labels, groups = table["label"], table["patient_id"]
    summaries: dict[str, CalibrationSummary | str] = {}
    bins: dict[str, Reliability] = {}
    for method, calibration in maps.items():
        if isinstance(calibration, str):
            summaries[method] = calibration
            continue
        scores = calibration.apply(table["score"])
        samples, confidence = resamples_of(settings), settings.confidence
        summaries[method] = calibration_summary(labels, scores, groups, samples=samples, confidence=confidence, level=level)
        bins[method] = reliability(labels, scores, groups, confidence=confidence)
    return CalibrationReport(frozen, summaries, bins, on_validation, note, level)


def frozen_calibration(card: Frozen, level: Level, validation: pd.DataFrame | str) -> tuple[Calibration, str]:
    """The calibration that the model has for scores of this level, and why there is none.

    A model of an earlier version has that of images only: for breasts and patients the same method is then fitted on the
    validation scores, as it is now at the end of training.
    """
    stored = card.calibration if level == "image" else (card.calibrations or {}).get(level)
    if stored is not None:
        return stored.fitted, stored.note
    if level == "image":
        return Calibration(), "the model was never calibrated"
    method = card.image_calibration.method
    if method == "none":
        return Calibration(), "the model was never calibrated"
    return (Calibration(), validation) if isinstance(validation, str) else calibrate_level(validation, level, method)


def _fitted(validation: pd.DataFrame | str, method: CalibrationMethod) -> Calibration | str:
    if isinstance(validation, str):
        return validation
    calibration, note = calibrate(validation["label"], validation["score"], method)
    return note or calibration


def subgroups_of(predictions: pd.DataFrame, threshold: float | Scores, settings: EvaluationConfig) -> tuple[Subgroup, ...]:
    """A row for each value of each column that makes groups, images counted, at the threshold of images: one, or one a row."""
    return subgroups(
        predictions["label"],
        predictions["score"],
        threshold,
        predictions["patient_id"],
        grouping(predictions, settings),
        lesions=LESIONS,
        confidence=settings.confidence,
    )


def omnibus_of(predictions: pd.DataFrame, threshold: float | Scores, settings: EvaluationConfig) -> tuple[Omnibus, ...]:
    """A test of all groups at once for each column that makes some, and metric."""
    return omnibus_tests(
        predictions["label"],
        predictions["score"],
        threshold,
        predictions["patient_id"],
        grouping(predictions, settings),
        lesions=LESIONS,
    )


def shortcuts_of(
    predictions: pd.DataFrame, training: pd.DataFrame | None, further: Sequence[FurtherColumn], settings: EvaluationConfig
) -> ShortcutAudit | str:
    """How far metadata alone tell the label, and what the model tells beyond them; or why that cannot be said.

    `training` has the metadata and labels of training images; None cross-validates among the predictions. `further` says which
    columns of the manifest besides the known ones are taken in.
    """
    used = [each for each in further if each.read]
    # Without patients there is nothing to count, and nothing to report.
    audited = with_counts(predictions) if patients_known(predictions) else predictions
    try:
        return shortcut_audit(
            predictions["label"],
            predictions["score"],
            predictions["patient_id"],
            audited[columns_for_audit(audited, (*OF_FILE, *(each.name for each in used)))],
            training=None if training is None else (training["label"], with_counts(training)),
            numeric=[each.name for each in used if each.read == "number"],
            outcomes=[each.name for each in used if each.outcome],
            confidence=settings.confidence,
        )
    except NotEnoughData as error:
        return str(error)


def decision_of(
    predictions: pd.DataFrame,
    card: Frozen,
    settings: EvaluationConfig,
    *,
    level: Level = "image",
    validation: pd.DataFrame | str = "",
) -> DecisionTable | str:
    """Net benefit at RISKS per image, breast or patient, with the scores as that level's own calibration has them."""
    try:
        table = at_level(predictions, level)
    except NotEnoughData as error:
        return str(error)
    why = too_few(table)
    if why:
        return why
    calibration, _ = frozen_calibration(card, level, validation)
    curve = decision_curve(
        table["label"],
        calibration.apply(table["score"]),
        table["patient_id"],
        thresholds=RISKS,
        samples=resamples_of(settings),
        confidence=settings.confidence,
    )
    rows = (
        NetBenefit(risk, Interval(float(model), float(low), float(high)), float(treat_all))
        for risk, model, low, high, treat_all in zip(RISKS, curve.model, curve.low, curve.high, curve.treat_all, strict=True)
    )
    return DecisionTable(tuple(rows), curve.prevalence, calibration.method, level)


def resamples_of(settings: EvaluationConfig) -> int:
    """How many resamples of patients stand behind each interval."""
    return resamples_at(settings.bootstrap_samples, settings.confidence)


def threshold_resamples(samples: int, confidence: float) -> int:
    """How many of an evaluation's `samples` resamples are taken where the threshold is chosen again in each."""
    return min(samples, resamples_at(MOST_RESAMPLES, confidence))


def uncertainty_of(
    predictions: pd.DataFrame,
    card: Frozen,
    validation: pd.DataFrame | str,
    rule: ThresholdRule | None,
    settings: EvaluationConfig,
) -> dict[str, ThresholdUncertainty | str]:
    """By level, what the choice of the threshold on validation adds to the intervals at it; or why that cannot be computed."""
    found: dict[str, ThresholdUncertainty | str] = {}
    for level, threshold in card.level_thresholds.items():
        if isinstance(threshold, str):
            found[level] = threshold
        elif isinstance(validation, str):
            found[level] = validation
        elif rule is None:
            found[level] = "the model does not say by which rule its threshold was chosen"
        else:
            found[level] = threshold_uncertainty(
                validation,
                predictions,
                rule,
                threshold,
                level=level,
                samples=threshold_resamples(resamples_of(settings), settings.confidence),
                confidence=settings.confidence,
                views=card.image_thresholds,
            )
    return found


def too_few(predictions: pd.DataFrame) -> str:
    """Why a metric about both classes cannot be computed; "" when it can."""
    malignant = (predictions["label"] == "malignant").to_numpy()
    return why_not("auc", Patients.of(predictions["patient_id"]).of_class(malignant)) or ""
