"""Figures draw the numbers they are given: nothing lost, nothing invented, readable in both themes."""

from __future__ import annotations

import colorsys
import json
import math
from collections.abc import Callable
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import plotly.io
import pytest
from builders.fake_run import events

from core.metrics import Confusion, precision_recall, roc, roc_band
from core.metrics.confusion import confusion
from core.metrics.intervals import Interval
from core.plots import (
    COLORS,
    METRIC_TITLES,
    confusion_figure,
    empty_figure,
    loss_figure,
    losses_figure,
    metric_figure,
    metrics_figure,
    precision_recall_figure,
    rate_figure,
    roc_figure,
    score_histogram,
)
from core.plots.side_by_side import run_colors
from core.plots.study import heat_figure, levels_figure
from core.plots.style import CONFIG, RUN_COLORS
from core.plots.thinning import evenly, extremes
from core.runs.history import History

# The level of the intervals, where a test does not set another.
roc_band = partial(roc_band, confidence=0.95)

RANDOM = np.random.default_rng(0)
Y = np.repeat(RANDOM.random(80) < 0.4, 3)
S = 1 / (1 + np.exp(-(Y + RANDOM.normal(size=Y.size))))
GROUPS = np.repeat(np.arange(80), 3)


FIGURES: dict[str, Callable[[], Any]] = {
    "roc": lambda: roc_figure(roc(Y, S), band=roc_band(Y, S, GROUPS, samples=100), threshold=0.5),
    "precision recall": lambda: precision_recall_figure(precision_recall(Y, S), threshold=0.5),
    "confusion": lambda: confusion_figure(confusion(Y, S, 0.5)),
    "histogram": lambda: score_histogram(Y, S, 0.5),
    "loss": lambda: loss_figure(events()),
    "metrics": lambda: metric_figure(events()),
    "rate": lambda: rate_figure(events()),
    "losses": lambda: losses_figure({"a": History.of(events()), "b": History.of(events(epochs=5))}),
    "one metric": lambda: metrics_figure({"a": History.of(events()), "b": History.of(events(epochs=5))}),
    "empty": lambda: empty_figure("Nothing yet."),
}


def named(figure: Any, word: str) -> Any:
    return next(trace for trace in figure.data if word in (trace.name or ""))


def luminance(color: str) -> float:
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("page", ["#ffffff", "#12141a"])
@pytest.mark.parametrize("color", sorted({*COLORS.values(), *RUN_COLORS}))
def test_every_colour_stands_out_on_a_light_and_a_dark_page(color: str, page: str) -> None:
    bright, dark = sorted((luminance(color), luminance(page)), reverse=True)
    assert (bright + 0.05) / (dark + 0.05) >= 3


@pytest.mark.parametrize(("first", "second"), list(combinations(("benign", "malignant", "train", "val"), 2)))
def test_meanings_differ_in_hue(first: str, second: str) -> None:
    hues = [colorsys.rgb_to_hls(*(int(COLORS[n][i : i + 2], 16) / 255 for i in (1, 3, 5)))[0] for n in (first, second)]
    assert min(abs(hues[0] - hues[1]), 1 - abs(hues[0] - hues[1])) > 0.08


@pytest.mark.slow_but("roc", "confusion", "losses", "empty")
@pytest.mark.parametrize("name", FIGURES)
def test_figures_suit_any_page(name: str) -> None:
    figure = FIGURES[name]()
    layout = figure.layout
    assert layout.paper_bgcolor == layout.plot_bgcolor == "rgba(0,0,0,0)"
    assert layout.xaxis.automargin and layout.yaxis.automargin
    assert layout.font.color is None  # left to the page's theme
    sizes = [layout.font.size, layout.legend.font.size, *(a.font.size for a in layout.annotations if a.font.size)]
    assert min(sizes) >= 13
    plotly.io.to_json(figure, validate=True)


@pytest.mark.slow_but("losses", "roc", "empty")
@pytest.mark.parametrize("name", FIGURES)
def test_zoom_is_kept_when_the_numbers_change(name: str) -> None:
    assert FIGURES[name]().layout.uirevision == FIGURES[name]().layout.uirevision is not None


def test_the_figures_have_no_button_that_uploads_them() -> None:
    assert CONFIG["showSendToCloud"] is False and CONFIG["plotlyServerURL"] == ""


# ---------------------------------------------------------------- ROC and precision-recall


def test_roc_is_square_and_marks_the_operating_point() -> None:
    curve = roc(Y, S)
    figure = roc_figure(curve, threshold=0.5)
    assert figure.layout.yaxis.scaleanchor == "x" and figure.layout.yaxis.scaleratio == 1
    assert figure.layout.xaxis.range == figure.layout.yaxis.range
    point = next(trace for trace in figure.data if trace.mode == "markers")
    assert (point.x[0], point.y[0]) == curve.at(0.5)
    assert "sensitivity" in point.hovertemplate and "specificity" in point.hovertemplate


def test_roc_keeps_every_corner_and_drops_only_points_on_a_line() -> None:
    curve = roc(Y, S)
    drawn = named(roc_figure(curve), "AUC")
    assert len(drawn.x) < len(curve.fpr)
    np.testing.assert_allclose(np.trapezoid(drawn.y, drawn.x), curve.auc)
    np.testing.assert_allclose(np.interp(curve.fpr[np.diff(curve.fpr, prepend=-1) > 0], drawn.x, drawn.y)[-1], 1)


@pytest.mark.parametrize(("y", "s"), [([0, 1], [0.2, 0.8]), ([0, 1], [0.5, 0.5]), ([1, 0], [0.2, 0.8])])
def test_the_smallest_curves_are_drawn(y: list, s: list) -> None:
    drawn = named(roc_figure(roc(y, s), threshold=0.5), "AUC")
    assert (drawn.x[0], drawn.y[0], drawn.x[-1], drawn.y[-1]) == (0, 0, 1, 1)
    assert named(precision_recall_figure(precision_recall(y, s), threshold=0.9), "AP") is not None


def test_curves_of_many_images_stay_light() -> None:
    random = np.random.default_rng(1)
    y, s = random.random(20_000) < 0.5, random.random(20_000)
    assert len(named(roc_figure(roc(y, s)), "AUC").x) <= 2000
    assert len(named(precision_recall_figure(precision_recall(y, s)), "AP").x) <= 2000


def test_several_curves_keep_their_colours_and_names() -> None:
    figure = roc_figure({"val": roc(Y, S), "test": roc(Y, S**2)})
    assert named(figure, "validation").line.color == COLORS["val"]
    assert named(figure, "test").line.color == COLORS["test"]


def test_precision_recall_says_the_prevalence() -> None:
    figure = precision_recall_figure(precision_recall(Y, S))
    assert any(f"prevalence {Y.mean():.3f}" in (trace.hovertemplate or "") for trace in figure.data)


# ---------------------------------------------------------------- confusion and histogram


def test_confusion_shows_the_four_counts_where_they_belong() -> None:
    figure = confusion_figure(Confusion(tp=1234, fp=20, tn=30, fn=6))
    heat = figure.data[0]
    for axis in (figure.layout.xaxis, figure.layout.yaxis):
        assert dict(zip(axis.tickvals, axis.ticktext, strict=True)) == {0: "benign", 1: "malignant"}
    assert [["1,234" in cell for cell in row] for row in heat.text] == [[False, False], [False, True]]
    assert "30" in heat.text[0][0] and "20" in heat.text[0][1] and "6" in heat.text[1][0]
    assert heat.z[0][0] == pytest.approx(0.6)


def test_wrong_decisions_are_named_and_differ_by_colour_and_hatching() -> None:
    figure = confusion_figure(Confusion(tp=9, fp=2, tn=8, fn=1))
    heat, *hatched = figure.data
    words = [[cell.split("<br>")[1] for cell in row] for row in heat.text]
    assert words == [["cleared", "false alarms"], ["missed cancers", "cancers found"]]
    assert [[share < 0 for share in row] for row in heat.z] == [[False, True], [True, False]]
    corners = {(min(each.x) + 0.49, min(each.y) + 0.49) for each in hatched}
    assert corners == {(1, 0), (0, 1)} and all(each.fillpattern.shape for each in hatched)


def test_confusion_of_one_class_is_drawn() -> None:
    assert confusion_figure(Confusion(tp=0, fp=0, tn=7, fn=0)).data[0].z[1] == [0, 0]


@pytest.mark.parametrize(
    ("y", "s", "threshold"),
    [
        (Y, S, 0.5),
        (np.where(Y, "malignant", "benign"), S, None),
        (Y.astype(int), 0.48 + S * 0.01, 0.483),
        ([0, 1], [0.5, 0.5], 0.5),
        ([0, 1], [1.0, 1.0], None),
        ([0, 0], [0.0, 0.0], 0.0),
        ([], [], None),
    ],
)
def test_histogram_counts_every_image_once(y: Any, s: Any, threshold: float | None) -> None:
    figure = score_histogram(y, s, threshold)
    benign, malignant = figure.data
    assert sum(row[0] for row in benign.customdata) + sum(row[0] for row in malignant.customdata) == len(s)
    low, high = figure.layout.xaxis.range
    assert low < high and (threshold is None or low <= threshold <= high)
    assert benign.marker.color != malignant.marker.color
    assert threshold is None or figure.layout.annotations[0].yanchor == "bottom", "above the bars"


# ---------------------------------------------------------------- live curves


@pytest.mark.parametrize("build", [loss_figure, metric_figure])
@pytest.mark.parametrize("lines", [[], events()[:1], events()[:3]])
def test_before_the_first_numbers_a_sentence_stands_there(build: Any, lines: list) -> None:
    figure = build(lines)
    assert not figure.data and figure.layout.annotations[0].text


def test_validation_loss_is_called_optimistic_as_validation_figures_are() -> None:
    figure = loss_figure(events(epochs=3))
    assert [trace.name for trace in figure.data][-1] == "validation (optimistic)"
    assert "(optimistic)" in metric_figure(events(epochs=3)).layout.yaxis.title.text
    assert "(optimistic)" in losses_figure({"a": History.of(events())}).layout.yaxis.title.text


def test_loss_has_both_curves_on_one_axis_of_epochs() -> None:
    figure = loss_figure(events(epochs=3, steps=4))
    training, validation = named(figure, "training"), named(figure, "validation")
    assert training.x[0] == 0.25 and training.x[-1] == 3
    assert list(validation.x) == [1, 2, 3]
    assert list(validation.y) == pytest.approx([1.1, 0.55, 1.1 / 3])
    assert (training.line.color, validation.line.color) == (COLORS["train"], COLORS["val"])
    assert figure.layout.hovermode == "x unified"


def test_roc_auc_alone_shows_the_line_of_chance_and_the_part_that_matters() -> None:
    figure = metric_figure(events(epochs=5), ["auc"])
    assert [shape.x0 for shape in figure.layout.shapes if shape.name and shape.name.startswith("best")] == [4]
    assert [shape.y0 for shape in figure.layout.shapes if shape.y0 == shape.y1] == [0.5]
    values = [value for value in named(figure, "ROC AUC").y if value is not None]
    low = figure.layout.yaxis.range[0]
    assert low < min(values) and (low > 0.3) is (min(values) >= 0.4)
    assert not [shape for shape in metric_figure(events(), ["average_precision"]).layout.shapes if shape.y0 == 0.5]


def test_the_best_epoch_is_marked() -> None:
    figure = metric_figure(events(epochs=5))
    assert named(figure, "ROC AUC").marker.symbol == ("circle", "circle", "circle", "star", "circle")
    (line,) = (shape for shape in figure.layout.shapes if shape.type == "line")
    assert (line.x0, line.name) == (4, "best: epoch 4")
    # In the legend, outside the axes, where no curve runs over it.
    assert line.showlegend and figure.layout.showlegend
    assert not any("best" in annotation.text for annotation in figure.layout.annotations)


def test_phases_are_shaded_and_named() -> None:
    figure = loss_figure(events(epochs=5))
    spans = [(shape.x0, shape.x1) for shape in figure.layout.shapes if shape.type == "rect"]
    assert spans == [(0, 1), (1, 5)]
    assert {"head only", "fine-tuning"} <= {annotation.text for annotation in figure.layout.annotations}


def test_a_phase_too_narrow_for_its_name_is_only_shaded() -> None:
    figure = loss_figure(events(epochs=20))
    assert [(shape.x0, shape.x1) for shape in figure.layout.shapes if shape.type == "rect"] == [(0, 1), (1, 20)]
    assert "head only" not in {annotation.text for annotation in figure.layout.annotations}


def test_the_axis_spans_what_was_trained_and_stands_still_within_an_epoch() -> None:
    lines = events(epochs=10)
    running = [line for line in lines if line.get("epoch", 0) <= 4 and line["type"] != "done"]
    ends = [loss_figure(running[:count]).layout.xaxis.range[1] for count in range(4, len(running) + 1)]
    assert ends == sorted(ends) and len(set(ends)) == 5
    assert 5 < ends[-1] < 5.5
    stopped = loss_figure([*running, lines[-1]])
    assert 4 < stopped.layout.xaxis.range[1] < 5
    assert max(shape.x1 for shape in stopped.layout.shapes if shape.type == "rect") == 4


def test_the_axis_can_span_all_planned_epochs_from_the_beginning() -> None:
    lines = events(epochs=10)
    ends = {loss_figure(lines[:count], span="planned").layout.xaxis.range[1] for count in (6, 9, 20)}
    assert len(ends) == 1 and ends.pop() > 10


def test_the_learning_rate_is_drawn_by_step() -> None:
    lines = events(epochs=2, steps=4)
    for number, line in enumerate(line for line in lines if line["type"] == "step"):
        line["learning_rate"] = number * 1e-4
    (rate,) = rate_figure(lines).data
    assert list(rate.x) == [0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2]
    assert list(rate.y) == pytest.approx([number * 1e-4 for number in range(8)])


def test_what_a_resumed_run_did_again_is_drawn_once() -> None:
    lines = events(epochs=4)
    cut = next(i for i, line in enumerate(lines) if line.get("epoch") == 4)
    again = [line for line in lines if line.get("epoch") == 3]
    figure = loss_figure([*lines[:cut], *again, *lines[cut:]])
    whole = loss_figure(lines)
    assert list(named(figure, "training").x) == list(named(whole, "training").x)
    assert list(named(figure, "validation").x) == [1, 2, 3, 4]


@pytest.mark.parametrize("bad", [None, math.nan, math.inf])
def test_figures_that_do_not_exist_leave_a_gap(bad: Any) -> None:
    lines = events(epochs=3)
    for line in lines:
        if line["type"] == "epoch" and line["epoch"] == 2:
            line["val"], line["val_loss"] = {"auc": bad}, bad
        if line["type"] == "step" and line["epoch"] == 2:
            line["loss"] = bad
    assert named(metric_figure(lines), "ROC AUC").y[1] is None
    assert named(loss_figure(lines), "validation").y[1] is None
    assert all(math.isfinite(value) for value in named(loss_figure(lines), "training").y)


def test_metrics_can_be_chosen_and_unknown_ones_are_left_out() -> None:
    assert [trace.name for trace in metric_figure(events(), ["average_precision", "kappa"]).data] == ["Average precision"]
    assert [trace.name for trace in metric_figure(events()).data] == [METRIC_TITLES["auc"], METRIC_TITLES["average_precision"]]


def long_training(steps: int) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    for i in range(steps):
        loss = 9.0 if i == 12_345 else 0.01 if i == 23_456 else 0.5
        place = {"epoch": 1 + i // 100, "step": 1 + i % 100, "steps": 100}
        lines.append({"type": "step", **place, "loss": loss, "learning_rate": 1e-3})
        if i % 100 == 99:
            epoch = {"epoch": 1 + i // 100, "epochs": steps // 100, "best": i // 100 == 16}
            lines.append({"type": "epoch", **epoch, "train_loss": 0.5, "val_loss": 0.5, "val": {"auc": 0.7}})
    return lines


@pytest.mark.slow
def test_a_hundred_thousand_steps_stay_light_and_keep_extremes_and_ends() -> None:
    history = History.of(long_training(100_000))
    figure = loss_figure(history)
    assert sum(len(trace.x) for trace in figure.data) <= 2000
    raw, smooth = figure.data[0], named(figure, "training")
    assert max(raw.y) == 9.0 and min(raw.y) == pytest.approx(0.01)
    assert raw.x[0] == smooth.x[0] == 0.01 and raw.x[-1] == smooth.x[-1] == 1000
    assert max(smooth.y) < 2 and smooth.y[0] == pytest.approx(0.5)
    assert named(figure, "validation").marker.symbol.count("star") == 1
    assert all(len(each.to_json()) < 60_000 for each in (figure, metric_figure(history), rate_figure(history)))


@pytest.mark.slow
def test_events_taken_one_by_one_give_the_same_curves_as_all_at_once() -> None:
    lines = events(epochs=4)
    cut = next(i for i, line in enumerate(lines) if line.get("epoch") == 4)
    again = [*lines[:cut], *(line for line in lines if line.get("epoch") == 3), *lines[cut:]]  # resumed in between
    history = History()
    for line in again:
        history.take(line)
        json.loads(loss_figure(history).to_json())
    assert loss_figure(history).to_json() == loss_figure(lines).to_json()


@pytest.mark.parametrize("count", [1, 2, 7, 1000, 1001, 4097, 100_000])
@pytest.mark.parametrize("limit", [8, 1000])
def test_thinned_curves_keep_ends_and_extremes_within_the_limit(count: int, limit: int) -> None:
    values = np.random.default_rng(count).normal(size=count)
    kept = extremes(values, limit)
    assert len(kept) <= limit and (np.diff(kept) > 0).all()
    assert {0, count - 1, int(values.argmin()), int(values.argmax())} <= set(kept.tolist())
    even = evenly(count, limit)
    assert len(even) <= limit and even[0] == 0 and even[-1] == count - 1


def test_thinned_points_stay_while_the_curve_grows() -> None:
    values = np.random.default_rng(0).normal(size=40_000)
    before, after = (set(extremes(values[:count], 1000).tolist()) for count in (33_000, 40_000))
    assert len(before - after) <= 3  # those of the unfinished stretch at the end


def test_smoothing_none_draws_the_losses_themselves() -> None:
    lines = events(epochs=2)
    losses = [line["loss"] for line in lines if line["type"] == "step"]
    assert list(named(loss_figure(lines, smoothing=0.0), "training").y) == pytest.approx(losses)


def test_epochs_without_steps_still_give_a_training_curve() -> None:
    lines = [line for line in events(epochs=3) if line["type"] != "step"]
    assert list(named(loss_figure(lines), "training").y) == pytest.approx([1, 1 / 2, 1 / 3])


# ---------------------------------------------------------------- several runs


def test_runs_side_by_side_have_a_colour_each_and_training_is_dashed() -> None:
    histories = {"first": History.of(events(epochs=3)), "second": History.of(events(epochs=5))}
    figure = losses_figure(histories)
    colors = run_colors(["first", "second"])
    assert colors["first"] != colors["second"]
    for name in histories:
        training, validation = (trace for trace in figure.data if trace.name.startswith(name))
        assert (training.line.color, validation.line.color) == (colors[name], colors[name])
        assert (training.line.dash, validation.line.dash) == ("dash", "solid")
    assert [trace.name for trace in figure.data if trace.showlegend] == ["first", "second"]
    assert figure.layout.xaxis.range[1] > 5


def test_a_run_without_the_figure_is_left_out_and_the_others_keep_their_colours() -> None:
    histories = {"empty": History(), "full": History.of(events())}
    (line,) = metrics_figure(histories).data
    assert (line.name, line.line.color) == ("full", run_colors(["empty", "full"])["full"])
    assert metrics_figure({"empty": History()}).layout.annotations[0].text
    assert losses_figure({"empty": History()}).layout.annotations[0].text


def test_a_figure_is_said_in_words_with_its_axes_and_ranges() -> None:
    import plotly.graph_objects as go

    from core.plots.words import in_words

    figure = go.Figure()
    figure.add_scatter(x=[1, 2, 3], y=[0.7, None, 0.5], name="<b>training</b>")
    figure.add_bar(x=["a", "b"], y=[1, 4], name="malignant")
    figure.add_scatter(x=[0, 1], y=[0, 1], name="chance", hoverinfo="skip")
    figure.add_scatter(x=[0, 1], y=["a", "b"], name="words")
    figure.update_layout(xaxis_title="Epoch", yaxis_title="Loss")
    assert in_words(figure, "loss of one") == (
        "Loss of one. Loss against Epoch. training: 2 points, first 0.7, last 0.5, from 0.5 to 0.7. "
        "malignant: 2 bars from 1 to 4."
    )


def test_numbers_as_levels_of_a_heat_table_stand_in_their_own_cells() -> None:
    known = Interval(0.7, 0.6, 0.8)
    figure = heat_figure(("clahe", ["true", "false"]), ("clip_limit", ["1", "2", "4"]), [[known, "none", known], [known] * 3])
    (trace,) = figure.data
    assert not figure.layout.annotations and list(trace.z[0]) == [0.7, None, 0.7] and trace.text[0][1] == "–"
    assert figure.layout.xaxis.type == figure.layout.yaxis.type == "category"
    lines = levels_figure("clip_limit", ["1", "2", "4"], {"clahe true": [known, "none", known], "clahe false": [known] * 3})
    assert [list(each.x) for each in lines.data] == [["1", "4"], ["1", "2", "4"]]
