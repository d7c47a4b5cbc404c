"""The vectorised bootstrap over patients gives what the plain loop over resamples gives."""

from __future__ import annotations

import tracemalloc
from functools import partial

import numpy as np
import pytest
import sklearn.metrics as reference

from core.metrics import bootstrap as module
from core.metrics import roc, roc_band
from core.metrics.bootstrap import Patients, RankMetrics, resamples

# The level of the intervals, where a test does not set another.
roc_band = partial(roc_band, confidence=0.95)


def cohort(
    patients: int = 40, images: int = 3, seed: int = 0, *, ties: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    groups = np.repeat([f"p{i}" for i in range(patients)], images)
    y = np.repeat(random.random(patients) < 0.4, images)
    y[:images], y[-images:] = True, False
    s = 1 / (1 + np.exp(-(y + random.normal(size=y.size))))
    return y, np.round(s, 1) if ties else s, groups


@pytest.mark.parametrize("ties", [False, True])
def test_every_resample_has_the_figures_of_the_images_repeated(ties: bool) -> None:
    y, s, groups = cohort(ties=ties)
    patients = Patients.of(groups)
    for counts in resamples(patients.count, 60, seed=1):
        areas, precisions = RankMetrics(y, s, patients)(counts)
        for row, area, precision in zip(counts, areas, precisions, strict=True):
            rows = np.repeat(np.arange(y.size), row[patients.index])
            assert area == pytest.approx(reference.roc_auc_score(y[rows], s[rows]), abs=1e-12)
            assert precision == pytest.approx(reference.average_precision_score(y[rows], s[rows]), abs=1e-12)


def test_whole_patients_are_drawn_and_as_many_as_there_are() -> None:
    drawn = np.concatenate(list(resamples(30, 500, seed=0)))
    assert drawn.shape == (500, 30)
    assert (drawn.sum(axis=1) == 30).all()
    assert drawn.mean(axis=0) == pytest.approx(np.ones(30), abs=0.2)
    assert drawn.var() == pytest.approx(1 - 1 / 30, abs=0.05)  # multinomial, not a permutation


def test_resamples_depend_on_the_seed_and_not_on_the_size_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = np.concatenate(list(resamples(17, 50, seed=4)))
    assert not np.array_equal(at_once, np.concatenate(list(resamples(17, 50, seed=5))))
    monkeypatch.setattr(module, "_BLOCK", 40)
    blocks = list(resamples(17, 50, seed=4))
    assert len(blocks) == 25
    np.testing.assert_array_equal(np.concatenate(blocks), at_once)


def test_a_resample_without_a_class_is_nan() -> None:
    figures = RankMetrics(np.array([True, False]), np.array([0.9, 0.1]), Patients.of(["a", "b"]))
    areas, precisions = figures(np.array([[2, 0], [0, 2], [1, 1]], dtype=np.int32))
    assert np.isnan(areas).tolist() == np.isnan(precisions).tolist() == [True, True, False]


def test_memory_does_not_grow_with_the_number_of_resamples() -> None:
    y, s, groups = cohort(patients=300, images=4)
    patients = Patients.of(groups)
    figures = RankMetrics(y, s, patients)

    def peak(samples: int) -> int:
        tracemalloc.start()
        for counts in resamples(patients.count, samples, 0, y.size):
            figures(counts)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    assert peak(4000) < 1.5 * peak(1000)


@pytest.mark.parametrize("ties", [False, True])
def test_roc_band_holds_the_curve_and_widens_with_confidence(ties: bool) -> None:
    y, s, groups = cohort(patients=60, ties=ties)
    band = roc_band(y, s, groups, samples=400)
    wider = roc_band(y, s, groups, samples=400, confidence=0.99)
    assert band.fpr[0] == 0 and band.fpr[-1] == 1 and band.low[-1] == band.high[-1] == 1
    assert (np.diff(band.low) >= 0).all() and (np.diff(band.high) >= 0).all()
    assert (wider.low <= band.low).all() and (wider.high >= band.high).all()
    curve = roc(y, s)
    steps = np.array([curve.tpr[curve.fpr <= rate + 1e-12].max() for rate in band.fpr])
    assert ((band.low <= steps) & (steps <= band.high)).mean() > 0.95


def test_roc_band_is_the_plain_loops() -> None:
    y, s, groups = cohort(patients=12, images=2, seed=8)
    patients = Patients.of(groups)
    rates = []
    for counts in resamples(patients.count, 50, 3):
        for row in counts:
            rows = np.repeat(np.arange(y.size), row[patients.index])
            if 0 < y[rows].sum() < rows.size:
                curve = roc(y[rows], s[rows])
                rates.append([curve.tpr[curve.fpr <= rate + 1e-9].max() for rate in np.linspace(0, 1, 11)])
    band = roc_band(y, s, groups, samples=50, seed=3, points=11)
    np.testing.assert_allclose(band.low, np.quantile(rates, 0.025, axis=0))
    np.testing.assert_allclose(band.high, np.quantile(rates, 0.975, axis=0))
