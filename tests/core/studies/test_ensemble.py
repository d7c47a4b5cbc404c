"""Ensembles: the mean of what their members say, thresholds from images that were held out, and a run like any other."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from builders.toy_breasts import draw_breasts
from builders.toy_training import draw_frame, toy_config

from core.data import read_manifest, write_manifest
from core.data.known_images import OUT_OF_FOLD
from core.errors import BadManifest, BadRun, LabError, NotEnoughData
from core.evaluate import evaluate
from core.evaluate.scoring import default_cache
from core.evaluate.store import read_predictions
from core.gate import Distance, MeanDistance, read_gate
from core.heatmap_audit.image_auditor import Look
from core.metrics import rule_of, with_room
from core.model import load_model, save_model, update_card
from core.model.ensemble import Ensemble
from core.predict import Predictor
from core.predict_breasts import explain_breast, predict_breast
from core.report import report
from core.runs import Run, fork, list_runs
from core.runs.test_set.accesses import accesses
from core.studies import Design, Study, ensemble_of, ensemble_of_study, work
from core.studies.ensemble import costs_of
from core.training.loop import train

SETTINGS = {"training__epochs": 1, "evaluation__bootstrap_samples": 100}


def make_study(folder: Path, rows: pd.DataFrame, **settings: object) -> Study:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAMMOLAB_CACHE", str(folder / "cache"))
        study = Study.create("cv", Design(folds=2), toy_config(folder / "runs", **SETTINGS | settings), rows)
        assert len(work(study, queue=False).trained) == 2
    return study


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs with a finished study `cv` of two folds, and its ensemble."""
    folder = tmp_path_factory.mktemp("ensemble")
    study = make_study(folder, draw_frame(folder / "images"))
    ensemble_of_study(study)
    return folder / "runs"


@pytest.fixture
def runs(lab: Path, tmp_path: Path) -> Path:
    """A copy of the folder of runs, to be changed."""
    return Path(shutil.copytree(lab, tmp_path / "runs"))


@pytest.fixture
def ensemble(lab: Path) -> Run:
    return Run.open(lab / "cv-ensemble")


def members_of(root: Path) -> list[Run]:
    return [run for run in Study.open(root / "cv").runs.values() if run is not None]


def paths_of(run: Run, split: str) -> list[str]:
    rows = run.manifest()
    return rows.loc[rows["split"] == split, "path"].astype("str").tolist()


def test_its_score_and_heatmap_are_the_mean_of_its_members(lab: Path, ensemble: Run) -> None:
    whole, parts = Predictor.from_run(ensemble), [Predictor.from_run(run) for run in members_of(lab)]
    for path in paths_of(ensemble, "test"):
        own, each = whole.predict(path, score_anyway=True), [part.predict(path, score_anyway=True) for part in parts]
        assert own.score == pytest.approx(np.mean([found.score for found in each]), abs=1e-6) and not own.judges
        assert own.distance == pytest.approx(np.mean([found.distance for found in each]), rel=1e-5)
        means = {}
        for target in ("malignant", "benign"):
            heat = whole.explain(own, target=target)
            maps = [part.explain(found, target=target) for part, found in zip(parts, each, strict=True)]
            means[target] = sum(found.values * found.peak for found in maps) / len(maps)
            np.testing.assert_allclose(heat.values * heat.peak, means[target], atol=1e-6)
            assert heat.flat == all(found.flat for found in maps) and (heat.method, heat.layer) == (
                maps[0].method,
                maps[0].layer,
            )
            assert heat.flat or heat.values.max() == pytest.approx(1.0)
        strongest = max(float(mean.max()) for mean in means.values())
        assert strongest > 0
        shown = (means["malignant"] - means["benign"]) / strongest
        np.testing.assert_allclose(whole.evidence(own).values, shown, atol=1e-5)


def test_an_image_of_a_fold_is_scored_and_explained_by_the_member_that_held_it_out(lab: Path, ensemble: Run) -> None:
    whole, parts = Predictor.from_run(ensemble), [Predictor.from_run(run) for run in members_of(lab)]
    held_out = [set(paths_of(run, "val")) for run in members_of(lab)]
    images = paths_of(ensemble, "val")
    assert set(images) == held_out[0] | held_out[1] and not held_out[0] & held_out[1] and not paths_of(ensemble, "train")
    for path, found in zip(images[:6], whole.predict_many(images[:6], score_anyway=True), strict=True):
        (judge,) = [number for number, rows in enumerate(held_out) if path in rows]
        own = parts[judge].predict(path, score_anyway=True)
        assert not isinstance(found, tuple) and found.judges == (judge,)
        assert found.score == pytest.approx(own.score, abs=1e-7) and found.distance == pytest.approx(own.distance)
        assert "out-of-fold" in found.warnings[0] and not any("out-of-fold" in each for each in own.warnings)
        np.testing.assert_allclose(whole.explain(found).values, parts[judge].explain(own).values, atol=1e-6)
    moved = Path(shutil.copy(images[0], lab.parent / "elsewhere.png"))
    assert whole.predict(moved, score_anyway=True).judges, "a copy under another name is known by its content"
    assert whole.predict(moved.read_bytes(), score_anyway=True).judges


def test_its_threshold_and_calibration_are_chosen_on_the_scores_of_the_folds(lab: Path, ensemble: Run) -> None:
    tables = pd.concat([read_predictions(run, "val") for run in members_of(lab)])
    own = read_predictions(ensemble, "val")
    merged = own.merge(tables, on="path", suffixes=("", "_member"), validate="one_to_one")
    assert len(merged) == len(own) == 28 and (merged["score"] == merged["score_member"]).all() and set(own["split"]) == {"val"}
    card = ensemble.model_card()
    rule = rule_of(ensemble.config().evaluation)
    assert card.threshold == with_room(rule.choose((own["label"] == "malignant").to_numpy(), own["score"].to_numpy()))
    assert card.calibration is not None and card.validation is not None and card.validation.auc is not None
    assert card.best_epoch is None and [each.run for each in card.members or ()] == [run.name for run in members_of(lab)]
    assert "mean of 2 models (small_cnn)" in card.architecture and "2 times" in card.cost


@pytest.mark.slow
def test_an_image_that_several_members_held_out_is_scored_by_the_mean_of_these(runs: Path) -> None:
    first, second = members_of(runs)
    third = Run(Path(shutil.copytree(first.path, runs / "third")))
    model, card = load_model(first.path)
    with torch.no_grad():
        model.head.weight.mul_(3.0)  # type: ignore[union-attr, operator]
    save_model(third.path, model, card)
    table = pd.read_csv(third.path / "predictions" / "val.csv").assign(score=0.5)
    table.to_csv(third.path / "predictions" / "val.csv", index=False)
    run = ensemble_of([first, second, third], root=runs, name="three")
    assert set(run.manifest()[OUT_OF_FOLD]) == {"", "1 3", "2"}
    own, before = (read_predictions(each, "val").set_index("path")["score"] for each in (run, first))
    np.testing.assert_allclose(own.loc[before.index], (before + 0.5) / 2, atol=1e-6)
    path, parts = paths_of(first, "val")[0], [Predictor.from_run(each) for each in (first, third)]
    whole = Predictor.from_run(run)
    found, each = whole.predict(path, score_anyway=True), [part.predict(path, score_anyway=True) for part in parts]
    assert found.judges == (0, 2) and "1 of the 3 models of this ensemble was trained" in found.warnings[0]
    assert found.score == pytest.approx(np.mean([other.score for other in each]), abs=1e-6)
    maps = [part.explain(other) for part, other in zip(parts, each, strict=True)]
    heat, mean = whole.explain(found), sum(other.values * other.peak for other in maps) / 2
    np.testing.assert_allclose(heat.values * heat.peak, mean, atol=1e-6)
    assert isinstance(whole.gate, str), "a member without a gate of its weights: the ensemble has none until it is fitted"


@pytest.mark.slow
def test_evaluating_its_validation_gives_the_scores_of_the_folds_and_a_report_says_so(runs: Path, undrawn: None) -> None:
    run = Run.open(runs / "cv-ensemble")
    before = read_predictions(run, "val").set_index("path")["score"]
    found = evaluate(run, "val")
    after = found.predictions.set_index("path")["score"]
    np.testing.assert_allclose(after, before.loc[after.index], atol=2e-6)
    assert run.model_card().threshold == Run.open(runs / "cv-ensemble").model_card().threshold
    with pytest.raises(NotEnoughData, match="no image in this split"):
        evaluate(run, "train")
    page = report(run).read_text(encoding="utf-8")
    assert "mean of 2 models (small_cnn)" in page and "2 times the time and the memory of one" in page
    assert "01-cross-validation-r1f1 (epoch 1)" in page and "held it out" in page and "was not trained itself" in page
    assert "No image is of the training set alone. Each of the 2 models was also trained" in page


@pytest.mark.slow
def test_its_test_set_is_sealed_until_it_is_evaluated_which_counts(runs: Path) -> None:
    run = Run.open(runs / "cv-ensemble")
    assert not accesses(run.path) and not (run.path / "predictions" / "test.csv").exists()
    found = evaluate(run, "test")
    assert found.evaluations == 1 and found.images == 4 and [each.kind for each in accesses(run.path)] == ["scored"]
    with pytest.raises(BadRun, match="stays sealed"):
        evaluate(members_of(runs)[0], "test")


def test_it_is_loaded_as_it_was_saved_and_only_with_all_of_its_tensors(runs: Path) -> None:
    folder = runs / "cv-ensemble"
    model, card = load_model(folder)
    assert isinstance(model, Ensemble) and len(model.networks) == 2 and not model.training
    for own, run in zip(model.networks, members_of(runs), strict=True):
        saved = load_model(run.path)[0].state_dict()
        assert (
            all(value.equal(saved[name]) for name, value in own.state_dict().items())
            and saved.keys() == own.state_dict().keys()
        )
    assert update_card(folder, {"threshold": 0.25}).members == card.members
    content = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    for members in (
        content["members"][:1],
        [*content["members"], content["members"][0]],
        [{**content["members"][0], "model": 3}],
    ):
        (folder / "model.json").write_text(json.dumps(content | {"members": members}), encoding="utf-8")
        with pytest.raises(BadRun):
            load_model(folder)
    del content["members"]
    (folder / "model.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(BadRun, match="do not fit"):
        load_model(folder)


@pytest.mark.slow
def test_its_gate_is_that_of_its_members_and_can_be_fitted_again(runs: Path) -> None:
    run = Run.open(runs / "cv-ensemble")
    gates = [read_gate(each.path, each.model_card()) for each in members_of(runs)]
    gate = read_gate(run.path, run.model_card())
    assert isinstance(gate, MeanDistance) and [own.limit for own in gate.gates] == [each.limit for each in gates]  # type: ignore[union-attr]
    counts = [each.train for each in gates if isinstance(each, Distance)]
    assert f"{min(counts)}" in gate.learned_from and f"of each of its {len(gates)} models" in gate.learned_from
    (run.path / "gate.safetensors").unlink()
    predictor = Predictor.from_run(run)
    assert isinstance(predictor.gate, str)
    predictor.fit_gate(run.path, run.manifest(), default_cache(predictor.recipe))
    again = read_gate(run.path, run.model_card())
    assert isinstance(again, MeanDistance)
    for own, other in zip(again.gates, gates, strict=True):
        assert isinstance(other, Distance) and own.limit == pytest.approx(other.limit, rel=1e-3) and own.train == other.train


def test_a_damaged_list_of_who_held_an_image_out_is_refused(runs: Path) -> None:
    run = Run.open(runs / "cv-ensemble")
    path, rows = paths_of(run, "val")[0], read_manifest(run.path / "manifest.csv")
    for cell, error, said in (("first", BadManifest, "numbers of models"), ("7", BadRun, "there are 2")):
        write_manifest(rows.assign(**{OUT_OF_FOLD: cell}), run.path / "manifest.csv")
        with pytest.raises(error, match=said):
            Predictor.from_run(run).predict(path)


def test_an_audit_of_its_heatmaps_asks_the_member_that_held_the_image_out(ensemble: Run, lab: Path) -> None:
    from core.heatmap_audit.image_auditor import Subject
    from core.heatmap_audit.settings import AuditSettings

    whole, part = Predictor.from_run(ensemble), Predictor.from_run(members_of(lab)[0])
    path = paths_of(members_of(lab)[0], "val")[0]
    found = []
    for predictor in (whole, part):
        prediction = predictor.predict(path, score_anyway=True)
        pixels = prediction.prepared.pixels
        subject = Subject(path, "p", "benign", prediction, pixels, np.ones(pixels.shape, np.bool_), None, "")
        found.append(Look(predictor, "hirescam", AuditSettings())(subject, perturbed=True))
    one, other = found
    kept = [name for name in other.case.values if not name.startswith("shuffled")]
    assert {name: one.case.values[name] for name in kept} == {name: other.case.values[name] for name in kept}
    assert one.curves == other.curves and one.case.score == other.case.score


# ---------------------------------------------------------------- what it is not made of


def test_an_unfinished_study_is_refused_with_what_is_left(runs: Path) -> None:
    first, second = members_of(runs)
    first.set_status(state="failed")
    shutil.rmtree(second.path)
    with pytest.raises(BadRun, match=r"needs all 2 runs .*r1f1 \(failed\) and .* \(not begun\)"):
        ensemble_of_study(Study.open(runs / "cv"))
    with pytest.raises(BadRun, match="expected the number of one of its 1 setting, got 2"):
        ensemble_of_study(Study.open(runs / "cv"), cell=1)
    assert [run.name for run in list_runs(runs)] == ["cv-ensemble"] and not list(runs.glob(".new-*"))


def test_it_is_never_trained_and_no_ensemble_is_part_of_another(runs: Path) -> None:
    run = Run.open(runs / "cv-ensemble")
    for refused in (lambda: fork(run), lambda: run.require_startable(resume=True), lambda: list(train(run, resume=True))):
        with pytest.raises(BadRun, match="it is the mean of 2 runs"):
            refused()
    with pytest.raises(BadRun, match="is an ensemble itself"):
        ensemble_of([run, *members_of(runs)], root=runs)


def changed(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Run], None]:
    def apply(run: Run) -> None:
        write_manifest(change(read_manifest(run.path / "manifest.csv")), run.path / "manifest.csv")

    return apply


def first_as(frame: pd.DataFrame, before: str, **values: str) -> pd.DataFrame:
    """The frame with other values in its first row of this split."""
    place = frame.index[frame["split"] == before][0]
    frame = frame.copy()
    for name, value in values.items():
        frame.loc[place, name] = value
    return frame


def other_recipe(run: Run) -> None:
    recipe = run.config().preprocessing.model_copy(update={"gamma": 2.0})
    update_card(run.path, {"recipe": recipe.model_dump(mode="json"), "recipe_hash": recipe.hash})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda run: other_recipe(run), r"prepare images differently \(gamma: 1.0 and 2.0\)"),
        (lambda run: run.set_status(state="stopped"), "expected a finished run, and it is stopped"),
        (changed(lambda frame: frame.iloc[1:]), "different images in their manifests"),
        (changed(lambda frame: first_as(frame, "test", split="train")), "different test splits: 1 image"),
        (changed(lambda frame: first_as(frame, "train", label="unknown")), "label"),
        (changed(lambda frame: first_as(frame, "train", content_hash="0" * 64)), "differ in the content_hash of 1 image"),
        (changed(lambda frame: first_as(frame, "train", split="val")), "held it out, and"),
        (lambda run: update_card(run.path, {"leakage": "patients"}), "splits leak"),
        (lambda run: (run.path / "predictions" / "val.csv").unlink(), "val.csv: cannot be read"),
        (lambda run: (run.path / "model.json").unlink(), "model.json"),
        (lambda run: update_card(run.path, {"unit": "breast"}), "scores breasts .* there is no mean"),
    ],
)
def test_runs_that_do_not_fit_are_refused_with_what_differs(runs: Path, change: Callable[[Run], None], said: str) -> None:
    members = members_of(runs)
    change(members[1])
    with pytest.raises(LabError, match=said):
        ensemble_of(members, root=runs, name="mine")
    assert not (runs / "mine").exists() and not list(runs.glob(".new-*"))


@pytest.mark.slow
def test_too_few_runs_and_one_given_twice_are_refused(runs: Path) -> None:
    first, _ = members_of(runs)
    with pytest.raises(BadRun, match="expected 2 to 500 runs"):
        ensemble_of([first], root=runs)
    with pytest.raises(BadRun, match="would count twice"):
        ensemble_of([first, first], root=runs)
    with pytest.raises(BadRun, match="already a run named cv-ensemble"):
        ensemble_of(members_of(runs), root=runs, name="cv-ensemble")
    assert ensemble_of_study(Study.open(runs / "cv")).name == "cv-ensemble-2"


# ---------------------------------------------------------------- chosen runs


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Two runs of one split, with other seeds and other widths."""
    folder = tmp_path_factory.mktemp("seeds")
    rows, made = draw_frame(folder / "images"), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAMMOLAB_CACHE", str(folder / "cache"))
        for name, settings in (
            ("narrow", {"training__seed": 1}),
            ("wide", {"training__seed": 2, "model__options": "{width: 16}"}),
        ):
            made.append(Run.create(toy_config(folder / "runs", **SETTINGS | settings), rows, name=name))
            list(train(made[-1]))
    return made


@pytest.mark.slow
def test_runs_of_one_split_keep_it_and_all_of_them_score_its_validation(seeds: list[Run], tmp_path: Path) -> None:
    pair = seeds
    made = ensemble_of(pair, root=tmp_path / "runs", name="pair")
    assert made.manifest()["split"].tolist() == pair[0].manifest()["split"].tolist()
    tables = [read_predictions(run, "val").set_index("path")["score"] for run in pair]
    own = read_predictions(made, "val").set_index("path")["score"]
    np.testing.assert_allclose(own, (tables[0] + tables[1].loc[tables[0].index]).loc[own.index] / 2, atol=1e-6)
    whole = Predictor.from_run(made)
    found = whole.predict(paths_of(made, "val")[0], score_anyway=True)
    assert not found.judges and not any("out-of-fold" in each for each in found.warnings)
    heat = whole.explain(found)  # networks of different widths: each map counts from 0 to 1
    maps = [Predictor.from_run(run).explain(found.prepared) for run in pair]
    mean = sum(each.values for each in maps)
    np.testing.assert_allclose(heat.values, mean / mean.max(), atol=1e-5)


def test_what_it_costs_is_measured(ensemble: Run, lab: Path) -> None:
    whole, one = costs_of(ensemble), costs_of(members_of(lab)[0])
    assert (whole.members, one.members) == (2, 1) and whole.parameters == 2 * one.parameters
    assert whole.size > 1.5 * one.size and "2 networks" in whole.words and whole.milliseconds > 0


# ---------------------------------------------------------------- two views


@pytest.mark.slow
def test_of_models_that_judge_breasts_scores_and_heatmaps_are_means_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAMMOLAB_CACHE", str(tmp_path / "cache"))
    study = make_study(tmp_path, draw_breasts(tmp_path / "images", patients=16), model__views=2)
    run = ensemble_of_study(study)
    members = members_of(tmp_path / "runs")
    whole, parts = Predictor.from_run(run), [Predictor.from_run(each) for each in members]
    assert whole.judges_breasts and run.model_card().scored == "breast"
    files = [path for path in paths_of(run, "test") if Path(path).name.startswith("p06_L")]
    breast, each = (
        predict_breast(whole, files, score_anyway=True),
        [predict_breast(part, files, score_anyway=True) for part in parts],
    )
    assert len(files) == 2 and breast.score == pytest.approx(np.mean([found.score for found in each]), abs=1e-6)
    heats, maps = explain_breast(whole, breast), [explain_breast(part, found) for part, found in zip(parts, each, strict=True)]
    for place, heat in enumerate(heats):
        own = [found[place] for found in maps]
        mean = sum(found.values * found.peak for found in own) / 2  # type: ignore[union-attr]
        np.testing.assert_allclose(heat.values * heat.peak, mean, atol=1e-6)  # type: ignore[union-attr]
    own = read_predictions(run, "val").set_index("path")["score"]
    tables = pd.concat([read_predictions(each, "val") for each in members]).set_index("path")["score"]
    assert own.index.sort_values().equals(tables.index.sort_values()) and own.equals(tables.loc[own.index])
    held_out = paths_of(members[1], "val")[:1]
    alone = predict_breast(whole, held_out, score_anyway=True)
    assert alone.judges == (1,) and "out-of-fold" in alone.warnings[0]
    assert alone.score == pytest.approx(predict_breast(parts[1], held_out, score_anyway=True).score)
