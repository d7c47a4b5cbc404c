"""candidate_pairs: images that share many codes are found, also mirrored ones, and few others."""

from __future__ import annotations

import numpy as np
import pytest
from builders.textured import textured_breast

from core.data.copies import search
from core.data.copies.fingerprint import BITS, CODES, fingerprint_of, flip_masks

NOTHING = np.zeros((0, CODES), np.uint32)


@pytest.fixture(scope="module")
def codes() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    made = [random.integers(0, 1 << BITS, (200, CODES)).astype(np.uint32) for _ in range(300)]
    for number in range(10):
        made[200 + number][:60] = made[number][:60]
    for number in range(20, 30):
        made[190 + number] = made[number][::-1] ^ flip_masks()[number % 4]
    return made


def test_copies_are_among_the_candidates_and_few_others(codes: list[np.ndarray]) -> None:
    found = search.candidate_pairs(codes)
    pairs = {(first, second): flip for first, second, flip in found}
    assert all(pairs[number, number + 200] == 0 for number in range(10))
    assert all(pairs[number, number + 190] == number % 4 for number in range(20, 30))
    assert len(pairs) == len(found) and all(first < second for first, second in pairs)
    assert len(found) < 300 * search.NEIGHBOURS


def test_a_picture_with_more_copies_than_a_code_lists_keeps_them_together(codes: list[np.ndarray]) -> None:
    copies = [codes[0].copy() for _ in range(search._LISTED + 40)]
    found = search.candidate_pairs([*codes, *copies])
    linked = {image for first, second, _ in found for image in (first, second) if first == 0 or first >= 300}
    assert linked >= {0, *range(300, 300 + len(copies))}


def test_without_features_nothing_is_compared(codes: list[np.ndarray]) -> None:
    assert search.candidate_pairs([]) == search.candidate_pairs(codes[:1]) == []
    assert search.candidate_pairs([NOTHING] * 5) == []
    assert search.candidate_pairs([NOTHING, codes[3], NOTHING, codes[3]]) == [(1, 3, 0)]


def test_a_tick_can_end_the_search(codes: list[np.ndarray]) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search.candidate_pairs(codes, tick=stop)


@pytest.mark.parametrize("flip", [1, 2, 3])
def test_a_mirrored_image_has_the_same_codes_with_some_bits_turned_round(flip: int) -> None:
    picture = textured_breast(3).astype(np.float32) / 255
    mirrored = picture[:, ::-1] if flip & 1 else picture
    mirrored = mirrored[::-1] if flip & 2 else mirrored
    own = {tuple(code) for code in (fingerprint_of(picture).codes ^ flip_masks()[flip]).tolist()}
    seen = [tuple(code) for code in fingerprint_of(np.ascontiguousarray(mirrored)).codes.tolist()]
    other = [tuple(code) for code in fingerprint_of(textured_breast(4).astype(np.float32) / 255).codes.tolist()]
    assert sum(code in own for code in seen) > 0.3 * len(seen)
    assert sum(code in own for code in other) < 0.02 * len(other)
