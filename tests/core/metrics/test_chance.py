"""When a model has not shown that it is better than chance: one answer for everybody."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from core.metrics import Frozen, auc_interval
from core.metrics.chance import chance_of_model, chance_of_scores, warning_of

# The level of the intervals, where a test does not set another.
auc_interval = partial(auc_interval, confidence=0.95)

N = 60
LABELS = np.array(["malignant", "benign"] * N)
PATIENTS = np.array([f"p{i}" for i in range(2 * N)])


def scores(apart: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.clip(0.5 + apart * (LABELS == "malignant") + rng.normal(0, 0.1, 2 * N), 0.01, 0.99)


def test_a_model_that_tells_the_classes_apart_is_not_accused() -> None:
    assert chance_of_scores(LABELS, scores(0.2), PATIENTS) == ""
    assert chance_of_scores((LABELS == "malignant").astype(int), scores(0.2), PATIENTS) == ""


@pytest.mark.parametrize("apart", [0.0, 0.02, -0.2])
def test_an_interval_that_reaches_chance_is_said_with_its_figures(apart: float) -> None:
    found = auc_interval(LABELS == "malignant", scores(apart), PATIENTS)
    assert found.low <= 0.5
    assert str(found) in chance_of_scores(LABELS, scores(apart), PATIENTS)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.full(2 * N, 0.4801), "same score, 0.480"),
        (0.48 + 1e-5 * np.arange(2 * N) / N, "same score"),
        (np.zeros(2 * N), "same score, 0.000"),
        (np.where(LABELS == "malignant", 1.0, 1e-9), "saturated"),
        (np.tile([0.0, 1.0, 1.0, 0.0], N // 2), "saturated"),
    ],
)
def test_scores_alike_or_saturated_are_said(values: np.ndarray, said: str) -> None:
    assert said in chance_of_scores(LABELS, values, PATIENTS)


@pytest.mark.parametrize("rows", [slice(0, 0), slice(0, 1), slice(0, 4), slice(0, None, 2)])
def test_too_few_patients_cannot_show_anything(rows: slice) -> None:
    assert chance_of_scores(LABELS[rows], scores(0.3)[rows], PATIENTS[rows])


@pytest.mark.parametrize(("threshold", "calls"), [(0.0, "malignant"), (1e-6, "malignant"), (1.0, "benign")])
def test_a_threshold_at_an_end_decides_nothing(threshold: float, calls: str) -> None:
    assert f"calls every image {calls}" in chance_of_model(Frozen(threshold=threshold, chance=""))
    assert chance_of_model(Frozen(threshold=0.3, chance="")) == ""


def write(folder: Path, values: Any) -> None:
    (folder / "predictions").mkdir()
    table = pd.DataFrame({"label": LABELS, "patient_id": PATIENTS, "score": values})
    table.to_csv(folder / "predictions" / "val.csv", index=False)


def test_a_card_of_an_earlier_version_is_judged_by_its_validation_scores(tmp_path: Path) -> None:
    card = Frozen(threshold=0.5)
    assert chance_of_model(card, tmp_path) == ""
    write(tmp_path, scores(0.0))
    assert "0.5 is chance" in chance_of_model(card, tmp_path)
    assert chance_of_model(Frozen(threshold=0.5, chance=""), tmp_path) == "", "the card's own word counts"


@pytest.mark.parametrize("content", ["", "path,score\nx,1\n", "label,score,patient_id\nmalignant,high,p\n", "\0\xff"])
def test_a_damaged_table_accuses_nobody(tmp_path: Path, content: str) -> None:
    (tmp_path / "predictions").mkdir()
    (tmp_path / "predictions" / "val.csv").write_text(content, encoding="latin-1")
    assert chance_of_model(Frozen(threshold=0.5), tmp_path) == ""


def test_the_sentence() -> None:
    assert warning_of("") == ""
    assert warning_of("why") == "Not better than chance so far: why."


@pytest.mark.skipif(os.name == "nt", reason="Windows has no named pipes in folders")
def test_scores_that_are_no_regular_file_or_beyond_all_bounds_are_not_waited_for(tmp_path: Path) -> None:
    scores = tmp_path / "predictions" / "val.csv"
    scores.parent.mkdir()
    os.mkfifo(scores)
    assert chance_of_model(Frozen(), tmp_path) == ""
    scores.unlink()
    scores.symlink_to("/dev/zero")
    assert chance_of_model(Frozen(), tmp_path) == ""
    scores.unlink()
    scores.write_text(",".join(f"c{number}" for number in range(400_000)) + "\n", encoding="utf-8")
    assert chance_of_model(Frozen(), tmp_path) == ""


def test_an_auc_below_chance_asks_for_the_labels() -> None:
    y = np.arange(60) % 2 == 0
    said = chance_of_scores(y, np.where(y, 0.2, 0.8) + np.arange(60) / 1000, np.arange(60))
    assert "worse than chance" in said and "labels are not swapped" in said
