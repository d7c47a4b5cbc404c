"""The AUC by breast and patient as it is shown first: its rule in words, and the balanced one beside it."""

from __future__ import annotations

import itertools
from functools import partial

import numpy as np
import pandas as pd
import pytest

from core.files.typed import to_plain
from core.metrics import Interval, auc_interval
from core.metrics.aggregation import COMPLETED, ONE_IMAGE, aggregation_rules, one_image_auc
from core.metrics.headline_auc import headline_auc

# The level of the intervals, where a test does not set another.
aggregation_rules = partial(aggregation_rules, confidence=0.95)
auc_interval = partial(auc_interval, confidence=0.95)
headline_auc = partial(headline_auc, confidence=0.95)
one_image_auc = partial(one_image_auc, confidence=0.95)


def a_set(images: dict[tuple[bool, str], int], patients: int = 40, seed: int = 0) -> pd.DataFrame:
    """`images`: how many of a breast, by (malignant patient, side); the left breast of malignant patients is malignant."""
    draw = np.random.default_rng(seed)
    rows = [
        (f"P{number}", side, f"V{view}", "malignant" if number % 2 and side == "L" else "benign", draw.normal(number % 2))
        for number in range(patients)
        for (malignant, side), count in images.items()
        if malignant == bool(number % 2)
        for view in range(count)
    ]
    return pd.DataFrame(rows, columns=["patient_id", "laterality", "view", "label", "score"]).assign(split="test")


ONE_SIDED = {(False, "L"): 2, (False, "R"): 2, (True, "L"): 2}
EQUAL = {(False, "L"): 2, (False, "R"): 2, (True, "L"): 2, (True, "R"): 2}
MORE_VIEWS = {(False, "L"): 2, (False, "R"): 2, (True, "L"): 4, (True, "R"): 2}
UNIT = {"patient": ["patient_id"], "breast": ["patient_id", "laterality"]}


@pytest.mark.parametrize("level", ["patient", "breast"])
def test_one_random_image_is_the_mean_over_all_draws(level: str) -> None:
    frame = a_set(MORE_VIEWS, patients=16)
    units = [part for _, part in frame.groupby(UNIT[level])]
    ill = [part["score"] for part in units if (part["label"] == "malignant").any()]
    well = [part["score"] for part in units if not (part["label"] == "malignant").any()]
    wins = [np.mean([(a > b) + (a == b) / 2 for a, b in itertools.product(one, other)]) for one in ill for other in well]
    assert one_image_auc(frame, level).value == pytest.approx(np.mean(wins))


@pytest.mark.parametrize("level", ["patient", "breast"])
def test_with_one_image_each_it_is_the_plain_auc_with_its_limits(level: str) -> None:
    frame = a_set(ONE_SIDED, seed=3).drop_duplicates(UNIT[level])
    plain = auc_interval(frame["label"] == "malignant", frame["score"], frame["patient_id"])
    assert to_plain(one_image_auc(frame, level)) == pytest.approx(to_plain(plain))


def test_the_balanced_rule_evens_out_what_is_unequal() -> None:
    plain = Interval(0.7, 0.6, 0.8)
    sides = headline_auc(a_set(ONE_SIDED), "patient", plain)
    assert sides.rule == "mean of image scores over 2 to 4 images a patient (median 3)" and sides.balanced_rule == COMPLETED
    rules = {rule.name: rule for rule in aggregation_rules(a_set(ONE_SIDED))}
    assert sides.balanced == rules[COMPLETED].auc and rules[COMPLETED].balanced
    assert "malignant patients have fewer images and sides than benign ones" in sides.sentence
    assert sides.sentence.endswith(f"balanced ({COMPLETED}), the AUC is {sides.balanced}")
    # Everybody has two breasts: completing would change nothing, and one image does.
    views = headline_auc(a_set(MORE_VIEWS), "patient", plain)
    assert views.balanced_rule == ONE_IMAGE and "benign patients have fewer images than malignant ones" in views.sentence
    unknown = headline_auc(a_set(ONE_SIDED).assign(laterality=""), "patient", plain)
    assert unknown.balanced_rule == ONE_IMAGE and isinstance(unknown.balanced, Interval)
    assert (
        headline_auc(a_set(EQUAL), "patient", plain).sentence == ""
        and "balanced" not in headline_auc(a_set(EQUAL), "patient", plain).as_dict()
    )


def test_breasts_are_balanced_where_their_images_are_unequal() -> None:
    plain = Interval(0.7, 0.6, 0.8)
    assert headline_auc(a_set(ONE_SIDED), "breast", plain).as_dict() == {
        "level": "breast",
        "auc": to_plain(plain),
        "rule": "mean of image scores over 2 images a breast",
    }
    found = headline_auc(a_set(MORE_VIEWS), "breast", plain)
    assert found.balanced == one_image_auc(a_set(MORE_VIEWS), "breast") and "breasts have fewer images" in found.sentence
    assert found.as_dict()["unequal"][0]["fewer"] == "benign"


def test_too_few_patients_give_a_reason_and_no_figure() -> None:
    few = a_set(ONE_SIDED, patients=6)
    assert "at least" in one_image_auc(few, "patient")
    assert headline_auc(few, "patient", "too few").unequal == ()
