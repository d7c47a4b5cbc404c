"""Train: how long a training will take is measured, or said not to be known."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders.lab_pages import button, open_page, texts, wait_until

from core.config import PRESETS, with_preset
from dashboard.cache import results
from dashboard.state import datasets, settings, tasks
from dashboard.views.train import forecast


def test_what_a_training_will_take_is_measured_or_said_not_to_be_known(data: Path) -> None:
    app = open_page("train")
    assert "not known yet" in texts(app) and "Disk: up to" in texts(app)
    button(app, "train:measure").click().run()
    name = next(each for each in tasks.live().tasks if each.startswith("measure:"))
    wait_until(lambda: not tasks.task(name).running)
    assert tasks.task(name).state == "done", tasks.task(name).error
    app = open_page("train")
    assert "about" in texts(app) and "at most" in texts(app) and "not known yet:" not in texts(app)


@pytest.mark.slow
def test_a_preset_has_an_estimate_once_anything_like_it_was_measured(data: Path) -> None:
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
