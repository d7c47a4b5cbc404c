"""Train: the form starts a run, problems are said before, the page follows run folders whoever writes them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from lab_pages import HOME, figures, open_page, texts
from streamlit.testing.v1 import AppTest
from tiny_run import config_yaml, write_split_images

from core.training import Run
from core.training.status import PROCESS
from dashboard import services


def button(app: AppTest, key: str) -> Any:
    return next(each for each in app.button if each.key == key)


def keys(app: AppTest) -> set[str | None]:
    return {each.key for each in app.button}


def set_status(run: Run, **changes: Any) -> None:
    path = run.path / "status.json"
    status = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps(status), encoding="utf-8")


def pretend_running(run: Run) -> None:
    """As a training in another process of this machine leaves it at this moment."""
    import os

    set_status(run, state="running", heartbeat=time.time(), pid=os.getpid(), process=PROCESS, epoch=1, finished=None)


@pytest.fixture
def data(workspace: Path) -> Path:
    config_yaml(workspace)
    return write_split_images(workspace / "data" / "tiny")


def wait_for_job() -> Run:
    (run,) = services.runs()
    job = services.job_of(run)
    assert job is not None and job.join(60)
    return run


def test_without_data_the_page_leads_to_the_data_page(workspace: Path) -> None:
    app = open_page("train")
    assert not app.exception and not app.error
    assert "Training needs a data set" in texts(app)


def test_the_form_trains_a_run_and_the_page_says_how_it_ended(data: Path) -> None:
    app = open_page("train")
    assert not app.exception and not app.error
    app.text_input(key="train:name:widget").input("my first").run()
    button(app, "train:start").click().run()
    assert not app.exception and not app.error
    run = wait_for_job()
    assert run.name == "my-first"
    app.run()
    assert "Finished after 2 epochs." in app.success[0].value
    assert set(figures(app)) == {"train:loss", "train:metric"}
    assert button(app, "train:evaluate").proto.type == "primary"


def test_what_will_be_trained_on_is_counted_before_the_start(data: Path) -> None:
    app = open_page("train")
    table = "".join(str(element.proto.body) for element in app.get("html"))
    assert "<td>Training</td><td>20</td><td>10</td><td>10</td>" in table
    assert "3 steps an epoch, 2 epochs at most." in texts(app)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("model.weights", "nowhere.safetensors", "nowhere.safetensors"),
        ("model.weights", "hub", "weights"),
        ("model.name", "resnet51", "resnet50"),
        ("preprocessing.size", "huge", "Input size"),
        ("training.device", "tpu", "Device"),
    ],
)
def test_what_would_fail_is_said_before_the_start_and_the_button_is_off(data: Path, key: str, value: str, said: str) -> None:
    defaults = {"model.weights": "none", "model.name": "small_cnn", "preprocessing.size": "32", "training.device": "cpu"}
    services.remember("form:", {key: [defaults[key], value]})
    app = AppTest.from_file(str(HOME), default_timeout=60)
    app.switch_page("views/train.py")
    app.run()
    assert not app.exception
    assert said in "\n".join(error.value.replace("\\", "") for error in app.error)
    assert button(app, "train:start").disabled


def test_a_leaking_manifest_is_refused_before_the_start(data: Path) -> None:
    text = data.read_text(encoding="utf-8")
    data.write_text(
        text.replace("p00_MLO.png,malignant,P00,L,MLO,train", "p00_MLO.png,malignant,P00,L,MLO,test"), encoding="utf-8"
    )
    app = open_page("train")
    assert "stand in more than one split" in app.error[0].value
    assert button(app, "train:start").disabled


def test_a_run_started_elsewhere_is_shown_by_itself_in_a_new_tab(run: Run) -> None:
    pretend_running(run)
    app = open_page("train")
    assert not app.exception and not app.error
    assert {"train:pause", "train:stop"} <= keys(app)
    assert "train:start" not in keys(app)


def test_pause_go_on_and_stop_leave_requests_in_the_run_folder(run: Run) -> None:
    pretend_running(run)
    app = open_page("train")
    button(app, "train:pause").click().run()
    assert run.requested("pause")
    button(app, "train:go_on").click().run()
    assert not run.requested("pause")
    button(app, "train:stop").click().run()
    assert run.requested("stop")
    assert button(app, "train:stop").disabled


def test_only_one_run_at_a_time_and_the_reason_is_said(run: Run) -> None:
    pretend_running(run)
    app = open_page("train")
    app.button_group(key="train:view:widget").set_value("New run").run()
    assert button(app, "train:start").disabled
    assert "One run at a time" in app.info[0].value


@pytest.mark.parametrize(
    ("changes", "kind", "said"),
    [
        ({"state": "stopped", "reason": "Stopped as asked."}, "info", "After 2 of 2 epochs: Stopped as asked."),
        ({"state": "failed", "reason": "The disk is full. Free some space."}, "error", "The disk is full. Free some space."),
        ({"state": "running", "heartbeat": 1.0}, "warning", "ended without a word"),
    ],
)
def test_how_a_run_ended_is_said_with_its_reason_and_it_can_be_resumed(
    run: Run, changes: dict[str, Any], kind: str, said: str
) -> None:
    set_status(run, **changes)
    services.remember("train:view", "Progress")
    app = open_page("train")
    assert not app.exception
    assert said in "\n".join(each.value for each in app.get(kind))
    assert "train:resume" in keys(app)


def test_all_runs_are_listed_with_state_and_best_figure(run: Run) -> None:
    app = open_page("train")
    table = app.dataframe[0].value
    assert table["Run"].tolist() == ["tiny"]
    assert table["State"].tolist() == ["finished"]


def test_a_broken_run_folder_does_not_blank_the_page(run: Run) -> None:
    (run.path / "status.json").write_text("{", encoding="utf-8")
    (run.path / "config.yaml").unlink()
    services.remember("train:view", "Progress")
    app = open_page("train")
    assert not app.exception
    assert "This run's folder is damaged: status.json" in texts(app).replace("\\", "")


def test_a_resumed_run_starts_its_curves_anew(run: Run) -> None:
    from dashboard import results

    before = len(results.watch(run).events)
    lines = (run.path / "events.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (run.path / "events.jsonl").write_text("".join(lines[:4]), encoding="utf-8")
    assert before > 4
    assert len(results.watch(run).events) == 4
