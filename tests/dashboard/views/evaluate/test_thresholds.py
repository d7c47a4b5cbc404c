"""Evaluate: which threshold a rule chooses, and freezing it."""

from __future__ import annotations

import re

import pytest
from builders.evaluate_page import cards, open_part, wait_for_scoring
from builders.lab_pages import button, component, keys, tables, texts

from core.evaluate import read_evaluation
from core.metrics import ThresholdRule, at_level, at_threshold
from core.runs import Run
from dashboard.cache import results
from dashboard.state import preferences


@pytest.mark.parametrize("kind", ["sensitivity", "youden", "cost"])
def test_a_rule_says_what_it_would_choose_and_look_at_it_moves_only_the_slider(scored: Run, kind: str) -> None:
    preferences.set("evaluate:rule", kind)
    preferences.set("evaluate:target", 0.7)
    app = open_part("Choose a threshold")
    predictions = read_evaluation(scored, "val").predictions
    expected = ThresholdRule(kind, target=0.7).choose(predictions["label"], predictions["score"])  # type: ignore[arg-type]
    assert f"{expected:.3f}" in tables(app)
    button(app, "evaluate:look").click().run()
    data = component(app, "dial")
    assert data["grid"][data["index"]] == pytest.approx(expected, abs=1e-6)
    assert scored.model_card().threshold == data["grid"][data["frozen"]]


@pytest.mark.slow
def test_freezing_changes_the_model_and_scores_validation_again(scored: Run) -> None:
    before = scored.model_card().threshold
    preferences.set("evaluate:target", 0.5)
    app = open_part("Choose a threshold")
    button(app, "evaluate:freeze").click().run()
    wait_for_scoring(scored)
    assert scored.model_card().threshold > before
    assert scored.model_card().threshold_rule.target == 0.5
    assert read_evaluation(scored, "val").threshold == scored.model_card().threshold


@pytest.mark.slow
def test_thresholds_by_view_can_be_asked_for_and_a_view_with_too_few_patients_says_so(scored: Run) -> None:
    preferences.set("evaluate:per_view", True)
    app = open_part("Choose a threshold")
    assert "only 5 patients have malignant CC images" in texts(app) and "at least 10 needed" in texts(app)
    button(app, "evaluate:freeze").click().run()
    wait_for_scoring(scored)
    card = scored.model_card()
    assert card.threshold_rule.per_view and "at least 10 needed" in card.view_thresholds["MLO"]
    assert "for each view" in texts(open_part("Choose a threshold"))


@pytest.mark.slow_for("patient")
@pytest.mark.parametrize("level", ["image", "patient"])
def test_what_is_frozen_now_is_shown_before_validation_is_scored_again(
    scored: Run, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    monkeypatch.setattr(results, "start_evaluation", lambda run, split: None)  # it never ends
    stored = read_evaluation(scored, "val")
    preferences.set("evaluate:target", 0.5)
    preferences.set("evaluate:level", level)
    app = open_part("Choose a threshold")
    assert "In use now: a target sensitivity of 0.90" in texts(app)
    button(app, "evaluate:freeze").click().run()
    assert not app.exception
    card = scored.model_card()
    now = {"image": card.threshold, **card.thresholds}[level]
    assert now > stored.levels[level].threshold
    data = component(app, "dial")
    assert data["index"] == data["frozen"] and data["grid"][data["frozen"]] == now
    assert "for a sensitivity of 0.50" in data["words"]
    assert "In use now: a target sensitivity of 0.50" in texts(app)
    assert f"<td>Threshold</td><td>{now:.3f}</td><td>{now:.3f}</td>" in re.sub(r"<td class='.'>", "<td>", tables(app))
    assert "both columns are optimistic" in texts(app)
    table = at_level(stored.predictions, level)
    at = at_threshold(table["label"], table["score"], now)
    assert cards(app)["sensitivity"]["value"] == pytest.approx(at["sensitivity"], abs=1e-5)
    (banner,) = app.warning
    assert f"{now:.3f} for {level}s" in banner.value and "Score again" in banner.value
    app = open_part("All numbers")
    captions = " ".join(each.value for each in app.caption)
    assert f"earlier threshold {stored.levels[level].threshold:.3f} (in use now: {now:.3f})" in captions


@pytest.mark.slow
def test_what_is_frozen_already_is_not_offered_again(scored: Run) -> None:
    app = open_part("Choose a threshold")
    assert "evaluate:freeze" not in keys(app)
    assert "This is what is in use" in texts(app)
    app.slider(key="evaluate:target:widget").set_value(0.5).run()
    assert "This is what is in use" not in texts(app)
    button(app, "evaluate:freeze").click().run()
    wait_for_scoring(scored)
    app.run()
    assert not app.warning
    assert "evaluate:freeze" not in keys(app)


@pytest.mark.slow
def test_after_the_test_set_was_opened_freezing_asks_to_be_recorded(opened: Run) -> None:
    preferences.set("evaluate:split", "val")
    preferences.set("evaluate:target", 0.5)
    before = opened.model_card().threshold
    app = open_part("Choose a threshold")
    assert "evaluated **once**" in texts(app)
    assert button(app, "evaluate:freeze").disabled
    app.checkbox(key="evaluate:reopen").check().run()
    button(app, "evaluate:freeze").click().run()
    wait_for_scoring(opened)
    assert opened.model_card().threshold > before
    (change,) = read_evaluation(opened, "test").refrozen
    assert (change.before, change.evaluations) == (before, 1)


@pytest.mark.slow
def test_on_the_test_set_no_threshold_can_be_chosen(opened: Run) -> None:
    app = open_part("Choose a threshold")
    assert "never here" in app.info[0].value
    assert "evaluate:freeze" not in keys(app)
