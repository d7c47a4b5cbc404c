"""`python -m core evaluate RUN --manifest M.csv`: what it prints, what it refuses, and `compare` on the same set."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from builders.external_set import external_rows, write_external
from builders.saved_run import make_saved_run

from core.cli import main


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with a run, and another collection in other/other.csv, one image of which is a training patient's."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    make_saved_run(tmp_path / "checkpoints" / "one")
    rows = external_rows(tmp_path / "other" / "films")
    rows[0]["patient_id"] = "train_0"
    rows[3]["label"] = ""
    write_external(tmp_path / "other", rows)
    return tmp_path


@pytest.mark.slow
def test_the_table_says_what_is_external_and_stands_beside_the_internal_test(lab: Path, capsys) -> None:
    assert main(["evaluate", "one", "--manifest", "other/other.csv"]) == 0
    out, err = capsys.readouterr()
    assert "external test set other (24 images of 13 patients; 1 image of the run's own patients or files left out)" in err
    assert "copies of the run's pictures are looked for when scoring starts, and left out as well" in err
    for words in (
        "one, external-other: 22 images of 12 patients",
        "external: collection inbreast; labels from birads; manifest ",
        "1 image has no label: it is scored, and in no metric",
        "1 benign image was left out: it is of patients or files that the run has itself",
        "scored on this set: once",
        "No other model is on record",
        "beside the internal test set: it has not been evaluated",
    ):
        assert words in out, words
    assert main(["evaluate", "one", "--yes"]) == 0
    capsys.readouterr()
    assert main(["evaluate", "one", "--manifest", "other/other.csv", "--report"]) == 0
    out = capsys.readouterr().out
    assert "image level, the internal test set (50.0% malignant) and this one (50.0% malignant), independent samples" in out
    assert (
        "external less internal" in out
        and "(depends on the share of malignant)" in out
        and "scored on this set: 2 times" in out
    )
    assert "External test" in (lab / "checkpoints/one/report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_json_has_the_set_its_accesses_and_the_comparison(lab: Path, capsys) -> None:
    main(["evaluate", "one", "--yes"])
    capsys.readouterr()
    assert main(["evaluate", "one", "--manifest", "other/other.csv", "--name", "inbreast", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["split"], found["images"], found["external"]["unlabelled"]) == ("external-inbreast", 22, 1)
    assert found["external"]["collections"] == {"inbreast": 22} and found["excluded"][0]["kind"] == "overlap"
    assert found["external_accesses"] == {"scored": 1} and found["external_models"]["before"] == 0
    row = found["internal_and_external"]["image"]["rows"][0]
    assert row["metric"] == "auc" and row["difference"]["low"] <= row["difference"]["value"]
    assert "test_accesses" not in found


@pytest.mark.slow
def test_another_set_of_the_same_name_is_refused_unless_asked(lab: Path, capsys) -> None:
    assert main(["evaluate", "one", "--manifest", "other/other.csv", "--name", "x"]) == 0
    write_external(lab / "third", external_rows(lab / "third" / "films", patients=10, first=900))
    command = ["evaluate", "one", "--manifest", "third/other.csv", "--name", "x"]
    assert main(command) != 0
    assert "--replace" in capsys.readouterr().err
    assert main([*command, "--replace"]) == 0


@pytest.mark.slow
def test_an_external_set_is_never_scored_by_what_the_run_says(lab: Path, capsys) -> None:
    main(["evaluate", "one", "--manifest", "other/other.csv"])
    capsys.readouterr()
    assert main(["evaluate", "one", "--split", "external-other"]) != 0
    assert "--manifest M.csv --name other" in capsys.readouterr().err
    assert main(["evaluate", "one", "--split", "external-other", "--remake", "--set", "evaluation.bootstrap_samples=123"]) == 0
    assert "scored on this set: once" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["evaluate", "one", "--split", "external-../x"])
    assert "external-NAME" in capsys.readouterr().err


@pytest.mark.slow
def test_two_runs_are_compared_on_the_same_external_set(lab: Path, capsys) -> None:
    make_saved_run(lab / "checkpoints" / "two")
    main(["evaluate", "one", "--manifest", "other/other.csv"])
    assert main(["compare", "one", "two", "--split", "external-other"]) != 0
    assert "`python -m core evaluate two --manifest M.csv --name other`" in capsys.readouterr().err
    main(["evaluate", "two", "--manifest", "other/other.csv"])
    assert main(["compare", "one", "two", "--split", "external-other"]) == 0
    assert "two against one, external-other, image level: 22 images in both" in capsys.readouterr().out


@pytest.mark.slow
def test_the_list_of_runs_names_external_tests_and_those_of_an_earlier_model(lab: Path, capsys) -> None:
    main(["evaluate", "one", "--manifest", "other/other.csv"])
    capsys.readouterr()
    assert main(["runs", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    found = row["external_tests"]["other"]
    assert row["evaluated"] == ["external-other"] and row["test_auc"] is None
    assert (found["images"], found["of_this_model"], found["auc_confidence"]) == (22, True, 0.95)
    assert found["auc_interval"][0] <= found["auc"] <= found["auc_interval"][1]
    assert Path(found["manifest"]).name == "other.csv"
    entries = lab / "checkpoints/one/evaluation.json"
    entry = json.loads(entries.read_text(encoding="utf-8"))
    entry["external-other"]["weights_sha256"] = "f" * 64
    entries.write_text(json.dumps(entry | {"external-b": {"opened": 1}}), encoding="utf-8")
    main(["runs"])
    table = capsys.readouterr().out
    assert f"other {found['auc']:.3f} [" in table and "(of an earlier model)" in table
    assert "the entry of external-b is damaged" in table
