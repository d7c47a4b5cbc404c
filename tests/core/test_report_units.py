"""The report says what its unit of analysis is made of, and claims nothing about patients that nobody knows."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from fake_run import FakePredictor, FakeRun, make_run
from markupsafe import Markup

from core.data import write_manifest
from core.evaluate import evaluate
from core.report import figures, gather
from core.report.document import Document, Section, Table, Warn


@pytest.fixture(autouse=True)
def _undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "to_svg", lambda canvas, name: Markup('<svg viewBox="0 0 9 9"></svg>'))
    monkeypatch.setattr("core.report.cases", lambda material, predictor: Section("cases", "Cases"))


def change(run: FakeRun, rows: pd.DataFrame) -> None:
    write_manifest(rows, run.path / "manifest.csv")


def scored(run: FakeRun, *splits: str) -> FakeRun:
    for split in splits:
        evaluate(run, split, predictor=FakePredictor(run.card))
    return run


def tables(document: Document) -> dict[str, Table]:
    blocks = [block for section in document.walk() for block in section.blocks]
    return {block.caption: block for block in blocks if isinstance(block, Table)}


def warned(document: Document) -> str:
    inside = [block.text for section in document.walk() for block in section.blocks if isinstance(block, Warn)]
    return " ".join((*document.warnings, *inside))


@pytest.fixture
def one_sided(tmp_path: Path) -> FakeRun:
    """A run whose malignant patients have one image, and whose benign ones have two of each side."""
    run = make_run(tmp_path / "run")
    rows = run.manifest()
    rows = rows[(rows["label"] == "benign") | (rows["view"] == "CC")].reset_index(drop=True)
    rows.loc[(rows["label"] == "benign") & (rows["view"] == "MLO"), "laterality"] = "R"
    change(run, rows)
    return scored(run, "test")


def test_images_and_sides_of_patients_stand_by_set_and_label_with_a_warning_where_they_tell_the_label(
    one_sided: FakeRun,
) -> None:
    document = gather(one_sided, FakePredictor(one_sided.card))
    table = tables(document)["Images and sides of patients by label."]
    assert ("test", "malignant", "7", "7", "1 (1 to 1)", "0 (0.0%)", "7 (100.0%)", "0 (0.0%)") in table.rows
    assert ("test", "benign", "7", "14", "2 (2 to 2)", "7 (100.0%)", "0 (0.0%)", "0 (0.0%)") in table.rows
    assert "Test set: malignant patients have fewer images (AUC 1.000" in warned(document)
    assert any("malignant patients have fewer images" in line for line in document.warnings)


def test_the_rule_that_combines_images_is_varied(one_sided: FakeRun) -> None:
    table = tables(gather(one_sided, FakePredictor(one_sided.card)))["Sensitivity of the AUC by patient to the rule, test set."]
    assert [row[0].split(" ")[0] for row in table.rows] == ["mean", "highest", "highest", "one", "affected", "two"]
    assert sum(row[1] == "yes" for row in table.rows) == 3 and all("[" in row[2] for row in table.rows)


def test_equal_patients_are_not_warned_of(tmp_path: Path) -> None:
    run = scored(make_run(tmp_path / "run"), "test")
    assert "fewer images" not in warned(gather(run, FakePredictor(run.card)))


def text_of(document: Document) -> str:
    """All words of a report, of tables too."""
    parts = [document.title, *(text for _, text in document.abstract), *document.warnings]
    for section in document.walk():
        for block in section.blocks:
            parts += _words(block)
    return "\n".join(parts)


def _words(block: object) -> list[str]:
    found: list[str] = []
    for value in vars(block).values():
        stack = [value]
        while stack:
            each = stack.pop()
            if isinstance(each, str):
                found.append(each)
            elif isinstance(each, (tuple, list)):
                stack += reversed(each)
            elif hasattr(each, "__dataclass_fields__"):
                found += _words(each)
    return found


def test_models_that_were_scored_on_the_same_test_set_before_are_counted_in_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter(f"2026-01-{day:02d}T00:00:00+00:00" for day in range(1, 9))
    monkeypatch.setattr("core.evaluate.evaluating.time_now", lambda: next(times))
    first = scored(make_run(tmp_path / "runs" / "first", patients=6), "test")
    second = make_run(tmp_path / "runs" / "second", patients=6, weights_sha256="cd" * 32)
    change(second, first.manifest())
    scored(second, "test")
    text = text_of(gather(second, FakePredictor(second.card)))
    said = "1 other model had been scored on test images of the same patients before this run's own was"
    assert text.count(said) == 3  # a warning, the openings, the limitations
    assert "but 1 other model had been scored on it" in text
    alone = text_of(gather(first, FakePredictor(first.card)))
    assert "No other model is on record as scored" in alone and "1 other model followed" in alone
    (tmp_path / "runs" / "test_accesses.jsonl").unlink()
    assert "is missing: it was deleted" in text_of(gather(second, FakePredictor(second.card)))
    (tmp_path / "runs" / "test_accesses.jsonl").write_text("nonsense", encoding="utf-8")
    assert "cannot be said: a record is damaged" in text_of(gather(second, FakePredictor(second.card)))
