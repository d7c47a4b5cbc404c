"""metadata_baseline: a collection that gives the label away is found before any training, and nothing is found in noise."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from core.data.metadata_baseline import metadata_baseline
from core.errors import NotEnoughData
from core.metrics.features import ALL
from core.metrics.intervals import Interval


def frame_of(number: int = 160, **columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "path": [f"/nowhere/{row}.png" for row in range(number)],
            "label": [("benign", "malignant")[row % 2] for row in range(number)],
            "patient_id": [f"p{row // 2 * 2 + row % 2}" for row in range(number)],
            "laterality": "L",
            "view": "CC",
        }
        | columns
    ).astype("str")


def test_a_collection_that_gives_the_label_away_is_found() -> None:
    collection = [("cmmd", "rsna")[row % 2] if row % 10 else "cmmd" for row in range(160)]
    age = [str(40 + row * 7 % 40) for row in range(160)]
    found = metadata_baseline(frame_of(collection=collection, age=age), confidence=0.95)
    rows = dict(found.rows)
    assert isinstance(rows["collection"], Interval) and rows["collection"].low > 0.85
    assert isinstance(rows["age"], Interval) and rows["age"].low < 0.6
    assert found.rows[-1][0] == ALL and found.folds == 5 and found.images == 160
    assert found.sentence.startswith("All columns together predict the label with an AUC of ")
    assert found.as_dict()["auc"]["collection"]["value"] == rows["collection"].value  # type: ignore[index]


def test_sizes_are_read_from_the_files(tmp_path: Path) -> None:
    frame = frame_of(40)
    paths = []
    for row in range(40):
        paths.append(str(tmp_path / f"{row}.png"))
        assert cv2.imwrite(paths[-1], np.zeros((40 + row % 2 * 8, 30), np.uint8))
    seen: list[tuple[int, int]] = []
    found = metadata_baseline(frame.assign(path=paths), confidence=0.95, progress=lambda *at: seen.append(at))
    assert dict(found.rows)["height"].value == 1.0  # type: ignore[union-attr]
    assert "width" in found.left_out and seen[-1] == (40, 40)
    assert "Image height alone predicts the label" in found.sentence


def test_where_nothing_differs_it_says_so() -> None:
    found = metadata_baseline(frame_of(40), confidence=0.95)
    assert found.rows == () and "nothing to predict the label from" in found.sentence


def test_one_label_only_is_refused() -> None:
    with pytest.raises(NotEnoughData):
        metadata_baseline(frame_of(20).assign(label="benign"), confidence=0.95)
