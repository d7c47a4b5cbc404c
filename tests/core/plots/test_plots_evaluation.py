"""Reliability, decision, prevalence and forest figures show the numbers they are given, and notes instead of numbers."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from core.metrics import Interval
from core.metrics.calibration import reliability
from core.metrics.decision import decision_curve
from core.metrics.screening import operating_point
from core.plots.calibration import reliability_figure
from core.plots.decision import decision_figure, prevalence_figure
from core.plots.forest import forest_figure

# The level of the intervals, where a test does not set another.
decision_curve = partial(decision_curve, confidence=0.95)
operating_point = partial(operating_point, confidence=0.95)
reliability = partial(reliability, confidence=0.95)


@pytest.fixture
def scored() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    s = random.random(300)
    return random.random(300) < s, s, np.repeat(np.arange(100), 3)


def test_reliability_has_a_point_a_bin_with_its_limits(scored: tuple) -> None:
    found = reliability(*scored)
    figure = reliability_figure(found)
    diagonal, points = figure.data
    assert (list(diagonal.x), list(diagonal.y)) == ([0, 1], [0, 1])
    assert points.y == pytest.approx(found.observed) and points.x == pytest.approx(found.score)
    assert np.asarray(points.y) + points.error_y.array == pytest.approx(found.high)
    assert np.asarray(points.y) - points.error_y.arrayminus == pytest.approx(found.low)
    assert f"{found.ece:.3f}" in points.name


def test_reliability_is_zoomed_to_the_scores_with_their_histogram_below() -> None:
    random = np.random.default_rng(1)
    s = random.uniform(0.44, 0.48, 200)
    found = reliability(random.random(200) < 0.5, s, np.arange(200))
    figure = reliability_figure({"raw score": found}, scores={"raw score": s})
    low, high = figure.layout.xaxis.range
    assert 0.43 <= low < s.min() and s.max() < high <= 0.49
    bars = figure.data[-1]
    assert sum(bars.y) == 200 and bars.yaxis == "y2"
    assert figure.layout.yaxis2.domain[1] < figure.layout.yaxis.domain[0]
    assert list(reliability_figure({}).layout.xaxis.range) == [0, 1]


def test_several_reliability_diagrams_keep_their_names(scored: tuple) -> None:
    figure = reliability_figure({"as trained": reliability(*scored), "calibrated": reliability(*scored, bins=5)})
    assert [trace.name.split(" ECE")[0] for trace in figure.data[1:]] == ["as trained", "calibrated"]
    assert figure.data[1].line.color != figure.data[2].line.color


def test_decision_figure_has_the_model_and_both_alternatives(scored: tuple) -> None:
    curve = decision_curve(*scored, samples=50)
    figure = decision_figure(curve, threshold=0.3)
    traces = {trace.name: trace for trace in figure.data}
    assert traces["model"].y == pytest.approx(curve.model)
    assert traces["recall everyone"].y == pytest.approx(curve.treat_all)
    assert set(traces["recall no one"].y) == {0}
    assert figure.layout.shapes[0].x0 == 0.3
    assert figure.layout.yaxis.range[0] < 0 < curve.model.max() < figure.layout.yaxis.range[1]


def test_prevalence_figure_follows_the_operating_point(scored: tuple) -> None:
    y, s, groups = scored
    points = [operating_point(y, s, 0.5, groups).at(p) for p in (0.001, 0.01, 0.1)]
    figure = prevalence_figure(points, current=0.01)
    traces = {trace.name: trace for trace in figure.data if trace.name}
    assert traces["PPV"].y == pytest.approx([p.ppv.value for p in points])
    assert traces["NPV"].y == pytest.approx([p.npv.value for p in points])
    assert figure.layout.xaxis.type == "log" and figure.layout.shapes[0].x0 == 0.01


def test_forest_shows_intervals_and_notes_and_the_first_row_on_top() -> None:
    rows = [("scanner A", Interval(0.8, 0.7, 0.9)), ("scanner B", "only 3 patients"), ("scanner C", Interval(0.6, 0.5, 0.75))]
    figure = forest_figure(rows, reference=Interval(0.75, 0.7, 0.8))
    points = figure.data[0]
    assert list(points.x) == [0.8, 0.6] and list(points.y) == ["scanner A", "scanner C"]
    assert list(points.error_x.arrayminus) == pytest.approx([0.1, 0.1])
    assert [(note.text, note.y) for note in figure.layout.annotations] == [("only 3 patients", "scanner B")]
    assert figure.layout.yaxis.categoryarray == ("scanner C", "scanner B", "scanner A")
    assert len(figure.layout.shapes) == 2 and not figure.layout.showlegend


def test_forest_with_a_second_figure_a_row_has_a_legend() -> None:
    rows = [("age", Interval(0.63, 0.59, 0.67)), ("view", Interval(0.5, 0.49, 0.51))]
    figure = forest_figure(rows, reference=0.5, second=[Interval(0.7, 0.6, 0.8), None], names=("metadata", "model within"))
    assert [trace.name for trace in figure.data] == ["metadata", "model within"]
    assert list(figure.data[1].y) == ["age"] and figure.layout.showlegend


def test_no_figure_draws_a_background_or_a_small_font(scored: tuple) -> None:
    for figure in (
        reliability_figure(reliability(*scored)),
        decision_figure(decision_curve(*scored, samples=20)),
        forest_figure([]),
    ):
        assert figure.layout.paper_bgcolor == "rgba(0,0,0,0)" and figure.layout.font.size >= 14
