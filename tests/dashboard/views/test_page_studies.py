"""Studies: the form, the quick answer, progress, results; nothing is trained in the server."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from builders.lab_pages import button, figures, keys, open_page, tables, texts, wait_until
from builders.toy_training import draw_frame, toy_config, toy_probe

from core.data import write_manifest
from core.studies import Design, Study, work
from core.training.model_costs import ModelCosts
from core.wording import plain
from dashboard.state import preferences, settings, studies, tasks, training_runs

DESIGN = Design(question="Does it help?", folds=2, factors={"training.learning_rate": [0.01, 0.0001]})


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("studies")
    config = toy_config(folder / "checkpoints", training__epochs=1, evaluation__bootstrap_samples=100)
    study = Study.create("lr", DESIGN, config, draw_frame(folder / "images"))
    assert len(work(study, queue=False).trained) == 4
    return study


@pytest.fixture
def study(workspace: Path, finished: Study) -> Study:
    shutil.copytree(finished.path, settings.checkpoints() / "lr")
    return Study.open(settings.checkpoints() / "lr")


def toy_set(workspace: Path) -> None:
    (workspace / "data").mkdir()
    write_manifest(draw_frame(workspace / "data" / "images"), workspace / "data" / "toy.csv")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bool]]:
    """The workers that were asked for."""
    found: list[tuple[str, bool]] = []
    monkeypatch.setattr(
        "dashboard.state.studies.start_process", lambda study, *, retry=False: found.append((study.name, retry)) or 1
    )
    return found


def test_results_are_an_answer_in_words_two_charts_and_a_table(study: Study) -> None:
    app = open_page("studies")
    assert not app.exception and not app.error
    said = texts(app)
    assert "Does it help?" in said and plain("learning_rate 0.0001") in said and "optimistic" in said
    assert set(figures(app)) == {"studies:cells", "studies:differences"}
    assert "reference" in tables(app) and "Adjusted p" in tables(app)
    assert not {"studies:train", "studies:retry", "studies:stop"} & keys(app), "there is nothing left to train"


@pytest.mark.parametrize(("part", "words"), [("Runs", "01-learning_rate-0.01-r1f1"), ("Design", "Malignant images")])
def test_its_other_parts_list_the_runs_and_the_folds(study: Study, part: str, words: str) -> None:
    preferences.set("studies:part", part)
    app = open_page("studies")
    assert not app.exception and words in tables(app)
    if part == "Design":
        assert "4 images of the test split take no part" in texts(app)


def test_what_is_left_is_trained_in_a_process_of_its_own_and_failed_runs_are_tried_again(
    study: Study, started: list[tuple[str, bool]]
) -> None:
    first, second, *_ = (run for run in study.runs.values() if run is not None)
    shutil.rmtree(first.path)
    second.set_status(state="failed", reason="no room left on the disk")
    app = open_page("studies")
    (progress,) = app.get("progress")
    assert progress.proto.text == "2 of 4 runs trained · 1 failed" and progress.proto.value == 50
    assert "no room left on the disk" in texts(app)
    button(app, "studies:train").click().run()
    button(open_page("studies"), "studies:retry").click().run()
    assert started == [("lr", False), ("lr", True)]


@pytest.mark.slow
def test_one_model_is_made_of_the_folds_and_then_used_on_the_other_pages(study: Study, workspace: Path) -> None:
    preferences.set("studies:part", "Ensemble")
    preferences.set("studies:ensemble:setting", "1")
    app = open_page("studies")
    assert "2 times the time and the memory of one" in texts(app) and not app.exception
    button(app, "studies:ensemble:make").click().run()
    assert not app.exception and not app.error and "lr-learning_rate-0.0001-ensemble is made" in texts(app).replace("\\", "")
    assert {"studies:ensemble:evaluate", "studies:ensemble:test_image"} <= keys(app)
    run = training_runs.current_run()
    assert run is not None and [each.run[:2] for each in run.model_card().members or ()] == ["02", "02"]
    explained = open_page("explain")
    assert not explained.exception and not explained.error
    said = texts(explained)
    assert "was trained on this image" in said and "Mean of 2 models" in said
    assert "mean of 2 models" in open_page("runs").dataframe[0].value.to_string()


def test_an_ensemble_waits_for_the_runs_that_are_left(study: Study) -> None:
    first, *_ = (run for run in study.runs.values() if run is not None)
    shutil.rmtree(first.path)
    preferences.set("studies:part", "Ensemble")
    app = open_page("studies")
    assert "1 of 2 runs is not finished yet" in texts(app) and button(app, "studies:ensemble:make").disabled


def test_a_damaged_study_is_an_error_with_its_place(study: Study) -> None:
    (study.path / "study.yaml").write_text("folds: many\n", encoding="utf-8")
    app = open_page("studies")
    assert not app.exception and any("study.yaml" in each.value for each in app.error)


@pytest.mark.slow
def test_a_new_study_is_made_from_the_form(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy_set(workspace)
    preferences.set("study:asked", ["CLAHE on or off"])
    preferences.set("study:folds", 2)
    preferences.set("study:name", "clahe")
    app = open_page("studies")
    assert not app.exception and "4 runs to train: 2 combinations, 2 folds." in texts(app)
    assert "`preprocessing.clahe`: True, False" in texts(app)
    button(app, "study:create").click().run()
    task = tasks.task(studies.MAKE)
    assert task is not None
    wait_until(lambda: not task.running)
    app = open_page("studies")
    assert [each.name for each in studies.all_studies()] == ["clahe"] and preferences.get("study") == "clahe"
    assert "Nothing is trained yet" in texts(app) and "studies:train" in keys(app)


def test_settings_that_cannot_be_read_are_said_and_nothing_is_made(workspace: Path) -> None:
    toy_set(workspace)
    app = open_page("studies")
    app.text_area(key="study:more").set_value("training.epochs: 4").run()
    assert "expected a setting and its values" in texts(app) and "study:create" not in keys(app)


@pytest.mark.slow
def test_a_quick_answer_is_shown_with_what_it_is_not(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy_set(workspace)
    monkeypatch.setattr("core.studies.quick_probe._with_weights", toy_probe)
    preferences.set("study:asked", ["CLAHE on or off"])
    preferences.set("study:folds", 2)
    button(open_page("studies"), "study:ask").click().run()
    task = tasks.task(studies.QUICK)
    assert task is not None
    wait_until(lambda: not task.running)
    assert task.state == "done", task.error
    app = open_page("studies")
    assert "Quick answer:" in texts(app) and "A probe is not a full training" in texts(app)
    assert "clahe False" in tables(app) or "clahe false" in tables(app)
    assert not studies.all_studies()


@pytest.mark.slow
def test_a_plan_is_shown_with_its_reasons_and_becomes_a_study(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy_set(workspace)
    monkeypatch.setattr("core.studies.plan.costs_of", lambda config: ModelCosts(0.1, 16, 10**6, "cpu", "fp32", "2026-01-01"))
    preferences.set("study:name", "planned")
    preferences.set("study:kind", "plan")
    button(open_page("studies"), "study:plan").click().run()
    task = tasks.task(studies.PLAN)
    assert task is not None
    wait_until(lambda: not task.running)
    assert task.state == "done", task.error
    app = open_page("studies")
    assert "preprocessing.size" in tables(app) and "at most on this machine" in texts(app)
    button(app, "study:plan:make").click().run()
    made = tasks.task(studies.MAKE)
    assert made is not None
    wait_until(lambda: not made.running)
    preferences.set("studies:part", "Design")
    open_page("studies")
    (study,) = studies.all_studies()
    assert study.name == "planned" and study.plan()["choices"]


def test_several_studies_are_cards_with_their_answers(study: Study) -> None:
    shutil.copytree(study.path, study.path.with_name("second"))
    app = open_page("studies")
    assert {"studies:open:lr", "studies:open:second"} <= keys(app) and "Does it help?" in texts(app)
    assert plain("learning_rate 0.0001") in texts(app)
    button(app, "studies:open:second").click().run()
    assert preferences.get("study") == "second" and "studies:cells" in figures(open_page("studies"))


def test_the_table_to_save_has_numbers_in_columns_of_their_own(study: Study) -> None:
    from core.metrics.intervals import Interval
    from core.studies import results_of
    from dashboard.views.studies.results import table_csv

    found = results_of(study)
    table = pd.read_csv(io.BytesIO(table_csv(found)))
    auc = found.cells[1].auc
    assert isinstance(auc, Interval) and list(table["settings"]) == [each.label for each in found.cells]
    assert tuple(table.loc[1, ["auc", "auc_low", "auc_high"]]) == pytest.approx((auc.value, auc.low, auc.high))
    assert table["difference"].isna().tolist() == [True, False]


def test_one_failed_run_is_tried_again_by_name(study: Study, started: list[tuple[str, Any]]) -> None:
    first, second, *_ = (run for run in study.runs.values() if run is not None)
    for run in (first, second):
        run.set_status(state="failed", reason="no room left on the disk")
    preferences.set("studies:part", "Runs")
    app = open_page("studies")
    button(app, "studies:retry_one").click().run()
    assert started == [("lr", [first.name])]
    for run in study.runs.values():
        assert run is not None
        run.set_status(state="failed", reason="no room left on the disk")
    app = open_page("studies")
    assert "No run has finished: 4 runs failed." in texts(app) and "Nothing is trained yet" not in texts(app)


@pytest.mark.slow
def test_a_study_is_made_longer_and_deleted_after_its_name_is_typed(study: Study) -> None:
    app = open_page("studies")
    app.text_area(key="studies:extend:values:lr:4").set_value("training.learning_rate = [0.001]").run()
    button(app, "studies:extend").click().run()
    assert len(study.runs) == 6 and "studies:by_level" in figures(open_page("studies")), "three values are a curve"
    app = open_page("studies")
    assert button(app, "studies:delete").disabled
    app.text_input(key="studies:delete:name").set_value("lr").run()
    button(app, "studies:delete").click().run()
    assert not study.path.exists() and not studies.all_studies()


def test_two_settings_are_a_heat_table(workspace: Path, finished: Study) -> None:
    shutil.copytree(finished.path, settings.checkpoints() / "lr")
    study = Study.open(settings.checkpoints() / "lr")
    text = (study.path / "study.yaml").read_text(encoding="utf-8")
    wider = text.replace("factors:\n", "factors:\n  preprocessing.clahe: [true, false]\n")
    (study.path / "study.yaml").write_text(wider, encoding="utf-8")
    assert len(study.design().cells) == 4
    names = {job.fold: job.name for job in study.design().jobs if job.cell.number == 0}
    for fold, old in enumerate(sorted(each.name for each in study.path.glob("01-*"))):
        (study.path / old).rename(study.path / names[fold])
    preferences.set("studies:by", "preprocessing.clahe training.learning_rate")
    app = open_page("studies")
    assert not app.exception and "studies:by_level" in figures(app)
