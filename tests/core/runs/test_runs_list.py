"""`python -m core runs`: every run is listed, whatever is wrong with one of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from builders.saved_run import make_saved_run

from core.cli import main
from core.metrics.chance import warning_of
from core.runs import Run, Status
from core.runs.status import write_status

Listed = Callable[[], dict[str, dict]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with the runs `good` and `bad`: both have a model, and its AUC on validation and test."""
    for name in ("good", "bad"):
        run = make_saved_run(tmp_path / name, validation={"auc": 0.75})
        write_status(run.path / "status.json", Status(state="done", epoch=2, epochs=2))
        test = {"weights_sha256": run.model_card().weights_sha256, "metrics": {"auc": {"value": 0.5}}}
        (run.path / "evaluation.json").write_text(json.dumps({"test": test}), encoding="utf-8")
    return tmp_path


@pytest.fixture
def listed(root: Path, capsys: pytest.CaptureFixture[str]) -> Listed:
    """The list as JSON, by name; the table must come too."""

    def call() -> dict[str, dict]:
        assert main(["runs", "--checkpoints", str(root)]) == 0
        table = capsys.readouterr().out
        assert main(["runs", "--checkpoints", str(root), "--json"]) == 0
        rows = {row["run"]: row for row in json.loads(capsys.readouterr().out)}
        assert len(table.splitlines()) == 1 + len(rows), "a line each"
        for row in rows.values():
            assert row["reason"] in table
        return rows

    return call


def test_figures_of_the_list_have_intervals_and_those_of_validation_are_called_optimistic(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text("checkpoints: runs\n", encoding="utf-8")
    run = make_saved_run(tmp_path / "runs" / "one", validation={"auc": 0.765})
    entry = {"weights_sha256": run.model_card().weights_sha256, "metrics": {"auc": {"value": 0.7, "low": 0.6, "high": 0.8}}}
    (run.path / "evaluation.json").write_text(json.dumps({"test": entry}), encoding="utf-8")
    assert main(["runs"]) == 0
    said = capsys.readouterr()
    assert "val AUC, images (optimistic)" in said.out and "test AUC, images" in said.out and "0.700 [0.600, 0.800]" in said.out
    assert re.search(r"0\.765 \[0\.\d{3}, \d\.\d{3}\]", said.out)
    assert "optimistic: it chose the epoch and the threshold" in said.err


def test_a_sound_run_has_its_figures_and_no_reason(listed: Listed) -> None:
    for row in listed().values():
        assert (row["state"], row["val_auc"], row["test_auc"]) == ("done", 0.75, 0.5)
        assert row["reason"] == warning_of(row["chance"])
        assert 0 < row["threshold"] < 1


def drop(path: Path, field: str) -> None:
    card = json.loads(path.read_text(encoding="utf-8"))
    del card[field]
    path.write_text(json.dumps(card), encoding="utf-8")


def put(name: str, content: str | bytes) -> Callable[[Path], object]:
    data = content.encode("utf-8") if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(data)


def replaced(old: str, new: str) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        path = folder / "evaluation.json"
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    return change


@pytest.mark.slow_but("<lambda>-evaluation.json-0.75-None1", "<lambda>-model.json-None-None0", "<lambda>-model.json-None-None2")
@pytest.mark.parametrize(
    ("damage", "file", "val_auc", "test_auc"),
    [
        (put("model.json", '{"format": 1'), "model.json", None, None),
        (put("model.json", b"\xff\xfe"), "model.json", None, None),
        (put("model.json", '{"format": 9}'), "model.json", None, None),
        (lambda folder: drop(folder / "model.json", "validation"), "model.json", None, 0.5),
        (lambda folder: drop(folder / "model.json", "threshold"), "model.json", 0.75, 0.5),
        (put("evaluation.json", '{"test": {'), "evaluation.json", 0.75, None),
        (put("evaluation.json", "[]"), "evaluation.json", 0.75, None),
        (put("evaluation.json", '{"test": 3}'), "evaluation.json", 0.75, None),
        (replaced('{"value": 0.5}', "{}"), "evaluation.json", 0.75, None),
        (replaced("0.5", '"high"'), "evaluation.json", 0.75, None),
        (replaced("0.5", "NaN"), "evaluation.json", 0.75, None),
        (put("config.yaml", "training: ["), "config.yaml", 0.75, 0.5),
        (put("config.yaml", "training: {epochs: many, batch_size: few}"), "config.yaml", 0.75, 0.5),
        (lambda folder: (folder / "config.yaml").unlink(), "config.yaml", 0.75, 0.5),
        (lambda folder: (folder / "status.json").unlink(), "status.json", 0.75, 0.5),
        (put("status.json", '{"state": "run'), "status.json", 0.75, 0.5),
    ],
)
def test_one_damaged_run_is_listed_with_the_reason_and_the_others_as_ever(
    damage: Callable[[Path], object], file: str, val_auc: float | None, test_auc: float | None, listed: Listed, root: Path
) -> None:
    before = listed()
    damage(root / "bad")
    rows = listed()
    assert rows["good"] == before["good"]
    assert file in rows["bad"]["reason"]
    assert (rows["bad"]["val_auc"], rows["bad"]["test_auc"]) == (val_auc, test_auc)


@pytest.mark.slow
def test_a_first_save_cut_between_its_renames_is_a_sound_model(listed: Listed, root: Path) -> None:
    before = listed()
    (root / "bad" / "model.json").rename(root / "bad" / "model.json.new")
    assert listed() == before


def test_a_run_says_everything_that_is_wrong_with_it(listed: Listed, root: Path) -> None:
    Run(root / "bad").set_status(state="stopped", reason="You stopped it.")
    for name in ("model.json", "evaluation.json", "config.yaml"):
        (root / "bad" / name).write_text("{", encoding="utf-8")
    reason = listed()["bad"]["reason"]
    assert reason.startswith("You stopped it.")
    for name in ("model.json", "evaluation.json", "config.yaml"):
        assert name in reason
