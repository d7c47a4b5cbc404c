"""One test for each feature and metric: whether its groups differ at all, all of them at once.

Testing each group against the others asks as many questions as there are groups, and misses a feature whose groups all differ a
little. Here the AUC, sensitivity or specificity of a feature's k groups are compared by a Wald test of k - 1 contrasts, with a
covariance that sums over patients, who may have images in several groups. With d patients less one it is referred to F with
k - 1 and d - k + 2 degrees of freedom, which is stricter than chi-square with few patients.

The variance of a small group, estimated from its own patients, is known badly and mostly too small: five patients who are all
found have none at all, and the test would call groups different that are not. So each group has the variance that it would have
if all were equal, as in a score test: of a share, that of the share of all groups together, with the intraclass correlation of
all groups together; of an AUC, the binormal model's at the AUC of all groups together, and more where the group's own patients
vary more than the model says. How groups go together is estimated from the patients, as a correlation.
`python -m benchmarks coverage` simulates how often it finds a difference where there is none.

Sources: Wald, Trans Am Math Soc 1943;54:426. Korn, Graubard, Am Stat 1990;44:270 (adjusted Wald statistic, F).
Donner, Stat Med 1989;8:1333, and Donner, Klar, J Clin Epidemiol 1994;47:115 (chi-square of clustered shares, one intraclass
correlation for all groups). Obuchowski, Biometrics 1997;53:567 (covariance of AUCs). Holm, Scand J Stat 1979;6:65.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from pydantic import Field
from scipy.stats import f

from core.errors import NotEnoughData
from core.metrics.bootstrap import Patients
from core.metrics.checks import Labels, Scores, checked
from core.metrics.delong import AucParts, auc_parts
from core.metrics.subgroups import UNKNOWN, categories, holm
from core.metrics.summary import why_not

_NOTHING = 1e-12  # variances and standard errors below this are rounding of zero


Metric = Literal["auc", "sensitivity", "specificity"]
METRICS: tuple[Metric, ...] = get_args(Metric)


@dataclass(frozen=True)
class Omnibus:
    """Whether `groups` groups of a feature differ in a metric ("auc", "sensitivity", "specificity").

    `wald` is the chi-square statistic with groups - 1 degrees of freedom, `p` that of its F, and `adjusted` the same adjusted
    for all `tests` of the table (Holm). Groups of unknown value, or with too few patients for the metric, are not in it.
    """

    feature: str
    metric: Annotated[Metric, Field(alias="figure")]
    groups: int
    wald: float
    p: float
    adjusted: float = 1.0
    tests: int = 0


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
        for metric in METRICS:
            result = tested[metric]
            if result is not None:
                found.append(Omnibus(str(feature), metric, *result))
    adjusted = holm([each.p for each in found])
    return tuple(replace(each, adjusted=float(p), tests=len(found)) for each, p in zip(found, adjusted, strict=True))


def wald_test(estimates: Scores, covariance: NDArray[np.float64], patients: int) -> tuple[float, float] | None:
    """The statistic of all k estimates (k,) being equal, and its p by F; None where the covariance does not allow it."""
    contrasts = np.eye(estimates.size)[1:] - np.eye(estimates.size)[0]
    between, spread = contrasts @ estimates, contrasts @ covariance @ contrasts.T
    count, free = contrasts.shape[0], patients - 1
    if free - count + 1 < 1 or np.linalg.matrix_rank(spread, hermitian=True) < count:
        return None
    wald = float(between @ np.linalg.solve(spread, between))
    return wald, float(f.sf((free - count + 1) / (free * count) * wald, count, free - count + 1))


def _shares(
    right: Labels, patients: Patients, masks: Sequence[Labels], of_class: Labels, name: str
) -> tuple[int, float, float] | None:
    inside = [mask & of_class for mask in masks]
    enough = []
    for rows in inside:
        count = int(np.unique(patients.index[rows]).size)
        if not why_not(name, {"malignant": count, "benign": count}):
            enough.append(rows)
    if len(enough) < 2:
        return None
    shares = np.array([right[rows].mean() for rows in enough])
    moved = np.stack(
        [
            np.bincount(patients.index[rows], weights=(right[rows] - share) / rows.sum(), minlength=patients.count)
            for rows, share in zip(enough, shares, strict=True)
        ]
    )
    people = int(np.unique(patients.index[np.logical_or.reduce(enough)]).size)
    covariance = _correlated(
        _variances_of_shares(right, patients, enough, people), np.asarray(moved @ moved.T, dtype=np.float64)
    )
    result = wald_test(shares, covariance, people)
    return None if result is None else (len(enough), *result)


def _variances_of_shares(right: Labels, patients: Patients, groups: Sequence[Labels], people: int) -> Scores:
    """The variance (k,) of each group's share, were the shares of all k groups equal."""
    every = np.concatenate([right[rows] for rows in groups])
    share = float(every.mean())
    if share in (0.0, 1.0):  # no variance to be seen: that of a share with half a patient more on either side
        share = (share * people + 0.5) / (people + 1)
    spread = share * (1 - share)
    sizes = [np.bincount(patients.index[rows], minlength=patients.count).astype(np.float64) for rows in groups]
    sums = [np.bincount(patients.index[rows], weights=right[rows] - share, minlength=patients.count) for rows in groups]
    pairs = sum(float(size @ (size - 1)) for size in sizes)
    together = sum(float(each @ each) for each in sums) - float(((every - share) ** 2).sum())
    alike = min(1.0, max(0.0, together / (pairs * spread))) if pairs > 0 else 0.0
    return np.array([spread / size.sum() * (1 + alike * (float(size @ size) / size.sum() - 1)) for size in sizes])


def _correlated(variances: Scores, estimated: NDArray[np.float64]) -> NDArray[np.float64]:
    """The covariance (k, k) with these variances (k,) and the correlations of the estimated one; 0 where that does not vary."""
    spread = np.sqrt(np.diag(estimated))
    scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > _NOTHING)
    correlation = estimated * np.outer(scale, scale)
    np.fill_diagonal(correlation, 1.0)
    return correlation * np.sqrt(np.outer(variances, variances))


def _areas(labels: Labels, scores: Scores, patients: Patients, masks: Sequence[Labels]) -> tuple[int, float, float] | None:
    parts, taken = [], []
    for mask in masks:
        own = Patients(patients.index[mask], patients.count)
        if not why_not("auc", own.of_class(labels[mask])):
            parts.append(auc_parts(labels[mask], scores[mask], own))
            taken.append(mask)
    if len(parts) < 2:
        return None
    used = np.logical_or.reduce(taken)
    people = min(int(np.unique(patients.index[used & rows]).size) for rows in (labels, ~labels))
    estimated = np.array([[one.covariance(two) for two in parts] for one in parts])
    covariance = _correlated(np.maximum(_variances_of_areas(parts), _NOTHING**2), estimated)
    result = wald_test(np.array([part.area for part in parts]), covariance, people)
    return None if result is None else (len(parts), *result)


def _variances_of_areas(parts: Sequence[AucParts]) -> Scores:
    """The variance (k,) of each group's AUC, were the AUCs of all k groups equal."""
    areas = np.array([part.area for part in parts])
    # Weights from one area for all: by its own variance, an AUC that is near 1 by chance would count most.
    weights = np.array([1 / max(part.design.variance(float(areas.mean())), _NOTHING) for part in parts])
    common = float(weights @ areas / weights.sum())
    return np.array([part.design.variance(common) * part.inflation for part in parts])
