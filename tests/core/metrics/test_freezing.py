"""What is frozen on validation: a threshold for each level, by the configured rule, and a calibration."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from core.config.schema import EvaluationConfig
from core.metrics import (
    Calibration,
    ThresholdRule,
    at_level,
    at_threshold,
    freeze,
    frozen_thresholds,
    rule_of,
    youden_threshold,
)


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
    assert len(set(frozen.thresholds.values())) == 3
    for level, threshold in frozen.thresholds.items():
        table = at_level(validation, level)
        reached = at_threshold(table["label"], table["score"], threshold)["sensitivity"]
        assert reached >= 0.9 and at_threshold(table["label"], table["score"], threshold + 2e-6)["sensitivity"] < reached


def test_the_card_says_rule_thresholds_and_calibration_in_plain_json(validation: pd.DataFrame) -> None:
    card = json.loads(json.dumps(freeze(validation, ThresholdRule("youden"), "isotonic").to_card(), allow_nan=False))
    assert card["threshold"] == pytest.approx(youden_threshold(validation["label"], validation["score"]), abs=2e-6)
    assert set(card["thresholds"]) == {"breast", "patient"} and card["target_sensitivity"] is None
    assert ThresholdRule.from_dict(card["threshold_rule"]).kind == "youden"
    assert Calibration.from_dict(card["calibration"]).method == "isotonic"
    assert frozen_thresholds(card) == {"image": card["threshold"], **card["thresholds"]}


def test_the_calibration_changes_no_threshold(validation: pd.DataFrame) -> None:
    rule = ThresholdRule("cost", cost_ratio=5)
    found = [freeze(validation, rule, method).thresholds for method in ("none", "temperature", "logistic", "isotonic")]
    assert all(thresholds == found[0] for thresholds in found)


def test_scores_that_fall_with_malignancy_are_left_uncalibrated_with_the_reason(validation: pd.DataFrame) -> None:
    card = freeze(validation.assign(score=1 - validation["score"]), ThresholdRule(), "temperature").to_card()
    assert card["calibration"]["method"] == "none" and "rise with malignancy" in card["calibration"]["note"]
    assert Calibration.from_dict(card["calibration"]) == Calibration()


def test_a_level_that_validation_does_not_have_is_a_note(validation: pd.DataFrame) -> None:
    frozen = freeze(validation.assign(laterality=""), ThresholdRule(), "none")
    assert "laterality" in frozen.thresholds["breast"] and isinstance(frozen.thresholds["patient"], float)


def test_a_card_of_an_earlier_version_has_a_threshold_of_images_only() -> None:
    found = frozen_thresholds({"threshold": 0.4, "target_sensitivity": 0.9})
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
