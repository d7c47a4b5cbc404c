"""Counts and figures at a threshold agree with scikit-learn; what is 0 / 0 is NaN, never 0."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sklearn.metrics as reference

from core.errors import NotEnoughData
from core.metrics import Confusion, at_threshold
from core.metrics.confusion import confusion


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.5, 0.6, 0.8])
@pytest.mark.parametrize("seed", range(4))
def test_figures_agree_with_scikit_learn(threshold: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    y, s = random.random(80) < 0.4, random.integers(0, 6, 80) / 5
    called = s >= threshold
    tn, fp, fn, tp = reference.confusion_matrix(y, called, labels=[False, True]).ravel().tolist()
    assert confusion(y, s, threshold) == Confusion(tp=tp, fp=fp, tn=tn, fn=fn)
    figures = at_threshold(y, s, threshold)
    assert figures["accuracy"] == pytest.approx(reference.accuracy_score(y, called))
    assert figures["precision"] == pytest.approx(reference.precision_score(y, called))
    assert figures["sensitivity"] == pytest.approx(reference.recall_score(y, called))
    assert figures["specificity"] == pytest.approx(reference.recall_score(~y, ~called))
    assert figures["f1"] == pytest.approx(reference.f1_score(y, called))


def test_a_score_equal_to_the_threshold_is_called_malignant() -> None:
    assert confusion([1, 0], [0.5, 0.5], 0.5) == Confusion(tp=1, fp=1, tn=0, fn=0)


def test_an_undefined_figure_is_nan_and_not_zero() -> None:
    nothing_called = at_threshold([1, 0], [0.1, 0.2], 0.9)
    assert math.isnan(nothing_called["precision"])
    assert nothing_called["sensitivity"] == 0
    assert math.isnan(at_threshold([0, 0], [0.1, 0.2], 0.5)["sensitivity"])
    assert math.isnan(at_threshold([1, 1], [0.1, 0.2], 0.5)["specificity"])


def test_nothing_to_count_is_refused() -> None:
    with pytest.raises(NotEnoughData, match="at least one scored image"):
        at_threshold([], [], 0.5)
