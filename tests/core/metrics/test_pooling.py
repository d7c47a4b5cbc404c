"""AUCs of several sites: DerSimonian and Laird's estimate, and a prediction that is as wide as the sites differ."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import t

from core.errors import NotEnoughData
from core.metrics.intervals import Interval
from core.metrics.pooling import pooled_auc

# The level of the intervals, where a test does not set another.
pooled_auc = partial(pooled_auc, confidence=0.95)


def area(effect: float, error: float) -> Interval:
    return Interval(*(float(expit(effect + step * 1.959964 * error)) for step in (0, -1, 1)), "score")


def test_the_estimate_is_dersimonian_and_lairds_as_it_is_written() -> None:
    effects, errors = np.array([0.4, 1.1, 0.7, 1.6]), np.array([0.2, 0.3, 0.25, 0.4])
    found = pooled_auc([area(e, s) for e, s in zip(effects, errors, strict=True)])
    w = 1 / errors**2
    q = (w * (effects - (w * effects).sum() / w.sum()) ** 2).sum()
    tau2 = max(0, (q - 3) / (w.sum() - (w**2).sum() / w.sum()))
    v = 1 / (errors**2 + tau2)
    mean = (v * effects).sum() / v.sum()
    error = np.sqrt(max(1, (v * (effects - mean) ** 2).sum() / 3) / v.sum())
    assert tau2 > 0 and found.between == pytest.approx(np.sqrt(tau2), rel=1e-5)
    assert logit(found.mean.value) == pytest.approx(mean, rel=1e-5) and found.i2 == pytest.approx((q - 3) / q, rel=1e-5)
    assert logit(found.mean.low) == pytest.approx(mean - t.ppf(0.975, 3) * error, rel=1e-5)
    assert logit(found.prediction.high) == pytest.approx(mean + t.ppf(0.975, 2) * np.sqrt(tau2 + error**2), rel=1e-5)


def test_sites_that_agree_have_no_spread_beyond_chance() -> None:
    found = pooled_auc([area(1.0, 0.3)] * 5)
    assert (found.between, found.i2) == (0.0, 0.0) and found.mean.value == pytest.approx(float(expit(1.0)))
    assert found.prediction.low < found.mean.low


def test_two_sites_say_nothing_about_others() -> None:
    with pytest.raises(NotEnoughData, match="at least three sites, got 2"):
        pooled_auc([area(1.0, 0.2)] * 2)
