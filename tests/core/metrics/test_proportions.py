"""Shares of images that come in patients: Wilson's interval, never narrower than the patients allow."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from core.errors import NotEnoughData
from core.metrics import wilson
from core.metrics.bootstrap import Patients
from core.metrics.proportions import clustered_wilson, effective_rows


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
