"""The frozen threshold: the highest that reaches the target on validation, always reached."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import NotEnoughData
from core.metrics import at_threshold, roc, sensitivity_at_specificity, specificity_at_sensitivity, threshold_for_sensitivity


@st.composite
def scored(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    n = draw(st.integers(2, 40))
    y = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    y[:2] = True, False
    values = st.one_of(st.sampled_from([0.0, 0.1, 0.5, 1.0]), st.floats(0, 1))
    return y, np.array(draw(st.lists(values, min_size=n, max_size=n)))


@settings(max_examples=150, deadline=None)
@given(scored(), st.one_of(st.floats(0.01, 1.0), st.sampled_from([0.1, 0.3, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0])))
def test_target_is_reached_and_no_higher_threshold_reaches_it(case: tuple[np.ndarray, np.ndarray], target: float) -> None:
    y, s = case
    threshold = threshold_for_sensitivity(y, s, target)
    assert at_threshold(y, s, threshold)["sensitivity"] >= target
    assert at_threshold(y, s, np.nextafter(threshold, 2))["sensitivity"] < target


@pytest.mark.parametrize("target", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
@pytest.mark.parametrize("malignant", [10, 20, 30, 70])
def test_binary_fractions_do_not_cost_an_image(target: float, malignant: int) -> None:
    s = np.append(np.arange(1, malignant + 1) / malignant, 0.0)
    threshold = threshold_for_sensitivity(np.arange(malignant + 1) < malignant, s, target)
    assert np.count_nonzero(s >= threshold) == round(target * malignant)


def test_ties_are_taken_together() -> None:
    y, s = [1, 1, 1, 1, 0], [0.9, 0.4, 0.4, 0.4, 0.1]
    assert threshold_for_sensitivity(y, s, 0.5) == 0.4
    assert at_threshold(y, s, 0.4)["sensitivity"] == 1.0


@pytest.mark.parametrize(
    ("y", "s", "words"),
    [
        ([0, 0], [0.1, 0.2], "all benign"),
        ([1, 1], [0.1, 0.2], "all malignant"),
        ([0, 1], [0.1, np.nan], "NaN"),
        ([], [], "got none"),
    ],
)
def test_scores_that_carry_no_threshold_are_refused(y: list, s: list, words: str) -> None:
    with pytest.raises(NotEnoughData, match=words):
        threshold_for_sensitivity(y, s, 0.9)


@pytest.mark.parametrize("target", [0.0, -0.1, 1.1])
def test_impossible_targets_are_refused(target: float) -> None:
    with pytest.raises(ValueError, match="sensitivity"):
        threshold_for_sensitivity([0, 1], [0.1, 0.2], target)


@settings(max_examples=100, deadline=None)
@given(scored(), st.sampled_from([0.5, 0.8, 0.9, 1.0]))
def test_best_figure_under_a_condition_is_the_best_of_all_thresholds(case: tuple[np.ndarray, np.ndarray], at: float) -> None:
    y, s = case
    points = [at_threshold(y, s, t) for t in roc(y, s).thresholds]
    best = max(p["sensitivity"] for p in points if p["specificity"] >= at)
    assert sensitivity_at_specificity(y, s, at) == pytest.approx(best)
    best = max(p["specificity"] for p in points if p["sensitivity"] >= at)
    assert specificity_at_sensitivity(y, s, at) == pytest.approx(best)
