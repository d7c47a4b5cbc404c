"""Another collection as an external test set: what is frozen stays, the run's patients are left out, accesses are counted."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from builders.external_set import external_rows, write_external
from builders.fake_run import FakePredictor, FakeRun, make_run
from builders.saved_run import make_saved_run
from builders.textured import textured_breast

from benchmarks.alterations import ALTERATIONS
from core.data import write_manifest
from core.data.copies.store import delete_fingerprints
from core.errors import BadManifest, BadRun, NotEnoughData
from core.evaluate import compare_evaluations, evaluate, evaluate_external, external_splits, read_evaluation, refreeze, remake
from core.evaluate.external import accesses_of, title_of, use_of
from core.evaluate.opened_set import open_external
from core.evaluate.result import OVERLAP, Evaluation, excluded_words
from core.evaluate.sources import DEPENDS, compare_sources
from core.metrics import Interval, ThresholdRule, square_and_add
from core.runs import Run
from core.runs.test_set.accesses import access_counts, accesses
from core.runs.test_set.models import test_set_use as use_of_own

SPLIT = "external-other"


@pytest.fixture
def run(tmp_path: Path) -> FakeRun:
    return make_run(tmp_path / "runs" / "first")


@pytest.fixture
def rows(tmp_path: Path) -> list[dict[str, Any]]:
    return external_rows(tmp_path / "other" / "films")


def scored_on(run: FakeRun, rows: list[dict[str, Any]], tmp_path: Path, **more: Any) -> Evaluation:
    manifest = write_external(tmp_path / "other", rows)
    return evaluate_external(run, manifest, predictor=FakePredictor(run.card), **more)


def test_every_row_is_scored_with_the_frozen_model_and_stored_under_its_name(run: FakeRun, rows, tmp_path: Path) -> None:
    run.card["threshold"] = 0.47
    found = scored_on(run, rows, tmp_path)
    assert (found.split, found.images, found.patients, found.threshold) == (SPLIT, 24, 12, 0.47)
    written = pd.read_csv(run.path / "predictions" / f"{SPLIT}.csv")
    assert written["path"].tolist() == [row["path"] for row in rows] and set(written["split"]) == {SPLIT}
    called = written["score"] >= 0.47
    assert found.summary.counts.tp + found.summary.counts.fp == called.sum()
    assert read_evaluation(run, SPLIT).to_dict() == found.to_dict()
    assert read_evaluation(run, SPLIT).levels == found.levels
    assert external_splits(run) == [SPLIT] and read_evaluation(run, "test") is None
    assert found.external.collections == {"inbreast": 24} and found.external.label_sources == {"birads": 24}
    assert found.external.source_words == "collection inbreast; labels from birads"
    assert title_of(found) == "other (24 images of 12 patients)"


@pytest.mark.slow
def test_a_set_of_several_collections_is_titled_by_all_of_them(run: FakeRun, rows, tmp_path: Path) -> None:
    for row in rows[:4]:
        row["collection"] = "cmmd"
    found = scored_on(run, rows, tmp_path)
    assert title_of(found) == "other (inbreast and cmmd: 24 images of 12 patients)"
    assert found.external.source_words.startswith("collections inbreast (20) and cmmd (4);")
    many = replace(found.external, collections=dict.fromkeys("abcd", 6))
    assert title_of(replace(found, external=many)) == "other (4 collections: 24 images of 12 patients)"


@pytest.mark.slow
def test_thresholds_by_view_are_those_of_the_card(run: FakeRun, rows, tmp_path: Path) -> None:
    run.card |= {"threshold_rule": run.card["threshold_rule"] | {"per_view": True}, "view_thresholds": {"CC": 0.3, "MLO": 0.6}}
    rows[0]["view"] = ""  # judged at the common one
    found = scored_on(run, rows, tmp_path)
    frame = found.predictions
    applied = frame["view"].map({"CC": 0.3, "MLO": 0.6, "": 0.5})
    assert found.summary.counts.tp + found.summary.counts.fp == int((frame["score"] >= applied).sum())
    assert found.thresholds.own == {"CC": 0.3, "MLO": 0.6}


@pytest.mark.slow
def test_calibration_is_the_models_own_and_nothing_in_the_card_changes(tmp_path: Path) -> None:
    run = make_saved_run(tmp_path / "runs" / "saved")
    before = (run.path / "model.json").read_bytes()
    found = saved_on(run, tmp_path)
    assert found.calibration.frozen == run.model_card().image_calibration
    assert not found.calibration.on_validation
    assert (run.path / "model.json").read_bytes() == before


def saved_on(run: Run, tmp_path: Path, **more: Any) -> Evaluation:
    return evaluate_external(run, write_external(tmp_path / "other"), predictor=FakePredictor(run.model_card()), **more)


# ---------------------------------------------------------------- the run's own patients and files


def test_patients_of_the_run_are_left_out_however_they_are_written(run: FakeRun, rows, tmp_path: Path) -> None:
    reasons = {
        "train-0": "the run was trained on a patient of this identifier",
        "TRAIN 1": "the run was trained on a patient of this identifier",
        "val-003": "the run was tuned on a patient of this identifier",
        "test-5": "the run's own test set has a patient of this identifier",
    }
    for number, patient in enumerate(reasons):
        for row in rows[2 * number : 2 * number + 2]:
            row["patient_id"] = patient
    found = scored_on(run, rows, tmp_path)
    assert [(each.path, each.reason, each.kind, each.label) for each in found.excluded] == [
        (row["path"], reasons[row["patient_id"]], OVERLAP, row["label"]) for row in rows[:8]
    ]
    assert found.images == 16 and not {row["path"] for row in rows[:8]} & set(found.predictions["path"])
    assert "8 are of patients or files that the run has itself" in excluded_words(found.excluded)


@pytest.mark.slow
def test_a_copy_of_a_training_file_takes_all_images_of_its_patient_with_it(run: FakeRun, rows, tmp_path: Path) -> None:
    trained = run.manifest().query("split == 'train'")["path"].iloc[0]
    shutil.copyfile(trained, rows[4]["path"])  # the manifest has no content_hash: known once it is read
    found = scored_on(run, rows, tmp_path)
    assert {each.path: each.reason for each in found.excluded} == {
        rows[4]["path"]: "the run was trained on this file",
        rows[5]["path"]: "another image of its patient: the run was trained on this file",
    }
    assert found.images == 22 and not set(found.predictions["path"]) & {rows[4]["path"], rows[5]["path"]}


@pytest.mark.slow
def test_equal_identifiers_of_two_named_collections_are_two_people_unless_they_share_patients(
    run: FakeRun, rows, tmp_path
) -> None:
    frame = run.manifest().assign(collection="cmmd")
    write_manifest(frame, run.path / "manifest.csv")
    for row in rows[:2]:
        row["patient_id"] = "train-0"
    assert scored_on(run, rows, tmp_path).images == 24
    write_manifest(frame.assign(collection="huang-lin"), run.path / "manifest.csv")
    assert scored_on(run, rows, tmp_path).images == 22
    merged = frame.assign(collection="inbreast", patient_id="inbreast:" + frame["patient_id"])
    write_manifest(merged, run.path / "manifest.csv")
    assert scored_on(run, rows, tmp_path).images == 22


@pytest.mark.slow
def test_words_for_nobody_are_no_patient(run: FakeRun, rows, tmp_path: Path) -> None:
    write_manifest(run.manifest().replace({"patient_id": {"train-0": "unknown"}}), run.path / "manifest.csv")
    for row in rows[:2]:
        row["patient_id"] = "Unknown"
    assert scored_on(run, rows, tmp_path).images == 24


def test_a_collection_of_the_runs_own_images_is_refused(run: FakeRun, tmp_path: Path) -> None:
    with pytest.raises(NotEnoughData, match="every one of its 60 images is of the run's own patients or files"):
        evaluate_external(run, run.path / "manifest.csv", predictor=FakePredictor(run.card))
    assert not (run.path / "evaluation.json").exists()


@pytest.mark.slow
def test_what_could_not_be_compared_is_said(run: FakeRun, rows, tmp_path: Path) -> None:
    write_manifest(run.manifest().drop(columns="content_hash"), run.path / "manifest.csv")
    for row in rows:
        row["patient_id"] = Path(row["path"]).stem
    found = scored_on(run, rows, tmp_path)
    assert found.external.patients is None and found.external.size_words == "24 images, patients unknown"
    assert [doubt.partition(":")[0] for doubt in found.external.doubts] == [
        "no patient of this collection is known",
        "the run does not say what was in 60 of its 60 files",
    ]
    assert title_of(found) == "other (24 images, patients unknown)"


# ---------------------------------------------------------------- rows that cannot count


@pytest.mark.slow
def test_images_without_a_label_are_scored_and_in_no_metric(run: FakeRun, rows, tmp_path: Path) -> None:
    for row in rows[:3]:
        row["label"] = ""
    found = scored_on(run, rows, tmp_path)
    assert found.images == 21 and found.external.unlabelled == 3 and not found.excluded
    assert found.external.unlabelled_words == "3 images have no label: they are scored, and in no metric"
    scored = pd.read_csv(run.path / "predictions" / f"unlabelled-{SPLIT}.csv")
    assert scored["path"].tolist() == [row["path"] for row in rows[:3]] and scored["score"].between(0, 1).all()
    assert "label" not in scored.columns
    assert remake(run, SPLIT).images == 21 and (run.path / "predictions" / f"unlabelled-{SPLIT}.csv").is_file()
    for row in rows[:3]:
        row["label"] = "benign"
    scored_on(run, rows, tmp_path, replaces=True)
    assert not (run.path / "predictions" / f"unlabelled-{SPLIT}.csv").exists()


def test_a_collection_without_any_label_is_refused(run: FakeRun, rows, tmp_path: Path) -> None:
    with pytest.raises(NotEnoughData, match=r"none of its 24 images has a label.*predict"):
        scored_on(run, [row | {"label": ""} for row in rows], tmp_path)


@pytest.mark.slow
def test_unreadable_images_are_listed_with_their_reason(run: FakeRun, rows, tmp_path: Path) -> None:
    Path(rows[0]["path"]).write_bytes(b"no image")
    Path(rows[7]["path"]).unlink()
    found = scored_on(run, rows, tmp_path)
    assert [each.path for each in found.excluded] == [rows[0]["path"], rows[7]["path"]] and found.images == 22


@pytest.mark.slow
def test_missing_sides_and_patients_leave_a_reason_and_not_a_number(run: FakeRun, rows, tmp_path: Path) -> None:
    found = scored_on(run, [row | {"laterality": "", "patient_id": Path(row["path"]).stem} for row in rows], tmp_path)
    assert "laterality" in found.levels["breast"]
    assert isinstance(found.summary["auc"], Interval)
    assert "only" not in str(found.levels["image"])


def test_a_run_that_is_being_trained_is_not_tested(run: FakeRun, rows, tmp_path: Path) -> None:
    run.state = "running"
    with pytest.raises(BadRun, match="still being trained"):
        scored_on(run, rows, tmp_path)


# ---------------------------------------------------------------- names


@pytest.mark.slow
def test_a_name_stays_with_its_images_unless_it_is_asked_to_move(run: FakeRun, rows, tmp_path: Path) -> None:
    scored_on(run, rows, tmp_path)
    assert scored_on(run, rows, tmp_path).evaluations == 2
    relabelled = [rows[0] | {"label": "malignant"}, *rows[1:]]
    with pytest.raises(BadManifest, match=r"external-other: .* another set of this name: 24 images .*--name.*--replace"):
        scored_on(run, relabelled, tmp_path)
    assert scored_on(run, relabelled, tmp_path, name="second").split == "external-second"
    found = scored_on(run, relabelled, tmp_path, replaces=True)
    assert (found.evaluations, len(found.history)) == (1, 1)
    assert len(use_of(run, found).models) == 1 and use_of(run, found).models[0].times >= 1
    assert external_splits(run) == ["external-other", "external-second"]


@pytest.mark.parametrize("name", ["../x", "A b", "x/y", "con.", "ä", "-x", "x" * 70])
def test_a_name_that_no_file_could_have_is_refused(run: FakeRun, rows, tmp_path: Path, name: str) -> None:
    with pytest.raises(BadManifest, match="expected small letters"):
        scored_on(run, rows, tmp_path, name=name)


def test_a_split_of_another_name_is_no_file(run: FakeRun) -> None:
    with pytest.raises(BadManifest, match="external-NAME"):
        read_evaluation(run, "../../x")


@pytest.mark.slow
def test_copies_of_the_runs_pictures_are_left_out_whatever_they_are_called(run: FakeRun, rows, tmp_path: Path) -> None:
    ours, picture = run.manifest(), textured_breast(3)
    trained = Path(ours.loc[ours["split"] == "train", "path"].iloc[0])
    altered = ALTERATIONS["clahe"](picture[:, ::-1], np.random.default_rng(1))
    assert cv2.imwrite(str(trained), picture) and cv2.imwrite(rows[0]["path"], altered)
    here = ours["path"] == str(trained)
    content = hashlib.sha256(trained.read_bytes()).hexdigest()
    write_manifest(ours.assign(content_hash=ours["content_hash"].where(~here, content)), run.path / "manifest.csv")
    found = scored_on(run, rows, tmp_path)
    left = [item for item in found.excluded if item.kind == OVERLAP]
    assert [(item.path, item.reason) for item in left] == [
        (rows[0]["path"], "the run was trained on a copy of this picture"),
        (rows[1]["path"], "another image of its patient: the run was trained on a copy of this picture"),
    ]
    assert found.images == 22 and found.external.doubts == ()
    trained.unlink()  # its fingerprint is known
    assert scored_on(run, rows, tmp_path).images == 22
    delete_fingerprints()
    again = scored_on(run, rows, tmp_path)
    assert again.images == 24
    assert again.external.doubts == (
        f"1 of the run's {len(ours)} images is gone, changed or unreadable: copies of it were not looked for",
    )


# ---------------------------------------------------------------- accesses


@pytest.mark.slow
def test_accesses_are_counted_for_the_set_and_not_for_the_runs_own_test_set(run: FakeRun, rows, tmp_path: Path) -> None:
    found = scored_on(run, rows, tmp_path, where="Evaluate")
    evaluate(run, "test", predictor=FakePredictor(run.card))
    scored_on(run, rows, tmp_path)
    assert access_counts(run.path) == {"scored": 1}
    assert [each.where for each in accesses_of(run, found)] == ["Evaluate", "evaluate"]
    assert [(each.run, each.own, each.times) for each in use_of(run, found).models] == [("first", True, 2)]
    assert [each.times for each in use_of_own(run.path).models] == [1]


@pytest.mark.slow
def test_models_that_saw_the_set_before_are_named_also_after_they_were_deleted(run: FakeRun, rows, tmp_path: Path) -> None:
    other = make_run(tmp_path / "runs" / "second", weights_sha256="cd" * 32)
    scored_on(other, rows, tmp_path)
    shutil.rmtree(other.path)
    opened, free = open_external(run, tmp_path / "other" / "other.csv")
    found = scored_on(run, rows, tmp_path)
    use = use_of(run, found)
    assert [each.run for each in use.before] == ["second"] and use.gap == ""
    assert len(free) == 24 and opened.overlap == ()


@pytest.mark.slow
def test_an_external_test_is_an_access_for_a_run_that_has_these_images_in_its_test_set(run: FakeRun, rows, tmp_path) -> None:
    other = make_run(tmp_path / "runs" / "owner", weights_sha256="cd" * 32)
    frame = other.manifest()
    frame = frame[frame["split"] != "test"].drop(columns="content_hash")
    more = pd.DataFrame(rows).drop(columns=["collection", "label_source"]).assign(split="test")
    write_manifest(pd.concat([frame, more]), other.path / "manifest.csv")
    scored_on(run, rows, tmp_path)
    assert access_counts(other.path) == {"scored": 1} and access_counts(run.path) == {}
    assert [(each.run, each.external) for each in accesses(other.path)] == [("first", SPLIT)]


@pytest.mark.slow
def test_a_threshold_chosen_afterwards_is_refused_or_written_down(tmp_path: Path) -> None:
    run = make_saved_run(tmp_path / "runs" / "saved")
    saved_on(run, tmp_path)
    with pytest.raises(BadRun, match="the external test set other has been evaluated once"):
        refreeze(run, ThresholdRule("youden"))
    refreeze(run, ThresholdRule("youden"), reopen=True)
    entries = json.loads((run.path / "evaluation.json").read_text(encoding="utf-8"))
    assert [each["rule"] for each in entries[SPLIT]["refrozen"]] == ["youden"] and "test" not in entries
    assert saved_on(run, tmp_path).refrozen[0].rule == "youden"


# ---------------------------------------------------------------- beside others


@pytest.mark.slow
def test_internal_and_external_are_independent_samples(run: FakeRun, rows, tmp_path: Path) -> None:
    external, internal = scored_on(run, rows, tmp_path), evaluate(run, "test", predictor=FakePredictor(run.card))
    found = compare_sources(internal, external)["image"]
    for name in ("auc", "sensitivity", "specificity"):
        assert found.difference(name) == square_and_add(internal.summary[name], external.summary[name])
    assert found.difference("precision") == DEPENDS == found.difference("brier")
    assert found.shares == (0.5, 0.5)
    few = compare_sources(internal, scored_on(run, rows[:6], tmp_path, name="few"))["image"]
    assert few.difference("auc") == "not on both sets"


@pytest.mark.slow
def test_two_runs_are_compared_on_the_images_that_neither_was_trained_on(run: FakeRun, rows, tmp_path: Path) -> None:
    other = make_run(tmp_path / "runs" / "second", weights_sha256="cd" * 32)
    frame = other.manifest()
    write_manifest(frame.replace({"patient_id": {"train-0": "X003"}}), other.path / "manifest.csv")
    first, second = scored_on(run, rows, tmp_path), scored_on(other, rows, tmp_path)
    found = compare_evaluations(read_evaluation(run, SPLIT), read_evaluation(other, SPLIT))
    assert (found.images, found.only_first, found.only_second) == (22, 2, 0) and (first.images, second.images) == (24, 22)
    assert np.isfinite(found.statistics.metrics["brier"].p)
    scored_on(other, [rows[0] | {"label": "malignant"}, *rows[1:]], tmp_path, replaces=True)
    with pytest.raises(NotEnoughData, match="not the same set for both runs"):
        compare_evaluations(read_evaluation(run, SPLIT), read_evaluation(other, SPLIT))


@pytest.mark.slow
def test_images_excluded_by_hand_are_no_part_of_an_external_test_set_and_that_is_said(
    run: FakeRun, rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    rows[0]["excluded"] = "implant"
    found = scored_on(run, rows, tmp_path)
    assert str(rows[0]["path"]) not in set(found.predictions["path"]) and len(found.predictions) == len(rows) - 1
    assert found.external is not None and any("1 image is excluded by hand" in doubt for doubt in found.external.doubts)
    for row in rows:
        row["excluded"] = "implant"
    with pytest.raises(NotEnoughData, match="excluded by hand"):
        scored_on(run, rows, tmp_path)


def test_patients_who_differ_by_a_letter_before_the_number_are_scored_and_warned_of(run: FakeRun, rows, tmp_path: Path) -> None:
    own = run.manifest()
    write_manifest(
        own.assign(patient_id=own["patient_id"].replace(own["patient_id"].iloc[0], "P024947")), run.path / "manifest.csv"
    )
    rows[0]["patient_id"] = rows[1]["patient_id"] = "24947"
    opened, left = open_external(Run(run.path), write_external(tmp_path / "other", rows))
    assert len(left) == len(rows) and opened.overlap == ()
    assert any("1 patient may be of the run, named with or without letters" in doubt for doubt in opened.about.doubts)
