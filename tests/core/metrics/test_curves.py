"""Curves and areas agree with scikit-learn, with ties and scores of every kind."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics as reference
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from core.errors import NotEnoughData
from core.metrics import auc, average_precision, partial_auc, precision_recall, roc
from core.metrics.curves import brier

# Scores as models give them: all apart, in coarse steps (many ties), nearly all equal, beyond [0, 1] (logits).
KINDS = {
    "apart": lambda random, n: random.random(n),
    "ties": lambda random, n: random.integers(0, 6, n) / 5,
    "two values": lambda random, n: random.integers(0, 2, n).astype(float),
    "constant": lambda random, n: np.full(n, 0.5),
    "logits": lambda random, n: random.normal(size=n) * 8,
    "float32 close together": lambda random, n: (0.5 + random.random(n) * 1e-6).astype(np.float32),
}


def example(kind: str, n: int = 157, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    y = random.random(n) < 0.3
    y[:2] = True, False
    return y, KINDS[kind](random, n)


@pytest.mark.parametrize("kind", KINDS)
def test_areas_agree_with_scikit_learn(kind: str) -> None:
    y, s = example(kind)
    assert auc(y, s) == pytest.approx(reference.roc_auc_score(y, s), abs=1e-12)
    assert average_precision(y, s) == pytest.approx(reference.average_precision_score(y, s), abs=1e-12)
    if s.min() >= 0 and s.max() <= 1:
        assert brier(y, s) == pytest.approx(reference.brier_score_loss(y, s))


@pytest.mark.parametrize("sensitivity", [0.8, 0.9, 0.55])
@pytest.mark.parametrize("kind", KINDS)
def test_the_partial_area_is_scikit_learns_of_the_mirrored_curve(kind: str, sensitivity: float) -> None:
    y, s = example(kind)
    expected = reference.roc_auc_score(~y, -s, max_fpr=1 - sensitivity)
    assert partial_auc(y, s, sensitivity) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), n=st.integers(2, 40))
def test_the_partial_area_agrees_for_any_small_sample(data: st.DataObject, n: int) -> None:
    y = np.array([True, False, *data.draw(st.lists(st.booleans(), min_size=n - 2, max_size=n - 2))])
    s = np.array(data.draw(st.lists(st.sampled_from([0.0, 0.1, 0.3, 0.7, 1.0]), min_size=n, max_size=n)))
    assert partial_auc(y, s, 0.8) == pytest.approx(reference.roc_auc_score(~y, -s, max_fpr=0.2), abs=1e-9)


def test_the_partial_area_from_sensitivity_0_is_the_whole_area_and_knows_its_bounds() -> None:
    y, s = example("ties")
    assert partial_auc(y, s, 0.0) == pytest.approx(auc(y, s))
    assert partial_auc([0, 1], [0.2, 0.7]) == 1.0
    with pytest.raises(ValueError, match="below 1"):
        partial_auc(y, s, 1.0)


@pytest.mark.parametrize("kind", KINDS)
def test_roc_points_are_scikit_learns(kind: str) -> None:
    y, s = example(kind)
    fpr, tpr, thresholds = reference.roc_curve(y, s, drop_intermediate=False)
    curve = roc(y, s)
    np.testing.assert_allclose(curve.fpr, fpr, atol=1e-12)
    np.testing.assert_allclose(curve.tpr, tpr, atol=1e-12)
    np.testing.assert_array_equal(curve.thresholds, thresholds)


@pytest.mark.parametrize("kind", KINDS)
def test_precision_recall_points_are_scikit_learns(kind: str) -> None:
    y, s = example(kind)
    precision, recall, thresholds = reference.precision_recall_curve(y, s)
    curve = precision_recall(y, s)
    # scikit-learn's thresholds rise and it appends the point (0, 1).
    np.testing.assert_allclose(curve.precision, precision[-2::-1], atol=1e-12)
    np.testing.assert_allclose(curve.recall, recall[-2::-1], atol=1e-12)
    np.testing.assert_array_equal(curve.thresholds, thresholds[::-1])
    assert curve.prevalence == pytest.approx(y.mean())


@pytest.mark.parametrize(
    ("threshold", "expected"), [(np.inf, (0, 0)), (0.9, (0, 0)), (0.8, (0, 0.5)), (0.5, (0.5, 0.5)), (0, (1, 1))]
)
def test_operating_point_counts_a_score_equal_to_the_threshold_as_malignant(threshold: float, expected: tuple) -> None:
    assert roc([0, 1, 0, 1], [0.5, 0.8, 0.1, 0.3]).at(threshold) == expected


def test_precision_is_not_told_above_the_highest_score() -> None:
    curve = precision_recall([0, 1], [0.2, 0.8])
    assert curve.at(0.81) is None
    assert curve.at(0.8) == (1.0, 1.0)
    assert curve.at(0.0) == (1.0, 0.5)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_auc_is_the_share_of_pairs_in_the_right_order(data: st.DataObject) -> None:
    n = data.draw(st.integers(2, 30))
    y = data.draw(arrays.arrays(bool, n))
    y[:2] = True, False
    s = data.draw(arrays.arrays(np.float64, n, elements=st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0])))
    pairs = np.sign(s[y][:, None] - s[~y][None, :])
    assert auc(y, s) == pytest.approx((pairs > 0).mean() + (pairs == 0).mean() / 2, abs=1e-12)
    assert auc(y, -s) == pytest.approx(1 - auc(y, s), abs=1e-12)


@pytest.mark.parametrize(
    ("y", "s", "words"),
    [
        ([1, 1], [0.2, 0.3], "all of them malignant"),
        ([0, 0], [0.2, 0.3], "all of them benign"),
        ([0, 1], [0.2, float("nan")], "1 of 2 that are NaN"),
        ([0, 1], [0.2, float("inf")], "infinite"),
        ([], [], "got none"),
        ([0, 1, 1], [0.1, 0.2], "one score a label"),
        ([[0, 1]], [[0.1, 0.2]], "shape"),
        ([0, 2], [0.1, 0.2], "labels 0"),
        (["benign", "unknown"], [0.1, 0.2], "unknown"),
    ],
)
def test_data_that_carry_no_curve_are_refused_in_words(y: list, s: list, words: str) -> None:
    for figure in (roc, precision_recall, auc, average_precision):
        with pytest.raises(NotEnoughData, match=words):
            figure(y, s)


def test_labels_may_be_words_numbers_or_booleans() -> None:
    s = [0.1, 0.9, 0.4]
    assert auc(["benign", "malignant", "benign"], s) == auc([0, 1, 0], s) == auc([False, True, False], s) == 1.0
