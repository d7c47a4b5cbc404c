"""Train: the page follows a run's folder, whoever writes it."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from builders.events import append_event
from builders.lab_pages import button, figures, galleries, keys, open_page, pretend_running, set_status, texts
from streamlit.testing.v1 import AppTest

from core.config import dump_config
from core.runs import Run
from dashboard.state import preferences
from dashboard.views.runs import run_table


def badges(app: AppTest) -> list[str]:
    """The words of the badge that says what the run does."""
    return [words for each in app.markdown for words in re.findall(r":(?:blue|orange|violet|green)-badge\[(\w+)\]", each.value)]


@pytest.mark.slow
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


@pytest.mark.slow
def test_the_input_size_is_height_by_width_as_in_config_yaml(run: Run) -> None:
    config = run.config()
    recipe = config.preprocessing.model_copy(update={"size": (64, 48)})
    dump = dump_config(config.model_copy(update={"preprocessing": recipe}))
    (run.path / "config.yaml").write_text(dump, encoding="utf-8")
    assert run_table.row(run).size == "64 × 48"
    pretend_running(run)
    app = open_page("train")
    assert "input 64 × 48" in next(text for text in texts(app).splitlines() if "small_cnn" in text)


def test_the_memory_of_the_process_that_trains_is_shown(run: Run) -> None:
    preferences.set("train:view", "Progress")
    card = open_page("train").metric[5].proto
    assert card.label == "Device" and re.search(r"^(fp32|bf16), \d+\.\d of \d+ GB$", card.delta_description)


@pytest.mark.slow
def test_a_run_of_another_host_is_shown_with_where_it_is_and_controlled_by_its_folder(run: Run) -> None:
    set_status(run, state="running", heartbeat=time.time(), pid=1, host="node-7", launcher="torchrun", finished=None)
    app = open_page("train")
    assert "by torchrun · on node-7" in texts(app)
    button(app, "train:stop").click().run()
    assert run.requested("stop")


@pytest.mark.slow
def test_the_first_batch_is_shown_as_the_model_gets_it_once_it_is_prepared(
    run: Run, _trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preferences.set("train:view", "Progress")
    monkeypatch.setenv("MAMMOLAB_CACHE", str(tmp_path / "empty"))
    assert "train:first" not in galleries(open_page("train"))
    monkeypatch.setenv("MAMMOLAB_CACHE", str(_trained / "cache"))
    tiles = galleries(open_page("train"))["train:first"]
    assert len(tiles) == 8
    assert {tile["label"] for tile in tiles} <= {"benign", "malignant"}


@pytest.mark.slow
def test_the_axis_shows_what_was_trained_or_all_planned_epochs(run: Run) -> None:
    lines = (run.path / "events.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    first_step = next(number for number, line in enumerate(lines) if json.loads(line)["type"] == "step")
    (run.path / "events.jsonl").write_text("".join(lines[: first_step + 1]), encoding="utf-8")
    pretend_running(run)
    app = open_page("train")
    assert figures(app)["train:loss"]["layout"]["xaxis"]["range"] == [0, pytest.approx(1.02)]
    app.button_group(key="train:span:widget").set_value("planned").run()
    assert figures(app)["train:loss"]["layout"]["xaxis"]["range"] == [0, pytest.approx(2.04)]


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
