"""All thresholds at once: the same counts and intervals as one threshold at a time."""

from __future__ import annotations

import math
import warnings
from functools import partial

import numpy as np
import pytest

from core.metrics.confusion import confusion
from core.metrics.proportions import clustered_wilson
from core.metrics.sweep import sweep, threshold_grid

# The level of the intervals, where a test does not set another.
clustered_wilson = partial(clustered_wilson, confidence=0.95)
sweep = partial(sweep, confidence=0.95)


def drawn(patients: int, images: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, scores and patients (n,); images of a patient resemble each other, and a third are ties."""
    random = np.random.default_rng(seed)
    groups = np.repeat(np.arange(patients), images)
    labels = np.repeat(random.random(patients) < 0.4, images)
    scores = 1 / (1 + np.exp(-(labels + np.repeat(random.normal(0, 1, patients), images) + random.normal(0, 0.5, groups.size))))
    return labels, np.round(scores, 2 if seed % 2 else 6), groups


@pytest.mark.parametrize(("patients", "images", "seed"), [(40, 4, 0), (40, 4, 1), (60, 1, 2), (3, 2, 3), (1, 5, 4)])
def test_every_threshold_gets_the_counts_and_intervals_it_has_alone(patients: int, images: int, seed: int) -> None:
    labels, scores, groups = drawn(patients, images, seed)
    frozen = float(np.median(scores)) + 1e-7
    table = sweep(labels, scores, groups, threshold_grid(scores, frozen))
    assert frozen in table.thresholds
    for index, threshold in enumerate(table.thresholds):
        called = scores >= threshold
        counts = confusion(labels, scores, threshold)
        assert (table.tp[index], table.fp[index], table.tn[index], table.fn[index]) == (
            counts.tp,
            counts.fp,
            counts.tn,
            counts.fn,
        )
        among = {"sensitivity": labels, "specificity": ~labels, "ppv": called, "npv": ~called}
        for name, rows in among.items():
            shares = getattr(table, name)
            if not rows.any():
                assert math.isnan(shares.value[index])
                assert shares.patients[index] == 0
                continue
            expected = clustered_wilson((called == labels)[rows], groups[rows])
            got = shares.value[index], shares.low[index], shares.high[index]
            assert got == pytest.approx((expected.value, expected.low, expected.high), abs=1e-12)


def test_the_grid_goes_from_everything_to_nothing_called() -> None:
    labels, scores, groups = drawn(30, 2, 0)
    table = sweep(labels, scores, groups, threshold_grid(scores))
    assert table.tp[0] + table.fp[0] == labels.size
    assert table.tp[-1] + table.fp[-1] == 0
    assert table.nearest(float(table.thresholds[7]) + 1e-9) == 7


def test_a_grid_of_many_scores_stays_small_and_every_score_of_few_is_in_it() -> None:
    random = np.random.default_rng(0)
    assert threshold_grid(random.random(20_000), 0.5).size <= 410
    few = np.round(random.random(50), 6)
    assert set(few) <= set(threshold_grid(few, 0.5))


def test_one_score_only_still_makes_a_grid() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = sweep([True, False], [0.5, 0.5], ["a", "b"], threshold_grid([0.5, 0.5], 0.5))
    assert table.thresholds[0] == 0.5
    assert table.tp.tolist()[0] == 1
    assert table.tp.tolist()[-1] == 0
