"""A run evaluated at 80 %: no command, and no sentence of its report, speaks of another level."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from builders.saved_run import make_saved_run

from core.cli import main

OTHER_LEVEL = re.compile(r"\b95 ?%")
# Whether a model is better than chance is decided at one level for all runs, and the sentence names it.
OWN_LEVEL = re.compile(
    r"the AUC on validation is [^(]*\(95% interval\)"
    r"|That is decided by the 95% interval of the AUC"
    r"|on these images \(AUC [^,]*,[^,]*, 95% interval\)"
)


@pytest.mark.slow
def test_a_run_at_80_percent_has_no_interval_of_95(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run = make_saved_run(tmp_path / "checkpoints" / "one")
    settings = run.path / "config.yaml"
    changed = settings.read_text(encoding="utf-8").replace("confidence: 0.95", "confidence: 0.8")
    settings.write_text(changed, encoding="utf-8")
    assert run.config().evaluation.confidence == 0.8
    for command in (
        ["evaluate", "one", "--split", "val", "--full"],
        ["evaluate", "one", "--full", "--yes"],
        ["threshold", "one", "--by", "view"],
        ["runs"],
        ["report", "one"],
    ):
        assert main(command) == 0
    printed = capsys.readouterr()
    text = printed.out + printed.err
    assert "80% interval" in text and "intervals are of 80%" in text
    page = next(run.path.rglob("report*.html")).read_text(encoding="utf-8")
    words = re.sub(r"<[^>]*>|data:[^\"']*", " ", page)
    assert "80% interval" in words and "Band: 80%" in words
    for found in (OWN_LEVEL.sub("", text), OWN_LEVEL.sub("", words)):
        assert not [found[max(0, hit.start() - 80) : hit.end() + 20] for hit in OTHER_LEVEL.finditer(found)]


@pytest.mark.slow
def test_an_evaluation_made_again_at_another_level_is_described_by_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run = make_saved_run(tmp_path / "checkpoints" / "one")
    for command in (
        ["evaluate", "one", "--yes"],
        ["evaluate", "one", "--remake", "--set", "evaluation.confidence=0.8", "--set", "evaluation.bootstrap_samples=123"],
        ["report", "one"],
    ):
        assert main(command) == 0
    words = re.sub(r"<[^>]*>", " ", next(run.path.rglob("report*.html")).read_text(encoding="utf-8"))
    assert "Intervals are of 80%" in words and "123 resamples" in words


@pytest.mark.slow
def test_sets_that_were_evaluated_at_two_levels_say_so_and_are_not_subtracted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_saved_run(tmp_path / "checkpoints" / "one")
    again = ["evaluate", "one", "--split", "val", "--remake", "--set", "evaluation.confidence=0.99"]
    for command in (["evaluate", "one", "--split", "val"], ["evaluate", "one", "--yes"], again, ["report", "one"]):
        assert main(command) == 0
    words = re.sub(r"<[^>]*>", " ", next((tmp_path / "checkpoints").rglob("report*.html")).read_text(encoding="utf-8"))
    assert "Performance with intervals of the level in the heading" in words
    assert "Test, images, 95%" in words and "Validation, images, 99%" in words
    assert "From validation to test, images" not in words
    assert "Validation and test were evaluated with intervals of 99% and 95%" in words
