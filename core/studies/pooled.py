"""AUC and differences of AUCs over folds, with intervals that allow for models being trained on one another's test patients.

Pairs are counted within a fold (core.metrics.delong, `strata`). Those variances take each fold's model as given and independent
of the patients that it judges. In a cross-validation it is not quite so: who is held out of one fold trains the others. In
simulations (`python -m benchmarks pooled_coverage`) that costs small studies some of their coverage. As a remedy limits are
those of Student's t with one degree of freedom less a fold: with 18 malignant patients in 5 folds a tenth wider, with 60 a
fiftieth.

Repeats with other folds do not add patients, and what the models have in common with their judges is the same in all of them.
So an interval over repeats is never narrower than those of single repeats are on average: the mean of several estimates errs
no more than one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm, t

from core.errors import NotEnoughData
from core.metrics.delong import AucComparison, auc_interval, compare_auc
from core.metrics.intervals import Interval

_FEWEST = 4  # degrees of freedom: with fewer, limits would say nothing at all


def pooled_auc(
    y: ArrayLike, s: ArrayLike, patients: ArrayLike, strata: ArrayLike, repeats: ArrayLike, folds: int, confidence: float
) -> Interval:
    """AUC within folds.

    Args:
        y, s, patients, strata, repeats: labels (1 = malignant), scores, patients, folds and repeats of each row, (n,); rows of
            further repeats are of the same patients, in further folds.
        folds: of a repeat.

    Raises:
        NotEnoughData: as core.metrics.delong.auc_interval.
    """
    labels, scores, who, held_out = map(np.asarray, (y, s, patients, strata))
    level = float(2 * norm.cdf(t.ppf(0.5 + confidence / 2, _freedom(labels, who, folds))) - 1)

    def of(rows: Any) -> Interval:
        return auc_interval(labels[rows], scores[rows], who[rows], strata=held_out[rows], confidence=level)

    found = of(slice(None))
    wide = _as_wide(found, _by_repeat(of, repeats))
    return replace(wide, low=max(0.0, wide.low), high=min(1.0, wide.high))


def pooled_difference(
    y: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    patients: ArrayLike,
    strata: ArrayLike,
    repeats: ArrayLike,
    folds: int,
    confidence: float,
) -> AucComparison:
    """AUC of `second` less that of `first` within folds, on the same rows, with interval and p. Raises: as `pooled_auc`."""
    labels, one, two, who, held_out = map(np.asarray, (y, first, second, patients, strata))
    freedom, fewest = _freedom(labels, who, folds), _fewest(labels, who)
    clustered = len(np.unique(who)) < labels.size  # then compare_auc itself takes Student's t
    own = t(max(1, fewest - 1)) if clustered else norm()
    level = float(2 * own.cdf(t.ppf(0.5 + confidence / 2, freedom)) - 1)

    def of(rows: Any) -> AucComparison:
        return compare_auc(labels[rows], one[rows], two[rows], who[rows], strata=held_out[rows], confidence=level)

    found = of(slice(None))
    narrow = found.difference
    wide = _as_wide(narrow, _by_repeat(lambda rows: of(rows).difference, repeats))
    wide = replace(wide, low=max(-1.0, wide.low), high=min(1.0, wide.high))
    ratio = (wide.high - wide.low) / (narrow.high - narrow.low) if narrow.high > narrow.low else 1.0
    return replace(found, difference=wide, p=float(2 * t.sf(own.isf(found.p / 2) / ratio, freedom)))


def _by_repeat(of: Callable[[Any], Interval], repeats: ArrayLike) -> list[Interval]:
    """The interval of each repeat alone; [] where there is one."""
    numbers = np.asarray(repeats)
    if len(np.unique(numbers)) < 2:
        return []
    found = []
    for number in np.unique(numbers):
        with suppress(NotEnoughData):  # it has only begun
            found.append(of(numbers == number))
    return found


def _as_wide(found: Interval, alone: Sequence[Interval]) -> Interval:
    """The interval, at least as wide as those of single repeats are on average."""
    if not alone:
        return found
    below = float(np.mean([each.value - each.low for each in alone]))
    above = float(np.mean([each.high - each.value for each in alone]))
    return replace(found, low=min(found.low, found.value - below), high=max(found.high, found.value + above))


def _fewest(y: ArrayLike, patients: ArrayLike) -> int:
    """Patients of the rarer class."""
    malignant, who = np.asarray(y, dtype=bool), np.asarray(patients)
    return min(len(_names(who[malignant])), len(_names(who[~malignant])))


def _names(patients: NDArray[np.generic]) -> set[object]:
    return set(patients.tolist())


def _freedom(y: ArrayLike, patients: ArrayLike, folds: int) -> int:
    return max(_FEWEST, _fewest(y, patients) - folds)
