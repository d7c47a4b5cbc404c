"""Intervals over patients: our vectorised bootstrap of all figures against a plain loop of scikit-learn's AUC alone."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks.timing import best_of
from core.metrics import summarize

IMAGES, PATIENTS, RESAMPLES, LOOP = 10_000, 2_500, 2_000, 20


def run() -> None:
    """Print seconds and the ratio; the loop is timed on a few resamples and scaled."""
    rng = np.random.default_rng(0)
    patient = np.repeat(np.arange(PATIENTS), IMAGES // PATIENTS)
    truth = (rng.random(PATIENTS) < 0.3).astype(int)[patient]
    scores = np.clip(rng.normal(0.4 + 0.2 * truth, 0.2), 0, 1)
    rows = [np.flatnonzero(patient == number) for number in range(PATIENTS)]

    def loop() -> None:
        for _ in range(LOOP):
            chosen = np.concatenate([rows[number] for number in rng.integers(0, PATIENTS, PATIENTS)])
            roc_auc_score(truth[chosen], scores[chosen])

    ours = best_of(lambda: summarize(truth, scores, 0.5, patient, samples=RESAMPLES), 3)
    theirs = best_of(loop, 1) * RESAMPLES / LOOP
    print(f"ours, all figures: {ours:.2f} s; scikit-learn loop, AUC alone: {theirs:.1f} s; ratio {theirs / ours:.0f}")
