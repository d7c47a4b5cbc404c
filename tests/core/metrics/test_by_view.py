"""Thresholds by view: compared with a computation image by image, and what each view is promised."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import BadRun
from core.files.typed import from_plain, to_plain
from core.metrics import (
    MIN_VIEW_PATIENTS,
    Frozen,
    ThresholdRule,
    ThresholdUncertainty,
    ViewThresholds,
    compare_runs,
    freeze,
    operating_point,
    subgroups,
    summarize,
    threshold_uncertainty,
    views_of,
)
from core.metrics.confusion import confusion
from core.metrics.omnibus import omnibus_tests

# The level of the intervals, where a test does not set another.
compare_runs = partial(compare_runs, confidence=0.95)
operating_point = partial(operating_point, confidence=0.95)
subgroups = partial(subgroups, confidence=0.95)
summarize = partial(summarize, confidence=0.95)
threshold_uncertainty = partial(threshold_uncertainty, confidence=0.95)

RULE = ThresholdRule(target=0.9, per_view=True)
RULES = (RULE, ThresholdRule("youden", per_view=True), ThresholdRule("cost", cost_ratio=5, per_view=True))


def predictions(patients: int, seed: int, apart: float = 1.5, views: tuple[str, ...] = ("CC", "MLO", "ML")) -> pd.DataFrame:
    """An image of each view for every patient; each view's scores lie `apart` above the next one's, on the logit scale."""
    random = np.random.default_rng(seed)
    patient, view = np.repeat(np.arange(patients), len(views)), np.tile(views, patients)
    malignant = patient % 3 == 0
    shift = apart * np.tile(np.arange(len(views))[::-1], patients)
    logits = 1.5 * malignant + shift + random.normal(size=patients)[patient] + 0.5 * random.normal(size=patient.size)
    return pd.DataFrame(
        {
            "path": [f"{number}.png" for number in range(patient.size)],
            "patient_id": patient.astype(str),
            "laterality": "L",
            "view": view,
            "label": np.where(malignant, "malignant", "benign"),
            "score": np.round(1 / (1 + np.exp(-logits)), 6),
        }
    )


def one_by_one(frame: pd.DataFrame, thresholds: dict[str, float], common: float) -> list[bool]:
    """Whether each image is called malignant, in a loop."""
    called = []
    for row in frame.to_dict("records"):
        limit = thresholds.get(row["view"], common)
        called.append(row["score"] >= limit)
    return called


def brute_force_threshold(rows: pd.DataFrame, target: float) -> float:
    """The highest score of `rows` at which enough of the malignant are found, by trying all of them."""
    malignant = rows[rows["label"] == "malignant"]["score"].tolist()
    for candidate in sorted(set(rows["score"]), reverse=True):
        if sum(score >= candidate for score in malignant) / len(malignant) >= target:
            return candidate
    raise AssertionError("the lowest score finds all of them")


def test_each_view_gets_the_threshold_that_trying_every_score_of_its_images_gives() -> None:
    validation = predictions(90, 0)
    found = views_of(validation, RULE)
    assert list(found) == ["CC", "MLO"]
    for view, threshold in found.items():
        expected = brute_force_threshold(validation[validation["view"] == view], 0.9)
        assert threshold == pytest.approx(expected, abs=2e-6) and threshold <= expected
    card = freeze(validation, RULE, "none")
    assert card.view_thresholds == found
    assert card.threshold == pytest.approx(brute_force_threshold(validation, 0.9), abs=2e-6)
    same = freeze(validation, ThresholdRule(target=0.9), "none")
    assert same.view_thresholds == {} and same.level_thresholds == card.level_thresholds


def test_every_decision_at_image_level_is_that_of_the_images_own_view() -> None:
    frame = predictions(90, 1)
    card = freeze(predictions(90, 0), RULE, "none")
    found = card.image_thresholds
    called = np.array(one_by_one(frame, found.own, card.threshold))
    assert (called != (frame["score"] >= card.threshold)).sum() > 0
    truth = (frame["label"] == "malignant").to_numpy()
    assert ((frame["score"] >= found.at(frame["view"])) == called).all()
    assert ((found.shifted(frame["score"], frame["view"]) >= found.common) == called).all()
    assert [score >= found.of(view) for score, view in zip(frame["score"], frame["view"], strict=True)] == called.tolist()
    whole = summarize(
        frame["label"], frame["score"], found.common, frame["patient_id"], samples=100, row_thresholds=found.at(frame["view"])
    )
    expected = {"tp": called & truth, "fp": called & ~truth, "tn": ~called & ~truth, "fn": ~called & truth}
    assert to_plain(whole.counts) == {name: int(rows.sum()) for name, rows in expected.items()}
    assert whole["sensitivity"].value == pytest.approx(called[truth].mean())
    assert whole["specificity"].value == pytest.approx((~called[~truth]).mean())
    assert whole.threshold == found.common
    # AUC and Brier score are of the scores as they are: no view is recalibrated.
    plain = summarize(frame["label"], frame["score"], found.common, frame["patient_id"], samples=100)
    assert (whole["auc"], whole["brier"]) == (plain["auc"], plain["brier"]) and whole["f1"] != plain["f1"]
    point = operating_point(frame["label"], frame["score"], found.of_rows(frame), frame["patient_id"])
    assert (point.sensitivity, point.specificity) == (whole["sensitivity"], whole["specificity"])


def test_groups_and_comparisons_take_the_same_decisions() -> None:
    frame = predictions(90, 2)
    found = ViewThresholds(0.5, {"CC": 0.8, "MLO": 0.4})
    called = np.array(one_by_one(frame, found.own, 0.5))
    benign = (frame["label"] == "benign").to_numpy()
    arguments = frame["label"], frame["score"], found.at(frame["view"]), frame["patient_id"], frame[["view"]]
    for row in subgroups(*arguments):
        inside = benign & (frame["view"] == row.value).to_numpy()
        assert row.specificity.value == pytest.approx((~called[inside]).mean())
    (test,) = [each for each in omnibus_tests(*arguments) if each.metric == "specificity"]
    (one,) = [each for each in omnibus_tests(*arguments[:2], 0.5, *arguments[3:]) if each.metric == "specificity"]
    assert test.wald != pytest.approx(one.wald)
    both = compare_runs(
        frame["label"],
        frame["score"],
        frame["score"],
        frame["patient_id"],
        (0.5, found.at(frame["view"])),
        samples=100,
    )
    difference = confusion(frame["label"], frame["score"], found.at(frame["view"])).specificity
    difference -= confusion(frame["label"], frame["score"], 0.5).specificity
    assert both.metrics["specificity"].difference.value == pytest.approx(difference)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    patients=st.integers(3, 80),
    target=st.floats(0.5, 1.0),
    apart=st.floats(-3, 3),
    digits=st.sampled_from((1, 2, 6)),
)
def test_validation_sensitivity_reaches_the_target_in_every_view_with_enough_patients(
    seed: int, patients: int, target: float, apart: float, digits: int
) -> None:
    validation = predictions(patients, seed, apart).sample(frac=0.8, random_state=seed % 1000)
    validation = validation.assign(score=validation["score"].round(digits))
    for view, threshold in views_of(validation, ThresholdRule(target=target, per_view=True)).items():
        rows = validation[validation["view"] == view]
        counts = [rows[rows["label"] == label]["patient_id"].nunique() for label in ("malignant", "benign")]
        assert isinstance(threshold, str) == (min(counts) < MIN_VIEW_PATIENTS)
        if isinstance(threshold, str):
            assert f"at least {MIN_VIEW_PATIENTS} needed" in threshold and str(min(counts) or "no") in threshold
        else:
            assert (rows[rows["label"] == "malignant"]["score"] >= threshold).mean() >= target


@pytest.mark.parametrize("rule", RULES)
def test_a_view_with_too_few_patients_keeps_the_common_threshold_and_says_why(rule: ThresholdRule) -> None:
    validation = predictions(60, 3)
    few = (validation["view"] == "MLO") & (validation["patient_id"].astype(int) >= 27)  # leaves 9 malignant patients
    found = ViewThresholds(0.5, views_of(validation[~few], rule))
    assert found.per_view and list(found.own) == ["CC"] and found.of("MLO") == 0.5
    assert found.notes == {"MLO": "only 9 patients have malignant MLO images on validation, at least 10 needed"}
    assert found.basis("MLO") == f"the common one, for MLO: {found.notes['MLO']}"
    assert found.basis("CC") == "that of CC images"
    nothing = views_of(validation.drop(columns="view"), rule)
    assert all("no column view" in why for why in nothing.values())


def test_cost_weighs_every_view_at_the_prevalence_of_the_whole_set() -> None:
    validation = predictions(90, 4)
    fewer = (validation["view"] == "MLO") & (validation["label"] == "malignant") & (np.arange(len(validation)) % 2 == 0)
    validation = validation[~fewer]
    share = (validation["label"] == "malignant").mean()
    of_all = views_of(validation, ThresholdRule("cost", cost_ratio=5, per_view=True))
    assert of_all == views_of(validation, ThresholdRule("cost", cost_ratio=5, prevalence=share, per_view=True))


def test_other_and_unknown_views_are_judged_at_the_common_threshold_and_it_is_said() -> None:
    found = ViewThresholds(0.5, {"CC": 0.8, "MLO": 0.4})
    assert found.at(["CC", "mlo", " MLO ", "ML", "", None, np.nan]).tolist() == [0.8, 0.4, 0.4, 0.5, 0.5, 0.5, 0.5]
    assert (found.of("cc"), found.of("XCCL"), found.of("")) == (0.8, 0.5, 0.5)
    assert found.basis("ML") == "the common one: ML has none of its own"
    assert found.basis("") == "the common one: the view is not known"
    assert found.words == "CC 0.800, MLO 0.400, other views 0.500"


def test_a_card_of_an_earlier_version_has_one_threshold_for_all() -> None:
    found = Frozen(threshold=0.3).image_thresholds
    assert not found.per_view and (found.words, found.stated(), found.basis("CC")) == ("", "0.300", "")
    frame = predictions(20, 5)
    assert found.of_rows(frame) == 0.3 and (found.shifted(frame["score"], frame["view"]) == frame["score"]).all()
    earlier = {"kind": "sensitivity", "target": 0.9, "cost_ratio": 10.0, "prevalence": None}
    assert ThresholdRule.from_dict(earlier) == ThresholdRule()
    with pytest.raises(BadRun, match="per_view: expected true or false"):
        ThresholdRule.from_dict(earlier | {"per_view": "CC"})


def test_the_bootstrap_chooses_the_threshold_of_every_view_again() -> None:
    validation, test = predictions(60, 6), predictions(60, 7)
    card = freeze(validation, RULE, "none")
    views = card.image_thresholds
    found = threshold_uncertainty(validation, test, RULE, views.common, samples=300, views=views)
    assert {view: limits.value for view, limits in found.views.items()} == views.own
    for view, limits in found.views.items():
        rows = validation[validation["view"] == view]
        alone = threshold_uncertainty(rows, test, RULE, views.of(view), samples=300).threshold
        # The same patients are drawn, and the view's threshold depends on its own images only.
        assert (limits.low, limits.high) == (alone.low, alone.high)
    called = np.array(one_by_one(test, views.own, views.common))
    benign = (test["label"] == "benign").to_numpy()
    assert found.specificity.value == pytest.approx((~called[benign]).mean())
    one = threshold_uncertainty(validation, test, RULE, views.common, samples=300)
    assert found.threshold == one.threshold and found.specificity != one.specificity and one.views == {}
    assert from_plain(ThresholdUncertainty, json.loads(json.dumps(to_plain(found)))) == found
    breasts = threshold_uncertainty(validation, test, RULE, 0.5, level="breast", samples=100, views=views)
    assert breasts.views == {}
