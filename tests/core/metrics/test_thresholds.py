"""The frozen threshold: the highest that reaches the target on validation, always reached."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import BadRun, NotEnoughData
from core.files.typed import to_plain
from core.metrics import at_threshold, roc, sensitivity_at_specificity, specificity_at_sensitivity
from core.metrics.thresholds import ThresholdRule, cost_threshold, threshold_for_sensitivity, youden_threshold


@st.composite
def scored(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    n = draw(st.integers(2, 40))
    y = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    y[:2] = True, False
    values = st.one_of(st.sampled_from([0.0, 0.1, 0.5, 1.0]), st.floats(0, 1))
    return y, np.array(draw(st.lists(values, min_size=n, max_size=n)))


@settings(max_examples=60, deadline=None)
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
        ([0, 0], [0.1, 0.2], "all of them benign"),
        ([1, 1], [0.1, 0.2], "all of them malignant"),
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


@settings(max_examples=40, deadline=None)
@given(scored(), st.sampled_from([0.5, 0.8, 0.9, 1.0]))
def test_best_figure_under_a_condition_is_the_best_of_all_thresholds(case: tuple[np.ndarray, np.ndarray], at: float) -> None:
    y, s = case
    points = [at_threshold(y, s, t) for t in roc(y, s).thresholds]
    best = max(p["sensitivity"] for p in points if p["specificity"] >= at)
    assert sensitivity_at_specificity(y, s, at) == pytest.approx(best)
    best = max(p["specificity"] for p in points if p["sensitivity"] >= at)
    assert specificity_at_sensitivity(y, s, at) == pytest.approx(best)


@settings(max_examples=40, deadline=None)
@given(scored())
def test_youdens_threshold_is_the_best_of_all_and_the_highest_of_several(case: tuple[np.ndarray, np.ndarray]) -> None:
    y, s = case
    index = {t: sum(at_threshold(y, s, t)[name] for name in ("sensitivity", "specificity")) for t in np.unique(s)}
    best = max(t for t, value in index.items() if value >= max(index.values()) - 1e-12)
    assert index[youden_threshold(y, s)] == pytest.approx(max(index.values()))
    assert youden_threshold(y, s) <= best


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(scored(), st.sampled_from([0.2, 1.0, 10.0, 500.0]), st.sampled_from([None, 0.005, 0.4]))
def test_no_threshold_costs_less(case: tuple[np.ndarray, np.ndarray], ratio: float, prevalence: float | None) -> None:
    y, s = case
    share = y.mean() if prevalence is None else prevalence

    def cost(threshold: float) -> float:
        point = at_threshold(y, s, threshold)
        return share * ratio * (1 - point["sensitivity"]) + (1 - share) * (1 - point["specificity"])

    chosen = cost_threshold(y, s, ratio, prevalence)
    assert chosen in s
    assert cost(chosen) == pytest.approx(min(cost(t) for t in s))
    assert all(cost(t) > cost(chosen) + 1e-13 for t in s[s > chosen])


def test_dearer_misses_and_commoner_disease_lower_the_threshold() -> None:
    random = np.random.default_rng(0)
    y = random.random(400) < 0.3
    s = random.normal(size=400) + 1.5 * y
    assert cost_threshold(y, s, 100) < cost_threshold(y, s, 5) < cost_threshold(y, s, 0.5)
    assert cost_threshold(y, s, 10, 0.5) < cost_threshold(y, s, 10, 0.005)


@pytest.mark.parametrize(("ratio", "prevalence"), [(0.0, None), (-1.0, None), (1.0, 0.0), (1.0, 1.0)])
def test_impossible_costs_are_refused(ratio: float, prevalence: float | None) -> None:
    with pytest.raises(ValueError, match="cost ratio"):
        cost_threshold([0, 1], [0.1, 0.2], ratio, prevalence)


def test_a_rule_chooses_what_its_function_chooses_and_survives_json() -> None:
    y, s = np.arange(60) % 3 == 0, np.random.default_rng(1).random(60)
    rules = {
        ThresholdRule(target=0.8): threshold_for_sensitivity(y, s, 0.8),
        ThresholdRule("youden"): youden_threshold(y, s),
        ThresholdRule("cost", cost_ratio=20, prevalence=0.01): cost_threshold(y, s, 20, 0.01),
    }
    for rule, threshold in rules.items():
        assert rule.choose(y, s) == threshold
        assert ThresholdRule.from_dict(to_plain(rule)) == rule


@pytest.mark.parametrize("plain", [{"kind": "magic"}, {"goal": 3}])
def test_a_rule_of_somebody_else_is_refused(plain: dict) -> None:
    with pytest.raises(BadRun, match="threshold rule"):
        ThresholdRule.from_dict(plain)


def test_of_thresholds_that_youden_ties_the_highest_is_taken_whatever_the_last_bits_are() -> None:
    """Sensitivity 1 and specificity 1/3 + 1/3 at 0.3; 2/3 and 1 at 0.9: equal on paper, not in binary."""
    assert youden_threshold([1, 0, 1, 0, 1, 0], [0.3, 0.8, 1.0, 0.0, 0.9, 0.0]) == 0.9
