"""Evaluate: errors at the threshold, and every image."""

from __future__ import annotations

import re

import pytest
from builders.evaluate_page import choice_of, open_part
from builders.lab_pages import button, galleries, tables, texts, wait_until

from core.evaluate import read_evaluation
from core.metrics import at_level
from core.runs import Run
from dashboard.state import preferences
from dashboard.views.evaluate import heatmap_thumbnails


@pytest.mark.slow
def test_the_gallery_shows_the_mistakes_of_the_threshold_and_then_heatmaps(scored: Run) -> None:
    predictions = read_evaluation(scored, "val").predictions
    preferences.set(choice_of(scored), 1.0)  # nobody is recalled: every malignant image is missed
    app = open_part("Mistakes")
    malignant = predictions[predictions["label"] == "malignant"].sort_values("score")
    tiles = galleries(app)["evaluate:missed"]
    assert [tile["id"] for tile in tiles] == malignant["path"].tolist()[: len(tiles)]
    assert all(not tile["missing"] for tile in tiles)
    task = heatmap_thumbnails.task(scored)
    assert task is not None
    wait_until(lambda: not task.running)
    assert task.error == ""
    found = heatmap_thumbnails.ready(scored, malignant["path"].tolist())
    assert set(found) == set(malignant["path"])
    assert all(each.image.startswith(b"\xff\xd8") for each in found.values())
    app.button_group(key="evaluate:cases:widget").set_value("alarms").run()
    assert "None at this threshold" in texts(app)


@pytest.mark.slow
def test_mistakes_of_breasts_are_judged_by_the_breast(scored: Run) -> None:
    preferences.set("evaluate:level", "breast")
    preferences.set(choice_of(scored, "breast"), 1.0)
    preferences.set("evaluate:heatmaps", False)
    app = open_part("Mistakes")
    breasts = at_level(read_evaluation(scored, "val").predictions, "breast")
    missed = breasts[breasts["label"] == "malignant"].sort_values("score")
    tiles = galleries(app)["evaluate:missed"]
    assert [tile["label"] for tile in tiles] == [f"{score:.3f}" for score in missed["score"]]


@pytest.mark.slow
@pytest.mark.parametrize("key", ["evaluate:to_explain", "evaluate:to_preprocess", "evaluate:to_inspect"])
def test_a_chosen_case_opens_on_the_other_pages(scored: Run, key: str) -> None:
    path = read_evaluation(scored, "val").predictions["path"].iloc[3]
    preferences.set("evaluate:case", path)
    preferences.set("evaluate:heatmaps", False)
    app = open_part("Mistakes")
    assert len(galleries(app)["evaluate:chosen"]) >= 1
    button(app, key).click().run()
    assert not app.exception
    assert not app.error
    page = key.removeprefix("evaluate:to_")
    if page == "explain":
        assert preferences.get("explain:image") == path
    else:  # the run's images are not those of the current data set
        assert (preferences.get(f"{page}:source"), preferences.get(f"{page}:path")) == ("File path", path)
        assert app.text_input(key=f"{page}:path:widget").value == path


def test_every_image_is_listed_with_score_and_outcome(scored: Run) -> None:
    app = open_part("All images")
    table = app.dataframe[0].value
    assert len(table) == 20
    assert set(table["outcome"]) <= {"found", "missed cancer", "false alarm", "cleared"}


def test_the_table_has_every_figure_with_its_interval(scored: Run) -> None:
    app = open_part("All numbers")
    shown = re.sub(r"<td class='.'>", "<td>", tables(app))
    for title, value, interval, _ in read_evaluation(scored, "val").table_rows():
        assert f"<td>{title}</td><td>{value}</td><td>{interval}</td>" in shown
