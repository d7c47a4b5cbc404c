"""Commands on files of a test set that was not opened: recorded, then as ever; and what evaluate and runs say of it."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from builders.copied import copied

from core.cli import main
from core.cli.evaluation import confirmed
from core.errors import NotRecorded
from core.runs import Run
from core.runs.test_set import access_log
from core.runs.test_set.accesses import FILE, accesses, read_record

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, trained_demo: Path) -> Path:
    """A workspace with a tiny demo set and one trained run named `first`, its test set unopened."""
    return copied(trained_demo, tmp_path_factory.mktemp("sealed"))


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


@pytest.mark.slow
def test_predict_scores_test_files_as_ever_and_records_them_once(call: Call, lab: Path) -> None:
    files = of_split(lab, "test")[:3]
    code, out, err = call("predict", "first", *files, of_split(lab, "val")[0], "--json")
    assert code == 0 and all(row["score"] is not None for row in json.loads(out)["predictions"])
    assert err.count("note: ") == 1
    assert "of 4 files, 3 in the test set of the run first, not evaluated yet: recorded" in err
    assert found(lab) == [("prediction", "predict", 3)]


def test_predict_says_nothing_of_files_of_validation(call: Call, lab: Path) -> None:
    code, _, err = call("predict", "first", *of_split(lab, "val")[:2], "--json")
    assert code == 0 and "test set" not in err and found(lab) == []
    assert not (lab / "checkpoints" / FILE).exists()


def test_a_copy_under_another_name_is_recorded_too(call: Call, lab: Path, tmp_path: Path) -> None:
    copy = tmp_path / "a.dcm"
    copy.write_bytes(Path(of_split(lab, "test")[0]).read_bytes())
    assert json.loads(call("predict", "first", copy, "--json")[1])["predictions"][0]["score"] is not None
    assert found(lab) == [("prediction", "predict", 1)]


def test_explain_records_a_heatmap(call: Call, lab: Path, tmp_path: Path) -> None:
    target = tmp_path / "heat.png"
    code, _, err = call("explain", "first", of_split(lab, "test")[0], "--out", target)
    assert code == 0 and target.exists() and "test set of the run first, not evaluated yet" in err
    assert found(lab) == [("heatmaps", "explain", 1)]


def test_inspect_records_a_file_of_any_unopened_test_set(call: Call, lab: Path) -> None:
    assert call("inspect", of_split(lab, "val")[0])[0] == 0
    assert found(lab) == []
    code, out, err = call("inspect", of_split(lab, "test")[0])
    assert code == 0 and "model input" in out and "of 1 file, 1 in the test set of the run first, not evaluated yet" in err
    assert found(lab) == [("images", "inspect", 1)]


@pytest.mark.parametrize("command", ["predict", "explain", "inspect"])
def test_where_it_cannot_be_recorded_no_result_is_given(
    call: Call, lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise NotRecorded("test_accesses.jsonl: read-only; so it is not given.")

    monkeypatch.setattr(access_log, "_append", refuse)
    table, picture, steps = tmp_path / "out.csv", tmp_path / "heat.png", tmp_path / "steps"
    file = of_split(lab, "test")[0]
    code, out, err = {
        "predict": lambda: call("predict", "first", file, "--csv", table),
        "explain": lambda: call("explain", "first", file, "--out", picture),
        "inspect": lambda: call("inspect", file, "--out", steps),
    }[command]()
    assert code != 0 and out == "" and "read-only" in err
    assert not (table.exists() or picture.exists() or steps.exists())


class Terminal(io.StringIO):
    """Standard input of somebody who can be asked."""

    def isatty(self) -> bool:
        return True


@pytest.mark.slow
def test_runs_and_evaluate_count_the_accesses_and_evaluate_says_what_it_means(call: Call, lab: Path) -> None:
    call("inspect", of_split(lab, "test")[0])
    assert json.loads(call("runs", "--json")[1])[0]["test_accesses"] == {"images": 1}
    code, out, err = call("evaluate", "first", "--split", "val", "--json")
    assert code == 0 and "test_accesses" not in json.loads(out) and "opens the test set" not in err
    code, out, err = call("evaluate", "first", "--split", "test", "--json")
    assert code == 0 and "accesses the test set of first for the first time" in err
    assert json.loads(out)["test_accesses"] == {"images": 1, "scored": 1}
    code, out, err = call("evaluate", "first", "--split", "test")
    assert "after 1 evaluation on it" in err and "scored 2 times" in out
    assert found(lab)[-1] == ("scored", "evaluate", len(of_split(lab, "test")))
    # opened: its files are recorded all the same
    code, _, err = call("predict", "first", of_split(lab, "test")[0])
    assert code == 0 and "1 in the test set of the run first" in err and "not evaluated" not in err
    assert found(lab)[-1] == ("prediction", "predict", 1)
    (lab / "checkpoints" / "first" / "evaluation.json").unlink()


def test_a_damaged_record_is_named_and_is_not_no_access(call: Call, lab: Path) -> None:
    (lab / "checkpoints" / "first" / FILE).write_text("{", encoding="utf-8")
    row = json.loads(call("runs", "--json")[1])[0]
    assert row["test_accesses"] is None and "test_accesses.jsonl: damaged" in row["reason"]


def test_a_file_of_the_manifest_s_own_test_split_is_recorded_before_there_is_a_run(call: Call, lab: Path) -> None:
    (lab / "checkpoints").rename(lab / "away")
    try:
        rows = pd.read_csv(lab / "data" / "demo" / "manifest.csv")
        test = lab / "data" / "demo" / rows.loc[rows["split"] == "test", "path"].iloc[0]
        code, _, err = call("inspect", test)
        assert code == 0 and "test set of the data set manifest.csv, not evaluated yet" in err
        assert [each.kind for each in read_record(lab / "checkpoints")] == ["images"]
    finally:
        shutil.rmtree(lab / "checkpoints", ignore_errors=True)
        (lab / "away").rename(lab / "checkpoints")


def test_at_a_terminal_the_first_opening_of_the_test_set_is_asked_for(
    call: Call, lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import core.runs.test_set.provenance

    run, before = Run(lab / "checkpoints" / "first"), found(lab)
    monkeypatch.setattr(core.runs.test_set.provenance, "evaluation_count", lambda path: 0)
    monkeypatch.setattr("sys.stdin", Terminal("\nn\ny\n"))
    code, out, err = call("evaluate", "first", "--split", "test")
    assert (code, out) == (1, "") and "[y/N]" in err and "was not accessed" in err and found(lab) == before
    assert not confirmed(run) and confirmed(run)
    monkeypatch.setattr(core.runs.test_set.provenance, "evaluation_count", lambda path: 1)
    monkeypatch.setattr("sys.stdin", Terminal(""))
    assert confirmed(run), "one that has been opened is not asked for again"
