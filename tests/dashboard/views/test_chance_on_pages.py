"""A model that is not better than chance is called so on every page that shows it, and nothing green stands beside it."""

from __future__ import annotations

import pytest
from builders.lab_pages import open_page, texts

from core.evaluate import evaluate
from core.model import update_card
from core.runs import Run
from dashboard.cache import results
from dashboard.state import preferences

SAID = "Not better than chance so far"


def warned(view: str) -> bool:
    app = open_page(view, runs__selected=["tiny"])
    assert not app.exception and not app.error
    if SAID in texts(app) or any(SAID in each.value for each in app.warning):
        assert not app.success
        return True
    return False


@pytest.mark.slow_but("train-card0-True", "runs-card1-False", "runs-card0-True", "explain-card1-False")
@pytest.mark.parametrize(("card", "expected"), [({"chance": "x"}, True), ({"chance": ""}, False), ({"threshold": 1.0}, True)])
@pytest.mark.parametrize("view", ["train", "runs", "evaluate", "explain"])
def test_every_page_says_it_or_none_does(run: Run, view: str, card: dict[str, object], expected: bool) -> None:
    update_card(run.path, {"chance": ""} | card)
    if view == "train":
        results.watch_run(run)
    if view == "evaluate":
        evaluate(run, "val")
        preferences.set("evaluate:split", "val")
    assert warned(view) is expected


@pytest.mark.slow_but("runs")
@pytest.mark.parametrize("view", ["train", "runs", "evaluate"])
def test_every_page_marks_the_metrics_of_a_run_whose_splits_leak(run: Run, view: str) -> None:
    update_card(run.path, {"chance": "", "leakage": "2 patients stand in several splits"})
    if view == "train":
        results.watch_run(run)
    if view == "evaluate":
        evaluate(run, "val")
        preferences.set("evaluate:split", "val")
    app = open_page(view, runs__selected=["tiny"])
    assert not app.exception
    said = " ".join([texts(app), *(each.value for each in app.error)])
    assert "Leakage between splits was allowed" in said and "2 patients stand in several splits" in said
