"""FROC and AFROC: worked out by hand, and the same as the definitions pair by pair."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest

from core.errors import NotEnoughData
from core.files.typed import from_plain, to_plain
from core.metrics import auc_interval
from core.metrics.froc import Froc, MarkedImage, froc
from core.metrics.intervals import Interval, wilson
from core.metrics.proportions import clustered_wilson

# The level of the intervals, where a test does not set another.
auc_interval = partial(auc_interval, confidence=0.95)
froc = partial(froc, confidence=0.95)
wilson = partial(wilson, confidence=0.95)

# Two images with lesions (the second has two, one of them missed) and two without; b's marks hit one lesion twice.
BY_HAND = [
    MarkedImage("a", 1, [(0.9, 0), (0.4, -1)]),
    MarkedImage("b", 2, [(0.7, 1), (0.5, 1), (0.6, -1)]),
    MarkedImage("c", 0, [(0.8, -1), (0.3, -1)]),
    MarkedImage("d", 0, []),
]


def test_a_curve_worked_out_by_hand() -> None:
    """Down the ratings: 0.9 hit, 0.8 false, 0.7 hit, 0.6 false, 0.4 false, 0.3 false; 3 lesions, 4 images."""
    found = froc(BY_HAND, samples=50)
    assert found.false_marks == pytest.approx((0, 0, 0.25, 0.25, 0.5, 0.75, 1.0))
    assert found.shares == pytest.approx((0, 1 / 3, 1 / 3, 2 / 3, 2 / 3, 2 / 3, 2 / 3))
    assert (found.images, found.lesion_free, found.lesions, found.patients) == (4, 2, 3, 4)
    assert "only 2 patients" in found.area and "only 2 patients" in found.found[1.0]


def many(patients: int = 60, seed: int = 0) -> list[MarkedImage]:
    random = np.random.default_rng(seed)
    images = []
    for patient in range(patients):
        for _ in range(2):
            lesions = int(random.integers(1, 3)) if patient % 2 else 0
            marks = [(float(np.round(random.beta(4, 2), 2)), lesion) for lesion in range(lesions) if random.random() < 0.8]
            marks += [(float(np.round(random.beta(2, 3), 2)), -1) for _ in range(random.integers(0, 4))]
            images.append(MarkedImage(str(patient), lesions, marks))
    return images


def test_the_afroc_area_is_lesions_against_lesion_free_images_pair_by_pair() -> None:
    images = many()
    lesions, free = [], []
    for image in images:
        if image.lesions:
            lesions += [max((r for r, hit in image.marks if hit == n), default=-1.0) for n in range(image.lesions)]
        else:
            free.append(max((r for r, _ in image.marks), default=-1.0))
    wins = np.mean([(a > b) + 0.5 * (a == b) for a in lesions for b in free])
    found = froc(images, samples=100)
    assert found.area.value == pytest.approx(wins) and found.area.low < wins < found.area.high
    groups = [i.patient_id for i in images if i.lesions for _ in range(i.lesions)]
    groups += [i.patient_id for i in images if not i.lesions]
    truth = [True] * len(lesions) + [False] * len(free)
    assert found.area == auc_interval(truth, lesions + free, groups)


def test_shares_at_given_false_marks_and_their_limits_are_those_of_the_plain_loop() -> None:
    images = many(20, seed=3)
    found = froc(images, samples=60, seed=4)

    def share(chosen: list[MarkedImage], rate: float) -> float:
        best = 0.0
        for t in sorted({mark[0] for image in chosen for mark in image.marks}, reverse=True):
            false = sum(rating >= t for image in chosen for rating, lesion in image.marks if lesion < 0) / len(chosen)
            hit = sum(
                any(rating >= t and lesion == n for rating, lesion in image.marks)
                for image in chosen
                for n in range(image.lesions)
            )
            if false <= rate + 1e-12:
                best = max(best, hit / sum(image.lesions for image in chosen))
        return best

    names = sorted({image.patient_id for image in images})
    drawn = np.random.default_rng(4).integers(0, 20, size=(60, 20))
    samples = [[image for p in row for image in images if image.patient_id == names[p]] for row in drawn]
    for rate in (0.25, 1.0):
        low, high = np.quantile([share(chosen, rate) for chosen in samples], (0.025, 0.975))
        figure = found.found[rate]
        assert figure.value == pytest.approx(share(images, rate))
        inner = at_its_rating(images, rate)
        assert figure.value == pytest.approx(inner.value)
        assert (figure.low, figure.high) == pytest.approx((min(low, inner.low), max(high, inner.high)))


def at_its_rating(images: list[MarkedImage], rate: float) -> Interval:
    """Wilson's limits at the lowest rating that gives no more false marks an image than `rate`."""
    ratings = sorted({mark[0] for image in images for mark in image.marks}, reverse=True)
    least = np.inf
    for t in ratings:
        if sum(rating >= t for image in images for rating, lesion in image.marks if lesion < 0) / len(images) <= rate:
            least = t
    rows = [
        (any(rating >= least and lesion == n for rating, lesion in image.marks), image.patient_id)
        for image in images
        for n in range(image.lesions)
    ]
    return clustered_wilson(*map(list, zip(*rows, strict=True)), confidence=0.95)


def test_one_lesion_found_has_no_narrower_limits_than_none() -> None:
    """24 patients with one lesion each; at first no mark hits, then one."""
    images = [MarkedImage(str(n), 1, [(0.5, -1)]) for n in range(24)] + [MarkedImage(f"w{n}", 0, []) for n in range(24)]
    none = froc(images, samples=200).found[1.0]
    marked = [MarkedImage("0", 1, [(0.9, 0)]), *images[1:]]
    one = froc(marked, samples=200).found[1.0]
    assert none.low == 0 < none.high < one.high and one.high == at_its_rating(marked, 1.0).high


def test_marks_that_never_hit_leave_a_share_of_nothing_with_limits_all_the_same() -> None:
    images = [MarkedImage(str(n), n % 2, [(0.5, -1)]) for n in range(24)]
    found = froc(images, samples=30)
    assert (found.found[2.0].low, found.found[2.0].high) == (
        0,
        pytest.approx(wilson(0, 12).high),
    ) and found.area.value == 0.0 < found.area.high


def test_without_lesions_there_is_nothing_to_find() -> None:
    with pytest.raises(NotEnoughData, match="expected images with lesions, got 1 without"):
        froc([MarkedImage("a", 0, [(0.5, -1)])])


def test_a_curve_is_read_back_equal() -> None:
    found = froc(many(16), samples=20)
    assert from_plain(Froc, json.loads(json.dumps(to_plain(found), allow_nan=False))) == found
