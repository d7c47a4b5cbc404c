"""All groups of a feature at once: the Wald statistic against brute force and scipy, and what it does not test."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2, f, f_oneway

from core.metrics.bootstrap import Patients
from core.metrics.delong import auc_parts
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


def test_the_statistic_is_that_of_loops_over_patients_with_the_variance_of_the_pooled_share() -> None:
    y, s, groups, features = cohort()
    found = {(row.feature, row.figure): row for row in omnibus_tests(y, s, 0.5, groups, features)}
    for feature, values in (("scanner", ["A", "B", "C"]), ("view", ["CC", "MLO"])):
        column = features[feature].to_numpy()
        rows = ~y & np.isin(column, values)
        right = s < 0.5
        inside = [rows & (column == value) for value in values]
        shares = np.array([right[each].mean() for each in inside])
        people = np.unique(groups[rows])
        moved = np.zeros((len(values), people.size))
        excess, pairs, square = (np.zeros(len(values)) for _ in range(3))
        for k, each in enumerate(inside):
            own = [each & (groups == patient) for patient in people if (each & (groups == patient)).any()]
            residuals = [float((right[mine] - shares[k]).sum()) for mine in own]
            square[k] = sum(mine.sum() * (mine.sum() - 1) for mine in own)
            pairs[k] = shares[k] * (1 - shares[k]) * square[k]
            independent = shares[k] * (1 - shares[k]) * each.sum()
            excess[k] = len(own) / (len(own) - 1) * sum(value**2 for value in residuals) - independent
            moved[k] = [(right[each & (groups == patient)] - shares[k]).sum() / each.sum() for patient in people]
        pooled_icc = excess.sum() / pairs.sum() if pairs.sum() else 0.0
        pooled, variances = right[rows].mean(), np.zeros(len(values))
        for k, each in enumerate(inside):
            icc = min(1.0, max(0.0, pooled_icc, excess[k] / pairs[k] if pairs[k] else 0.0))
            variances[k] = pooled * (1 - pooled) * (each.sum() + icc * square[k]) / each.sum() ** 2
        covariance = np.corrcoef(moved) if np.allclose(moved.mean(axis=1), 0) else np.full((1, 1), np.nan)
        covariance = covariance * np.sqrt(np.outer(variances, variances))
        turned = np.linalg.qr(np.column_stack([np.ones(len(values)), np.eye(len(values))[:, 1:]]))[0][
            :, 1:
        ].T  # other contrasts
        gap = turned @ shares
        wald = gap @ np.linalg.inv(turned @ covariance @ turned.T) @ gap
        count = len(values) - 1
        row = found[feature, "specificity"]
        assert (row.groups, row.wald) == (len(values), pytest.approx(wald))
        assert row.p == pytest.approx(f.sf(wald / count, count, people.size - len(values)))


def test_an_auc_has_the_variance_of_its_interval_at_the_pooled_auc() -> None:
    y, s, groups, features = cohort()
    column = features["scanner"].to_numpy()
    parts = [
        auc_parts(y[column == value], s[column == value], Patients(groups[column == value], 240)) for value in ("A", "B", "C")
    ]
    areas = np.array([part.area for part in parts])
    weights = np.array([1 / part.design.variance(areas.mean()) for part in parts])
    pooled = float(weights @ areas / weights.sum())
    variances = np.array(
        [part.design.variance(pooled) * max(1, part.variance / part.design.variance(part.area)) for part in parts]
    )
    precise = 1 / variances  # groups of other patients each: the statistic is that of a weighted mean
    wald = float(precise @ (areas - precise @ areas / precise.sum()) ** 2)
    row = next(each for each in omnibus_tests(y, s, 0.5, groups, features[["scanner"]]) if each.figure == "auc")
    assert row.wald == pytest.approx(wald)


@pytest.mark.parametrize("sizes", [(6, 6, 6, 6), (5, 10, 40), (5, 60)])
def test_groups_of_few_patients_that_do_not_differ_are_rarely_called_different(sizes: tuple[int, ...]) -> None:
    """Every group with a sensitivity of 0.5 and two images a patient, an intraclass correlation of 0.5: at most 1 in 20."""
    random = np.random.default_rng(3)
    groups = np.repeat(np.arange(sum(sizes)), 2)
    features = pd.DataFrame({"scanner": np.repeat(np.arange(len(sizes)), sizes)[groups].astype(str)})
    labels = np.ones(groups.size, dtype=bool)
    p = []
    for _ in range(200):
        chances = random.beta(0.5, 0.5, sum(sizes))
        called = random.random(groups.size) < chances[groups]
        p.append(omnibus_tests(labels, called.astype(float), 0.5, groups, features)[0].p)
    assert np.mean(np.array(p) < 0.05) < 0.09  # 0.13 to 0.15 with variances that each group estimates by itself


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
    assert {(row.feature, row.figure) for row in rows if row.adjusted < 0.05} >= {("scanner", "specificity")}
    assert not [row for row in rows if row.feature == "view" and row.adjusted < 0.05]
    assert [row.adjusted for row in rows] == pytest.approx(list(holm([row.p for row in rows])))
    assert {row.tests for row in rows} == {6}
    assert [Omnibus.from_dict(json.loads(json.dumps(row.as_dict()))) for row in rows] == list(rows)


def test_few_patients_and_lesions_are_not_tested_and_a_share_of_one_is_no_certainty() -> None:
    y, s, groups, features = cohort()
    assert omnibus_tests(y[:24], s[:24], 0.5, groups[:24], features[:24]) == ()
    assert {row.figure for row in omnibus_tests(y, s, 0.5, groups, features, lesions=["scanner", "view"])} == {"sensitivity"}
    called = np.where(features["scanner"] == "A", 1.0, 0.0)
    row = next(row for row in omnibus_tests(y, called, 0.5, groups, features) if row.figure == "sensitivity")
    assert np.isfinite(row.wald) and row.p < 0.001
