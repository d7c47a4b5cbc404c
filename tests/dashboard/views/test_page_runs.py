"""Runs: every run is listed whatever its state; one is acted on, several are compared; nothing is lost by accident."""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from builders.lab_pages import button, figures, keys, open_page, set_status, texts
from streamlit.testing.v1 import AppTest

from core.runs import Run
from core.runs.status import PROCESS
from dashboard.state import models, preferences, training_runs
from dashboard.views.runs import run_table


def copy_of(run: Run, name: str, settings: dict[str, str] | None = None, **status: Any) -> Run:
    """Another run folder with the same content, other lines in its config.yaml, another status."""
    copy = Run(run.path.with_name(name))
    shutil.copytree(run.path, copy.path)
    config = (copy.path / "config.yaml").read_text(encoding="utf-8")
    for before, after in (settings or {}).items():
        assert before in config
        config = config.replace(before, after)
    (copy.path / "config.yaml").write_text(config, encoding="utf-8")
    set_status(copy, **status)
    return copy


def here(**changes: Any) -> dict[str, Any]:
    """What a trainer of this machine that is at work writes."""
    present = {"pid": os.getpid(), "host": platform.node(), "process": PROCESS, "heartbeat": time.time()}
    return present | changes


def open_with(*selected: str, part: str = "Curves") -> AppTest:
    preferences.set("runs:part", part)
    app = open_page("runs", runs__selected=list(selected))
    assert not app.exception
    return app


def table(app: AppTest) -> Any:
    return app.dataframe[0].value


def test_without_a_run_the_page_leads_to_training(workspace: Path) -> None:
    app = open_page("runs")
    assert not app.exception and not app.error
    assert "No run yet" in texts(app)


def test_every_run_is_listed_with_its_state_and_a_damaged_one_with_its_problem(run: Run) -> None:
    copy_of(run, "at-work", state="running", finished=None, **here())
    copy_of(run, "in-line", state="queued", reason="Waits for at-work on cpu.", finished=None, **here())
    copy_of(run, "killed", state="running", heartbeat=1.0)
    (copy_of(run, "broken").path / "status.json").write_text("{", encoding="utf-8")
    app = open_with()
    states = dict(zip(table(app)["Run"], table(app)["State"], strict=True))
    assert states == {
        "tiny": "finished",
        "at-work": "training",
        "in-line": "waiting",
        "killed": "interrupted",
        "broken": "damaged",
    }
    notes = dict(zip(table(app)["Run"], table(app)["State detail"], strict=True))
    assert "status.json is damaged" in notes["broken"] and "Waits for at-work" in notes["in-line"]
    assert "Select a run" in app.info[0].value


def test_the_table_has_the_validation_auc_with_its_interval_over_patients(run: Run) -> None:
    import pandas as pd

    from core.metrics import auc

    scored = pd.read_csv(run.path / "predictions" / "val.csv")
    found = run_table.row(run).validation
    assert found is not None
    value, low, high = found.value, found.low, found.high
    assert value == pytest.approx(auc(scored["label"], scored["score"]))
    assert low <= value <= high
    assert table(open_with())["Validation AUC"].tolist() == [f"{value:.3f} [{low:.3f}, {high:.3f}]"]
    assert table(open_with())["Test AUC"].tolist() == ["–"]


@pytest.mark.slow
def test_the_filter_wants_all_words_and_one_of_the_states(run: Run) -> None:
    copy_of(run, "other", state="stopped").set_note("larger tiles")
    app = open_with()
    app.text_input(key="runs:words:widget").input("TILES small_cnn").run()
    assert table(app)["Run"].tolist() == ["other"]
    app.text_input(key="runs:words:widget").input("").run()
    app.button_group(key="runs:states:widget").set_value(["finished"]).run()
    assert table(app)["Run"].tolist() == ["tiny"]
    app.text_input(key="runs:words:widget").input("tiles").run()
    assert "No run passes the filter." in [info.value for info in app.info]


@pytest.mark.parametrize(
    ("status", "there", "absent"),
    [
        ({"state": "done"}, {"runs:open", "runs:evaluate"}, {"runs:pause", "runs:stop", "runs:resume", "runs:leave"}),
        ({"state": "stopped"}, {"runs:resume", "runs:evaluate"}, {"runs:pause", "runs:leave"}),
        ({"state": "failed", "reason": "The disk is full."}, {"runs:resume"}, {"runs:pause"}),
        ({"state": "running", "heartbeat": 1.0}, {"runs:resume"}, {"runs:pause"}),
        ({"state": "running", **here()}, {"runs:pause", "runs:stop"}, {"runs:resume", "runs:leave"}),
        ({"state": "paused", **here()}, {"runs:resume_paused", "runs:stop"}, {"runs:resume", "runs:pause"}),
        ({"state": "queued", **here()}, {"runs:leave"}, {"runs:resume", "runs:pause", "runs:stop"}),
    ],
)
def test_the_actions_fit_the_state(run: Run, status: dict[str, Any], there: set[str], absent: set[str]) -> None:
    if "pid" in status:
        status = status | here()
    set_status(run, **status)
    app = open_with("tiny")
    assert there <= keys(app) and not absent & keys(app)
    assert set(figures(app)) == {"runs:loss", "runs:metric"}


@pytest.mark.slow
def test_requests_are_left_in_the_folder_of_a_run_at_work(run: Run) -> None:
    set_status(run, state="running", **here())
    app = open_with("tiny")
    button(app, "runs:pause").click().run()
    assert run.requested("pause")
    button(app, "runs:resume_paused").click().run()
    assert not run.requested("pause")
    button(app, "runs:stop").click().run()
    assert run.requested("stop")


def test_a_run_is_resumed_from_here(run: Run) -> None:
    set_status(run, state="stopped", reason="as asked")
    app = open_with("tiny")
    button(app, "runs:resume").click().run()
    assert not app.exception and not app.error
    job = training_runs.job_of(run)
    assert job is not None and job.join(60) and run.status().state == "done"


@pytest.mark.slow
def test_a_damaged_run_says_its_problem_and_can_only_be_looked_at_renamed_or_deleted(run: Run) -> None:
    (run.path / "status.json").write_text("{", encoding="utf-8")
    (run.path / "config.yaml").unlink()
    app = open_with("tiny")
    assert "This run's folder is damaged: status.json" in texts(app).replace("\\", "")
    assert not {"runs:resume", "runs:pause"} & keys(app)
    for part in ("Metrics", "Settings", "Fork", "Name and note", "Delete"):
        assert not open_with("tiny", part=part).exception


@pytest.mark.slow
def test_a_fork_is_made_with_what_was_changed_and_trains(run: Run) -> None:
    app = open_with("tiny", part="Fork")
    assert "starts from this one's best weights" in texts(app)
    app.number_input(key="fork:training.epochs").set_value(1).run()
    assert "Different: **Epochs**." in texts(app)
    app.text_input(key="fork:name").input("child").run()
    button(app, "fork:start").click().run()
    assert not app.exception and not app.error
    child = training_runs.open_run("child")
    job = training_runs.job_of(child)
    assert job is not None and job.join(60)
    assert child.status().state == "done" and child.config().training.epochs == 1
    assert child.note() == "Forked from tiny."
    assert training_runs.current_run() == child


def test_a_run_without_a_model_cannot_be_forked_and_says_why(run: Run) -> None:
    (run.path / "model.json").unlink()
    app = open_with("tiny", part="Fork")
    assert "has none yet" in app.info[-1].value
    assert "fork:start" not in keys(app)


def test_rename_moves_the_folder_and_what_was_chosen_follows(run: Run) -> None:
    training_runs.set_current_run("tiny")
    app = open_with("tiny", part="Name and note")
    assert button(app, "runs:rename").disabled
    app.text_input(key="runs:name:tiny").input("Größere Kacheln").run()
    button(app, "runs:rename").click().run()
    assert not app.exception and not app.error
    assert [each.name for each in training_runs.list_runs()] == ["Größere-Kacheln"]
    assert training_runs.current_run() == training_runs.list_runs()[0]
    assert "Größere-Kacheln" in texts(app).replace("\\", "")


@pytest.mark.slow
def test_a_name_that_is_taken_is_refused_in_words(run: Run) -> None:
    copy_of(run, "other")
    app = open_with("tiny", part="Name and note")
    app.text_input(key="runs:name:tiny").input("other").run()
    button(app, "runs:rename").click().run()
    assert "already a run named other" in app.error[0].value
    assert run.path.exists()


def test_a_note_is_saved_and_shown_in_the_table(run: Run) -> None:
    app = open_with("tiny", part="Name and note")
    app.text_area(key="runs:note:tiny").input("with *stars*").run()
    button(app, "runs:save_note").click().run()
    assert run.note() == "with *stars*"
    assert table(app)["Note"].tolist() == ["with *stars*"]


def test_why_a_run_failed_is_in_the_table_whatever_was_written_about_it(run: Run) -> None:
    run.set_note("Forked from another.")
    set_status(run, state="failed", reason="The memory is full.")
    shown = table(open_page("runs"))
    assert shown["State detail"].tolist() == ["The memory is full."] and shown["Note"].tolist() == ["Forked from another."]


@pytest.mark.slow
def test_delete_wants_the_name_typed(run: Run) -> None:
    training_runs.set_current_run("tiny")
    app = open_with("tiny", part="Delete")
    app.text_input(key="runs:typed:tiny").input("tin").run()
    assert button(app, "runs:delete").disabled and run.path.exists()
    app.text_input(key="runs:typed:tiny").input("tiny").run()
    button(app, "runs:delete").click().run()
    assert not app.exception and not app.error
    assert not run.path.exists() and training_runs.list_runs() == []
    assert "No run yet" in texts(app)


@pytest.mark.slow
def test_files_that_are_not_the_runs_are_named_and_need_a_tick_of_their_own(run: Run) -> None:
    (run.path / "thesis.docx").touch()
    training_runs.set_current_run("tiny")
    app = open_with("tiny", part="Delete")
    app.text_input(key="runs:typed:tiny").input("tiny").run()
    tick = app.checkbox(key="runs:everything:tiny")
    assert "thesis.docx" in tick.label and button(app, "runs:delete").disabled
    tick.check().run()
    button(app, "runs:delete").click().run()
    assert not app.exception and not app.error and not run.path.exists()


def test_a_run_at_work_cannot_be_deleted(run: Run) -> None:
    set_status(run, state="running", **here())
    app = open_with("tiny", part="Delete")
    assert "Stop it first" in app.info[0].value and "runs:delete" not in keys(app)


@pytest.mark.slow
def test_several_runs_are_laid_over_each_other_and_only_differing_settings_listed(run: Run) -> None:
    copy_of(run, "slow", {"learning_rate: 0.001": "learning_rate: 0.0005"}, state="stopped")
    app = open_with("tiny", "slow")
    charts = figures(app)
    assert {trace["name"] for trace in charts["runs:loss"]["data"] if trace.get("showlegend")} == {"tiny", "slow"}
    assert [trace["name"] for trace in charts["runs:metric"]["data"]] == ["tiny", "slow"]
    _, headline, settings = (element.value for element in app.dataframe)
    assert settings.to_dict("records") == [{"Setting": "Learning rate", "tiny": "0.001", "slow": "0.0005"}]
    assert headline["tiny"].tolist() == headline["slow"].tolist()
    assert not app.warning


def test_runs_validated_on_different_images_are_said_not_to_compare(run: Run) -> None:
    other = copy_of(run, "other")
    rows = (other.path / "manifest.csv").read_text(encoding="utf-8")
    (other.path / "manifest.csv").write_text(rows.replace(",val,", ",test,", 2), encoding="utf-8")
    app = open_with("tiny", "other")
    assert "do not compare" in app.warning[0].value


@pytest.mark.slow
def test_test_figures_of_an_earlier_model_are_not_shown_as_the_run_s(run: Run) -> None:
    from core.cli.runs import headline
    from core.evaluate import evaluate

    evaluate(run, "test")
    assert run_table.row(run).test is not None and headline(run)[0]["test_auc"] is not None
    path = run.path / "evaluation.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["test"]["weights_sha256"] = "ab" * 32
    path.write_text(json.dumps(content), encoding="utf-8")
    os.utime(path, (1, 1))
    assert run_table.row(run).test is None and headline(run)[0]["test_auc"] is None


@pytest.mark.slow
def test_evaluated_runs_show_their_test_figures_with_intervals(run: Run) -> None:
    from core.evaluate import evaluate

    found = evaluate(run, "test").summary
    figure = found["auc"]
    (cell,) = table(open_with())["Test AUC"].tolist()
    expected = "–" if isinstance(figure, str) else str(figure)
    assert cell == expected
    shown = {row["Metric"]: row["tiny"] for row in run_table.headline([run])}
    assert shown["Test · ROC AUC, images"] == expected and "Test · Sensitivity (recall), images" in shown


# ---------------------------------------------------------------- predictions beside a training


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"state": "running", "device": "cuda:0 (NVIDIA H100)"}, "cpu"),
        ({"state": "paused", "device": "cuda (NVIDIA H100)"}, "cpu"),
        ({"state": "running", "device": "cuda:1 (NVIDIA H100)"}, "cuda"),
        ({"state": "running", "device": "cpu"}, "cuda"),
        ({"state": "running", "device": "cuda:0 (NVIDIA H100)", "host": "elsewhere"}, "cuda"),
        ({"state": "done", "device": "cuda:0 (NVIDIA H100)"}, "cuda"),
    ],
)
def test_a_prediction_leaves_the_gpu_to_the_run_that_is_trained_on_it(
    run: Run, monkeypatch: pytest.MonkeyPatch, status: dict[str, Any], expected: str
) -> None:
    monkeypatch.setattr("core.model.pick_device", lambda name: torch.device("cuda"))
    set_status(run, **here(**status))
    assert models.prediction_device() == expected
    if expected == "cpu":
        assert models.predictor(run).device.type == "cpu"


@pytest.mark.slow
def test_a_new_session_begins_without_the_selection_of_an_old_one(run: Run) -> None:
    app = open_with("tiny")
    assert any(each.key == "runs:open" for each in app.button)
    app.switch_page("views/home/home.py").run()
    app.switch_page("views/runs/runs.py").run()
    assert any(each.key == "runs:open" for each in app.button), "another page in between changes nothing"
    assert "Select a run" in texts(open_page("runs"))
