"""The search on the Studies page: its form, and its trials in charts and a table."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from builders.fake_training import faked
from builders.lab_pages import button, figures, keys, open_page, tables, texts, wait_until
from builders.toy_training import draw_frame, toy_config

from core.data import write_manifest
from core.studies import Design, Range, Search, Study, work
from core.wording import plain
from dashboard.state import preferences, settings, studies, tasks

SPACE = {"training.learning_rate": Range(low=1e-4, high=0.1, log=True), "model.name": ["small_cnn", "resnet18"]}


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("studies")
    config = toy_config(folder / "checkpoints", training__epochs=1, model__options="{}", evaluation__bootstrap_samples=100)
    design = Design(question="Which rate?", folds=3, search=Search(space=SPACE, trials=8, sampler="random"))
    study = Study.create("rate", design, config, draw_frame(folder / "images"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("core.training.launchers.run_to_end", faked())
        assert not work(study, queue=False).failed
    return study


@pytest.fixture
def study(workspace: Path, searched: Study) -> Study:
    shutil.copytree(searched.path, settings.checkpoints() / "rate")
    return Study.open(settings.checkpoints() / "rate")


def test_trials_are_a_sentence_three_charts_and_a_table(study: Study) -> None:
    preferences.set("studies:part", "Search")
    app = open_page("studies")
    assert not app.exception and not app.error
    assert set(figures(app)) == {"studies:trials", "studies:importance", "studies:coordinates"}
    said = texts(app)
    assert (
        "Best: trial" in said
        and plain("8 of 8 trials: 8 finished") in said
        and "the first fold, which is left out here" in said
    )
    assert "Winner: trial" in said and "settings of config.yaml" in tables(app) and "resnet18" in tables(app)
    (progress,) = app.get("progress")
    assert progress.proto.value == 100 and not {"studies:train", "studies:retry"} & keys(app)


def test_a_search_at_its_beginning_shows_the_trials_there_are_and_how_many_are_left(study: Study) -> None:
    for path in (*study.path.glob("0*"), *study.path.glob("trial-*"), study.path / "optuna.db"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    text = (study.path / "study.yaml").read_text(encoding="utf-8")
    (study.path / "study.yaml").write_text(text[: text.index("  winner:")] + "  winner:\nseed: 0\n", encoding="utf-8")
    app = open_page("studies")
    assert not app.exception and not app.error
    (progress,) = app.get("progress")
    assert progress.proto.text == "0 of 8 trials · 0 of 4 runs trained" and "studies:train" in keys(app)
    assert "Nothing is trained yet" in texts(app) and not figures(app)


def test_a_damaged_database_is_an_error_with_its_place(study: Study) -> None:
    (study.path / "optuna.db").write_bytes(b"no database " * 100)
    app = open_page("studies")
    assert not app.exception and any("optuna.db" in each.value for each in app.error)


def test_a_search_is_made_from_the_form(workspace: Path) -> None:
    (workspace / "data").mkdir()
    write_manifest(draw_frame(workspace / "data" / "images"), workspace / "data" / "toy.csv")
    preferences.set("study:kind", "search")
    preferences.set("study:folds", 3)
    preferences.set("study:name", "best")
    assert "Choose at least one setting to search" in texts(open_page("studies"))
    preferences.set("study:searched", ["Learning rate", "CLAHE"])
    preferences.set("study:range:training.learning_rate:from", "many")
    app = open_page("studies")
    assert plain("training.learning_rate=log:many..0.01") in texts(app) and "study:create" not in keys(app)
    preferences.set("study:range:training.learning_rate:from", "1e-5")
    app = open_page("studies")
    app.text_area(key="study:searched:more").set_value("training.batch_size = 4..16 step 4").run()
    assert not app.exception and "20 trials on the first fold, then 4 runs on the other folds" in texts(app)
    button(app, "study:create").click().run()
    task = tasks.task(studies.MAKE)
    assert task is not None
    wait_until(lambda: not task.running)
    search = studies.all_studies()[0].design().search
    assert search is not None and search.trials == 20 and search.pruning
    assert search.space == {
        "training.learning_rate": Range(low=1e-5, high=1e-2, log=True),
        "training.batch_size": Range(low=4, high=16, step=4, whole=True),
        "preprocessing.clahe": [True, False],
    }
