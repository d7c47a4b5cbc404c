"""Evaluations of models that judge breasts: rows, levels, thresholds, what is left out, and comparisons with single images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders.toy_breasts import draw_breasts
from builders.toy_training import toy_config

from core.cli import main
from core.data import write_manifest
from core.data.breasts import paths_of
from core.errors import BadRun, NotEnoughData
from core.evaluate import compare, evaluate, read_evaluation, refreeze
from core.evaluate.evaluation import remake
from core.evaluate.external import evaluate_external
from core.metrics import Interval, ThresholdRule, at_level, auc
from core.metrics.levels import NO_IMAGES
from core.runs import Run
from core.training.loop import train


@dataclass
class Runs:
    """A run of one view and one of two, on one manifest; of the test images one is broken."""

    one: Run
    two: Run
    broken: str


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder = tmp_path_factory.mktemp("evaluated")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAMMOLAB_CACHE", str(folder / "cache"))
        patch.setenv("MAMMOLAB_HOME", str(folder / "home"))
        frame = draw_breasts(folder / "images", patients=40)
        frame = frame[(frame["split"] != "train") | (frame["patient_id"] < "p12")].reset_index(drop=True)
        broken = str(frame.loc[(frame["split"] == "test") & (frame["view"] == "MLO"), "path"].iloc[0])
        found = {}
        for views in (1, 2):
            more = {"evaluation__bootstrap_samples": 100, "training__epochs": 1}
            config = toy_config(folder / "runs", model__views=views, **more)
            found[views] = Run.create(config, frame, name=f"views-{views}")
            list(train(found[views]))
        Path(broken).write_bytes(b"no image")
        evaluate(found[1], "test")
        for split in ("val", "test"):
            evaluate(found[2], split)
    return Runs(found[1], found[2], broken)


@pytest.fixture(autouse=True)
def _cache(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAMMOLAB_CACHE", str(runs.two.path.parent.parent / "cache"))
    monkeypatch.setenv("MAMMOLAB_HOME", str(runs.two.path.parent.parent / "home"))


def test_a_row_is_a_breast_with_the_paths_of_its_images(runs: Runs) -> None:
    found = read_evaluation(runs.two)
    assert found is not None
    test = runs.two.manifest().query("split == 'test'")
    assert found.level == "breast" and len(found.predictions) == test.groupby(["patient_id", "laterality"]).ngroups
    scored = [path for cell in found.predictions["paths"] for path in paths_of(cell)]
    assert sorted([*scored, runs.broken]) == sorted(test["path"]) and found.images == len(scored)
    assert found.size_words == f"{len(found.predictions)} breasts ({len(scored)} images)"
    assert [item.path for item in found.excluded] == [runs.broken], "a missing view, and listed"
    partner = found.predictions[found.predictions["paths"].str.contains(runs.broken.replace("_MLO_1", "_CC_0"), regex=False)]
    assert partner["view"].tolist() == ["CC"]
    assert "paths" not in found.columns


def test_metrics_are_of_breasts_and_patients_and_of_images_there_are_none(runs: Runs) -> None:
    found, card = read_evaluation(runs.two), runs.two.model_card()
    assert found is not None
    assert found.levels["image"] == found.calibration_at("image") == found.decision_at("image") == NO_IMAGES
    assert found.summary is found.levels["breast"] and found.summary.level == "breast"
    assert found.threshold == card.threshold == (card.thresholds or {})["breast"]
    labels = (found.predictions["label"] == "malignant").to_numpy()
    area = found.summary["auc"]
    assert isinstance(area, Interval) and area.value == pytest.approx(auc(labels, found.predictions["score"]))
    patients = at_level(found.predictions, "patient")
    expected = found.predictions.groupby("patient_id", sort=True)["score"].mean()
    np.testing.assert_allclose(patients["score"], expected)
    assert found.outdated(card) == ""


def test_the_scores_of_an_evaluation_are_those_of_the_training(runs: Runs) -> None:
    own = pd.read_csv(next((runs.two.path / "predictions").glob("fitted-*.csv"))).set_index("path")["score"]
    found = read_evaluation(runs.two, "val")
    assert found is not None
    np.testing.assert_allclose(found.predictions["score"], own[found.predictions["path"]], atol=2e-6)


@pytest.mark.slow
def test_metrics_can_be_made_again_from_what_is_stored(runs: Runs) -> None:
    before = read_evaluation(runs.two)
    again = remake(runs.two)
    assert before is not None and again.summary.metrics == before.summary.metrics and again.level == "breast"


def test_a_damaged_list_of_paths_is_refused(runs: Runs) -> None:
    path = runs.two.path / "predictions" / "val.csv"
    kept = path.read_text(encoding="utf-8")
    table = pd.read_csv(path, dtype="str", keep_default_na=False)
    table.loc[0, "paths"] = "[1"
    try:
        table.to_csv(path, index=False)
        with pytest.raises(BadRun, match="JSON list"):
            read_evaluation(runs.two, "val")
    finally:
        path.write_text(kept, encoding="utf-8")


def test_one_view_and_two_are_compared_by_breast(runs: Runs) -> None:
    found = compare(runs.one, runs.two)
    one, two = read_evaluation(runs.one), read_evaluation(runs.two)
    assert one is not None and two is not None
    assert (found.level, found.unit, found.only_first, found.only_second) == ("breast", "breast", 0, 0)
    assert found.matching == f"{len(two.predictions)} breasts in both"
    areas = [each.levels["breast"]["auc"] for each in (one, two)]  # type: ignore[index]
    metric = found.statistics.metrics["auc"]
    assert not isinstance(metric, str)
    assert [metric.first, metric.second] == [pytest.approx(area.value) for area in areas]
    assert found.thresholds == (one.levels["breast"].threshold, two.threshold)  # type: ignore[union-attr]
    assert found.rule == "views-1: the mean of image scores; views-2: the model's own score of a breast"
    by_patient = compare(runs.two, runs.one, level="patient")
    patient = by_patient.statistics.metrics["auc"]
    assert not isinstance(patient, str) and patient.second == pytest.approx(one.levels["patient"]["auc"].value)  # type: ignore[index, union-attr]
    with pytest.raises(NotEnoughData, match="no scores of single images"):
        compare(runs.one, runs.two, level="image")


def test_the_threshold_is_chosen_again_for_breasts(runs: Runs) -> None:
    before = runs.two.model_card()
    card = refreeze(runs.two, ThresholdRule("youden"), reopen=True)
    assert card.scored == "breast" and card.threshold == (card.thresholds or {})["breast"]
    assert not card.view_thresholds
    refreeze(runs.two, before.rule or ThresholdRule("sensitivity", 0.9), reopen=True)
    assert runs.two.model_card().threshold == before.threshold


@pytest.mark.slow
def test_another_collection_is_judged_by_breast_also_without_labels(runs: Runs, tmp_path: Path) -> None:
    other = draw_breasts(tmp_path / "other", patients=20, first=10_000).assign(split="")
    other["patient_id"] = "x" + other["patient_id"]
    other.loc[other["patient_id"] == "xp03", "label"] = ""
    half = other.index[other["patient_id"] == "xp04"][0]
    other.loc[half, "label"] = ""  # its breast has another image with a label
    write_manifest(other, tmp_path / "other.csv")
    found = evaluate_external(runs.two, tmp_path / "other.csv", name="other")
    breasts = other.groupby(["patient_id", "laterality"]).ngroups
    assert len(found.predictions) == breasts - 2 and found.level == "breast"
    without = pd.read_csv(runs.two.path / "predictions" / f"unlabelled-{found.split}.csv")
    assert len(without) == 2 and {"paths", "score"} <= set(without.columns)
    assert found.external is not None and found.external.unlabelled == (other["patient_id"] == "xp03").sum()


@pytest.mark.slow
def test_the_commands_tell_of_breasts(runs: Runs, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["evaluate", str(runs.two.path), "--split", "val", "--full"]) == 0
    told = capsys.readouterr().out
    assert "breasts (" in told.splitlines()[0] and NO_IMAGES in told and "highest image" not in told
    assert "mean of all breasts (the rule in use)" in told
    assert main(["compare", str(runs.one.path), str(runs.two.path)]) == 0
    assert "breast level:" in capsys.readouterr().out


def test_breasts_of_unknown_side_stand_for_themselves() -> None:
    table = pd.DataFrame(
        {
            "path": ["a", "b", "c", "d"],
            "paths": ['["a"]', '["b"]', '["c", "e"]', '["d"]'],
            "patient_id": ["1", "1", "1", "2"],
            "laterality": ["", "", "L", ""],
            "label": ["benign", "malignant", "benign", "benign"],
            "score": [0.1, 0.9, 0.3, 0.2],
        }
    )
    assert at_level(table, "breast")["score"].tolist() == [0.1, 0.9, 0.3, 0.2]
    with pytest.raises(NotEnoughData, match="no scores of single images"):
        at_level(table, "image")
