"""The figures of a search show the trials' own numbers."""

from __future__ import annotations

import pytest

from core.plots import coordinates_figure, importance_figure, trials_figure

TRIALS = [
    (1, {"training.learning_rate": 1e-4, "model.name": "a"}, 0.6),
    (2, {"training.learning_rate": 1e-3, "model.name": "b"}, 0.8),
    (4, {"training.learning_rate": 1e-2, "model.name": "a"}, 0.7),
]


@pytest.mark.parametrize(("higher", "best"), [(True, [0.6, 0.8, 0.8]), (False, [0.6, 0.6, 0.6])])
def test_the_best_so_far_never_gets_worse(higher: bool, best: list[float]) -> None:
    figure = trials_figure([(number, value) for number, _, value in TRIALS], [(3, 0.5)], "auc", higher_is_better=higher)
    line, finished, pruned = figure.data
    assert list(line.y) == best and list(finished.x) == [1, 2, 4] and (list(pruned.x), list(pruned.y)) == ([3], [0.5])


def test_each_trial_is_a_line_through_its_values_on_the_scale_of_each_axis() -> None:
    figure = coordinates_figure(TRIALS, "auc", higher_is_better=True, log=["training.learning_rate"])
    lines = {trace.name: trace for trace in figure.data}
    assert list(lines) == ["trial 2", "trial 4", "trial 1"], "the best one is described first"
    assert list(lines["trial 2"].y) == pytest.approx([0.5, 1, 1]) and list(lines["trial 4"].y) == pytest.approx([1, 0, 0.5])
    assert list(lines["trial 1"].text) == ["0.0001", "a", "0.6"]
    assert list(figure.layout.xaxis.ticktext) == ["learning_rate", "name", "ROC AUC"]
    assert lines["trial 2"].zorder > lines["trial 1"].zorder
    lowest = coordinates_figure(TRIALS, "loss", higher_is_better=False)
    assert lowest.data[0].name == "trial 1" and list(lowest.data[0].y) == pytest.approx([0, 0, 0])


def test_axes_of_one_value_and_missing_values_are_drawn() -> None:
    trials = [(1, {"a.x": 1, "a.y": True}, 0.5), (2, {"a.x": 1}, 0.5)]
    figure = coordinates_figure(trials, "auc", higher_is_better=True)
    assert list(figure.data[0].y) == [0.5, 0, 0.5] and list(figure.data[1].y) == [0.5, None, 0.5]


def test_importance_is_a_bar_a_setting() -> None:
    bars = importance_figure({"training.learning_rate": 0.7, "model.dropout": 0.3}).data[0]
    assert list(bars.x) == [0.7, 0.3] and list(bars.y) == ["learning_rate", "dropout"] and list(bars.text) == ["70%", "30%"]


def test_figures_of_nothing_say_so() -> None:
    for figure in (
        trials_figure([], [], "auc", higher_is_better=True),
        coordinates_figure(TRIALS[:1], "auc", higher_is_better=True),
        importance_figure({}),
    ):
        assert figure.layout.annotations[0].text
