"""What the choice of a threshold adds to the intervals at it, and thresholds for each view."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pandas as pd
import pytest

from core.errors import NotEnoughData
from core.files.typed import from_plain, to_plain
from core.metrics import ThresholdRule, summarize, threshold_uncertainty, thresholds_by_group
from core.metrics.threshold_uncertainty import ThresholdUncertainty
from core.metrics.thresholds import threshold_for_sensitivity

# The level of the intervals, where a test does not set another.
summarize = partial(summarize, confidence=0.95)
threshold_uncertainty = partial(threshold_uncertainty, confidence=0.95)
thresholds_by_group = partial(thresholds_by_group, confidence=0.95)

RULE = ThresholdRule(target=0.9)


def predictions(patients: int, seed: int, apart: float = 0.0) -> pd.DataFrame:
    """Two views of one side; CC scores lie `apart` higher, on the logit scale, whatever the label."""
    random = np.random.default_rng(seed)
    patient = np.repeat(np.arange(patients), 2)
    malignant, view = patient % 3 == 0, np.tile(["CC", "MLO"], patients)
    noise = random.normal(size=patients)[patient] + 0.5 * random.normal(size=2 * patients)
    return pd.DataFrame(
        {
            "patient_id": patient.astype(str),
            "laterality": "L",
            "view": view,
            "label": np.where(malignant, "malignant", "benign"),
            "score": 1 / (1 + np.exp(-(1.5 * malignant + apart * (view == "CC") + noise))),
        }
    )


@pytest.mark.slow
def test_both_sets_are_resampled_as_the_plain_loop_does() -> None:
    validation, test = predictions(40, 0), predictions(60, 1)
    found = threshold_uncertainty(validation, test, RULE, 0.4, samples=20, seed=5)
    first = np.random.default_rng(5).integers(0, 40, size=(20, 40))
    second = np.random.default_rng(6).integers(0, 60, size=(20, 60))
    names = [np.unique(frame["patient_id"]) for frame in (validation, test)]
    rows = []
    for one, two in zip(first, second, strict=True):
        learned, judged = (
            pd.concat([frame[frame["patient_id"] == known[p]] for p in drawn])
            for frame, known, drawn in ((validation, names[0], one), (test, names[1], two))
        )
        choice = threshold_for_sensitivity(learned["label"], learned["score"], 0.9)
        called, y = judged["score"] >= choice, judged["label"] == "malignant"
        rows.append((choice, called[y].mean(), (~called[~y]).mean()))
    low, high = np.quantile(rows, (0.025, 0.975), axis=0)
    for figure, a, b in zip((found.threshold, found.sensitivity, found.specificity), low, high, strict=True):
        assert (figure.low, figure.high) == pytest.approx((min(a, figure.value), max(b, figure.value)))
    assert found.threshold.value == 0.4


def test_few_validation_patients_make_the_specificity_less_known_than_at_a_frozen_threshold() -> None:
    validation, test = predictions(30, 2), predictions(400, 3)
    threshold = RULE.choose(validation["label"], validation["score"])
    found = threshold_uncertainty(validation, test, RULE, threshold, samples=200)
    fixed = summarize(test["label"], test["score"], threshold, test["patient_id"], samples=100)["specificity"]
    assert found.specificity.value == pytest.approx(fixed.value)
    assert found.specificity.high - found.specificity.low > 1.5 * (fixed.high - fixed.low)
    assert from_plain(ThresholdUncertainty, json.loads(json.dumps(to_plain(found)))) == found


def test_sets_too_small_have_a_note_and_no_limits() -> None:
    found = threshold_uncertainty(predictions(9, 0), predictions(60, 1), RULE, 0.4)
    assert found.threshold == found.specificity and "validation: only 3 patients with malignant images" in found.threshold


def test_thresholds_by_view_close_the_gap_that_one_for_all_leaves() -> None:
    validation, test = predictions(300, 4, apart=1.5), predictions(300, 5, apart=1.5)
    one = RULE.choose(validation["label"], validation["score"])
    found = thresholds_by_group(validation, test, RULE, one, "view")
    cc, mlo = found.groups
    for group in (cc, mlo):
        rows = validation[validation["view"] == group.value]
        assert group.threshold == RULE.choose(rows["label"], rows["score"])
        inside = test[(test["view"] == group.value) & (test["label"] == "benign")]
        assert group.own_specificity.value == pytest.approx((inside["score"] < group.threshold).mean())
        assert group.specificity.value == pytest.approx((inside["score"] < one).mean())
    assert cc.threshold > mlo.threshold
    assert found.gap.p < 0.001 and found.gap.difference.value > 0.2 > 2 * abs(found.own_gap.difference.value)


def test_a_view_with_few_validation_patients_keeps_the_threshold_for_all() -> None:
    validation, test = predictions(60, 4), predictions(60, 5)
    rare = validation["patient_id"].isin(["0", "1", "2", "3"])
    validation["view"] = np.where(rare, "AT", "CC")
    test["view"] = np.where(test["patient_id"].astype(int) < 30, "AT", "CC")
    groups = {group.value: group for group in thresholds_by_group(validation, test, RULE, 0.5, "view").groups}
    assert "the threshold for all: only 2 patients have malignant AT images and" in groups["AT"].threshold
    assert groups["AT"].own_specificity == groups["AT"].specificity
    with pytest.raises(NotEnoughData, match="expected this column in the validation predictions"):
        thresholds_by_group(validation, test, RULE, 0.5, "scanner")


@pytest.mark.parametrize(("patients", "apart"), [(18, 0.0), (18, 40.0), (60, 0.0)])
def test_limits_are_never_inside_those_at_the_frozen_threshold(patients: int, apart: float) -> None:
    """A threshold that varies cannot make a share better known; with few patients percentiles shrink to nothing."""
    validation, test = (predictions(patients, seed) for seed in (0, 1))
    if apart:  # separable: every resample finds all
        validation, test = (each.assign(score=np.where(each["label"] == "malignant", 0.9, 0.1)) for each in (validation, test))
    found = threshold_uncertainty(validation, test, RULE, 0.5, samples=100)
    fixed = summarize(test["label"], test["score"], 0.5, test["patient_id"], samples=50)
    for name in ("sensitivity", "specificity"):
        limits, wilson = getattr(found, name), fixed[name]
        assert limits.low <= wilson.low < wilson.high <= limits.high and limits.value == wilson.value
