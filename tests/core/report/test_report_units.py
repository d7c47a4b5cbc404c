"""The report says what its unit of analysis is made of, and claims nothing about patients that nobody knows."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from builders.fake_run import FakePredictor, FakeRun, make_run
from builders.report_text import text_of, words_of

from core.data import assign_splits, write_manifest
from core.evaluate import evaluate
from core.evaluate.result import REFUSED, UNREADABLE, Excluded
from core.evaluate.subgroup_tests import comparisons, count_tests, differing, equivalence_sentence
from core.metrics import Calibration, Interval, ThresholdUncertainty
from core.report import gather
from core.report.document import Document, Section, Table, Warn
from core.report.material import read_material
from core.report.sections.calibration import calibration
from core.report.sections.checks import subgroups
from core.report.sections.data import missing, partition, unverified
from core.report.sections.evaluation_methods import evaluation_methods
from core.report.sections.methods import training
from core.report.sections.performance import performance
from core.report.words import share, stated
from core.runs.split_origin import NOT_RECORDED, origin_of, write_split_origin


@pytest.fixture(autouse=True)
def _without_cases(monkeypatch: pytest.MonkeyPatch) -> None:
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


@pytest.mark.slow
def test_images_and_sides_of_patients_stand_by_set_and_label_with_a_warning_where_they_tell_the_label(
    one_sided: FakeRun,
) -> None:
    document = gather(one_sided, FakePredictor(one_sided.card))
    table = tables(document)["Images and sides of patients by label."]
    assert ("test", "malignant", "7", "7", "1 (1 to 1)", "0 (0.0%)", "7 (100.0%)", "0 (0.0%)") in table.rows
    assert ("test", "benign", "7", "14", "2 (2 to 2)", "7 (100.0%)", "0 (0.0%)", "0 (0.0%)") in table.rows
    assert "which alone tells the label (AUC: number of images 1.000" in warned(document)
    (line,) = (line for line in document.warnings if "Malignant patients have fewer images" in line)
    assert "balanced (two breasts of everybody" in line and "the AUC is " in line
    assert any(name == "AUC, patients, balanced, test" for name, _, _ in document.headline)
    rules = section_text(document, "performance")
    assert "patients: mean of image scores over 1 to 2 images a patient (median 1.5); balanced, two breasts" in rules


@pytest.mark.slow
def test_the_rule_that_combines_images_is_varied(one_sided: FakeRun) -> None:
    table = tables(gather(one_sided, FakePredictor(one_sided.card)))[
        "Sensitivity of the AUC by patient to the rule, test set, 95% intervals."
    ]
    assert [row[0].split(" ")[0] for row in table.rows] == ["mean", "highest", "highest", "one", "affected", "two", "one"]
    assert sum(row[1] == "yes" for row in table.rows) == 4 and all("[" in row[2] for row in table.rows)


@pytest.mark.slow
def test_equal_patients_are_not_warned_of(tmp_path: Path) -> None:
    run = scored(make_run(tmp_path / "run"), "test")
    assert "fewer images" not in warned(gather(run, FakePredictor(run.card)))


@pytest.mark.slow
def test_models_that_were_scored_on_the_same_test_set_before_are_counted_in_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter(f"2026-01-{day:02d}T00:00:00+00:00" for day in range(1, 9))
    monkeypatch.setattr("core.evaluate.evaluation.time_now", lambda: next(times))
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


# ---------------------------------------------------------------- images without patients

# Each names patients or persons to say that they are not known, or what is asked of the authors.
_ALLOWED = (
    "no patient is known",
    "names no patient",
    "takes? each image for a person of its own",
    "nobody knows which of them show the same person",
    "a person may have several",
    "how patients and the public were involved",
    "patient and public involvement",
    "any decision about a patient",
    "evaluate on images of another source",
    "how many people stand behind",
    "nothing here supports use in patients",
)


@pytest.fixture
def nobody(tmp_path: Path) -> FakeRun:
    """A run whose manifest takes every file for a patient of its own, as an import without identifiers writes it."""
    run = make_run(tmp_path / "run")
    rows = run.manifest()
    change(run, rows.assign(patient_id=[Path(path).stem for path in rows["path"]], site=["A", "B"] * (len(rows) // 2)))
    return scored(run, "val", "test")


@pytest.mark.slow
def test_images_without_patients_make_no_sentence_about_patients(nobody: FakeRun) -> None:
    document = gather(nobody, FakePredictor(nobody.card))
    lines = [line for line in text_of(document).split("\n") if re.search("patient|wom[ae]n|person", line, re.IGNORECASE)]
    left = [line for line in lines if not any(re.search(allowed, line, re.IGNORECASE) for allowed in _ALLOWED)]
    assert left == []
    assert any("same person may stand in several sets" in line for line in document.warnings)
    assert [name for name, _, _ in document.headline] == [
        "AUC, images, test",
        "Sensitivity, images, test",
        "Specificity, images, test",
    ]
    assert tables(document)["Partition of the data."].header[:2] == ("Set", "Images")


@pytest.mark.slow
def test_with_patients_the_report_says_that_they_were_kept_apart(tmp_path: Path) -> None:
    run = scored(make_run(tmp_path / "run"), "test")
    text = text_of(gather(run, FakePredictor(run.card)))
    assert "every image of a patient is in one set only" in text and "count patients, not images" in text


# ---------------------------------------------------------------- sentences that follow the data


def section_text(document: Document, name: str) -> str:
    section = next(section for section in document.walk() if section.id == name)
    return "\n".join(text for block in section.blocks for text in words_of(block))


@pytest.mark.slow
def test_where_the_sets_come_from_is_said_as_recorded_and_never_guessed(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    data, rows = run.config().data, run.manifest()

    def said() -> str:
        return section_text(gather(run, FakePredictor(run.card)), "partition")

    assert NOT_RECORDED in said()
    drawn = assign_splits(rows.assign(split=""), data.val_fraction, data.test_fraction, data.split_seed)
    change(run, drawn)
    assert NOT_RECORDED in said()  # also where drawing again would give the same sets
    write_split_origin(run.path, origin_of(drawn, data))
    text = said()
    assert f"The manifest gave no split: patients were drawn by MammoLab with seed {data.split_seed}" in text
    shares = [f"{drawn.loc[drawn['split'] == name, 'patient_id'].nunique() / 30:.1%}" for name in ("train", "val", "test")]
    assert f"Shares of patients: training {shares[0]}, validation {shares[1]}, test {shares[2]}." in text
    write_split_origin(run.path, origin_of(rows, data))
    assert "gave all three sets (in its column split; how that was made is not recorded), which were kept" in said()
    (run.path / "split.json").write_text("{", encoding="utf-8")
    assert "damaged" in said()


def test_tables_say_where_patients_by_label_add_up_to_more_than_all_patients(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    rows = run.manifest()
    assert "images of both labels" not in partition_text(read_material(run))
    rows.loc[(rows["patient_id"] == "test-1") & (rows["view"] == "CC"), "label"] = "benign"
    change(run, rows)
    assert "1 patient has images of both labels and counts under each here" in partition_text(read_material(run))


def partition_text(material: Any) -> str:
    return "\n".join(word for block in partition(material).blocks for word in words_of(block))


def test_validation_was_scored_by_training_also_where_nobody_evaluated_it(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    flow = section_text(gather(run, FakePredictor(run.card)), "participants")
    assert "3 times in training: chose the epoch, threshold and calibration" in flow
    assert flow.count("Not scored yet") == 1  # the test set
    run.log = []
    assert section_text(gather(run, FakePredictor(run.card)), "participants").count("Not scored yet") == 2


@pytest.mark.slow
def test_tests_are_counted_as_they_were_adjusted_for(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", patients=40)
    rows = run.manifest()
    rows["site"] = [("A", "B", "C", "")[int(patient.split("-")[1]) // 2 % 4] for patient in rows["patient_id"]]
    change(run, rows)
    found = scored(run, "test")
    evaluation = evaluate(found, "val", predictor=FakePredictor(run.card))
    tested = [row for row in evaluation.subgroups if row.adjusted is not None]
    # CC and MLO are one test, three sites are three; of AUC, sensitivity and specificity each.
    assert len(tested) == 5 and count_tests(evaluation.subgroups) == 12
    earlier = tuple(
        replace(row, tests=0, sensitivity_adjusted=None, specificity_adjusted=None) for row in evaluation.subgroups
    )  # which tested AUCs only, and wrote no count
    assert count_tests(earlier) == 4
    smallest = min(p for row in tested for p in (row.p, row.sensitivity_p, row.specificity_p))
    assert min(
        p for row in tested for p in (row.adjusted, row.sensitivity_adjusted, row.specificity_adjusted)
    ) == pytest.approx(min(1.0, 12 * smallest))
    text = text_of(gather(run, FakePredictor(run.card)))
    assert "in 12 tests, for which the p values are adjusted" in text and "adjusted for the 12 tests of the table" in text
    assert "All groups of a feature at once (Wald test" in text
    assert "all other images whose value is known" in text and "Not in it: an unknown value" in text


@pytest.mark.slow
def test_intervals_are_described_as_the_figures_have_them(tmp_path: Path) -> None:
    run = scored(make_run(tmp_path / "run"), "test")
    text = section_text(gather(run, FakePredictor(run.card)), "evaluation-methods")
    assert "ROC AUC: a score interval" in text and "Obuchowski" not in text
    assert "percentiles of 100 bootstrap resamples of patients" in text
    assert "the ECE has none" in text and "Jeffreys" in text and "sandwich" in text
    assert "basic (mirrored)" not in text


@pytest.mark.slow
def test_net_benefit_says_what_it_is_of(tmp_path: Path) -> None:
    run = scored(make_run(tmp_path / "run"), "test")
    text = section_text(gather(run, FakePredictor(run.card)), "utility")
    assert "Net benefit per image, where 50.0% of the images are malignant" in text
    assert "Net benefit per patient, where 50.0% of the patients are malignant" in text and "this is per person" in text
    assert "(this set's patients)" in text
    assert not re.search(r"(?<![\w-])-\d", text)  # a minus is a minus sign


@pytest.mark.slow
def test_the_ppv_of_this_set_has_one_interval_in_the_whole_report(tmp_path: Path) -> None:
    run = scored(make_run(tmp_path / "run", patients=30), "test")
    document = gather(run, FakePredictor(run.card))
    performance = tables(document)["Performance with 95% intervals."]
    column = performance.header.index("Test, patients")
    precision = next(row[column] for row in performance.rows if row[0] == "Precision")
    screening = tables(document)["What the frozen threshold would mean at other prevalences, 95% intervals."]
    assert screening.rows[-1][0].endswith("(this set's patients)") and screening.rows[-1][1] == precision
    assert "limits of its own shares" in screening.note


@pytest.mark.slow
def test_calibration_stands_by_image_breast_and_patient_beside_predicting_the_prevalence(tmp_path: Path) -> None:
    run = scored(make_run(tmp_path / "run", patients=30), "val", "test")
    document = gather(run, FakePredictor(run.card))
    evaluation = read_material(run).shown
    for level, unit in (("image", "images"), ("breast", "breasts"), ("patient", "patients")):
        table = tables(document)[f"Calibration on the test set, {unit}, 95% intervals."]
        assert table.header[1:4] == ("Brier score", "Scaled Brier", "O/E") and f"A row is of {unit}" in table.note
        raw = evaluation.calibration_at(level).before
        assert table.rows[0][1] == stated(raw.brier) and table.rows[0][2] == stated(raw.scaled_brier)
        assert table.rows[0][3] == stated(raw.observed_expected)
        assert f"predicting the share of malignant for every {level} has a Brier score of {raw.reference:.3f}" in table.note
    summary = tables(document)["Performance with 95% intervals."]
    assert "Brier score (raw scores)" in [row[0] for row in summary.rows] and "before calibration" in summary.note


@pytest.mark.slow
def test_where_calibration_is_no_better_than_the_prevalence_the_report_says_that_no_probability_should_be_shown(
    tmp_path: Path,
) -> None:
    run = scored(make_run(tmp_path / "run", patients=30), "val", "test")
    material = read_material(run)
    report = material.shown.calibration_at("patient")
    method = report.frozen.method if report.frozen.method != "none" else "logistic"
    worse = replace(report.before, reference=report.before.brier.value / 2)
    odd = replace(report, frozen=Calibration(method), note="", summaries=report.summaries | {method: worse})
    others = material.shown.calibrations | {"patient": odd}
    changed = replace(material, evaluations={"test": replace(material.shown, calibrations=others)})
    said = [block.text for block in calibration(changed).blocks if isinstance(block, Warn)]
    assert any(line.startswith("No probability per patient should be shown: calibrated scores are no better") for line in said)


def test_what_the_audit_fills_in_is_not_called_no_imputation(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    text = section_text(gather(run, FakePredictor(run.card)), "missing")
    assert "No value was imputed" not in text and "counts as the median of those known" in text


def test_patients_that_may_be_written_in_two_ways_are_counted_and_not_named(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    rows = run.manifest()
    rows.loc[rows["patient_id"] == "val-3", "patient_id"] = "Test-3"
    change(run, rows)
    document = gather(run, FakePredictor(run.card))
    said = "1 patient may be written in more than one way (such as P1 and p1, 0012 and 12). 1 of them stands in several sets"
    assert said in section_text(document, "partition") and said in section_text(document, "limits")
    assert "Test-3" not in text_of(document)


@pytest.mark.slow
def test_the_report_says_when_the_endpoint_was_declared_and_what_came_of_it(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    line = {"when": "2026-01-02T03:04:05+00:00", "metric": "auc", "level": "patient", "rule": run.card["threshold_rule"]}
    scored(run, "val")
    closed = section_text(gather(run, FakePredictor(run.card)), "performance")
    assert "No primary endpoint has been declared yet. As long as the test set is closed, `python -m core endpoint" in closed
    scored(run, "test")

    def said(**changes: int) -> Document:
        (run.path / "endpoint.jsonl").write_text(json.dumps(line | {"opened": 0, "accesses": 0} | changes), encoding="utf-8")
        return gather(run, FakePredictor(run.card))

    none = gather(run, FakePredictor(run.card))
    late = section_text(none, "performance")
    assert "No primary endpoint was declared before the test set was evaluated" in late and "declared afterwards" in late
    assert "core endpoint" not in late
    assert "any of its metrics may have been picked" in section_text(none, "limits")
    before = said()
    assert (
        "declared on 2026-01-02 03:04 UTC, before the test set was evaluated: ROC AUC by patient. Result: 0."
        in section_text(before, "performance")
    )
    assert "endpoint" not in section_text(before, "limits")
    name = "ROC AUC, patients, test"
    assert (
        f"Primary endpoint, {name}: 0." in dict(before.abstract)["Results"]
        and before.headline[0][0] == f"Primary endpoint: {name}"
    )
    after = said(opened=1)
    assert "Primary endpoint" not in dict(after.abstract)["Results"] + after.headline[0][0]
    assert "AFTER the test set had been evaluated" in warned(after) and "picked by its result" in section_text(after, "limits")


# ---------------------------------------------------------------- what is missing, and what the checklists say of it


def states(document: Document, guideline: str) -> dict[str, str]:
    table = next(table for caption, table in tables(document).items() if caption.startswith(guideline))
    return {row[0]: row[-1] for row in table.rows}


@pytest.mark.slow
def test_missing_metadata_are_counted_by_set_and_site(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    rows = run.manifest()
    rows["site"] = ["A", "B"] * (len(rows) // 2)
    rows["density"] = [
        "" if site == "B" or split == "train" else "c" for site, split in zip(rows["site"], rows["split"], strict=True)
    ]
    change(run, rows)
    document = gather(run, FakePredictor(run.card))
    by_set = tables(document)["Images without metadata, by set."]
    assert by_set.rows == (("Breast density", "4 (100.0%)", "14 (50.0%)", "14 (50.0%)"),)
    by_site = tables(document)["Images without metadata, by site."]
    assert by_site.rows == (("Breast density", "2 (6.7%)", "30 (100.0%)"),)
    assert "in part: why metadata are missing" in states(document, "TRIPOD")["11"]
    change(run, rows.assign(density="c"))
    whole = gather(run, FakePredictor(run.card))
    assert states(whole, "TRIPOD")["11"] == states(whole, "CLAIM")["12"] == "given"


@pytest.mark.slow
def test_a_checklist_item_is_given_only_when_the_text_gives_it(tmp_path: Path) -> None:
    run = scored(make_run(tmp_path / "run"), "test", "val")
    document = gather(run, FakePredictor(run.card))
    assert "in part: how the sets were made is not recorded" in states(document, "TRIPOD")["12a"]
    assert "in part: the manifest names no site" in states(document, "TRIPOD")["23b"]
    assert states(document, "CLAIM")["20"] == "given"
    data = run.config().data
    rows = assign_splits(run.manifest().assign(split=""), data.val_fraction, data.test_fraction, data.split_seed)
    change(run, rows)
    write_split_origin(run.path, origin_of(rows, data))
    drawn = gather(run, FakePredictor(run.card))
    assert states(drawn, "TRIPOD")["12a"] == states(drawn, "CLAIM")["19"] == "given"


@pytest.mark.slow
def test_images_without_patients_are_no_given_partition_by_patient(nobody: FakeRun) -> None:
    assert "disjoint by image only" in states(gather(nobody, FakePredictor(nobody.card)), "CLAIM")["20"]


@pytest.mark.slow
def test_unverified_benign_labels_have_bounds(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    rows = run.manifest()
    change(run, rows.assign(biopsy=["1" if label == "malignant" else "0" for label in rows["label"]]))
    scored(run, "test")
    table = tables(gather(run, FakePredictor(run.card)))["If unverified benign patients were missed cancers, test set."]
    assert [row[0] for row in table.rows] == ["1% (1)", "2% (1)", "5% (1)", "10% (1)"]
    worst, best = map(float, table.rows[0][1].split(" to "))
    assert worst < best and "7 of the 7 benign patients are stated never" in table.note
    # A column that lists only what was biopsied says nothing of the others.
    change(run, rows.assign(biopsy=["1" if label == "malignant" else "" for label in rows["label"]]))
    document = gather(run, FakePredictor(run.card))
    assert "If unverified benign patients were missed cancers, test set." not in tables(document)
    assert "lists biopsied images only" in section_text(document, "performance")
    bounds = tables(document)["If benign patients that are not known to be verified were missed cancers, test set."]
    assert bounds.rows == table.rows and "how many of these were verified is not known" in bounds.note
    # Every benign patient has a result, and one image of one of them a word that nobody knows.
    words = ["maybe" if path.endswith("test0_CC.png") else "benign" for path in rows["path"]]
    change(run, rows.assign(biopsy=words))
    read = tables(gather(run, FakePredictor(run.card)))
    assert read["How the cells of the column biopsy were read, test set."].rows[0] == ("“maybe”", "not understood", "1", "0")
    assert not [caption for caption in read if caption.startswith("If ")]


@pytest.mark.slow
def test_a_reader_in_the_manifest_stands_beside_the_model(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    rows = run.manifest()
    assert "no reader's assessment" in section_text(gather(scored(run, "test"), FakePredictor(run.card)), "reader")
    words = [
        "4" if label == "malignant" and place % 5 else "1" if place % 4 else "0" for place, label in enumerate(rows["label"])
    ]
    change(run, rows.assign(birads=words))
    document = gather(run, FakePredictor(run.card))
    table = tables(document)["Model and reader on the test set, 95% intervals."]
    assert [row[:2] for row in table.rows] == [
        ("Image level", "28 of 28"),
        ("Breast level", "14 of 14"),
        ("Patient level", "14 of 14"),
    ]
    assert tables(document)["The reader's operating points, test patients, 95% intervals."].rows[0][0] == "BI-RADS 4"
    assert "incorporation and verification bias" in section_text(document, "reader")
    change(run, rows.assign(birads=["BI-RADS 4?" if place % 9 == 1 else word for place, word in enumerate(words)]))
    document = gather(run, FakePredictor(run.card))
    (unread,) = (table for caption, table in tables(document).items() if caption.startswith("Values of the column birads"))
    assert unread.rows[0][0] == "“BI-RADS 4?”" and "left out: " in section_text(document, "reader")


@pytest.mark.slow
def test_a_group_whose_specificity_differs_is_named_also_where_its_auc_does_not(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", patients=40)
    rows = run.manifest()
    change(run, rows.assign(site=["A" if int(patient.split("-")[1]) % 4 < 2 else "B" for patient in rows["patient_id"]]))
    evaluation = evaluate(run, "test", predictor=FakePredictor(run.card))
    apart = next(row for row in evaluation.subgroups if row.feature == "site")
    gap = Interval(-0.4, -0.6, -0.2)
    row = replace(apart, adjusted=0.8, sensitivity_adjusted=None, specificity_difference=gap, specificity_adjusted=0.01)
    assert [each.name for each in differing(row)] == ["specificity"]
    assert [each.name for each in comparisons(row)] == ["AUC", "specificity"]
    material = replace(read_material(run), evaluations={"test": replace(evaluation, subgroups=(row,))})
    text = "\n".join(word for block in subgroups(material).blocks for word in words_of(block))
    assert "difference −0.400 [−0.600,\u00a0−0.200] from the other images of known value, adjusted p 0.010" in text
    assert "−0.400 [−0.600,\u00a0−0.200], p 0.010, differs" in text


@pytest.mark.slow
def test_a_group_is_equivalent_only_where_its_whole_interval_lies_within_the_margin(tmp_path: Path) -> None:
    run = scored(make_run(tmp_path / "run", patients=40), "test")
    material = read_material(run)
    cc, mlo = (row for row in material.shown.subgroups if row.feature == "view")
    within, wide = Interval(0.01, -0.03, 0.045), Interval(0.01, -0.2, 0.22)
    rows = tuple(
        replace(row, difference=within, adjusted=0.9, sensitivity_difference=wide, sensitivity_adjusted=0.9)
        for row in (cc, mlo)
    )
    rows = tuple(replace(row, specificity_adjusted=None) for row in rows)
    sentence = equivalence_sentence(rows, 0.05, 0.95)
    # Two groups make up the feature: one test of each figure.
    assert "within ±0.05" in sentence and "1 of 2 (AUC 1 of 1, sensitivity 0 of 1)" in sentence
    assert "For 1 neither a difference nor equivalence is shown" in sentence
    assert "0 of 2" in equivalence_sentence(rows, 0.04, 0.95) and equivalence_sentence((), 0.05, 0.95) == ""
    changed = replace(material, evaluations={"test": replace(material.shown, subgroups=rows)})
    text = "\n".join(word for block in subgroups(changed).blocks for word in words_of(block))
    assert sentence in text and text.count("p 0.900, equivalent") == 2 and "0.220], p 0.900, equivalent" not in text


@pytest.mark.slow
def test_the_equivalence_margin_is_that_of_the_settings_and_stays_with_the_evaluation(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    settings = run.config().evaluation.model_copy(update={"equivalence_margin": 0.1})
    found = evaluate(run, "test", predictor=FakePredictor(run.card), settings=settings)
    assert found.equivalence_margin == 0.1 and read_material(run).shown.equivalence_margin == 0.1


def test_methods_are_those_of_the_run(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    material = read_material(run)
    model = material.config.model.model_copy(update={"weights": "imagenet"})
    train, val = (int((material.rows["split"] == split).sum()) for split in ("train", "val"))
    head = [event for event in material.events if event.get("phase") != "fine_tune"]

    def said(events: list[dict[str, Any]]) -> str:
        config = material.config.model_copy(update={"model": model})
        return "\n".join(
            word for block in training(replace(material, config=config, events=events)).blocks for word in words_of(block)
        )

    def stored(views: int) -> list[dict[str, Any]]:
        total = views * train + val
        return [*head, {"type": "prepare", "what": "features", "done": total, "total": total}]

    both = said(material.events)
    assert "of an unfrozen pretrained network" in both and "rotation" in both and "stored features" not in both
    alone = said(stored(1))
    assert "none of the images: the head learned from stored features of each image as it is" in alone
    assert "rotation" not in alone and "unfrozen" not in alone
    assert "and 2 augmented copies of it" in (copies := said(stored(3))) and "rotation" in copies


@pytest.mark.slow
def test_a_threshold_is_called_fixed_only_where_it_is(tmp_path: Path) -> None:
    run = scored(make_run(tmp_path / "run"), "test")
    material = read_material(run)
    evaluation = material.evaluations["test"]
    found = ThresholdUncertainty("image", *[Interval(0.5, 0.4, 0.6)] * 3)

    def said(uncertainty: dict[str, ThresholdUncertainty | str]) -> str:
        changed = replace(material, evaluations={"test": replace(evaluation, uncertainty=uncertainty)})
        return "\n".join(words_of(evaluation_methods(changed).blocks[0]))

    assert "the threshold stays fixed." in said({"image": "no validation scores"})
    assert "chosen again in each of 100 resamples of validation and test patients together" in said({"image": found})
    text = section_text(gather(run, FakePredictor(run.card)), "reproducibility")
    assert "counts as an access to the test set" in text and "--remake" in text


@pytest.mark.parametrize(
    ("column", "expected"), [(["", "", ""], None), (["1", "0", ""], 1), (["yes", "no", "no"], 2), ([None, "1.0", None], 0)]
)
def test_an_empty_biopsy_is_not_known(column: list[str | None], expected: int | None) -> None:
    assert unverified(pd.DataFrame({"label": ["benign"] * 3, "biopsy": column})) == expected


@pytest.mark.slow
def test_refused_images_are_no_unreadable_ones(tmp_path: Path) -> None:
    run = scored(make_run(tmp_path / "run"), "test")
    material = read_material(run)
    assert not [block for block in performance(material).blocks if isinstance(block, Table) and "Worst case" in block.caption]
    evaluation, paths = material.evaluations["test"], material.rows.query("split == 'test'")["path"].tolist()
    out = (Excluded(paths[0], "no breast found", "malignant", REFUSED), Excluded(paths[1], "broken", "benign", UNREADABLE))
    changed = replace(material, evaluations={"test": replace(evaluation, excluded=out)})
    text = "\n".join(word for block in missing(changed).blocks for word in words_of(block))
    assert "1 image could not be used and 1 image could be read but was refused a verdict" in text
    assert f"test {share(2, len(paths))}" in text and "2 different reasons were given" in text
    one = replace(material, evaluations={"test": replace(evaluation, excluded=out[:1])})
    assert "1 different reason was given" in "\n".join(word for block in missing(one).blocks for word in words_of(block))
    scores = evaluation.predictions.set_index("path")
    ill = next(path for path in paths if scores.loc[path, "label"] == "malignant")
    gone = replace(
        evaluation,
        predictions=evaluation.predictions[evaluation.predictions["path"] != ill],
        excluded=(Excluded(ill, "no breast found", "malignant", REFUSED), out[1]),
    )
    changed = replace(material, evaluations={"test": gone})
    table = next(block for block in performance(changed).blocks if isinstance(block, Table) and "Worst case" in block.caption)
    count = evaluation.summary.counts.tp + evaluation.summary.counts.fn
    right = evaluation.summary.counts.tp - bool(scores.loc[ill, "score"] >= evaluation.threshold)
    assert table.rows[0][2:] == ("1", f"{right / count:.3f} ({right} of {count})") and table.rows[1][2] == "0"
    assert [row[0] for row in table.rows[::2]] == ["Sensitivity, images", "Sensitivity, breasts", "Sensitivity, patients"]
    assert share(1, 7120) == "1 (< 0.1%)" and share(0, 7120) == "0 (0.0%)"
