"""Cases to metrics: means over images with intervals over patients, beside what they are compared with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from core.heatmap_audit.results import (
    ALL,
    CALLED,
    CORRECT,
    DECIMALS,
    LOCALISATION,
    PERTURBATION,
    TITLES,
    WRONG,
    Case,
    Curve,
    Metric,
    Reference,
    unit_of,
)
from core.heatmap_audit.settings import AuditSettings
from core.metrics import MIN_PATIENTS, Interval
from core.metrics.bootstrap import Patients, percentiles, resamples
from core.metrics.proportions import clustered_wilson
from core.wording import counted

Values = NDArray[np.float64]
# Means of these are shares of images: Wilson's interval, which does not shrink to nothing at 0 and 1.
_SHARES = ("hit", "hit_exact")


def metrics_of(cases: Sequence[Case], settings: AuditSettings) -> tuple[Metric, ...]:
    """Every metric of TITLES that any case has a value for; localisation for right and wrong decisions apart too."""
    metrics, unit = [], unit_of(cases)
    for key in TITLES:
        for group, belongs in _groups(key).items():
            chosen = [case for case in cases if belongs(case)]
            if group == ALL and not any(key in case.values for case in chosen):
                break
            metrics.append(_metric(key, group, [case for case in chosen if key in case.values], settings, unit))
    return tuple(metrics)


def curve_of(kind: str, order: str, scores: Values, groups: Sequence[str], settings: AuditSettings) -> Curve:
    """The mean of curves (n, points), one an image, with pointwise limits from resampled patients."""
    patients = Patients.of(groups)
    drawn = _resampled(scores, patients, settings)
    low, high = percentiles(drawn, settings.confidence)
    share = np.linspace(0, 1, scores.shape[1])
    rounded = [tuple(np.round(each, DECIMALS).tolist()) for each in (share, scores.mean(axis=0), low, high)]
    return Curve(kind, order, *rounded)


def _groups(key: str) -> dict[str, Callable[[Case], bool]]:
    if key in LOCALISATION:
        return {ALL: lambda case: True, CORRECT: lambda case: case.called, WRONG: lambda case: not case.called}
    if key in PERTURBATION:
        return {ALL: lambda case: True, CALLED: lambda case: case.called}
    return {ALL: lambda case: True}


def _metric(key: str, group: str, cases: Sequence[Case], settings: AuditSettings, unit: str) -> Metric:
    groups = [case.patient_id for case in cases]
    count = len(set(groups))
    names = dict.fromkeys(name.partition(":")[2] for case in cases for name in case.values if name.startswith(f"{key}:"))
    if count < MIN_PATIENTS:
        have = f"only {counted(count, unit)}" if count else f"no {unit}"
        which = "with such images" if unit == "patient" else "of this kind"
        return Metric(key, group, f"{have} {which}: too few, at least {MIN_PATIENTS} needed", len(cases), count)
    values = np.array([case.values[key] for case in cases])
    references = {}
    for name in names:
        beside = np.array([case.values[f"{key}:{name}"] for case in cases])
        references[name] = Reference(_mean(beside, groups, settings), _mean(values - beside, groups, settings))
    whole = key in _SHARES and bool(np.isin(values, (0.0, 1.0)).all())
    value = _share(values, groups, settings) if whole else _mean(values, groups, settings)
    return Metric(key, group, value, len(cases), count, references)


def _share(hits: Values, groups: Sequence[str], settings: AuditSettings) -> Interval:
    return _rounded(clustered_wilson(hits == 1.0, np.array(groups), confidence=settings.confidence))


def _mean(values: Values, groups: Sequence[str], settings: AuditSettings) -> Interval:
    """The mean over images, percentiles of resampled patients."""
    drawn = _resampled(values[:, None], Patients.of(groups), settings)
    low, high = percentiles(drawn, settings.confidence)
    return _rounded(Interval(float(values.mean()), float(low[0]), float(high[0])))


def _resampled(values: Values, patients: Patients, settings: AuditSettings) -> Values:
    """Means (samples, k) of image-wise values (n, k) over resampled patients."""
    sums = patients.sums(np.column_stack([values, np.ones(len(values))]))
    blocks = [
        # No BLAS: the work is too small for its threads, which wait for one another on a busy machine.
        np.einsum("ij,jk->ik", counts.astype(np.float64), sums)
        for counts in resamples(patients.count, settings.samples, settings.seed)
    ]
    totals = np.concatenate(blocks)
    return np.asarray(totals[:, :-1] / totals[:, -1:])


def _rounded(interval: Interval) -> Interval:
    value, low, high = (round(number, DECIMALS) for number in (interval.value, interval.low, interval.high))
    return Interval(value, low, high, interval.method)
