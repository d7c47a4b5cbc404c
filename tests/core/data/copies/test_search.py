"""candidate_pairs: the exact search and the graph find the same copies, also mirrored ones."""

from __future__ import annotations

import numpy as np
import pytest
from builders.textured import textured_breast

from core.data.copies import search
from core.data.copies.fingerprint import BAG, fingerprint_of, flipped_bags


@pytest.fixture(scope="module")
def bags() -> np.ndarray:
    random = np.random.default_rng(0)
    made = random.normal(size=(300, 24)) @ random.normal(size=(24, BAG)) + random.normal(size=(300, BAG))
    made = (made * 6).clip(-120, 120).astype(np.int8)
    made[200:210] = made[0:10]
    made[210:220] = flipped_bags(made[20:30].astype(np.float32), 1).astype(np.int8)
    return made


@pytest.mark.parametrize("exact", [1_000, 0])
def test_copies_are_among_the_candidates(bags: np.ndarray, exact: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "EXACT", exact)
    found = search.candidate_pairs(bags, bags)
    pairs = {(first, second): flip for first, second, flip in found}
    assert all(pairs[number, number + 200] == 0 for number in range(10))
    assert all(pairs[number, number + 190] == 1 for number in range(20, 30))
    assert all(first < second for first, second in pairs) and len(found) < 300 * search.NEIGHBOURS * 5


def test_few_images_are_all_candidates(bags: np.ndarray) -> None:
    assert {pair[:2] for pair in search.candidate_pairs(bags[:4], bags[:4])} == {
        (first, second) for second in range(4) for first in range(second)
    }
    assert search.candidate_pairs(bags[:1], bags[:1]) == []
    assert search.candidate_pairs(np.zeros((5, BAG), np.int8), np.zeros((5, BAG), np.int8)) == []


@pytest.mark.parametrize("flip", [1, 2, 3])
def test_the_bag_of_a_mirrored_image_is_the_mirrored_bag(flip: int) -> None:
    picture = textured_breast(3).astype(np.float32) / 255
    mirrored = picture[:, ::-1] if flip & 1 else picture
    mirrored = mirrored[::-1] if flip & 2 else mirrored
    bag = fingerprint_of(np.ascontiguousarray(mirrored)).bag.astype(np.float32)
    expected = flipped_bags(fingerprint_of(picture).bag[None].astype(np.float32), flip)[0]
    likeness = bag @ expected / np.linalg.norm(bag) / np.linalg.norm(expected)
    other = bag @ fingerprint_of(textured_breast(4).astype(np.float32) / 255).bag / np.linalg.norm(bag) / 508
    assert likeness > 0.8 > 0.5 > other
