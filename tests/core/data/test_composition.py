from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders.lab_pages import write_images

from core.data.composition import columns_of, image_sizes, labels_by, patient_table
from core.data.manifest import read_manifest


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "path": [f"/{number}.png" for number in range(6)],
            "label": ["benign", "malignant", "", "benign", "benign", "malignant"],
            "patient_id": ["b", "b", "b", "a", "c", "c"],
            "laterality": ["L", "R", "R", "L", "", "L"],
            "view": ["CC", "CC", "MLO", "", "", "CC"],
            "split": ["test", "test", "test", "train", "train", "train"],
            "density": ["C", "A", "", "A", "C", "C"],
            "age": [39.9, 40, 85, np.nan, 61, 69],
            "scanner": ["", "", "", "", "", ""],
            "excluded": ["", "", "", "blurred", "", ""],
        }
    )


def test_images_are_counted_by_label_in_an_order_that_people_expect(frame: pd.DataFrame) -> None:
    assert columns_of(frame) == ["split", "view", "laterality", "density", "age"]
    density = labels_by(frame, "density")
    assert density.to_dict("index") == {
        "A": {"benign": 1, "malignant": 1, "unlabelled": 0},
        "C": {"benign": 2, "malignant": 1, "unlabelled": 0},
        "not given": {"benign": 0, "malignant": 0, "unlabelled": 1},
    }
    assert labels_by(frame, "age").index.tolist() == ["under 40", "40-49", "60-69", "80 and over", "not given"]
    assert labels_by(frame, "split").index.tolist() == ["train", "test"]
    assert labels_by(frame, "view").index.tolist() == ["CC", "MLO", "not given"], "the most frequent first"
    assert labels_by(frame[frame["label"] != ""], "split").columns.tolist() == ["benign", "malignant"]
    sizes = labels_by(frame, "size", [(10, 20)] * 4 + [None, (1, 1)])
    assert sizes.sum(axis=1).to_dict() == {"10 × 20": 4, "1 × 1": 1, "not readable": 1}


def test_rare_categories_are_put_together_and_none_is_lost() -> None:
    scanners = [f"s{number:02d}" for number in range(30) for _ in range(30 - number)]
    frame = pd.DataFrame({"label": "benign", "scanner": scanners})
    table = labels_by(frame, "scanner")
    assert len(table) == 12 and table.index[-1] == "others (19)" and int(table.sum().sum()) == len(frame)


def test_patients_have_a_row_each(frame: pd.DataFrame) -> None:
    table = patient_table(frame).set_index("patient_id")
    assert table.index.tolist() == ["a", "b", "c"]
    assert table.loc["b"].drop("age").to_dict() == {
        "images": 3,
        "sides": "L, R",
        "views": "CC, MLO",
        "label": "malignant",
        "split": "test",
        "excluded": 0,
    }
    assert table.loc["a", "excluded"] == 1 and np.isnan(table.loc["a", "age"]) and table.loc["c", "age"] == 61


def test_sizes_come_from_headers_and_unreadable_files_have_none(tmp_path: Path) -> None:
    manifest = write_images(tmp_path, patients=2)
    paths = read_manifest(manifest)["path"].to_list()
    Path(paths[1]).write_bytes(b"no image")
    seen: list[tuple[int, int]] = []
    assert image_sizes(paths, lambda done, of: seen.append((done, of))) == [(100, 120), None, (100, 120), (100, 120)]
    assert seen[-1] == (4, 4)
