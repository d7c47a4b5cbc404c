"""All groups of a feature at once: the Wald statistic against brute force and scipy, and what it does not test."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2, f, f_oneway

from benchmarks.coverage import false_alarms
from core.files.typed import from_plain, to_plain
from core.metrics.omnibus import Omnibus, omnibus_tests, wald_test
from core.metrics.subgroups import holm


def cohort(patients: int = 240) -> tuple[np.ndarray, np.ndarray, np.ndarray, pd.DataFrame]:
    random = np.random.default_rng(5)
    groups = np.repeat(np.arange(patients), 4)
    y = groups % 3 == 0
    scanner = np.array(["A", "B", "C", ""])[(groups // 3) % 4]
    s = 1 / (1 + np.exp(-(1.5 * y + 1.5 * (scanner == "B") + random.normal(size=patients)[groups] - 0.7)))
    s = np.clip(s + random.normal(0, 0.1, s.size), 0, 1)
    return y, s, groups, pd.DataFrame({"scanner": scanner, "view": np.tile(["CC", "MLO"], groups.size // 2)})


def test_the_statistic_is_that_of_a_loop_over_patients() -> None:
    y, s, groups, features = cohort()
    found = {(row.feature, row.metric): row for row in omnibus_tests(y, s, 0.5, groups, features)}
    for feature, values in (("scanner", ["A", "B", "C"]), ("view", ["CC", "MLO"])):
        column = features[feature].to_numpy()
        rows = ~y & np.isin(column, values)
        shares = np.array([(s[rows & (column == value)] < 0.5).mean() for value in values])
        people = np.unique(groups[rows])
        covariance = np.zeros((len(values), len(values)))
        for patient in people:
            mine = rows & (groups == patient)
            moved = [
                ((s[mine & (column == value)] < 0.5) - share).sum() / (rows & (column == value)).sum()
                for value, share in zip(values, shares, strict=True)
            ]
            covariance += np.outer(moved, moved)
        # Each group's variance is that of the share of all groups, with one intraclass correlation from all pairs of images.
        hit = s < 0.5
        p = hit[rows].mean()
        pairs = [
            (hit[i] - p) * (hit[j] - p)
            for value in values
            for patient in people
            for i in np.flatnonzero(rows & (column == value) & (groups == patient))
            for j in np.flatnonzero(rows & (column == value) & (groups == patient))
            if i != j
        ]
        alike = min(1.0, max(0.0, np.mean(pairs) / (p * (1 - p))))
        own = []
        for value in values:
            sizes = np.array([(rows & (column == value) & (groups == patient)).sum() for patient in people])
            own.append(p * (1 - p) * (sizes.sum() + alike * (sizes * (sizes - 1)).sum()) / sizes.sum() ** 2)
        spread = np.sqrt(np.diag(covariance))
        covariance = covariance / np.outer(spread, spread) * np.sqrt(np.outer(own, own))
        turned = np.linalg.qr(np.column_stack([np.ones(len(values)), np.eye(len(values))[:, 1:]]))[0][
            :, 1:
        ].T  # other contrasts
        gap = turned @ shares
        wald = gap @ np.linalg.inv(turned @ covariance @ turned.T) @ gap
        count, free = len(values) - 1, people.size - 1
        row = found[feature, "specificity"]
        assert (row.groups, row.wald) == (len(values), pytest.approx(wald))
        assert row.p == pytest.approx(f.sf(wald * (free - count + 1) / free / count, count, free - count + 1))


def test_with_many_patients_it_is_the_chi_square_and_with_equal_variances_the_anova() -> None:
    random = np.random.default_rng(2)
    samples = [random.normal(size=5000) for _ in range(3)]
    within = float(np.mean([sample.var(ddof=1) for sample in samples]))
    found = wald_test(np.array([sample.mean() for sample in samples]), np.eye(3) * within / 5000, 15000)
    assert found is not None
    assert found[0] / 2 == pytest.approx(f_oneway(*samples).statistic)
    assert found[1] == pytest.approx(chi2.sf(found[0], 2), rel=1e-3)


def test_the_feature_that_differs_is_found_and_p_is_adjusted_for_all_tests() -> None:
    y, s, groups, features = cohort()
    rows = omnibus_tests(y, s, 0.5, groups, features)
    assert {(row.feature, row.metric) for row in rows if row.adjusted < 0.05} >= {("scanner", "specificity")}
    assert not [row for row in rows if row.feature == "view" and row.adjusted < 0.05]
    assert [row.adjusted for row in rows] == pytest.approx(list(holm([row.p for row in rows])))
    assert {row.tests for row in rows} == {6}
    assert [from_plain(Omnibus, json.loads(json.dumps(to_plain(row)))) for row in rows] == list(rows)


def test_few_patients_and_lesions_are_not_tested_and_a_share_of_one_is_no_certainty() -> None:
    y, s, groups, features = cohort()
    assert omnibus_tests(y[:24], s[:24], 0.5, groups[:24], features[:24]) == ()
    assert {row.metric for row in omnibus_tests(y, s, 0.5, groups, features, lesions=["scanner", "view"])} == {"sensitivity"}
    called = np.where(features["scanner"] == "A", 1.0, 0.0)
    row = next(row for row in omnibus_tests(y, called, 0.5, groups, features) if row.metric == "sensitivity")
    assert np.isfinite(row.wald) and row.p < 0.001


@pytest.mark.slow
def test_groups_of_few_patients_are_not_called_different_by_chance() -> None:
    """At a nominal 5 in 100; a variance of each small group's own would give 13 to 19 (`python -m benchmarks coverage`)."""
    found = false_alarms((5, 10, 40), (8, 20, 60), area=0.85, repeats=120)
    assert found["auc"] < 0.09 and found["sensitivity"] < 0.09 and found["specificity"] < 0.09
    assert false_alarms((6, 6, 6, 6), (6, 6, 6, 6), area=0.7, repeats=120)["sensitivity"] < 0.09


def test_a_small_group_that_is_missed_is_found() -> None:
    y, groups = np.ones(80, dtype=bool), np.arange(80)
    y[70:] = False
    s = np.where(groups % 10 == 0, 0.2, 0.8)
    s[:8] = [0.2] * 7 + [0.8]  # of 8 malignant patients of one site 7 are missed, of 62 of the other 6
    row = omnibus_tests(y, s, 0.5, groups, pd.DataFrame({"site": np.where(groups < 8, "a", "b")}))[0]
    assert row.metric == "sensitivity" and row.p < 0.001
