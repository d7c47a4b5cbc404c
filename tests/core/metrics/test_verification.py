"""Bounds for benign labels that nobody verified: no choice of missed cancers leads outside of them."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from core.errors import NotEnoughData
from core.metrics.verification import verification_bounds


def test_bounds_are_those_of_every_choice_of_missed_cancers() -> None:
    draw = np.random.default_rng(5)
    labels = np.array([1] * 5 + [0] * 11, dtype=bool)
    scores = np.round(draw.uniform(size=16), 1)  # with ties
    unverified = np.arange(16) % 4 != 3
    doubtful = np.flatnonzero(unverified & ~labels)
    (found,) = verification_bounds(labels, scores, unverified, 0.5, [0.3])
    assert found.missed == int(np.ceil(0.3 * doubtful.size))
    figures = []
    for rows in combinations(doubtful, found.missed):
        truth = labels.copy()
        truth[list(rows)] = True
        called = scores >= 0.5
        figures.append((roc_auc_score(truth, scores), called[truth].mean(), (~called[~truth]).mean()))
    lowest, highest = np.min(figures, axis=0), np.max(figures, axis=0)
    assert np.allclose([each[0] for each in (found.auc, found.sensitivity, found.specificity)], lowest)
    assert np.allclose([each[1] for each in (found.auc, found.sensitivity, found.specificity)], highest)


def test_verified_labels_stay_and_a_set_without_benign_ones_is_refused() -> None:
    labels, scores = np.array([1, 1, 0, 0]), np.array([0.9, 0.8, 0.2, 0.1])
    (found,) = verification_bounds(labels, scores, np.zeros(4, bool), 0.5, [0.5])
    assert found.missed == 0 and found.auc == (1.0, 1.0)
    with pytest.raises(NotEnoughData, match="benign labels"):
        verification_bounds(labels, scores, np.ones(4, bool), 0.5, [1.0])
