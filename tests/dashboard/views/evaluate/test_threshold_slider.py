"""Evaluate: cards and charts answer to the slider; the frozen threshold stays what it is."""

from __future__ import annotations

import json
from functools import partial

import pytest
from builders.evaluate_page import CURVES, cards, choice_of, freeze_by_view, open_part
from builders.lab_pages import component, figures, open_page, texts

from core.evaluate import read_evaluation
from core.metrics import at_threshold, clustered_wilson
from core.runs import Run
from dashboard.state import preferences
from dashboard.views.evaluate import threshold_slider

# The level of the intervals, where a test does not set another.
clustered_wilson = partial(clustered_wilson, confidence=0.95)


@pytest.mark.slow
def test_the_figures_at_the_frozen_threshold_are_the_evaluation_s_own(scored: Run) -> None:
    summary = read_evaluation(scored, "val").summary
    found = cards(open_page("evaluate"))
    for name, stored in (("auc", "auc"), *threshold_slider.STORED.items()):
        card, figure = found[name], summary[stored]
        assert card["value"] == figure.value
        assert (card["lows"][card["at"]], card["highs"][card["at"]]) == (figure.low, figure.high)


@pytest.mark.slow
def test_the_slider_starts_at_the_frozen_threshold_and_has_it_exactly(scored: Run) -> None:
    data = component(open_page("evaluate"), "dial")
    assert data["index"] == data["frozen"]
    assert data["grid"][data["frozen"]] == scored.model_card().threshold
    assert "chosen on validation for a sensitivity of 0.90" in data["words"]


@pytest.mark.slow
def test_an_explored_threshold_moves_the_cards_and_not_the_model(scored: Run) -> None:
    predictions = read_evaluation(scored, "val").predictions
    preferences.set(choice_of(scored), float(predictions["score"].median()))
    app = open_page("evaluate")
    data, found = component(app, "dial"), cards(app)
    threshold = data["grid"][data["index"]]
    assert data["index"] != data["frozen"]
    expected = at_threshold(predictions["label"], predictions["score"], threshold)
    assert found["specificity"]["value"] == pytest.approx(expected["specificity"], abs=1e-5)
    benign = predictions[predictions["label"] == "benign"]
    interval = clustered_wilson(benign["score"] < threshold, benign["patient_id"])
    assert found["specificity"]["lows"][data["index"]] == pytest.approx(interval.low, abs=1e-5)
    assert scored.model_card().threshold == read_evaluation(scored, "val").threshold


@pytest.mark.slow
def test_every_figure_that_follows_has_a_value_for_each_step_of_the_slider(scored: Run) -> None:
    app = open_page("evaluate")
    data = component(app, "dial")
    shown = figures(app)
    following = [
        json.loads(each.proto.json) for each in app.get("bidi_component") if each.proto.component_name == "mammolab_plot"
    ]
    assert len(following) == len(CURVES)
    for each in following:
        moves = each["follow"]
        assert moves["dial"] == data["dial"]
        columns = [*(column for trace in moves["traces"].values() for column in trace.values()), *moves["layout"].values()]
        assert columns
        assert {len(column) for column in columns} == {len(data["grid"])}
    cells = shown["evaluate:confusion"]["data"][0]
    confusion = next(
        each["follow"] for each in following if "shapes" not in str(each["follow"]) and "text" in str(each["follow"])
    )
    assert confusion["traces"]["0"]["text"][data["frozen"]] == cells["text"]


@pytest.mark.slow
def test_the_mark_on_the_roc_curve_moves_along_the_curve(scored: Run) -> None:
    app = open_page("evaluate")
    plots = [json.loads(each.proto.json) for each in app.get("bidi_component") if "plot" in each.proto.component_name]
    moves = plots[0]["follow"]["traces"]
    ((_, mark),) = moves.items()
    predictions = read_evaluation(scored, "val").predictions
    data = component(app, "dial")
    for index in (0, data["frozen"], len(data["grid"]) // 2, len(data["grid"]) - 1):
        expected = at_threshold(predictions["label"], predictions["score"], data["grid"][index])
        assert mark["y"][index][0] == pytest.approx(expected["sensitivity"], abs=1e-5)
        assert mark["x"][index][0] == pytest.approx(1 - expected["specificity"], abs=1e-5)


@pytest.mark.slow_but("image-20")
@pytest.mark.parametrize(("level", "rows"), [("image", 20), ("breast", 10), ("patient", 10)])
def test_breasts_and_patients_are_counted_as_such_at_a_threshold_of_their_own(scored: Run, level: str, rows: int) -> None:
    preferences.set("evaluate:level", level)
    app = open_page("evaluate")
    assert not app.exception
    cells = figures(app)["evaluate:confusion"]["data"][0]["text"]
    counts = [int(cell.split("</b>")[0].removeprefix("<b>").replace(",", "")) for row in cells for cell in row]
    assert sum(counts) == rows
    data = component(app, "dial")
    assert data["grid"][data["frozen"]] == read_evaluation(scored, "val").levels[level].threshold


@pytest.mark.slow
def test_at_thresholds_by_view_the_page_counts_every_image_at_its_own(scored: Run) -> None:
    scores = read_evaluation(scored, "val").predictions
    of_view = {view: sorted(scores.loc[scores["view"] == view, "score"]) for view in ("CC", "MLO")}
    thresholds = {"CC": of_view["CC"][-2], "MLO": of_view["MLO"][1]}
    freeze_by_view(scored, thresholds["CC"], thresholds["MLO"])
    called = [score >= thresholds[view] for score, view in zip(scores["score"], scores["view"], strict=True)]
    assert sum(called) == 2 + len(of_view["MLO"]) - 1
    app = open_part("Curves")
    data = component(app, "dial")
    assert f"CC {thresholds['CC']:.3f}, MLO {thresholds['MLO']:.3f}" in data["words"]
    flagged = next(card for card in data["cards"] if card["name"] == "called")
    assert flagged["values"][data["frozen"]] == str(sum(called))
    stored = read_evaluation(scored, "val").summary
    shown = next(card for card in data["cards"] if card["name"] == "specificity")
    assert shown["values"][data["frozen"]] == pytest.approx(stored["specificity"].value, abs=1e-5)
    point = figures(app)["evaluate:roc"]["data"][-1]
    assert point["x"][0] == pytest.approx(1 - stored["specificity"].value) and "histogram shows each score less" in texts(app)
    assert f"CC {thresholds['CC']:.3f}" in texts(open_part("Subgroups")) and f"CC {thresholds['CC']:.3f}" in texts(
        open_part("All numbers")
    )
    # At another level the breast's own threshold decides, and the words say it.
    preferences.set("evaluate:level", "breast")
    app = open_part("Choose a threshold")
    assert "no score is recalibrated by view" in texts(app)
    assert component(app, "dial")["words"].count("CC") == 0
