"""A reader beside the model: the order of suspicion, the same rows, and figures that another implementation gives too."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from core.evaluate.reader import BIRADS, compare_reader, ratings_of
from core.metrics import Interval, compare_auc


def a_set(patients: int = 30) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(predictions, manifest) of two images a patient, with BI-RADS that know a little more than the scores."""
    draw = np.random.default_rng(7)
    rows = []
    for number in range(patients):
        malignant = number % 2
        for side in "LR":
            suspicion = draw.normal(1.5 * malignant)
            word = (
                "5"
                if suspicion > 2
                else "4B"
                if suspicion > 1.2
                else "0"
                if suspicion > 0.8
                else "2"
                if suspicion > 0
                else "1.0"
            )
            score = 1 / (1 + np.exp(-draw.normal(0.7 * malignant)))
            label = ("benign", "malignant")[malignant]
            rows.append((f"/d/{number}{side}.png", f"P{number}", side, "CC", label, "test", score, word))
    names = ["path", "patient_id", "laterality", "view", "label", "split", "score", "birads"]
    frame = pd.DataFrame(rows, columns=names)
    return frame.drop(columns="birads"), frame.drop(columns="score")


def test_categories_stand_in_the_order_of_suspicion_and_a_known_cancer_is_no_rating() -> None:
    assert sorted(BIRADS, key=BIRADS.__getitem__) == ["1", "2", "3", "0", "4", "4A", "4B", "4C", "5"]
    frame = pd.DataFrame({"BIRADS": ["BI-RADS 4a", "6", "", "0.0", "x"]})
    column, found = ratings_of(frame)
    assert column == "BIRADS" and found.fillna(-1).tolist() == [4.0, -1.0, -1.0, 3.5, -1.0]
    assert ratings_of(pd.DataFrame({"reader": ["0.5", "inf", "2"]}))[1].fillna(-1).tolist() == [0.5, -1.0, 2.0]
    assert ratings_of(pd.DataFrame({"birads": ["1", "1"]})) is None


def test_model_and_reader_are_compared_on_the_rows_that_have_a_rating() -> None:
    predictions, manifest = a_set()
    manifest.loc[:4, "birads"] = ""
    found = compare_reader(predictions, manifest)
    known = predictions.index > 4
    labels, scores = (predictions["label"] == "malignant")[known], predictions["score"][known]
    ratings = ratings_of(manifest)[1][known]
    assert (found.rows, found.total) == (55, 60)
    assert found.reader.value == pytest.approx(roc_auc_score(labels, ratings))
    assert found.model.value == pytest.approx(roc_auc_score(labels, scores)) == pytest.approx(found.curve.auc)
    exact = compare_auc(labels, ratings, scores, predictions["patient_id"][known])
    assert (found.difference, found.p) == (exact.difference, exact.p)
    for point in found.points:
        called = ratings >= BIRADS[point.rating.split("/")[-1].removesuffix(".0")]
        assert isinstance(point.sensitivity, Interval) and point.sensitivity.value == pytest.approx(called[labels].mean())
        assert isinstance(point.specificity, Interval) and point.specificity.value == pytest.approx((~called)[~labels].mean())
        assert point.called == called.sum()
    assert [point.rating for point in found.points] == ["5", "4B", "0", "2"]


def test_a_patient_has_the_most_suspicious_rating_of_her_images() -> None:
    predictions, manifest = a_set()
    found = compare_reader(predictions, manifest, "patient")
    highest = ratings_of(manifest)[1].groupby(manifest["patient_id"]).max()
    truth = predictions.groupby("patient_id")["label"].agg(lambda labels: (labels == "malignant").any())
    assert found.total == 30 and found.reader.value == pytest.approx(roc_auc_score(truth, highest))


def test_without_a_reader_or_with_too_few_ratings_there_is_no_number() -> None:
    predictions, manifest = a_set()
    assert compare_reader(predictions, manifest.drop(columns="birads")) is None
    manifest.loc[6:, "birads"] = ""
    assert "with ratings of the column birads" in compare_reader(predictions, manifest)
