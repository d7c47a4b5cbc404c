"""The primary endpoint: declared in time it stays, declared late it is called late, and a damaged file is never "none"."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from builders.fake_run import FakePredictor
from builders.saved_run import make_saved_run

from core.cli import main
from core.cli.endpoint import METRICS
from core.errors import BadConfig, BadRun
from core.evaluate import evaluate
from core.evaluate.endpoint import FILE, declare, read_declared
from core.metrics import TITLES, Interval, ThresholdRule
from core.runs import Run
from core.runs.test_set.access_log import record_for_run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return make_saved_run(tmp_path / "runs" / "one")


def open_test_set(run: Run):
    return evaluate(run, "test", predictor=FakePredictor(run.model_card()))


@pytest.mark.slow
def test_the_last_declaration_before_the_opening_is_the_endpoint_and_later_ones_are_changes(run: Run) -> None:
    assert read_declared(run.path).endpoint is None
    declare(run, "auc", "image")
    found = declare(run, "sensitivity", "patient", reason="what  screening asks")
    assert found.before and found.endpoint is not None and found.endpoint.reason == "what screening asks"
    assert "Sensitivity (recall) by patient at the threshold for a sensitivity of 90% on validation" in found.words
    evaluation = open_test_set(run)
    later = declare(run, "auc", "breast")
    assert later.endpoint == found.endpoint and later.before and [change.metric for change in later.changes] == ["auc"]
    assert "after that evaluation, another one was named: ROC AUC by breast" in later.words
    figure = later.result(evaluation)
    assert isinstance(figure, Interval) and figure == evaluation.levels["patient"]["sensitivity"]


@pytest.mark.slow
def test_a_declaration_after_the_opening_is_called_so(run: Run) -> None:
    open_test_set(run)
    found = declare(run, "auc", "patient")
    assert not found.before and "AFTER the test set had been evaluated" in found.words


def test_images_that_were_seen_before_are_said(run: Run) -> None:
    record_for_run(run.path, "images", "Preprocess", 3)
    found = declare(run, "auc", "patient")
    assert found.before and "images of it had been accessed once by then" in found.words


@pytest.mark.slow
def test_another_rule_than_the_declared_one_is_said(run: Run) -> None:
    found = declare(run, "specificity", "image", ThresholdRule("youden"))
    assert "is the threshold for a sensitivity of 90%" in found.other_rule(open_test_set(run))
    assert declare(run, "auc", "image").other_rule(open_test_set(run)) != ""  # a change after the opening alters nothing


def test_what_is_no_endpoint_is_refused_and_a_damaged_file_is_never_none(run: Run) -> None:
    for metric, level in (("auroc", "image"), ("auc", "woman")):
        with pytest.raises(BadConfig, match="expected a metric of auc"):
            declare(run, metric, level)
    assert not (run.path / FILE).exists()
    (run.path / FILE).write_text('{"when": 3}\n', encoding="utf-8")
    for act in (lambda: read_declared(run.path), lambda: declare(run, "auc", "image")):
        with pytest.raises(BadRun, match="damaged"):
            act()


def test_the_command_declares_shows_and_offers_every_metric(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert set(METRICS) == set(TITLES)
    assert main(["endpoint", str(run.path)]) == 0
    assert "No primary endpoint has been declared yet" in capsys.readouterr().out
    assert main(["endpoint", str(run.path), "--level", "image"]) != 0
    assert "expected --metric" in capsys.readouterr().err
    assert main(["endpoint", str(run.path), "--metric", "f1", "--level", "image", "--rule", "youden", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["declared_before"] and (found["endpoint"]["metric"], found["endpoint"]["rule"]["kind"]) == ("f1", "youden")


@pytest.mark.slow_for("declared0-False")
@pytest.mark.parametrize(("declared", "same"), [(ThresholdRule(target=0.904), False), (ThresholdRule(cost_ratio=3.0), True)])
def test_rules_are_compared_by_what_decides_and_not_by_rounded_words(run: Run, declared: ThresholdRule, same: bool) -> None:
    found = declare(run, "sensitivity", "image", declared)
    evaluation = open_test_set(run)
    assert evaluation.rule is not None and evaluation.rule.target == 0.9
    assert (found.other_rule(evaluation) == "") is same
    assert same or "a sensitivity of 90.4% on validation" in found.words
