"""Groups: no number from too few patients, differences tested once, p values adjusted."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pandas as pd
import pytest

from core.errors import NotEnoughData
from core.files.typed import from_plain, to_plain
from core.metrics.delong import auc_interval
from core.metrics.intervals import Interval
from core.metrics.proportions import clustered_wilson, share_difference
from core.metrics.subgroups import UNKNOWN, Subgroup, age_bands, holm, subgroups

# The level of the intervals, where a test does not set another.
auc_interval = partial(auc_interval, confidence=0.95)
clustered_wilson = partial(clustered_wilson, confidence=0.95)
share_difference = partial(share_difference, confidence=0.95)
subgroups = partial(subgroups, confidence=0.95)


def cohort(patients: int = 240, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, pd.DataFrame]:
    random = np.random.default_rng(seed)
    groups = np.repeat(np.arange(patients), 4)
    y = groups % 3 == 0
    scanner = np.array(["A", "B", "C"])[(groups // 3) % 3]
    effect = np.where(scanner == "B", 0.0, 1.8)
    s = 1 / (1 + np.exp(-(effect * y + random.normal(size=patients)[groups] + 0.5 * random.normal(size=y.size))))
    features = pd.DataFrame({"scanner": scanner, "view": np.tile(["CC", "MLO"], groups.size // 2)})
    return y, s, groups, features


def test_figures_within_a_group_are_those_of_its_images_alone() -> None:
    y, s, groups, features = cohort()
    rows = {(row.feature, row.value): row for row in subgroups(y, s, 0.5, groups, features)}
    assert [value for _, value in rows] == ["A", "B", "C", "CC", "MLO"]
    inside = (features["scanner"] == "B").to_numpy()
    row = rows["scanner", "B"]
    assert row.auc == auc_interval(y[inside], s[inside], groups[inside])
    assert row.sensitivity == clustered_wilson((s >= 0.5)[inside & y], groups[inside & y])
    assert row.specificity == clustered_wilson((s < 0.5)[inside & ~y], groups[inside & ~y])
    assert (row.images, row.patients) == (inside.sum(), np.unique(groups[inside]).size)
    assert row.benign_images + row.malignant_images == row.images


def test_a_group_that_is_worse_is_found_after_adjustment_and_the_views_are_not() -> None:
    y, s, groups, features = cohort()
    rows = {(row.feature, row.value): row for row in subgroups(y, s, 0.5, groups, features)}
    assert rows["scanner", "B"].difference.high < 0 and rows["scanner", "B"].adjusted < 0.01
    assert rows["view", "CC"].adjusted > 0.05


@pytest.mark.slow
def test_the_difference_is_that_of_the_bootstrap_over_patients() -> None:
    y, s, groups, features = cohort(120)
    found = next(row for row in subgroups(y, s, 0.5, groups, features) if row.value == "MLO")
    inside, random, drawn = (features["view"] == "MLO").to_numpy(), np.random.default_rng(0), []
    for _ in range(300):
        rows = np.concatenate([np.arange(4 * g, 4 * g + 4) for g in random.integers(0, 120, 120)])
        areas = [auc_interval(y[rows][part], s[rows][part]).value for part in (inside[rows], ~inside[rows])]
        drawn.append(areas[0] - areas[1])
    # Half a t interval of 39 degrees of freedom: 40 malignant patients.
    assert (found.difference.high - found.difference.low) / (2 * 2.023) == pytest.approx(np.std(drawn), rel=0.15)


def test_two_groups_are_one_test() -> None:
    y, s, groups, features = cohort()
    rows = subgroups(y, s, 0.5, groups, features[["view"]])
    p = [rows[0].p, rows[0].sensitivity_p, rows[0].specificity_p]
    for row in rows:
        assert [row.p, row.sensitivity_p, row.specificity_p] == pytest.approx(p)
        assert [row.adjusted, row.sensitivity_adjusted, row.specificity_adjusted] == pytest.approx(holm(p))
        assert row.tests == 3
    assert rows[0].difference.value == pytest.approx(-rows[1].difference.value)


def test_p_values_are_adjusted_for_all_tests_of_the_table_and_it_says_how_many() -> None:
    y, s, groups, features = cohort()
    rows = subgroups(y, s, 0.5, groups, features)
    scanner, view = rows[:3], rows[3]
    names = ("p", "sensitivity_p", "specificity_p")
    expected = holm([*(getattr(row, name) for name in names for row in scanner), *(getattr(view, name) for name in names)])
    assert [row.adjusted for row in scanner] == pytest.approx(expected[:3])
    assert [row.specificity_adjusted for row in scanner] == pytest.approx(expected[6:9])
    assert {row.tests for row in rows} == {12} == {expected.size}


def test_errors_that_fall_on_one_group_are_found_where_its_auc_is_as_good() -> None:
    """One threshold for two views whose scores lie apart: specificity differs, the AUC does not."""
    random = np.random.default_rng(3)
    groups = np.repeat(np.arange(200), 4)
    y, view = groups < 80, np.tile(["CC", "MLO"], 400)
    logits = 1.2 * y + 0.9 * (view == "CC") + random.normal(size=200)[groups] + 0.5 * random.normal(size=800)
    row = subgroups(y, 1 / (1 + np.exp(-logits)), 0.5, groups, pd.DataFrame({"view": view}))[0]
    called = logits >= 0
    cc = view == "CC"
    expected = share_difference(~called[~y & ~cc], groups[~y & ~cc], ~called[~y & cc], groups[~y & cc])
    assert (row.specificity_difference, row.specificity_p) == (expected.difference, expected.p)
    assert row.specificity_adjusted < 0.001 and row.specificity_difference.high < 0 and row.adjusted > 0.05


def test_the_rest_are_the_images_of_another_known_value() -> None:
    y, s, groups, features = cohort()
    features["density"] = np.where(groups % 5 == 0, "", np.where(groups % 2, "a", "b"))
    rows = {row.value: row for row in subgroups(y, s, 0.5, groups, features[["density"]])}
    assert rows["a"].rest_images == rows["b"].images < y.size - rows["a"].images
    assert rows[UNKNOWN].rest_images == 0


def test_groups_too_small_show_no_number() -> None:
    y, s, groups, features = cohort()
    features.loc[groups >= 12, "scanner"] = "A"
    features.loc[groups < 12, "scanner"] = "rare"
    rare = next(row for row in subgroups(y, s, 0.5, groups, features) if row.value == "rare")
    assert rare.malignant_patients == 4 and rare.benign_patients == 8
    assert "only 4 patients" in rare.auc and "only 4 patients" in rare.sensitivity
    assert isinstance(rare.specificity, Interval)
    assert isinstance(rare.difference, str) and rare.p is None and rare.adjusted is None
    usual = next(row for row in subgroups(y, s, 0.5, groups, features) if row.value == "A")
    assert usual.difference.startswith("of the rest: only 4")


def test_images_without_a_value_are_shown_and_not_tested() -> None:
    y, s, groups, features = cohort()
    features["density"] = np.where(groups % 5 == 0, None, np.where(groups % 2, "a", ""))
    rows = {row.value: row for row in subgroups(y, s, 0.5, groups, features[["density"]])}
    assert list(rows) == ["a", UNKNOWN]
    assert isinstance(rows[UNKNOWN].auc, Interval) and rows[UNKNOWN].p is None
    assert rows["a"].p is None and "of the rest: no patient" in rows["a"].difference


def test_json() -> None:
    y, s, groups, features = cohort()
    plain = json.loads(json.dumps([to_plain(row) for row in subgroups(y, s, 0.5, groups, features)], allow_nan=False))
    assert plain[0]["auc"]["low"] < plain[0]["auc"]["value"]


def test_rows_of_features_must_be_those_of_the_images() -> None:
    y, s, groups, features = cohort()
    with pytest.raises(NotEnoughData, match="960 rows"):
        subgroups(y, s, 0.5, groups, features.head(3))


def test_ages_fall_into_bands() -> None:
    assert age_bands([39.9, 40, 49, 50, 70, 95, np.nan, "x"]).tolist() == [
        "under 40", "40-49", "40-49", "50-59", "70 and over", "70 and over", UNKNOWN, UNKNOWN,
    ]  # fmt: skip


def test_bands_are_sorted_by_age() -> None:
    y, s, groups, _ = cohort()
    bands = pd.DataFrame({"age": age_bands(30 + groups % 50)})
    assert [row.value for row in subgroups(y, s, 0.5, groups, bands)] == ["under 40", "40-49", "50-59", "60-69", "70 and over"]


def test_holms_worked_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]).tolist() == [1.0, 1.0] and holm([]).size == 0


def test_kinds_of_lesions_are_compared_by_sensitivity_among_the_malignant() -> None:
    y, s, groups, _ = cohort()
    kind = np.where(y, np.where(groups % 2 == 0, "mass", "calcification"), np.where(groups % 5 == 0, "cyst", "none"))
    rows = {row.value: row for row in subgroups(y, s, 0.5, groups, pd.DataFrame({"finding": kind}), lesions=["finding"])}
    mass, calcification = y & (kind == "mass"), y & (kind == "calcification")
    expected = share_difference((s >= 0.5)[calcification], groups[calcification], (s >= 0.5)[mass], groups[mass])
    assert (rows["mass"].difference, rows["mass"].p) == (expected.difference, expected.p)
    assert rows["mass"].compared == "sensitivity" and rows["mass"].adjusted == rows["mass"].p and rows["mass"].tests == 1
    assert isinstance(rows["mass"].auc, str) and rows["cyst"].p is None and isinstance(rows["cyst"].specificity, Interval)


def test_groups_are_read_back_equal() -> None:
    y, s, groups, features = cohort(30)
    rows = subgroups(y, s, 0.5, groups, features)
    assert tuple(from_plain(Subgroup, json.loads(json.dumps(to_plain(row)))) for row in rows) == rows


def test_images_of_unknown_lesion_get_neither_an_auc_nor_a_specificity() -> None:
    y, s, groups, _ = cohort()
    kind = np.where(y & (groups % 2 == 0), "mass", "")
    rows = {row.value: row for row in subgroups(y, s, 0.5, groups, pd.DataFrame({"finding": kind}), lesions=["finding"])}
    unknown = rows["unknown"]
    assert unknown.compared == "sensitivity" and unknown.p is None and isinstance(unknown.sensitivity, Interval)
    assert "kind of lesion is not known" in unknown.auc and unknown.auc == unknown.specificity
