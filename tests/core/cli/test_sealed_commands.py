"""Commands on files of a test set that was not opened: refused, or recorded; and what evaluate and runs say of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from core.cli import main
from core.data.demo import make_demo
from core.training import Run
from core.training.accesses import FILE, accesses

ROOT = Path(__file__).parents[3]
Call = Callable[..., tuple[int, str, str]]
SMALL = (
    "--set",
    "preprocessing.size=32",
    "--set",
    "preprocessing.clahe=false",
    "--set",
    "model.options={width: 8}",
    "--set",
    "training.epochs=1",
    "--set",
    "training.device=cpu",
    "--set",
    "evaluation.bootstrap_samples=100",
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A workspace with a tiny demo set and one trained run named `first`, its test set unopened."""
    folder = tmp_path_factory.mktemp("sealed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAMMOLAB_CACHE", str(folder / "cache"))
        patch.setenv("MAMMOLAB_HOME", str(folder / "home"))
        patch.chdir(folder)
        make_demo(folder / "data" / "demo", patients=24, _rows=160)
        (folder / "config.yaml").write_bytes((ROOT / "config.yaml").read_bytes())
        assert main(["train", "--run", "first", *SMALL]) == 0
    yield folder


@pytest.fixture
def lab(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(trained)
    monkeypatch.setenv("MAMMOLAB_CACHE", str(trained / "cache"))
    yield trained
    for path in trained.rglob(FILE):
        path.unlink()


@pytest.fixture
def call(lab: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    def run(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def of_split(lab: Path, split: str) -> list[str]:
    rows = Run(lab / "checkpoints" / "first").manifest()
    return rows.loc[rows["split"] == split, "path"].tolist()


def found(lab: Path) -> list[tuple[str, str, int]]:
    return [(each.kind, each.where, each.images) for each in accesses(lab / "checkpoints" / "first")]


def test_predict_refuses_test_files_and_scores_the_others(call: Call, lab: Path) -> None:
    val, test = of_split(lab, "val")[0], of_split(lab, "test")[0]
    code, out, _ = call("predict", "first", test, val, "--json")
    rows = json.loads(out)["predictions"]
    assert code == 1
    assert rows[0]["score"] is None and "test image of the run first" in rows[0]["note"] and "--test-images" in rows[0]["note"]
    assert rows[1]["score"] is not None
    assert found(lab) == []


def test_predict_with_the_switch_is_one_recorded_access(call: Call, lab: Path) -> None:
    files = of_split(lab, "test")[:3]
    code, out, err = call("predict", "first", *files, of_split(lab, "val")[0], "--json", "--test-images")
    assert code == 0 and all(row["score"] is not None for row in json.loads(out)["predictions"])
    assert "3 test images" in err
    assert found(lab) == [("prediction", "predict", 3)]


def test_a_copy_under_another_name_is_refused_too(call: Call, lab: Path, tmp_path: Path) -> None:
    copy = tmp_path / "a.dcm"
    copy.write_bytes(Path(of_split(lab, "test")[0]).read_bytes())
    assert json.loads(call("predict", "first", copy, "--json")[1])["predictions"][0]["score"] is None


def test_explain_refuses_a_test_file_and_writes_nothing(call: Call, lab: Path, tmp_path: Path) -> None:
    target = tmp_path / "heat.png"
    code, _, err = call("explain", "first", of_split(lab, "test")[0], "--out", target)
    assert code != 0 and "test image of the run first" in err and not target.exists() and found(lab) == []
    assert call("explain", "first", of_split(lab, "test")[0], "--out", target, "--test-images")[0] == 0
    assert target.exists() and found(lab) == [("prediction", "explain", 1)]


def test_inspect_refuses_a_file_of_any_unopened_test_set(call: Call, lab: Path, tmp_path: Path) -> None:
    code, out, err = call("inspect", of_split(lab, "test")[0], "--out", tmp_path / "steps")
    assert code != 0 and out == "" and "test image of the run first" in err and not (tmp_path / "steps").exists()
    assert call("inspect", of_split(lab, "val")[0])[0] == 0
    assert found(lab) == []
    assert call("inspect", of_split(lab, "test")[0], "--test-images")[0] == 0
    assert found(lab) == [("images", "inspect", 1)]


def test_runs_and_evaluate_count_the_accesses_and_evaluate_says_what_it_means(call: Call, lab: Path) -> None:
    call("inspect", of_split(lab, "test")[0], "--test-images")
    assert json.loads(call("runs", "--json")[1])[0]["test_accesses"] == {"images": 1}
    code, out, err = call("evaluate", "first", "--split", "val", "--json")
    assert code == 0 and "test_accesses" not in json.loads(out) and "opens the test set" not in err
    code, out, err = call("evaluate", "first", "--split", "test", "--json")
    assert code == 0 and "opens the test set of first for the first time" in err
    assert json.loads(out)["test_accesses"] == {"images": 1, "scored": 1}
    code, out, err = call("evaluate", "first", "--split", "test")
    assert "after 1 opening" in err and "scored 2 times" in out
    assert found(lab)[-1] == ("scored", "evaluate", len(of_split(lab, "test")))
    # opened: its files are scored without a switch, and recorded all the same
    assert call("predict", "first", of_split(lab, "test")[0])[0] == 0
    assert found(lab)[-1] == ("prediction", "predict", 1)
    (lab / "checkpoints" / "first" / "evaluation.json").unlink()


def test_a_damaged_record_is_named_and_is_not_no_access(call: Call, lab: Path) -> None:
    (lab / "checkpoints" / "first" / FILE).write_text("{", encoding="utf-8")
    row = json.loads(call("runs", "--json")[1])[0]
    assert row["test_accesses"] is None and "test_accesses.jsonl: damaged" in row["reason"]


def test_a_file_of_the_manifest_s_own_test_split_is_sealed_before_there_is_a_run(call: Call, lab: Path) -> None:
    (lab / "checkpoints").rename(lab / "away")
    try:
        rows = pd.read_csv(lab / "data" / "demo" / "manifest.csv")
        test = lab / "data" / "demo" / rows.loc[rows["split"] == "test", "path"].iloc[0]
        code, _, err = call("inspect", test)
        assert code != 0 and "test image of the data set manifest.csv" in err
    finally:
        (lab / "away").rename(lab / "checkpoints")
