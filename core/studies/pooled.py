"""AUC and differences of AUCs over folds, with intervals that allow for models being trained on one another's test patients.

Pairs are counted within a fold (core.metrics.delong, `strata`). Those variances take each fold's model as given and independent
of the patients that it judges. In a cross-validation it is not quite so: who is held out of one fold trains the others. In
simulations (`python -m benchmarks pooled_coverage`) that costs small studies some of their coverage. As a remedy limits are
those of Student's t with one degree of freedom less a fold: with 18 malignant patients in 5 folds a tenth wider, with 60 a
fiftieth.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm, t

from core.metrics.delong import AucComparison, auc_interval, compare_auc
from core.metrics.intervals import Interval

_FEWEST = 4  # degrees of freedom: with fewer, limits would say nothing at all


def pooled_auc(y: ArrayLike, s: ArrayLike, patients: ArrayLike, strata: ArrayLike, folds: int, confidence: float) -> Interval:
    """AUC within folds.

    Args:
        y, s, patients, strata: labels (1 = malignant), scores, patients and fold of each row, (n,); rows of further repeats
            are of the same patients, in further strata.
        folds: of a repeat.

    Raises:
        NotEnoughData: as core.metrics.delong.auc_interval.
    """
    freedom = _freedom(y, patients, folds)
    level = float(2 * norm.cdf(t.ppf(0.5 + confidence / 2, freedom)) - 1)
    return auc_interval(y, s, patients, strata=strata, confidence=level)


def pooled_difference(
    y: ArrayLike, first: ArrayLike, second: ArrayLike, patients: ArrayLike, strata: ArrayLike, folds: int, confidence: float
) -> AucComparison:
    """AUC of `second` less that of `first` within folds, on the same rows, with interval and p. Raises: as `pooled_auc`."""
    freedom, fewest = _freedom(y, patients, folds), _fewest(y, patients)
    clustered = len(np.unique(np.asarray(patients))) < np.asarray(y).size  # then compare_auc itself takes Student's t
    own = t(max(1, fewest - 1)) if clustered else norm()
    level = float(2 * own.cdf(t.ppf(0.5 + confidence / 2, freedom)) - 1)
    found = compare_auc(y, first, second, patients, strata=strata, confidence=level)
    return replace(found, p=float(2 * t.sf(own.isf(found.p / 2), freedom)))


def _fewest(y: ArrayLike, patients: ArrayLike) -> int:
    """Patients of the rarer class."""
    malignant, who = np.asarray(y, dtype=bool), np.asarray(patients)
    return min(len(_names(who[malignant])), len(_names(who[~malignant])))


def _names(patients: NDArray[np.generic]) -> set[object]:
    return set(patients.tolist())


def _freedom(y: ArrayLike, patients: ArrayLike, folds: int) -> int:
    return max(_FEWEST, _fewest(y, patients) - folds)
