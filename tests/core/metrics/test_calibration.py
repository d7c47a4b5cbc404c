"""Calibration agrees with scikit-learn, keeps its promise on data it has not seen, and survives JSON."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.calibration import calibration_curve
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss

from core.errors import NotEnoughData
from core.files.typed import from_plain, to_plain
from core.metrics import auc
from core.metrics.calibration import (
    Calibration,
    CalibrationSummary,
    Reliability,
    calibration_summary,
    fit_calibration,
    reliability,
)
from core.metrics.frozen import Frozen

# The level of the intervals, where a test does not set another.
calibration_summary = partial(calibration_summary, confidence=0.95)
reliability = partial(reliability, confidence=0.95)

METHODS = ("temperature", "logistic", "isotonic")


def cohort(
    patients: int = 400, images: int = 3, seed: int = 0, slope: float = 1.0, shift: float = 0.0
) -> tuple[np.ndarray, ...]:
    """Labels, scores that are off by `slope` and `shift` on the logit scale, patients, and the true probabilities."""
    random = np.random.default_rng(seed)
    groups = np.repeat(np.arange(patients), images)
    z = 1.5 * random.normal(size=patients)[groups] + random.normal(size=groups.size) - 0.5
    y = random.random(groups.size) < expit(z)
    return y, expit(z * slope + shift), groups, expit(z)


@pytest.mark.parametrize("slope", [0.4, 1.0, 3.0])
def test_temperature_undoes_scores_that_are_too_sure_or_too_timid(slope: float) -> None:
    y, s, _, truth = cohort(4000, slope=slope)
    found = fit_calibration(y, s, "temperature")
    assert found.temperature == pytest.approx(slope, rel=0.08)
    assert np.abs(found.apply(s) - truth).mean() < 0.01
    assert auc(y, found.apply(s)) == pytest.approx(auc(y, s))


def test_temperature_is_where_the_log_loss_is_least() -> None:
    y, s, _, _ = cohort(slope=2.5)
    found = fit_calibration(y, s, "temperature")
    losses = {
        t: log_loss(y, expit(logit(s) / t)) for t in (0.99 * found.temperature, found.temperature, 1.01 * found.temperature)
    }
    assert min(losses, key=losses.__getitem__) == found.temperature


def test_logistic_is_scikit_learns_and_undoes_a_shift_that_temperature_cannot() -> None:
    y, s, _, truth = cohort(2000, slope=1.8, shift=1.2)
    found = fit_calibration(y, s, "logistic")
    expected = LogisticRegression(C=np.inf, tol=1e-10).fit(logit(s)[:, None], y)
    assert (found.slope, found.intercept) == pytest.approx((expected.coef_[0, 0], expected.intercept_[0]), abs=1e-4)
    assert np.abs(found.apply(s) - truth).mean() < 0.02
    assert np.abs(fit_calibration(y, s, "temperature").apply(s) - truth).mean() > 0.05


def test_isotonic_is_scikit_learns() -> None:
    y, s, _, _ = cohort(300)
    found = fit_calibration(y[:500], s[:500], "isotonic")
    expected = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(s[:500], y[:500])
    new = np.concatenate((s[500:], [0.0, 1.0]))
    assert found.apply(new) == pytest.approx(expected.predict(new))
    assert (np.diff(found.apply(np.linspace(0, 1, 300))) >= 0).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_calibration_fitted_on_validation_improves_a_test_set(method: str) -> None:
    y, s, groups, _ = cohort(3000, slope=2.5, shift=0.0)
    validation = groups < 1500
    found = fit_calibration(y[validation], s[validation], method)
    before, after = (reliability(y[~validation], p).ece for p in (s[~validation], found.apply(s[~validation])))
    assert after < before / 3


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_calibration_survives_json_and_keeps_order_and_range(data: st.DataObject) -> None:
    n = data.draw(st.integers(4, 40))
    y = np.arange(n) % 3 == 0
    s = np.sort(np.array(data.draw(st.lists(st.floats(0, 1), min_size=n, max_size=n))))
    for method in METHODS:
        try:
            found = fit_calibration(y, s, method)
        except NotEnoughData:
            assert method != "isotonic"
            continue
        again = from_plain(Calibration, json.loads(json.dumps(to_plain(found), allow_nan=False)))
        assert again == found
        calibrated = again.apply(s)
        assert (np.diff(calibrated) >= 0).all() and calibrated.min() >= 0 and calibrated.max() <= 1


def test_a_model_without_calibration_is_left_as_it_is() -> None:
    assert Frozen().image_calibration == Calibration()
    assert Calibration().apply([0.2, 0.7]).tolist() == [0.2, 0.7]
    assert fit_calibration([0, 1], [0.2, 0.7], "none").apply([0.3]).tolist() == [0.3]


@pytest.mark.parametrize(
    "plain",
    [
        {},
        {"method": "magic"},
        {"method": "temperature", "slope": -1.0},
        {"method": "temperature", "slope": float("nan")},
        {"method": "temperature", "slope": "x"},
        {"method": "isotonic", "x": [0.1, 0.2], "y": [0.5, 0.4]},
        {"method": "isotonic", "x": [0.2, 0.1], "y": [0.4, 0.5]},
        {"method": "isotonic", "x": [0.1], "y": [0.4, 0.5]},
        {"method": "isotonic", "x": [], "y": []},
        {"method": "isotonic", "x": 3, "y": []},
        ["temperature"],
    ],
)
def test_a_damaged_calibration_is_refused(plain: object) -> None:
    with pytest.raises(ValueError, match="calibration"):
        Frozen.model_validate_json(json.dumps({"calibration": plain}))


@pytest.mark.parametrize("method", ["temperature", "logistic"])
def test_scores_that_point_the_wrong_way_are_not_turned_round(method: str) -> None:
    y, s, _, _ = cohort()
    with pytest.raises(NotEnoughData, match="rise with malignancy"):
        fit_calibration(y, 1 - s, method)


@pytest.mark.parametrize("method", METHODS)
def test_separated_classes_give_a_finite_calibration(method: str) -> None:
    found = fit_calibration([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9], method)
    assert np.isfinite(list(found.apply([0.0, 0.15, 0.5, 0.85, 1.0]))).all()
    json.dumps(to_plain(found), allow_nan=False)


@pytest.mark.parametrize("digits", [12, 1])
def test_reliability_is_scikit_learns(digits: int) -> None:
    y, s, groups, _ = cohort(slope=2.0)
    s = np.round(s, digits)
    found = reliability(y, s, groups)
    observed, score = calibration_curve(y, s, n_bins=10, strategy="quantile")
    assert (found.observed, found.score) == (pytest.approx(observed), pytest.approx(score))
    assert found.count.sum() == y.size and found.edges.size == 11
    assert ((found.low <= found.observed) & (found.observed <= found.high)).all()
    assert found.ece == pytest.approx(np.average(np.abs(observed - score), weights=found.count))


def test_reliability_limits_know_that_images_come_in_patients() -> None:
    y, s, groups, _ = cohort(60)
    rows = np.repeat(np.arange(y.size), 4)
    clustered, apart = reliability(y[rows], s[rows], groups[rows]), reliability(y[rows], s[rows])
    assert (clustered.high - clustered.low).mean() > 1.5 * (apart.high - apart.low).mean()


@pytest.mark.parametrize(("slope", "shift"), [(1.0, 0.0), (2.0, 0.0), (0.5, -0.7)])
def test_slope_and_intercept_tell_how_scores_are_off(slope: float, shift: float) -> None:
    y, s, groups, _ = cohort(1500, slope=slope, shift=shift, seed=3)
    found = calibration_summary(y, s, groups, samples=100)
    expected = LogisticRegression(C=np.inf, tol=1e-10).fit(logit(s)[:, None], y).coef_[0, 0]
    assert found.slope.value == pytest.approx(expected, abs=1e-4)
    assert found.slope.low <= 1 / slope <= found.slope.high
    assert (found.intercept.low <= 0 <= found.intercept.high) == (slope == 1.0)
    # At the intercept, the mean score is the observed share.
    assert expit(logit(s) + found.intercept.value).mean() == pytest.approx(y.mean())


def test_limits_of_the_slope_agree_with_the_bootstrap_over_patients() -> None:
    y, s, groups, _ = cohort(200, slope=1.5, seed=4)
    found = calibration_summary(y, s, groups, samples=50).slope
    random = np.random.default_rng(0)
    slopes = []
    for _ in range(150):
        rows = np.concatenate([np.arange(3 * g, 3 * g + 3) for g in random.integers(0, 200, 200)])
        slopes.append(fit_calibration(y[rows], s[rows], "logistic").slope)
    assert (found.high - found.low) / (2 * 1.97) == pytest.approx(np.std(slopes), rel=0.15)


def test_brier_and_ece_and_their_limits_are_those_of_the_plain_loop() -> None:
    y, s, groups, _ = cohort(30, slope=4.0, shift=3.0)
    found = calibration_summary(y, s, groups, samples=80, seed=2)
    index = np.searchsorted(np.percentile(s, np.linspace(0, 100, 11))[1:-1], s)

    def ece(rows: np.ndarray) -> float:
        inside = [rows[index[rows] == b] for b in range(10)]
        return sum(abs(y[r].mean() - s[r].mean()) * r.size for r in inside if r.size) / rows.size

    assert found.brier.value == pytest.approx(brier_score_loss(y, s))
    assert found.ece.value == pytest.approx(ece(np.arange(y.size))) == pytest.approx(reliability(y, s).ece)
    drawn = np.random.default_rng(2).integers(0, 30, size=(80, 30))
    rows = [np.concatenate([np.flatnonzero(groups == g) for g in sample]) for sample in drawn]
    briers = np.quantile([brier_score_loss(y[r], s[r]) for r in rows], (0.025, 0.975))
    assert (found.brier.low, found.brier.high) == pytest.approx(tuple(briers))
    ratios = np.quantile([y[r].sum() / s[r].sum() for r in rows], (0.025, 0.975))
    scaled = np.quantile([1 - brier_score_loss(y[r], s[r]) / (y[r].mean() * (1 - y[r].mean())) for r in rows], (0.025, 0.975))
    for figure, limits in ((found.observed_expected, ratios), (found.scaled_brier, scaled)):
        assert (figure.low, figure.high) == pytest.approx(tuple(limits))
    assert found.observed_expected.value == pytest.approx(y.sum() / s.sum())
    assert found.reference == pytest.approx(brier_score_loss(y, np.full(y.size, y.mean())))
    assert found.scaled_brier.value == pytest.approx(1 - found.brier.value / found.reference)
    assert found.worse_than_prevalence == (found.scaled_brier.value <= 0)
    gaps = [np.array([(y[r] - s[r])[index[r] == b].sum() for b in range(10)]) for r in (np.arange(y.size), *rows)]
    assert found.chance == pytest.approx(
        np.mean([np.abs(g - gaps[0]).sum() / r.size for g, r in zip(gaps[1:], rows, strict=True)])
    )


def test_calibrated_scores_may_have_no_calibration_error_at_all() -> None:
    found = []
    for seed in range(20):
        y, s, groups, _ = cohort(80, seed=seed)
        found.append(calibration_summary(y, s, groups, samples=200))
    assert sum(not summary.beyond_chance for summary in found) >= 18
    # An error that looks large is what chance gives with so few patients, and the summary says so.
    values = np.array([(summary.ece.value, summary.chance) for summary in found])
    assert values[:, 0].mean() > 0.05
    assert values[:, 1].mean() == pytest.approx(values[:, 0].mean(), rel=0.15)


def test_an_error_of_calibration_has_no_interval_that_would_not_hold_its_level() -> None:
    y, s, groups, _ = cohort(120, slope=3.0)
    found = calibration_summary(y, s, groups, samples=200)
    assert found.beyond_chance and found.ece.method == "none" and str(found.ece) == f"{found.ece.value:.3f}"


def test_steps_at_zero_and_one_have_no_slope_of_their_own() -> None:
    """What an isotonic calibration's slope would be depends on where its infinite log odds are cut off."""
    y, s, groups, _ = cohort(100, seed=5)
    steps = fit_calibration(y[:150], s[:150], "isotonic").apply(s)
    assert (steps == 0).any()
    for figure in (
        calibration_summary(y, steps, groups, samples=50).slope,
        calibration_summary(y, steps, groups, samples=50).intercept,
    ):
        assert "not reported" in figure
    inner = calibration_summary(y, np.clip(steps, 0.01, 0.99), groups, samples=50)
    assert not isinstance(inner.slope, str)


def test_separated_classes_have_no_slope() -> None:
    y = np.arange(40) < 20
    found = calibration_summary(y, np.where(y, 0.9, 0.2), np.arange(40), samples=50)
    assert "separate" in found.slope
    assert "all the same" in calibration_summary(y, np.full(40, 0.5), np.arange(40), samples=50).slope


def test_scores_that_are_no_probabilities_are_refused() -> None:
    with pytest.raises(NotEnoughData, match="in \\[0, 1\\]"):
        reliability([0, 1], [0.2, 3.0])
    with pytest.raises(NotEnoughData, match="all of them benign"):
        calibration_summary([0, 0], [0.2, 0.3], [1, 2])


def test_summary_and_diagram_are_read_back_equal() -> None:
    random = np.random.default_rng(0)
    s = random.random(200)
    y, groups = random.random(200) < s, np.arange(200) // 4
    summary, diagram = calibration_summary(y, s, groups, samples=100), reliability(y, s, groups)
    assert from_plain(CalibrationSummary, json.loads(json.dumps(to_plain(summary)))) == summary
    again = from_plain(Reliability, json.loads(json.dumps(to_plain(diagram))))
    assert to_plain(again) == to_plain(diagram) and again.count.dtype == diagram.count.dtype


def test_a_brier_score_that_no_resample_moves_has_no_limits() -> None:
    """One score of 0.5 for all: its Brier score is 0.25 whoever is drawn, which says nothing about how far it may be off."""
    found = calibration_summary(np.arange(40) % 2, np.full(40, 0.5), np.arange(40), samples=50, confidence=0.95)
    assert found.brier.value == 0.25 and found.brier.method == "none" and str(found.brier) == "0.250"
