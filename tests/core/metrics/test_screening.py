"""What an operating point means at another prevalence, with intervals that do not vanish."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from core.errors import NotEnoughData
from core.metrics.proportions import clustered_wilson
from core.metrics.screening import operating_point
from core.metrics.summary import summarize

# The level of the intervals, where a test does not set another.
clustered_wilson = partial(clustered_wilson, confidence=0.95)
operating_point = partial(operating_point, confidence=0.95)
summarize = partial(summarize, confidence=0.95)


def cohort(sensitivity: float, specificity: float, patients: int = 200) -> tuple[np.ndarray, ...]:
    y = np.arange(2 * patients) < patients
    called = np.where(
        y, np.arange(2 * patients) < sensitivity * patients, np.arange(2 * patients) - patients >= specificity * patients
    )
    return y, called.astype(float), np.arange(2 * patients)


def test_altman_and_blands_formulas_for_a_thousand_people() -> None:
    """Sensitivity 0.9, specificity 0.95, 5 ill in 1,000: 4.5 found, 0.5 missed, 49.75 called for nothing."""
    found = operating_point(*cohort(0.9, 0.95)[:2], 0.5, cohort(0.9, 0.95)[2]).at(0.005)
    assert found.found.value == pytest.approx(4.5)
    assert found.missed.value == pytest.approx(0.5)
    assert found.false_alarms.value == pytest.approx(49.75)
    assert found.recalled.value == pytest.approx(54.25)
    assert found.ppv.value == pytest.approx(4.5 / 54.25)
    assert found.npv.value == pytest.approx(945.25 / 945.75)


def test_limits_follow_those_of_sensitivity_and_specificity() -> None:
    y, s, groups = cohort(0.8, 0.9)
    point = operating_point(y, s, 0.5, groups)
    found = point.at(0.01)
    assert point.sensitivity == clustered_wilson(s[y] >= 0.5, groups[y])
    assert found.found.low == pytest.approx(10 * point.sensitivity.low, rel=0.03)
    assert found.found.high == pytest.approx(10 * point.sensitivity.high, rel=0.03)
    assert found.missed.low == pytest.approx(10 - found.found.high)
    assert found.false_alarms.high == pytest.approx(990 * (1 - point.specificity.low), rel=0.05)
    for name in ("ppv", "npv", "recalled", "found", "missed", "false_alarms"):
        interval = getattr(found, name)
        assert interval.low < interval.value < interval.high


def test_that_nothing_was_missed_does_not_mean_that_nothing_will_be() -> None:
    y, s, groups = cohort(1.0, 0.9, patients=20)
    found = operating_point(y, s, 0.5, groups).at(0.01)
    assert found.missed.value == 0 and found.missed.high > 0.8
    assert found.npv.value == 1 and found.npv.low < 0.9995


def test_images_of_the_same_patients_do_not_narrow_the_limits() -> None:
    random = np.random.default_rng(0)
    y, s = np.arange(100) < 50, random.random(100)
    rows = np.repeat(np.arange(100), 6)
    once = operating_point(y, s, 0.5, np.arange(100)).at(0.01).ppv
    copied = operating_point(y[rows], s[rows], 0.5, rows).at(0.01).ppv
    assert copied.high - copied.low == pytest.approx(once.high - once.low, rel=0.1)


def test_ppv_rises_and_npv_falls_with_prevalence_and_the_seed_decides() -> None:
    y, s, groups = cohort(0.8, 0.9)
    point = operating_point(y, s, 0.5, groups)
    values = [point.at(p) for p in (0.001, 0.005, 0.05, 0.5)]
    assert np.all(np.diff([v.ppv.value for v in values]) > 0) and np.all(np.diff([v.npv.value for v in values]) < 0)
    assert operating_point(y, s, 0.5, groups).at(0.01) == point.at(0.01)


@pytest.mark.parametrize("prevalence", [0.0, 1.0, -0.1])
def test_impossible_prevalences_are_refused(prevalence: float) -> None:
    with pytest.raises(ValueError, match="prevalence"):
        operating_point(*cohort(0.8, 0.9)[:2], 0.5, cohort(0.8, 0.9)[2]).at(prevalence)


def test_one_class_has_no_operating_point() -> None:
    with pytest.raises(NotEnoughData, match="all of them benign"):
        operating_point([0, 0], [0.1, 0.2], 0.5, [1, 2])


def test_the_ppv_of_the_set_itself_has_one_interval_wherever_it_is_told() -> None:
    """Holding the set's own prevalence fixed would give another, narrower one: as an interval of the PPV it does not hold."""
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(120), 3)
    y = groups < 50
    s = 1 / (1 + np.exp(-(1.2 * y - 0.6 + random.normal(size=120)[groups] + random.normal(size=360))))
    point = operating_point(y, s, 0.5, groups)
    assert point.own.ppv == summarize(y, s, 0.5, groups, samples=100)["precision"]
    fixed = point.at(point.own.prevalence)
    assert fixed.given and not point.own.given and fixed.ppv.value == pytest.approx(point.own.ppv.value)
    assert fixed.ppv.high - fixed.ppv.low < 0.8 * (point.own.ppv.high - point.own.ppv.low)
    assert point.own.found.value + point.own.missed.value == pytest.approx(1000 * y.mean())
    assert point.own.recalled.value == pytest.approx(point.own.found.value + point.own.false_alarms.value)
