from __future__ import annotations

import json
import re
import shutil
import time
from pathlib import Path

import pandas as pd
import pytest
import streamlit as st
from builders.lab_pages import galleries, open_page, texts, wait_until
from streamlit.testing.v1 import AppTest

from core.errors import BadManifest
from core.evaluate import evaluate
from core.runs import Run
from dashboard.state import datasets, run_actions, tasks, training_runs
from dashboard.ui import pages
from dashboard.views.home import example, workflow


def primary_labels(app) -> list[str]:
    return [button.label for button in app.button if button.proto.type == "primary"]


def test_an_empty_workspace_offers_the_demo_set_and_nothing_else(workspace: Path) -> None:
    app = open_page()
    assert not app.exception and not app.error
    assert primary_labels(app) == ["Write the demo set"]


def test_with_data_and_no_run_the_next_step_is_training(manifest: Path) -> None:
    app = open_page()
    assert primary_labels(app) == ["Train a model"]
    assert "24 images, 12 patients" in steps(app)["data"]


def test_one_click_trains_the_demo_model_with_the_quick_preset(manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pd.read_csv(manifest)
    frame.assign(synthetic=True).to_csv(manifest, index=False)
    started: list[Run] = []
    monkeypatch.setattr(run_actions, "start_training", started.append)
    app = open_page()
    assert primary_labels(app) == ["Train the demo model"]
    app.button(key="home:first").click().run()
    assert not app.exception and not app.error
    [run] = started
    config = run.config()
    assert (config.training.epochs, config.preprocessing.shape) == (6, (256, 160))
    assert config.data.manifest == manifest and len(run.manifest()) == len(frame)
    assert training_runs.current_run() is not None


def test_every_page_says_that_it_is_for_research_only(workspace: Path) -> None:
    for view in ("home", "data", "preprocess", "test_image"):
        assert "research only" in texts(open_page(view)).lower(), view


def test_a_manifest_that_cannot_be_read_is_said_and_the_page_stays(workspace: Path) -> None:
    (workspace / "data").mkdir()
    (workspace / "data" / "bad.csv").write_text("path,label\n,maybe\n", encoding="utf-8")
    app = open_page()
    assert not app.exception
    assert steps(app)["data"] == "**next**: not readable"


def test_a_broken_config_is_shown_as_its_own_text(workspace: Path) -> None:
    (workspace / "config.yaml").write_text("training:\n  epoch: 3\n", encoding="utf-8")
    app = open_page()
    assert not app.exception
    assert "unknown field" in app.error[0].value


def test_the_demo_button_writes_in_the_background_and_the_set_becomes_current(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from builders.lab_pages import write_images

    other = write_images(workspace / "data" / "other")
    monkeypatch.setattr("core.demo.make_demo", lambda out, progress: write_images(Path(out), patients=3))
    datasets.start_demo()
    demo = tasks.task("demo")
    wait_until(lambda: not demo.running)
    app = open_page()
    assert "data/demo/manifest.csv" in "".join(str(element.proto.body) for element in app.sidebar.get("html"))
    assert tasks.task("demo") is None
    assert other.exists()


def test_a_failed_demo_says_why_and_can_be_tried_again(workspace: Path) -> None:
    def fail(report: tasks.Report) -> None:
        raise BadManifest("no room on the disk")

    task = tasks.start_task("demo", "Writing", fail)
    wait_until(lambda: not task.running)
    app = open_page()
    assert "no room on the disk" in app.error[0].value
    assert primary_labels(app) == ["Write the demo set"]


def test_an_example_from_validation_is_shown_with_score_and_heatmap(run: Run) -> None:
    app = open_page()
    while any(each.running for each in list(tasks.live().tasks.values())):
        time.sleep(0.02)
    app.run()
    while any(each.running for each in list(tasks.live().tasks.values())):
        time.sleep(0.02)
    app.run()
    assert not app.exception and not app.error, texts(app)
    splits = run.manifest().set_index("path")["split"]
    found = example.find(run)
    assert found is not None and splits[found.path] == "val"
    tiles = galleries(app)["home:example"]
    assert [tile["caption"] for tile in tiles] == ["model input", "its heatmap"]
    assert not any(tile["missing"] for tile in tiles)
    assert f"{found.score:.3f}" in texts(app)


def test_the_example_is_never_a_test_image_of_another_run(run: Run) -> None:
    first = example.find(run)
    assert first is not None
    other = run.path.with_name("other")
    shutil.copytree(run.path, other)
    table = pd.read_csv(other / "manifest.csv", dtype=str, keep_default_na=False)
    table.loc[table["split"] != "", "split"] = table["split"].map({"train": "train", "val": "test", "test": "val"})
    table.to_csv(other / "manifest.csv", index=False)
    st.cache_resource.clear()
    assert example.find(run) is None, "all of its validation images are sealed by now"


@pytest.mark.slow
def test_the_workflow_marks_what_is_done_and_what_is_next_and_leads_to_its_pages(run: Run) -> None:
    app = open_page()
    assert ticks(app) == ["data", "preprocess", "train"]
    assert steps(app)["evaluate"].startswith("**next**") and steps(app)["explain"].startswith("to do")
    linked = [each.proto.page for each in app.get("page_link")]
    assert len(linked) == len(set(linked)) == len(pages.PAGES) - 1
    evaluate(run, "val")
    app = open_page()
    assert ticks(app) == ["data", "preprocess", "train", "evaluate"]
    assert primary_labels(app) == ["Explain"]
    assert "test set comes last" in steps(app)["evaluate"]


def test_images_of_the_data_set_are_shown_before_there_is_a_model_and_never_test_images(manifest: Path) -> None:
    frame = pd.read_csv(manifest, dtype=str, keep_default_na=False)
    patients = sorted(frame["patient_id"].unique())
    frame["split"] = ["test" if patient in patients[2:] else "train" for patient in frame["patient_id"]]
    frame.to_csv(manifest, index=False)
    app = open_page()
    while any(each.running for each in list(tasks.live().tasks.values())):
        time.sleep(0.02)
    app.run()
    assert not app.exception and not app.error
    tiles = galleries(app)["home:pictures"]
    assert [tile["label"] for tile in tiles] == ["benign", "malignant"]
    assert not any(patient in json.dumps(tiles) for patient in patients)


def steps(app: AppTest) -> dict[str, str]:
    """What the workflow says of each step."""
    said = [each.value for each in app.main.caption if re.match(r"(:green|\*\*next|to do)", each.value)]
    return dict(zip(workflow.STEPS, said, strict=True))


def ticks(app: AppTest) -> list[str]:
    return [name for name, words in steps(app).items() if "done" in words]
