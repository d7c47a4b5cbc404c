"""How often the 95 % intervals of a study hold the truth: cross-validations of models that are really trained, on simulated
patients.

A patient has 1 to 4 images with 12 normal features, alike within the patient (intraclass correlation 0.5); the classes differ
by their means. A regularised logistic regression is trained over folds of the patients. Its true AUC on the population is known
from its weights, so the truth of a study is the mean of its folds' models, each weighted with the pairs that it was judged on:
what docs/studies.md says that the interval is about. Beside it stands how often the interval holds the AUC that such a training
gives on average, which it does not promise. The difference is to a model that sees half of the features.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from core.studies.pooled import pooled_auc, pooled_difference

PATIENTS, FOLDS, REPEATS = (60, 200, 600), 5, (1, 3)
SEPARATIONS = (0.8, 1.6)  # distance of the class means, in standard deviations
MALIGNANT = 0.3
FEATURES, MOST_IMAGES, ALIKE = 12, 4, 0.5
STUDIES = 400

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Outcome:
    """Of one study: the interval holds the AUC of its models (`auc`), that of an average training (`average`), the difference
    of its models (`difference`)?"""

    truth: float
    low: float
    high: float
    auc: bool
    difference: bool


def run() -> None:
    """Print a line for each size, separation and number of repeats."""
    print(f"{STUDIES} studies a line, {FOLDS} folds; coverage of nominal 95 % intervals, in %")
    for patients in PATIENTS:
        for separation in SEPARATIONS:
            for repeats in REPEATS:
                found = [study(patients, separation, repeats, seed) for seed in range(STUDIES)]
                mean = float(np.mean([each.truth for each in found]))
                average = np.mean([each.low <= mean <= each.high for each in found])
                auc, difference = (np.mean([getattr(each, name) for each in found]) for name in ("auc", "difference"))
                print(
                    f"{patients} patients, mean AUC {mean:.3f}, {repeats} repeats: AUC of the models {100 * auc:.1f}, "
                    f"difference {100 * difference:.1f}; AUC of an average training {100 * average:.1f}"
                )
                sys.stdout.flush()


def study(patients: int, separation: float, repeats: int, seed: int) -> Outcome:
    """Cross-validate two models on one simulated data set."""
    random = np.random.default_rng([seed, patients, int(100 * separation), repeats])
    direction = np.ones(FEATURES) * separation / FEATURES**0.5
    ill = random.permutation(np.arange(patients) < round(MALIGNANT * patients))
    groups = np.repeat(np.arange(patients), random.integers(1, MOST_IMAGES + 1, patients))
    y = ill[groups]
    own = random.normal(size=(patients, FEATURES))[groups]
    images = y[:, None] * direction + ALIKE**0.5 * own + (1 - ALIKE) ** 0.5 * random.normal(size=(groups.size, FEATURES))
    parts: list[tuple[Floats, ...]] = []
    truths: list[tuple[float, float, float]] = []
    for repeat in range(repeats):
        folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed + repeat).split(images, y, groups)
        for fold, (train, held_out) in enumerate(folds):
            scores, areas = [], []
            for seen in (FEATURES, FEATURES // 2):
                model = LogisticRegression(C=0.1).fit(images[train, :seen], y[train])
                scores.append(model.decision_function(images[held_out, :seen]))
                areas.append(_true_area(model.coef_[0], direction[:seen]))
            pairs = float(y[held_out].sum() * (~y[held_out]).sum())
            truths.append((pairs, areas[0], areas[1]))
            stratum = np.full(held_out.size, repeat * FOLDS + fold)
            parts.append((held_out.astype(float), scores[0], scores[1], stratum.astype(float)))
    rows, first, second, strata = (np.concatenate(each) for each in zip(*parts, strict=True))
    chosen = rows.astype(int)
    weights, firsts, seconds = (np.array(each) for each in zip(*truths, strict=True))
    truth, other = (float(np.average(each, weights=weights)) for each in (firsts, seconds))
    interval = pooled_auc(y[chosen], first, groups[chosen], strata, strata // FOLDS, FOLDS, 0.95)
    compared = pooled_difference(y[chosen], second, first, groups[chosen], strata, strata // FOLDS, FOLDS, 0.95).difference
    return Outcome(
        truth,
        interval.low,
        interval.high,
        bool(interval.low <= truth <= interval.high),
        bool(compared.low <= truth - other <= compared.high),
    )


def _true_area(weights: Sequence[float] | Floats, direction: Floats) -> float:
    """Of a linear score on normal features of unit variance, independent within an image."""
    weights = np.asarray(weights)
    spread = float(np.sqrt(weights @ weights))
    return float(norm.cdf(weights @ direction / (2**0.5 * spread))) if spread else 0.5
