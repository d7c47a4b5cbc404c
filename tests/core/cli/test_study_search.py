"""`study new --search ...` and what the other commands say about its trials."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from builders.fake_training import faked
from builders.toy_training import draw_frame, toy_config

from core.cli import main
from core.config import dump_config
from core.data import write_manifest

SEARCH = ("--search", "training.learning_rate=1e-4..1e-1", "--search", "model.dropout=[0.2,0.4]", "--folds", "3")


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with a toy data set and its config.yaml; trainings compute nothing."""
    write_manifest(draw_frame(tmp_path / "images"), tmp_path / "toy.csv")
    config = toy_config(Path("checkpoints"), data__manifest="toy.csv", evaluation__bootstrap_samples=100)
    (tmp_path / "config.yaml").write_text(dump_config(config), encoding="utf-8")
    monkeypatch.setattr("core.training.launchers.run_to_end", faked())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_a_search_goes_from_the_ranges_to_the_comparison_of_the_best_settings(
    lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["study", "new", "best", *SEARCH, "--trials", "3", "--no-pruning", "--sampler", "random"]) == 0
    said = capsys.readouterr().out
    assert "3 trials on the first fold" in said and "training.learning_rate: log:0.0001..0.1" in said
    assert main(["study", "status", "best"]) == 0
    assert "search: 0 of 3 trials" in capsys.readouterr().out
    assert main(["study", "run", "best", "--no-queue"]) == 0
    said = capsys.readouterr()
    assert "trial 1 of 3: dropout 0.2, learning_rate 0.001" in said.err and "run 4 of 4: 02-winner-r1f3" in said.err
    assert "3 of 3 trials: 3 finished" in said.out and "best: trial" in said.out and "winner" in said.out
    assert "the first fold, which is left out here" in said.err
    for command in ("status", "results"):
        assert main(["study", command, "best", "--json"]) == 0
        search = json.loads(capsys.readouterr().out)["search"]
        assert [trial["state"] for trial in search["trials"]] == ["finished"] * 3 and search["metric"] == "auc"
        assert search["trials"][0]["settings"] == {"training.learning_rate": 0.001, "model.dropout": 0.2}
        assert search["best"] in (1, 2, 3)


@pytest.mark.slow_for("arguments0---trials is about a search")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--trials", "5"), "--trials is about a search"),
        (("--no-pruning",), "--no-pruning is about a search"),
        (("--search", "model.dropout=0.1"), "expected SETTING=LOW..HIGH"),
        (("--search", "model.dropout=0..0.3", "--search", "model.dropout=0..0.5"), "named twice"),
        (("--search", "model.dropout=0..0.3", "--compare", "training.epochs=[1,2]"), "Make two studies"),
        (("--search", "model.dropout=0..0.3", "--folds", "2"), "at least 3 folds"),
        (("--search", "model.dropout=0..3"), "model.dropout"),
        (("--search", "model.dropout=0..0.3", "--storage", "postgresql://a:b@c/d"), "without a password"),
    ],
)
def test_a_search_that_cannot_be_made_is_said_with_the_way_out(
    lab: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    assert main(["study", "new", "x", *arguments]) == 1
    assert said in capsys.readouterr().err
    assert not list(lab.glob("checkpoints/*/study.yaml"))
