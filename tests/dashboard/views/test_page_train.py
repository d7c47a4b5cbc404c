"""Train: the form starts a run, problems are said before, the page follows run folders whoever writes them."""

from __future__ import annotations

import errno
import json
import re
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from builders.events import append_event
from builders.lab_pages import HOME, figures, galleries, open_page, texts
from builders.tiny_run import config_yaml, write_split_images
from streamlit.testing.v1 import AppTest

from core.config import PRESETS, dump_config, with_preset
from core.errors import TrainingFailed, UnreadableImage
from core.runs import Run
from core.runs.device_queue import Ticket
from core.runs.status import PROCESS, Status
from core.training import loop
from core.training.failures import diverged
from core.training.trainer import Trainer
from dashboard.cache import results
from dashboard.cache.run_monitor import progress
from dashboard.state import datasets, preferences, run_actions, settings, tasks, training_runs
from dashboard.ui import forms
from dashboard.views.runs import run_table


def button(app: AppTest, key: str) -> Any:
    return next(each for each in app.button if each.key == key)


def badges(app: AppTest) -> list[str]:
    """The words of the badge that says what the run does."""
    return [words for each in app.markdown for words in re.findall(r":(?:blue|orange|violet|green)-badge\[(\w+)\]", each.value)]


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
    (run,) = training_runs.list_runs()
    job = training_runs.job_of(run)
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
    assert set(figures(app)) == {"train:loss", "train:metric", "train:rate"}
    assert button(app, "train:evaluate").proto.type == "primary"


def test_what_will_be_trained_on_is_counted_before_the_start(data: Path) -> None:
    app = open_page("train")
    table = "".join(str(element.proto.body) for element in app.get("html"))
    assert "<td>Training</td><td>20</td><td>10</td><td>10</td>" in table
    assert "3 steps per epoch, up to 2 epochs." in texts(app)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("model.weights", "nowhere.safetensors", "nowhere.safetensors"),
        ("model.weights", "hub", "weights"),
        ("model.name", "resnet51", "resnet50"),
        ("preprocessing.size", "huge", "Input size"),
        ("training.device", "tpu", "Device"),
        ("training.epochs", 99_999, "Epochs"),
        ("training.learning_rate", -1.0, "Learning rate"),
    ],
)
def test_what_would_fail_is_said_before_the_start_and_the_button_is_off(data: Path, key: str, value: Any, said: str) -> None:
    defaults = {"model.weights": "none", "model.name": "small_cnn", "preprocessing.size": "32", "training.device": "cpu"}
    base = forms.value_of(settings.current(), key)
    preferences.set("form:", {key: [defaults.get(key, base), value]})
    app = AppTest.from_file(str(HOME), default_timeout=60)
    app.switch_page("views/train/train.py")
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
    assert badges(app) == ["training"]
    button(app, "train:pause").click().run()
    assert run.requested("pause")
    assert badges(app) == ["pausing"]  # until the trainer has taken note
    set_status(run, state="paused")
    assert badges(app.run()) == ["paused"]
    button(app, "train:resume_paused").click().run()
    assert not run.requested("pause")
    button(app, "train:stop").click().run()
    assert run.requested("stop")
    assert badges(app) == ["stopping"]
    assert button(app, "train:stop").disabled


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ({}, "the images are prepared"),
        ({"what": "hashes"}, "the images are prepared"),
        ({"what": "features"}, "the features are stored"),
    ],
)
def test_a_pause_before_the_first_step_is_not_called_preparing(run: Run, what: dict[str, str], said: str) -> None:
    last = {"prepare": {"seq": 9, "done": 256, "total": 256} | what}
    share, words = progress(Status(state="paused", epochs=3), last)
    assert (share, words) == (0.0, f"Paused before the first step · {said}")
    assert not progress(Status(state="running", epochs=3), last)[1].startswith("Paused")


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ({}, "Preparing images"),
        ({"what": "hashes"}, "Looking for the same image in two splits"),
        ({"what": "features"}, "Images through the frozen network, once"),
    ],
)
def test_what_comes_before_the_first_step_is_said_with_its_progress(what: dict[str, str], said: str) -> None:
    last = {"prepare": {"seq": 9, "done": 1024, "total": 4096} | what}
    assert progress(Status(state="running", epochs=3), last) == (0.25, f"{said} · 1,024 of 4,096")


def test_the_input_size_is_height_by_width_as_in_config_yaml(run: Run) -> None:
    config = run.config()
    recipe = config.preprocessing.model_copy(update={"size": (64, 48)})
    dump = dump_config(config.model_copy(update={"preprocessing": recipe}))
    (run.path / "config.yaml").write_text(dump, encoding="utf-8")
    assert run_table.row(run).size == "64 × 48"
    pretend_running(run)
    app = open_page("train")
    assert "input 64 × 48" in next(text for text in texts(app).splitlines() if "small_cnn" in text)


def wait_until(condition: Any) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it did not come to that in time"
        time.sleep(0.05)


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


def test_prepared_images_are_counted_and_deleted_with_one_button_unless_a_training_uses_them(
    run: Run, _trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = run.path.parents[1] / "cache"
    shutil.copytree(_trained / "cache", cache)
    monkeypatch.setenv("MAMMOLAB_CACHE", str(cache))
    app = open_page("train")
    assert "train:clear_cache" not in keys(app)  # nothing is counted before it is asked for
    app.session_state["train:cache"] = True
    app.run()
    files = [path for path in cache.rglob("*") if path.is_file()]
    assert len(files) == 80 and f"**{sum(path.stat().st_size for path in files) / 1e6:.0f} MB** in" in texts(app)
    with Ticket("cpu", "another one"):
        app.run()
        assert button(app, "train:clear_cache").disabled
        assert "another one trains on them" in "\n".join(info.value for info in app.info)
    app.run()
    button(app, "train:clear_cache").click().run()
    assert not app.exception and not app.error
    assert not list(cache.iterdir())
    assert "**0 MB**" in texts(app) and button(app, "train:clear_cache").disabled


def test_the_memory_of_the_process_that_trains_is_shown(run: Run) -> None:
    preferences.set("train:view", "Progress")
    card = open_page("train").metric[5].proto
    assert card.label == "Device" and re.search(r"^(fp32|bf16), \d+\.\d of \d+ GB$", card.delta_description)


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


@pytest.mark.parametrize("begun", [False, True])
def test_a_run_can_be_started_in_a_process_of_its_own(data: Path, monkeypatch: pytest.MonkeyPatch, begun: bool) -> None:
    started: list[tuple[str, bool]] = []
    monkeypatch.setattr("core.training.launchers.start_process", lambda run, resume, queue: started.append((run.name, resume)))
    app = open_page("train")
    app.button_group(key="train:launcher:widget").set_value("process").run()
    app.text_input(key="train:name:widget").input("detached").run()
    button(app, "train:start").click().run()
    assert not app.exception and not app.error
    assert started == [("detached", False)]
    (run,) = training_runs.list_runs()
    if begun:
        set_status(run, state="stopped", reason="as asked")
        app.run()
        button(app, "train:resume").click().run()
        assert started[1:] == [("detached", True)]


def test_a_run_of_another_host_is_shown_with_where_it_is_and_controlled_by_its_folder(run: Run) -> None:
    set_status(run, state="running", heartbeat=time.time(), pid=1, host="node-7", launcher="torchrun", finished=None)
    app = open_page("train")
    assert "by torchrun · on node-7" in texts(app)
    button(app, "train:stop").click().run()
    assert run.requested("stop")


def test_the_first_batch_is_shown_as_the_model_gets_it_once_it_is_prepared(
    run: Run, _trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preferences.set("train:view", "Progress")
    assert "train:first" not in galleries(open_page("train"))
    monkeypatch.setenv("MAMMOLAB_CACHE", str(_trained / "cache"))
    tiles = galleries(open_page("train"))["train:first"]
    assert len(tiles) == 8
    assert {tile["label"] for tile in tiles} <= {"benign", "malignant"}


def test_the_axis_shows_what_was_trained_or_all_planned_epochs(run: Run) -> None:
    lines = (run.path / "events.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    first_step = next(number for number, line in enumerate(lines) if json.loads(line)["type"] == "step")
    (run.path / "events.jsonl").write_text("".join(lines[: first_step + 1]), encoding="utf-8")
    pretend_running(run)
    app = open_page("train")
    assert figures(app)["train:loss"]["layout"]["xaxis"]["range"] == [0, pytest.approx(1.02)]
    app.button_group(key="train:span:widget").set_value("planned").run()
    assert figures(app)["train:loss"]["layout"]["xaxis"]["range"] == [0, pytest.approx(2.04)]


@pytest.mark.parametrize(
    ("changes", "kind", "said"),
    [
        ({"state": "stopped", "reason": "Stopped as asked."}, "info", "After 2 of 2 epochs: Stopped as asked."),
        ({"state": "failed", "reason": "The disk is full. Free some space."}, "error", "The disk is full. Free some space."),
        ({"state": "running", "heartbeat": 1.0}, "warning", "ended unexpectedly"),
    ],
)
def test_how_a_run_ended_is_said_with_its_reason_and_it_can_be_resumed(
    run: Run, changes: dict[str, Any], kind: str, said: str
) -> None:
    set_status(run, **changes)
    preferences.set("train:view", "Progress")
    app = open_page("train")
    assert not app.exception
    assert said in "\n".join(each.value for each in app.get(kind))
    assert "train:resume" in keys(app)


@pytest.mark.parametrize("writable", [True, False], ids=["the rest can be written", "nothing can be written"])
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), ["The disk is full (", "Free some space", "resume the run"]),
        (PermissionError(errno.EROFS, "Read-only file system"), ["cannot be written to (", "right to write", "resume the run"]),
        (UnreadableImage("p01_CC.png: no such file."), ["p01_CC.png: no such file", "as it was", "resume the run"]),
        (TrainingFailed(diverged("bf16")), ["NaN or infinite", "lower training.learning_rate", "training.precision=fp32"]),
        (torch.cuda.OutOfMemoryError("Tried to allocate 20 MiB"), ["GPU ran out of memory", "smaller training.batch_size"]),
        (MemoryError("can't allocate memory"), ["computer ran out of memory", "smaller training.batch_size"]),
    ],
    ids=["disk full", "read-only", "unreadable image", "diverged", "gpu memory", "memory"],
)
def test_what_ended_a_training_is_said_on_both_pages_with_advice_and_nothing_is_lost(
    data: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, said: list[str], writable: bool
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def fail(trainer: Trainer, *arguments: Any) -> dict[str, Any]:
        if trainer.state.epoch < 2:
            return real(trainer, *arguments)
        if not writable:
            broken.setattr("core.runs.status.write_text", refuse)
            broken.setattr("core.runs.event_log._write_all", refuse)
        raise error

    real = loop.step_metrics
    with monkeypatch.context() as broken:
        broken.setattr(loop, "step_metrics", fail)
        app = open_page("train")
        button(app, "train:start").click().run()
        run = wait_for_job()
        app.run()
    words = app.error[0].value.replace("\\", "")
    assert words.startswith("The training failed. ") and "It can still be used." in words
    assert all(each in words for each in said), words
    assert {"train:resume", "train:evaluate"} <= keys(app)
    runs = open_page("runs", runs__selected=[run.name])
    assert all(each in texts(runs).replace("\\", "") for each in said)
    assert all(each in runs.dataframe[0].value["State detail"].iloc[0] for each in said)
    assert "runs:resume" in keys(runs)
    run_actions.start_training(run)
    assert wait_for_job().status().state == "done"


def test_a_broken_run_folder_does_not_blank_the_page(run: Run) -> None:
    (run.path / "status.json").write_text("{", encoding="utf-8")
    (run.path / "config.yaml").unlink()
    preferences.set("train:view", "Progress")
    app = open_page("train")
    assert not app.exception
    assert "This run's folder is damaged: status.json" in texts(app).replace("\\", "")


def test_warnings_are_shown_once_a_kind_with_the_epoch_they_were_given_after(run: Run) -> None:
    for text in ("the loss rises", "the loss rises still"):
        append_event(run, {"type": "warning", "about": "overfitting", "message": text})
    append_event(run, {"type": "warning", "message": "3 images were prepared with a doubt"})
    preferences.set("train:view", "Progress")
    app = open_page("train")
    said = [warning.value for warning in app.warning]
    assert said == ["After epoch 2. the loss rises still", "3 images were prepared with a doubt"]


def test_a_resumed_run_starts_its_curves_anew(run: Run) -> None:
    from dashboard.cache import results

    before = results.monitor(run).count
    lines = (run.path / "events.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (run.path / "events.jsonl").write_text("".join(lines[:4]), encoding="utf-8")
    assert before > 4
    assert results.monitor(run).count == 4


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


def test_start_now_does_not_join_the_queue(data: Path) -> None:
    with Ticket("cpu", "the other"):
        app = open_page("train")
        button(app, "train:start_now").click().run()
        assert not app.exception and not app.error
        assert wait_for_job().status().state == "done"


def test_what_a_training_will_take_is_measured_or_said_not_to_be_known(data: Path) -> None:
    app = open_page("train")
    assert "not known yet" in texts(app) and "Disk: up to" in texts(app)
    button(app, "train:measure").click().run()
    name = next(each for each in tasks.live().tasks if each.startswith("measure:"))
    wait_until(lambda: not tasks.task(name).running)
    assert tasks.task(name).state == "done", tasks.task(name).error
    app = open_page("train")
    assert "about" in texts(app) and "at most" in texts(app) and "not known yet:" not in texts(app)


AT_THE_GATE = {
    "step": {"seq": 9, "epoch": 4, "step": 10, "steps": 10},
    "epoch": {"seq": 10, "epoch": 4},
    "prepare": {"seq": 11, "done": 5, "total": 20, "what": "gate"},
}


@pytest.mark.parametrize(
    ("last", "epoch", "phase", "share", "doing"),
    [
        ({}, 1, "Start", 0.0, ""),
        ({"prepare": {"seq": 1, "done": 5, "total": 10}}, 1, "Prepare images", 0.5, ""),
        ({"step": {"seq": 2, "epoch": 1, "step": 5, "steps": 10}}, 1, "Train", 0.45 / 4, ""),
        ({"step": {"seq": 2, "epoch": 1, "step": 10, "steps": 10}}, 1, "Validate", 0.9 / 4, ""),
        ({"step": {"seq": 2, "epoch": 1, "step": 10, "steps": 10}, "epoch": {"seq": 3, "epoch": 1}}, 2, "Train", 0.25, ""),
        (
            {"step": {"seq": 9, "epoch": 4, "step": 10, "steps": 10}, "epoch": {"seq": 8, "epoch": 3}},
            4,
            "Validate",
            3.9 / 4,
            "",
        ),
        (AT_THE_GATE, 4, "Input gate", 0.25, "gate"),
    ],
)
def test_one_epoch_is_counted_and_validation_is_part_of_the_bar(
    last: dict[str, Any], epoch: int, phase: str, share: float, doing: str
) -> None:
    from core.runs.status import Status
    from dashboard.cache import run_monitor

    status = Status(state="running", phase=doing, epochs=4, heartbeat=time.time() + 600, host="elsewhere", pid=1)
    assert status.live
    assert run_monitor.current_epoch(status, last) == epoch and run_monitor.phase(status, last) == phase
    done, words = run_monitor.progress(status, last)
    assert done == pytest.approx(share)
    if doing:
        assert "should not judge" in words and "5 of 20" in words
    elif "step" in last:
        assert f"Epoch {epoch} of 4" in words


def test_presets_fill_the_form_in_and_the_one_it_shows_is_marked(data: Path) -> None:
    app = open_page("train")
    assert app.button_group(key="train:preset").value == "standard"
    app.button_group(key="train:preset").set_value("quick").run()
    assert not app.exception and not app.error
    assert app.number_input(key="training.epochs").value == 6
    assert app.selectbox(key="preprocessing.size").value == "256 × 160"
    assert app.button_group(key="train:preset").value == "quick"
    app.number_input(key="training.batch_size").set_value(4).run()
    assert app.button_group(key="train:preset").value is None, "a form of one's own"
    app.button_group(key="train:preset").set_value("standard").run()
    assert app.number_input(key="training.epochs").value == settings.current().training.epochs
    assert app.number_input(key="training.batch_size").value == settings.current().training.batch_size


def test_a_preset_has_an_estimate_once_anything_like_it_was_measured(data: Path) -> None:
    from dashboard.views.train import forecast

    base, manifest = settings.current(), datasets.current_manifest()
    assert manifest is not None and forecast.presets(base, manifest) == {}
    quick = with_preset(base, PRESETS["quick"])
    tasks.start_task(forecast._name(quick), "Measuring", lambda report: 1.0)
    wait_until(lambda: not tasks.task(forecast._name(quick)).running)
    found = forecast.presets(base, manifest)
    counts = results.preflight(quick, manifest).counts
    seconds = forecast.whole(quick, counts, 1.0)
    assert seconds >= forecast.START + forecast.seconds_an_epoch(counts, 1.0) * quick.training.epochs
    assert found["quick"] == f"~{forecast.minutes(seconds)}"
    app = open_page("train")
    app.button_group(key="train:preset").set_value("quick").run()
    assert any(f"about {forecast.minutes(seconds)}**" in each.value for each in app.markdown), "as the preset says"
    assert found.keys() >= {"quick"} and all(words.startswith("~") for words in found.values())
    assert forecast.minutes(29) == "1 min" and forecast.minutes(60 * 25) == "25 min" and forecast.minutes(3 * 3600) == "3 h"
