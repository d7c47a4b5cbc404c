from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.metrics.operating_points import DECIMALS
from core.metrics.placing import NO_REFERENCE, Reference

LABELS = ["malignant"] * 4 + ["benign"] * 5
SCORES = [0.2, 0.5, 0.6, 0.9, 0.1, 0.2, 0.3, 0.5, 0.7]


def test_errors_of_a_threshold_are_counted_in_both_classes() -> None:
    said = Reference.of(LABELS, SCORES).errors(0.5)
    assert "misses 1 of 4 malignant images and calls 2 of 5 benign ones malignant (25 and 40 per 100)" in said


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1), st.floats(0, 1))
def test_errors_are_those_of_deciding_each_image(rows: list[tuple[bool, float]], threshold: float) -> None:
    labels = np.array(["malignant" if malignant else "benign" for malignant, _ in rows])
    scores = np.round([score for _, score in rows], DECIMALS)
    called = scores >= round(threshold, DECIMALS)
    missed, alarms = (~called & (labels == "malignant")).sum(), (called & (labels == "benign")).sum()
    said = Reference.of(labels, scores).errors(threshold)
    assert (said == "") == (len(set(labels)) < 2)
    assert not said or (f"misses {missed} of" in said and f"calls {alarms} of" in said)


def test_a_probability_is_given_with_the_share_of_cancers_that_it_assumes() -> None:
    assert Reference.of(LABELS, SCORES).probability(0.25).endswith("where 44 % of the images are malignant: 0.250.")
    assert NO_REFERENCE.probability(0.25) == "Probability of malignancy, calibrated on validation: 0.250."


@pytest.mark.parametrize("labels", [["malignant"], ["benign"], []])
def test_nothing_is_said_of_a_class_without_images(labels: list[str]) -> None:
    assert Reference.of(labels, [0.5] * len(labels)).errors(0.5) == ""
