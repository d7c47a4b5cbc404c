"""Evaluate: another collection is previewed, opened behind a tick, and shown beside the internal test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
from builders.evaluate_page import CURVES, choose_part, open_part, wait_for_scoring
from builders.lab_pages import button, draw_breast, figures, keys, open_page, tables, texts
from builders.tiny_run import write_split_images

from core.data import read_manifest
from core.evaluate import evaluate_external, read_evaluation
from core.runs import Run
from core.runs.test_set.accesses import access_counts, read_record
from dashboard.state import preferences

SPLIT = "external-other"


@pytest.fixture
def other(scored: Run, workspace: Path) -> Path:
    """Another collection: 20 patients, one of whom the run was trained on, and an image without a label."""
    import cv2

    manifest = write_split_images(workspace / "data" / "other", patients=20)
    frame = pd.read_csv(manifest, dtype=str, keep_default_na=False)
    for number, path in enumerate(frame["path"]):
        image = draw_breast(5000 + number, height=64, width=48)
        if frame["label"].iloc[number] == "malignant":
            cv2.circle(image, (15, 32), 5, 255, -1)
        cv2.imwrite(str(manifest.parent / path), image)
    frame["patient_id"] = [f"Q{patient}" for patient in frame["patient_id"]]
    trained = read_manifest(scored.path / "manifest.csv").query("split == 'train'")["patient_id"].iloc[0]
    frame.loc[0:1, "patient_id"] = trained.lower()
    frame.loc[2, "label"] = ""
    frame["collection"], frame["label_source"] = "inbreast", "birads"
    frame.to_csv(manifest, index=False)
    preferences.set("evaluate:external:manifest", str(manifest))
    return manifest


@pytest.fixture
def tested(scored: Run, other: Path) -> Run:
    """A run that was evaluated on the other collection, which Evaluate shows."""
    evaluate_external(scored, other)
    preferences.set("evaluate:split", SPLIT)
    return scored


def test_a_collection_is_previewed_and_evaluated_only_behind_a_tick(scored: Run, other: Path) -> None:
    app = open_page("evaluate")
    app.button_group(key="evaluate:split:widget").set_value("external").run()
    assert not app.exception and not app.error
    shown = texts(app)
    assert "**40 images of 20 patients**" in shown and "2 images of the run's own patients or files are left out" in shown
    assert "Copies of the run's pictures are looked for when scoring starts" in shown
    assert "1 image has no label\\: it is scored" in shown and "collection inbreast; labels from birads" in shown
    assert "No other model is on record" in shown
    assert button(app, "evaluate:external:start").disabled
    assert read_evaluation(scored, SPLIT) is None and read_record(scored.path) == ()
    app.checkbox(key="evaluate:external:sure").set_value(True).run()
    button(app, "evaluate:external:start").click().run()
    wait_for_scoring(scored, SPLIT)
    app.run()
    assert not app.exception and not app.error
    assert "external test set evaluated **once**" in texts(app) and "37 images of 19 patients" in texts(app)
    assert set(figures(app)) == CURVES
    assert [(each.kind, each.where, each.external) for each in read_record(scored.path)] == [("scored", "Evaluate", SPLIT)]
    assert access_counts(scored.path) == {}


@pytest.mark.slow
def test_every_part_of_the_page_works_on_an_external_set(tested: Run) -> None:
    from dashboard.views.evaluate import parts

    for group in parts.GROUPS.values():
        for name in group:
            app = open_part(name)
            assert "External: other" in str(app.button_group(key="evaluate:split:widget").options), name
    assert "The manifest has no reader" in texts(app)


@pytest.mark.slow
def test_internal_and_external_stand_side_by_side(tested: Run) -> None:
    app = open_part("Internal and external")
    assert "own test set has not been evaluated" in texts(app)
    from core.evaluate import evaluate

    evaluate(tested, "test")
    app = open_part("Internal and external")
    assert "Internal test and other" in texts(app)
    assert "External less internal" in tables(app) and "depends on the share of malignant" in tables(app)
    preferences.set("evaluate:split", "test")
    assert "Internal test and other" in texts(open_part("Internal and external"))


@pytest.mark.slow
def test_no_threshold_is_chosen_on_it_and_one_chosen_later_is_said(tested: Run) -> None:
    app = open_part("Choose a threshold")
    assert "never here" in texts(app) and "evaluate:freeze" not in keys(app)
    preferences.set("evaluate:split", "val")
    preferences.set("evaluate:rule", "youden")
    app = open_part("Choose a threshold")
    assert "The external test set other of this run has been evaluated **once**" in texts(app)
    assert button(app, "evaluate:freeze").disabled


@pytest.mark.slow
def test_labels_that_are_listed_are_an_access_to_the_set(tested: Run) -> None:
    choose_part("All images")
    assert not open_page("evaluate").error
    found = [each for each in read_record(tested.path) if each.kind == "labels"]
    assert [(each.external, each.images) for each in found] == [(SPLIT, 37)] and access_counts(tested.path) == {}
    assert "labels shown" in tables(open_page("evaluate"))


@pytest.mark.slow
def test_a_name_of_another_set_is_refused_until_it_may_be_replaced(tested: Run, other: Path) -> None:
    frame = pd.read_csv(other, dtype=str, keep_default_na=False)
    frame.drop(index=[10, 11]).to_csv(other, index=False)
    preferences.set("evaluate:split", "external")
    app = open_page("evaluate")
    app.checkbox(key="evaluate:external:sure").set_value(True).run()
    assert "another external test set called other" in texts(app) and button(app, "evaluate:external:start").disabled
    app.checkbox(key="evaluate:external:replace").set_value(True).run()
    assert not button(app, "evaluate:external:start").disabled
    app.text_input(key=f"evaluate:external:name:{other}").set_value("No Name").run()
    assert not app.exception and "expected small letters" in app.error[0].value


def test_a_collection_that_cannot_be_read_is_an_error_and_no_crash(scored: Run, other: Path) -> None:
    other.write_text("path,label,patient_id\nx.png,perhaps,P1\n", encoding="utf-8")
    preferences.set("evaluate:split", "external")
    app = open_page("evaluate")
    assert not app.exception and "label" in app.error[0].value
    shutil.rmtree(other.parent)
    assert not open_page("evaluate").exception


@pytest.mark.slow
def test_scoring_again_needs_a_manifest_that_is_still_offered(tested: Run, other: Path) -> None:
    assert not button(open_page("evaluate"), "evaluate:again").disabled
    other.unlink()
    app = open_page("evaluate")
    assert not app.exception and button(app, "evaluate:again").disabled


@pytest.mark.slow
def test_images_of_the_set_open_in_explain(tested: Run) -> None:
    preferences.set("explain:source", SPLIT)
    app = open_page("explain")
    assert not app.exception and not app.error
    assert "Image, 1 of 37" in {each.label for each in app.selectbox}
