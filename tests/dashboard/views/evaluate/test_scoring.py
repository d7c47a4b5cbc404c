"""Evaluate: a split is scored on request; what is damaged or outdated is said."""

from __future__ import annotations

import json
from typing import Any

import pytest
from builders.evaluate_page import CURVES, wait_for_scoring
from builders.lab_pages import HOME, button, component, figures, keys, open_page, tables, texts
from streamlit.testing.v1 import AppTest

from core.evaluate import evaluate, read_evaluation
from core.runs import Run
from core.runs.test_set.access_log import record_for_run
from core.runs.test_set.accesses import accesses
from dashboard.state import preferences
from dashboard.views.evaluate import parts


def test_without_a_model_the_page_leads_to_training(workspace: Any) -> None:
    app = open_page("evaluate")
    assert not app.exception
    assert not app.error
    assert "Train a model first" in texts(app)


@pytest.mark.slow
def test_scoring_the_validation_set_is_one_press(run: Run) -> None:
    app = open_page("evaluate")
    button(app, "evaluate:start").click().run()
    wait_for_scoring(run)
    app.run()
    assert not app.exception
    assert not app.error
    assert set(figures(app)) == CURVES


@pytest.mark.slow
def test_damaged_figures_are_named_and_one_press_makes_new_ones(scored: Run) -> None:
    path = scored.path / "evaluation.json"
    entries = json.loads(path.read_text(encoding="utf-8"))
    del entries["val"]["levels"]
    path.write_text(json.dumps(entries), encoding="utf-8")
    app = open_page("evaluate")
    assert not app.exception
    assert "damaged" in app.error[0].value
    button(app, "evaluate:again").click().run()
    wait_for_scoring(scored)
    app.run()
    assert not app.error
    assert set(figures(app)) == CURVES


def test_the_test_set_is_opened_only_by_its_button_and_each_time_is_counted_and_listed(scored: Run) -> None:
    app = open_page("evaluate")
    app.button_group(key="evaluate:split:widget").set_value("test").run()
    assert "has not been evaluated" in texts(app)
    assert read_evaluation(scored, "test") is None
    told = next(each.value for each in app.markdown if "cannot be taken back" in each.value)
    assert "**tiny**" in told and f"{scored.model_card().threshold:.3f}" in told
    assert button(app, "evaluate:start").disabled
    app.checkbox(key="evaluate:start:sure").set_value(True).run()
    assert read_evaluation(scored, "test") is None and accesses(scored.path) == ()
    button(app, "evaluate:start").click().run()
    wait_for_scoring(scored, "test")
    app.run()
    assert "test set evaluated **once**" in texts(app)
    evaluate(scored, "test")
    app.run()
    assert "evaluated **2 times**" in texts(app)
    for opening in read_evaluation(scored, "test").history:
        assert opening.when.replace("T", " ")[:16] in tables(app)
    assert [(each.kind, each.where) for each in accesses(scored.path)] == [("scored", "Evaluate"), ("scored", "evaluate")]


def test_a_damaged_record_of_accesses_is_an_error_and_not_no_access(scored: Run) -> None:
    (scored.path / "test_accesses.jsonl").write_text("{", encoding="utf-8")
    preferences.set("evaluate:split", "test")
    app = open_page("evaluate")
    assert not app.exception
    assert any("test_accesses.jsonl" in error.value.replace("\\", "") and "damaged" in error.value for error in app.error)
    assert "No access" not in texts(app)


def test_accesses_before_the_opening_stand_where_it_is_decided(scored: Run) -> None:
    record_for_run(scored.path, "heatmaps", "report", 3)
    preferences.set("evaluate:split", "test")
    app = open_page("evaluate")
    assert "heatmaps once" in texts(app)
    assert "heatmaps" in tables(app) and "report" in tables(app)


@pytest.mark.slow
def test_a_model_that_changed_since_is_said(scored: Run) -> None:
    path = scored.path / "model.json"
    path.write_text(json.dumps(scored.model_card().written() | {"weights_sha256": "0" * 64}), encoding="utf-8")
    app = open_page("evaluate")
    assert "has changed since" in app.warning[0].value


def test_a_damaged_evaluation_is_shown_as_its_text(scored: Run) -> None:
    (scored.path / "evaluation.json").write_text("{", encoding="utf-8")
    app = open_page("evaluate")
    assert not app.exception
    assert "damaged" in app.error[0].value


@pytest.mark.slow
def test_report_and_csv_are_reached_from_every_part(scored: Run) -> None:
    for group in parts.GROUPS:
        preferences.set("evaluate:group", group)
        app = open_page("evaluate")
        assert not app.exception and not app.error
        assert "Predictions (CSV)" in {each.proto.label for each in app.get("download_button")}, group
        assert "evaluate:make" in keys(app), group


def test_an_address_opens_its_part_also_by_an_earlier_name_and_then_the_buttons_decide(scored: Run) -> None:
    assert parts.place_of("all-numbers") == ("Overview", "All numbers") and parts.place_of("COMPARE") == ("Compare", "")
    assert parts.place_of("Figures") == ("Overview", "All numbers") and parts.place_of("nothing") is None
    every = {name: parts.place_of(name) for of_group in parts.GROUPS.values() for name in of_group}
    assert all(found is not None and found[1] == name for name, found in every.items())
    preferences.set("evaluate:group", "Fairness & shortcuts")  # stored by an earlier version
    app = AppTest.from_file(str(HOME), default_timeout=60)
    app.switch_page("views/evaluate/evaluate.py").run()
    assert app.button_group(key="evaluate:group:widget").value == "Subgroups & shortcuts"
    app.query_params["part"] = "calibration"
    app.run()
    assert "evaluate:reliability" in figures(app)
    app.button_group(key="evaluate:part:Overview:widget").set_value("All numbers").run()
    assert "evaluate:reliability" not in figures(app)


@pytest.mark.slow
def test_all_charts_are_given_to_the_browser_once_they_are_asked_for(scored: Run) -> None:
    app = open_page("evaluate")
    button(app, "evaluate:charts").click().run()
    assert not app.exception and not app.error
    given = component(app, "charts_zip")
    names = {chart["file"] for chart in given["charts"]}
    assert {"tiny-val-image-roc", "tiny-val-image-confusion", "tiny-val-image-reliability"} <= names
    assert given["file"] == "tiny-val-image-charts" and given["at_once"]
    assert len(names) == len(given["charts"]) and all(json.loads(chart["figure"])["data"] for chart in given["charts"])
    assert not component(app.run(), "charts_zip")["at_once"]
