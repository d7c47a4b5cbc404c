"""What the pages say of statistics: the unit of analysis, how the test set was used, what was chosen on which images."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import streamlit as st
from builders.evaluate_page import open_part
from builders.lab_pages import open_page, tables, texts

from core.evaluate import evaluate, read_evaluation
from core.evaluate.endpoint import read_declared
from core.files.typed import to_plain
from core.metrics import Calibration
from core.model import update_card
from core.runs import Run
from core.runs.test_set.access_log import record_for_run
from dashboard.state import preferences


def test_evaluate_shows_what_patients_are_made_of_and_other_rules(scored: Run) -> None:
    app = open_part("Patients")
    shown = tables(app)
    assert "Images per patient: median (range)" in shown and "2 (2 to 2)" in shown
    assert "mean of all images (the rule in use)" in shown and "affected breast" in shown
    assert "Balanced" in texts(app)
    assert "optimistic: it chose the epoch and the threshold" in texts(app)


@pytest.mark.slow
def test_calibration_is_that_of_the_selected_level_and_says_why_there_is_no_probability(scored: Run) -> None:
    found = read_evaluation(scored, "val")
    for level in ("image", "patient"):
        report = found.calibration_at(level)
        if isinstance(report, str):
            pytest.fail(report)
        preferences.set("evaluate:level", level)
        app = open_part("Calibration")
        words = texts(app).replace("\\", "")
        raw = report.before.brier
        assert f"{raw.value:.3f}<small>[{raw.low:.3f}, {raw.high:.3f}]</small>" in tables(app)
        assert f"{level.capitalize()}s" in tables(app) and "Scaled Brier score" in tables(app)
        assert f"for all {level}s has a Brier score of {report.before.reference:.3f}" in words
        warned = " ".join(each.value.replace("\\", "") for each in app.warning)
        assert bool(report.no_probability) is (f"No probability is shown for {level}s: " in warned)
    update_card(scored.path, {"calibrations": {"patient": to_plain(Calibration("logistic", slope=0.7, rows=9))}})
    assert "in use now is logistic" in " ".join(each.value for each in open_part("Calibration").warning)


@pytest.mark.slow
def test_data_warns_of_a_label_whose_patients_have_fewer_images(manifest: Path) -> None:
    frame = pd.read_csv(manifest, dtype=str, keep_default_na=False)
    half = set(sorted(set(frame["patient_id"]))[::2])
    frame["label"] = ["malignant" if patient in half else "benign" for patient in frame["patient_id"]]
    kept = frame[(frame["label"] == "benign") | (frame["view"] == "CC")].assign(split="train")
    kept.to_csv(manifest, index=False)
    app = open_page("data")
    app.button_group(key="data:view:widget").set_value("Counts").run()
    assert not app.exception and not app.error
    (said,) = [each.value.replace("\\", "") for each in app.warning if "have fewer images" in each.value]
    assert said.startswith("Malignant patients") and said.count("AUC") >= 1
    assert "Images per patient: median (range)" in tables(app)


@pytest.mark.slow
def test_data_says_nothing_of_patients_where_nobody_is_known(manifest: Path) -> None:
    frame = pd.read_csv(manifest, dtype=str, keep_default_na=False)
    frame["patient_id"] = [Path(path).stem for path in frame["path"]]
    frame.to_csv(manifest, index=False)
    app = open_page("data")
    app.button_group(key="data:view:widget").set_value("Counts").run()
    assert not app.exception and not app.error
    assert any("No patient is known" in each.value for each in app.info)
    assert "Both sides" not in tables(app)


def test_before_the_test_set_is_opened_the_page_says_which_models_saw_it(scored: Run, workspace: Path) -> None:
    other = workspace / "checkpoints" / "earlier"
    other.mkdir()
    for name in ("manifest.csv", "model.json", "status.json", "config.yaml"):
        shutil.copy(scored.path / name, other / name)
    card = json.loads((other / "model.json").read_text(encoding="utf-8"))
    (other / "model.json").write_text(json.dumps(card | {"weights_sha256": "cd" * 32}), encoding="utf-8")
    record_for_run(other, "scored", "evaluate")
    preferences.set("evaluate:split", "test")
    preferences.set("run", "tiny")
    app = open_page("evaluate")
    assert "1 other model had been scored on test images of the same patients already" in texts(app).replace("\\", "")


@pytest.mark.slow
def test_evaluate_speaks_of_images_only_where_no_patient_is_known(run: Run) -> None:
    path = run.path / "manifest.csv"
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    frame["patient_id"] = [Path(name).stem for name in frame["path"]]
    frame.to_csv(path, index=False)
    evaluate(run, "val")
    preferences.set("evaluate:level", "patient")
    for tab in ("Curves", "Subgroups", "All numbers"):
        words = [line for line in texts(open_part(tab)).split("\n") if "patient" in line.lower()]
        assert [line for line in words if "rows: path, patient, side" not in line] == [], tab
    assert "No patient is known" in texts(open_part("Patients"))


def test_the_endpoint_is_declared_on_the_page_before_the_test_set_is_opened(scored: Run) -> None:
    preferences.set("evaluate:split", "test")
    app = open_page("evaluate")
    assert "No primary endpoint is declared" in texts(app)
    app.selectbox(key="evaluate:endpoint:level").select("image").run()
    next(each for each in app.button if each.key == "evaluate:endpoint:declare").click().run()
    assert not app.exception and not app.error
    found = read_declared(scored.path)
    assert found.before and found.endpoint is not None and (found.endpoint.metric, found.endpoint.level) == ("auc", "image")
    assert "before the test set was evaluated: ROC AUC by image" in texts(app).replace("\\", "")


def test_evaluate_compares_the_model_with_a_reader_of_the_manifest(scored: Run) -> None:
    assert any("no reader's assessment" in each.value for each in open_part("Reader").info)
    path = scored.path / "manifest.csv"
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    frame["birads"] = ["5" if label == "malignant" else "1" for label in frame["label"]]
    frame.to_csv(path, index=False)
    st.cache_resource.clear()
    app = open_part("Reader")
    assert "model minus reader" in texts(app) and "BI-RADS 5" in tables(app)
