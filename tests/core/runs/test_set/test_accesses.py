"""The record of what test sets were used for: nothing is lost, nothing is taken for nothing, every run can be asked."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
from builders.fake_run import FakeRun, make_run

from core.data import read_manifest, write_manifest
from core.data.file_inspection import content_hashes, inspect_files
from core.errors import BadRun, NotRecorded
from core.runs.test_set import access_log as record_of
from core.runs.test_set.access_log import adopt, inherit, record, record_for_run
from core.runs.test_set.accesses import FILE, Access, access_counts, accesses, read_record
from core.runs.test_set.identity import all_test_sets, closed_sizes, file_keys, frame_keys, sealed_rows
from core.runs.test_set.identity import test_set_of as set_of
from core.runs.test_set.identity import test_set_of_manifest as set_of_manifest


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def run(runs: Path) -> FakeRun:
    return make_run(runs / "first", patients=4)


def twin(run: FakeRun, name: str) -> Path:
    """Another run of the same images."""
    folder = run.path.parent / name
    folder.mkdir()
    for file in ("manifest.csv", "model.json"):
        shutil.copy(run.path / file, folder / file)
    return folder


def rows_of_test(run: FakeRun) -> pd.DataFrame:
    rows = run.manifest()
    return rows[rows["split"] == "test"]


def seen(run: FakeRun, runs: Path, count: int = 2, kind: str = "images") -> None:
    record(runs, kind, "Preprocess", frame_keys(rows_of_test(run).head(count)), manifest="data/manifest.csv")


def test_a_run_that_was_never_looked_at_has_no_access(run: FakeRun) -> None:
    assert accesses(run.path) == () and access_counts(run.path) == {}


def test_an_access_to_a_data_set_is_asked_of_every_run_with_these_test_images(run: FakeRun, runs: Path) -> None:
    other = twin(run, "second")
    strange = make_run(runs / "strange", patients=3)
    rows = strange.manifest()
    for path in rows["path"]:  # other images under other names
        Path(path).write_bytes(Path(path).read_bytes() + b" ")
    write_manifest(rows.assign(content_hash="", patient_id="x" + rows["patient_id"]), strange.path / "manifest.csv")
    seen(run, runs)
    for folder in (run.path, other):
        (found,) = accesses(folder)
        assert (found.kind, found.where, found.images, found.manifest) == ("images", "Preprocess", 2, "data/manifest.csv")
        assert found.before_threshold is False
    assert accesses(strange.path) == ()


def test_images_of_training_are_no_access_to_the_test_set(run: FakeRun, runs: Path) -> None:
    rows = run.manifest()
    record(runs, "images", "Data", frame_keys(rows[rows["split"] != "test"]), manifest="m.csv")
    assert accesses(run.path) == ()


def test_a_run_made_afterwards_finds_what_came_before_it_and_keeps_it_when_it_is_moved(
    run: FakeRun, runs: Path, tmp_path: Path
) -> None:
    seen(run, runs)
    later = twin(run, "later")
    adopt(later, runs)
    (found,) = accesses(later)
    assert found.before_threshold and found.images == 2
    moved = tmp_path / "elsewhere" / "later"
    shutil.copytree(later, moved)
    assert accesses(moved) == (found,)


def test_a_run_that_adopted_nothing_is_still_told_by_the_folder_of_runs(run: FakeRun, runs: Path) -> None:
    seen(run, runs)
    (found,) = accesses(twin(run, "copied"))
    assert found.kind == "images"


def test_copies_of_the_files_in_another_folder_are_the_same_test_images(run: FakeRun, runs: Path, tmp_path: Path) -> None:
    rows = rows_of_test(run).drop(columns="content_hash")
    copies = []
    for path in rows["path"]:
        copies.append(str(tmp_path / "copy" / Path(path).name))
        (tmp_path / "copy").mkdir(exist_ok=True)
        shutil.copy(path, copies[-1])
    record(runs, "images", "Data", frame_keys(rows.assign(path=copies)), manifest="copy.csv")
    assert len(accesses(run.path)) == 1


def test_one_run_s_scoring_counts_for_the_others_with_its_test_images(run: FakeRun, runs: Path) -> None:
    other = twin(run, "second")
    record_for_run(run.path, "scored", "evaluate")
    (own,), (theirs,) = accesses(run.path), accesses(other)
    assert (own.run, theirs.run) == ("", "first")
    assert own.images == theirs.images == len(rows_of_test(run))


def test_it_says_whether_the_threshold_was_frozen(run: FakeRun, runs: Path) -> None:
    (run.path / "model.json").unlink()
    seen(run, runs)
    (found,) = accesses(run.path)
    assert found.before_threshold


def test_what_came_before_a_threshold_that_was_chosen_again_came_before_it(
    run: FakeRun, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for time, act in (
        ("2026-01-01T00:00:00+00:00", lambda: seen(run, runs)),
        ("2026-01-02T00:00:00+00:00", lambda: record_of.note_threshold(run.path, "0.5 to 0.4")),
        ("2026-01-03T00:00:00+00:00", lambda: seen(run, runs)),
    ):
        monkeypatch.setattr(record_of, "now", lambda time=time: time)
        act()
    assert [(each.kind, each.before_threshold) for each in accesses(run.path) if each.counts] == [
        ("images", True),
        ("images", False),
    ]
    assert access_counts(run.path) == {"images": 2}


def test_a_fork_inherits_all_of_its_parent_once(run: FakeRun, runs: Path) -> None:
    seen(run, runs)
    record_for_run(run.path, "scored", "evaluate")
    child = twin(run, "child")
    adopt(child, runs)
    inherit(child, run.path)
    found = accesses(child)
    assert [each.kind for each in found] == ["images", "scored"]
    assert all(each.before_threshold for each in found)


def test_openings_of_an_earlier_version_are_read_from_evaluation_json(run: FakeRun) -> None:
    entry = {"opened": 3, "last_opened": "2026-02-02T10:00:00+00:00", "images": 8}
    (run.path / "evaluation.json").write_text(json.dumps({"test": entry}), encoding="utf-8")
    (found,) = accesses(run.path)
    assert (found.kind, found.times, found.when, found.images) == ("scored", 3, "2026-02-02T10:00:00+00:00", 8)
    (run.path / "evaluation.json").write_text(json.dumps({"test": {"opened": 2}}), encoding="utf-8")
    assert access_counts(run.path) == {"scored": 2}


def test_an_opening_stands_in_both_files_and_is_counted_once(run: FakeRun) -> None:
    when = "2026-02-02T10:00:00+00:00"
    entry = {"opened": 1, "history": [{"when": when, "threshold": 0.5, "weights_sha256": "ab"}]}
    (run.path / "evaluation.json").write_text(json.dumps({"test": entry}), encoding="utf-8")
    record_for_run(run.path, "scored", "evaluate", when=when)
    assert access_counts(run.path) == {"scored": 1}


@pytest.mark.parametrize(
    "damage",
    [
        b"{",
        b"[]",
        b'{"kind": "images"}',
        b'{"when": "yesterday", "kind": "images", "where": "Data", "images": 1}',
        b'{"when": "2026-01-01T00:00:00+00:00", "kind": "glanced", "where": "Data", "images": 1}',
        b'{"when": "2026-01-01T00:00:00+00:00", "kind": "images", "where": "Data", "images": -1}',
        b'{"when": "2026-01-01T00:00:00+00:00", "kind": "images", "where": "Data", "images": true}',
        b'{"when": "2026-01-01T00:00:00+00:00", "kind": "images", "where": 5, "images": 1}',
        b'{"when": "2026-01-01T00:00:00+00:00", "kind": "images", "where": "Data", "images": 1, "test_set": "../x"}',
        b"\xff\xfe",
    ],
)
@pytest.mark.parametrize("whose", ["run", "folder of runs"])
def test_a_damaged_record_is_reported_and_never_taken_for_no_access(
    run: FakeRun, runs: Path, damage: bytes, whose: str
) -> None:
    seen(run, runs)
    path = (run.path if whose == "run" else runs) / FILE
    path.write_bytes(path.read_bytes() + damage + b"\n")
    with pytest.raises(BadRun, match=r"line 2.*restore it from a copy"):
        accesses(run.path)


def test_a_lost_list_of_images_is_reported(run: FakeRun, runs: Path) -> None:
    seen(run, runs, count=8)
    (run.path / FILE).unlink()
    for path in (runs / ".test_sets").iterdir():
        path.unlink()
    with pytest.raises(BadRun, match="damaged"):
        accesses(run.path)


def test_a_damaged_record_is_still_added_to(run: FakeRun, runs: Path) -> None:
    (run.path / FILE).write_bytes(b"{ not closed")
    seen(run, runs)
    assert (run.path / FILE).read_bytes().startswith(b"{ not closed\n{")


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_record_that_is_a_link_is_not_followed(run: FakeRun, tmp_path: Path) -> None:
    target = tmp_path / "mine.txt"
    target.write_text("mine", encoding="utf-8")
    (run.path / FILE).symlink_to(target)
    with pytest.raises(NotRecorded, match="symbolic link"):
        record_for_run(run.path, "scored", "evaluate")
    with pytest.raises(BadRun, match="symbolic link"):
        accesses(run.path)
    assert target.read_text(encoding="utf-8") == "mine"


def test_an_access_that_cannot_be_written_is_refused(run: FakeRun, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(record_of, "replacing", full)
    with pytest.raises(NotRecorded, match="No space left"):
        seen(run, runs)
    with pytest.raises(NotRecorded, match="not given"):
        record_for_run(run.path, "scored", "evaluate")


def test_a_run_that_cannot_be_written_to_keeps_nobody_from_recording_beside_it(
    run: FakeRun, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = record_of._append

    def only_the_root(folder: Path, lines: Sequence[Access], *, of_all: bool = False) -> None:
        if not of_all:
            raise NotRecorded("read-only")
        append(folder, lines, of_all=of_all)

    monkeypatch.setattr(record_of, "_append", only_the_root)
    seen(run, runs)
    assert not (run.path / FILE).exists()
    assert access_counts(run.path) == {"images": 1}


def test_many_writers_lose_nothing(run: FakeRun, runs: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: seen(run, runs), range(24)))
    assert access_counts(run.path) == {"images": 24}
    assert len(read_record(runs)) == 24


@pytest.mark.slow
def test_a_long_record_is_folded_and_its_counts_stay(run: FakeRun, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_of, "FOLD", 2000)
    for number in range(40):
        seen(run, runs, count=1 + number % 3)
    seen(run, runs, kind="labels")
    assert access_counts(run.path) == {"images": 40, "labels": 1}
    for folder in (run.path, runs):
        assert (folder / FILE).stat().st_size < 4000
    copied = twin(run, "copied")
    assert access_counts(copied) == {"images": 40, "labels": 1}


def test_a_full_record_gives_no_more_access(run: FakeRun, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_of, "LIMIT", 700)
    with pytest.raises(NotRecorded, match="more than"):
        for _ in range(10):
            seen(run, runs)


def test_names_from_other_systems_can_be_written_and_read(run: FakeRun, runs: Path) -> None:
    keys = frame_keys(rows_of_test(run).head(1))
    record(runs, "images", "Data", keys, manifest="data/\udce9t\u00e9.csv", detail="x" * 5000)
    (found,) = accesses(run.path)
    assert "\u00e9.csv" in found.manifest and len(found.detail) == 300


def test_a_run_without_a_readable_manifest_has_no_test_images_and_breaks_nothing(run: FakeRun, runs: Path) -> None:
    broken = twin(run, "broken")
    (broken / "manifest.csv").write_bytes(b"\xff\xfe\x00")
    seen(run, runs)
    assert set_of(broken).images == 0
    assert len(accesses(run.path)) == 1


def test_a_run_that_was_deleted_meanwhile_does_not_come_back(run: FakeRun, runs: Path) -> None:
    sets = all_test_sets(runs)
    keys = [tuple(set_of(run.path).keys)]
    shutil.rmtree(run.path)
    record(runs, "images", "Preprocess", keys, sets=sets)
    assert not run.path.exists() and (runs / FILE).exists()
    with pytest.raises(NotRecorded, match="deleted or renamed"):
        record(runs, "prediction", "predict", keys, run=run.path, sets=sets)
    assert not run.path.exists()


@pytest.mark.skipif(os.name == "nt", reason="named pipes are of POSIX")
@pytest.mark.parametrize("name", [FILE, ".test_accesses.lock"])
@pytest.mark.parametrize("place", ["run", "root"])
def test_a_record_that_would_be_waited_for_is_refused(run: FakeRun, runs: Path, name: str, place: str) -> None:
    os.mkfifo((run.path if place == "run" else runs) / name)
    with pytest.raises(NotRecorded):
        if place == "run":
            record_for_run(run.path, "scored", "evaluate")
        else:
            seen(run, runs)


@pytest.mark.parametrize("form", ["sep=;\n{}", "The study's images\n\n{}", "{}"])
@pytest.mark.parametrize("linked", [False, True])
def test_the_test_split_of_a_manifest_is_known_in_every_form_that_can_be_read(tmp_path: Path, form: str, linked: bool) -> None:
    if linked and os.name == "nt":
        pytest.skip("links take rights on Windows")
    rows = "Path;label;patient_id;split\na.png;benign;p1;train\nb.png;malignant;p2;Test\n"
    path = tmp_path / "manifest.csv"
    path.write_text(form.format(rows), encoding="utf-8")
    assert list(read_manifest(path)["split"]) == ["train", "test"]
    if linked:
        (tmp_path / "link.csv").symlink_to(path)
        path = tmp_path / "link.csv"
    found = set_of_manifest(path)
    assert found.images == 1 and set(file_keys(tmp_path / "b.png")) <= found.keys
    assert not found.keys & set(file_keys(tmp_path / "a.png"))


@pytest.mark.parametrize("imported", [True, False])
def test_a_renamed_copy_of_a_test_image_is_sealed_in_another_manifest_without_hashes(
    run: FakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, imported: bool
) -> None:
    monkeypatch.setenv("MAMMOLAB_CACHE", str(tmp_path / "cache"))
    rows = run.manifest()
    for number, path in enumerate(rows["path"]):  # files of different sizes
        Path(path).write_bytes(Path(path).read_bytes() + b" " * number)
    hashes = [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in rows["path"]]
    write_manifest(rows.assign(content_hash=hashes), run.path / "manifest.csv")
    test = (rows["split"] == "test").to_numpy().argmax()
    copies = [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    shutil.copy(rows["path"].iloc[test], copies[0])
    Path(copies[1]).write_bytes(b"another image")
    frame = pd.DataFrame({"path": copies, "patient_id": ["x", "y"]})
    sets = all_test_sets(run.path.parent)
    if imported:  # then it is known without reading it again
        inspect_files(copies)
    keys = frame_keys(frame, () if imported else closed_sizes(sets))
    assert sealed_rows(keys, ["x", "y"], ["", ""], sets).tolist() == [True, False]
    assert frame_keys(frame) == [keys[0], frame_keys(frame)[1]]  # what was found is kept


def test_files_that_are_as_large_as_no_test_image_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAMMOLAB_CACHE", str(tmp_path / "cache"))
    png = b"\x89PNG\r\n\x1a\n1234"
    (tmp_path / "a.png").write_bytes(png + b"5")
    (tmp_path / "b.png").write_bytes(png)
    assert content_hashes([str(tmp_path / "a.png")], {len(png)}) == [""] and not (tmp_path / "cache").exists()
    found = content_hashes([str(tmp_path / "a.png"), str(tmp_path / "b.png"), str(tmp_path / "none.png")], {len(png)})
    assert found == ["", hashlib.sha256(png).hexdigest(), ""]
