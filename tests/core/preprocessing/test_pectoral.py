"""The pectoral muscle is found where its edge is clear, and nothing is cut where it is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from builders.phantom import breast_pixels, mammogram, oblique_pixels
from numpy.typing import NDArray

from core.config import Recipe
from core.images import Mammogram
from core.preprocessing import analyse, prepare, stages
from core.preprocessing.pectoral import Pectoral, find_pectoral


def find(pixels: NDArray[np.float32], view: str = "MLO") -> Pectoral:
    analysis = analyse(mammogram(pixels), Recipe())
    return find_pectoral(analysis.small, analysis.breast.mask, analysis.chest_wall.side, view)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("view", ["MLO", "ML", ""])
def test_the_muscle_is_marked_and_nothing_beyond_its_edge(side: str, view: str) -> None:
    pixels, muscle = oblique_pixels()
    if side == "right":
        pixels, muscle = np.ascontiguousarray(pixels[:, ::-1]), np.ascontiguousarray(muscle[:, ::-1])
    found = find(pixels, view)
    assert found.parameters["found"] and not found.warnings
    assert (found.mask[muscle > 0] > 0).mean() > 0.75  # its thin tip stays
    assert not found.mask[cv2.dilate(muscle, np.ones((7, 7), np.uint8)) == 0].any()


@pytest.mark.parametrize("view", ["CC", "XCCL", "FB"])
def test_views_without_a_muscle_are_left_alone(view: str) -> None:
    found = find(oblique_pixels()[0], view)
    assert not found.mask.any() and not found.warnings and view in found.parameters["reason"]


def soft(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), 40), dtype=np.float32)


def with_lesion(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    cv2.circle(pixels, (45, 70), 30, 0.95, -1)
    return pixels


def no_muscle() -> NDArray[np.float32]:
    pixels, muscle = oblique_pixels()
    texture = cv2.GaussianBlur(np.random.default_rng(4).normal(size=pixels.shape).astype(np.float32), (0, 0), 2)
    return np.clip(np.where(muscle > 0, 0.45 + 0.15 * texture, pixels), 0, 1).astype(np.float32)


@pytest.mark.parametrize(
    "pixels",
    [no_muscle(), with_lesion(no_muscle()), breast_pixels(), with_lesion(breast_pixels()), soft(oblique_pixels()[0])],
    ids=["no muscle", "a lesion in the corner", "not at the upper edge", "a lesion there", "no edge"],
)
def test_without_a_clear_edge_nothing_is_cut_and_that_is_said(pixels: NDArray[np.float32]) -> None:
    found = find(pixels)
    assert not found.mask.any() and not found.parameters["found"]
    assert len(found.warnings) == 1 and "nothing was removed" in found.warnings[0]


def test_an_unknown_view_without_a_muscle_is_no_reason_to_warn() -> None:
    found = find(no_muscle(), "")
    assert not found.mask.any() and found.parameters["reason"] and not found.warnings


@pytest.mark.parametrize("shape", [(8, 8), (40, 31), (200, 33)])
@pytest.mark.parametrize("level", [0.0, 0.5])
def test_odd_images_are_survived(shape: tuple[int, int], level: float) -> None:
    flat = np.full(shape, level, np.float32)
    for mask in (np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8)):
        assert not find_pectoral(flat, mask, "left", "MLO").mask.any()


def oblique(change: Any) -> Mammogram:
    image = mammogram(change(oblique_pixels(512, 512)[0]))
    return replace(image, meta=replace(image.meta, view="MLO"))


@pytest.mark.parametrize("change", [lambda pixels: pixels[:, ::-1], lambda pixels: 1 - pixels])
def test_mirrored_and_inverted_films_lose_the_same_muscle(change: Any) -> None:
    recipe = Recipe(size=256, pectoral=True)
    straight = prepare(oblique(lambda pixels: pixels), recipe)
    changed = prepare(oblique(change), recipe)
    difference = np.abs(straight.pixels.astype(int) - changed.pixels)
    assert (difference > 12).mean() < 0.005 and difference.mean() < 0.5


def test_the_muscle_is_black_and_the_rest_as_it_was() -> None:
    image = oblique(lambda pixels: pixels)
    plain, without = (
        {stage.name: stage for stage in stages(image, Recipe(pectoral=choice, clahe=False))} for choice in (False, True)
    )
    assert "pectoral" not in plain and without["pectoral"].step.parameters["found"]
    removed = (plain["background"].pixels > 0) & (without["pectoral"].pixels == 0)
    assert 0.02 < removed.mean() < 0.2 and removed[:40, :60].all()
    np.testing.assert_array_equal(without["pectoral"].pixels[~removed], plain["background"].pixels[~removed])
