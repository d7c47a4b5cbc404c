"""Means over images with intervals over patients, the samples, and the words."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest

from core.heatmap_audit.results import ALL, CALLED, CORRECT, WRONG, Case, Curve, Metric
from core.heatmap_audit.sampling import sample, spread
from core.heatmap_audit.settings import AuditSettings
from core.heatmap_audit.summaries import curve_of, metrics_of
from core.heatmap_audit.verdict import verdict_of
from core.metrics import Interval
from core.metrics.proportions import clustered_wilson

# The level of the intervals, where a test does not set another.
clustered_wilson = partial(clustered_wilson, confidence=0.95)

SETTINGS = AuditSettings(samples=500)


def case(number: int, *, called: bool = True, **values: float) -> Case:
    return Case(f"/images/{number}.png", f"P{number // 2}", "malignant", 0.5 + number / 1000, called, values=values)


def hits(found: list[float], *, chance: float = 0.1, centre: float = 0.2, called: bool = True, first: int = 0) -> list[Case]:
    return [
        case(
            number, called=called, hit=hit, energy=hit, **{"hit:chance": chance, "hit:centre": centre, "energy:chance": chance}
        )
        for number, hit in enumerate(found)
    ]


def told(cases: list[Case], key: str, group: str = ALL) -> Metric:
    return next(figure for figure in metrics_of(cases, SETTINGS) if (figure.key, figure.group) == (key, group))


def test_a_mean_is_over_images_and_its_interval_over_patients() -> None:
    values = np.random.default_rng(0).random(40)
    cases = [case(number, energy=value, **{"energy:chance": 0.25}) for number, value in enumerate(values)]
    figure = told(cases, "energy")
    assert figure.value.value == pytest.approx(values.mean(), abs=1e-6)
    assert (figure.images, figure.patients) == (40, 20)
    # Pairs drawn by a plain loop give the same limits as far as 500 resamples tell.
    pairs = values.reshape(20, 2).mean(axis=1)
    drawn = [pairs[np.random.default_rng(seed).integers(0, 20, 20)].mean() for seed in range(4000)]
    assert (figure.value.low, figure.value.high) == pytest.approx(tuple(np.quantile(drawn, (0.025, 0.975))), abs=0.02)
    difference = figure.references["chance"].difference
    assert difference.value == pytest.approx(figure.value.value - 0.25, abs=1e-6)
    assert (difference.low, difference.high) == pytest.approx((figure.value.low - 0.25, figure.value.high - 0.25), abs=1e-6)


def test_a_hit_rate_has_wilsons_interval_by_patients() -> None:
    found = [1.0] * 9 + [0.0] * 21
    expected = clustered_wilson(np.array(found) == 1, [f"P{number // 2}" for number in range(30)])
    assert told(hits(found), "hit").value.low == pytest.approx(expected.low, abs=1e-6)
    never = told(hits([0.0] * 30), "hit").value
    assert never.value == never.low == 0.0 and never.high > 0.1, "none of 15 patients does not mean never"


def test_equal_peaks_make_a_share_that_is_no_proportion() -> None:
    assert told(hits([0.5] * 12), "hit").value == Interval(0.5, 0.5, 0.5)


def test_right_and_wrong_decisions_are_told_apart_and_too_few_are_a_note() -> None:
    cases = hits([1.0] * 20) + hits([0.0] * 4, called=False, first=100)
    assert told(cases, "hit", CORRECT).value.value == 1.0
    assert told(cases, "hit", WRONG).value == "only 2 patients with such images: too few, at least 5 needed"
    assert told(cases, "hit").images == 24


def test_images_without_a_value_count_for_nothing() -> None:
    flagged = Case("/images/900.png", "P900", "malignant", 0.9, True, flagged="the map is empty")
    benign = Case("/images/901.png", "P901", "benign", 0.1, False, lesion="benign", values={"off_breast": 0.5})
    figures = metrics_of([*hits([1.0] * 10), flagged, benign], SETTINGS)
    assert next(figure for figure in figures if figure.key == "hit").images == 10
    assert not [figure for figure in figures if figure.key == "deletion"], "nobody was asked"


def test_the_same_cases_give_the_same_figures() -> None:
    assert metrics_of(hits([1.0, 0.0] * 10), SETTINGS) == metrics_of(hits([1.0, 0.0] * 10), SETTINGS)


def test_a_curve_is_the_mean_with_limits_around_it() -> None:
    scores = np.random.default_rng(0).random((12, 4))
    curve = curve_of("deletion", "random", scores, [f"P{number // 2}" for number in range(12)], SETTINGS)
    assert curve.mean == pytest.approx(tuple(scores.mean(axis=0)), abs=1e-6)
    assert curve.share == pytest.approx((0, 1 / 3, 2 / 3, 1), abs=1e-6)
    assert all(low < mean < high for low, mean, high in zip(curve.low, curve.mean, curve.high, strict=True))


# ---------------------------------------------------------------- samples


def rows(patients: int = 30, malignant: int = 3) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"path": f"/{patient}-{view}.png", "patient_id": f"P{patient}", "label": label}
            for patient in range(patients)
            for view, label in enumerate(["benign", "malignant" if patient < malignant else "benign"])
        ]
    )


def test_a_sample_is_of_whole_patients_with_cancers_in_it() -> None:
    found = sample(rows(), 9, seed=0)
    assert len(found) == 8 and set(found["patient_id"].value_counts()) == {2}
    assert (found["label"] == "malignant").sum() >= 2
    assert found.index.is_monotonic_increasing


def test_a_sample_depends_on_seed_and_ids_but_not_on_the_order_of_rows() -> None:
    first = set(sample(rows(), 10, seed=0)["path"])
    assert set(sample(rows().sample(frac=1, random_state=1), 10, seed=0)["path"]) == first
    assert set(sample(rows(), 10, seed=1)["path"]) != first
    assert sample(rows(), None, 0).equals(rows()) and sample(rows(), 60, 0).equals(rows())


def test_a_patient_larger_than_the_limit_is_taken_alone() -> None:
    assert len(sample(rows(), 1, seed=0)) == 2


def test_spreading_takes_one_image_a_patient_first_and_malignant_ones() -> None:
    found = spread(rows(), 20, seed=0)
    assert len(found) == found["patient_id"].nunique() == 20
    assert (found["label"] == "malignant").sum() == 3
    assert len(spread(rows(), 45, seed=0)) == 45 and spread(rows(), 100, 0).equals(rows())


# ---------------------------------------------------------------- words


def words(cases: list[Case], empty: int = 0, curves: tuple[Curve, ...] = ()) -> str:
    return " ".join(verdict_of(metrics_of(cases, SETTINGS), cases, empty, curves))


def test_what_an_interval_does_not_exclude_is_no_better() -> None:
    said = words(hits([1.0] * 4 + [0.0] * 20, chance=0.15))
    assert "In 4 of 24 malignant images with a known lesion (12 patients)" in said
    assert "not clearly better (chance gives 15%, difference +2 points" in said


def test_what_it_excludes_is_better_or_worse() -> None:
    said = words(hits([1.0] * 22 + [0.0] * 2, chance=0.1, centre=0.999))
    assert "better (chance gives 10%" in said and "not clearly better (that gives 100%" in said
    assert "worse (chance gives 60%" in words(hits([0.0] * 24, chance=0.6))


def test_without_lesions_it_says_so() -> None:
    only = [case(number, off_breast=0.1, **{"off_breast:uniform": 0.4}) for number in range(12)]
    assert "It is not known whether the maps find lesions" in words(
        only
    ) and "10.0% of the maps' energy lies off the breast" in words(only)


def test_few_patients_are_no_ground_for_a_conclusion() -> None:
    assert "too few patients for an interval" in words(hits([1.0] * 4))


@pytest.mark.parametrize(
    ("difference", "says"),
    [
        (-0.2, "sooner than"),
        (0.0, "not clearly sooner than a random order"),
        (0.2, "does not mark what the score"),
    ],
)
def test_deletion_is_judged_beside_a_random_order(difference: float, says: str) -> None:
    generator = np.random.default_rng(0)
    cases = [
        case(number, deletion=0.5 + difference + 0.1 * generator.normal(), **{"deletion:random": 0.5}) for number in range(40)
    ]
    assert says in words(cases)
    assert told(cases, "deletion", CALLED).images == 40


def test_sooner_than_at_random_is_not_yet_sooner_than_from_the_middle() -> None:
    noise = 0.01 * np.random.default_rng(0).normal(size=40)
    cases = [
        case(number, deletion=0.3 + noise[number], **{"deletion:random": 0.5, "deletion:centre": 0.3}) for number in range(40)
    ]
    assert "in a random order" in words(cases)
    assert "But not clearly sooner than from the breast's middle outwards" in words(cases)


@pytest.mark.parametrize(("last", "tells"), [(0.3, True), (0.6, False), (0.7, False)])
def test_curves_of_a_score_that_does_not_fall_are_not_taken_for_a_good_map(last: float, tells: bool) -> None:
    noise = 0.01 * np.random.default_rng(0).normal(size=40)
    cases = [case(number, deletion=0.3 + noise[number], **{"deletion:random": 0.5}) for number in range(40)]
    mean = (0.6, 0.5, last)
    said = words(cases, curves=(Curve("deletion", "heatmap", (0.0, 0.5, 1.0), mean, mean, mean),))
    assert ("in a random order" in said) == tells
    assert ("cannot show here whether a map marks" in said) != tells


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (0.9, "stay much the same"),
        (0.5, "not clear"),
        (0.1, "become others"),
        (-0.3, "become others"),
        (-0.5, "not clear"),
        (-0.9, "turn round"),
    ],
)
def test_maps_that_survive_shuffled_weights_are_said(value: float, says: str) -> None:
    generator = np.random.default_rng(0)
    cases = [case(number, shuffled_rank=value + 0.05 * generator.normal()) for number in range(30)]
    assert says in words(cases, empty=3) and "(3 more became empty)" in words(cases, empty=3)


@pytest.mark.parametrize(
    ("value", "says"), [(0.9, "the map moves with it"), (0.5, "not clear"), (0.1, "the map becomes another")]
)
def test_whether_maps_move_with_the_image_is_said(value: float, says: str) -> None:
    generator = np.random.default_rng(0)
    assert says in words([case(number, shifted_rank=value + 0.05 * generator.normal()) for number in range(30)])


def test_flagged_maps_are_counted() -> None:
    empty = Case("/x.png", "P1", "benign", 0.1, False, flagged="the map is empty")
    assert "1 of 25 maps hold nothing" in words([*hits([1.0] * 24), empty])
