"""repair_splits: whatever is connected ends in one split, nothing else moves, and the shares hardly change."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from core.config import DataConfig
from core.data.duplicates import Duplicate
from core.data.manifest import SPLITS
from core.data.repair import repair_splits, repaired

SHARES = {"val_fraction": 0.2, "test_fraction": 0.2, "seed": 0}


def frame_of(patients: list[int], splits: list[str], malignant: list[bool]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "path": [f"/{number}.png" for number in range(len(patients))],
            "label": ["malignant" if each else "benign" for each in malignant],
            "patient_id": [f"p{patient}" for patient in patients],
            "split": splits,
        }
    ).astype("str")


rows = st.lists(st.tuples(st.integers(0, 30), st.sampled_from(SPLITS), st.booleans()), min_size=1, max_size=60)
groups = st.lists(st.sets(st.integers(0, 59), min_size=2, max_size=4), max_size=6)


@settings(max_examples=60)
@given(rows, groups)
def test_connected_images_share_a_split_and_others_stay(drawn: list[tuple[int, str, bool]], copies: list[set[int]]) -> None:
    patients, splits, malignant = (list(column) for column in zip(*drawn, strict=True))
    frame = frame_of(patients, splits, malignant)
    present = ({row for row in group if row < len(frame)} for group in copies)
    duplicates = [Duplicate("near", tuple(sorted(each)), ()) for each in present if len(each) > 1]
    done = repair_splits(frame, duplicates, **SHARES)
    after = done.frame["split"].tolist()
    for patient in set(patients):
        assert len({after[row] for row, each in enumerate(patients) if each == patient}) == 1
    for each in duplicates:
        assert len({after[row] for row in each.rows}) == 1
    assert {move.row: (move.before, move.after) for move in done.moved} == {
        row: (before, now) for row, (before, now) in enumerate(zip(splits, after, strict=True)) if before != now
    }
    again = repair_splits(done.frame, duplicates, **SHARES)
    assert again.moved == () and again.frame["split"].tolist() == after, "a repaired split needs no repair"
    assert done.frame.drop(columns="split").equals(frame.drop(columns="split"))


def test_the_shares_are_kept_as_well_as_possible() -> None:
    patients = [number // 2 for number in range(200)]
    splits = ["train"] * 120 + ["val"] * 40 + ["test"] * 40
    frame = frame_of(patients, splits, [number % 4 < 2 for number in range(200)])
    # Twenty pairs of a train and a test image that are copies, so that four images of two patients hang together.
    duplicates = [Duplicate("near", (number, 160 + number), ("train", "test")) for number in range(0, 40, 2)]
    done = repair_splits(frame, duplicates, **SHARES)
    counts = done.frame["split"].value_counts()
    assert counts["val"] == 40 and 100 <= counts["train"] <= 140 and 20 <= counts["test"] <= 60
    assert "20 groups of images stood in several splits" in done.notes[0] and "→" in done.notes[1]


def test_a_sound_split_is_left_alone() -> None:
    frame = frame_of([0, 0, 1, 2], ["train", "train", "val", "test"], [True, False, True, False])
    done = repair_splits(frame, [], **SHARES)
    assert done.moved == () and "nothing was moved" in done.notes[0]


def test_a_patient_written_in_two_ways_is_one() -> None:
    frame = frame_of([1, 1], ["train", "test"], [True, False]).assign(patient_id=pd.Series(["P-1", "p1"], dtype="str"))
    done = repair_splits(frame, [], **SHARES)
    assert done.frame["split"].nunique() == 1 and len(done.moved) == 1


def test_a_manifest_without_a_split_gets_one_that_keeps_copies_together() -> None:
    frame = frame_of(list(range(60)), [""] * 60, [number % 2 == 0 for number in range(60)])
    duplicates = [Duplicate("near", (number, number + 30), ()) for number in range(15)]
    done = repair_splits(frame, duplicates, **SHARES)
    after = done.frame["split"].tolist()
    assert set(after) == set(SPLITS) and all(after[number] == after[number + 30] for number in range(15))
    assert "had no split" in done.notes[0]


def test_excluded_images_link_nothing_and_are_not_read(tmp_path: Path) -> None:
    frame = frame_of([0, 0, 1, 2, 3], ["train", "test", "val", "train", "test"], [True, False, True, False, True])
    frame["path"] = [str(tmp_path / name) for name in ("a.png", "b.png", "c.png", "d.png", "e.png")]
    for number, path in enumerate(frame["path"]):
        cv2.imwrite(path, np.full((100, 80), 40 * number + 20, np.uint8))
    frame["excluded"] = ["", "blurred", "", "", ""]
    Path(frame["path"].iloc[1]).write_bytes(b"not read")
    done = repaired(frame, DataConfig())
    assert done.moved == () and done.frame["split"].tolist() == frame["split"].tolist()
    assert done.notes[-1] == "1 excluded image not looked at"
    assert repaired(frame.assign(excluded=""), DataConfig()).moved != ()


def test_images_without_a_split_among_others_are_counted() -> None:
    frame = frame_of([0, 1, 2], ["train", "", "test"], [True, False, True])
    assert "1 image has no split" in repair_splits(frame, [], **SHARES).notes[-1]
