"""Evaluate: runs are compared on the same images, or the reason why not is said."""

from __future__ import annotations

import json
import shutil
from typing import Any

import numpy as np
import pandas as pd
import pytest
from builders.evaluate_page import open_part
from builders.lab_pages import button, figures, tables, texts

from core.metrics.subgroups import holm
from core.runs import Run
from core.wording import p_value
from dashboard.cache import results
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


@pytest.mark.slow
def test_published_figures_stay_away_with_one_sentence_why(opened: Run) -> None:
    app = open_part("Compare runs")
    assert "none is comparable" in texts(app).lower()


@pytest.mark.slow
def test_several_runs_are_on_one_chart_with_differences_adjusted_for_their_number(scored: Run) -> None:
    for name in ("second", "third", "unscored"):
        shutil.copytree(scored.path, scored.path.with_name(name))
    (scored.path.with_name("unscored") / "evaluation.json").unlink()
    table = scored.path.with_name("second") / "predictions" / "val.csv"
    frame = pd.read_csv(table)
    frame["score"] = np.random.default_rng(1).permutation(frame["score"])
    frame.to_csv(table, index=False)
    training_runs.set_current_run(scored.name)
    preferences.set(f"evaluate:with:{scored.name}", ["second", "third", "unscored"])
    app = open_part("Compare runs")
    names = {str(trace.get("name", "")).split(" AUC")[0] for trace in figures(app)["evaluate:compare"]["data"]}
    assert {"tiny", "second", "third"} <= names and "unscored" not in names
    assert button(app, "evaluate:score_other:unscored").label == "Score unscored"
    found = {name: results.comparison(*_pair(scored, name), "image").statistics.metrics["auc"] for name in ("second", "third")}
    adjusted = dict(zip(found, holm([each.p for each in found.values()]), strict=True))
    assert found["third"].p == 1 and found["second"].p < 1
    for name, each in found.items():
        row = tables(app).split(f"<td class='n'>{name}</td>")[1].split("</tr>")[0]
        assert f"{each.difference:+.3f}" in row and row.endswith(f"{p_value(float(adjusted[name]))}</td>")
    assert "for 2 comparisons (Holm)" in texts(app)
    app.button_group(key="evaluate:compare_curve:widget").set_value("precision_recall").run()
    names = {str(trace.get("name", "")).split(" AP")[0] for trace in figures(app)["evaluate:compare"]["data"]}
    assert {"tiny", "second", "third"} <= names


def _pair(run: Run, name: str) -> tuple[Any, ...]:
    other = training_runs.open_run(name)
    return run, other, results.evaluation(run, "val"), results.evaluation(other, "val")


@pytest.mark.slow
def test_another_runs_test_set_is_scored_from_here_only_behind_a_tick(opened: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    other = opened.path.with_name("second")
    shutil.copytree(opened.path, other)
    stored = json.loads((other / "evaluation.json").read_text(encoding="utf-8"))
    del stored["test"]
    (other / "evaluation.json").write_text(json.dumps(stored), encoding="utf-8")
    asked: list[tuple[str, str]] = []
    monkeypatch.setattr(results, "start_evaluation", lambda run, split: asked.append((run.name, split)))
    training_runs.set_current_run(opened.name)
    app = open_part("Compare runs")
    key = "evaluate:score_other:second"
    assert button(app, key).disabled and not asked
    app.checkbox(key=f"{key}:sure").set_value(True).run()
    assert not asked
    button(app, key).click().run()
    assert asked == [("second", "test")]
