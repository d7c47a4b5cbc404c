"""The report's external test: beside the internal one, never mixed with it, and what it changes elsewhere in the text."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from builders.copied import copied
from builders.external_set import external_rows, write_external
from builders.fake_run import FakePredictor, FakeRun, card, events, make_run
from builders.report_text import text_of

from core.evaluate import evaluate, evaluate_external, read_evaluation
from core.evaluate.result import REFUSED, Excluded
from core.evaluate.sources import compare_sources
from core.metrics import TITLES, Interval, square_and_add
from core.report import gather
from core.report.document import Missing, Row, Section, Table, Warn
from core.report.material import read_material
from core.report.sections import external
from core.report.sections.discussion import limits
from core.report.sections.front import abstract
from core.report.words import stated

NAME = "external-inbreast"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tested") / "lab"
    made = make_run(folder / "runs" / "run")
    evaluate(made, "test", predictor=FakePredictor(made.card))
    rows = external_rows(folder / "other" / "films")
    rows[0]["patient_id"] = "train-0"
    rows[4]["label"] = ""
    write_external(folder / "other", rows)
    evaluate_external(made, folder / "other" / "other.csv", "inbreast", predictor=FakePredictor(made.card))
    return folder


@pytest.fixture
def run(template: Path, tmp_path: Path) -> FakeRun:
    """A run that was tested on its own test set and on another collection."""
    return FakeRun(copied(template, tmp_path) / "runs" / "run", card(), events())


def section_of(run: FakeRun) -> Section:
    (section,) = external.external_test(read_material(run))
    return section


def words_of(section: Section) -> str:
    return "\n".join(str(getattr(block, "text", "")) for block in section.blocks)


@pytest.mark.slow
def test_it_says_in_words_what_is_external(run: FakeRun) -> None:
    words = words_of(section_of(run))
    for said in (
        "Inbreast: collection inbreast; labels from birads (manifest other.csv, 24 images of 13 patients)",
        "Scored: 22 images (12 malignant, 10 benign) of 12 patients, 54.5% of the images malignant.",
        "1 benign image was left out: it is of patients or files that the run has itself.",
        "1 image has no label: it is scored, and in no metric.",
        "Evaluated once for this run",
        "No other model is on record",
        "never pooled",
    ):
        assert said in words, said
    assert str(run.path.parent) not in words


@pytest.mark.slow
def test_both_stand_side_by_side_with_limits_by_square_and_add(run: FakeRun) -> None:
    section = section_of(run)
    table = next(block for block in section.blocks if isinstance(block, Table) and "images" in block.caption)
    assert table.header == ("Metric", "Internal test", "External, inbreast", "External − internal")
    internal, found = read_evaluation(run, "test"), read_evaluation(run, NAME)
    cells = {row[0]: row[1:] for row in table.rows}
    ours, theirs = internal.summary["auc"], found.summary["auc"]
    assert cells["ROC AUC"] == (stated(ours), stated(theirs), stated(square_and_add(ours, theirs)))
    assert cells["Precision"][2] == cells[TITLES["brier"]][2] == "–" and cells["Share of malignant"][:2] == ("50.0%", "54.5%")
    figure, beside = next(block.figures for block in section.blocks if isinstance(block, Row))
    assert "external inbreast" in beside.text and "test" not in beside.text
    assert "test AUC" in figure.text and "external inbreast AUC" in figure.text


def test_internal_metrics_are_those_without_the_external_set(run: FakeRun) -> None:
    material = read_material(run)
    alone = replace(material, externals={})
    assert set(material.evaluations) == {"test"} and list(material.externals) == [NAME]
    assert external.external_test(alone) == ()
    assert material.shown is material.test and dict(abstract(material))["Results"] == dict(abstract(alone))["Results"]
    assert material.left == alone.left


def test_the_conclusion_speaks_of_other_sources_only_where_one_was_tested(run: FakeRun) -> None:
    material = read_material(run)
    said = dict(abstract(material))["Conclusion"]
    assert "One internal test set says nothing about other sources" not in said
    assert re.search(r"On the external test set inbreast \(22 images of 12 patients\) the AUC of images is \d\.\d{3} \[", said)
    assert said.endswith("A test on another source says nothing about further ones, and nothing here supports use in patients.")
    assert "another hospital" not in " ".join(limits(material)) and "only in inbreast" in " ".join(limits(material))
    alone = replace(material, externals={})
    assert "One internal test set says nothing about other sources" in dict(abstract(alone))["Conclusion"]
    assert "another hospital" in " ".join(limits(alone))


@pytest.mark.parametrize(
    ("own", "other", "said"),
    [
        ((0.85, 0.80, 0.90), (0.70, 0.65, 0.75), "lower than on the internal one"),
        ((0.70, 0.65, 0.75), (0.85, 0.80, 0.90), "higher than on the internal one"),
        ((0.80, 0.70, 0.90), (0.75, 0.65, 0.85), "not shown to differ from that on the internal one"),
        ((0.80, 0.70, 0.90), (0.55, 0.45, 0.65), "not to be distinguished from chance"),
        ((0.80, 0.70, 0.90), (0.40, 0.35, 0.45), "worse than chance"),
    ],
)
def test_what_is_concluded_follows_from_the_limits(run: FakeRun, own, other, said: str) -> None:
    material = read_material(run)

    def with_auc(found, values):
        image = replace(found.summary, metrics=found.summary.metrics | {"auc": Interval(*values)})
        return replace(found, levels=found.levels | {"image": image})

    changed = replace(
        material,
        evaluations={"test": with_auc(material.test, own)},
        externals={NAME: with_auc(material.externals[NAME], other)},
    )
    assert said in external.conclusion(changed)
    few = with_auc(material.externals[NAME], other)
    few = replace(few, levels={"image": replace(few.summary, metrics=few.summary.metrics | {"auc": "only 2 patients"})})
    assert "there is too little data for an AUC" in external.conclusion(replace(material, externals={NAME: few}))


def test_images_without_a_verdict_are_part_of_what_is_concluded(run: FakeRun) -> None:
    material = read_material(run)
    found = replace(material.externals[NAME], excluded=(Excluded("x.png", "unlike the training images", "benign", REFUSED),))
    said = external.conclusion(replace(material, externals={NAME: found}))
    assert "(22 images of 12 patients), without 1 image that got no verdict, the AUC of images is" in said


def test_an_external_test_of_an_earlier_model_concludes_nothing_and_is_a_warning(run: FakeRun) -> None:
    material = read_material(run)
    old = replace(material, externals={NAME: replace(material.externals[NAME], weights_sha256="0" * 64)})
    assert "One internal test set" in external.conclusion(old)
    assert any("has changed since" in said and "--manifest M.csv --name inbreast" in said for said in external.warnings(old))


def test_without_an_internal_test_nothing_stands_beside_it(run: FakeRun) -> None:
    material = replace(read_material(run), evaluations={})
    (section,) = external.external_test(material)
    assert any(isinstance(block, Missing) and "has not been evaluated" in block.text for block in section.blocks)
    table = next(block for block in section.blocks if isinstance(block, Table))
    assert table.header == ("Metric", "External, inbreast, images")


def test_a_damaged_record_is_said_and_not_no_model(run: FakeRun) -> None:
    (run.path / "test_accesses.jsonl").write_text("{", encoding="utf-8")
    (section,) = external.external_test(read_material(run))
    assert any(isinstance(block, Warn) and "nobody can say how many models" in block.text for block in section.blocks)


def test_sets_with_intervals_of_other_levels_have_no_difference(run: FakeRun) -> None:
    internal, found = read_evaluation(run, "test"), read_evaluation(run, NAME)
    other = replace(internal, levels=internal.levels | {"image": replace(internal.summary, confidence=0.9)})
    assert compare_sources(other, found)["image"].difference("auc") == "intervals of 90% and 95%"


@pytest.mark.slow
def test_where_no_patient_is_known_images_are_spoken_of(run: FakeRun, tmp_path: Path) -> None:
    rows = external_rows(tmp_path / "third" / "films", first=900)
    write_external(tmp_path / "third", [row | {"patient_id": Path(row["path"]).stem} for row in rows])
    evaluate_external(run, tmp_path / "third" / "other.csv", "third", predictor=FakePredictor(run.card))
    text = text_of(gather(run))
    assert (
        "Third: no patient of this collection is known: patients of the run were looked for by their files and pictures only"
        in text
    )
    assert "third (24 images, patients unknown)" in text
    assert "A test on other sources says nothing about further ones" in text
