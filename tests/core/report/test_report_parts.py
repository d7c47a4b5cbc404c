"""Parts of the report on their own: drawings, the size of a study, the authors' answers, words, and the command."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from builders.fake_run import FakePredictor, FakeRun, make_run

from core.errors import BadConfig
from core.evaluate import evaluate
from core.heatmap_audit import HeatmapAudit, MethodAudit
from core.heatmap_audit.results import ALL, Curve, Metric, Reference
from core.heatmap_audit.settings import AuditSettings
from core.metrics import Interval, ShortcutAudit, auc
from core.metrics.features import value_title
from core.metrics.shortcut_results import Shortcut
from core.report import drawing, figures, gather, keep_notes, write_questions
from core.report.material import read_material
from core.report.notes import Notes, questions, read_notes
from core.report.page import prose
from core.report.precision import auc_standard_error, participants_needed
from core.report.sections.checks import heatmap_audit, verdict, worrying
from core.report.sections.discussion import limits
from core.report.words import stated, years

# The level of the intervals, where a test does not set another.
participants_needed = partial(participants_needed, confidence=0.95)


def interval(value: float, half: float = 0.05) -> Interval:
    return Interval(value, value - half, value + half)


@pytest.fixture
def run(tmp_path: Path) -> FakeRun:
    return make_run(tmp_path / "run")


# ---------------------------------------------------------------- drawings


def a_forest(name: str = "forest"):
    rows = [("Side", ""), ("<b>L</b> & R", interval(0.7)), ("R", "only 2 patients")]
    return figures.forest(name, rows, "Caption.", reference=interval(0.6), heads=frozenset({0}))


def test_a_drawing_is_the_same_every_time_and_carries_nothing_but_itself(drawn: None) -> None:
    first, again = a_forest().svg, a_forest().svg
    assert first == again
    assert "http" not in first and "<metadata" not in first and "<!--" not in first and "Matplotlib" not in first
    assert max(len(number.partition(".")[2]) for number in re.findall(r'(?<=[ ",(ML])-?\d+\.\d+', first)) <= 2
    root = ET.fromstring(first)
    assert root.attrib["viewBox"]
    assert "<b>L</b> & R" in "".join(root.itertext())  # text stays text, escaped


def test_names_inside_a_drawing_are_its_own(drawn: None) -> None:
    one, two = a_forest("one").svg, a_forest("two").svg
    inner = [set(re.findall(r' id="([^"]+)"', svg)) for svg in (one, two)]
    assert inner[0] and not inner[0] & inner[1]
    for svg, names in zip((one, two), inner, strict=True):
        used = set(re.findall(r'(?:url\(|href=")#([^)"]+)', svg))
        assert used == names


def test_numbers_that_a_person_reads_are_not_rounded() -> None:
    figure, axes = drawing.canvas(3, 2)
    axes.text(0, 0, "AUC 0.123456")
    assert "AUC 0.123456" in drawing.to_svg(figure, "x")


@pytest.mark.parametrize("name", ["a$b$c", "$\\frac{1", "x" * 500, "two\nlines"])
def test_any_value_of_a_manifest_can_stand_beside_a_point(name: str, drawn: None) -> None:
    text = "".join(ET.fromstring(figures.forest("f", [(name, interval(0.7))], "Caption.").svg).itertext())
    assert name.split("\n")[0][:20] in text and "x" * 60 not in text


@pytest.mark.parametrize("scores", [[0.2, 0.4, 0.6, 0.8], [0.5, 0.5, 0.5, 0.5], [0.0, 0.0, 1.0, 1.0]])
def test_histograms_hold_every_score(scores: list[float], drawn: None) -> None:
    chart = figures.histogram("h", [False, False, True, True], scores, 0.5, "Caption.")
    assert "benign (2)" in chart.svg and "malignant (2)" in chart.svg


# ---------------------------------------------------------------- the size of a study


def test_the_standard_error_of_an_auc_agrees_with_what_samples_show() -> None:
    generator = np.random.default_rng(1)
    found = []
    for _ in range(600):
        labels = generator.random(300) < 0.3
        scores = generator.normal(size=300) + 1.19 * labels  # two normals that far apart have an AUC of 0.80
        found.append(auc(labels, scores))
    assert np.mean(found) == pytest.approx(0.80, abs=0.01)
    assert auc_standard_error(0.80, 0.3, 300) == pytest.approx(np.std(found), rel=0.1)


@pytest.mark.parametrize(("expected", "prevalence"), [(0.7, 0.5), (0.8, 0.1), (0.9, 0.02)])
def test_the_participants_needed_are_the_fewest(expected: float, prevalence: float) -> None:
    needed = participants_needed(expected, prevalence)
    assert 2 * 1.959964 * auc_standard_error(expected, prevalence, needed) <= 0.1
    assert 2 * 1.959964 * auc_standard_error(expected, prevalence, needed - 1) > 0.1


def test_the_participants_needed_are_those_of_another_program() -> None:
    # R's pmvalsampsize, type "b", prevalence 0.018, C statistic 0.8, width 0.1: 4,252 for the C statistic.
    assert participants_needed(0.8, 0.018) == 4252


# ---------------------------------------------------------------- the authors' answers


def test_an_empty_form_asks_every_question_and_reads_as_no_answer(run: FakeRun) -> None:
    path = write_questions(run)
    assert read_notes(path) == Notes()
    text = path.read_text(encoding="utf-8")
    assert all(f'{key}: ""' in text for key in Notes.model_fields)
    path.write_text("funding: mine", encoding="utf-8")
    write_questions(run)
    assert path.read_text(encoding="utf-8") == "funding: mine"  # never over what is there


def test_a_form_may_hold_paragraphs_numbers_and_dates(tmp_path: Path) -> None:
    path = tmp_path / "report.yaml"
    path.write_text("setting: |\n  One.\n\n  Two.\nfunding: 12\ndates: 2020-01-31\nethics:\n", encoding="utf-8")
    notes = read_notes(path)
    assert notes.setting == "One.\n\nTwo." and notes.funding == "12" and notes.dates == "2020-01-31" and notes.ethics == ""
    assert read_notes(tmp_path / "none.yaml") == Notes()


def test_answers_are_kept_in_the_run_only_when_they_can_be_read(run: FakeRun, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text("funding: Us", encoding="utf-8")
    bad.write_text("fun: Us", encoding="utf-8")
    assert keep_notes(run, good).funding == "Us"
    for path in (bad, tmp_path / "missing.yaml"):
        with pytest.raises(BadConfig, match=path.name):
            keep_notes(run, path)
    assert (run.path / "report.yaml").read_text(encoding="utf-8") == "funding: Us"


def test_questions_are_questions_in_words() -> None:
    assert questions().count("\n# ") == len(Notes.model_fields) + 1
    assert all(field.description.endswith(".") for field in Notes.model_fields.values())


# ---------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("text", "shown"),
    [("run `a <b>`", "run <code>a &lt;b&gt;</code>"), ("one ` alone", "one ` alone"), ("<i>", "&lt;i&gt;")],
)
def test_only_what_stands_between_backquotes_is_code(text: str, shown: str) -> None:
    assert prose(text) == shown


def test_figures_stand_with_their_interval_and_a_true_minus() -> None:
    assert stated(Interval(-0.1, -0.25, 0.05)) == "−0.100 [−0.250,\u00a00.050]"
    assert stated("too few") == stated(None) == "–"


def test_the_oldest_are_told_as_one_group() -> None:
    assert years(89.4) == "over 89" and years(89) == "89" and years(61.5) == "62"
    assert value_title("implant", "1") == "yes" and value_title("scanner", "1") == "1"


# ---------------------------------------------------------------- shortcuts and heatmaps


@pytest.mark.parametrize(
    ("alone", "within", "said", "worries"),
    [
        (interval(0.80), interval(0.52), ("predicts the label better than chance;", "not shown to be better"), True),
        (interval(0.60), interval(0.68), ("predicts the label better than chance;", "the model is better than chance"), False),
        (interval(0.52), interval(0.68), ("not shown to predict the label",), False),
        (interval(0.60), "too few pairs", ("predicts the label better than chance",), False),
        (interval(0.80), interval(0.68), ("predicts the label better than chance;", "the model is better than chance"), False),
        ("too few", interval(0.6), ("too little data",), False),
        (interval(0.40), interval(0.6), ("the other way round",), False),
    ],
)
def test_a_shortcut_is_said_with_no_more_certainty_than_its_interval(alone, within, said, worries: bool) -> None:
    row, model = Shortcut("scanner", alone, within), interval(0.7)
    assert all(words in verdict(row) for words in said)
    assert "as well as" not in verdict(row)  # two intervals side by side compare nothing
    assert bool(worrying(ShortcutAudit(model, (row,), (), 100, 50, 5))) is worries


def audit(run: FakeRun, **changes) -> HeatmapAudit:
    reference = {"chance": Reference(interval(0.1), interval(0.2))}
    found = (Metric("hit", ALL, interval(0.3), 20, 10, reference), Metric("energy", ALL, "too few", 2, 1))
    share = (0.0, 0.5, 1.0)
    curves = (Curve("deletion", "heatmap", share, (0.8, 0.5, 0.2), (0.7, 0.4, 0.1), (0.9, 0.6, 0.3)),)
    method = MethodAudit("gradcam++", "stages.4", found, curves, (), ("The peak hits more often than chance.",))
    whole = HeatmapAudit("b0", "test", (method,), 20, 10, 0.5, str(run.card["weights_sha256"]), "", AuditSettings())
    return replace(whole, notes=("A sample.",), **changes)


def test_an_audit_of_the_heatmaps_stands_with_verdict_table_and_curves(run: FakeRun) -> None:
    material = replace(read_material(run), audits={"test": audit(run)})
    section = heatmap_audit(material)
    kinds = [block.kind for block in section.blocks]
    assert "missing" not in kinds and {"points", "table", "row"} <= set(kinds)
    table = next(block for block in section.blocks if block.kind == "table")
    assert table.rows[0][1:3] == (stated(interval(0.3)), f"chance 0.100, difference {stated(interval(0.2))}")
    assert table.rows[1][1] == "too few"


@pytest.mark.slow_but("0.02-are not shown to lie in lesions more")
@pytest.mark.parametrize(
    ("better", "said"), [(0.2, ""), (0.02, "are not shown to lie in lesions more"), (-0.2, "lie in lesions less")]
)
def test_maps_that_are_not_shown_to_find_lesions_are_a_limit(run: FakeRun, better: float, said: str) -> None:
    evaluate(run, "test", predictor=FakePredictor(run.card))
    found = audit(run)
    (method,) = found.methods
    hit = replace(method.metrics[0], references={"chance": Reference(interval(0.1), interval(better))})
    told_of = replace(found, methods=(replace(method, metrics=(hit,)),))
    lines = limits(replace(read_material(run), audits={"test": told_of}))
    about = [line for line in lines if "peaks of the heatmaps" in line]
    assert len(about) == bool(said) and all(f"{said} often than chance" in line and "95% interval" in line for line in about)


def test_groups_that_are_too_small_stand_below_the_table_of_an_audit(run: FakeRun) -> None:
    found = audit(run)
    (method,) = found.methods
    few = replace(method.metrics[1], group="called benign, wrongly")
    told_of = replace(found, methods=(replace(method, metrics=(method.metrics[0], few)),))
    blocks = heatmap_audit(replace(read_material(run), audits={"test": told_of})).blocks
    table = next(block for block in blocks if block.kind == "table")
    assert [row[0] for row in table.rows] == ["Peak in or near the lesion (15 px of 500)", "AFROC area"]
    assert "Too few patients for a separate value: called benign, wrongly" in table.caption


def test_an_audit_of_other_weights_or_data_is_called_so(run: FakeRun) -> None:
    other = replace(read_material(run), audits={"external-mias": audit(run, split="external-mias", weights_sha256="0" * 64)})
    blocks = heatmap_audit(other).blocks
    assert any(block.kind == "missing" and "earlier weights" in block.text for block in blocks)
    assert any(block.kind == "text" and "another data set (mias)" in block.text for block in blocks)


def test_a_damaged_audit_costs_its_part_only(run: FakeRun) -> None:
    (run.path / "explain").mkdir()
    (run.path / "explain" / "audit-test.json").write_text("{}", encoding="utf-8")
    (block,) = heatmap_audit(read_material(run)).blocks
    assert block.kind == "missing" and "python -m core audit b0-clahe2 --split test" in block.text


# ---------------------------------------------------------------- the command


@pytest.mark.slow
def test_the_command_keeps_the_answers_and_writes_the_report(
    run: FakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import core.cli.runs as commands
    from core.cli import main

    evaluate(run, "val", predictor=FakePredictor(run.card))
    monkeypatch.setattr(commands, "open_run", lambda name: run)
    answers = tmp_path / "mine.yaml"
    answers.write_text("funding: The Foundation.", encoding="utf-8")
    assert main(["report", "b0-clahe2", "--questions"]) == 0
    assert capsys.readouterr().out.strip().endswith("report.yaml")
    assert main(["report", "b0-clahe2", "--notes", str(answers)]) == 0
    assert capsys.readouterr().out.strip().endswith("report.html")
    assert "The Foundation." in (run.path / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_report_on_validation_alone_says_that_it_is(run: FakeRun) -> None:
    evaluate(run, "val", predictor=FakePredictor(run.card))
    document = gather(run, None)
    assert "too good" in dict(document.abstract)["Results"]
    assert any(
        "all metrics are of validation" in point
        for s in document.walk()
        for b in s.blocks
        if b.kind == "points"
        for point in b.points
    )
