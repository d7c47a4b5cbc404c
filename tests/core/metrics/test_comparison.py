"""Two runs on the same images: the plain paired loop, the same conclusions as DeLong, words where there is too little."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as reference
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, ttest_1samp

from core.errors import NotEnoughData
from core.files.typed import to_plain
from core.metrics.comparison import Difference, _p_of_limits, compare_runs, equivalence, matched
from core.metrics.delong import compare_auc
from core.metrics.intervals import Interval
from core.metrics.proportions import paired_shares

# The level of the intervals, where a test does not set another.
compare_auc = partial(compare_auc, confidence=0.95)
compare_runs = partial(compare_runs, confidence=0.95)
paired_shares = partial(paired_shares, confidence=0.95)


def cohort(patients: int = 60, seed: int = 0, gain: float = 1.0) -> tuple[np.ndarray, ...]:
    random = np.random.default_rng(seed)
    groups = np.repeat(np.arange(patients), 3)
    y = groups % 3 == 0
    shared = random.normal(size=patients)[groups] + 0.5 * random.normal(size=y.size)
    first, second = (shared + effect * y + 0.4 * random.normal(size=y.size) for effect in (0.8, 0.8 + gain))
    return y, 1 / (1 + np.exp(-first)), 1 / (1 + np.exp(-second)), groups


@pytest.mark.slow
def test_figures_without_a_test_of_their_own_are_those_of_the_plain_paired_loop() -> None:
    y, first, second, groups = cohort(20)
    found = compare_runs(y, first, second, groups, (0.5, 0.6), samples=150, seed=3)
    drawn = np.random.default_rng(3).integers(0, 20, size=(150, 20))
    rows = [np.concatenate([np.flatnonzero(groups == patient) for patient in sample]) for sample in drawn]
    figures = {
        "average_precision": lambda y, s, t: reference.average_precision_score(y, s),
        "precision": lambda y, s, t: reference.precision_score(y, s >= t),
        "f1": lambda y, s, t: reference.f1_score(y, s >= t),
    }
    for name, figure in figures.items():
        differences = np.array(
            [figure(y[r], second[r], 0.6) - figure(y[r], first[r], 0.5) for r in rows if 0 < y[r].sum() < r.size]
        )
        result = found.metrics[name]
        assert isinstance(result, Difference) and result.test == "bootstrap over patients"
        assert result.difference.value == pytest.approx(figure(y, second, 0.6) - figure(y, first, 0.5))
        assert (result.difference.low, result.difference.high) == pytest.approx(tuple(np.quantile(differences, (0.025, 0.975))))


def test_auc_and_shares_are_tested_once_by_delong_and_the_exact_test() -> None:
    y, first, second, groups = cohort(150, seed=1, gain=1.2)
    found = compare_runs(y, first, second, groups, (0.5, 0.5), samples=100)
    whole = compare_auc(y, first, second, groups)
    assert found.auc == whole
    assert (found.metrics["auc"].difference, found.metrics["auc"].p) == (whole.difference, whole.p)
    called = first >= 0.5, second >= 0.5
    for name, rows, hits in (
        ("sensitivity", y, called),
        ("specificity", ~y, (~called[0], ~called[1])),
        ("accuracy", np.ones_like(y), (called[0] == y, called[1] == y)),
    ):
        expected = paired_shares(hits[0][rows], hits[1][rows], groups[rows])
        assert found.paired[name] == expected
        assert (found.metrics[name].difference, found.metrics[name].p) == (expected.difference, expected.p)
    assert f"{found.paired['accuracy'].gained} gained" in found.metrics["accuracy"].test


def test_with_a_row_a_patient_the_shares_have_mcnemars_exact_p() -> None:
    random = np.random.default_rng(5)
    y, first = random.random(160) < 0.4, random.random(160)
    second = np.clip(first + random.normal(0, 0.25, 160), 0, 1)
    found = compare_runs(y, first, second, np.arange(160), (0.5, 0.5), samples=100)
    one, two = (first >= 0.5) == y, (second >= 0.5) == y
    gained, lost = (~one & two).sum(), (one & ~two).sum()
    assert found.metrics["accuracy"].p == pytest.approx(binomtest(int(gained), int(gained + lost)).pvalue)


def test_brier_scores_are_compared_by_the_t_test_of_patients_means() -> None:
    """With as many images of each patient, that is what a cluster-robust variance comes to."""
    y, first, second, groups = cohort(40, seed=3)
    found = compare_runs(y, first, second, groups, (0.5, 0.5), samples=100).metrics["brier"]
    moved = ((second - y) ** 2 - (first - y) ** 2).reshape(40, 3).mean(axis=1)
    expected = ttest_1samp(moved, 0)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert (found.difference.low, found.difference.high) == pytest.approx(tuple(expected.confidence_interval()), rel=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("gain", [0.0, 0.25])
def test_every_p_agrees_with_its_interval(gain: float) -> None:
    """At breast and patient level decisions hardly differ: resamples tie, and the two must still say the same."""
    significant = 0
    for seed in range(12):
        y, first, second, groups = cohort(30, seed=seed, gain=gain)
        first, second = np.round(first, 1), np.round(second, 1)
        for figure in compare_runs(y, first, second, groups, (0.5, 0.5), samples=200).metrics.values():
            apart = figure.difference.low > 0 or figure.difference.high < 0
            assert (figure.p < 0.05) == apart, figure
            significant += apart
    assert significant if gain else significant < 12


@given(drawn=st.lists(st.integers(-3, 3), min_size=60, max_size=200), alpha=st.floats(0.04, 0.6))
def test_a_bootstrap_p_is_where_the_interval_begins_to_hold_zero(drawn: list[int], alpha: float) -> None:
    values = np.array(drawn, dtype=float)
    low, high = np.quantile(values, (alpha / 2, 1 - alpha / 2))
    p = _p_of_limits(values)
    if abs(p - alpha) > 1e-9:
        assert (p < alpha) == (low > 0 or high < 0)


@pytest.mark.parametrize(
    ("low", "high", "says"),
    [
        (-0.02, 0.03, "equivalent"),
        (0.01, 0.04, "equivalent"),
        (-0.02, 0.06, "not shown"),
        (0.01, 0.2, "different"),
        (-0.2, -0.1, "different"),
    ],
)
def test_equivalence_needs_the_whole_interval_within_the_margin(low: float, high: float, says: str) -> None:
    assert equivalence(Interval((low + high) / 2, low, high), 0.05) == says
    with pytest.raises(ValueError, match="margin above 0"):
        equivalence(Interval(0, low, high), 0)


def test_pairing_makes_the_difference_better_known_than_either_run() -> None:
    y, first, second, groups = cohort(150, seed=2, gain=0.1)
    found = compare_runs(y, first, second, groups, (0.5, 0.5), samples=300)
    width = found.metrics["auc"].difference.high - found.metrics["auc"].difference.low
    assert width < 0.7 * (found.auc.first.high - found.auc.first.low)


def test_a_run_compared_with_itself_does_not_differ() -> None:
    y, first, _, groups = cohort()
    found = compare_runs(y, first, first, groups, (0.5, 0.5), samples=100)
    for figure in found.metrics.values():
        assert (figure.difference.value, figure.p) == (0, 1) and figure.difference.low <= 0 <= figure.difference.high


def test_p_of_a_bootstrap_is_never_zero() -> None:
    y, first, _, groups = cohort(90)
    found = compare_runs(y, -first, first, groups, (0.5, 0.5), samples=100)
    assert found.metrics["average_precision"].p == pytest.approx(2 / 101)


def test_too_few_patients_are_told_in_words() -> None:
    y, first, second, groups = cohort(9)
    found = compare_runs(y, first, second, groups, (0.5, 0.5), samples=100)
    assert "only 3 patients" in found.metrics["auc"] and "only 3 patients" in found.auc
    assert isinstance(found.metrics["specificity"], Difference)
    plain = json.loads(json.dumps(to_plain(found), allow_nan=False))
    assert "only 3" in plain["auc"]["note"]


def test_json() -> None:
    y, first, second, groups = cohort()
    plain = json.loads(json.dumps(to_plain(compare_runs(y, first, second, groups, (0.5, 0.5), samples=50)), allow_nan=False))
    assert plain["patients"] == 60 and {"z", "p", "first", "second", "difference"} == set(plain["auc"])
    assert plain["figures"]["auc"]["difference"]["low"] <= plain["figures"]["auc"]["difference"]["value"]


def frame(paths: str, score: float = 0.5, label: str = "benign") -> pd.DataFrame:
    return pd.DataFrame({"path": list(paths), "patient_id": [p.upper() for p in paths], "label": label, "score": score})


def test_only_images_of_both_runs_are_matched_and_the_rest_counted() -> None:
    both, dropped = matched(frame("abcd", 0.1), frame("dcbe", 0.9))
    assert both["path"].tolist() == ["b", "c", "d"] and dropped == 2
    assert both["score"].tolist() == [0.1] * 3 and both["other"].tolist() == [0.9] * 3
    assert list(both.columns) == ["path", "patient_id", "label", "score", "other"]


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (frame("xyz"), "no image in common"),
        (frame("ab", label="malignant"), "disagree on the label"),
        (frame("aa"), "a twice in the second"),
    ],
)
def test_runs_that_cannot_be_paired_are_refused(second: pd.DataFrame, words: str) -> None:
    with pytest.raises(NotEnoughData, match=words):
        matched(frame("abc"), second)
