"""Intervals over folds: wider where patients are few, equal where they are many, and p values that agree with them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.pooled_coverage import study
from core.metrics.delong import auc_interval, compare_auc
from core.studies.pooled import pooled_auc, pooled_difference


def rows(patients: int, images: int, seed: int = 0) -> tuple[Any, ...]:
    """Labels, two scores, patients and folds of `images` a patient, a third of them malignant."""
    random = np.random.default_rng(seed)
    who = np.repeat(np.arange(patients), images)
    y = (who % 3 == 0).astype(int)
    first = y + random.normal(size=y.size)
    return y, first, 0.5 * first + 0.8 * y + random.normal(size=y.size), who, who // 3 % 5


@pytest.mark.parametrize("images", [1, 2])
@pytest.mark.parametrize("patients", [60, 3_000])
def test_limits_are_wider_by_the_folds_degrees_of_freedom_which_matters_for_few_patients(patients: int, images: int) -> None:
    y, first, second, who, folds = rows(patients, images)
    ours, plain = (
        pooled_auc(y, first, who, folds, folds * 0, 5, 0.95),
        auc_interval(y, first, who, strata=folds, confidence=0.95),
    )
    ratio = (ours.high - ours.low) / (plain.high - plain.low)
    assert ours.value == plain.value and (1.05 < ratio < 1.15 if patients == 60 else 1.0 < ratio < 1.005)
    found = pooled_difference(y, first, second, who, folds, folds * 0, 5, 0.95)
    other = compare_auc(y, first, second, who, strata=folds, confidence=0.95)
    wider = (found.difference.high - found.difference.low) / (other.difference.high - other.difference.low)
    assert found.difference.value == other.difference.value and wider > 1
    assert found.p >= other.p


@pytest.mark.parametrize("seed", range(6))
def test_the_p_value_is_the_level_at_which_the_limits_touch_zero(seed: int) -> None:
    y, first, second, who, folds = rows(60, 2, seed)
    p = pooled_difference(y, first, second, who, folds, folds * 0, 5, 0.95).p
    at = pooled_difference(y, first, second, who, folds, folds * 0, 5, 1 - p).difference
    assert min(abs(at.low), abs(at.high)) == pytest.approx(0.0, abs=2e-3)


@pytest.mark.slow
def test_the_simulation_knows_the_truth_of_models_that_are_really_trained() -> None:
    found = [study(60, 1.6, 1, seed) for seed in range(6)]
    assert 0.75 < np.mean([each.truth for each in found]) < 0.9
    assert sum(each.auc for each in found) >= 4 and all(each.low < each.high for each in found)


def test_repeats_do_not_make_an_interval_narrower_than_one_of_them() -> None:
    y, first, second, who, folds = rows(60, 1)
    again = np.random.default_rng(3)
    twice = [np.concatenate([each, each]) for each in (y, first, second, who, folds)]
    twice[1][y.size :] += again.normal(size=y.size)  # another training
    twice[2][y.size :] += again.normal(size=y.size)
    repeats = np.repeat([0, 1], y.size)
    strata = twice[4] + 5 * repeats
    both = pooled_auc(twice[0], twice[1], twice[3], strata, repeats, 5, 0.95)
    alone = [
        pooled_auc(twice[0][own], twice[1][own], twice[3][own], strata[own], repeats[own], 5, 0.95)
        for own in (repeats == 0, repeats == 1)
    ]
    assert both.high - both.low >= np.mean([each.high - each.low for each in alone]) - 1e-9
    found = pooled_difference(*twice[:4], strata, repeats, 5, 0.95)
    at = pooled_difference(*twice[:4], strata, repeats, 5, 1 - found.p).difference
    assert min(abs(at.low), abs(at.high)) < 0.02, "the p value agrees with the limits"
