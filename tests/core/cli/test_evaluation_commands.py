"""`python -m core evaluate | compare | threshold`: what they print, what they refuse, and what they leave behind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders.saved_run import make_saved_run

from core.cli import main
from core.config import load_config
from core.data import read_manifest, write_manifest


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with one run that has a model and validation predictions."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    make_saved_run(tmp_path / "checkpoints" / "one")
    return tmp_path


@pytest.mark.slow
def test_evaluation_says_every_level_and_how_often_the_set_was_opened(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "one"]) == 0
    out = capsys.readouterr().out
    for words in ("ROC AUC", "breast level", "patient level", "calibration: as scored", "shortcut audit", "subgroups:"):
        assert words in out
    assert "baselines: none is comparable" in out and "evaluated once" in out
    main(["evaluate", "one", "--full"])
    out = capsys.readouterr().out
    assert "evaluated 2 times" in out and "minus others" in out and "label predicted from" in out
    assert "AUC by patient under other rules" in out and "all groups of a feature at once" in out
    for level in ("image", "breast", "patient"):
        assert f"net benefit per {level}, " in out and f"calibration by {level}, predicting the prevalence: Brier" in out


@pytest.mark.slow
def test_aucs_by_breast_and_patient_stand_with_their_rule_and_the_balanced_one(
    lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = lab / "checkpoints" / "one" / "manifest.csv"
    rows = read_manifest(manifest)
    # Malignant patients come with one image, benign ones with one of each side: the count tells the label.
    rows = rows[(rows["label"] == "benign") | (rows["view"] == "CC")].reset_index(drop=True)
    rows.loc[(rows["label"] == "benign") & (rows["view"] == "MLO"), "laterality"] = "R"
    write_manifest(rows, manifest)
    assert main(["evaluate", "one", "--split", "test", "--yes"]) == 0
    text = capsys.readouterr().out
    assert "score of a patient: mean of image scores over 1 to 2 images a patient" in text
    assert "score of a breast: mean of image scores over 1 image a breast" in text
    assert "warning: malignant patients have fewer images and sides" in text and "the AUC is " in text
    assert main(["evaluate", "one", "--split", "test", "--remake", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["headline_auc"]
    assert found["patient"]["balanced_rule"].startswith("two breasts of everybody") and "balanced" not in found["breast"]
    assert 0 <= found["patient"]["balanced"]["low"] <= found["patient"]["balanced"]["value"]


@pytest.mark.slow
def test_resamples_are_set_and_what_is_frozen_is_not(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "one", "--split", "val", "--set", "evaluation.bootstrap_samples=123", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["levels"]["image"]["samples"] == 123
    for frozen in ("evaluation.threshold_rule=youden", "evaluation.target_sensitivity=0.5", "training.epochs=1", "nonsense"):
        assert main(["evaluate", "one", "--set", frozen]) != 0
        assert "frozen with the model" in capsys.readouterr().err
    assert "test" not in json.loads((lab / "checkpoints/one/evaluation.json").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_a_threshold_is_chosen_until_the_test_set_is_opened(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["threshold", "one", "--rule", "youden", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["thresholds"]
    assert [row["level"] for row in rows] == ["image", "breast", "patient"]
    assert rows[0]["sensitivity"] + rows[0]["specificity"] > 1
    main(["evaluate", "one"])
    capsys.readouterr()
    assert main(["threshold", "one", "--rule", "sensitivity", "--target", "0.8"]) != 0
    assert "--reopen" in capsys.readouterr().err
    assert main(["threshold", "one", "--rule", "sensitivity", "--target", "0.8", "--reopen"]) == 0
    assert "validation set" in capsys.readouterr().err
    main(["evaluate", "one"])
    assert "warning: the threshold was chosen again" in capsys.readouterr().out


@pytest.mark.parametrize(
    "options", [["--target", "0"], ["--target", "1.5"], ["--cost-ratio", "-1"], ["--prevalence", "1"], ["--prevalence", "nan"]]
)
def test_impossible_rules_are_refused(lab: Path, capsys: pytest.CaptureFixture[str], options: list[str]) -> None:
    assert main(["threshold", "one", *options]) != 0
    assert "expected a number above 0" in capsys.readouterr().err


def frozen(lab: Path) -> dict[str, object]:
    return json.loads((lab / "checkpoints/one/model.json").read_text(encoding="utf-8"))


def test_without_a_rule_the_frozen_one_stays(lab: Path) -> None:
    assert main(["threshold", "one", "--rule", "youden"]) == 0
    before = frozen(lab)
    assert before["threshold_rule"]["kind"] == "youden"
    assert main(["threshold", "one", "--calibration", "isotonic"]) == 0
    changed = {name for name, value in frozen(lab).items() if before[name] != value}
    assert changed == {"calibration", "calibrations"} and frozen(lab)["calibration"]["method"] == "isotonic"


def test_only_the_options_asked_for_change(lab: Path) -> None:
    assert main(["threshold", "one", "--rule", "cost", "--cost-ratio", "20"]) == 0
    assert main(["threshold", "one", "--prevalence", "0.01"]) == 0
    rule = frozen(lab)["threshold_rule"]
    assert (rule["kind"], rule["cost_ratio"], rule["prevalence"]) == ("cost", 20, 0.01)
    assert main(["threshold", "one", "--rule", "cost", "--cost-ratio", "5"]) == 0
    assert frozen(lab)["threshold_rule"]["prevalence"] == 0.01
    assert main(["threshold", "one", "--rule", "sensitivity"]) == 0  # another rule: as the run is configured
    assert frozen(lab)["threshold_rule"]["target"] == 0.9


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--rule", "youden", "--target", "0.8"], "--target 0.8: expected with the rule sensitivity only, got the rule youden"),
        (["--rule", "youden", "--cost-ratio", "5"], "--cost-ratio 5: expected with the rule cost only, got the rule youden"),
        (["--rule", "sensitivity", "--prevalence", "0.1"], "--prevalence 0.1: expected with the rule cost only"),
        (["--rule", "cost", "--target", "0.8"], "or give --rule sensitivity"),
        (["--cost-ratio", "5"], "got the rule sensitivity (frozen now). Leave --cost-ratio out, or give --rule cost"),
    ],
)
def test_an_option_of_another_rule_is_refused(
    lab: Path, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    before = frozen(lab)
    assert main(["threshold", "one", *options]) != 0
    assert words in capsys.readouterr().err and frozen(lab) == before


@pytest.mark.slow
def test_a_run_is_not_compared_with_itself(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["evaluate", "one"])
    capsys.readouterr()
    assert main(["compare", "one", "one"]) != 0
    printed = capsys.readouterr()
    assert "got one twice" in printed.err and printed.out == ""


@pytest.mark.slow
def test_two_runs_are_compared_in_pairs(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(lab / "checkpoints/one", lab / "checkpoints/two")
    manifest = lab / "checkpoints/two/manifest.csv"
    images = (lab / "checkpoints/one/images").as_posix()
    manifest.write_text(manifest.read_text(encoding="utf-8").replace("images/", f"{images}/"), encoding="utf-8")
    assert main(["compare", "one", "two"]) != 0
    assert "evaluate one --split test" in capsys.readouterr().err
    for run in ("one", "two"):
        main(["evaluate", run])
    capsys.readouterr()
    assert main(["compare", "one", "two", "--level", "breast"]) == 0
    out = capsys.readouterr().out
    assert "28 images in both" in out and "14 breasts of 14 patients" in out and "paired test of the AUCs" in out
    assert main(["compare", "one", "two", "--margin", "0.05"]) == 0
    assert "the runs are equivalent: the whole 95% interval lies within ±0.05" in capsys.readouterr().out
    assert main(["compare", "one", "two", "--margin", "0"]) != 0
    assert "--margin 0: expected a number above 0" in capsys.readouterr().err
    assert main(["compare", "one", "two", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["figures"]["auc"]["difference"]["value"] == 0.0


@pytest.mark.slow
def test_figures_are_made_again_from_predictions_without_an_access(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "one", "--remake"]) != 0
    assert "not evaluated yet" in capsys.readouterr().err
    main(["evaluate", "one"])
    first = capsys.readouterr().out
    accesses = (lab / "checkpoints/one/test_accesses.jsonl").read_text(encoding="utf-8")
    assert main(["evaluate", "one", "--remake"]) == 0
    printed = capsys.readouterr()
    assert printed.out == first and "accesses the test set" not in printed.err
    assert (lab / "checkpoints/one/test_accesses.jsonl").read_text(encoding="utf-8") == accesses


def test_thresholds_by_view_are_shown_and_not_frozen(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = frozen(lab)
    assert main(["threshold", "one", "--by", "view"]) == 0
    printed = capsys.readouterr()
    assert "metrics of the validation images" in printed.out and "nothing was frozen" in printed.err
    assert "CC" in printed.out and "largest difference of specificity, each its own" in printed.out
    assert frozen(lab) == before
    assert main(["threshold", "one", "--by", "scanner"]) != 0
    assert "expected this column in the validation predictions" in capsys.readouterr().err


def test_sites_are_held_out_with_a_manifest_and_a_command_each(
    lab: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.data.leave_one_out._FEWEST", 2)
    path = lab / "checkpoints/one/manifest.csv"
    frame = read_manifest(path)
    frame["site"] = np.where((frame["split"] == "train") | frame["patient_id"].isin(["val-0", "val-1", "val-2"]), "a", "b")
    write_manifest(frame, path)
    assert main(["leave-one-out", "one", "--by", "site", "--out", "sites"]) == 0
    out = capsys.readouterr().out
    assert "the other values cannot be trained on" in out and "at least three sites, got 0" in out
    (written,) = (lab / "sites").glob("one-without-site-b-*.csv")
    assert f"python -m core train --config sites/{written.stem}.yaml --run {written.stem}" in out
    held = read_manifest(written)
    assert set(held.loc[held["split"] == "test", "site"]) == {"b"}
    config = load_config(written.with_suffix(".yaml"))
    assert config.data.manifest == written and config.preprocessing.size == 32


@pytest.mark.slow
def test_without_patients_no_table_is_of_breasts_or_patients(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = lab / "checkpoints" / "one"
    for path in (folder / "manifest.csv", folder / "predictions" / "val.csv"):
        rows = pd.read_csv(path, dtype=str, keep_default_na=False)
        rows.assign(patient_id=[Path(image).stem for image in rows["path"]]).to_csv(path, index=False)
    assert main(["evaluate", "one", "--split", "val", "--full", "--set", "evaluation.bootstrap_samples=100"]) == 0
    out = capsys.readouterr().out
    assert "calibration by image" in out and "net benefit per image" in out and "score interval" in out
    for words in ("by breast", "by patient", "per breast", "per patient", "breast level", "patient level", "(patients)"):
        assert words not in out
