"""Net benefit is Vickers and Elkin's, threshold by threshold."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from core.metrics.confusion import confusion
from core.metrics.decision import decision_curve

# The level of the intervals, where a test does not set another.
decision_curve = partial(decision_curve, confidence=0.95)


def cohort(patients: int = 80, seed: int = 0) -> tuple[np.ndarray, ...]:
    random = np.random.default_rng(seed)
    groups = np.repeat(np.arange(patients), 3)
    s = np.round(random.random(groups.size), 2)
    return random.random(groups.size) < s, s, groups


def test_net_benefit_is_the_definition() -> None:
    y, s, groups = cohort()
    grid = [0.5, 0.05, 0.3, 0.95]
    found = decision_curve(y, s, groups, thresholds=grid, samples=50)
    for threshold, benefit, everybody in zip(grid, found.model, found.treat_all, strict=True):
        counts, odds = confusion(y, s, threshold), threshold / (1 - threshold)
        assert benefit == pytest.approx((counts.tp - counts.fp * odds) / y.size)
        assert everybody == pytest.approx(y.mean() - (1 - y.mean()) * odds)


def test_a_worked_example() -> None:
    """100 people, 20 ill; the model calls 16 of them and 8 others at a threshold of 20 %: (16 - 8 · 0.25) / 100."""
    y = np.arange(100) < 20
    s = np.where((np.arange(100) < 16) | (np.arange(100) >= 92), 0.6, 0.1)
    found = decision_curve(y, s, np.arange(100), thresholds=[0.2], samples=20)
    assert found.model[0] == pytest.approx(0.14)
    assert found.treat_all[0] == pytest.approx(0.0)


def test_another_prevalence_weighs_the_classes_anew() -> None:
    y, s, groups = cohort()
    found = decision_curve(y, s, groups, thresholds=[0.1], prevalence=0.01, samples=20)
    counts = confusion(y, s, 0.1)
    assert found.model[0] == pytest.approx(0.01 * counts.sensitivity - 0.99 * (1 - counts.specificity) / 9)
    assert found.prevalence == 0.01


def test_limits_are_those_of_the_plain_loop() -> None:
    y, s, groups = cohort(15)
    found = decision_curve(y, s, groups, thresholds=[0.3], samples=60, seed=5)
    drawn = np.random.default_rng(5).integers(0, 15, size=(60, 15))
    values = []
    for sample in drawn:
        rows = np.concatenate([np.flatnonzero(groups == g) for g in sample])
        counts = confusion(y[rows], s[rows], 0.3)
        values.append((counts.tp - counts.fp * 3 / 7) / rows.size)
    assert (found.low[0], found.high[0]) == pytest.approx(tuple(np.quantile(values, (0.025, 0.975))))


def test_by_default_the_whole_range_is_covered_and_the_model_lies_in_its_band() -> None:
    found = decision_curve(*cohort(), samples=200)
    assert found.thresholds.size == 99
    assert ((found.low <= found.model) & (found.model <= found.high)).all()


@pytest.mark.parametrize("grid", [[0.0], [1.0], []])
def test_impossible_thresholds_are_refused(grid: list) -> None:
    with pytest.raises(ValueError, match="in \\(0, 1\\)"):
        decision_curve(*cohort(), thresholds=grid)
