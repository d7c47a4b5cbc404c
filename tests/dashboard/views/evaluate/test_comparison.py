"""Evaluate: runs are compared on the same images, or the reason why not is said."""

from __future__ import annotations

import json
import shutil
from typing import Any

from builders.evaluate_page import open_part
from builders.lab_pages import button, figures, open_page, texts

from core.runs import Run
from dashboard.state import preferences, training_runs


def test_two_runs_are_compared_on_the_same_images(scored: Run, workspace: Any) -> None:
    shutil.copytree(scored.path, workspace / "checkpoints" / "twin")
    training_runs.set_current_run("tiny")
    app = open_part("Compare runs")
    assert "Neither run is shown to be better" in texts(app)
    assert "20 images in both" in texts(app)
    names = [trace.get("name", "") for trace in figures(app)["evaluate:compare"]["data"]]
    assert any(name.startswith("tiny") for name in names)
    assert any(name.startswith("twin") for name in names)


def test_a_run_that_changed_since_shows_its_command_as_code(scored: Run, workspace: Any) -> None:
    twin = workspace / "checkpoints" / "twin_1"
    shutil.copytree(scored.path, twin)
    (twin / "model.json").write_text(json.dumps(scored.model_card().written() | {"threshold": 0.9}), encoding="utf-8")
    stored = json.loads((twin / "evaluation.json").read_text(encoding="utf-8"))
    (twin / "evaluation.json").write_text(json.dumps({"val": stored["val"] | {"run": "twin_1"}}), encoding="utf-8")
    training_runs.set_current_run("tiny")
    app = open_part("Compare runs")
    (warning,) = app.warning
    assert "`python -m core evaluate twin_1 --split val`" in warning.value
    assert "\\`" not in warning.value and warning.value.startswith("twin\\_1")


def test_runs_without_a_common_image_are_not_compared_and_the_reason_is_said(scored: Run, workspace: Any) -> None:
    twin = workspace / "checkpoints" / "twin"
    shutil.copytree(scored.path, twin)
    path = twin / "predictions" / "val.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("_CC.png", "_CC.jpg").replace("_MLO.png", "_MLO.jpg"), "utf-8")
    training_runs.set_current_run("tiny")
    app = open_part("Compare runs")
    assert "no image in common" in app.warning[0].value.replace("\\", "")
    assert "evaluate:compare" not in figures(app)


def test_published_figures_stay_away_with_one_sentence_why(opened: Run) -> None:
    app = open_part("Compare runs")
    assert "none is comparable" in texts(app).lower()


def test_several_runs_are_drawn_on_one_roc_chart(scored: Run) -> None:
    for name in ("second", "third", "unscored"):
        shutil.copytree(scored.path, scored.path.with_name(name))
    (scored.path.with_name("unscored") / "evaluation.json").unlink()
    training_runs.set_current_run(scored.name)
    preferences.set(f"evaluate:other:{scored.name}", "second")
    preferences.set(f"evaluate:others:{scored.name}", ["third", "unscored"])
    preferences.set("evaluate:group", "Compare")
    app = open_page("evaluate")
    assert not app.exception and not app.error
    names = {str(trace.get("name", "")).split(" AUC")[0] for trace in figures(app)["evaluate:compare"]["data"]}
    assert {"tiny", "second", "third"} <= names
    assert button(app, "evaluate:score_other:unscored").label == "Score unscored"
