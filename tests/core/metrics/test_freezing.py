"""What is frozen on validation: a threshold for each level, by the configured rule, and a calibration."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from core.config.schema import EvaluationConfig
from core.metrics import Calibration, Frozen, ThresholdRule, at_level, at_threshold, calibrate, freeze, rule_of
from core.metrics.thresholds import youden_threshold


@pytest.fixture
def validation() -> pd.DataFrame:
    """40 patients with two views of each side; a malignant patient has one malignant breast."""
    random = np.random.default_rng(0)
    patient = np.repeat(np.arange(40), 4)
    side = np.tile(["L", "L", "R", "R"], 40)
    malignant = (patient % 2 == 0) & (side == "L")
    logits = 1.5 * malignant + random.normal(0, 1, 40)[patient] + random.normal(0, 0.7, 160)
    return pd.DataFrame(
        {
            "patient_id": patient.astype(str),
            "laterality": side,
            "label": np.where(malignant, "malignant", "benign"),
            "score": np.round(1 / (1 + np.exp(-logits)), 6),
        }
    )


def test_every_level_gets_the_threshold_that_reaches_the_target_there(validation: pd.DataFrame) -> None:
    frozen = freeze(validation, ThresholdRule(target=0.9), "temperature")
    assert len(set(frozen.level_thresholds.values())) == 3
    for level, threshold in frozen.level_thresholds.items():
        table = at_level(validation, level)
        reached = at_threshold(table["label"], table["score"], threshold)["sensitivity"]
        assert reached >= 0.9 and at_threshold(table["label"], table["score"], threshold + 2e-6)["sensitivity"] < reached


def test_the_card_says_rule_thresholds_and_calibration_in_plain_json(validation: pd.DataFrame) -> None:
    card = Frozen.model_validate_json(
        json.dumps(freeze(validation, ThresholdRule("youden"), "isotonic").model_dump(), allow_nan=False)
    )
    assert card.threshold == pytest.approx(youden_threshold(validation["label"], validation["score"]), abs=2e-6)
    assert set(card.thresholds) == {"breast", "patient"} and card.target_sensitivity is None
    assert card.rule.kind == "youden"
    assert card.image_calibration.method == "isotonic"
    assert card.level_thresholds == {"image": card.threshold, **card.thresholds}


def test_the_calibration_changes_no_threshold(validation: pd.DataFrame) -> None:
    rule = ThresholdRule("cost", cost_ratio=5)
    found = [freeze(validation, rule, method).level_thresholds for method in ("none", "temperature", "logistic", "isotonic")]
    assert all(thresholds == found[0] for thresholds in found)


def test_scores_that_fall_with_malignancy_are_left_uncalibrated_with_the_reason(validation: pd.DataFrame) -> None:
    card = freeze(validation.assign(score=1 - validation["score"]), ThresholdRule(), "temperature")
    assert card.calibration.fitted.method == "none" and "rise with malignancy" in card.calibration.note
    assert card.image_calibration == Calibration()


def test_a_level_that_validation_does_not_have_is_a_note(validation: pd.DataFrame) -> None:
    frozen = freeze(validation.assign(laterality=""), ThresholdRule(), "none")
    assert "laterality" in frozen.thresholds["breast"] and isinstance(frozen.thresholds["patient"], float)


def test_a_card_of_an_earlier_version_has_a_threshold_of_images_only() -> None:
    found = Frozen(threshold=0.4, target_sensitivity=0.9).level_thresholds
    assert found["image"] == 0.4 and all("--split val" in found[level] for level in ("breast", "patient"))


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({}, ThresholdRule("sensitivity", 0.9, 10.0, None)),
        ({"threshold_rule": "youden"}, ThresholdRule("youden", 0.9, 10.0, None)),
        ({"threshold_rule": "cost", "cost_ratio": 3, "prevalence": 0.01}, ThresholdRule("cost", 0.9, 3.0, 0.01)),
    ],
)
def test_the_configuration_names_the_rule(settings: dict, rule: ThresholdRule) -> None:
    assert rule_of(EvaluationConfig(**settings)) == rule


def test_breasts_and_patients_have_calibrations_of_their_own(validation: pd.DataFrame) -> None:
    """A mean of four scores spreads less than one, and a patient is malignant for a single malignant image."""
    clearer = validation.assign(score=validation["score"] * np.where(validation["label"] == "malignant", 1.0, 0.5))
    frozen = freeze(clearer, ThresholdRule(), "logistic")
    card = Frozen.model_validate_json(json.dumps(frozen.model_dump(), allow_nan=False))
    for level in ("breast", "patient"):
        table = at_level(clearer, level)
        found = card.calibrations[level].fitted
        assert found == frozen.calibrations[level].fitted and found != frozen.image_calibration
        assert found.apply(table["score"]).mean() == pytest.approx((table["label"] == "malignant").mean(), abs=1e-6)


def test_logistic_is_the_default_and_undoes_what_class_weights_do_where_a_temperature_cannot() -> None:
    random = np.random.default_rng(1)
    z = random.normal(-2.5, 1.2, 3000)
    y = random.random(3000) < 1 / (1 + np.exp(-z))
    weighted = 1 / (1 + np.exp(-(z + np.log((~y).sum() / y.sum()))))  # as a network trained on balanced classes scores
    assert EvaluationConfig().calibration == "logistic"
    for method, ratio in (("logistic", 1.0), ("temperature", 0.5)):
        frame = pd.DataFrame({"patient_id": np.arange(3000), "laterality": "L", "score": weighted})
        frame["label"] = np.where(y, "malignant", "benign")
        calibrated = calibrate(frame["label"], frame["score"], method)[0].apply(weighted)
        assert (y.sum() / calibrated.sum() < 0.8) == (method == "temperature"), ratio
        # A temperature's probabilities are then worse than the share alone: they are not shown, and the card says why.
        frozen = freeze(frame, ThresholdRule(), method)
        assert (frozen.image_calibration.method == method) == (method == "logistic")
        assert ("predicting the share of malignant" in frozen.calibration.note) == (method == "temperature")


def test_scores_that_know_nothing_become_no_probabilities(validation: pd.DataFrame) -> None:
    worse = 0
    for seed in range(10):
        scores = np.random.default_rng(seed).random(len(validation))
        frozen = freeze(validation.assign(score=scores), ThresholdRule(), "logistic")
        worse += frozen.image_calibration.method == "none" and frozen.calibration.note != ""
    assert worse >= 7


def test_the_room_below_a_threshold_is_written_into_the_card_and_said(validation: pd.DataFrame) -> None:
    card = freeze(validation, ThresholdRule("youden"), "none")
    chosen = youden_threshold(validation["label"], validation["score"])
    assert chosen - card.threshold == pytest.approx(card.threshold_room) == pytest.approx(1e-6)


def test_the_reason_of_an_earlier_version_does_not_repeat_that_there_is_no_probability() -> None:
    card = Frozen.model_validate(
        {"calibration": {"method": "none", "note": "no probability is shown: on validation it is worse"}}
    )
    assert card.calibration.note == "on validation it is worse"
