"""Runs of version 0.1 open, predict, evaluate and resume as they did; their settings and records have former names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from builders.lab_of_0_1 import copy_lab
from safetensors.torch import load_file

from core.cli import main
from core.evaluate import evaluate, read_evaluation, read_predictions
from core.predict import Predictor
from core.report import report
from core.runs import Run, list_runs
from core.training.launchers import run_to_end


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = copy_lab(tmp_path / "lab")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def finished(lab: Path) -> Run:
    return Run.open(lab / "checkpoints" / "finished")


def test_they_are_listed_with_state_settings_and_history(lab: Path) -> None:
    runs = {run.name: run for run in list_runs(lab / "checkpoints")}
    assert {name: run.status().state for name, run in runs.items()} == {"finished": "done", "stopped": "stopped"}
    assert all(run.config().training.advanced.ema_decay == 0.9 and not run.problem for run in runs.values())
    assert [event["epoch"] for event in runs["finished"].events() if event["type"] == "epoch"] == [1, 2, 3, 4]
    assert main(["runs"]) == 0


@pytest.mark.slow_for("val")
@pytest.mark.parametrize("split", ["val", "test"])
def test_what_was_evaluated_is_read_and_evaluated_again_it_is_the_same(finished: Run, split: str) -> None:
    stored = json.loads((finished.path / "evaluation.json").read_text(encoding="utf-8"))[split]
    before, scores = read_evaluation(finished, split), read_predictions(finished, split)["score"]
    again = evaluate(finished, split)
    assert again.predictions["score"].tolist() == pytest.approx(scores.tolist(), abs=1e-6)
    for found in (before, again):
        assert found.images == stored["images"] == 24 and found.threshold == stored["threshold"]
        for level in ("image", "breast", "patient"):
            expected = {name: metric["value"] for name, metric in stored["levels"][level]["metrics"].items()}
            values = {name: metric.value for name, metric in found.levels[level].items()}
            assert values == pytest.approx(expected, abs=1e-6) and None not in expected.values()


def test_an_image_gets_the_score_that_it_got(finished: Run) -> None:
    table = read_predictions(finished, "test")
    predictor = Predictor.from_run(finished.path)
    scores = [predictor.predict(Path(path)).score for path in table["path"]]
    assert scores == pytest.approx(table["score"].tolist(), abs=1e-6)


def test_a_stopped_training_is_resumed_and_ends_as_one_that_was_never_stopped(lab: Path, finished: Run) -> None:
    run = Run.open(lab / "checkpoints" / "stopped")
    run_to_end(run, resume=True)
    assert run.status().state == "done" and run.status().epoch == 4
    ours, theirs = (load_file(each.path / "model.safetensors") for each in (run, finished))
    assert ours.keys() == theirs.keys()
    for name, weight in ours.items():
        assert weight.flatten().tolist() == pytest.approx(theirs[name].flatten().tolist(), abs=1e-5), name


@pytest.mark.slow
def test_a_report_can_be_written(finished: Run) -> None:
    assert "Performance with 95% intervals" in report(finished).read_text(encoding="utf-8")
