"""Train: a run whose device is busy waits in the queue, and can be started without waiting."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from builders.lab_pages import button, keys, open_page, pretend_running, set_status, wait_for_job, wait_until

from core.runs import Run
from core.runs.device_queue import Ticket
from dashboard.state import training_runs


def test_a_run_launched_while_the_device_is_busy_waits_its_turn_and_then_trains(data: Path) -> None:
    with Ticket("cpu", "the other"):
        app = open_page("train")
        start = button(app, "train:start")
        assert start.label == "Add to queue" and not start.disabled
        assert "**the other** is training" in app.info[0].value and "not known yet" in app.info[0].value
        start.click().run()
        assert not app.exception and not app.error
        (run,) = training_runs.list_runs()
        wait_until(lambda: run.status().waiting)
        app.run()
        assert "Waits for the other on cpu." in app.get("progress")[0].proto.text
        assert {"train:leave"} <= keys(app) and not {"train:pause", "train:stop", "train:resume"} & keys(app)
    assert wait_for_job().status().state == "done"


def test_the_sidebar_says_what_the_current_run_does_and_what_a_waiting_one_waits_for(run: Run) -> None:
    def model() -> str:
        return next(
            str(element.proto.body) for element in open_page("home").get("html") if "<b>Model</b>" in element.proto.body
        )

    assert "tiny · finished" in model()
    pretend_running(run)
    assert "tiny · training" in model()
    set_status(run, state="queued", reason="Waits for b0 and 2 more on cpu.")
    assert "tiny · waiting for b0 and 2 more on cpu" in model()


@pytest.mark.slow
def test_a_waiting_run_can_be_taken_out_of_the_line_and_started_again(data: Path) -> None:
    with Ticket("cpu", "the other"):
        app = open_page("train")
        button(app, "train:start").click().run()
        (run,) = training_runs.list_runs()
        wait_until(lambda: run.status().waiting)
        app.run()
        button(app, "train:leave").click().run()
        assert wait_for_job().status().state == "stopped"
        app.run()
        assert "Removed from the queue" in app.info[0].value
    button(app, "train:resume").click().run()
    assert not app.exception and not app.error
    assert wait_for_job().status().state == "done"


@pytest.mark.slow
def test_a_waiting_run_says_whose_training_it_waits_for_and_can_begin_without_waiting(data: Path, tmp_path: Path) -> None:
    other = tmp_path / "another lab" / "checkpoints" / "mnv2"
    other.mkdir(parents=True)
    (other / "status.json").write_text(
        json.dumps(
            {"state": "running", "epoch": 3, "epochs": 15, "eta_seconds": 540.0, "heartbeat": time.time() + 200, "pid": 1}
            | {"host": "elsewhere"}
        ),
        encoding="utf-8",
    )
    with Ticket("cpu", "mnv2", other):
        app = open_page("train")
        said = app.info[0].value
        assert "**mnv2** is training" in said and "another lab" in said and "epoch 4 of 15" in said and "9 min 00 s" in said
        assert button(app, "train:start_now").label == "Start now, share the CPU"
        button(app, "train:start").click().run()
        (run,) = training_runs.list_runs()
        wait_until(lambda: run.status().waiting)
        app.run()
        assert "mnv2" in app.info[0].value
        button(app, "train:begin").click().run()
        assert not app.exception
        assert wait_for_job().status().state == "done", "although the other one is still there"


@pytest.mark.slow
def test_start_now_does_not_join_the_queue(data: Path) -> None:
    with Ticket("cpu", "the other"):
        app = open_page("train")
        button(app, "train:start_now").click().run()
        assert not app.exception and not app.error
        assert wait_for_job().status().state == "done"
