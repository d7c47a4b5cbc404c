"""Two runs on the same images: for each metric one test, and the interval that belongs to it.

Scores of two models on one image go up and down together, so the difference is far better known than two intervals side by
side suggest; that two intervals overlap says nothing. AUCs are compared in pairs (core.metrics.delong), by patient; shares of
images (sensitivity, specificity, accuracy) by the exact test of the decisions that changed; Brier scores by their mean
difference, clustered by patient. Average precision, precision and F1 have no such test: they take the same resamples of the
same patients for both runs, and their p value is the level at which the percentile interval begins to hold 0. So p is below
1 - confidence where the interval leaves out 0, and only there (a bootstrap p ends at 2 / (resamples + 1)).

Source: Efron, Tibshirani, An Introduction to the Bootstrap, 1993, chapters 8, 13 and 16. Equivalence: Schuirmann,
J Pharmacokinet Biopharm 1987;15:657.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from pydantic import Field
from scipy.special import stdtr, stdtrit

from core.errors import NotEnoughData
from core.metrics.bootstrap import Patients, percentiles
from core.metrics.checks import Labels, Scores, checked
from core.metrics.delong import AucComparison, compare_auc
from core.metrics.intervals import Interval, OrNote
from core.metrics.proportions import PairedShares, paired_shares
from core.metrics.summary import TITLES, defined_of, resampled, values_of, why_not


@dataclass(frozen=True)
class Difference:
    """One metric of two runs; `difference` is second minus first, `p` two-sided, `test` what both come from, in words."""

    first: float
    second: float
    difference: Interval
    p: float
    test: str = "bootstrap over patients"


@dataclass(frozen=True)
class RunComparison:
    """Metrics by name (the keys of TITLES): a Difference, or a note why there is none. Each is tested once.

    `auc` has the two AUCs' own intervals and z, `paired` how many decisions changed: the same tests as in `metrics`, in full.
    Metrics at a threshold take each run's own frozen one.
    """

    metrics: Annotated[dict[str, Annotated[Difference | str, OrNote()]], Field(alias="figures")]
    auc: Annotated[AucComparison | str, OrNote()]
    rows: int
    patients: int
    samples: int
    confidence: float
    paired: Annotated[dict[str, PairedShares | str], Field(exclude=True)] = field(default_factory=dict)


def compare_runs(
    y: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    groups: ArrayLike,
    thresholds: tuple[float | Scores, float | Scores],
    *,
    samples: int = 2000,
    confidence: float,
    seed: int = 0,
) -> RunComparison:
    """Every metric of two score columns for the same rows, with the interval of the difference.

    Args:
        y: labels (n,).
        first, second: scores (n,) of the two runs, row by row for the same images.
        groups: patient of each row (n,).
        thresholds: the frozen threshold of the first and of the second run, each one for all or one a row (n,).
    """
    labels, one = checked(y, first)
    _, two = checked(y, second)
    patients = Patients.of(groups)
    of_class = patients.of_class(labels)
    values = [values_of(labels, s, t) for s, t in zip((one, two), thresholds, strict=True)]
    drawn = [
        resampled(labels, s, t, patients, samples, seed, names=_RESAMPLED) for s, t in zip((one, two), thresholds, strict=True)
    ]
    called = [s >= t for s, t in zip((one, two), thresholds, strict=True)]
    names = np.asarray(groups)
    paired: dict[str, PairedShares | str] = {}
    for name, rows, right in (
        ("sensitivity", labels, np.True_),
        ("specificity", ~labels, np.False_),
        ("accuracy", np.ones_like(labels), labels),
    ):
        before, after = ((decisions == right)[rows] for decisions in called)
        paired[name] = why_not(name, of_class) or paired_shares(before, after, names[rows], confidence=confidence)
    try:
        delong: AucComparison | str = why_not("auc", of_class) or compare_auc(labels, one, two, groups, confidence=confidence)
    except NotEnoughData as error:
        delong = str(error)
    stated: dict[str, Callable[[], Difference | str]] = {
        "auc": lambda: _of_auc(delong),
        "brier": lambda: _of_brier(values[0]["brier"], values[1]["brier"], labels, one, two, patients, confidence),
        **{name: partial(_of_shares, found) for name, found in paired.items()},
        **{
            name: partial(_difference, values[0][name], values[1][name], drawn[1][name] - drawn[0][name], confidence)
            for name in _RESAMPLED
        },
    }
    metrics = {name: why_not(name, of_class) or stated[name]() for name in TITLES}
    return RunComparison(metrics, delong, int(labels.size), patients.count, samples, confidence, paired)


# The metrics without a test of their own.
_RESAMPLED = ("average_precision", "precision", "f1")


def _of_auc(found: AucComparison | str) -> Difference | str:
    if isinstance(found, str):
        return found
    return Difference(found.first.value, found.second.value, found.difference, found.p, "paired test of the AUCs, by patient")


def _of_shares(found: PairedShares | str) -> Difference | str:
    if isinstance(found, str):
        return found
    assert found.p is not None  # exact: there is always one
    counts = f"{found.gained} gained, {found.lost} lost"
    return Difference(
        found.first.value, found.second.value, found.difference, found.p, f"exact test of changed decisions: {counts}"
    )


def _of_brier(
    first: float, second: float, labels: Labels, one: Scores, two: Scores, patients: Patients, confidence: float
) -> Difference:
    """The mean of the images' differences, its variance from the patients' sums, t with one degree less than patients."""
    moved = (two - labels) ** 2 - (one - labels) ** 2
    value = float(moved.mean())
    sums = np.bincount(patients.index, weights=(moved - value) / moved.size, minlength=patients.count)
    test = "t test of the images' differences, clustered by patient"
    error = math.sqrt(patients.count / max(1, patients.count - 1) * float(sums @ sums))
    if error < 1e-15:
        return Difference(first, second, Interval(value, value, value, "sandwich"), float(abs(value) < 1e-12), test)
    freedom = max(1, patients.count - 1)
    half = float(stdtrit(freedom, 0.5 + confidence / 2)) * error
    p = float(2 * stdtr(freedom, -abs(value) / error))
    return Difference(first, second, Interval(value, value - half, value + half, "sandwich"), p, test)


def equivalence(difference: Interval, margin: float) -> Literal["equivalent", "different", "not shown"]:
    """What an interval says where differences up to `margin`, above 0 and chosen beforehand, do not matter.

    "equivalent": it lies within ± margin. With a 95 % interval that is Schuirmann's two one-sided tests at 2.5 % each.
    "different": it leaves out 0 and reaches beyond the margin. "not shown": neither; a p value above 0.05 alone shows nothing.
    """
    if not margin > 0:
        raise ValueError(f"expected an equivalence margin above 0, got {margin}")
    if -margin < difference.low and difference.high < margin:
        return "equivalent"
    return "different" if difference.low > 0 or difference.high < 0 else "not shown"


def matched(first: pd.DataFrame, second: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Rows that both predictions have, as the first one's with `other` (the second one's score), and how many were dropped.

    Args:
        first, second: predictions of two runs with columns path, patient_id, label, score.

    Raises:
        NotEnoughData: no image in common, an image listed twice, or the runs disagree on its label or patient.
    """
    for name, frame in (("first", first), ("second", second)):
        if frame["path"].duplicated().any():
            twice = frame.loc[frame["path"].duplicated(), "path"].iloc[0]
            raise NotEnoughData(f"Expected every image once, got {twice} twice in the {name} run's predictions.")
    right = second[["path", "patient_id", "label", "score"]].rename(
        columns={"patient_id": "other_patient", "label": "other_label", "score": "other"}
    )
    both = first.merge(right, on="path", how="inner")
    if both.empty:
        raise NotEnoughData("The two runs have no image in common: compare runs that were evaluated on the same split.")
    differ = (both["label"] != both["other_label"]) | (both["patient_id"] != both["other_patient"])
    if differ.any():
        raise NotEnoughData(
            f"The two runs disagree on the label or the patient of {int(differ.sum())} of {len(both)} images, "
            f"for example {both.loc[differ, 'path'].iloc[0]}. Their manifests are not of the same data."
        )
    dropped = len(first) + len(second) - 2 * len(both)
    return both.drop(columns=["other_patient", "other_label"]), dropped


def _difference(first: float, second: float, drawn: Scores, confidence: float) -> Difference | str:
    if math.isnan(first) or math.isnan(second):
        return "undefined for one of the runs: it calls no image malignant at its threshold"
    defined = defined_of(drawn)
    if isinstance(defined, str):
        return defined
    low, high = map(float, percentiles(defined, confidence))
    return Difference(first, second, Interval(second - first, low, high), _p_of_limits(defined))


def _p_of_limits(drawn: Scores) -> float:
    """The smallest 1 - confidence at which the percentile interval of these differences still leaves out 0.

    At least 2 / (resamples + 1): it cannot be smaller than the resamples can tell.
    """
    ordered = np.sort(drawn)
    places = np.linspace(0.0, 1.0, ordered.size)

    def share_up_to_zero(values: Scores) -> float:
        """Up to which quantile of these rising values they are 0 or less, on the lines that np.quantile draws."""
        last = int(np.searchsorted(values, 0.0, side="right")) - 1
        if last < 0:
            return 0.0
        if last == values.size - 1:
            return 1.0
        step = -values[last] / (values[last + 1] - values[last])
        return float(places[last] + step * (places[last + 1] - places[last]))

    above, below = share_up_to_zero(ordered), share_up_to_zero(-ordered[::-1])
    return min(1.0, max(2 * min(above, below), 2 / (ordered.size + 1)))
