from __future__ import annotations

import dataclasses
import json
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from core.config import ModelConfig, Recipe
from core.errors import BadRun, RecipeMismatch, Refused, UnreadableImage
from core.images import encode_png, large_images, read
from core.model import build_model, load_model, read_card, save_model
from core.predict import BATCH_SIZE, Predictor
from core.prediction import Prediction
from core.preprocessing import prepare

CONFIG = ModelConfig(options={"width": 8})
RECIPE = Recipe(size=64)


def _film(seed: int) -> bytes:
    """A bright half disc on black, as PNG: enough of a breast to be found."""
    rows, columns = np.mgrid[:160, :120]
    inside = ((rows - 80) / 70) ** 2 + (columns / 90) ** 2 < 1
    texture = np.random.default_rng(seed).normal(0.5, 0.1, inside.shape)
    return encode_png(np.clip(np.where(inside, texture, 0.0), 0, 1))


def _save(folder: Path, **card: Any) -> Path:
    torch.manual_seed(0)
    model = build_model(CONFIG)
    with torch.no_grad():
        model.head.weight.mul_(50)  # scores that differ from image to image
    base = {"model": CONFIG.model_dump(mode="json"), "recipe": RECIPE.model_dump(mode="json"), "recipe_hash": RECIPE.hash}
    save_model(folder, model, {**base, "threshold": 0.5, "calibration": None, "synthetic": False, **card})
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return _save(tmp_path / "run")


@pytest.fixture
def films(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"film{index}.png" for index in range(6)]
    for index, path in enumerate(paths):
        path.write_bytes(_film(index))
    return paths


@pytest.mark.parametrize("as_what", [lambda p: p, str, lambda p: SimpleNamespace(path=p)], ids=["path", "text", "run"])
def test_a_run_is_opened_however_it_is_named(run: Path, as_what: Any) -> None:
    predictor = Predictor.from_run(as_what(run), device="cpu")
    assert predictor.threshold == 0.5 and predictor.recipe == RECIPE


def test_the_score_is_the_models_own_on_what_prepare_gives(run: Path, films: list[Path]) -> None:
    prediction = Predictor.from_run(run, device="cpu").predict(films[0])
    model, _ = load_model(run)
    prepared = prepare(read(films[0]), RECIPE)
    images = torch.from_numpy(prepared.pixels.astype(np.float32) / np.float32(255))[None, None]
    with torch.no_grad():
        assert prediction.score == pytest.approx(torch.sigmoid(model(images)).item(), abs=1e-6)
    assert np.array_equal(prediction.prepared.pixels, prepared.pixels)
    assert prediction.path == films[0]


def test_bytes_and_file_give_the_same_score(run: Path, films: list[Path]) -> None:
    predictor = Predictor.from_run(run, device="cpu")
    from_bytes = predictor.predict(films[1].read_bytes())
    assert from_bytes.score == predictor.predict(str(films[1])).score and from_bytes.path is None


def test_a_score_is_the_same_alone_and_in_a_batch(run: Path, films: list[Path]) -> None:
    predictor = Predictor.from_run(run, device="cpu")
    alone = [predictor.predict(path).score for path in films]
    together = list(predictor.predict_many(films))
    assert len(set(alone)) == len(films)
    assert [p.score for p in together if isinstance(p, Prediction)] == pytest.approx(alone, abs=1e-5)


def test_files_that_cannot_be_scored_keep_their_place_and_reason(run: Path, films: list[Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"not an image")
    paths = [broken, *films[:4], tmp_path / "absent.dcm", films[4]]
    seen: list[tuple[int, int]] = []
    results = list(Predictor.from_run(run, device="cpu").predict_many(paths, lambda done, total: seen.append((done, total))))
    assert [r.path if isinstance(r, Prediction) else r[0] for r in results] == paths
    assert [i for i, r in enumerate(results) if not isinstance(r, Prediction)] == [0, 5]
    assert all(r[1] for r in results if not isinstance(r, Prediction))
    assert seen == [(i, 7) for i in range(1, 8)]
    assert list(Predictor.from_run(run, device="cpu").predict_many([])) == []


@pytest.mark.parametrize("largest", [0, 10**9], ids=["all large", "none large"])
def test_large_images_are_scored_one_by_one_and_give_the_same(
    largest: int, run: Path, films: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Predictor.from_run(run, device="cpu")
    expected = [predictor.predict(path).score for path in films]
    sizes: list[int] = []
    real = predictor.forward
    monkeypatch.setattr(predictor, "forward", lambda pixels, *more: sizes.append(len(pixels)) or real(pixels, *more))
    for module in ("core.predict.LARGE", "core.images.large_images.LARGE"):
        monkeypatch.setattr(module, largest)
    found = list(predictor.predict_many(films))
    assert [each.score for each in found if isinstance(each, Prediction)] == pytest.approx(expected, abs=1e-5)
    assert sum(sizes) == len(films) and max(sizes) == (1 if largest == 0 else BATCH_SIZE)


def test_scoring_that_is_given_up_half_way_keeps_nobody_waiting(
    run: Path, films: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.images.large_images.LARGE", 0)
    results = Predictor.from_run(run, device="cpu").predict_many(films)
    next(results)
    assert not large_images._lock.locked()  # nor while its reader takes its time
    results.close()
    assert not large_images._lock.locked()


def test_an_unreadable_file_alone_raises(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage):
        Predictor.from_run(run, device="cpu").predict(b"not an image")


@pytest.mark.slow
def test_a_score_at_the_threshold_is_malignant(run: Path, films: list[Path], tmp_path: Path) -> None:
    score = Predictor.from_run(run, device="cpu").predict(films[0]).score
    for threshold, decision in (
        (score, "malignant"),
        (np.nextafter(score, 1.0), "benign"),
        (0.0, "malignant"),
        (1.0, "benign"),
    ):
        predictor = Predictor.from_run(_save(tmp_path / "other", threshold=float(threshold)), device="cpu")
        prediction = predictor.predict(films[0])
        assert (prediction.decision, prediction.threshold) == (decision, float(threshold))


def test_an_image_prepared_by_another_recipe_is_refused(run: Path, films: list[Path]) -> None:
    predictor = Predictor.from_run(run, device="cpu")
    other = prepare(read(films[0]), RECIPE.model_copy(update={"clip_limit": 3.0}))
    right = prepare(read(films[0]), RECIPE)
    wrong_shape = dataclasses.replace(right, pixels=np.zeros((32, 64), np.uint8))
    for prepared in (other, wrong_shape):
        with pytest.raises(RecipeMismatch, match=f"recipe {RECIPE.hash}"):
            predictor.explain(prepared)
        with pytest.raises(RecipeMismatch, match=f"recipe {RECIPE.hash}"):
            predictor.predict_prepared(prepared, read(films[0]))
    assert 0 <= predictor.score_pixels(right.pixels[None])[0] <= 1


def test_a_model_whose_preprocessing_has_changed_since_is_refused(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = read_card(run).written()
    card["recipe_hash"] = "0" * 12
    (run / "model.json").write_text(json.dumps(card), encoding="utf-8")
    with pytest.raises(RecipeMismatch, match="000000000000"):
        Predictor.from_run(run, device="cpu")


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ({"threshold": None}, "no threshold"),
        ({"threshold": "high"}, "threshold: expected a number from 0 to 1, got 'high'"),
        ({"threshold": 1e308}, r"threshold: expected a number from 0 to 1, got 1e\+308"),
        ({"threshold": -0.1}, "threshold: expected a number from 0 to 1, got -0.1"),
        ({"threshold": True}, "threshold: expected a number from 0 to 1, got True"),
        ({"threshold": 0.5, "thresholds": {"patient": 7}}, r"thresholds\.patient: expected a number from 0 to 1, got 7"),
        ({"threshold": 0.5, "thresholds": [0.5]}, "thresholds: expected one a level"),
        ({"calibration": {"method": "logistic", "slope": 1.0, "intercept": "much"}}, "calibration"),
        ({"calibration": {"method": "temperature", "slope": 1e300, "rows": 1}}, "calibration"),
        ({"calibration": {"method": "logistic", "slope": 1.0, "intercept": 1e300}}, "calibration"),
        ({"calibration": {"method": "isotonic", "x": [0.1, 0.2], "y": [0.5, 7]}}, "calibration"),
        ({"calibration": [1]}, "calibration"),
        ({"recipe": {"size": 64, "sharpen": True}}, "not one this version knows"),
        ({"recipe": None}, "not one this version knows"),
        ({"calibration": {"method": "isotonic", "x": [], "y": []}}, "calibration"),
        ({"calibration": {"method": "temperature", "slope": 0}}, "calibration"),
        ({"calibration": {"temperature": 2.0}}, "calibration"),
    ],
)
def test_a_card_that_lacks_what_a_score_needs_is_refused(card: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(BadRun, match=said):
        Predictor.from_run(_save(tmp_path / "other", **card), device="cpu")


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRun, match="train it first"):
        Predictor.from_run(tmp_path)


def test_a_calibration_stands_beside_the_score_and_decides_nothing(run: Path, films: list[Path], tmp_path: Path) -> None:
    plain = Predictor.from_run(run, device="cpu").predict(films[0])
    calibration = {"method": "temperature", "slope": 0.5, "intercept": 0.0, "rows": 40}
    milder = Predictor.from_run(_save(tmp_path / "t", calibration=calibration), device="cpu").predict(films[0])
    assert (milder.score, milder.decision, milder.threshold) == (plain.score, plain.decision, plain.threshold)
    odds = milder.calibrated / (1 - milder.calibrated)
    assert plain.calibrated is None and np.log(odds) == pytest.approx(np.log(plain.score / (1 - plain.score)) / 2, rel=1e-4)


def test_a_model_that_gives_no_number_says_so(run: Path, films: list[Path]) -> None:
    predictor = Predictor.from_run(run, device="cpu")
    with torch.no_grad():
        predictor.model.head.weight.fill_(float("nan"))
    with pytest.raises(BadRun, match="no number"):
        predictor.predict(films[0])


def test_a_model_of_synthetic_images_warns_on_real_ones(films: list[Path], tmp_path: Path) -> None:
    prediction = Predictor.from_run(_save(tmp_path / "synthetic", synthetic=True), device="cpu").predict(films[0])
    assert any("synthetic" in warning for warning in prediction.warnings)


def test_scores_are_right_while_another_thread_draws_heatmaps(run: Path, films: list[Path]) -> None:
    predictor = Predictor.from_run(run, device="cpu")
    prepared = [prepare(read(path), RECIPE) for path in films[:2]]

    pixels = np.stack([image.pixels for image in prepared])
    scores = predictor.score_pixels(pixels)
    heat = predictor.explain(prepared[0]).values
    wrong: list[str] = []

    def draw() -> None:
        wrong.extend("map" for _ in range(15) if not np.array_equal(predictor.explain(prepared[0]).values, heat))

    def score() -> None:
        wrong.extend("score" for _ in range(30) if predictor.score_pixels(pixels) != scores)

    threads = [threading.Thread(target=work) for work in (draw, score)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_an_image_without_a_breast_gets_no_score(run: Path, films: list[Path], tmp_path: Path, level: float) -> None:
    empty = tmp_path / "empty.png"
    empty.write_bytes(encode_png(np.full((160, 120), level)))
    predictor = Predictor.from_run(run, device="cpu")
    alone = predictor.predict(empty)
    assert (alone.score, alone.decision, alone.calibrated) == (None, None, None)
    assert "no breast was found" in alone.refusal and alone.verdict == f"No verdict: {alone.refusal}."
    first, refused, last = predictor.predict_many([films[0], empty, films[1]])
    assert first.decision and last.decision and not first.refusal
    assert (refused.path, refused.score, refused.refusal) == (empty, None, alone.refusal)
    with pytest.raises(Refused, match="no breast"):
        predictor.explain(alone)
    anyway = predictor.predict(empty, score_anyway=True)
    assert 0 <= anyway.score <= 1 and anyway.scored_anyway and anyway.decision is None and anyway.refusal == alone.refusal
    assert predictor.explain(anyway).values.shape == RECIPE.shape


def test_a_model_without_a_gate_says_that_it_cannot_check(run: Path, films: list[Path]) -> None:
    prediction = Predictor.from_run(run, device="cpu").predict(films[0])
    assert prediction.decision and prediction.distance is None
    assert any("cannot be checked" in warning and "python -m core gate" in warning for warning in prediction.warnings)


def test_a_model_no_better_than_chance_says_so_with_every_verdict(films: list[Path], tmp_path: Path) -> None:
    for name, card in (("a", {"chance": "the AUC on validation is 0.5"}), ("b", {"chance": "", "threshold": 0.0})):
        warnings = Predictor.from_run(_save(tmp_path / name, **card), device="cpu").predict(films[0]).warnings
        assert any(warning.startswith("Not better than chance so far: ") for warning in warnings)
    warnings = Predictor.from_run(_save(tmp_path / "c", chance=""), device="cpu").predict(films[0]).warnings
    assert not any("chance" in warning for warning in warnings)


def test_a_recipe_that_looks_for_no_breast_scores_anything(tmp_path: Path) -> None:
    recipe = RECIPE.model_copy(update={"crop": False, "remove_background": False})
    run = _save(tmp_path / "patches", recipe=recipe.model_dump(mode="json"), recipe_hash=recipe.hash)
    assert 0 <= Predictor.from_run(run, device="cpu").predict(encode_png(np.full((64, 64), 0.5))).score <= 1
