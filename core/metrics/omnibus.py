"""One test for each feature and metric: whether its groups differ at all, all of them at once.

Testing each group against the others asks as many questions as there are groups, and misses a feature whose groups all differ a
little. Here the AUC, sensitivity or specificity of a feature's k groups are compared by a Wald statistic of k - 1 contrasts,
whose variances are those under the null hypothesis, that all groups have one AUC or one share. Variances that each group
estimates by itself are too small in groups of few patients, and where a group did well by chance: with 5 to 10 patients such a
test finds differences that are not there in 1 of 7 comparisons at a nominal 0.05 (`python -m benchmarks coverage`).

- A share: the variance of the pooled share, inflated by the intraclass correlation of a patient's images, pooled over the
  groups, or the group's own where that is larger.
- An AUC: the binormal model's variance at the pooled AUC (core.metrics.binormal), inflated as in its interval where the
  patients of the group vary more than the model says.

Groups may have images of the same patients: the correlation of their estimates, summed over patients, enters. With d patients
(of the rarer class for an AUC) the statistic over k - 1 is referred to F with k - 1 and d - k degrees of freedom.

Sources: Wald, Trans Am Math Soc 1943;54:426. Rao, Scott, Biometrics 1992;48:577 (clustered shares). Donner, Int Stat Rev
1986;54:67 (intraclass correlation). Obuchowski, Biometrics 1997;53:567 (covariance of AUCs). Holm, Scand J Stat 1979;6:65.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import f

from core.errors import NotEnoughData
from core.metrics.bootstrap import Patients
from core.metrics.checks import Labels, Scores, checked
from core.metrics.delong import AucParts, auc_parts
from core.metrics.subgroups import UNKNOWN, categories, holm
from core.metrics.summary import why_not

_LEAST = 1e-12  # variances below this are rounding of zero


@dataclass(frozen=True)
class Omnibus:
    """Whether `groups` groups of a feature differ in a metric ("auc", "sensitivity", "specificity").

    `wald` is the chi-square statistic with groups - 1 degrees of freedom, `p` that of its F, and `adjusted` the same adjusted
    for all `tests` of the table (Holm). Groups of unknown value, or with too few patients for the metric, are not in it.
    """

    feature: str
    figure: str
    groups: int
    wald: float
    p: float
    adjusted: float = 1.0
    tests: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dict(self.__dict__)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Omnibus:
        """What `as_dict` gave, read back equal."""
        return cls(**plain)


def omnibus_tests(
    y: ArrayLike,
    s: ArrayLike,
    threshold: float | Scores,
    groups: ArrayLike,
    features: pd.DataFrame,
    *,
    lesions: Sequence[str] = (),
) -> tuple[Omnibus, ...]:
    """A test for each column of `features` and metric that two groups or more have; arguments as of `subgroups`.

    Raises:
        NotEnoughData: as `subgroups`.
    """
    labels, scores = checked(y, s)
    if len(features) != labels.size:
        raise NotEnoughData(f"Subgroups: expected {labels.size} rows of features, one an image, got {len(features)}.")
    patients, called = Patients.of(groups), scores >= threshold
    found: list[Omnibus] = []
    for feature in features.columns:
        values = categories(features[feature])
        masks = [values == value for value in sorted(set(values) - {UNKNOWN})]
        tested = {
            "auc": None if feature in lesions else _areas(labels, scores, patients, masks),
            "sensitivity": _shares(called, patients, masks, labels, "sensitivity"),
            "specificity": None if feature in lesions else _shares(~called, patients, masks, ~labels, "specificity"),
        }
        for figure, result in tested.items():
            if result is not None:
                found.append(Omnibus(str(feature), figure, *result))
    adjusted = holm([each.p for each in found])
    return tuple(replace(each, adjusted=float(p), tests=len(found)) for each, p in zip(found, adjusted, strict=True))


def wald_test(estimates: Scores, covariance: NDArray[np.float64], free: int) -> tuple[float, float] | None:
    """The statistic of all k estimates (k,) being equal, and its p by F with k - 1 and `free` degrees of freedom.

    None where the covariance (k, k) does not allow it.
    """
    contrasts = np.eye(estimates.size)[1:] - np.eye(estimates.size)[0]
    between, spread = contrasts @ estimates, contrasts @ covariance @ contrasts.T
    count = contrasts.shape[0]
    if free < 1 or np.linalg.matrix_rank(spread, hermitian=True) < count:
        return None
    wald = float(between @ np.linalg.solve(spread, between))
    return wald, float(f.sf(wald / count, count, free))


def _shares(
    right: Labels, patients: Patients, masks: Sequence[Labels], of_class: Labels, name: str
) -> tuple[int, float, float] | None:
    enough = []
    for mask in masks:
        rows = mask & of_class
        count = int(np.unique(patients.index[rows]).size)
        if not why_not(name, {"malignant": count, "benign": count}):
            enough.append(rows)
    if len(enough) < 2:
        return None
    every = np.logical_or.reduce(enough)
    pooled = float(right[every].mean())
    if pooled in (0.0, 1.0):  # all groups are the same
        return len(enough), 0.0, 1.0
    variances = pooled * (1 - pooled) * _design_effects(right, patients, enough)
    moved = [right[rows] - right[rows].mean() for rows in enough]
    by_patient = np.stack(
        [
            np.bincount(patients.index[rows], weights=each / rows.sum(), minlength=patients.count)
            for rows, each in zip(enough, moved, strict=True)
        ]
    )
    people = int(np.unique(patients.index[every]).size)
    shares = np.array([right[rows].mean() for rows in enough])
    result = wald_test(shares, _with_variances(by_patient @ by_patient.T, variances), people - len(enough))
    return None if result is None else (len(enough), *result)


def _design_effects(right: Labels, patients: Patients, groups: Sequence[Labels]) -> Scores:
    """What the variance share · (1 - share) of each group's share is multiplied by, (k,): 1 / images, inflated by clusters."""
    spread, expected, pairs, images, squares = (np.zeros(len(groups)) for _ in range(5))
    for place, rows in enumerate(groups):
        share = float(right[rows].mean())
        sizes = np.bincount(patients.index[rows], minlength=patients.count).astype(np.float64)
        residual = np.bincount(patients.index[rows], weights=right[rows] - share, minlength=patients.count)
        count = int((sizes > 0).sum())
        spread[place] = count / (count - 1) * float(residual @ residual)
        expected[place] = share * (1 - share) * sizes.sum()
        pairs[place] = share * (1 - share) * float(sizes @ (sizes - 1))
        images[place], squares[place] = sizes.sum(), float(sizes @ (sizes - 1))
    total = float(pairs.sum())
    pooled = (spread.sum() - expected.sum()) / total if total > 0 else 0.0
    own = np.divide(spread - expected, pairs, out=np.zeros(len(groups)), where=pairs > 0)
    alike = np.clip(np.maximum(pooled, own), 0.0, 1.0)
    return (images + alike * squares) / images**2


def _areas(labels: Labels, scores: Scores, patients: Patients, masks: Sequence[Labels]) -> tuple[int, float, float] | None:
    parts, taken = [], []
    for mask in masks:
        counts = {
            name: int(np.unique(patients.index[mask & rows]).size)
            for name, rows in (("malignant", labels), ("benign", ~labels))
        }
        if not why_not("auc", counts):
            parts.append(auc_parts(labels[mask], scores[mask], Patients(patients.index[mask], patients.count)))
            taken.append(mask)
    if len(parts) < 2:
        return None
    areas = np.array([part.area for part in parts])
    middle = float(areas.mean())
    weights = np.array([1 / max(part.design.variance(middle), _LEAST) for part in parts])
    pooled = float(weights @ areas / weights.sum())
    variances = np.array([part.design.variance(pooled) * _inflation(part) for part in parts])
    used = np.logical_or.reduce(taken)
    people = min(int(np.unique(patients.index[used & rows]).size) for rows in (labels, ~labels))
    covariance = np.array([[one.covariance(two) for two in parts] for one in parts])
    result = wald_test(areas, _with_variances(covariance, variances), people - len(parts))
    return None if result is None else (len(parts), *result)


def _inflation(part: AucParts) -> float:
    """How many times as much the patients of a group vary as the model says at the group's own AUC; at least 1."""
    expected = part.design.variance(part.area)
    return max(1.0, part.variance / expected) if expected > _LEAST else 1.0


def _with_variances(covariance: NDArray[np.float64], variances: Scores) -> NDArray[np.float64]:
    """The covariance (k, k) with its correlations and these variances (k,); what does not vary correlates with nothing."""
    spread = np.sqrt(np.clip(np.diag(covariance), 0.0, None))
    scale = np.divide(np.sqrt(variances), spread, out=np.zeros_like(spread), where=spread > _LEAST)
    found = covariance * np.outer(scale, scale)
    np.fill_diagonal(found, variances)
    return found
