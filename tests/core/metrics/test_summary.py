"""The table of figures: right values, honest intervals, and words where there is too little to tell."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest
import sklearn.metrics as reference
from scipy.stats import binomtest

from core.errors import NotEnoughData
from core.files.typed import from_plain, to_plain
from core.metrics import MIN_PATIENTS, TITLES, Interval, Summary, at_threshold, summarize
from core.metrics.delong import auc_interval
from core.metrics.intervals import wilson
from core.metrics.proportions import clustered_wilson

# The level of the intervals, where a test does not set another.
auc_interval = partial(auc_interval, confidence=0.95)
clustered_wilson = partial(clustered_wilson, confidence=0.95)
summarize = partial(summarize, confidence=0.95)
wilson = partial(wilson, confidence=0.95)


def cohort(
    benign: int = 30, malignant: int = 20, images: int = 3, seed: int = 0, shift: float = 1.5
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    patients = benign + malignant
    groups = np.repeat(np.arange(patients), images)
    y = np.repeat(np.arange(patients) < malignant, images)
    # A patient's images resemble each other: most of the noise is the patient's.
    noise = np.repeat(random.normal(size=patients), images) + 0.3 * random.normal(size=y.size)
    return y, 1 / (1 + np.exp(-(shift * y + noise - 0.5))), groups


def test_values_are_scikit_learns_and_lie_in_their_intervals() -> None:
    y, s, groups = cohort()
    summary = summarize(y, s, 0.5, groups, samples=300)
    assert list(summary) == list(TITLES)
    assert summary["auc"].value == pytest.approx(reference.roc_auc_score(y, s))
    assert summary["average_precision"].value == pytest.approx(reference.average_precision_score(y, s))
    assert summary["brier"].value == pytest.approx(reference.brier_score_loss(y, s))
    for name, value in at_threshold(y, s, 0.5).items():
        assert summary[name].value == pytest.approx(value)
    for figure in summary.values():
        assert 0 <= figure.low <= figure.value <= figure.high <= 1
        assert figure.low < figure.high
    assert (summary.patients, summary.benign_patients, summary.malignant_patients) == (50, 30, 20)
    assert summary.counts.total == summary.rows == 150


@pytest.mark.slow
def test_limits_are_those_of_the_plain_loop() -> None:
    y, s, groups = cohort(12, 9, 2)
    summary = summarize(y, s, 0.5, groups, samples=200, seed=7)
    random = np.random.default_rng(7)
    drawn = random.integers(0, 21, size=(200, 21))
    rows = [np.concatenate([np.flatnonzero(groups == patient) for patient in sample]) for sample in drawn]
    for name, figure in {
        "auc": reference.roc_auc_score,
        "average_precision": reference.average_precision_score,
        "f1": lambda y, s: reference.f1_score(y, s >= 0.5),
        "specificity": lambda y, s: reference.recall_score(~y, s < 0.5),
        "brier": reference.brier_score_loss,
    }.items():
        values = [figure(y[r], s[r]) for r in rows if 0 < y[r].sum() < r.size]
        limits = summary.bootstrap.get(name, (summary[name].low, summary[name].high))
        assert limits == pytest.approx(tuple(np.quantile(values, (0.025, 0.975)))), name
    assert {"auc", "specificity"} <= set(summary.bootstrap) <= {"auc", "sensitivity", "specificity", "precision", "accuracy"}


def test_areas_and_shares_take_the_limits_that_hold_with_few_patients() -> None:
    y, s, groups = cohort()
    summary = summarize(y, s, 0.5, groups, samples=100)
    assert summary["auc"] == auc_interval(y, s, groups)
    assert summary["sensitivity"] == clustered_wilson((s >= 0.5)[y], groups[y])
    assert summary["specificity"] == clustered_wilson((s < 0.5)[~y], groups[~y])
    assert summary["precision"] == clustered_wilson(y[s >= 0.5], groups[s >= 0.5])
    assert summary["accuracy"] == clustered_wilson((s >= 0.5) == y, groups)
    assert {summary[name].method for name in ("average_precision", "f1", "brier")} == {"bootstrap"}


def test_the_same_seed_gives_the_same_limits_and_row_order_does_not_matter() -> None:
    y, s, groups = cohort()
    first = summarize(y, s, 0.5, groups, samples=200)
    assert summarize(y, s, 0.5, groups, samples=200) == first
    assert summarize(y, s, 0.5, groups, samples=200, seed=1).bootstrap["auc"] != first.bootstrap["auc"]
    assert summarize(y, s, 0.5, groups, samples=200, seed=1)["f1"] != first["f1"]
    order = np.random.default_rng(1).permutation(y.size)
    shuffled = summarize(y[order], s[order], 0.5, groups[order], samples=200)
    for name in TITLES:
        assert shuffled[name].low == pytest.approx(first[name].low)


def test_more_images_of_the_same_patients_do_not_narrow_the_interval() -> None:
    y, s, groups = cohort(images=1)
    rows = np.repeat(np.arange(y.size), 6)
    once = summarize(y, s, 0.5, groups, samples=500)
    copied = summarize(y[rows], s[rows], 0.5, groups[rows], samples=500)
    as_if_apart = summarize(y[rows], s[rows], 0.5, np.arange(rows.size), samples=500)
    assert copied.bootstrap["auc"] == pytest.approx(once.bootstrap["auc"])
    for name in ("auc", "sensitivity", "specificity", "average_precision", "brier"):
        width, apart = (summary[name].high - summary[name].low for summary in (copied, as_if_apart))
        assert width >= 0.999 * (once[name].high - once[name].low), name
        assert apart < 0.6 * width, name


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    truth = reference.roc_auc_score(*cohort(4000, 4000, 1, seed=999)[:2])
    hits = 0
    for seed in range(60):
        figure = summarize(*(lambda c: (c[0], c[1], 0.5, c[2]))(cohort(60, 60, 1, seed=seed)), samples=200)["auc"]
        hits += figure.low <= truth <= figure.high
    assert hits >= 51  # 57 expected of 60; below 51 has a chance of 0.5 %


@pytest.mark.parametrize("few", range(MIN_PATIENTS))
def test_too_few_malignant_patients_silence_what_is_about_them_and_nothing_else(few: int) -> None:
    y, s, groups = cohort(20, few)
    summary = summarize(y, s, 0.5, groups, samples=200)
    assert isinstance(summary["specificity"], Interval)
    for name in ("auc", "average_precision", "sensitivity", "precision", "accuracy", "f1", "brier"):
        assert isinstance(summary[name], str)
        assert "malignant" in summary[name] and str(MIN_PATIENTS) in summary[name]
    assert summary.counts.tn + summary.counts.fp == 60


def test_many_images_of_few_patients_are_few() -> None:
    y, s, groups = cohort(20, 4, images=50)
    assert "only 4 patients" in summarize(y, s, 0.5, groups, samples=100)["sensitivity"]


def test_a_patient_with_both_labels_counts_in_both_classes() -> None:
    y, s = np.tile([True, False], 6), np.tile([0.8, 0.3], 6) + np.arange(12) / 100
    summary = summarize(y, s, 0.5, np.repeat(np.arange(6), 2), samples=100)
    assert (summary.patients, summary.benign_patients, summary.malignant_patients) == (6, 6, 6)


def test_a_perfect_figure_has_an_interval_all_the_same() -> None:
    y, s, groups = cohort(shift=50)
    summary = summarize(y, s, 0.9, groups, samples=200)
    assert summary["auc"].value == summary["auc"].high == 1
    assert summary["auc"].method == "score" and 0.8 < summary["auc"].low < 0.95
    assert summary["sensitivity"].low == pytest.approx(wilson(20, 20).low)  # 20 patients, not 60 images
    assert summary["specificity"].low == pytest.approx(wilson(30, 30).low)


def test_precision_without_anything_called_malignant_is_a_note() -> None:
    y, s, groups = cohort()
    summary = summarize(y, s, 1.5, groups, samples=100)
    assert "no image is called malignant" in summary["precision"]
    assert summary["sensitivity"].value == 0 and summary["sensitivity"].high > 0


def test_precision_that_rests_on_one_patient_is_a_note() -> None:
    y, s, groups = cohort()
    s = np.where(groups == 0, 0.99, s * 0.5)
    assert "of the resamples" in summarize(y, s, 0.98, groups, samples=300)["precision"]


def test_nan_scores_are_refused() -> None:
    y, s, groups = cohort()
    s[3] = np.nan
    with pytest.raises(NotEnoughData, match="1 of 150"):
        summarize(y, s, 0.5, groups)


@pytest.mark.parametrize("malignant", [20, 3])
def test_json_and_back(malignant: int) -> None:
    y, s, groups = cohort(20, malignant)
    summary = summarize(y, s, 0.5, groups, samples=100, level="breast")
    plain = json.loads(json.dumps(to_plain(summary), allow_nan=False))
    assert from_plain(Summary, plain) == summary
    assert set(plain["metrics"]["auc"]) >= {"value", "low", "high"}
    for title, value, interval, note in summary.table_rows():
        assert title in TITLES.values()
        assert (value == "–" and note and not interval) or (float(value) >= 0 and interval)


@pytest.mark.parametrize(("hits", "total"), [(0, 5), (1, 7), (9, 10), (20, 20), (263, 1000)])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_wilson_agrees_with_scipy(hits: int, total: int, confidence: float) -> None:
    expected = binomtest(hits, total).proportion_ci(confidence, method="wilson")
    interval = wilson(hits, total, confidence=confidence)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize(("hits", "total", "confidence"), [(1, 0, 0.95), (-1, 5, 0.95), (6, 5, 0.95), (1, 5, 1.0)])
def test_wilson_refuses_impossible_counts(hits: int, total: int, confidence: float) -> None:
    with pytest.raises(ValueError, match="expected"):
        wilson(hits, total, confidence=confidence)


def test_an_interval_reads_as_value_and_limits() -> None:
    assert str(Interval(0.78412, 0.741, 0.8236)) == "0.784 [0.741, 0.824]"
    assert f"{Interval(0.78412, 0.741, 0.8236):.2f}" == "0.78 [0.74, 0.82]"


def test_the_table_has_one_interval_of_the_auc_and_names_patients_only_where_they_are_known() -> None:
    y, s, groups = cohort()
    summary = summarize(y, s, 0.5, groups, samples=100)
    assert "bootstrap" not in summary.table_rows()[0][3] and summary.table_rows()[0][3].endswith(", by patients")
    notes = [note for _, _, _, note in summary.table_rows(patients_known=False)]
    assert "score interval" in notes and "patients" not in " ".join(notes)


def test_an_f1_or_a_brier_score_that_no_resample_moves_has_no_limits_of_a_share() -> None:
    y, groups = np.arange(40) % 2 == 0, np.arange(40)
    constant = summarize(y, np.full(40, 0.5), 0.4, groups, samples=100)
    brier = constant["brier"]
    assert (brier.value, brier.low, brier.high, brier.method) == (0.25, 0.25, 0.25, "none")
    perfect = summarize(y, np.where(y, 0.9, 0.1), 0.5, groups, samples=100)
    assert perfect["f1"].method == "none" and perfect["sensitivity"].method == "wilson"
    row = next(row for row in perfect.table_rows() if row[0] == TITLES["f1"])
    assert row == ("F1", "1.000", "", "no interval: every resample gives this value")
