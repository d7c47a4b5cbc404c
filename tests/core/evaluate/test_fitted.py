"""What was frozen stays comparable with the scores it was frozen on, also those of images that get no verdict later."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from builders.fake_run import FakePredictor, FakeRun, make_run

from core.evaluate import evaluate, read_predictions
from core.evaluate.fitted import fitted_predictions, fitted_words
from core.metrics.calibration import fit_calibration


@dataclass
class Refusing(FakePredictor):
    """Gives the first image it is shown no verdict."""

    done: bool = False

    def predict_cached(self, images, *, paths):
        found = super().predict_cached(images, paths=paths)
        if not self.done:
            self.done, found[0] = True, SimpleNamespace(score=None, refusal="unlike the training images")
        return found


@pytest.fixture
def run(tmp_path: Path) -> FakeRun:
    """A run as training leaves it: validation scores of every image, and no evaluation."""
    run = make_run(tmp_path)
    evaluate(run, "val", predictor=FakePredictor(run.card))
    (run.path / "evaluation.json").unlink()
    for kept in (run.path / "predictions").glob("fitted-*.csv"):
        kept.unlink()
    return run


@pytest.mark.slow
def test_an_evaluation_of_validation_keeps_the_scores_that_were_fitted_on(run: FakeRun) -> None:
    trained = read_predictions(run, "val")
    evaluation = evaluate(run, "val", predictor=Refusing(run.card))
    assert len(read_predictions(run, "val")) == evaluation.images == len(trained) - 1
    pd.testing.assert_frame_equal(fitted_predictions(run), trained)
    assert fitted_words(run, evaluation.images).startswith(f"Thresholds and calibration were fitted on {len(trained)} valid")
    assert "1 gets no verdict in use" in fitted_words(run, evaluation.images)
    evaluate(run, "val", predictor=Refusing(run.card))
    pd.testing.assert_frame_equal(fitted_predictions(run), trained)


@pytest.mark.slow
def test_calibrations_beside_the_frozen_one_are_fitted_on_the_same_images(run: FakeRun) -> None:
    trained = read_predictions(run, "val")
    evaluate(run, "val", predictor=Refusing(run.card))
    expected = fit_calibration(trained["label"] == "malignant", trained["score"], "isotonic")
    report = evaluate(run, "test", predictor=FakePredictor(run.card)).calibration
    scores = read_predictions(run, "test")["score"]
    brier = ((expected.apply(scores) - (read_predictions(run, "test")["label"] == "malignant")) ** 2).mean()
    assert report.summaries["isotonic"].brier.value == pytest.approx(brier)


@pytest.mark.slow
def test_scores_of_other_weights_or_of_nobody_are_not_taken(run: FakeRun) -> None:
    evaluate(run, "val", predictor=Refusing(run.card))
    run.card |= {"weights_sha256": "0" * 64}
    assert len(fitted_predictions(run)) == len(read_predictions(run, "val"))
    (run.path / "predictions" / "val.csv").write_text("damaged", encoding="utf-8")
    evaluate(run, "val", predictor=FakePredictor(run.card))
    assert not list((run.path / "predictions").glob("fitted-000*.csv")) and fitted_words(run, 0) == ""
