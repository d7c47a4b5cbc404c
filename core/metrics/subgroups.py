"""The metrics within groups (age bands, density, scanner, view, side, ...) and whether a group differs from the rest.

Rules, so that nobody reads noise:
- a metric needs MIN_PATIENTS patients of each class it is about, within the group; else it is a note, and no number is shown;
- AUC, sensitivity and specificity of a group are each tested against the rest, where both have the metric; patients may have
  images in both, which the tests know. A fair AUC is not enough: at one threshold for all, errors may fall on one group;
- the rest are the images whose value is another, known one: images of unknown value are in no comparison;
- kinds of lesions (`lesions`) are compared by sensitivity, among malignant images: benign ones have other lesions, or none.
  Where the kind is not known there is neither an AUC nor a specificity;
- p values are adjusted for all tests of the table together (Holm), and each row says how many they are. Two groups that make
  up a feature are one test, not two.

Sources: Obuchowski, Biometrics 1997;53:567 (clustered AUC). Holm, Scand J Stat 1979;6:65.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from core.errors import NotEnoughData
from core.metrics.bootstrap import Patients
from core.metrics.checks import Labels, Scores, checked
from core.metrics.delong import auc_parts, difference_of, interval_of
from core.metrics.intervals import Estimate, Interval
from core.metrics.proportions import clustered_wilson, share_difference
from core.metrics.summary import why_not

UNKNOWN = "unknown"
_NOT_TESTED = "not tested"
_NO_LESION = "images whose kind of lesion is not known: only their sensitivity is shown"
# The p value of each test, and where its adjusted one goes.
_ADJUSTED = {"p": "adjusted", "sensitivity_p": "sensitivity_adjusted", "specificity_p": "specificity_adjusted"}
STRATA = 5  # fewer different numbers than that, or as many, are categories


@dataclass(frozen=True)
class Subgroup:
    """One value of one feature. Each metric is an Interval, or a note that says why there is none.

    `difference` is the group's AUC (or sensitivity, as `compared` says) minus that of the `rest_images`, the images whose value
    is another, known one; `p` its two-sided p value, `adjusted` the same adjusted for all `tests` of the table (None where
    there was no test). `sensitivity_difference` and `specificity_difference` are the same of the shares at the frozen
    threshold, with p values of their own.
    """

    feature: str
    value: str
    images: int
    patients: int
    benign_images: int
    malignant_images: int
    benign_patients: int
    malignant_patients: int
    auc: Estimate
    sensitivity: Estimate
    specificity: Estimate
    difference: Estimate
    p: float | None = None
    adjusted: float | None = None
    compared: Literal["auc", "sensitivity"] = "auc"
    rest_images: int = 0
    tests: int = 0
    sensitivity_difference: Estimate = _NOT_TESTED
    sensitivity_p: float | None = None
    sensitivity_adjusted: float | None = None
    specificity_difference: Estimate = _NOT_TESTED
    specificity_p: float | None = None
    specificity_adjusted: float | None = None


def subgroups(
    y: ArrayLike,
    s: ArrayLike,
    threshold: float | Scores,
    groups: ArrayLike,
    features: pd.DataFrame,
    *,
    lesions: Sequence[str] = (),
    confidence: float,
) -> tuple[Subgroup, ...]:
    """A row for each value of each column of `features`, in the order of the columns and sorted within.

    Args:
        y, s, groups: labels, scores and patients of the images, each (n,).
        threshold: the frozen threshold, the same for all groups; or one an image (n,), where views have their own.
        features: n rows of categories (see `age_bands`); empty and missing values become "unknown", shown but not tested.
        lesions: the columns of `features` that say what kind of lesion an image shows.
    """
    labels, scores = checked(y, s)
    if len(features) != labels.size:
        raise NotEnoughData(f"Subgroups: expected {labels.size} rows of features, one an image, got {len(features)}.")
    patients = Patients.of(groups)
    rows: list[Subgroup] = []
    tests: list[tuple[str, tuple[int, ...]]] = []
    called = scores >= threshold
    for feature in features.columns:
        values = categories(features[feature])
        by_lesion = feature in lesions
        known = [value for value in sorted(set(values), key=_sorting) if value != UNKNOWN]
        start = len(rows)
        for value in [*known, *([UNKNOWN] if UNKNOWN in values else [])]:
            inside = values == value
            row = _row(str(feature), value, labels, scores, called, patients, inside, confidence)
            rest = ~inside & (values != UNKNOWN)
            if value != UNKNOWN and by_lesion:
                row = _found_as_often(row, called, patients, inside & labels, rest & labels, confidence)
            elif by_lesion:  # nobody says that these images show a lesion of the kind: neither an AUC nor a specificity of it
                row = replace(row, compared="sensitivity", auc=_NO_LESION, specificity=_NO_LESION)
            elif value != UNKNOWN:
                row = _tested(row, labels, scores, patients, inside, rest, confidence)
                for name, of_class, right in (("sensitivity", labels, called), ("specificity", ~labels, ~called)):
                    row = _shares_tested(row, name, right, patients, inside & of_class, rest & of_class, confidence)
            rows.append(row if value == UNKNOWN else replace(row, rest_images=int(rest.sum())))
        if by_lesion:
            known = [value for value in known if labels[values == value].any()]
        for name in _ADJUSTED:
            tested = [index for index in range(start, len(rows)) if getattr(rows[index], name) is not None]
            # With two values, the first against the second is the second against the first.
            tests += [(name, tuple(tested))] if len(known) == 2 and len(tested) == 2 else [(name, (index,)) for index in tested]
    p = [getattr(rows[indices[0]], name) for name, indices in tests]
    for (name, indices), adjusted in zip(tests, holm(p), strict=True):
        for index in indices:
            change: dict[str, Any] = {_ADJUSTED[name]: float(adjusted)}
            rows[index] = replace(rows[index], **change)
    return tuple(replace(row, tests=len(tests)) for row in rows)


def age_bands(ages: ArrayLike, edges: Sequence[int] = (40, 50, 60, 70)) -> pd.Series:
    """Ages in years as bands ("under 40", "40-49", ..., "70 and over"); NaN is "unknown"."""
    years = pd.to_numeric(pd.Series(np.asarray(ages)), errors="coerce")
    names = [f"under {edges[0]}", *(f"{a}-{b - 1}" for a, b in itertools.pairwise(edges)), f"{edges[-1]} and over"]
    index = np.searchsorted(np.asarray(edges), years.to_numpy(), side="right")
    return pd.Series([UNKNOWN if missing else names[i] for i, missing in zip(index, years.isna(), strict=True)])


def number_bands(column: pd.Series) -> pd.Series:
    """Numbers (n,) as thirds ("up to 45", "over 45 to 60", "over 60"), with equal ones together; "unknown" where empty.

    A column of words, or of five different numbers or fewer, comes back as the text it is.
    """
    numbers, text = numbers_of(column), categories(column)
    known = np.array([]) if numbers is None else numbers[np.isfinite(numbers)]
    if numbers is None or np.unique(known).size <= STRATA:
        return pd.Series(text, index=column.index)
    # An edge is a number that stands there, so that it can be read.
    edges = np.unique(np.quantile(known, (1 / 3, 2 / 3), method="inverted_cdf"))
    edges = edges[edges < known.max()]
    if not edges.size:
        return pd.Series(text, index=column.index)
    words = [f"{edge:g}" for edge in edges]
    names = [f"up to {words[0]}", *(f"over {a} to {b}" for a, b in itertools.pairwise(words)), f"over {words[-1]}"]
    index = np.searchsorted(edges, numbers, side="left")
    bands = [names[place] if there else UNKNOWN for place, there in zip(index, np.isfinite(numbers), strict=True)]
    return pd.Series(bands, index=column.index)


def categories(column: pd.Series) -> np.ndarray:
    """A column as text (n,); empty and missing values are UNKNOWN."""
    text = column.astype("object").where(column.notna(), "").astype("str").str.strip().to_numpy(dtype=object)
    return np.where((text == "") | (text == "nan"), UNKNOWN, text)


def known_values(column: pd.Series) -> np.ndarray:
    """The values of `categories` that are not UNKNOWN."""
    values = categories(column)
    return values[values != UNKNOWN]


def holm(p: Sequence[float]) -> Scores:
    """Holm's adjusted p values (family-wise error), in the order given."""
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(values[order] * np.arange(values.size, 0, -1)))
    return adjusted


def _row(
    feature: str,
    value: str,
    labels: Labels,
    scores: Scores,
    every_call: Labels,
    patients: Patients,
    inside: Labels,
    confidence: float,
) -> Subgroup:
    y, s, index = labels[inside], scores[inside], patients.index[inside]
    called = every_call[inside]
    of_class = Patients(index, patients.count).of_class(y)
    metrics: dict[str, Callable[[], Interval]] = {
        "auc": lambda: interval_of(auc_parts(y, s, Patients.of(index)), y.size, confidence),
        "sensitivity": lambda: clustered_wilson(called[y], index[y], confidence=confidence),
        "specificity": lambda: clustered_wilson(~called[~y], index[~y], confidence=confidence),
    }
    stated = {name: why_not(name, of_class) or metric() for name, metric in metrics.items()}
    return Subgroup(
        feature=feature,
        value=value,
        images=int(y.size),
        patients=int(np.unique(index).size),
        benign_images=int((~y).sum()),
        malignant_images=int(y.sum()),
        benign_patients=of_class["benign"],
        malignant_patients=of_class["malignant"],
        auc=stated["auc"],
        sensitivity=stated["sensitivity"],
        specificity=stated["specificity"],
        difference=_NOT_TESTED,
    )


def _tested(
    row: Subgroup, labels: Labels, scores: Scores, patients: Patients, inside: Labels, rest: Labels, confidence: float
) -> Subgroup:
    """The row with its AUC's difference from the rest's."""
    why = why_not("auc", Patients(patients.index[rest], patients.count).of_class(labels[rest]))
    if isinstance(row.auc, str) or why:
        return replace(row, difference="too few patients in the group" if isinstance(row.auc, str) else f"of the rest: {why}")
    parts = [auc_parts(labels[part], scores[part], Patients(patients.index[part], patients.count)) for part in (inside, rest)]
    try:
        # One image stands in one group only, but its patient may stand in both: always the clustered variance.
        difference, _, p = difference_of(parts[0], parts[1], -1, confidence)
    except NotEnoughData as error:
        return replace(row, difference=str(error))
    return replace(row, difference=difference, p=p)


def _shares_tested(
    row: Subgroup, name: str, right: Labels, patients: Patients, inside: Labels, rest: Labels, confidence: float
) -> Subgroup:
    """The row with the difference of its sensitivity or specificity from the rest's; masks are of images of that class."""
    count = int(np.unique(patients.index[rest]).size)
    why = why_not(name, {"malignant": count, "benign": count})
    note = "too few patients in the group" if isinstance(getattr(row, name), str) else f"of the rest: {why}" if why else ""
    if note:
        return replace(row, sensitivity_difference=note) if name == "sensitivity" else replace(row, specificity_difference=note)
    found = share_difference(right[rest], patients.index[rest], right[inside], patients.index[inside], confidence=confidence)
    changes: dict[str, Any] = {f"{name}_difference": found.difference, f"{name}_p": found.p}
    return replace(row, **changes)


def _found_as_often(
    row: Subgroup, called: Labels, patients: Patients, inside: Labels, rest: Labels, confidence: float
) -> Subgroup:
    """The row with its sensitivity's difference from that for the other kinds of lesions; masks are of malignant images."""
    row = replace(row, compared="sensitivity")
    if isinstance(row.sensitivity, str):
        return replace(row, difference="too few patients in the group")
    of_rest = {"malignant": np.unique(patients.index[rest]).size, "benign": 0}
    why = why_not("sensitivity", of_rest)
    if why:
        return replace(row, difference=f"of the rest: {why}")
    found = share_difference(called[rest], patients.index[rest], called[inside], patients.index[inside], confidence=confidence)
    return replace(row, difference=found.difference, p=found.p)


def _sorting(value: str) -> tuple[int, float, str]:
    """ "under 40" and "up to 40" first, then numbers by size ("40-49" and "over 40" by their first), then words."""
    if value.startswith(("under ", "up to ")):
        return (0, 0.0, value)
    head = value.removeprefix("over ").split(" ")[0]
    head = head if head.startswith("-") else head.split("-")[0]
    try:
        return (1, float(head), value)
    except ValueError:
        return (2, 0.0, value)


def numbers_of(column: pd.Series) -> Scores | None:
    """The column as float64, NaN where empty; None when it holds words or truth values."""
    if column.dtype == bool:
        return None
    text = categories(column)
    numbers = pd.to_numeric(pd.Series(np.where(text == UNKNOWN, "", text)), errors="coerce").to_numpy(dtype=np.float64)
    known = text != UNKNOWN
    return numbers if known.any() and np.isfinite(numbers[known]).all() else None
