"""Evaluation of 10,000 images: the bootstrap against a plain loop of scikit-learn, DeLong against pairs, and coverage.

The loop computes the figures that the bootstrap computes, on the images of the drawn patients; it is timed on a few resamples
and scaled. Coverage is how often a nominal 95 % interval holds the truth, by simulation with few patients.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr, ndtri
from sklearn.metrics import average_precision_score, brier_score_loss, confusion_matrix, roc_auc_score

from benchmarks.timing import best_of
from core.metrics import Interval, summarize
from core.metrics.bootstrap import Patients, RankMetrics, resamples
from core.metrics.delong import auc_interval, compare_auc
from core.metrics.proportions import clustered_wilson

IMAGES, PATIENTS, RESAMPLES, LOOP = 10_000, 2_500, 2_000, 20


def run() -> None:
    """Print seconds, ratios and a table of coverage."""
    truth, scores, patient = _cohort()
    other = np.clip(scores + np.random.default_rng(1).normal(0, 0.1, IMAGES), 0, 1)
    bootstrap(truth, scores, patient)
    delong(truth, scores, other, patient)
    for malignant, benign, area in ((10, 20, 0.75), (10, 20, 0.95), (20, 40, 0.8), (60, 120, 0.8)):
        found = coverage(malignant, benign, area, repeats=300)
        table = ", ".join(f"{name} {share:.3f}" for name, share in found.items())
        print(f"coverage of 95 % intervals, {malignant} + {benign} patients, AUC {area}: {table}")


def bootstrap(truth: np.ndarray, scores: np.ndarray, patient: np.ndarray) -> None:
    """Every figure of `summarize` in 2,000 resamples, against a loop over resamples."""
    generator = np.random.default_rng(0)
    rows = [np.flatnonzero(patient == number) for number in range(PATIENTS)]

    def loop() -> None:
        for _ in range(LOOP):
            chosen = np.concatenate([rows[number] for number in generator.integers(0, PATIENTS, PATIENTS)])
            y, s = truth[chosen], scores[chosen]
            roc_auc_score(y, s)
            average_precision_score(y, s)
            brier_score_loss(y, s)
            confusion_matrix(y, s >= 0.5)

    ours = best_of(lambda: summarize(truth, scores, 0.5, patient, samples=RESAMPLES, confidence=0.95), 3)
    theirs = best_of(loop, 2) * RESAMPLES / LOOP
    what = f"{RESAMPLES:,} resamples of {IMAGES:,} images, all figures"
    print(f"{what}: {ours:.2f} s; scikit-learn loop: {theirs:.1f} s; ratio {theirs / ours:.0f}")


def delong(truth: np.ndarray, scores: np.ndarray, other: np.ndarray, patient: np.ndarray) -> None:
    """Two AUCs compared with clustered variance, against the loop that would bootstrap the difference."""
    generator = np.random.default_rng(0)
    rows = [np.flatnonzero(patient == number) for number in range(PATIENTS)]

    def loop() -> None:
        for _ in range(LOOP):
            chosen = np.concatenate([rows[number] for number in generator.integers(0, PATIENTS, PATIENTS)])
            roc_auc_score(truth[chosen], other[chosen])
            roc_auc_score(truth[chosen], scores[chosen])

    ours = best_of(lambda: compare_auc(truth, scores, other, patient, confidence=0.95), 5)
    theirs = best_of(loop, 2) * RESAMPLES / LOOP
    print(f"two AUCs compared: {ours * 1e3:.1f} ms; scikit-learn loop: {theirs:.1f} s; ratio {theirs / ours:,.0f}")


def coverage(malignant: int, benign: int, auc: float, repeats: int, samples: int = 400) -> dict[str, float]:
    """How often 95 % intervals hold the true AUC and sensitivity, for patients with one to four images that are alike.

    In a malignant patient only some images are malignant. Cohorts with fewer than five patients of a class are not counted.
    """
    shift = 2**0.5 * float(ndtri(auc))
    truth = {"AUC": auc, "sensitivity": float(ndtr(shift / 2))}
    hits: dict[str, list[bool]] = {}
    for seed in range(repeats):
        generator = np.random.default_rng(seed)
        group = np.repeat(np.arange(malignant + benign), generator.integers(1, 5, malignant + benign))
        y = (group < malignant) & (generator.random(group.size) < 0.6)
        if np.unique(group[y]).size < 5:
            continue
        noise = 0.6**0.5 * generator.normal(size=malignant + benign)[group] + 0.4**0.5 * generator.normal(size=group.size)
        s = shift * y + noise
        called = s >= shift / 2
        patients = Patients.of(group)
        per_patient = patients.sums(np.column_stack((called & y, y)).astype(np.float64))
        areas, shares = [], []
        rank = RankMetrics(y, s, patients)
        for counts in resamples(patients.count, samples, seed, y.size):
            areas.append(rank(counts)[0])
            found, all_malignant = (counts @ per_patient).T
            shares.append(found[all_malignant > 0] / all_malignant[all_malignant > 0])
        limits = {
            "AUC, bootstrap": np.nanquantile(np.concatenate(areas), (0.025, 0.975)),
            "AUC, plain DeLong": _limits(auc_interval(y, s, scale="logit", confidence=0.95)),
            "AUC, Obuchowski": _limits(auc_interval(y, s, group, scale="logit", confidence=0.95)),
            "AUC, score": _limits(auc_interval(y, s, group, confidence=0.95)),
            "sensitivity, bootstrap": np.quantile(np.concatenate(shares), (0.025, 0.975)),
            "sensitivity, Wilson": _limits(clustered_wilson(called[y], group[y], confidence=0.95)),
        }
        for name, (low, high) in limits.items():
            hits.setdefault(name, []).append(bool(low <= truth[name.split(",")[0]] <= high))
    return {name: float(np.mean(held)) for name, held in hits.items()}


def _limits(interval: Interval) -> np.ndarray:
    return np.array([interval.low, interval.high])


def _cohort() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    patient = np.repeat(np.arange(PATIENTS), IMAGES // PATIENTS)
    truth = (generator.random(PATIENTS) < 0.3).astype(int)[patient]
    return truth, np.clip(generator.normal(0.4 + 0.2 * truth, 0.2), 0, 1), patient
