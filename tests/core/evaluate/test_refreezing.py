"""Choosing the threshold again: on validation only, never in silence once the test set was evaluated."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders.saved_run import make_saved_run, validation_of

from core.errors import BadRun, NotEnoughData
from core.evaluate import evaluate, read_evaluation, refreeze
from core.evaluate.thresholds import is_frozen
from core.metrics import ThresholdRule, at_level
from core.metrics.thresholds import cost_threshold, youden_threshold
from core.model.card import ModelCard
from core.runs import Run
from core.runs.test_set.provenance import Parent, write_parent


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return make_saved_run(tmp_path / "run")


def test_the_rule_chooses_at_every_level_and_the_weights_stay(run: Run) -> None:
    before = run.model_card()
    card = refreeze(run, ThresholdRule("youden"))
    assert card == run.model_card()
    for level, threshold in card.level_thresholds.items():
        table = at_level(validation_of(run), level)
        assert threshold == pytest.approx(youden_threshold(table["label"], table["score"]), abs=2e-6)
    changed = {name for name, value in card.written().items() if value != before.written()[name]}
    assert changed == {"threshold", "thresholds", "threshold_rule", "target_sensitivity"}
    assert card.target_sensitivity is None and card.threshold_rule.kind == "youden"


def test_costs_and_prevalence_reach_the_threshold(run: Run) -> None:
    found = validation_of(run)
    for rule in (ThresholdRule("cost", cost_ratio=20), ThresholdRule("cost", cost_ratio=20, prevalence=0.01)):
        expected = cost_threshold(found["label"], found["score"], 20, rule.prevalence)
        assert refreeze(run, rule).threshold == pytest.approx(expected, abs=2e-6)


def test_a_calibration_is_fitted_only_when_asked_for(run: Run) -> None:
    kept = run.model_card().calibration
    assert refreeze(run, ThresholdRule("youden")).calibration == kept
    assert refreeze(run, ThresholdRule("youden"), calibration="isotonic").calibration.fitted.method == "isotonic"


@pytest.mark.parametrize(
    ("rule", "frozen"),
    [
        (ThresholdRule("youden"), True),
        (ThresholdRule("youden", target=0.5, cost_ratio=3), True),  # what Youden's rule does not go by
        (ThresholdRule("sensitivity"), False),
        (ThresholdRule("cost"), False),
    ],
)
def test_a_rule_is_frozen_when_freezing_it_would_change_nothing(run: Run, rule: ThresholdRule, frozen: bool) -> None:
    card = refreeze(run, ThresholdRule("youden"))
    assert card.rule == ThresholdRule("youden")
    assert is_frozen(card, rule, validation_of(run)) is frozen
    for level in ("breast", "patient"):
        moved = card.model_copy(update={"thresholds": card.thresholds | {level: 0.123}})
        assert not is_frozen(moved, rule, validation_of(run))


def test_a_card_of_an_earlier_version_has_the_rule_of_its_target(run: Run) -> None:
    fields = {name: value for name, value in run.model_card().written().items() if name != "threshold_rule"}
    card, other = ModelCard.of(fields), ModelCard.of(fields | {"target_sensitivity": None})
    assert card.rule == ThresholdRule("sensitivity", 0.9)
    assert other.rule is None
    assert not is_frozen(other, ThresholdRule(), validation_of(run))


@pytest.mark.slow
def test_the_openings_of_a_fork_s_parent_count(run: Run) -> None:
    write_parent(run.path, Parent("elder", 1, "ab" * 32, 2))
    with pytest.raises(BadRun, match="evaluated 2 times, 2 of these before it was forked from elder"):
        refreeze(run, ThresholdRule("youden"))
    refreeze(run, ThresholdRule("youden"), reopen=True)
    assert read_evaluation(run, "test") is None
    found = evaluate(run, "test")
    (change,) = found.refrozen
    assert (found.evaluations, change.evaluations, change.rule, len(found.history)) == (1, 2, "youden", 1)


def test_after_the_test_set_was_opened_it_is_refused(run: Run) -> None:
    evaluate(run, "test")
    before = run.model_card()
    with pytest.raises(BadRun, match="evaluated once"):
        refreeze(run, ThresholdRule("youden"))
    assert run.model_card() == before and read_evaluation(run).refrozen == ()


@pytest.mark.slow
def test_reopening_is_written_down_and_stays_written(run: Run) -> None:
    first = evaluate(run, "test")
    card = refreeze(run, ThresholdRule("youden"), reopen=True)
    stored = read_evaluation(run)
    assert [(change.before, change.after, change.rule, change.evaluations) for change in stored.refrozen] == [
        (first.threshold, card.threshold, "youden", 1)
    ]
    assert "chosen again" in stored.outdated(card)
    again = evaluate(run, "test")
    assert again.refrozen == stored.refrozen and again.evaluations == 2
    assert [look.threshold for look in again.history] == [first.threshold, card.threshold]
    assert again.rule == ThresholdRule("youden") and again.outdated(card) == ""


@pytest.mark.slow
def test_a_loaded_model_is_judged_at_the_threshold_of_now(run: Run) -> None:
    from core.predict import Predictor

    loaded = Predictor.from_run(run)
    card = refreeze(run, ThresholdRule("cost", cost_ratio=0.1))
    assert loaded.threshold != card.threshold
    assert evaluate(run, "test", predictor=loaded).threshold == card.threshold


def test_predictions_of_another_split_are_refused(run: Run) -> None:
    path = run.path / "predictions" / "val.csv"
    path.write_text(path.read_text(encoding="utf-8").replace(",val,", ",test,"), encoding="utf-8")
    with pytest.raises(BadRun, match="validation images only"):
        refreeze(run, ThresholdRule("youden"))


def test_without_validation_predictions_it_says_what_to_do(run: Run) -> None:
    (run.path / "predictions" / "val.csv").unlink()
    with pytest.raises(BadRun, match="--split val"):
        refreeze(run, ThresholdRule("youden"))


def test_one_class_cannot_choose(run: Run) -> None:
    path = run.path / "predictions" / "val.csv"
    path.write_text(path.read_text(encoding="utf-8").replace(",malignant,", ",benign,"), encoding="utf-8")
    before = run.model_card()
    with pytest.raises(NotEnoughData, match="benign and malignant"):
        refreeze(run, ThresholdRule("youden"))
    assert run.model_card() == before


def test_a_run_that_is_being_trained_is_left_alone(run: Run) -> None:
    lock = run.acquire()
    try:
        with pytest.raises(BadRun, match="being trained"):
            refreeze(Run(run.path), ThresholdRule("youden"))
    finally:
        lock.release()


@pytest.mark.slow
def test_what_an_earlier_version_did_not_freeze_is_added_by_validation_only(tmp_path: Path) -> None:
    old = make_saved_run(tmp_path / "old", thresholds=None, threshold_rule=None, calibration=None, threshold=0.45)
    assert "--split val" in evaluate(old, "test").levels["patient"]
    assert old.model_card().thresholds is None
    found = evaluate(old, "val")
    card = old.model_card()
    assert card.threshold == found.threshold == 0.45 and card.target_sensitivity == 0.9
    assert found.levels["patient"].threshold == card.thresholds["patient"]
    assert evaluate(old, "test").levels["patient"].threshold == card.thresholds["patient"]
