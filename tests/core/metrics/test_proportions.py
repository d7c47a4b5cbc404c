"""Shares of images that come in patients: Wilson's interval, never narrower than the patients allow."""

from __future__ import annotations

from functools import partial
from itertools import product

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from core.errors import NotEnoughData
from core.metrics import Interval, square_and_add
from core.metrics.bootstrap import Patients
from core.metrics.intervals import wilson
from core.metrics.proportions import clustered_wilson, effective_rows, paired_shares, share_difference

# The level of the intervals, where a test does not set another.
clustered_wilson = partial(clustered_wilson, confidence=0.95)
effective_rows = partial(effective_rows, confidence=0.95)
paired_shares = partial(paired_shares, confidence=0.95)
share_difference = partial(share_difference, confidence=0.95)
wilson = partial(wilson, confidence=0.95)


def test_many_patients_of_one_image_give_wilsons_interval() -> None:
    hits = np.arange(4000) < 3100
    expected = binomtest(3100, 4000).proportion_ci(method="wilson")
    found = clustered_wilson(hits, np.arange(4000))
    assert found.value == 3100 / 4000 and found.method == "wilson"
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-5)


def test_copies_of_an_image_are_worth_one() -> None:
    random = np.random.default_rng(0)
    hits = random.random(60) < 0.8
    once = clustered_wilson(hits, np.arange(60))
    copied = clustered_wilson(np.repeat(hits, 5), np.repeat(np.arange(60), 5))
    assert (copied.low, copied.high) == pytest.approx((once.low, once.high), rel=0.005)


def test_effective_rows_are_the_design_effect_of_the_ratio_estimator() -> None:
    random = np.random.default_rng(1)
    groups = np.repeat(np.arange(80), random.integers(1, 5, 80))
    hits = random.random(80)[groups] + 0.3 * random.random(groups.size) > 0.5
    share = hits.mean()
    clustered = sum(((hits[groups == g] - share).sum()) ** 2 for g in range(80)) * 80 / 79 / hits.size**2
    expected = share * (1 - share) / clustered
    worth = effective_rows(hits, Patients.of(groups))
    assert worth == pytest.approx(expected * (1.959964 / 1.990450) ** 2, rel=1e-5)  # t with 79 degrees of freedom
    assert 80 * 0.9 < worth < hits.size


def test_rows_are_never_worth_more_than_their_number() -> None:
    # Every patient has one hit and one miss: less spread than chance, which is no reason for a narrower interval.
    assert effective_rows(np.tile([True, False], 500), Patients.of(np.repeat(np.arange(500), 2))) <= 1000


@pytest.mark.parametrize("hit", [True, False])
def test_a_share_of_all_or_none_counts_every_patient_once(hit: bool) -> None:
    found, expected = clustered_wilson(np.full(30, hit), np.repeat(np.arange(10), 3)), wilson(10 * hit, 10)
    assert (found.value, found.low, found.high) == (expected.value, expected.low, expected.high)


def test_one_patient_is_one_row() -> None:
    assert clustered_wilson([True, False, True], ["a", "a", "a"]).low == wilson(2 / 3, 1).low


@pytest.mark.parametrize(("hits", "groups"), [([], []), ([True], ["a", "b"])])
def test_nothing_to_count_is_refused(hits: list, groups: list) -> None:
    with pytest.raises(NotEnoughData, match="at least one row"):
        clustered_wilson(hits, groups)


@pytest.mark.slow
def test_intervals_of_few_patients_cover_where_percentiles_do_not() -> None:
    """Ten malignant patients with one to four images each: what the summary's choice of intervals rests on."""
    from benchmarks.evaluate import coverage

    found = coverage(malignant=10, benign=20, auc=0.9, repeats=400)
    assert found["AUC, Obuchowski"] > 0.93 and found["sensitivity, Wilson"] > 0.93
    assert found["AUC, bootstrap"] < found["AUC, Obuchowski"] - 0.03
    assert found["sensitivity, bootstrap"] < found["sensitivity, Wilson"] - 0.03


def test_a_difference_has_newcombes_published_limits() -> None:
    """56 of 70 against 48 of 80 (Newcombe 1998, 17:873, method 10): 0.2, 0.0524 to 0.3339."""
    found = square_and_add(wilson(48, 80), wilson(56, 70), 0.0)
    assert [round(value, 4) for value in (found.value, found.low, found.high)] == [0.2, 0.0524, 0.3339]


def test_two_groups_of_single_rows_are_compared_nearly_as_independent_shares() -> None:
    found = share_difference(np.arange(800) < 480, np.arange(800), np.arange(700) < 560, 1000 + np.arange(700))
    expected = square_and_add(wilson(480, 800), wilson(560, 700), 0.0)
    assert (found.difference.low, found.difference.high) == pytest.approx((expected.low, expected.high), abs=5e-4)
    z = 0.2 / np.sqrt(0.6 * 0.4 / 800 + 0.8 * 0.2 / 700)
    assert found.p == pytest.approx(2 * norm.sf(z), rel=0.05)


def test_rows_of_one_patient_make_a_difference_less_sure() -> None:
    first, second = np.tile([True, True, False], 20), np.tile([True, False, False], 20)
    alone = share_difference(first, np.arange(60), second, 100 + np.arange(60))
    groups = np.argsort(np.argsort(~first, kind="stable")) // 4  # patients who are all hits, or none
    together = share_difference(first, groups, second, 100 + np.argsort(np.argsort(~second, kind="stable")) // 4)
    assert together.difference.low < alone.difference.low < alone.difference.high < together.difference.high
    assert together.p > alone.p


def test_shares_without_spread_have_limits_and_a_p_that_agrees() -> None:
    found = share_difference([True] * 10, range(10), [True] * 12, range(20, 32))
    assert found.p == 1.0 and found.difference.low < 0 == found.difference.value < found.difference.high


def test_at_a_confidence_of_nearly_0_rows_are_worth_no_more_than_their_number() -> None:
    """Student's quantile vanishes before the normal one: equal shares that differ by rounding are looked at there."""
    for confidence in (2.0**-53, 1e-15, 1e-12):
        worth = effective_rows(np.arange(33) < 18, Patients.of(np.arange(33) // 2), confidence=confidence)
        assert 1.0 <= worth <= 33.0
        assert clustered_wilson(np.arange(33) < 18, np.arange(33) // 2, confidence=confidence).low == pytest.approx(18 / 33)


def test_the_exact_paired_test_of_single_rows_is_mcnemars() -> None:
    """The approval ratings of Agresti, Categorical Data Analysis, 10.1: 794, 150, 86, 570."""
    first = np.repeat([True, True, False, False], [794, 150, 86, 570])
    second = np.repeat([True, False, True, False], [794, 150, 86, 570])
    found = paired_shares(first, second, np.arange(first.size))
    assert (found.gained, found.lost) == (86, 150)
    assert found.p == pytest.approx(binomtest(86, 236).pvalue, rel=1e-9)
    newcombe = share_difference(first, np.arange(first.size), second, np.arange(first.size)).difference
    assert (newcombe.low, newcombe.high) == pytest.approx((-0.0587, -0.0213), abs=2e-4)
    assert (found.difference.low, found.difference.high) == pytest.approx((-0.0587, -0.0213), abs=1e-3)


def test_limits_of_single_rows_are_those_of_fay_and_lumbard() -> None:
    """Stat Med 2021;40:1147: quantiles of the product of two melded Beta distributions, here drawn."""
    random = np.random.default_rng(0)
    n, gained, lost = 2000, 21, 9
    first, second = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
    second[:gained], first[gained : gained + lost] = True, True
    found = paired_shares(first, second, np.arange(n)).difference
    changed = gained + lost
    few, many = random.beta(changed, n - changed + 1, 400_000), random.beta(changed + 1, n - changed, 400_000)
    low = 2 * random.beta(gained, lost + 1, few.size) - 1
    high = 2 * random.beta(gained + 1, lost, few.size) - 1
    expected = (
        np.quantile(np.where(low > 0, low * few, low * many), 0.025),
        np.quantile(np.where(high > 0, high * many, high * few), 0.975),
    )
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-4) and found.method == "exact"


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("gained", range(3, 10))
def test_a_paired_interval_leaves_out_zero_only_where_the_exact_test_does(gained: int, size: int) -> None:
    """Of 8 rows a square-and-add interval leaves out 0 at p = 0.25; with rows of one patient likewise."""
    rows = np.arange(8 * size + gained)
    first, second = np.zeros(rows.size, dtype=bool), rows < gained
    first[-1] = True
    for groups in (rows, rows // size):
        for one, two in ((first, second), (second, first)):
            found = paired_shares(one, two, groups)
            assert (found.difference.low > 0 or found.difference.high < 0) == (found.p < 0.05)
            assert found.difference.low <= found.difference.value <= found.difference.high


def test_decisions_that_never_change_leave_the_difference_open_by_the_number_of_patients() -> None:
    hits = np.arange(40) % 3 > 0
    few, many = (paired_shares(hits, hits, np.arange(40) // each).difference for each in (4, 1))
    assert few.low < many.low < 0 < many.high < few.high and few.low == pytest.approx(-few.high)


def test_the_exact_paired_test_flips_whole_patients() -> None:
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(8), 3)
    first, second = random.random(24) < 0.4, random.random(24) < 0.8
    moved = np.bincount(groups, weights=second.astype(float) - first)
    sums = [abs(sum(sign * step for sign, step in zip(signs, moved, strict=True))) for signs in product((-1, 1), repeat=8)]
    expected = np.mean(np.array(sums) >= abs(moved.sum()) - 1e-9)
    assert paired_shares(first, second, groups).p == pytest.approx(expected)


def test_decisions_that_agree_are_not_different() -> None:
    hits = np.arange(20) % 3 > 0
    found = paired_shares(hits, hits, np.arange(20) // 2)
    assert (found.p, found.gained, found.lost, found.difference.value) == (1.0, 0, 0, 0.0)


@pytest.mark.parametrize(
    ("interval", "spec", "text"),
    [
        (Interval(-0.0001, -0.2, 0.0), "", "0.000 [-0.200, 0.000]"),
        (Interval(-0.0001, -0.2, 0.0), "+.3f", "+0.000 [-0.200, +0.000]"),
        (Interval(-0.004, -0.0006, 0.5), ".0%", "0% [0%, 50%]"),
        (Interval(float("nan"), float("-inf"), 0.5), "", "nan [-inf, 0.500]"),
    ],
)
def test_nothing_is_shown_as_minus_zero(interval: Interval, spec: str, text: str) -> None:
    assert format(interval, spec) == text


def test_the_p_of_two_shares_is_below_its_level_only_where_their_interval_leaves_out_zero() -> None:
    for seed in range(30):
        random = np.random.default_rng(seed)
        groups = np.repeat(np.arange(40), 3)
        hits = random.random(40)[groups] < 0.6
        hits = np.where(random.random(120) < 0.3, random.random(120) < 0.6, hits)
        hits[60:] |= random.random(60) < 0.4
        found = share_difference(hits[:60], groups[:60], hits[60:], groups[60:])
        assert (found.p < 0.05) == (found.difference.low > 0 or found.difference.high < 0)
        if found.p < 1:
            touching = share_difference(hits[:60], groups[:60], hits[60:], groups[60:], confidence=1 - found.p).difference
            assert min(abs(touching.low), abs(touching.high)) == pytest.approx(0, abs=1e-6)
