"""`python -m core run ACTION RUN`: requests in the run's folder, forks, names, notes, and deleting only when asked twice."""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from core.cli import main
from core.config import dump_config, load_config
from core.model import build_model, save_model
from core.runs import Run
from core.runs.forking import starting_point
from core.runs.status import PROCESS

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run `one` that was never started, in a workspace that is the current folder."""
    monkeypatch.chdir(tmp_path)
    rows = []
    for number in range(8):
        path = tmp_path / f"{number}.png"
        assert cv2.imwrite(str(path), np.full((32, 32), 40 + number, np.uint8))
        label = "malignant" if number % 2 else "benign"
        rows.append({"path": str(path), "label": label, "patient_id": f"p{number}", "split": "train" if number < 4 else "val"})
    config = load_config(None, ["model.options={width: 8}", "preprocessing.size=32", "training.device=cpu"])
    (tmp_path / "config.yaml").write_text(dump_config(config), encoding="utf-8")
    frame = pd.DataFrame(rows).assign(laterality="L", view="CC")
    return Run.create(config, frame, name="one")


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Run `python -m core run ...`: (exit code, standard output, standard error)."""

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["run", *arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def pretend_running(run: Run, **changes: object) -> None:
    here = {"pid": os.getpid(), "host": platform.node(), "process": PROCESS, "heartbeat": time.time()}
    run.set_status(**{"state": "running"} | here | changes)


def give_model(run: Run) -> None:
    config = run.config()
    recipe = config.preprocessing
    card = {
        "recipe": recipe.model_dump(mode="json"),
        "recipe_hash": recipe.hash,
        "model": config.model.model_dump(mode="json"),
        "threshold": 0.5,
    }
    save_model(run.path, build_model(config.model), card)


def test_pause_resume_and_stop_are_requests_in_the_runs_folder(run: Run, call: Call) -> None:
    pretend_running(run)
    code, out, _ = call("pause", "one")
    assert code == 0 and run.requested("pause") and "resume one" in out
    code, out, _ = call("resume", "one")
    assert code == 0 and not run.requested("pause") and "resumed" in out
    code, out, _ = call("stop", "one")
    assert code == 0 and run.requested("stop") and "keep the best model" in out


@pytest.mark.parametrize("action", ["pause", "stop"])
@pytest.mark.parametrize("state", ["queued", "done", "failed"])
def test_nothing_is_requested_of_a_run_that_is_not_in_training(run: Run, call: Call, action: str, state: str) -> None:
    run.set_status(state=state)
    code, _, err = call(action, "one")
    assert code == 1 and "not in training" in err
    assert not run.requested(action)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "begun", "advice"),
    [
        ("done", True, "run fork one"),
        ("stopped", True, "Resume it with `python -m core run start one`"),
        ("queued", False, "Start it with `python -m core run start one`"),
    ],
)
def test_resuming_a_run_that_is_not_in_training_is_an_error_that_says_what_can_be_done(
    run: Run, call: Call, state: str, begun: bool, advice: str
) -> None:
    run.set_status(state=state)
    if begun:
        (run.path / "last.pt").touch()
    code, out, err = call("resume", "one")
    assert code == 1 and not out
    assert err.startswith("error: one: ") and advice in err


def test_resuming_a_waiting_run_says_that_it_begins_by_itself(run: Run, call: Call) -> None:
    pretend_running(run, state="queued")
    code, _, err = call("resume", "one")
    assert code == 1 and "starts automatically" in err


def test_a_waiting_run_can_be_removed_from_the_queue(run: Run, call: Call) -> None:
    pretend_running(run, state="queued")
    assert run.status().waiting
    code, out, _ = call("stop", "one")
    assert code == 0 and run.requested("stop") and "removed from the queue" in out


@pytest.mark.parametrize("checkpoint", [False, True])
def test_start_trains_in_a_process_from_the_beginning_or_from_the_checkpoint(
    run: Run, call: Call, monkeypatch: pytest.MonkeyPatch, checkpoint: bool
) -> None:
    started: list[tuple[str, bool]] = []

    def start(run: Run, *, resume: bool) -> int:
        started.append((run.name, resume))
        return 4711

    monkeypatch.setattr("core.training.launchers.start_process", start)
    if checkpoint:
        (run.path / "last.pt").touch()
    code, out, _ = call("start", "one")
    assert code == 0 and "process 4711" in out
    assert started == [("one", checkpoint)]


def test_a_fork_of_a_run_that_was_named_by_its_path_is_said_by_its_path(run: Run, call: Call, tmp_path: Path) -> None:
    give_model(run)
    elsewhere = Path(shutil.move(run.path, tmp_path / "elsewhere" / "one"))
    code, out, _ = call("fork", elsewhere.as_posix(), "--name", "two")
    assert code == 0 and f"--resume {(elsewhere.parent / 'two').as_posix()}`" in out


def test_a_fork_takes_the_weights_and_the_changed_settings(run: Run, call: Call) -> None:
    code, _, err = call("fork", "one", "--name", "two")
    assert code == 1 and "no model yet" in err
    give_model(run)
    code, out, _ = call("fork", "one", "--name", "two", "--set", "training.epochs=3")
    child = Run.open(run.path.with_name("two"))
    assert code == 0 and "--resume two" in out
    assert child.status().state == "queued"
    assert child.config().training == starting_point(run, ["training.epochs=3"]).training  # what the dashboard's fork has
    assert child.config().training.epochs == 3
    held = Path(child.config().model.weights)  # its own, so that the parent may be renamed or deleted
    assert held.parent == child.path and held.read_bytes() == (run.path / "model.safetensors").read_bytes()


def test_a_fork_of_another_architecture_is_refused_and_leaves_nothing(run: Run, call: Call) -> None:
    give_model(run)
    code, _, err = call("fork", "one", "--name", "two", "--set", "model.name=resnet18")
    assert code == 1 and "resnet18" in err
    assert [path.name for path in run.path.parent.iterdir()] == ["one"]


def test_a_run_is_renamed_unless_the_name_is_taken(run: Run, call: Call) -> None:
    Run.create(run.config(), run.manifest(), name="taken")
    code, _, err = call("rename", "one", "taken")
    assert code == 1 and "already a run named taken" in err
    code, out, _ = call("rename", "one", "better name")
    assert code == 0 and out.strip().endswith("better-name")
    assert Run.open(run.path.with_name("better-name")).status().state == "queued"


def test_a_note_is_set_printed_and_removed(run: Run, call: Call) -> None:
    assert call("note", "one", "größer als sonst")[:2] == (0, "größer als sonst\n")
    assert call("note", "one")[:2] == (0, "größer als sonst\n")
    assert call("note", "one", "")[:2] == (0, "\n")
    assert run.note() == ""


def test_delete_asks_for_the_name_and_keeps_the_run_for_any_other(
    run: Run, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(["yes", "one"])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda prompt: next(answers))
    code, out, _ = call("delete", "one")
    assert code == 1 and "nothing was deleted" in out
    assert run.path.exists()
    assert call("delete", "one")[0] == 0
    assert not run.path.exists()


def test_delete_without_a_terminal_needs_to_be_told_so(run: Run, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    code, _, err = call("delete", "one")
    assert code == 1 and "--yes" in err and run.path.exists()
    code, out, _ = call("delete", "one", "--yes")
    assert code == 0 and "one: deleted" in out
    assert not run.path.exists()


def test_a_run_at_work_is_neither_deleted_nor_renamed(run: Run, call: Call) -> None:
    with run.acquire():
        for arguments in (("delete", "one", "--yes"), ("rename", "one", "two")):
            code, _, err = call(*arguments)
            assert code == 1 and "trained already" in err
    assert run.path.exists()


@pytest.mark.parametrize("action", ["pause", "resume", "go-on", "stop", "start", "fork", "note", "delete"])
def test_an_unknown_run_is_said_with_those_there_are(run: Run, call: Call, action: str) -> None:
    code, _, err = call(action, "nowhere", *(["--yes"] if action == "delete" else []))
    assert code == 1 and "Runs in checkpoints: one" in err


def test_the_former_name_of_resume_still_works_and_is_not_listed(
    run: Run, call: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend_running(run)
    run.request("pause")
    code, out, _ = call("go-on", "one")
    assert code == 0 and not run.requested("pause") and "resumed" in out
    with pytest.raises(SystemExit):
        call("-h")
    assert "go-on" not in capsys.readouterr().out
