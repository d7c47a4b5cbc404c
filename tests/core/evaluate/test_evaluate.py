"""Evaluating a split: every image scored once, what was left out is said, and the test set's openings are counted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders.fake_run import FakePredictor, FakeRun, make_run
from sklearn.metrics import roc_auc_score

from core.errors import BadManifest, BadRun, LabError, Leakage, NotEnoughData
from core.evaluate import evaluate, read_evaluation, read_predictions
from core.evaluate.result import COLUMNS
from core.metrics import Summary


@pytest.fixture
def run(tmp_path: Path) -> FakeRun:
    return make_run(tmp_path / "run")


def predictor_of(run: FakeRun) -> FakePredictor:
    return FakePredictor(run.card)


def edit_manifest(run: FakeRun, change) -> None:
    frame = pd.read_csv(run.path / "manifest.csv", dtype=str, keep_default_na=False)
    change(frame).to_csv(run.path / "manifest.csv", index=False)


@pytest.mark.slow
def test_every_image_of_the_split_has_one_row_in_the_order_of_the_manifest(run: FakeRun) -> None:
    evaluation = evaluate(run, "test", predictor=predictor_of(run))
    written = pd.read_csv(run.path / "predictions" / "test.csv", dtype={"patient_id": str})
    expected = run.manifest().query("split == 'test'")
    assert tuple(written.columns) == (*COLUMNS, *evaluation.columns)
    assert written["path"].tolist() == expected["path"].tolist()
    assert written["label"].tolist() == expected["label"].tolist()
    assert written["score"].between(0, 1).all()
    assert (evaluation.images, evaluation.patients) == (28, 14)
    assert evaluation.summary["auc"].value == pytest.approx(roc_auc_score(written["label"] == "malignant", written["score"]))


def test_the_threshold_is_the_models_and_not_chosen_again(run: FakeRun) -> None:
    run.card["threshold"] = 0.47
    evaluation = evaluate(run, "test", predictor=predictor_of(run))
    assert evaluation.threshold == evaluation.summary.threshold == 0.47
    called = evaluation.predictions["score"] >= 0.47
    assert evaluation.summary.counts.tp + evaluation.summary.counts.fp == called.sum()


@pytest.mark.slow
@pytest.mark.parametrize("state", ["running", "paused"])
def test_the_test_set_stays_closed_while_the_run_is_being_trained(run: FakeRun, state: str) -> None:
    run.state = state
    with pytest.raises(BadRun, match="still being trained"):
        evaluate(run, "test", predictor=predictor_of(run))
    assert read_evaluation(run, "test") is None
    assert evaluate(run, "val", predictor=predictor_of(run)).images == 28


@pytest.mark.slow
def test_openings_are_counted_per_split_and_survive_the_process(run: FakeRun) -> None:
    for expected in (1, 2, 3):
        assert evaluate(run, "test", predictor=predictor_of(run)).evaluations == expected
    assert evaluate(run, "val", predictor=predictor_of(run)).evaluations == 1
    content = json.loads((run.path / "evaluation.json").read_text(encoding="utf-8"))
    assert (content["test"]["opened"], content["val"]["opened"]) == (3, 1)


@pytest.mark.slow
def test_json_has_every_figure_as_an_object_even_without_a_value(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", patients=4)
    evaluate(run, "test", predictor=predictor_of(run))
    entry = json.loads((run.path / "evaluation.json").read_text(encoding="utf-8"))["test"]
    assert entry["metrics"]["auc"]["value"] is None
    assert "only 2 patients" in entry["metrics"]["auc"]["note"]
    assert entry["levels"]["patient"]["counts"]["tp"] >= 0


@pytest.mark.slow
def test_what_was_written_is_read_back_equal(run: FakeRun) -> None:
    assert read_evaluation(run, "test") is None
    evaluation = evaluate(run, "test", predictor=predictor_of(run))
    again = read_evaluation(run, "test")
    pd.testing.assert_frame_equal(again.predictions, evaluation.predictions)
    assert again.to_dict() == evaluation.to_dict()
    assert again.levels == evaluation.levels


@pytest.mark.slow
def test_figures_follow_from_the_file_alone(run: FakeRun) -> None:
    """Whoever reads predictions/test.csv gets exactly the counts that were reported, rounded scores or not."""
    run.card["threshold"] = float(np.float32(0.4711112))
    evaluation = evaluate(run, "test", predictor=predictor_of(run))
    scores = read_predictions(run, "test")
    called = scores["score"] >= run.card["threshold"]
    assert int((called & (scores["label"] == "malignant")).sum()) == evaluation.summary.counts.tp


@pytest.mark.slow
def test_breasts_and_patients_average_their_images(run: FakeRun) -> None:
    evaluation = evaluate(run, "test", predictor=predictor_of(run))
    breast, patient = evaluation.levels["breast"], evaluation.levels["patient"]
    assert isinstance(breast, Summary) and isinstance(patient, Summary)
    assert breast.rows == patient.rows == 14
    assert breast.level == "breast"


@pytest.mark.slow
def test_unknown_sides_leave_the_breast_level_as_a_note(run: FakeRun) -> None:
    edit_manifest(run, lambda frame: frame.assign(laterality=""))
    assert "laterality" in evaluate(run, "test", predictor=predictor_of(run)).levels["breast"]


@pytest.mark.slow
def test_unreadable_and_missing_images_are_left_out_and_listed(run: FakeRun) -> None:
    paths = run.manifest().query("split == 'test'")["path"].tolist()
    Path(paths[0]).write_bytes(b"not an image")
    Path(paths[5]).unlink()
    evaluation = evaluate(run, "test", predictor=predictor_of(run))
    assert [item.path for item in evaluation.excluded] == [paths[0], paths[5]]
    assert all(item.reason for item in evaluation.excluded)
    assert evaluation.images == 26
    assert evaluation.predictions["path"].tolist() == [path for path in paths if path not in (paths[0], paths[5])]
    assert read_evaluation(run, "test").excluded == evaluation.excluded


@pytest.mark.slow
def test_an_image_that_was_exchanged_since_the_split_is_left_out(run: FakeRun) -> None:
    paths = run.manifest().query("split == 'test'")["path"].tolist()
    Path(paths[0]).write_bytes(Path(paths[3]).read_bytes())
    evaluation = evaluate(run, "test", predictor=predictor_of(run))
    assert [(item.path, "changed" in item.reason) for item in evaluation.excluded] == [(paths[0], True)]


@pytest.mark.slow
def test_a_hash_of_another_kind_is_not_compared(run: FakeRun) -> None:
    edit_manifest(run, lambda frame: frame.assign(content_hash=[f"md5-{i}" for i in range(len(frame))]))
    assert not evaluate(run, "test", predictor=predictor_of(run)).excluded


def test_nothing_readable_is_said_and_not_counted_as_an_opening(run: FakeRun) -> None:
    for path in run.manifest().query("split == 'test'")["path"]:
        Path(path).write_bytes(b"")
    with pytest.raises(NotEnoughData, match="none of its 28 images"):
        evaluate(run, "test", predictor=predictor_of(run))
    assert not (run.path / "evaluation.json").exists()


def test_a_patient_in_two_splits_is_refused(run: FakeRun) -> None:
    edit_manifest(run, lambda frame: frame.assign(patient_id=frame["patient_id"].replace("val-3", "test-3")))
    with pytest.raises(Leakage, match="test-3"):
        evaluate(run, "test", predictor=predictor_of(run))
    assert not (run.path / "predictions").exists()


@pytest.mark.parametrize("split", ["validation", "", "all"])
def test_an_unknown_split_is_refused(run: FakeRun, split: str) -> None:
    with pytest.raises(BadManifest, match="train, val, test"):
        evaluate(run, split, predictor=predictor_of(run))


def test_an_empty_split_names_those_that_are_there(run: FakeRun) -> None:
    edit_manifest(run, lambda frame: frame[frame["split"] != "test"])
    with pytest.raises(NotEnoughData, match=r"train \(4\), val \(28\)"):
        evaluate(run, "test", predictor=predictor_of(run))


def test_another_runs_model_is_refused(run: FakeRun) -> None:
    with pytest.raises(BadRun, match="not this run's"):
        evaluate(run, "test", predictor=FakePredictor(run.card | {"weights_sha256": "00" * 32}))


def test_nan_scores_are_refused(run: FakeRun) -> None:
    with pytest.raises(LabError, match="NaN"):
        evaluate(run, "test", predictor=FakePredictor(run.card, nan=True))


@pytest.mark.slow
def test_progress_counts_images_and_batches_are_bounded(run: FakeRun) -> None:
    seen: list[tuple[int, int]] = []
    predictor = predictor_of(run)
    evaluate(run, "test", predictor=predictor, progress=lambda done, total: seen.append((done, total)))
    # Then the training images, from whose files the shortcut audit learns: the split is done, but a stop is still heard.
    assert seen == [*((number, 28) for number in range(1, 29)), *[(28, 28)] * 4]
    assert predictor.batches == [16, 12]


@pytest.mark.parametrize("content", ["{", "[]", '{"test": {"run": "x"}}', '{"test": {"levels": 3}}'])
def test_a_damaged_evaluation_says_so_and_is_not_overwritten(run: FakeRun, content: str) -> None:
    (run.path / "evaluation.json").write_text(content, encoding="utf-8")
    with pytest.raises(BadRun, match=r"evaluation\.json"):
        read_evaluation(run, "test")


def test_a_count_that_cannot_be_read_stops_the_evaluation(run: FakeRun) -> None:
    (run.path / "evaluation.json").write_text("{", encoding="utf-8")
    with pytest.raises(BadRun, match="how often the test set was evaluated"):
        evaluate(run, "test", predictor=predictor_of(run))
    assert (run.path / "evaluation.json").read_text(encoding="utf-8") == "{"


def test_damaged_predictions_say_so(run: FakeRun) -> None:
    evaluate(run, "test", predictor=predictor_of(run))
    (run.path / "predictions" / "test.csv").write_text("path,label\na,b\n", encoding="utf-8")
    with pytest.raises(BadRun, match="patient_id"):
        read_predictions(run, "test")


def test_patients_named_na_or_with_leading_zeros_stay_apart(run: FakeRun) -> None:
    names = {"test-0": "NA", "test-1": "007", "test-2": "7"}
    edit_manifest(run, lambda frame: frame.assign(patient_id=frame["patient_id"].replace(names)))
    assert evaluate(run, "test", predictor=predictor_of(run)).patients == 14
    assert {"NA", "007", "7"} <= set(read_predictions(run, "test")["patient_id"])


@pytest.mark.slow
@pytest.mark.parametrize("where", ["card", "manifest"])
def test_synthetic_is_carried_on(tmp_path: Path, where: str) -> None:
    run = make_run(tmp_path / "run", extra={"synthetic": True} if where == "manifest" else None, synthetic=where == "card")
    assert evaluate(run, "test", predictor=predictor_of(run)).synthetic


@pytest.mark.slow
def test_the_real_model_scores_the_split_as_it_scores_single_files(tmp_path: Path) -> None:
    from core.config import ModelConfig
    from core.model import build_model, save_model
    from core.predict import Predictor

    run = make_run(tmp_path / "run")
    config = ModelConfig()
    card = {key: value for key, value in run.card.items() if key not in ("weights_sha256", "format")}
    run.card = save_model(run.path, build_model(config), card | {"model": config.model_dump(mode="json")}).written()
    evaluation = evaluate(run, "test")
    predictor = Predictor.from_run(run.path)
    for row in evaluation.predictions.head(3).itertuples():
        assert predictor.predict(row.path).score == pytest.approx(row.score, abs=2e-6)
