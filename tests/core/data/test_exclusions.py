from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders.lab_pages import write_images

from core.data.checks import check_manifest
from core.data.exclusions import exclude, exclude_in, exclusions, restore, restore_in
from core.data.manifest import is_excluded, labelled, left_out_notes, read_manifest
from core.data.splits import assign_splits
from core.errors import BadManifest


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return write_images(tmp_path)


def test_excluded_images_are_no_part_of_training_and_metrics_and_come_back(manifest: Path) -> None:
    before = manifest.read_bytes()
    frame = read_manifest(manifest)
    assert exclude_in(manifest, paths=[frame["path"][0]], patients=["P05"], note="implant,\n  seen on both views") == 3
    found = read_manifest(manifest)
    assert len(found) == 24 and len(labelled(found)) == 21
    (exclusion,) = exclusions(found)
    assert exclusion.note == "implant, seen on both views" and exclusion.rows == (0, 10, 11)
    split = assign_splits(found, 0.2, 0.2, 1)
    assert len(split) == 21 and "P05" not in set(split["patient_id"])
    assert "3 images are excluded by hand" in split.attrs["notes"][0]
    assert restore_in(manifest, [frame["path"][0]]) == 2
    assert restore_in(manifest, frame["path"].to_list()) == 0
    assert read_manifest(manifest).equals(frame)
    assert manifest.read_bytes().split() == before.split(), "nothing of the exclusion is left"


def test_a_second_note_replaces_the_first(manifest: Path) -> None:
    frame = exclude(read_manifest(manifest), patients=["P01", "P02"], note="first")
    frame = exclude(frame, patients=["P02"], note="second")
    assert [(each.note, len(each.rows)) for each in exclusions(frame)] == [("first", 2), ("second", 2)]
    assert len(restore(frame, frame["path"].to_list()).columns) == len(frame.columns) - 1


def test_what_cannot_be_excluded_is_refused_in_words(manifest: Path) -> None:
    frame = read_manifest(manifest)
    for wrong, words in (
        ({"patients": ["P01"], "note": " "}, "note that says why"),
        ({"patients": ["P01"], "note": "No"}, "note that says why"),
        ({"patients": ["P01"], "note": "x" * 501}, "at most 500"),
        ({"patients": ["nobody"], "note": "x"}, "nobody"),
        ({"paths": ["/nowhere.png"], "note": "x"}, "nowhere"),
        ({"note": "x"}, "at least one"),
    ):
        with pytest.raises(BadManifest, match=words):
            exclude(frame, **wrong)  # type: ignore[arg-type]


def test_a_column_of_truth_values_excludes_what_is_true() -> None:
    frame = pd.DataFrame({"label": ["benign"] * 5, "excluded": ["", "False", "0", "true", "blurred"]})
    assert np.array_equal(is_excluded(frame), [False, False, False, True, True])
    assert left_out_notes(frame)[0].startswith("2 images are excluded by hand")


@pytest.mark.slow
def test_the_check_passes_over_what_is_excluded_and_says_so(manifest: Path) -> None:
    frame = read_manifest(manifest).assign(split=["train", "test", *["train"] * 20, "test", "test"])
    (manifest.parent / "p01_CC.png").write_bytes(b"no image")
    found = check_manifest(frame)
    assert found.leakage and {"leakage", "unreadable"} <= {problem.kind for problem in found.problems}
    unreadable = next(problem for problem in found.problems if problem.kind == "unreadable")
    assert unreadable.rows == (2,)
    found = check_manifest(exclude(frame, patients=["P00"], note="two splits"))
    assert not found.leakage and not found.ok
    rows = {problem.kind: problem.rows for problem in found.problems if problem.rows}
    assert rows["unreadable"] == (2,) and rows["excluded"] == (0, 1), "rows of the whole manifest"
