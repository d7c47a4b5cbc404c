"""Thresholds by view through a run: chosen by the configuration or again, evaluated, recorded, reported, kept by a fork."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders.saved_run import make_saved_run, validation_of

from core.cli import main
from core.config import load_config
from core.errors import BadRun
from core.evaluate import compare_evaluations, evaluate, read_evaluation, refreeze, remake
from core.evaluate.endpoint import declare, read_declared
from core.evaluate.thresholds import is_frozen
from core.files.typed import to_plain
from core.metrics import ThresholdRule, rule_of
from core.metrics.operating_points import settings_of
from core.model import ModelCard, update_card
from core.report import report
from core.runs import Run
from core.runs.forking import starting_point
from core.runs.frozen_rule import resumed_config
from core.runs.test_set.accesses import accesses

RULE = ThresholdRule(target=0.9, per_view=True)


pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """24 patients in validation and in test, half malignant, CC and MLO of each; CC scores of validation lie higher."""
    run = make_saved_run(tmp_path / "runs" / "run", patients=24)
    frame = validation_of(run)
    frame["score"] = (frame["score"] + np.where(frame["view"] == "CC", 0.1, -0.1)).clip(0.01, 0.99).round(6)
    frame.to_csv(run.path / "predictions" / "val.csv", index=False)
    return run


def by_hand(frame: pd.DataFrame, card: ModelCard) -> dict[str, int]:
    """The four counts, image by image."""
    counts = {"tp": 0, "fp": 0, "tn": 0, "fn": 0}
    for row in frame.to_dict("records"):
        called = row["score"] >= (card.view_thresholds[row["view"]] if row["view"] in ("CC", "MLO") else card.threshold)
        malignant = row["label"] == "malignant"
        counts[("tp" if malignant else "fp") if called else ("fn" if malignant else "tn")] += 1
    return counts


def test_the_configuration_asks_for_them_and_one_for_all_is_the_default() -> None:
    assert rule_of(load_config(None).evaluation) == ThresholdRule()
    asked = load_config(None, ["evaluation.per_view_thresholds=true"]).evaluation
    assert rule_of(asked) == RULE
    for rule in (RULE, ThresholdRule("cost", cost_ratio=3, prevalence=0.01), ThresholdRule("youden", per_view=True)):
        assert rule_of(asked.model_copy(update=settings_of(rule))) == rule


def test_they_are_frozen_with_the_model_and_other_levels_keep_their_own(run: Run) -> None:
    before = run.model_card()
    assert before.view_thresholds == {} and not before.threshold_rule.per_view
    one = refreeze(run, ThresholdRule(target=0.9)).level_thresholds
    card = refreeze(run, RULE)
    assert card.level_thresholds == one, "the common threshold and those of breasts and patients do not depend on views"
    assert card.view_thresholds["CC"] > card.threshold > card.view_thresholds["MLO"]
    validation = validation_of(run)
    for view, threshold in card.view_thresholds.items():
        found = validation[(validation["view"] == view) & (validation["label"] == "malignant")]
        assert (found["score"] >= threshold).mean() >= 0.9
    assert is_frozen(card, RULE, validation) and not is_frozen(card, ThresholdRule(target=0.9), validation)
    assert refreeze(run, ThresholdRule(target=0.9)).view_thresholds == {}
    assert not is_frozen(run.model_card(), RULE, validation)


def test_evaluation_counts_every_image_at_its_view_and_says_so(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    card = refreeze(run, RULE)
    found = evaluate(run, "test")
    assert to_plain(found.summary.counts) == by_hand(found.predictions, card)
    assert found.thresholds.own == card.view_thresholds and found.history[-1].views == card.view_thresholds
    groups = {row.value: row for row in found.subgroups if row.feature == "view"}
    for view, threshold in card.view_thresholds.items():
        benign = found.predictions[(found.predictions["view"] == view) & (found.predictions["label"] == "benign")]
        assert groups[view].specificity.value == pytest.approx((benign["score"] < threshold).mean())
    assert set(found.uncertainty["image"].views) == {"CC", "MLO"} and found.uncertainty["patient"].views == {}
    read = read_evaluation(run, "test")
    assert read.to_dict() == json.loads(json.dumps(found.to_dict())) and read.thresholds == found.thresholds
    assert not read.outdated(card)
    capsys.readouterr()
    assert main(["evaluate", str(run.path), "--remake"]) == 0
    printed = capsys.readouterr().out
    assert f"image level, thresholds by view: {found.thresholds.words}" in printed and "of CC images" in printed
    assert remake(run, "test").summary == found.summary


@pytest.mark.slow
def test_too_few_patients_of_a_view_are_said_wherever_the_thresholds_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_saved_run(tmp_path / "run")
    card = refreeze(run, RULE)
    why = "only 7 patients have malignant CC images and only 7 patients have benign CC images on validation, at least 10 needed"
    assert card.view_thresholds["CC"] == why
    capsys.readouterr()
    main(["evaluate", str(run.path), "--split", "val"])
    assert f"CC images are judged at the common threshold: {why}" in capsys.readouterr().out
    assert main(["threshold", str(run.path), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["thresholds"]
    assert [(row["level"], row["view"]) for row in rows][:3] == [("image", None), ("image", "CC"), ("image", "MLO")]
    assert rows[1]["threshold"] == why
    assert f"CC images are judged at the common threshold: {why}" in report(run).read_text(encoding="utf-8")


@pytest.mark.slow
def test_another_choice_after_the_test_set_was_opened_is_refused_and_then_recorded(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    refreeze(run, ThresholdRule(target=0.9))
    first = evaluate(run, "test")
    with pytest.raises(BadRun, match="with the test set in view"):
        refreeze(run, RULE)
    assert main(["threshold", str(run.path), "--per-view", "--reopen", "--json"]) == 0
    card = run.model_card()
    assert json.loads(capsys.readouterr().out)["rule"] == to_plain(RULE)
    assert card.threshold_rule == RULE
    (change,) = json.loads((run.path / "evaluation.json").read_text(encoding="utf-8"))["test"]["refrozen"]
    assert (change["before_views"], change["after_views"], change["opened"]) == ({}, card.view_thresholds, 1)
    assert any("(by view, CC 0." in each.detail for each in accesses(run.path))
    assert first.threshold == card.threshold and "thresholds by view have been chosen again" in first.outdated(card)
    words = card.image_thresholds.stated(6)
    assert words in report(run).read_text(encoding="utf-8")
    main(["threshold", str(run.path), "--target", "0.8", "--reopen"])
    assert run.model_card().threshold_rule.per_view, "what was not asked for stays as it is frozen"
    main(["threshold", str(run.path), "--no-per-view", "--reopen"])
    assert run.model_card().view_thresholds == {}


@pytest.mark.slow
def test_the_primary_endpoint_names_the_rule_and_another_one_is_told(run: Run) -> None:
    declare(run, "sensitivity", "image", RULE)
    declared = read_declared(run.path)
    assert "for a sensitivity of 90% on validation, chosen by view for CC and MLO images" in declared.words
    refreeze(run, ThresholdRule(target=0.9))
    assert "not chosen by the declared rule" in declared.other_rule(evaluate(run, "test"))
    refreeze(run, RULE, reopen=True)
    assert not declared.other_rule(evaluate(run, "test"))


@pytest.mark.slow
def test_the_report_says_which_rule_holds_at_which_level(run: Run) -> None:
    card = refreeze(run, RULE)
    evaluate(run, "test")
    text = report(run).read_text(encoding="utf-8")
    views = card.image_thresholds
    assert f"At the frozen thresholds by view ({views.words})" in text
    assert "images of other or unknown views are judged at the common threshold" in text
    assert "Scores were not recalibrated by view: breasts and patients have the mean score" in text
    assert "Threshold, CC images" in text and f"{views.own['MLO']:.6f}" in text
    assert "Threshold of MLO" in text and "Image level: threshold of CC" in text
    refreeze(run, ThresholdRule(target=0.9), reopen=True)
    evaluate(run, "test")
    one = report(run).read_text(encoding="utf-8")
    assert "Threshold of MLO" not in one and "common threshold" not in one


def test_a_fork_and_a_resumed_training_keep_the_rule_that_is_frozen(run: Run) -> None:
    assert rule_of(resumed_config(run).evaluation) == ThresholdRule(target=0.9)
    refreeze(run, ThresholdRule("youden", per_view=True))
    for config in (resumed_config(run), starting_point(run)):
        assert (config.evaluation.threshold_rule, config.evaluation.per_view_thresholds) == ("youden", True)
    changed = starting_point(run, ["evaluation.per_view_thresholds=false", "training.epochs=3"])
    assert not changed.evaluation.per_view_thresholds and changed.evaluation.threshold_rule == "youden"
    (run.path / "model.json").write_text("{", encoding="utf-8")
    assert resumed_config(run) == run.config()


@pytest.mark.slow
def test_a_card_without_them_reads_as_before(run: Run) -> None:
    card = run.model_card()
    fields = card.written()
    del fields["threshold_rule"]["per_view"], fields["view_thresholds"]
    path = run.path / "model.json"
    path.write_text(json.dumps(fields), encoding="utf-8")
    found = evaluate(run, "test")
    assert not found.thresholds.per_view and found.threshold_words == f"threshold {card.threshold:.3f}"
    entry = json.loads((run.path / "evaluation.json").read_text(encoding="utf-8"))
    del entry["test"]["view_thresholds"]
    entry["test"]["history"] = [{k: v for k, v in look.items() if k != "views"} for look in entry["test"]["history"]]
    (run.path / "evaluation.json").write_text(json.dumps(entry), encoding="utf-8")
    assert read_evaluation(run, "test").summary == found.summary


@pytest.mark.parametrize("bad", [{"CC": 1.5}, {"CC": float("nan")}, {"MLO": True}, [0.5]])
def test_a_threshold_that_no_score_can_be_compared_with_is_refused(run: Run, bad: object) -> None:
    update_card(run.path, {"view_thresholds": {}})
    path = run.path / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"view_thresholds": bad}), encoding="utf-8")
    with pytest.raises(BadRun, match=r"view_thresholds|damaged"):
        run.model_card()


@pytest.mark.slow
def test_two_evaluations_are_compared_each_at_its_own_thresholds(run: Run) -> None:
    one = evaluate(run, "val")
    card = refreeze(run, RULE)
    by_view = evaluate(run, "val")
    found = compare_evaluations(one, by_view)
    assert found.by_view == ("", by_view.thresholds.words) and by_view.thresholds.words
    figure = found.statistics.metrics["specificity"]
    common = card.model_copy(update={"view_thresholds": dict.fromkeys(("CC", "MLO"), one.threshold)})
    for value, counts in (
        (figure.first, by_hand(one.predictions, common)),
        (figure.second, by_hand(by_view.predictions, card)),
    ):
        assert value == pytest.approx(counts["tn"] / (counts["tn"] + counts["fp"]))
    assert found.as_dict()["thresholds_by_view"] == list(found.by_view)
