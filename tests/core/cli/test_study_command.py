"""`study ...` as scripts use it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from builders.toy_training import draw_frame, toy_config

from core.cli import main
from core.config import dump_config
from core.data import write_manifest
from core.studies import Study
from core.training.model_costs import ModelCosts


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with a toy data set and its config.yaml."""
    write_manifest(draw_frame(tmp_path / "images"), tmp_path / "toy.csv")
    config = toy_config(Path("checkpoints"), training__epochs=1, data__manifest="toy.csv", evaluation__bootstrap_samples=100)
    (tmp_path / "config.yaml").write_text(dump_config(config), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_study_goes_from_the_question_to_the_answer(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compare = ["--compare", "preprocessing.clahe=[false,true]", "--folds", "2", "--question", "Does CLAHE help?"]
    assert main(["study", "new", "clahe", *compare]) == 0
    said = capsys.readouterr()
    assert "4 runs to train, 2 folds, 1 repeat" in said.out and "reference: clahe false" in said.out
    assert main(["study", "status", "clahe", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["done"] == 0
    assert main(["study", "run", "clahe", "--no-queue"]) == 0
    said = capsys.readouterr()
    assert "Does CLAHE help?" in said.out and "clahe true" in said.out and "run 4 of 4" in said.err
    assert "optimistic" in said.err and "AUC within folds" in said.err
    assert main(["study", "results", "clahe", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["trained"] == 4 and len(found["cells"]) == 2 and found["cells"][1]["difference"]["low"] <= 0
    assert main(["study", "status"]) == 0
    assert "Does CLAHE help?" in capsys.readouterr().out
    assert not list(lab.glob("checkpoints/clahe/*/predictions/test.csv"))
    assert main(["study", "ensemble", "clahe", "--setting", "clahe true", "--name", "mean"]) == 0
    said = capsys.readouterr()
    assert "the mean of 2 runs" in said.out and "clahe/02-clahe-true-r1f1 (small_cnn, epoch 1)" in said.out
    assert "2 networks" in said.out and "ms on this processor" in said.out and "evaluate mean --split val" in said.err
    chosen = [path.as_posix() for path in sorted(lab.glob("checkpoints/clahe/01-*"))]
    assert main(["ensemble", *chosen, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["run"] == "ensemble" and [each["study"] for each in found["members"]] == ["clahe", "clahe"]
    assert found["cost"]["bytes"] > 0 and 0 < found["threshold"] < 1
    assert main(["study", "ensemble", "clahe", "--setting", "3"]) == 1
    assert "Its settings: 1: clahe false; 2: clahe true" in capsys.readouterr().err
    assert main(["evaluate", "mean", "--split", "val"]) == 0
    assert "out-of-fold: each image is scored by those of the 2 models that held it out" in capsys.readouterr().out
    assert main(["runs"]) == 0
    assert "Mean of 2 models" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("new", "x", "--compare", "preprocessing.clahe"), "expected SETTING=[V1,V2]"),
        (("new", "x", "--compare", "preprocessing.clahe=true"), "expected SETTING=[V1,V2]"),
        (("new", "x", "--compare", "training.epochs=[1,2]", "--compare", "training.epochs=[3,4]"), "named twice"),
        (("new", "x", "--compare", "data.manifest=[a,b]"), "cannot be compared"),
        (("new", "x", "--folds", "30"), "folds need as many patients"),
        (("new", ".."), "expected letters or digits"),
        (("run", "nothing"), "no such study"),
        (("results", ""), "expected the name of a study"),
    ],
)
def test_what_cannot_be_done_is_said_with_the_way_out(
    lab: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    assert main(["study", *arguments]) == 1
    assert said in capsys.readouterr().err
    assert not list(lab.glob("checkpoints/*/study.yaml"))


@pytest.mark.slow
def test_a_plan_says_why_and_makes_a_study_unless_it_is_a_dry_run(
    lab: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.studies.plan.costs_of", lambda config: ModelCosts(0.1, 4, 10**6, "cpu", "fp32", "2026-01-01"))
    assert main(["study", "plan", "first", "--minutes", "60", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "preprocessing.size" in said and "by estimate, of 60 minutes" in said and not list(lab.glob("checkpoints/*"))
    assert main(["study", "plan", "first", "--minutes", "60", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["study"] == "first" and all(each["why"] for each in found["choices"])
    assert found["runs"] == len(Study.open(lab / "checkpoints" / "first").runs)
    assert main(["study", "plan", "second", "--minutes", "0"]) == 1
    assert "a positive number" in capsys.readouterr().err
