"""The functions of `core`: they do what the commands do, and keep the same record of accesses to test sets."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders.copied import copied

import core
from core.cli import main
from core.demo import make_demo
from core.errors import BadConfig, BadManifest, BadRun, NotRecorded, Refused, UnreadableImage
from core.runs.test_set import access_log
from core.runs.test_set.accesses import FILE, accesses, read_record

OVERRIDES = {
    "preprocessing": {"size": 32, "clahe": False},
    "model.options": {"width": 8},
    "training": {"epochs": 1, "device": "cpu", "precision": "fp32", "advanced": {"threads": 1}},
    "evaluation.bootstrap_samples": np.int64(100),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, trained_demo: Path) -> Path:
    """A workspace without config.yaml, with a tiny demo set and one run named `first`, of these OVERRIDES."""
    folder = copied(trained_demo, tmp_path_factory.mktemp("python"))
    (folder / "config.yaml").unlink()
    return folder


@pytest.fixture
def lab(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(trained)
    monkeypatch.setenv("MAMMOLAB_CACHE", str(trained / "cache"))
    yield trained
    for path in trained.rglob(FILE):
        path.unlink()


def image_of(split: str) -> str:
    return str(core.open_run("first").manifest().query("split == @split")["path"].iloc[0])


@pytest.mark.slow
def test_a_training_takes_its_settings_from_python_values(lab: Path) -> None:
    run = core.train("data/demo/manifest.csv", overrides=OVERRIDES, name="own", progress=False)
    config = run.config()
    run.delete()
    assert config.training.epochs == 1 and config.preprocessing.size == 32
    assert config.model.options == {"width": 8} and config.evaluation.bootstrap_samples == 100
    assert config.preprocessing.gamma == 1.0, "what was not given keeps its default"


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"training.epochs": 0}, "overrides: training.epochs: got 0; allowed: a whole number"),
        ({"training": {"epoch": 3}}, "training.epoch: unknown field; allowed here: .*epochs"),
        ({"epochs": 3}, "overrides: epochs: unknown field; allowed here: .*training"),
    ],
)
def test_a_wrong_setting_names_itself_and_makes_no_run(lab: Path, overrides: dict, words: str) -> None:
    with pytest.raises(BadConfig, match=words):
        core.train(overrides=overrides)
    assert [run.name for run in core.list_runs()] == ["first"]


def test_a_manifest_or_configuration_that_is_not_there_is_said(lab: Path) -> None:
    with pytest.raises(BadManifest, match=r"nothing\.csv"):
        core.train("nothing.csv")
    with pytest.raises(BadConfig, match=r"nothing\.yaml"):
        core.train(config="nothing.yaml")


@pytest.mark.slow
def test_progress_is_lines_silence_or_a_function(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[str] = []
    run = core.train(overrides=OVERRIDES, name="told", progress=lambda event: seen.append(event["type"]))
    assert "epoch" in seen and "done" in seen
    assert capsys.readouterr() == ("", "")
    run.delete()
    run = core.train(overrides=OVERRIDES, name="told")
    assert "epoch 1/1: loss" in capsys.readouterr().err
    run.delete()


@pytest.mark.slow
def test_a_stopped_training_is_resumed_where_it_was(lab: Path) -> None:
    def stop(event: dict) -> None:
        if event["type"] == "epoch":
            core.open_run("long").request("stop")

    run = core.train(overrides={**OVERRIDES, "training.epochs": 3}, name="long", progress=stop)
    assert run.status().state == "stopped"
    assert core.resume("long", progress=False) == run
    assert run.status().state == "done" and run.status().epoch == 3
    with pytest.raises(BadRun, match="finished"):
        core.resume(run)
    run.delete()


def test_a_run_is_found_by_name_path_or_itself(lab: Path) -> None:
    run = core.open_run("first")
    assert run == core.open_run(run.path) == core.open_run(str(run.path)) == core.open_run(run)
    with pytest.raises(BadRun, match="Runs in checkpoints: first"):
        core.open_run("second")


@pytest.mark.slow
def test_validation_is_evaluated_as_by_the_command_and_opens_nothing(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluation = core.evaluate_run("first", "validation")
    assert main(["evaluate", "first", "--split", "val", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["metrics"] == json.loads(json.dumps(evaluation.to_dict()["metrics"]))
    assert core.evaluate_run("first").split == "val", "the test set is evaluated only by its name"
    assert not accesses(core.open_run("first").path)
    with pytest.raises(BadManifest, match="tset"):
        core.evaluate_run("first", "tset")


@pytest.mark.slow
def test_an_evaluation_on_test_is_recorded_before_figures_are_given(
    lab: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = core.open_run("first")

    def refuse(*_: object, **__: object) -> None:
        raise NotRecorded("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("core.evaluate.evaluation.record_for_run", refuse)
        with pytest.raises(NotRecorded, match="disk is full"):
            core.evaluate_run(run, "test")
    assert core.read_evaluation(run, "test") is None
    evaluation = core.evaluate_run(run, "test")
    assert "accesses the test set of first for the first time" in capsys.readouterr().err
    assert evaluation.evaluations == 1
    assert [(each.kind, each.where, each.images) for each in accesses(run.path)] == [("scored", "Python", evaluation.images)]
    assert core.read_evaluation(run, "test").evaluations == 1
    (run.path / "evaluation.json").unlink()


@pytest.mark.slow
def test_an_external_test_is_recorded_before_figures_are_given(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_demo(lab / "data" / "other", patients=12, rows=96, seed=9)
    table = pd.read_csv(lab / "data" / "other" / "manifest.csv", dtype=str, keep_default_na=False)
    table.assign(patient_id="other-" + table["patient_id"]).to_csv(lab / "data" / "other" / "manifest.csv", index=False)
    run, manifest = core.open_run("first"), "data/other/manifest.csv"

    def refuse(*_: object, **__: object) -> None:
        raise NotRecorded("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("core.evaluate.opened_set.record", refuse)
        with pytest.raises(NotRecorded, match="disk is full"):
            core.evaluate_run(run, manifest=manifest)
    assert core.read_evaluation(run, "external-other") is None
    evaluation = core.evaluate_run(run, manifest=manifest, name="films", progress=False)
    assert evaluation.split == "external-films" and evaluation.images + len(evaluation.excluded) == len(table)
    assert accesses(run.path) == ()
    (line,) = read_record(run.path)
    assert (line.kind, line.where, line.external) == ("scored", "Python", "external-films")
    (run.path / "evaluation.json").unlink()


@pytest.mark.parametrize(
    ("look", "kinds"),
    [
        (lambda path: core.load_image(path), ["images"]),
        (lambda path: core.load_image(Path(path).read_bytes()), ["images"]),
        (lambda path: core.Predictor.from_run("first").predict(path), ["prediction"]),
        (lambda path: core.Predictor.from_run("first").predict(Path(path).read_bytes()), ["prediction"]),
        (lambda path: list(core.Predictor.from_run("first").predict_many([path])), ["prediction"]),
        (lambda path: explained(core.Predictor.from_run("first"), path), ["prediction", "heatmaps"]),
    ],
)
def test_a_test_image_is_shown_with_a_note_and_recorded(
    lab: Path, look: Callable[[str], object], kinds: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    run = core.open_run("first")
    look(image_of("val"))
    assert not accesses(run.path) and "test set" not in capsys.readouterr().err
    look(image_of("test"))
    assert [(each.kind, each.where) for each in accesses(run.path)] == [(kind, "Python") for kind in kinds]
    assert len(read_record(run.path.parent)) == len(kinds)
    assert "in the test set of the run first, not evaluated yet: recorded" in capsys.readouterr().err


def explained(predictor: core.Predictor, path: str) -> core.Heatmap:
    return predictor.explain(predictor.predict(path, score_anyway=True), method="gradcam")


def test_a_test_image_is_not_shown_where_that_cannot_be_recorded(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise NotRecorded("the disk is full")

    monkeypatch.setattr(access_log, "record", refuse)
    predictor = core.Predictor.from_run("first")
    for look in (core.load_image, predictor.predict, lambda path: predictor.predict_many([path])):
        with pytest.raises(NotRecorded):
            look(image_of("test"))


def test_a_split_that_is_drawn_later_counts_from_then_on(lab: Path) -> None:
    """What is known of a test set is kept between calls, and read again when the run's files change."""
    run = core.open_run("first")
    path = image_of("val")
    core.load_image(path)
    before = (run.path / "manifest.csv").read_bytes()
    frame = run.manifest()
    frame.loc[frame["path"] == path, "split"] = "test"
    frame.to_csv(run.path / "manifest.csv", index=False)
    core.load_image(path)
    (run.path / "manifest.csv").write_bytes(before)
    assert [each.kind for each in read_record(run.path.parent)] == ["images"]


def test_prediction_and_heatmap_are_those_of_the_command(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = image_of("val")
    predictor = core.Predictor.from_run(core.open_run("first"))
    prediction = predictor.predict(path, score_anyway=True)
    main(["predict", "first", path, "--score-anyway", "--json"])
    told = json.loads(capsys.readouterr().out)["predictions"][0]
    assert told["score"] == round(prediction.score, 6) and told["decision"] == prediction.decision
    heat = predictor.explain(prediction, method="gradcam")
    assert heat.values.shape == (32, 32) and heat.values.dtype == np.float32
    assert core.overlay(prediction.prepared, heat).shape == (32, 32, 3)
    assert main(["explain", "first", path, "--score-anyway", "--method", "gradcam", "--out", "command.png"]) == 0
    assert np.array_equal(shown(Path("command.png")), core.overlay(prediction.prepared, heat))


def shown(path: Path) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.open(path))


def test_an_image_that_cannot_be_read_or_judged_is_said_so(lab: Path) -> None:
    (lab / "notes.png").write_text("no image", encoding="utf-8")
    predictor = core.Predictor.from_run("first")
    for read in (core.load_image, predictor.predict):
        with pytest.raises(UnreadableImage, match=r"notes\.png"):
            read(lab / "notes.png")
    colour = np.zeros((64, 48, 3), np.uint8)
    colour[:, :, 0] = np.arange(48) * 5
    from PIL import Image

    Image.fromarray(colour).save("photograph.png")
    refused = predictor.predict("photograph.png")
    assert refused.decision is None and refused.refusal
    with pytest.raises(Refused, match="No verdict"):
        predictor.explain(refused)
