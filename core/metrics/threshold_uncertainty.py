"""How much a threshold chosen on validation owes to its patients, and what that does to the test metrics.

Intervals at a frozen threshold say how the metrics of this threshold vary between test sets. Another validation set would
have given another threshold: here both sets' patients are resampled together, the rule chooses again in every resample of
validation, and the resampled test set is judged at that choice. The frozen threshold itself stays as it is.

Percentiles are too narrow with few patients, and shrink to nothing where every resample finds all or none. A threshold that
varies cannot make a share better known, so the limits of sensitivity and specificity are never inside those of Wilson at the
frozen threshold.

A threshold for each view (or another column) is chosen likewise, and stands beside the one for all: at one threshold, views
whose scores lie apart share the errors unevenly.

Source: Efron, Tibshirani, An Introduction to the Bootstrap, 1993, chapter 8 (two samples).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from core.errors import NotEnoughData
from core.metrics.bootstrap import Patients, percentiles, resamples
from core.metrics.by_view import ViewThresholds, choose_by_group
from core.metrics.checks import Labels, Scores
from core.metrics.intervals import Estimate, Interval
from core.metrics.levels import Level, at_level
from core.metrics.proportions import ShareDifference, clustered_wilson, share_difference
from core.metrics.subgroups import UNKNOWN, categories
from core.metrics.summary import why_not
from core.metrics.thresholds import ThresholdRule


@dataclass(frozen=True)
class ThresholdUncertainty:
    """The threshold with the limits of its own choice, and test metrics with those of choice and test set together.

    The values are those at the frozen threshold; each of the three has limits, or all are a note. Where views have
    thresholds of their own, `views` has these with their limits, `threshold` is the common one, and the metrics are those of
    every image at its view's.
    """

    level: Level
    threshold: Estimate
    sensitivity: Estimate
    specificity: Estimate
    views: dict[str, Interval] = field(default_factory=dict)


def threshold_uncertainty(
    validation: pd.DataFrame,
    test: pd.DataFrame,
    rule: ThresholdRule,
    threshold: float,
    *,
    level: Level = "image",
    samples: int = 1000,
    confidence: float,
    seed: int = 0,
    views: ViewThresholds | None = None,
) -> ThresholdUncertainty:
    """Resample the patients of both sets; a patient's images stay together.

    Args:
        validation, test: columns patient_id, laterality, label, score; with `views` also view.
        threshold: the frozen one, at which the values are given.
        views: the frozen thresholds by view, of images; each is then chosen again on the view's images, as the common one.
    """

    def note(why: str) -> ThresholdUncertainty:
        return ThresholdUncertainty(level, why, why, why)

    try:
        chosen_on, judged = at_level(validation, level), at_level(test, level)
    except NotEnoughData as error:
        return note(str(error))
    for name, table in (("validation", chosen_on), ("test", judged)):
        malignant = (table["label"] == "malignant").to_numpy()
        why = why_not("auc", Patients.of(table["patient_id"]).of_class(malignant))
        if why:
            return note(f"{name}: {why}")
    own = views.own if views is not None and level == "image" else {}
    parts = {view: (categories(chosen_on["view"]) == view, categories(judged["view"]) == view) for view in own}
    drawn = np.array(_resampled(chosen_on, judged, rule, parts, samples, seed))
    low, high = percentiles(drawn, confidence)
    truth, asked = (judged["label"] == "malignant").to_numpy(), judged["score"].to_numpy(dtype=np.float64)
    called = asked >= (views.of_rows(judged) if views is not None and own else threshold)
    values = (float(called[truth].mean()), float((~called[~truth]).mean()), threshold, *own.values())
    limits = [
        Interval(value, min(float(a), value), max(float(b), value)) for value, a, b in zip(values, low, high, strict=True)
    ]
    women = judged["patient_id"].to_numpy()
    for place, (rows, right) in enumerate(((truth, called), (~truth, ~called))):
        fixed = clustered_wilson(right[rows], women[rows], confidence=confidence)
        limits[place] = replace(limits[place], low=min(limits[place].low, fixed.low), high=max(limits[place].high, fixed.high))
    return ThresholdUncertainty(level, limits[2], limits[0], limits[1], dict(zip(own, limits[3:], strict=True)))


def _resampled(
    chosen_on: pd.DataFrame,
    judged: pd.DataFrame,
    rule: ThresholdRule,
    parts: Mapping[str, tuple[Labels, Labels]],
    samples: int,
    seed: int,
) -> list[tuple[float, ...]]:
    """Sensitivity, specificity, common threshold and those of `parts` in each resample; some may lack a class and are left out.

    `parts`: for each view with a threshold of its own, which rows of validation and of test are its.
    """
    y, scores = (chosen_on["label"] == "malignant").to_numpy(), chosen_on["score"].to_numpy(dtype=np.float64)
    truth, asked = (judged["label"] == "malignant").to_numpy(), judged["score"].to_numpy(dtype=np.float64)
    learned, tested = Patients.of(chosen_on["patient_id"]), Patients.of(judged["patient_id"])
    # Another stream of draws for each set: they are independent.
    of_validation = (row for block in resamples(learned.count, samples, seed, y.size) for row in block)
    of_test = (row for block in resamples(tested.count, samples, seed + 1, truth.size) for row in block)

    def choose(weight: np.ndarray, rows: Labels | slice) -> float:
        return rule.choose(np.repeat(y[rows], weight[rows]), np.repeat(scores[rows], weight[rows]))

    drawn = []
    for first, second in zip(of_validation, of_test, strict=True):
        weight = first[learned.index]
        try:
            common = choose(weight, slice(None))
            choices = [choose(weight, mine) for mine, _ in parts.values()]
        except NotEnoughData:  # the resample lacks a class
            continue
        applied: Scores = np.full(truth.size, common)
        for choice, (_, theirs) in zip(choices, parts.values(), strict=True):
            applied[theirs] = choice
        weight = second[tested.index]
        called = asked >= applied
        malignant, benign = float(weight[truth].sum()), float(weight[~truth].sum())
        if malignant and benign:
            metrics = weight[truth & called].sum() / malignant, weight[~truth & ~called].sum() / benign
            drawn.append((*metrics, common, *choices))
    return drawn


@dataclass(frozen=True)
class GroupThreshold:
    """One value of a column: its own threshold, chosen on validation, and its test images' metrics at both thresholds.

    `sensitivity` and `specificity` are at the threshold for all, `own_sensitivity` and `own_specificity` at the value's own.
    """

    value: str
    threshold: float | str
    sensitivity: Interval | str
    specificity: Interval | str
    own_sensitivity: Interval | str
    own_specificity: Interval | str


@dataclass(frozen=True)
class GroupThresholds:
    """Thresholds by `column`. `gap` (one threshold for all) and `own_gap` (each its own) are the largest difference of
    specificity between two values; as the pair is chosen by it, its p is that of the pair, not adjusted for the choice."""

    column: str
    groups: tuple[GroupThreshold, ...]
    gap: ShareDifference | str
    own_gap: ShareDifference | str


def thresholds_by_group(
    validation: pd.DataFrame,
    test: pd.DataFrame,
    rule: ThresholdRule,
    threshold: float,
    column: str,
    *,
    confidence: float,
) -> GroupThresholds:
    """A threshold for each value of `column`, chosen by the rule on its validation images, beside the one for all.

    A value with fewer than MIN_VIEW_PATIENTS patients of a class on validation keeps the threshold for all, and a note says so.

    Args:
        validation, test: columns patient_id, label, score and `column`, a row an image.

    Raises:
        NotEnoughData: a table lacks the column.
    """
    for name, table in (("validation", validation), ("test", test)):
        if column not in table.columns:
            raise NotEnoughData(
                f"Thresholds by {column}: expected this column in the {name} predictions. Evaluate the split again."
            )
    values = categories(test[column])
    truth = (test["label"] == "malignant").to_numpy()
    scores, patients = test["score"].to_numpy(dtype=np.float64), test["patient_id"].to_numpy()
    called, own = scores >= threshold, scores >= threshold
    found = choose_by_group(validation, column, sorted(set(values) - {UNKNOWN}), rule)
    for value, choice in found.items():
        if isinstance(choice, str):
            found[value] = f"the threshold for all: {choice}"
        else:
            own = np.where(values == value, scores >= choice, own)

    def share(hits: np.ndarray, rows: np.ndarray, metric: str) -> Interval | str:
        count = np.unique(patients[rows]).size
        why = why_not(metric, {"malignant": count, "benign": count})
        return why or clustered_wilson(hits[rows], patients[rows], confidence=confidence)

    groups = tuple(
        GroupThreshold(
            value,
            choice,
            share(called, (values == value) & truth, "sensitivity"),
            share(~called, (values == value) & ~truth, "specificity"),
            share(own, (values == value) & truth, "sensitivity"),
            share(~own, (values == value) & ~truth, "specificity"),
        )
        for value, choice in found.items()
    )

    def gap(decisions: np.ndarray, name: str) -> ShareDifference | str:
        stated = [(getattr(group, name).value, group.value) for group in groups if isinstance(getattr(group, name), Interval)]
        if len(stated) < 2:
            return "fewer than two values have enough benign patients"
        low, high = ((values == value) & ~truth for _, value in (min(stated), max(stated)))
        return share_difference(~decisions[low], patients[low], ~decisions[high], patients[high], confidence=confidence)

    return GroupThresholds(column, groups, gap(called, "specificity"), gap(own, "own_specificity"))
