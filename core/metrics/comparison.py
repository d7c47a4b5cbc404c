"""Two runs on the same images: differences with intervals, from the same resamples of the same patients.

Scores of two models on one image go up and down together, so the difference is far better known than two intervals side by
side suggest; that two intervals overlap says nothing. AUCs are compared by DeLong's test as well (core.metrics.delong).

Source: Efron, Tibshirani, An Introduction to the Bootstrap, 1993, chapters 8 and 16.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from core.errors import NotEnoughData
from core.metrics.bootstrap import Patients
from core.metrics.checks import Scores, checked
from core.metrics.delong import AucComparison, compare_auc
from core.metrics.intervals import Interval
from core.metrics.summary import MAX_UNDEFINED, TITLES, resampled, values_of, why_not


@dataclass(frozen=True)
class Difference:
    """One figure of two runs; `difference` is second minus first, `p` two-sided."""

    first: float
    second: float
    difference: Interval
    p: float


@dataclass(frozen=True)
class RunComparison:
    """Figures by name (the keys of TITLES): a Difference from the patient bootstrap, or a note why there is none.

    `auc` is DeLong's paired test of the same AUCs, or a note. Figures at a threshold take each run's own frozen one.
    """

    figures: dict[str, Difference | str]
    auc: AucComparison | str
    rows: int
    patients: int
    samples: int
    confidence: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        figures = {
            name: {"note": figure}
            if isinstance(figure, str)
            else {"first": figure.first, "second": figure.second, "difference": figure.difference.as_dict(), "p": figure.p}
            for name, figure in self.figures.items()
        }
        delong: dict[str, Any] = {"note": self.auc} if isinstance(self.auc, str) else {"z": self.auc.z, "p": self.auc.p}
        if isinstance(self.auc, AucComparison):
            delong |= {name: getattr(self.auc, name).as_dict() for name in ("first", "second", "difference")}
        rest = {name: getattr(self, name) for name in ("rows", "patients", "samples", "confidence")}
        return {"figures": figures, "auc": delong, **rest}


def compare_runs(
    y: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    groups: ArrayLike,
    thresholds: tuple[float, float],
    *,
    samples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> RunComparison:
    """Every figure of two score columns for the same rows, with the interval of the difference.

    Args:
        y: labels (n,).
        first, second: scores (n,) of the two runs, row by row for the same images.
        groups: patient of each row (n,).
        thresholds: the frozen threshold of the first and of the second run.

    Raises:
        NotEnoughData: nothing to score, NaN scores, lengths that differ.
    """
    labels, one = checked(y, first)
    _, two = checked(y, second)
    patients = Patients.of(groups)
    of_class = {"malignant": np.unique(patients.index[labels]).size, "benign": np.unique(patients.index[~labels]).size}
    values = [values_of(labels, s, t) for s, t in zip((one, two), thresholds, strict=True)]
    drawn = [resampled(labels, s, t, patients, samples, seed) for s, t in zip((one, two), thresholds, strict=True)]
    figures: dict[str, Difference | str] = {
        name: why_not(name, of_class)
        or _difference(values[0][name], values[1][name], drawn[1][name] - drawn[0][name], confidence)
        for name in TITLES
    }
    try:
        delong: AucComparison | str = why_not("auc", of_class) or compare_auc(labels, one, two, groups, confidence=confidence)
    except NotEnoughData as error:
        delong = str(error)
    return RunComparison(figures, delong, int(labels.size), patients.count, samples, confidence)


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
    defined = drawn[np.isfinite(drawn)]
    if 1 - defined.size / drawn.size > MAX_UNDEFINED:
        return f"undefined in {1 - defined.size / drawn.size:.0%} of the resamples: too few images are called malignant"
    tail = (1 - confidence) / 2
    low, high = (float(limit) for limit in np.quantile(defined, (tail, 1 - tail)))
    # A resample without a difference speaks for neither side: at breast or patient level many are such, and counted for both
    # they would make p a 1 whatever the others say.
    sides = int(np.count_nonzero(defined < 0)), int(np.count_nonzero(defined > 0))
    smaller = min(sides) + (defined.size - sum(sides)) / 2
    # Counting the data themselves as one more resample keeps p above 0: it cannot be smaller than the resamples can tell.
    return Difference(first, second, Interval(second - first, low, high), min(1.0, 2 * (smaller + 1) / (defined.size + 1)))
