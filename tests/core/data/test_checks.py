"""check_manifest: finds what is there, says where, and knows what forbids a training."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from core.config import Config
from core.data.checks import CheckReport, check_manifest
from core.data.manifest import write_manifest
from core.training.rows import load_rows


def picture(level: int) -> np.ndarray:
    """A half disc of one grey level on black: a breast."""
    rows, columns = np.mgrid[:48, :36]
    return np.where((rows - 24) ** 2 / 400 + columns**2 / 700 < 1, level, 0).astype(np.uint8)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, bytes]:
    """120 files, all different. They are inspected once for all tests, but for those that a test changed."""
    folder = tmp_path_factory.mktemp("pictures")
    made = {folder / f"{number}.png": cv2.imencode(".png", picture(100 + number))[1].tobytes() for number in range(120)}
    for path, content in made.items():
        path.write_bytes(content)
    return made


@pytest.fixture
def frame(pictures: dict[Path, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[pd.DataFrame]:
    """Twenty patients of each label in each split, an image each, all different: nothing to complain of."""
    monkeypatch.setenv("MAMMOLAB_CACHE", str(next(iter(pictures)).parent / "cache"))
    rows = [
        {
            "path": str(path),
            "label": ("benign", "malignant")[number % 2],
            "patient_id": f"p{number}",
            "split": ("train", "val", "test")[number // 2 % 3],
        }
        for number, path in enumerate(pictures)
    ]
    yield pd.DataFrame(rows).astype("str")
    for path, content in pictures.items():
        if not path.is_file() or path.read_bytes() != content:
            if path.is_dir():
                path.rmdir()
            path.unlink(missing_ok=True)
            path.write_bytes(content)


def kinds(report: CheckReport) -> list[str]:
    return sorted({problem.kind for problem in report.problems})


@pytest.mark.slow
def test_a_sound_set_is_ok(frame: pd.DataFrame) -> None:
    seen: list[tuple[int, int]] = []
    report = check_manifest(frame, progress=lambda *at: seen.append(at))
    assert (report.ok, report.leakage, report.usable) == (True, False, True) and report.problems == []
    assert seen[0] == (0, 120) and seen[-1] == (120, 120)
    assert report.counts["split"].tolist() == ["train", "val", "test", "all"]
    assert report.counts.set_index("split").loc["all"].tolist() == [120, 60, 60, 0, 120, 60]
    assert report.counts["images"].tolist()[:3] == [40, 40, 40]


@pytest.mark.slow
def test_missing_and_unreadable_files_are_named_but_a_training_can_go_on_without(frame: pd.DataFrame) -> None:
    Path(frame["path"].iloc[3]).unlink()
    Path(frame["path"].iloc[5]).write_bytes(b"text")
    whole = Path(frame["path"].iloc[7])
    whole.write_bytes(whole.read_bytes()[:40])
    report = check_manifest(frame)
    assert kinds(report) == ["missing_file", "unreadable"]
    assert [problem.rows for problem in report.problems] == [(3,), (5,), (7,)]
    assert "3.png" in report.problems[0].message and report.problems[1].message.startswith("5.png: ")
    assert (report.ok, report.leakage, report.usable) == (False, False, True)


@pytest.mark.slow_for("pixels0-uniform")
@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (np.zeros((60, 50), np.uint8), "uniform"),
        (np.full((60, 50), 255, np.uint8), "uniform"),
        (np.full((1, 1), 9, np.uint8), "too small"),
        (np.full((1, 900), 9, np.uint8), "too small"),
        (np.tile(np.where(np.arange(300) % 30 < 3, 200, 0).astype(np.uint8), (200, 1)), "nothing large enough"),
    ],
)
def test_readable_images_that_show_no_breast_are_listed(frame: pd.DataFrame, pixels: np.ndarray, reason: str) -> None:
    assert cv2.imwrite(frame["path"].iloc[4], pixels)
    report = check_manifest(frame)
    assert [(problem.kind, problem.rows) for problem in report.problems] == [("no_breast", (4,))]
    assert report.problems[0].message.startswith("4.png: ") and reason in report.problems[0].message
    assert report.usable and not report.ok


def test_colour_pictures_are_listed(frame: pd.DataFrame) -> None:
    grey = picture(120)
    assert cv2.imwrite(frame["path"].iloc[4], np.dstack([grey // 3, grey // 2, grey]))
    (problem,) = check_manifest(frame).problems
    assert (problem.kind, problem.rows) == ("colour", (4,)) and "a colour image" in problem.message


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_what_is_no_regular_file_is_listed_and_never_waited_for(frame: pd.DataFrame) -> None:
    for row in (2, 3, 4, 5):
        Path(frame["path"].iloc[row]).unlink()
    os.mkfifo(frame["path"].iloc[2])
    Path(frame["path"].iloc[3]).mkdir()
    Path(frame["path"].iloc[4]).symlink_to("nowhere.png")
    Path(frame["path"].iloc[5]).symlink_to("5.png")
    found = {problem.rows: (problem.kind, problem.message) for problem in check_manifest(frame).problems}
    assert found[(4,)][0] == "missing_file" and {found[(row,)][0] for row in (2, 3, 5)} == {"unreadable"}
    assert "pipe" in found[(2,)][1] and "folder" in found[(3,)][1] and found[(5,)][1].startswith("5.png: ")


def test_no_file_at_all_is_not_usable(frame: pd.DataFrame) -> None:
    frame["path"] = [f"/nowhere/{number}.png" for number in range(len(frame))]
    report = check_manifest(frame)
    assert not report.usable and kinds(report) == ["missing_file", "untrainable"]
    assert report.problems[-1].message.startswith("without the 120 missing or unreadable images: train has no benign")
    assert "and 115 more" in report.problems[0].message


def test_a_patient_in_two_splits_is_leakage(frame: pd.DataFrame) -> None:
    frame["patient_id"] = ["p2" if number == 0 else patient for number, patient in enumerate(frame["patient_id"])]
    report = check_manifest(frame)
    assert kinds(report) == ["leakage"] and report.leakage and not report.usable
    assert report.problems[0].rows == (0, 2) and "p2 stands in train and val" in report.problems[0].message


@pytest.mark.parametrize(
    ("twin", "kind", "words"),
    [
        (6, "duplicate", "under different patients"),
        (7, "duplicate", "under different labels, under different patients"),
        (2, "duplicate_across_splits", "stand in train and val"),
    ],
)
def test_identical_files_are_found(frame: pd.DataFrame, twin: int, kind: str, words: str) -> None:
    Path(frame["path"].iloc[twin]).write_bytes(Path(frame["path"].iloc[0]).read_bytes())
    report = check_manifest(frame)
    assert kinds(report) == [kind] and report.problems[0].rows == (0, twin)
    assert words in report.problems[0].message
    assert report.leakage is (kind == "duplicate_across_splits")


@pytest.mark.parametrize(
    ("given", "found", "usable"),
    [
        ("train", ["missing_split"], True),
        ("", [], True),
        ("test", ["missing_split", "untrainable"], False),
        ("gaps", ["missing_split"], False),
        ("no val", ["missing_split"], True),
    ],
)
def test_missing_splits(frame: pd.DataFrame, given: str, found: list[str], usable: bool) -> None:
    if given == "gaps":
        frame["split"] = ["train"] * 60 + [""] * 60
    elif given == "no val":
        frame["split"] = ["train"] * 60 + ["test"] * 60
    else:
        frame["split"] = given
    report = check_manifest(frame)
    assert kinds(report) == found
    assert report.usable is usable


def test_one_label_few_patients_and_rare_labels_are_said(frame: pd.DataFrame) -> None:
    val = frame["split"] == "val"
    frame["label"] = ["benign" if held else label for held, label in zip(val, frame["label"], strict=True)]
    report = check_manifest(frame)
    assert kinds(report) == ["imbalance", "untrainable"] and "val has images of one label only" in report.problems[0].message
    assert not report.usable
    frame["label"] = ["malignant" if number % 40 == 2 else "benign" for number in range(len(frame))]
    assert kinds(check_manifest(frame)) == ["few_patients", "imbalance"]


def test_rows_without_a_split_are_named_even_when_their_files_are_missing(frame: pd.DataFrame) -> None:
    frame["split"] = ["" if number == 7 else split for number, split in enumerate(frame["split"])]
    Path(frame["path"].iloc[3]).unlink()
    Path(frame["path"].iloc[7]).unlink()
    report = check_manifest(frame)
    assert kinds(report) == ["missing_file", "missing_split"] and not report.usable
    assert report.problems[-1].rows == (7,) and "1 of 120 rows has no split" in report.problems[-1].message


@pytest.mark.parametrize("split", ["", "train"])
def test_one_label_is_not_usable(frame: pd.DataFrame, split: str) -> None:
    frame["split"], frame["label"] = split, "benign"
    report = check_manifest(frame)
    assert not report.usable and report.problems[-1].kind == "untrainable" and "malignant" in report.problems[-1].message


@pytest.mark.parametrize(
    ("split", "patients", "usable"), [("", 2, False), ("", 3, True), ("train", 1, False), ("train", 2, True)]
)
def test_a_split_that_is_to_be_made_needs_patients_of_each_label(
    frame: pd.DataFrame, split: str, patients: int, usable: bool
) -> None:
    frame = frame.iloc[: 2 * patients].assign(split=split)
    report = check_manifest(frame)
    assert report.usable is usable and ("untrainable" in kinds(report)) is not usable


def test_identical_files_of_two_patients_that_a_split_would_part_are_not_usable(frame: pd.DataFrame) -> None:
    frame = frame.iloc[:6].assign(split="")
    first, other = frame["path"].iloc[0], frame["path"].iloc[2]
    assert check_manifest(frame).usable  # three patients of each label: each stands in a split of its own
    Path(other).write_bytes(Path(first).read_bytes())
    report = check_manifest(frame)
    assert not report.usable and "identical content" in report.problems[-1].message


def test_a_patient_that_may_be_two_and_words_for_nobody_are_told(frame: pd.DataFrame) -> None:
    frame.loc[0, "patient_id"], frame.loc[2, "patient_id"] = "1000", "1000.0"  # in train and in val
    frame.loc[4, "patient_id"] = "removed"
    found = [problem for problem in check_manifest(frame).problems if problem.kind == "patients"]
    assert [problem.rows for problem in found] == [(4,), (0, 2)]
    assert "nobody" in found[0].message and "stands in different splits: leakage" in found[1].message


def test_doubts_about_patients_reach_the_log_of_a_training(
    frame: pd.DataFrame, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frame.loc[0, "patient_id"], frame.loc[2, "patient_id"] = "100", "100.0"
    write_manifest(frame, tmp_path / "m.csv")
    load_rows(Config.model_validate({"data": {"manifest": tmp_path / "m.csv"}}))
    assert "'100' and '100.0'" in caplog.text


@pytest.mark.slow
def test_patients_of_one_label_with_fewer_images_are_said_but_do_not_forbid_training(frame: pd.DataFrame) -> None:
    twins = frame[frame["label"] == "benign"].iloc[1:].assign(path="")
    for number, source in enumerate(frame.loc[twins.index, "path"]):
        path = Path(source).with_name(f"second{number}.png")
        assert cv2.imwrite(str(path), picture(30 + number))
        twins.iloc[number, twins.columns.get_loc("path")] = str(path)
    report = check_manifest(pd.concat([frame, twins], ignore_index=True))
    assert kinds(report) == ["composition"] and report.usable and not report.ok
    (problem,) = report.problems
    assert problem.message.startswith("malignant patients have fewer images (train: AUC ")
    assert "val: AUC" in problem.message and "test: AUC" in problem.message
    nobody = pd.concat([frame, twins], ignore_index=True)
    nobody["patient_id"] = [Path(path).stem for path in nobody["path"]]
    assert kinds(check_manifest(nobody)) == ["patients_unknown"]


@pytest.mark.slow
def test_a_collection_that_tells_the_label_is_found_but_does_not_forbid_training(frame: pd.DataFrame) -> None:
    told = frame.assign(collection=["films" if label == "malignant" else "digital" for label in frame["label"]])
    report = check_manifest(told)
    assert kinds(report) == ["collection"] and report.usable and not report.ok
    assert report.problems[0].message.startswith(
        "the collection alone tells the label (AUC 1.00; malignant: 0% in 'digital', 100% in 'films'): "
    )
    assert check_manifest(frame.assign(collection="films")).ok


def test_a_set_whose_patients_are_its_files_says_that_leakage_cannot_be_excluded(frame: pd.DataFrame) -> None:
    report = check_manifest(frame.assign(patient_id=[Path(path).stem for path in frame["path"]]))
    assert kinds(report) == ["patients_unknown"] and not report.ok and report.usable
    assert report.problems[0].message.startswith("no patient known: leakage cannot be excluded")


def test_images_without_a_label_are_counted_apart_and_never_benign(frame: pd.DataFrame) -> None:
    before = check_manifest(frame).counts.set_index("split").loc["all"]
    frame["label"] = ["" if number in (3, 7) else label for number, label in enumerate(frame["label"])]
    report = check_manifest(frame)
    assert [(problem.kind, problem.rows) for problem in report.problems] == [("unlabelled", (3, 7))]
    counts = report.counts.set_index("split").loc["all"]
    assert counts["unlabelled"] == 2 and counts["benign"] + counts["malignant"] == before["images"] - 2
    assert report.usable
