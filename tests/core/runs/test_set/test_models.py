"""How many models saw a test set: counted for its patients, whatever became of the runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from builders.fake_run import FakeRun, make_run

from core.data import read_manifest, write_manifest
from core.errors import BadRun
from core.runs.test_set import access_log
from core.runs.test_set.access_log import adopt, inherit, record_for_run
from core.runs.test_set.accesses import FILE, SETS
from core.runs.test_set.models import seen_words, test_set_use


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def run(runs: Path) -> FakeRun:
    return make_run(runs / "first", patients=4)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every access a day after the one before."""
    days = iter(range(1, 28))
    monkeypatch.setattr(access_log, "now", lambda: f"2026-01-{next(days):02d}T00:00:00+00:00")


def another(run: FakeRun, name: str, weights: str = "cd" * 32) -> Path:
    """Another run on the same images, with weights of its own."""
    folder = run.path.parent / name
    folder.mkdir()
    shutil.copy(run.path / "manifest.csv", folder / "manifest.csv")
    (folder / "model.json").write_text(json.dumps(run.card | {"weights_sha256": weights}), encoding="utf-8")
    adopt(folder, run.path.parent)
    return folder


def score(*folders: Path) -> None:
    for folder in folders:
        record_for_run(folder, "scored", "evaluate")


def names(folder: Path) -> tuple[list[str], list[str]]:
    use = test_set_use(folder)
    return [each.run for each in use.before], [each.run for each in use.since]


def test_models_scored_on_the_same_test_set_are_counted_together_and_in_order(run: FakeRun, clock: None) -> None:
    second, third = another(run, "second"), another(run, "third", "ef" * 32)
    score(run.path, second, second)
    assert names(run.path) == ([], ["second"])
    assert names(second) == (["first"], [])
    assert names(third) == (["first", "second"], [])
    words = " ".join(seen_words(test_set_use(third)))
    assert "2 other models had been scored on test images of the same patients already, from 2026-01-01 to 2026-01-03" in words
    assert "first, second" in words and test_set_use(third).gap == ""


def test_deleting_a_run_deletes_nothing_of_the_count(run: FakeRun, clock: None) -> None:
    second = another(run, "second")
    score(run.path, second)
    shutil.rmtree(run.path)
    assert names(second) == (["first"], []) and test_set_use(second).gap == ""
    again = make_run(run.path, patients=4, weights_sha256="12" * 32)  # another model under the name of the deleted one
    score(again.path)
    assert names(second) == (["first"], ["first"])
    assert names(again.path) == (["first", "second"], [])


def test_a_renamed_a_copied_and_a_moved_run_are_still_one_model(run: FakeRun, runs: Path, tmp_path: Path, clock: None) -> None:
    second = another(run, "second")
    score(run.path)
    run.path.rename(runs / "renamed")
    shutil.copytree(runs / "renamed", runs / "copied")
    score(runs / "renamed", runs / "copied", second)
    (before,) = test_set_use(second).before
    assert before.times == 3 and test_set_use(runs / "copied").others == test_set_use(runs / "copied").since
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(runs / "renamed", elsewhere / "moved")
    shutil.copytree(second, elsewhere / "second")
    assert [each.times for each in test_set_use(elsewhere / "second").before] == [3]
    assert "is missing" in test_set_use(elsewhere / "second").gap


def test_other_images_of_the_same_patients_are_the_same_test_set(run: FakeRun, clock: None) -> None:
    """Two runs, one tested on the CC and one on the MLO views: no image in common, every patient."""
    second = another(run, "second")
    rows = read_manifest(run.path / "manifest.csv")
    write_manifest(rows[rows["view"] == "CC"], run.path / "manifest.csv")
    write_manifest(rows[rows["view"] == "MLO"], second / "manifest.csv")
    score(run.path)
    assert names(second) == (["first"], [])


def test_the_same_identifiers_in_another_data_set_are_other_patients(run: FakeRun, runs: Path, clock: None) -> None:
    other = make_run(runs / "other", patients=4)
    rows = read_manifest(other.path / "manifest.csv")
    for number, path in enumerate(rows["path"]):
        Path(path).write_bytes(Path(path).read_bytes() + b" " * (number + 1))
    write_manifest(rows.assign(content_hash=""), other.path / "manifest.csv")
    score(run.path)
    assert names(other.path) == ([], [])


def test_a_fork_counts_its_parent_as_a_model_before_it(run: FakeRun, clock: None) -> None:
    score(run.path)
    child = another(run, "child")
    inherit(child, run.path)
    score(child)
    assert names(child) == (["first"], [])


def test_a_record_that_was_deleted_is_said_and_one_that_is_damaged_is_an_error(run: FakeRun, runs: Path, clock: None) -> None:
    second = another(run, "second")
    score(run.path, second)
    (runs / FILE).unlink()
    assert "is missing: it was deleted, or runs were moved here" in test_set_use(second).gap
    assert names(second) == (["first"], [])  # from the other run's own record
    (run.path / FILE).write_text("nonsense", encoding="utf-8")
    assert "The record of first is damaged" in test_set_use(second).gap
    (second / FILE).write_text("nonsense", encoding="utf-8")
    with pytest.raises(BadRun, match="damaged"):
        test_set_use(second)


def test_the_records_hold_no_patient_and_no_file_name(run: FakeRun, runs: Path, clock: None) -> None:
    score(run.path)
    content = (runs / FILE).read_text(encoding="utf-8") + "".join(path.read_text() for path in (runs / SETS).iterdir())
    rows = run.manifest()
    assert not any(word in content for word in (*rows["patient_id"], *(Path(path).name for path in rows["path"])))
