"""find_duplicates: copies by file, pixels, picture and name, each under its surest kind."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from builders.textured import textured_breast

from benchmarks.alterations import ALTERATIONS
from core.data.checks import check_manifest
from core.data.duplicates import connected, find_duplicates
from core.data.leakage import leakage_words


@pytest.fixture
def frame(tmp_path: Path) -> pd.DataFrame:
    """Two different breasts, and of the first: its bytes again, its pixels as a TIFF, and a gamma of it; in all splits."""
    first = textured_breast(1)
    altered = ALTERATIONS["gamma"](first, np.random.default_rng(5))
    pictures = {"a.png": first, "other.png": textured_breast(2), "b.png": first, "c.tif": first, "d.png": altered}
    for name, picture in pictures.items():
        assert cv2.imwrite(str(tmp_path / name), picture)
    return manifest([str(tmp_path / name) for name in pictures], ["train", "train", "train", "val", "test"])


def manifest(paths: list[str], splits: list[str], patients: list[str] | None = None, **columns: list[str]) -> pd.DataFrame:
    names = patients or [f"p{number}" for number in range(len(paths))]
    return pd.DataFrame({"path": paths, "label": "benign", "patient_id": names, "split": splits} | columns).astype("str")


def found(frame: pd.DataFrame) -> list[tuple[str, tuple[int, ...], tuple[str, ...]]]:
    return [(each.how, each.rows, each.splits) for each in find_duplicates(frame, [""] * len(frame))]


@pytest.mark.slow
def test_each_kind_is_reported_in_words(frame: pd.DataFrame) -> None:
    report = check_manifest(frame)
    problems = {problem.kind: problem for problem in report.problems if "duplicate" in problem.kind}
    assert {kind: problem.rows for kind, problem in problems.items()} == {
        "duplicate": (0, 2),
        "duplicate_across_splits": (0, 2, 3),
        "near_duplicate_across_splits": (0, 2, 3, 4),
    }
    assert report.leakage and not report.usable
    near = problems["near_duplicate_across_splits"].message
    assert near.startswith("4 images that show the same picture stand in train and val and test, under different patients: ")
    assert "3 files with the same pixels stand in train and val" in problems["duplicate_across_splits"].message


@pytest.mark.parametrize(
    ("names", "copies"),
    [
        (["mdb001.png", "mdb001 (2).png", "mdb002.png"], [(0, 1)]),
        (["20586908 (3).png", "20586908 (72).png"], [(0, 1)]),
        (["benign (1).png", "benign (2).png"], []),
        (["x1_aug_3.png", "x1.png", "x2.png"], [(0, 1)]),
        (["case7_jpg.rf.0123456789abcdef0123456789abcdef.jpg", "case7_jpg.rf.fedcba9876543210fedcba9876543210.jpg"], [(0, 1)]),
        (["case7.jpg", "case7_jpg.rf.0123456789abcdef0123456789abcdef.jpg", "case8.jpg"], [(0, 1)]),
        (["case7.png", "case7-copy.png", "case7 - Copy (2).png", "case7 copy 3.png", "case7_copy.png"], [(0, 1, 2, 3, 4)]),
        (["x1_aug_3-copy.png", "x1 (2).png", "x2.png"], [(0, 1)]),
        (["photocopy.png", "photo.png", "copy.png"], []),
        (["a.png", "b.png"], []),
    ],
)
def test_copies_by_their_names(names: list[str], copies: list[tuple[int, ...]]) -> None:
    alone = [name.rpartition(".")[0] for name in names]
    paths = [f"/{('train', 'test')[place % 2]}/{name}" for place, name in enumerate(names)]
    rows = manifest(paths, ["train"] * len(names), alone)
    assert [rows for how, rows, _ in found(rows) if how == "name"] == copies


def test_names_make_no_copies_of_two_known_patients() -> None:
    paths = ["/1/img1.png", "/2/img1 (2).png", "/1/img2.png", "/2/img3.png"]
    assert found(manifest(paths, ["train", "test", "train", "test"], ["p1", "p2", "p1", "p2"])) == []


def test_the_column_copy_of_names_copies() -> None:
    rows = manifest(["/a.png", "/b.png", "/c.png"], ["train", "test", "test"], ["a", "b", "c"], copy_of=["o1", "o1", ""])
    assert found(rows) == [("name", (0, 1), ("train", "test"))]
    assert leakage_words(rows, find_duplicates(rows, [""] * 3)) == "1 group of copies by their names stands in several splits"


def test_what_leaks_is_counted_in_words() -> None:
    rows = manifest(["/a.png", "/b.png"], ["train", "test"], ["p", "p"])
    assert leakage_words(rows, []) == "1 patient stands in several splits"
    assert leakage_words(rows.assign(split="train"), []) == ""


def test_connections_run_through_others() -> None:
    assert connected(6, [(0, 1), (1, 4), (3, 5)]) == [(0, 1, 4), (3, 5)]
    assert connected(3, []) == []
