from __future__ import annotations

import os
import platform
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from datetime import date
from itertools import islice
from pathlib import Path

import pandas as pd
import pytest
from builders.events import append_event
from safetensors.torch import save_file

from core.config import ModelConfig, load_config
from core.errors import BadConfig, BadManifest, BadRun, LabError, Leakage, MissingWeights
from core.files.folders import write_text
from core.model import build_model
from core.runs import Run, list_runs
from core.runs.names import clean_name, default_names
from core.runs.status import Status, write_status

MakeRun = Callable[..., Run]


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("b0-clahe2", "b0-clahe2"),
        ("  My first run! ", "My-first-run"),
        ("../../etc/passwd", "etc-passwd"),
        ("C:\\Users\\me", "C-Users-me"),
        ("hf-hub:timm/resnet50.a1_in1k", "hf-hub-timm-resnet50.a1_in1k"),
        ("Größe 3 µm", "Größe-3-µm"),
        ("ends with dots...", "ends-with-dots"),
        (".hidden", "hidden"),
        ("a" * 300, "a" * 80),
        ("line\nbreak\x00", "line-break"),
    ],
)
def test_a_name_becomes_a_folder_that_exists_everywhere(given: str, expected: str) -> None:
    assert clean_name(given) == expected


@pytest.mark.parametrize("given", ["", "   ", "...", "///", "con", "NUL", "lpt1.txt", "Com9"])
def test_an_impossible_name_is_refused(given: str) -> None:
    with pytest.raises(BadRun, match="the name"):
        clean_name(given)


def test_default_names_say_day_and_model() -> None:
    names = list(islice(default_names("hf/x", date(2026, 11, 23)), 2))
    assert names == ["2026-11-23-hf-x-1", "2026-11-23-hf-x-2"]


# ---------------------------------------------------------------- create


def test_a_new_run_is_queued_and_complete(make_run: MakeRun, frame: pd.DataFrame) -> None:
    run = make_run("first")
    assert run.name == "first"
    status = run.status()
    assert (status.state, status.epochs, status.monitor, status.problem) == ("queued", 2, "auc", "")
    assert run.config().training.batch_size == 4
    assert run.manifest()["path"].tolist() == frame["path"].tolist()
    assert run.manifest()["split"].tolist() == frame["split"].tolist()
    assert run.events() == []
    assert not run.has_model
    assert run.problem == ""
    assert Run.open(run.path) == run
    assert [path.name for path in run.path.parent.iterdir()] == ["first"]


def test_the_configuration_comes_back_equal(make_run: MakeRun, make_config: Callable) -> None:
    assert make_run(training__seed=7).config() == make_config(training__seed=7)


def test_runs_without_a_name_are_numbered(make_run: MakeRun) -> None:
    names = [make_run().name for _ in range(3)]
    assert names == [f"{date.today()}-small_cnn-{number}" for number in (1, 2, 3)]


def test_a_manifest_without_splits_is_split_by_patient(make_run: MakeRun, frame: pd.DataFrame) -> None:
    splits = make_run(rows=frame.assign(split="")).manifest()["split"]
    assert set(splits) == {"train", "val", "test"}


def test_images_without_a_label_stay_out_of_a_run(make_run: MakeRun, frame: pd.DataFrame) -> None:
    unknown = frame.assign(label=["" if number < 2 else label for number, label in enumerate(frame["label"])])
    rows = make_run(rows=unknown).manifest()
    assert len(rows) == len(frame) - 2 and set(rows["label"]) == {"benign", "malignant"}
    assert not set(rows["path"]) & set(frame["path"].head(2))


def test_a_weights_file_is_found_from_another_folder(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_file(build_model(ModelConfig(options={"width": 8})).state_dict(), "weights.safetensors")
    assert (
        make_run(model__weights="weights.safetensors").config().model.weights == (tmp_path / "weights.safetensors").as_posix()
    )


def leaking(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(patient_id=["same", *frame["patient_id"][1:-1], "same"])


def one_class(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[(frame["split"] != "val") | (frame["label"] == "benign")]


@pytest.mark.parametrize(
    ("spoil", "changes", "error"),
    [
        (leaking, {}, Leakage),
        (one_class, {}, BadManifest),
        (lambda rows: rows.assign(split=["", *rows["split"][1:]]), {}, BadManifest),
        (lambda rows: rows, {"model__name": "small_cnnn"}, BadConfig),
        (lambda rows: rows, {"model__weights": "missing.safetensors"}, MissingWeights),
        (lambda rows: rows, {"model__name": "resnet18", "model__weights": "hub", "model__options": "{}"}, MissingWeights),
        (lambda rows: rows, {"training__device": "cuda:77"}, BadConfig),
        (lambda rows: rows, {"training__precision": "fp16"}, BadConfig),
    ],
    ids=["leakage", "one class", "half split", "no such model", "no such file", "hub offline", "no such gpu", "fp16 on cpu"],
)
def test_what_cannot_train_is_refused_before_there_is_a_folder(
    make_run: MakeRun, frame: pd.DataFrame, tmp_path: Path, spoil: Callable, changes: dict, error: type[LabError]
) -> None:
    with pytest.raises(error):
        make_run(rows=spoil(frame), **changes)
    assert not (tmp_path / "runs").exists()


def test_a_name_that_is_taken_is_refused_and_nothing_is_left(make_run: MakeRun) -> None:
    run = make_run("one")
    with pytest.raises(BadRun, match="already a run named one"):
        make_run("one")
    assert list(run.path.parent.iterdir()) == [run.path]


def test_a_folder_that_cannot_be_made_is_said(make_run: MakeRun, tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file is in the way", encoding="utf-8")
    with pytest.raises(BadRun, match="cannot be made"):
        make_run("one")


# ---------------------------------------------------------------- open, list


def test_what_is_no_run_is_not_opened(tmp_path: Path) -> None:
    with pytest.raises(BadRun, match="no such run"):
        Run.open(tmp_path / "missing")
    with pytest.raises(BadRun, match="not a run"):
        Run.open(tmp_path)


def test_runs_are_listed_newest_first_and_damaged_ones_with_their_problem(make_run: MakeRun) -> None:
    runs = [make_run(name) for name in ("old", "middle", "new")]
    root = runs[0].path.parent
    for age, run in zip((3, 2, 1), runs, strict=True):
        run.set_status(created=time.time() - age)
    (root / "torn").mkdir()
    (root / "torn" / "status.json").write_bytes(b'{"state": "run')
    (root / "copied").mkdir()
    (root / "copied" / "config.yaml").write_text("training: [", encoding="utf-8")
    (root / "copied" / "model.json").touch()
    (root / "settings only").mkdir()
    (root / "settings only" / "config.yaml").touch()
    (root / "no run").mkdir()
    (root / ".new-abc").mkdir()
    (root / "README.md").touch()
    found = {run.name: run for run in list_runs(root)}
    assert list(found)[:3] == ["new", "middle", "old"]
    assert set(found) == {"new", "middle", "old", "torn", "copied"}
    assert "config.yaml is missing" in found["torn"].problem
    assert "status.json is missing" in found["copied"].problem
    assert found["torn"].status().state == "failed"
    with pytest.raises(BadRun, match="configuration cannot be read"):
        found["copied"].config()


def test_a_missing_folder_has_no_runs(tmp_path: Path) -> None:
    assert list_runs(tmp_path / "missing") == []


# ---------------------------------------------------------------- requests, locks


def test_requests_are_seen_by_every_handle_and_can_be_withdrawn(make_run: MakeRun) -> None:
    run = make_run()
    other = Run.open(run.path)
    assert not other.requested("pause")
    run.request("pause")
    run.request("pause")
    assert other.requested("pause") and not other.requested("stop")
    other.withdraw("pause")
    other.withdraw("pause")
    assert not run.requested("pause")


def test_only_one_may_hold_a_run(make_run: MakeRun) -> None:
    run = make_run()
    lock = run.acquire()
    with pytest.raises(BadRun, match="being trained already"):
        Run.open(run.path).acquire()
    lock.release()
    Run.open(run.path).acquire().release()


def test_a_run_trained_on_another_host_is_not_taken_until_its_heart_stops(make_run: MakeRun) -> None:
    run = make_run()
    elsewhere = Status(state="running", host="cluster-7", pid=12, heartbeat=time.time())
    write_status(run.path / "status.json", elsewhere)
    with pytest.raises(BadRun, match="process 12 on cluster-7"):
        run.acquire()
    run.set_status(heartbeat=time.time() - 100)
    run.acquire().release()


@pytest.mark.slow
def test_the_lock_of_a_killed_process_holds_nobody_up(make_run: MakeRun) -> None:
    run = make_run()
    script = textwrap.dedent("""
        import sys
        from core.runs import Run
        lock = Run(sys.argv[1]).acquire()
        print("held", flush=True)
        input()
    """)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(run.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    )
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline().strip() == b"held"
        with pytest.raises(BadRun, match="being trained already"):
            run.acquire()
    finally:
        holder.kill()
        holder.communicate()
    run.acquire().release()


@pytest.mark.parametrize(
    ("state", "resume", "startable"),
    [
        ("queued", False, True),
        ("queued", True, True),
        ("stopped", False, False),
        ("stopped", True, True),
        ("failed", True, True),
        ("failed", False, False),
        ("interrupted", True, True),
        ("done", False, False),
        ("done", True, False),
    ],
)
def test_what_can_be_started_and_resumed(make_run: MakeRun, state: str, resume: bool, startable: bool) -> None:
    run = make_run()
    run.set_status(state="running" if state == "interrupted" else state, host=platform.node())
    if startable:
        run.require_startable(resume=resume)
    else:
        with pytest.raises(BadRun):
            run.require_startable(resume=resume)


# ---------------------------------------------------------------- rename, delete


def test_a_renamed_run_keeps_everything_and_the_handle_follows(make_run: MakeRun) -> None:
    run = make_run("one")
    append_event(run, {"type": "warning", "message": "kept"})
    assert run.rename("two words") is run
    assert run.path.name == run.name == "two-words"
    append_event(run, {"type": "warning", "message": "after"})
    assert [event["seq"] for event in run.events()] == [1, 2]
    assert [found.name for found in list_runs(run.path.parent)] == ["two-words"]


def test_a_rename_onto_another_run_is_refused(make_run: MakeRun) -> None:
    run, other = make_run("one"), make_run("two")
    write_text(other.path / "notes.txt", "precious")
    with pytest.raises(BadRun, match="already a run named two"):
        run.rename("two")
    assert (other.path / "notes.txt").exists()
    assert run.name == "one"


def test_a_deleted_run_is_gone(make_run: MakeRun) -> None:
    run = make_run("one")
    run.delete()
    assert list(run.path.parent.iterdir()) == []
    with pytest.raises(BadRun, match="no such run"):
        run.delete()


def refuse_to_remove(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """As Windows does while somebody has the file open."""
    real = os.unlink

    def unlink(path: object, **keywords: int | None) -> None:
        if os.fspath(path).endswith(name):  # type: ignore[call-overload]
            raise PermissionError(13, "used by another process")
        real(path, **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "unlink", unlink)


@pytest.mark.parametrize("next_is", ["a delete", "a new run"])
def test_files_that_a_deletion_could_not_remove_are_named_and_go_with_the_next(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, next_is: str
) -> None:
    run, other = make_run("one"), make_run("two")
    root = run.path.parent
    with monkeypatch.context() as patch:
        refuse_to_remove(patch, "events.jsonl")
        with pytest.raises(BadRun, match="is deleted, but not all of its files") as caught:
            run.delete()
    assert [found.name for found in list_runs(root)] == ["two"]
    (grave,) = root.glob(".deleted-*")
    assert str(grave) in str(caught.value)
    assert [path.name for path in grave.iterdir()] == ["events.jsonl"], "what could be removed was kept"
    if next_is == "a delete":
        other.delete()
        assert list(root.iterdir()) == []
    else:
        make_run("three")
        assert {path.name for path in root.iterdir()} == {"two", "three"}


def test_a_run_that_cannot_be_moved_away_is_not_deleted(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run("one")

    def refused(self: Path, target: Path) -> Path:
        raise PermissionError(13, "used by another process")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", refused)
        with pytest.raises(BadRun, match="it cannot be deleted"):
            run.delete()
    assert list_runs(run.path.parent) == [run]


@pytest.mark.parametrize("next_is", ["a delete", "a new run"])
def test_drafts_of_killed_programs_are_removed_and_those_in_the_making_are_not(make_run: MakeRun, next_is: str) -> None:
    run = make_run("one")
    root = run.path.parent
    old, recent, foreign = ".new-0123456789ab", ".new-ba9876543210", (".new-project", ".deleted-items")
    for name in (old, recent, *foreign):
        (root / name).mkdir()
        (root / name / "config.yaml").touch()
        os.utime(root / name, (time.time() - (60 if name == recent else 3700),) * 2)
    if next_is == "a delete":
        run.delete()
    else:
        make_run("two")
    assert not (root / old).exists()
    for name in (recent, *foreign):
        assert (root / name / "config.yaml").exists()


def test_a_folder_that_is_no_run_is_never_deleted(tmp_path: Path) -> None:
    (tmp_path / "thesis.docx").touch()
    with pytest.raises(BadRun, match="not a run"):
        Run(tmp_path).delete()
    assert (tmp_path / "thesis.docx").exists()


@pytest.mark.parametrize("action", ["rename", "delete"])
def test_a_run_in_training_is_neither_renamed_nor_deleted(make_run: MakeRun, action: str) -> None:
    run = make_run("one")
    lock = run.acquire()
    with pytest.raises(BadRun, match="being trained"):
        Run.open(run.path).rename("two") if action == "rename" else Run.open(run.path).delete()
    lock.release()
    assert run.path.is_dir()


def test_a_run_folder_moved_by_hand_is_a_run(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run("one")
    moved = run.path.rename(tmp_path / "elsewhere")
    assert Run.open(moved).status().state == "queued"
    assert load_config(moved / "config.yaml") == Run.open(moved).config()
