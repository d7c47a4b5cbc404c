"""Scores to a table of metrics with intervals, or a note in words where the data cannot carry a metric.

Percentiles of a bootstrap are too narrow with few patients (`benchmarks/evaluate.py` shows by how much), so the AUC takes
Obuchowski's limits and shares of images take Wilson's for what the patients are worth; average precision, F1 and Brier score,
which have no such limits, keep the percentiles. What the bootstrap says of the others stands beside them in `bootstrap`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from core.errors import NotEnoughData
from core.metrics.bootstrap import Patients, RankMetrics, percentiles, resamples
from core.metrics.checks import Labels, Scores, checked
from core.metrics.confusion import Confusion, confusion
from core.metrics.curves import average_precision, brier, roc
from core.metrics.delong import auc_interval, auc_parts, interval_of
from core.metrics.intervals import Interval, OrNote
from core.metrics.proportions import clustered_wilson

# What a person reads, in the order of the table.
TITLES = {
    "auc": "ROC AUC",
    "average_precision": "Average precision",
    "sensitivity": "Sensitivity (recall)",
    "specificity": "Specificity",
    "precision": "Precision",
    "accuracy": "Accuracy",
    "f1": "F1",
    "brier": "Brier score (raw scores)",
}
# Fewer patients of a class than this carry no metric about that class.
MIN_PATIENTS = 5
# A metric may be undefined (0 / 0) in some resamples; in more than this share its interval would mislead.
MAX_UNDEFINED = 0.05
# Which class's patients a metric is about.
_ABOUT = {"sensitivity": ("malignant",), "specificity": ("benign",)}
_BOTH = ("benign", "malignant")
_NOTES = {
    "wilson": "Wilson interval",
    "score": "score interval",
    "delong": "DeLong interval",
    "obuchowski": "DeLong interval for clustered images (Obuchowski)",
    "none": "no interval: every resample gives this value",
}
_BY_PATIENT = ("wilson", "score")


_Metric = Annotated[Interval | str, OrNote(beside=("value", "low", "high"))]


@dataclass(frozen=True)
class Summary(Mapping[str, "Interval | str"]):
    """Metrics by name (the keys of TITLES): an Interval, or a note that says why there is none.

    `counts` are at the frozen `threshold`, or where views have thresholds of their own, at these (Evaluation.thresholds).
    Patients are counted by what they have images of: one with a benign and a malignant image counts in both classes. `level`
    says what one row was: an image, a breast or a patient. Scores are P(malignant); the Brier score is the mean squared error
    of that raw score (of breasts and patients: of the mean of their images'), before any calibration.
    `bootstrap` has (low, high) of the patient bootstrap for the metrics whose own
    interval is not one.
    """

    metrics: dict[str, _Metric]
    counts: Confusion
    threshold: float
    rows: int
    patients: int
    benign_patients: int
    malignant_patients: int
    samples: int
    confidence: Annotated[float, Field(gt=0.0, lt=1.0)]
    seed: int
    level: str = "image"
    bootstrap: dict[str, tuple[float, float]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Interval | str:
        return self.metrics[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.metrics)

    def __len__(self) -> int:
        return len(self.metrics)

    def table_rows(self, *, patients_known: bool = True) -> list[tuple[str, str, str, str]]:
        """(title, value, interval, note) as text, a row a metric, in the order a person reads them.

        The AUC has one interval here, its own: that of the bootstrap stays in `bootstrap`.
        """
        rows = []
        for name, title in TITLES.items():
            metric = self.metrics[name]
            if isinstance(metric, str):
                rows.append((title, "–", "", metric))
            else:
                note = _NOTES.get(metric.method, "")
                if patients_known and metric.method in _BY_PATIENT:
                    note += ", by patients"
                limits = "" if metric.method == "none" else f"[{metric.low:.3f}, {metric.high:.3f}]"
                rows.append((title, f"{metric.value:.3f}", limits, note))
        return rows


def summarize(
    y: ArrayLike,
    s: ArrayLike,
    threshold: float,
    groups: ArrayLike,
    *,
    samples: int = 2000,
    confidence: float,
    seed: int = 0,
    level: str = "image",
    row_thresholds: ArrayLike | None = None,
) -> Summary:
    """All metrics of scores `s` for labels `y`, with intervals that take the patients in `groups`, not images, as independent.

    Where a class has fewer than MIN_PATIENTS patients, the metrics about it are notes. A metric at the
    frozen threshold keeps that threshold in every resample.

    Args:
        y: labels (n,), 1 or "malignant", 0 or "benign". One class only is allowed: the other's metrics are notes.
        s: P(malignant) (n,) in [0, 1].
        threshold: score >= threshold is called malignant.
        groups: patient of each row (n,).
        samples, confidence, seed: of the bootstrap; the same seed gives the same limits.
        row_thresholds: (n,), where rows have thresholds of their own (see core.metrics.by_view); `threshold` is then the
            common one.
    """
    labels, scores = checked(y, s)
    patients = Patients.of(groups)
    of_class = patients.of_class(labels)
    applied = threshold if row_thresholds is None else np.asarray(row_thresholds, dtype=np.float64)
    values = values_of(labels, scores, applied)
    drawn = resampled(labels, scores, applied, patients, samples, seed)
    metrics: dict[str, Interval | str] = {
        name: why_not(name, of_class) or _interval(values[name], drawn[name], confidence) for name in TITLES
    }
    exact = _analytic(metrics, labels, scores, applied, patients, confidence)
    bootstrap = {
        name: (metric.low, metric.high)
        for name, metric in metrics.items()
        if name in exact and isinstance(metric, Interval) and metric.method == "bootstrap"
    }
    metrics |= exact
    return Summary(
        metrics=metrics,
        counts=confusion(labels, scores, applied),
        threshold=float(threshold),
        rows=int(labels.size),
        patients=patients.count,
        benign_patients=of_class["benign"],
        malignant_patients=of_class["malignant"],
        samples=samples,
        confidence=confidence,
        seed=seed,
        level=level,
        bootstrap=bootstrap,
    )


def values_of(labels: Labels, scores: Scores, threshold: float | Scores) -> dict[str, float]:
    both = labels.any() and not labels.all()
    counts = confusion(labels, scores, threshold)
    return {
        "auc": roc(labels, scores).auc if both else math.nan,
        "average_precision": average_precision(labels, scores) if both else math.nan,
        "sensitivity": counts.sensitivity,
        "specificity": counts.specificity,
        "precision": counts.precision,
        "accuracy": counts.accuracy,
        "f1": counts.f1,
        "brier": brier(labels, scores),
    }


def resampled(
    labels: Labels,
    scores: Scores,
    threshold: float | Scores,
    patients: Patients,
    samples: int,
    seed: int,
    names: Sequence[str] = tuple(TITLES),
) -> dict[str, Scores]:
    """The metrics of these `names` in every resample, each (samples,), NaN where undefined."""
    called = scores >= threshold
    cells = (called & labels, called & ~labels, ~called & ~labels, ~called & labels)
    per_patient = patients.sums(np.column_stack([*cells, (scores - labels) ** 2]).astype(np.float64)).T.copy()
    rank = RankMetrics(labels, scores, patients)
    areas, precisions, sums = [], [], []
    for counts in resamples(patients.count, samples, seed, labels.size):
        if "auc" in names or "average_precision" in names:
            area, precision = rank(counts)
            areas.append(area)
            precisions.append(precision)
        # No BLAS: the work is too small for its threads, which wait for one another on a busy machine.
        sums.append(np.einsum("ij,kj->ik", counts.astype(np.float64), per_patient))
    tp, fp, tn, fn, squares = np.concatenate(sums).T
    stated: dict[str, Callable[[], Scores]] = {
        "auc": lambda: np.concatenate(areas),
        "average_precision": lambda: np.concatenate(precisions),
        "sensitivity": lambda: _ratio(tp, tp + fn),
        "specificity": lambda: _ratio(tn, tn + fp),
        "precision": lambda: _ratio(tp, tp + fp),
        "accuracy": lambda: _ratio(tp + tn, tp + fp + tn + fn),
        "f1": lambda: _ratio(2 * tp, 2 * tp + fp + fn),
        "brier": lambda: _ratio(squares, tp + fp + tn + fn),
    }
    return {name: stated[name]() for name in names}


def _ratio(part: Scores, whole: Scores) -> Scores:
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def why_not(name: str, of_class: dict[str, int]) -> str | None:
    """In words, why a metric cannot be computed; None when it can."""
    for label in _ABOUT.get(name, _BOTH):
        n = of_class[label]
        if n < MIN_PATIENTS:
            have = "no patient" if n == 0 else "only 1 patient" if n == 1 else f"only {n} patients"
            return f"{have} with {label} images: too few, at least {MIN_PATIENTS} needed"
    return None


def auc_or_note(labels: Labels, scores: ArrayLike, groups: ArrayLike, confidence: float) -> Interval | str:
    """The AUC of scores (n,) with its interval, or in words why it cannot be computed."""
    try:
        return why_not("auc", Patients.of(groups).of_class(labels)) or auc_interval(
            labels, scores, groups, confidence=confidence
        )
    except NotEnoughData as error:
        return str(error)


def defined_of(drawn: Scores) -> Scores | str:
    """The resamples in which a metric is defined; in words where too many are not."""
    defined: Scores = drawn[np.isfinite(drawn)]
    undefined = 1 - defined.size / drawn.size
    if undefined > MAX_UNDEFINED:
        return f"undefined in {undefined:.0%} of the resamples: too few images are called malignant"
    return defined


def _analytic(
    metrics: Mapping[str, Interval | str],
    labels: Labels,
    scores: Scores,
    threshold: float | Scores,
    patients: Patients,
    confidence: float,
) -> dict[str, Interval | str]:
    """The metrics that have limits without resampling, where there is a metric at all."""
    called = scores >= threshold
    every = np.ones_like(labels)
    shares = {
        "sensitivity": (called, labels),
        "specificity": (~called, ~labels),
        "precision": (labels, called),
        "accuracy": (called == labels, every),
    }
    found: dict[str, Interval | str] = {
        name: clustered_wilson(hits[among], patients.index[among], confidence=confidence)
        for name, (hits, among) in shares.items()
        if isinstance(metrics[name], Interval)
    }
    if isinstance(metrics["auc"], Interval):
        found["auc"] = interval_of(auc_parts(labels, scores, patients), labels.size, confidence)
    return found


def _interval(value: float, drawn: Scores, confidence: float) -> Interval | str:
    if math.isnan(value):
        return "undefined: no image is called malignant at this threshold"
    defined = defined_of(drawn)
    if isinstance(defined, str):
        return defined
    low, high = map(float, percentiles(defined, confidence))
    # Where every resample gives the same (an F1 of 1, one score for all images), resampling what was seen cannot tell what was
    # not; and limits of a share, such as Wilson's, are not those of an F1 or a Brier score.
    return Interval(value, low, high) if low < high else Interval(value, value, value, "none")
