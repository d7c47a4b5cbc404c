"""What an evaluation tells beyond the table of figures: metadata, levels, calibration, subgroups, shortcuts, history."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from builders.fake_run import FakePredictor, FakeRun, image_png, make_run
from scipy.special import logit

from core.config.schema import EvaluationConfig
from core.data.cache import PreparedCache
from core.errors import BadRun
from core.evaluate import (
    AGAIN,
    CalibrationReport,
    DecisionTable,
    Evaluation,
    evaluate,
    read_evaluation,
    read_predictions,
    remake,
)
from core.evaluate.baselines import Baseline
from core.metrics import Interval, ShortcutAudit, Summary, at_level
from core.model.card import ModelCard

TEMPERATURE = {"method": "temperature", "slope": 0.5, "intercept": 0.0, "rows": 28}


@pytest.fixture
def run(tmp_path: Path) -> FakeRun:
    return make_run(tmp_path / "run")


def scored(run: FakeRun, split: str = "test", **options) -> Evaluation:
    return evaluate(run, split, predictor=FakePredictor(run.card), **options)


def change_manifest(run: FakeRun, change) -> None:
    frame = pd.read_csv(run.path / "manifest.csv", dtype=str, keep_default_na=False)
    change(frame).to_csv(run.path / "manifest.csv", index=False)


# ---------------------------------------------------------------- metadata


@pytest.mark.slow
def test_predictions_say_what_the_files_and_the_manifest_tell(run: FakeRun) -> None:
    change_manifest(
        run, lambda frame: frame.assign(age=[str(40 + i) for i in range(len(frame))], scanner="A", density="", note="x")
    )
    found = scored(run)
    assert found.columns == ("age", "scanner", "height", "width", "bits", "inverted", "burned_in", "format", "folder")
    row = found.predictions.iloc[0]
    assert (row["height"], row["width"], row["bits"], row["format"], row["inverted"]) == ("64", "48", "8", "PNG", "no")
    assert read_predictions(run, "test")["age"].tolist() == found.predictions["age"].tolist()


@pytest.mark.slow
def test_inverted_images_and_labels_are_found_in_the_pixels(run: FakeRun) -> None:
    change_manifest(run, lambda frame: frame.assign(content_hash=""))
    paths = [Path(path) for path in run.manifest().query("split == 'test'")["path"]]
    grey = cv2.imdecode(np.frombuffer(image_png(150, 1), np.uint8), cv2.IMREAD_GRAYSCALE)
    cv2.imwrite(str(paths[0]), 255 - grey)
    grey[4:10, 36:42] = 255
    cv2.imwrite(str(paths[1]), grey)
    found = scored(run).predictions
    assert found["inverted"].tolist()[:3] == ["yes", "no", "no"]
    assert found["burned_in"].tolist()[:3] == ["no", "yes", "no"]


@pytest.mark.slow
def test_folders_named_after_label_split_or_patient_tell_nothing(run: FakeRun) -> None:
    def move(frame: pd.DataFrame) -> pd.DataFrame:
        for index, row in frame.iterrows():
            target = run.path / "sorted" / row["split"] / row["label"] / row["patient_id"] / Path(row["path"]).name
            target.parent.mkdir(parents=True, exist_ok=True)
            (run.path / row["path"]).rename(target)
            frame.loc[index, "path"] = str(target)
        return frame

    change_manifest(run, move)
    assert set(scored(run).predictions["folder"]) == {"1"}


@pytest.mark.slow
def test_what_is_known_of_cancers_only_is_left_out_of_benign_rows(run: FakeRun) -> None:
    change_manifest(run, lambda frame: frame.assign(invasive=(frame["view"] == "CC").map({True: "1", False: "0"})))
    table = scored(run).predictions
    assert set(table.loc[table["label"] == "benign", "invasive"]) == {""}
    groups = {(row.feature, row.value): row for row in scored(run).subgroups}
    assert groups["invasive", "1"].compared == "sensitivity" and groups["invasive", "unknown"].malignant_images == 0


# ---------------------------------------------------------------- levels


@pytest.mark.slow
def test_each_level_keeps_its_own_threshold(run: FakeRun) -> None:
    run.card |= {"threshold": 0.5, "thresholds": {"breast": 0.3, "patient": 0.7}}
    levels = scored(run).levels
    assert [summary.threshold for summary in levels.values()] == [0.5, 0.3, 0.7]
    assert levels["breast"].counts.tp + levels["breast"].counts.fp >= levels["patient"].counts.tp + levels["patient"].counts.fp


@pytest.mark.slow
def test_a_level_without_a_threshold_says_why(run: FakeRun) -> None:
    run.card["thresholds"] = {"breast": "validation had one side only", "patient": 0.5}
    levels = scored(run).levels
    assert levels["breast"] == "validation had one side only" and isinstance(levels["patient"], Summary)


@pytest.mark.slow
def test_a_model_of_an_earlier_version_is_not_given_the_images_threshold_elsewhere(run: FakeRun) -> None:
    del run.card["thresholds"]
    levels = scored(run).levels
    assert isinstance(levels["image"], Summary) and "--split val" in levels["breast"] and "--split val" in levels["patient"]


# ---------------------------------------------------------------- calibration, decision


@pytest.mark.slow
def test_calibration_is_the_models_and_the_scores_stay(run: FakeRun) -> None:
    plain = scored(run)
    scored(run, "val")
    run.card["calibration"] = TEMPERATURE
    found = scored(run)
    assert found.levels == plain.levels and found.predictions["score"].equals(plain.predictions["score"])
    report = found.calibration
    assert isinstance(report, CalibrationReport) and report.frozen.temperature == 2.0 and not report.on_validation
    assert report.before == plain.calibration.before and report.after != report.before
    assert set(report.summaries) == {"none", "temperature", "logistic", "isotonic"}
    assert {"none", "temperature", "isotonic"} <= set(report.bins) <= set(report.summaries)
    calibrated, score = found.predictions["calibrated"].astype(float).to_numpy(), found.predictions["score"].to_numpy()
    assert logit(calibrated) == pytest.approx(logit(score.clip(1e-6, 1 - 1e-6)) / 2, abs=5e-3)
    assert found.decision.calibration == "temperature" and plain.decision.calibration == "none"


@pytest.mark.slow
def test_the_other_methods_are_fitted_on_validation_alone(run: FakeRun) -> None:
    scored(run, "val")
    before = scored(run).calibration.bins["isotonic"].score
    change_manifest(
        run,
        lambda frame: frame.assign(label=frame["label"].where(frame["split"] != "test", frame["label"].iloc[::-1].to_numpy())),
    )
    assert scored(run).calibration.bins["isotonic"].score.tolist() == before.tolist()
    (run.path / "predictions" / "val.csv").unlink()
    assert "--split val" in scored(run).calibration.summaries["isotonic"]


@pytest.mark.slow
def test_validation_figures_of_a_calibration_are_marked_as_its_own(run: FakeRun) -> None:
    assert scored(run, "val").calibration.on_validation


@pytest.mark.slow
def test_net_benefit_is_told_at_a_few_risks(run: FakeRun) -> None:
    decision = scored(run).decision
    assert [row.threshold for row in decision.rows] == [0.02, 0.05, 0.1, 0.2, 0.3, 0.5]
    assert decision.prevalence == 0.5 and decision.rows[-1].treat_all == pytest.approx(0.0)
    assert all(row.model.low <= row.model.value <= row.model.high for row in decision.rows)


@pytest.mark.slow
def test_too_few_patients_leave_notes_instead_of_numbers(tmp_path: Path) -> None:
    found = scored(make_run(tmp_path / "small", patients=6))
    assert all("only 3 patients" in part for part in (found.calibration, found.shortcuts, found.decision))
    assert all(isinstance(row.auc, str) for row in found.subgroups)


@pytest.mark.slow
def test_nothing_is_frozen_by_looking(run: FakeRun) -> None:
    before = (run.path / "model.json").read_bytes()
    for split in ("val", "test"):
        scored(run, split)
    assert (run.path / "model.json").read_bytes() == before


@pytest.mark.slow
def test_resamples_and_confidence_can_be_told(run: FakeRun) -> None:
    wide = scored(run, settings=EvaluationConfig(bootstrap_samples=200, confidence=0.99))
    narrow = scored(run, settings=EvaluationConfig(bootstrap_samples=100, confidence=0.8))
    # As many resamples lie beyond each limit as at 95 %.
    assert (wide.summary.samples, wide.summary.confidence) == (1000, 0.99) and narrow.summary.samples == 100
    assert wide.summary["auc"].low < narrow.summary["auc"].low


# ---------------------------------------------------------------- subgroups, shortcuts


@pytest.mark.slow
def test_ages_make_bands_and_names_of_every_image_make_no_groups(run: FakeRun) -> None:
    change_manifest(
        run,
        lambda frame: frame.assign(
            age=[str(38 + i % 40) for i in range(len(frame))], scanner=[f"device {i}" for i in range(len(frame))]
        ),
    )
    groups = [(row.feature, row.value) for row in scored(run).subgroups]
    assert {feature for feature, _ in groups} == {"view", "age"} and ("age", "under 40") in groups


@pytest.mark.slow
def test_the_shortcut_audit_is_the_same_whatever_the_image_cache_holds(run: FakeRun, tmp_path: Path) -> None:
    change_manifest(run, lambda frame: frame.assign(scanner=(frame["label"] == "malignant").map({True: "B", False: "A"})))
    recipe = FakePredictor(run.card).recipe
    filled, half = PreparedCache(tmp_path / "filled", recipe), PreparedCache(tmp_path / "half", recipe)
    training = run.manifest().query("split == 'train'")["path"].tolist()
    assert not any(filled.iter_prepare(training))
    assert not any(half.iter_prepare(training[:2]))
    audits = []
    for cache in (filled, half, PreparedCache(tmp_path / "empty", recipe)):
        (run.path / "predictions" / "training_images.csv").unlink(missing_ok=True)
        audits.append(scored(run, cache=cache).shortcuts)
    assert audits[0] == audits[1] == audits[2]
    assert isinstance(audits[0], ShortcutAudit) and (audits[0].learned_on, audits[0].folds) == (4, 0)
    assert audits[0].features[0].feature == "scanner" and audits[0].features[0].auc.value == 1.0


@pytest.mark.slow
def test_what_the_training_images_told_is_kept_with_the_run_for_when_they_are_gone(run: FakeRun) -> None:
    first = scored(run).shortcuts
    for path in run.manifest().query("split == 'train'")["path"]:
        Path(path).unlink()
    assert scored(run).shortcuts == first


@pytest.mark.slow
def test_machine_numbers_that_differ_in_the_last_digit_stay_apart_and_are_categories(run: FakeRun) -> None:
    change_manifest(run, lambda frame: frame.assign(machine_id=[str(12345670 + i % 7) for i in range(len(frame))]))
    assert scored(run).predictions["machine_id"].nunique() == 7


@pytest.mark.slow
def test_a_column_that_the_settings_call_numeric_is_audited_as_a_number(run: FakeRun) -> None:
    change_manifest(run, lambda frame: frame.assign(thickness=[str(30 + i) for i in range(len(frame))]))
    settings = EvaluationConfig(bootstrap_samples=100, numeric_columns=("thickness",))
    found = scored(run, settings=settings)
    assert "thickness" in found.columns and "thickness" in {row.feature for row in found.shortcuts.features}
    assert "thickness" in {row.feature for row in found.subgroups} and scored(run).subgroups
    assert "thickness" not in {row.feature for row in scored(run).subgroups}


@pytest.mark.slow
def test_a_column_that_the_settings_call_a_category_is_audited_as_one(run: FakeRun) -> None:
    change_manifest(run, lambda frame: frame.assign(paddle=["12" if i % 3 else "7" for i in range(len(frame))]))
    settings = EvaluationConfig(bootstrap_samples=100, category_columns=("paddle",))
    assert "paddle" in {row.feature for row in scored(run, settings=settings).shortcuts.features}


@pytest.mark.slow
def test_net_benefit_and_calibration_are_per_image_breast_and_patient(run: FakeRun) -> None:
    """A malignant patient with a benign image: half the patients are malignant, and a quarter of the images."""
    change_manifest(run, lambda frame: frame.assign(label=frame["label"].where(frame["view"] == "CC", "benign")))
    scored(run, "val")
    found = scored(run)
    assert found.decision_at("image") is found.decision and found.calibration_at("image") is found.calibration
    shares = {level: found.decision_at(level).prevalence for level in ("image", "breast", "patient")}
    assert shares == {"image": 0.25, "breast": 0.5, "patient": 0.5}
    for level in ("image", "breast", "patient"):
        table, report = at_level(found.predictions, level), found.calibration_at(level)
        y = (table["label"] == "malignant").to_numpy()
        assert (found.decision_at(level).level, report.level, report.before.level) == (level, level, level)
        assert report.before.brier.value == pytest.approx(((table["score"] - y) ** 2).mean())
        assert report.before.reference == pytest.approx(y.mean() * (1 - y.mean()))
        called = table["score"] >= 0.2
        benefit = (called & y).mean() - (called & ~y).mean() * 0.25
        assert report.frozen.method == "none"
        assert next(row for row in found.decision_at(level).rows if row.threshold == 0.2).model.value == pytest.approx(benefit)


@pytest.mark.slow
def test_no_probability_is_shown_where_everybodys_prevalence_would_be_better(run: FakeRun) -> None:
    run.card["calibration"] = {"method": "logistic", "slope": 5.0, "intercept": 4.0, "rows": 28}
    report = scored(run).calibration
    assert report.after.worse_than_prevalence
    assert "no better than predicting the share of malignant for every image" in report.no_probability


@pytest.mark.slow
def test_figures_are_made_again_without_scoring_or_opening_anything(run: FakeRun) -> None:
    scored(run, "val")
    first = scored(run)
    for path in run.manifest()["path"]:
        Path(path).unlink()
    again = remake(run, "test")
    assert again.to_dict() == first.to_dict() and again.evaluations == 1
    assert remake(run, "test", settings=EvaluationConfig(bootstrap_samples=150, confidence=0.9)).summary.confidence == 0.9
    run.card["threshold"] = 0.3
    with pytest.raises(BadRun, match="threshold has been chosen again"):
        remake(run, "test")


@pytest.mark.slow
def test_an_evaluation_of_an_earlier_version_gets_what_it_lacks_from_its_predictions(run: FakeRun) -> None:
    scored(run, "val")
    first = scored(run).to_dict()
    path = run.path / "evaluation.json"
    entries = json.loads(path.read_text(encoding="utf-8"))
    for name in ("calibrations", "decisions", "uncertainty", "subgroups", "shortcuts"):
        del entries["test"][name]
    path.write_text(json.dumps(entries), encoding="utf-8")
    assert remake(run, "test").to_dict() == first


@pytest.mark.slow
def test_the_choice_of_the_threshold_is_resampled_for_every_level_on_test_only(run: FakeRun) -> None:
    assert scored(run, "val").uncertainty == {}
    found = scored(run).uncertainty
    assert set(found) == {"image", "breast", "patient"}
    assert found["image"].threshold.value == 0.5 and found["image"].threshold.low < found["image"].threshold.high


# ---------------------------------------------------------------- what is kept


@pytest.mark.slow
def test_everything_is_read_back_equal(run: FakeRun) -> None:
    change_manifest(run, lambda frame: frame.assign(dataset="cbis-ddsm", official_split="true", scanner=frame["view"]))
    scored(run, "val")
    run.card["calibration"] = TEMPERATURE
    found = scored(run)
    again = read_evaluation(run, "test")
    pd.testing.assert_frame_equal(again.predictions, found.predictions)
    assert again.to_dict() == found.to_dict()
    assert (again.subgroups, again.shortcuts, again.decision) == (found.subgroups, found.shortcuts, found.decision)
    assert (again.history, again.rule, again.columns, again.baselines) == (
        found.history,
        found.rule,
        found.columns,
        found.baselines,
    )
    assert isinstance(again.baselines[0], Baseline) and isinstance(again.decision, DecisionTable)
    assert isinstance(again.summary["auc"], Interval) and again.summary["auc"].method == "score"
    assert "auc" in again.summary.bootstrap


@pytest.mark.slow
def test_an_entry_of_an_earlier_version_is_read_and_says_what_to_do(run: FakeRun) -> None:
    scored(run)
    path = run.path / "evaluation.json"
    entries = json.loads(path.read_text(encoding="utf-8"))
    new = ("version", "history", "refrozen", "threshold_rule", "delong", "columns", "calibration", "subgroups", "shortcuts")
    for name in (*new, "decision", "baselines"):
        del entries["test"][name]
    path.write_text(json.dumps(entries), encoding="utf-8")
    old = read_evaluation(run, "test")
    assert old.version == 1 and old.subgroups == () and old.history == () and old.rule is None
    assert old.calibration == old.shortcuts == old.decision == old.baselines == AGAIN
    assert isinstance(old.summary["auc"], Interval)
    again = scored(run)
    assert again.evaluations == 2 and len(again.history) == 2 and again.version == 2


def test_every_opening_is_written_down(run: FakeRun) -> None:
    scored(run)
    run.card["threshold"] = 0.4
    found = scored(run)
    assert [round(look.threshold, 2) for look in found.history] == [0.5, 0.4]
    assert found.history[-1].when == found.last_evaluated and found.history[0].weights_sha256 == "ab" * 32


def test_figures_that_are_not_the_models_any_more_say_so(run: FakeRun) -> None:
    found = scored(run)
    assert found.outdated(ModelCard.of(run.card)) == ""
    assert "threshold has been chosen again" in found.outdated(ModelCard.of(run.card | {"threshold": 0.3}))
    assert "trained on" in found.outdated(ModelCard.of(run.card | {"weights_sha256": "cd" * 32}))
