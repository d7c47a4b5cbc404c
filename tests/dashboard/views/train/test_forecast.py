"""Train: how long a training will take is measured, or said not to be known."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from builders.lab_pages import button, open_page, texts, wait_until

from core.config import PRESETS, with_preset
from core.runs import Run
from core.runs.history import History
from dashboard.cache import results
from dashboard.state import datasets, settings, tasks
from dashboard.views.train import forecast


@pytest.mark.slow
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


@pytest.mark.parametrize(
    ("phases", "rate"),
    [(("head", "head"), None), (("head", "fine_tune"), 20.0), (("fine_tune", "head"), 10.0), (("scratch", "scratch"), 20.0)],
)
def test_epochs_of_the_head_alone_say_nothing_of_the_speed(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, phases: tuple[str, str], rate: float | None
) -> None:
    history = History.of(
        [
            {"type": "epoch", "epoch": number, "phase": phase, "images_per_second": 10.0 * number}
            for number, phase in enumerate(phases, 1)
        ]
    )
    last = {"epoch": history.epochs[2], "phase": {"type": "phase", "phase": phases[1], "first_epoch": 2, "last_epoch": 2}}
    monkeypatch.setattr(results, "monitor", lambda run: SimpleNamespace(history=history, last=last))
    found = forecast._of(Run(workspace / "run"))
    assert (None if found is None else found.rate) == rate
