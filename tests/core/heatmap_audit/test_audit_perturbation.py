"""Deletion and insertion against a scorer that can be computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from core.heatmap_audit.perturbation import area_under, blurred_breast, perturbation_curves, random_map, ranking

BREAST = np.ones((2, 4), np.bool_)
BREAST[:, 3] = False
PIXELS = np.array([[240, 0, 0, 9], [120, 0, 0, 9]], np.uint8)


def brightness(images: np.ndarray) -> list[float]:
    return [float(image.sum()) for image in images]


def test_curves_are_the_scores_of_images_changed_pixel_by_pixel() -> None:
    values = np.array([[0.9, 0.1, 0.2, 1.0], [0.5, 0.3, 0.4, 1.0]], np.float32)
    found = perturbation_curves(PIXELS, BREAST, {"heatmap": values}, brightness, among_equal=values, steps=3, blur=50.0)
    # A blur far wider than the breast is its mean: 360 / 6 = 60. Air keeps its 18.
    assert found["deletion", "heatmap"].tolist() == [378, 378 - 240 - 120 + 120, 378 - 360 + 240, 378]
    assert found["insertion", "heatmap"].tolist() == [378, 378 - 120 + 360, 378 - 240 + 360, 378]


def test_air_is_neither_ranked_nor_changed() -> None:
    values = np.array([[0.9, 0.1, 0.2, 1.0], [0.5, 0.3, 0.4, 1.0]], np.float32)
    assert ranking(values, BREAST, values).tolist() == [0, 4, 6, 5, 2, 1]
    assert blurred_breast(PIXELS, BREAST, 2.0)[:, 3].tolist() == [9, 9]


def test_equal_pixels_are_ranked_by_the_second_map() -> None:
    values = np.array([[0.9, 0.0, 0.0, 1.0], [0.5, 0.0, 0.0, 1.0]], np.float32)
    second = np.array([[0.1, 0.2, 0.4, 1.0], [0.2, 0.3, 0.1, 1.0]], np.float32)
    assert ranking(values, BREAST, second).tolist() == [0, 4, 2, 5, 1, 6]


def test_the_blur_stays_within_the_breast() -> None:
    breast = np.zeros((40, 40), np.bool_)
    breast[:, :20] = True
    pixels = np.where(breast, 100, 0).astype(np.uint8)
    assert np.array_equal(blurred_breast(pixels, breast, 6.0), pixels), "an even breast stays even up to its outline"


def test_area_is_by_trapezoids() -> None:
    assert area_under(np.array([1.0, 0.5, 0.0])) == pytest.approx(0.5)
    assert area_under(np.array([1.0, 0.0, 0.0])) == pytest.approx(0.25)


def test_marking_what_the_score_rests_on_deletes_sooner_and_inserts_sooner() -> None:
    generator = np.random.default_rng(0)
    pixels = generator.integers(60, 80, (32, 32)).astype(np.uint8)
    pixels[10:16, 20:26] = 250
    breast = np.ones((32, 32), np.bool_)
    oracle = (pixels == 250).astype(np.float32)
    maps = {"oracle": oracle, "random": random_map((32, 32), "a", 0), "inverse": 1 - oracle}

    def spot(images: np.ndarray) -> list[float]:
        return [float((image > 200).mean()) for image in images]

    found = perturbation_curves(pixels, breast, maps, spot, among_equal=maps["random"], steps=8, blur=4.0)
    deletion, insertion = (
        {name: area_under(curve) for (kind, name), curve in found.items() if kind == wanted}
        for wanted in ("deletion", "insertion")
    )
    assert deletion["oracle"] < deletion["random"] < deletion["inverse"]
    assert insertion["oracle"] > insertion["random"] > insertion["inverse"]


def test_random_maps_belong_to_their_name_and_seed() -> None:
    first = random_map((32, 48), "a", 0)
    assert first.shape == (32, 48) and first.min() >= 0 and first.max() <= 1
    assert np.array_equal(first, random_map((32, 48), "a", 0))
    assert not np.array_equal(first, random_map((32, 48), "b", 0)) and not np.array_equal(first, random_map((32, 48), "a", 1))
