"""From images to breasts and patients."""

from __future__ import annotations

import pandas as pd
import pytest

from core.errors import NotEnoughData
from core.metrics import at_level
from core.metrics.levels import level_thresholds
from core.metrics.thresholds import ThresholdRule


@pytest.fixture
def predictions() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "patient_id": ["a", "a", "a", "b", "b"],
            "laterality": ["L", "L", "R", "L", "R"],
            "label": ["malignant", "benign", "benign", "benign", "benign"],
            "score": [0.9, 0.5, 0.1, 0.2, 0.4],
        }
    )


def test_image_level_is_the_rows_as_they_are(predictions: pd.DataFrame) -> None:
    assert at_level(predictions, "image")["score"].tolist() == predictions["score"].tolist()


@pytest.mark.parametrize(
    ("level", "combine", "scores", "labels"),
    [
        ("breast", "mean", [0.7, 0.1, 0.2, 0.4], ["malignant", "benign", "benign", "benign"]),
        ("breast", "max", [0.9, 0.1, 0.2, 0.4], ["malignant", "benign", "benign", "benign"]),
        ("patient", "mean", [0.5, 0.3], ["malignant", "benign"]),
        ("patient", "max", [0.9, 0.4], ["malignant", "benign"]),
    ],
)
def test_scores_and_labels_of_several_images_are_combined(
    predictions: pd.DataFrame, level: str, combine: str, scores: list, labels: list
) -> None:
    table = at_level(predictions, level, combine)
    assert table["score"].tolist() == pytest.approx(scores)
    assert table["label"].tolist() == labels
    assert table["images"].sum() == 5


def test_breasts_without_a_side_are_not_guessed(predictions: pd.DataFrame) -> None:
    predictions["laterality"] = ["L", "", "R", "L", "R"]
    with pytest.raises(NotEnoughData, match="1 of 5"):
        at_level(predictions, "breast")
    assert len(at_level(predictions, "patient")) == 2


def test_each_level_gets_the_threshold_of_its_own_scores(predictions: pd.DataFrame) -> None:
    found = level_thresholds(predictions, ThresholdRule(target=1.0))
    assert found == pytest.approx({"image": 0.9, "breast": 0.7, "patient": 0.5})


def test_a_level_without_a_threshold_says_why(predictions: pd.DataFrame) -> None:
    found = level_thresholds(predictions.assign(laterality=""), ThresholdRule())
    assert "laterality" in found["breast"] and found["image"] == 0.9
    alone = level_thresholds(predictions[predictions["patient_id"] == "a"], ThresholdRule())
    assert "all of them malignant" in alone["patient"]
