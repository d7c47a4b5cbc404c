"""Evaluate: splits are scored on request, everything answers to the threshold, the frozen one stays what it is."""

from __future__ import annotations

from typing import Any

import pytest
from lab_pages import figures, galleries, open_page, texts
from streamlit.testing.v1 import AppTest

from core.evaluate import evaluate, read_evaluation
from core.training import Run
from dashboard import results, services


def button(app: AppTest, key: str) -> Any:
    return next(each for each in app.button if each.key == key)


def metrics(app: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in app.metric}


def slider_key(run: Run) -> str:
    return next(key for key in (f"evaluate:threshold:{run.name}:{run.model_card()['weights_sha256'][:8]}",))


@pytest.fixture
def scored(run: Run) -> Run:
    evaluate(run, "val")
    return run


def test_without_a_model_the_page_leads_to_training(workspace: Any) -> None:
    app = open_page("evaluate")
    assert not app.exception and not app.error
    assert "Train a model first" in texts(app)


def test_scoring_the_validation_set_is_one_press(run: Run) -> None:
    app = open_page("evaluate")
    button(app, "evaluate:start").click().run()
    task = results.evaluation_task(run, "val")
    assert task is not None
    while task.running:
        pass
    assert task.error == ""
    app.run()
    assert not app.exception and not app.error
    assert set(figures(app)) == {"evaluate:roc", "evaluate:confusion", "evaluate:histogram"}


def test_the_test_set_is_opened_only_by_its_button_and_each_time_is_counted(scored: Run) -> None:
    app = open_page("evaluate")
    app.button_group(key="evaluate:split:widget").set_value("test").run()
    assert "has not been opened" in texts(app)
    assert read_evaluation(scored, "test") is None
    button(app, "evaluate:start").click().run()
    task = results.evaluation_task(scored, "test")
    while task is not None and task.running:
        pass
    app.run()
    assert "test set opened **once**" in texts(app)
    evaluate(scored, "test")
    app.run()
    assert "test set opened **2 times**" in texts(app)


def test_the_figures_at_the_frozen_threshold_are_the_evaluation_s_own(scored: Run) -> None:
    summary = read_evaluation(scored, "val").summary
    app = open_page("evaluate")
    assert "frozen" in texts(app)
    assert metrics(app)["Sensitivity"] == f"{summary['sensitivity'].value:.3f}"
    assert metrics(app)["ROC AUC"] == f"{summary['auc'].value:.3f}"


def test_moving_the_threshold_explores_and_reset_goes_back(scored: Run) -> None:
    from core.metrics import at_threshold

    predictions = read_evaluation(scored, "val").predictions
    moved = round(float(predictions["score"].median()) + 0.002, 3)
    services.remember(slider_key(scored), moved)
    app = open_page("evaluate")
    assert "exploring" in texts(app)
    expected = at_threshold(predictions["label"], predictions["score"], moved)
    assert metrics(app)["Specificity"] == f"{expected['specificity']:.3f}"
    button(app, "evaluate:reset").click().run()
    assert "exploring" not in texts(app)
    assert scored.model_card()["threshold"] == read_evaluation(scored, "val").threshold


def test_breasts_and_patients_are_counted_as_such(scored: Run) -> None:
    app = open_page("evaluate")
    images = sum(_counts(app))
    app.button_group(key="evaluate:level:widget").set_value("patient").run()
    assert not app.exception
    assert images == 20 and sum(_counts(app)) == 10


def _counts(app: AppTest) -> list[int]:
    cells = figures(app)["evaluate:confusion"]["data"][0]["text"]
    return [int(cell.split("</b>")[0].removeprefix("<b>").replace(",", "")) for row in cells for cell in row]


def test_the_gallery_shows_the_mistakes_of_the_threshold(scored: Run) -> None:
    predictions = read_evaluation(scored, "val").predictions
    services.remember("evaluate:below", "Mistakes")
    services.remember(slider_key(scored), round(float(predictions["score"].max()) + 0.005, 3))
    app = open_page("evaluate")
    assert not app.exception and not app.error
    tiles = galleries(app)["evaluate:missed"]
    malignant = predictions[predictions["label"] == "malignant"].sort_values("score")
    assert [tile["id"] for tile in tiles] == malignant["path"].tolist()[: len(tiles)]
    assert all(not tile["missing"] for tile in tiles)
    assert "evaluate:alarms" not in galleries(app)


def test_every_image_is_listed_with_score_and_outcome(scored: Run) -> None:
    services.remember("evaluate:below", "Images")
    app = open_page("evaluate")
    table = app.dataframe[0].value
    assert len(table) == 20
    assert set(table["outcome"]) <= {"found", "missed cancer", "false alarm", "cleared"}


def test_the_table_below_has_every_figure_with_its_interval(scored: Run) -> None:
    app = open_page("evaluate")
    table = "".join(str(element.proto.body) for element in app.get("html"))
    for row in read_evaluation(scored, "val").table_rows():
        assert f"<td>{row[0]}</td><td>{row[1]}</td><td>{row[2]}</td>" in table


def test_a_model_that_changed_since_is_said(scored: Run) -> None:
    import json

    path = scored.path / "model.json"
    path.write_text(json.dumps(scored.model_card() | {"weights_sha256": "0" * 64}), encoding="utf-8")
    app = open_page("evaluate")
    assert "has changed since" in app.warning[0].value


def test_a_damaged_evaluation_is_shown_as_its_text(scored: Run) -> None:
    (scored.path / "evaluation.json").write_text("{", encoding="utf-8")
    app = open_page("evaluate")
    assert not app.exception
    assert "damaged" in app.error[0].value
