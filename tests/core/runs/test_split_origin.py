"""Where a run's sets come from is recorded when the run is made, and goes with copies and forks."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from core.config import load_config
from core.data import assign_splits, read_manifest, write_manifest
from core.data.importers import table
from core.errors import BadRun
from core.runs import Run
from core.runs.forking import inherit_split_origin
from core.runs.split_origin import SplitOrigin, origin_of, read_split_origin, write_split_origin


def frame(folder: Path, split: str = "") -> pd.DataFrame:
    rows = [
        (str(folder / f"{number}.png"), ("benign", "malignant")[number % 2], f"P{number}", "L", "CC", split)
        for number in range(24)
    ]
    return pd.DataFrame(rows, columns=["path", "label", "patient_id", "laterality", "view", "split"])


def config(manifest: Path) -> object:
    options = ("model.name=small_cnn", "model.weights=none", "training.device=cpu", "training.precision=fp32")
    chosen = load_config(None, (*options, f"data.manifest={manifest.as_posix()}"))
    return chosen.model_copy(update={"checkpoints": manifest.parent / "checkpoints"})


def test_what_was_drawn_is_recorded_with_seed_and_fractions_also_where_it_was_drawn_before(tmp_path: Path) -> None:
    settings = config(tmp_path / "list.csv")
    data = settings.data
    direct = Run.create(settings, frame(tmp_path), name="direct")
    drawn = assign_splits(frame(tmp_path), data.val_fraction, data.test_fraction, data.split_seed)  # as load_rows does
    before = Run.create(settings, drawn, name="before")
    expected = SplitOrigin("drawn", "", data.split_seed, data.val_fraction, data.test_fraction)
    assert read_split_origin(direct.path) == read_split_origin(before.path) == expected
    assert f"drawn by MammoLab with seed {data.split_seed}" in expected.words("patients")


def test_a_given_split_says_what_its_manifest_says_of_it(tmp_path: Path) -> None:
    data = config(tmp_path / "list.csv").data
    given = assign_splits(frame(tmp_path), 0.2, 0.2, 7)
    write_manifest(given, tmp_path / "list.csv")
    plain = assign_splits(read_manifest(tmp_path / "list.csv"), data.val_fraction, data.test_fraction, data.split_seed)
    assert origin_of(plain, data) == SplitOrigin("given")
    assert "how that was made is not recorded" in origin_of(plain, data).words("patients")
    folders = plain.assign(split_origin="by the names of its folders")
    assert origin_of(folders, data) == SplitOrigin("given", "by the names of its folders")
    mixed = plain.assign(split_origin=["a", "b"] * 12)
    assert origin_of(mixed, data) == SplitOrigin("given")
    no_val = folders.assign(split=plain["split"].replace("val", "train"))
    found = origin_of(assign_splits(no_val, 0.25, 0.2, 3), data)
    assert found == SplitOrigin("validation drawn", "by the names of its folders", 3, 0.25)
    assert "(by the names of its folders), which was kept; validation was drawn by MammoLab with seed 3" in found.words(
        "patients"
    )


def test_a_split_taken_from_another_runs_manifest_is_said_to_be_a_copy(tmp_path: Path) -> None:
    first = Run.create(config(tmp_path / "list.csv"), frame(tmp_path), name="first")
    copied = config(first.path / "manifest.csv")
    rows = assign_splits(first.manifest(), 0.2, 0.2, 9)
    origin = origin_of(rows, copied.data)
    assert origin.run == "first" and origin.how == "drawn" and origin.seed == 0
    assert origin.words("patients").startswith(
        "The sets were copied from the manifest of the run first. There: The manifest gave no"
    )
    (first.path / "split.json").unlink()
    assert origin_of(rows, copied.data) == SplitOrigin("unknown", run="first")
    # Its split column emptied, it is no copy.
    assert origin_of(assign_splits(rows.assign(split=""), 0.2, 0.2, 9), copied.data).how == "drawn"


def test_a_fork_has_the_origin_of_its_parent_or_none(tmp_path: Path) -> None:
    parent, child = tmp_path / "parent", tmp_path / "child"
    parent.mkdir()
    child.mkdir()
    write_split_origin(child, SplitOrigin("given"))
    write_split_origin(parent, SplitOrigin("drawn", "", 4, 0.1, 0.2))
    inherit_split_origin(child, parent)
    assert read_split_origin(child) == SplitOrigin("drawn", "", 4, 0.1, 0.2)
    (parent / "split.json").unlink()
    inherit_split_origin(child, parent)
    assert read_split_origin(child) is None


@pytest.mark.parametrize("content", ["{", "[]", '{"how": "guessed"}', '{"how": "drawn", "seed": "x"}'])
def test_a_damaged_record_is_never_taken_for_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "split.json").write_text(content, encoding="utf-8")
    with pytest.raises(BadRun, match="damaged"):
        read_split_origin(tmp_path)


def test_an_imported_table_names_the_column_of_its_split() -> None:
    assert table._split_origin({}, "subset") == "by the column subset of the imported table"
    assert table._split_origin({"official_split": "True"}, "split").startswith("the official split of the data set")
