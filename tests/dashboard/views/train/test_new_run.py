"""Train: the form starts a run; what would fail is said before."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from builders.lab_pages import HOME, button, figures, keys, open_page, set_status, texts, wait_for_job
from streamlit.testing.v1 import AppTest

from core.runs import Run
from core.runs.device_queue import Ticket
from dashboard.state import preferences, settings, training_runs
from dashboard.ui import forms


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
    assert "Starting weights: random initialisation (trained from scratch)" in texts(app)
    assert set(figures(app)) == {"train:loss", "train:metric", "train:rate"}
    assert button(app, "train:evaluate").proto.type == "primary"


def test_what_will_be_trained_on_is_counted_before_the_start(data: Path) -> None:
    app = open_page("train")
    table = "".join(str(element.proto.body) for element in app.get("html"))
    assert "<td>Training</td><td>20</td><td>10</td><td>10</td>" in table
    assert "3 steps per epoch, up to 2 epochs." in texts(app)


@pytest.mark.slow
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
    defaults = {"model.weights": "auto", "model.name": "small_cnn", "preprocessing.size": "32", "training.device": "cpu"}
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
    assert "1 patient stands in more than one split" in app.error[0].value
    assert button(app, "train:start").disabled


@pytest.mark.slow
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
    files = [path for path in cache.glob("*/**/*") if path.is_file()]  # not the pictures' fingerprints beside them
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


@pytest.mark.slow
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


@pytest.mark.slow
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
