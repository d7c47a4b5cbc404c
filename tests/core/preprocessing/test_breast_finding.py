"""Polarity, breast outline and chest wall on pictures where the truth is known."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from builders.phantom import breast_pixels, mammogram, oblique_pixels
from hypothesis import given, settings
from hypothesis import strategies as st

from core.config import Recipe
from core.gate import refusal_of_origin
from core.preprocessing import analyse, prepare
from core.preprocessing.breast import APART, JOINED


def film(pixels: Any) -> Any:
    """As a digitised film: grey base, white rim, a blackened name plate."""
    out = 0.12 + 0.8 * pixels
    rim = 6
    out[:rim], out[-rim:], out[:, -rim:] = 1, 1, 1
    out[150:200, -50:-30] = 0
    return out


def implant(pixels: Any) -> Any:
    cv2.circle(pixels, (60, 200), 55, 1.0, -1)
    return pixels


def padded(pixels: Any) -> Any:
    return np.pad(pixels, ((0, 0), (120, 120)))


def noisy(pixels: Any) -> Any:
    return np.clip(pixels + np.random.default_rng(0).normal(0, 0.01, pixels.shape), 0, 1)


LOOKS = {"plain": lambda pixels: pixels, "film": film, "implant": implant, "padded": padded, "noisy": noisy}


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("stored_inverted", [False, True])
@pytest.mark.parametrize("side", ["left", "right"])
def test_polarity_and_chest_wall_are_found(look: str, stored_inverted: bool, side: str) -> None:
    pixels = LOOKS[look](breast_pixels())
    pixels = pixels[:, ::-1] if side == "right" else pixels
    found = analyse(mammogram(1 - pixels if stored_inverted else pixels), Recipe())
    assert found.polarity.inverted is stored_inverted and not found.polarity.unsure
    assert found.chest_wall.side == side and not found.chest_wall.unsure


@pytest.mark.parametrize("look", ["plain", "film", "padded", "noisy"])
def test_the_outline_holds_the_breast_and_no_label(look: str) -> None:
    pixels = LOOKS[look](breast_pixels())
    found = analyse(mammogram(pixels), Recipe())
    shift = 120 if look == "padded" else 0
    truth = np.zeros((400, 300), np.uint8)
    cv2.ellipse(truth, (0, 200), (180, 168), 0, 0, 360, 1, -1)
    whole = cv2.resize(found.breast.mask, found.shape[::-1], interpolation=cv2.INTER_NEAREST)
    mask = whole[:, shift : shift + 300] > 0
    assert mask[truth > 0].mean() > 0.995
    assert mask[truth == 0].mean() < 0.08
    assert not mask[20:40, 250:290].any()
    x0, y0, x1, y1 = found.box
    assert x0 <= shift and x1 >= shift + 180 and y0 <= 32 and y1 >= 368 and x1 < shift + 200


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (7, 7), (300, 200)])
def test_uniform_and_tiny_images_are_kept_whole(level: float, shape: tuple[int, int]) -> None:
    found = analyse(mammogram(np.full(shape, level, np.float32)), Recipe())
    assert not found.breast.found and found.breast.warning and found.box == (0, 0, shape[1], shape[0])
    assert not found.polarity.inverted and found.polarity.unsure


def test_an_image_full_of_breast_is_kept_and_flagged() -> None:
    texture = cv2.GaussianBlur(np.random.default_rng(1).normal(size=(300, 300)).astype(np.float32), (0, 0), 3)
    found = analyse(mammogram(np.clip(0.5 + texture, 0.2, 1)), Recipe(polarity="keep"))
    assert found.breast.warning or found.chest_wall.unsure
    assert found.levels.size > 0


def test_dark_fat_is_not_taken_for_unexposed_film() -> None:
    """A flat region just above air, as wide as film would be, is part of the breast when it is not large."""
    pixels = np.full((512, 512), 0.004, np.float32)
    cv2.ellipse(pixels, (0, 256), (260, 200), 0, 0, 360, 0.05, -1)
    texture = cv2.GaussianBlur(np.random.default_rng(3).normal(size=pixels.shape).astype(np.float32), (0, 0), 2)
    dense = np.zeros(pixels.shape, np.uint8)
    cv2.ellipse(dense, (0, 256), (225, 165), 0, 0, 360, 1, -1)
    pixels = np.where(dense > 0, np.clip(0.5 + texture, 0.2, 0.8), pixels).astype(np.float32)
    found = analyse(mammogram(pixels), Recipe())
    x0, y0, x1, y1 = found.box
    assert (x0, y0 <= 57, x1 >= 260, y1 >= 455) == (0, True, True, True)


def test_an_outline_that_is_no_breast_s_is_flagged() -> None:
    pixels = breast_pixels(400, 400)
    for row in (100, 200, 300):  # the arms of a compression device
        pixels[row - 12 : row + 12] = 0.9
    assert "outline" in analyse(mammogram(pixels), Recipe()).breast.warning
    assert not analyse(mammogram(breast_pixels(400, 400)), Recipe()).breast.warning


def _pair(*walls: str) -> np.ndarray:
    """Breasts beside each other, each with its chest wall on the side named."""
    return np.hstack([breast_pixels(400, 300, chest_wall=wall) for wall in walls])


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        (_pair("left", "right"), APART),
        (_pair("left", "left"), APART),
        (np.vstack([_pair("left", "right"), _pair("left", "right")]), APART),
        (np.vstack([breast_pixels(400, 300), breast_pixels(400, 300)]), APART),
        (_pair("right", "left"), JOINED),
        (np.vstack([_pair("right", "left"), _pair("right", "left")]), APART),
    ],
    ids=["facing", "in a row", "grid", "stacked", "back to back", "grid back to back"],
)
def test_several_breasts_in_one_image_are_told_and_get_no_verdict(pixels: np.ndarray, said: str) -> None:
    image = mammogram(pixels)
    prepared = prepare(image, Recipe())
    assert said in prepared.warnings
    assert refusal_of_origin(image.meta, breast_found=True, recipe=Recipe(), warnings=prepared.warnings) == said
    patches = Recipe(crop=False, remove_background=False)
    assert refusal_of_origin(image.meta, breast_found=True, recipe=patches, warnings=prepared.warnings) == ""


@pytest.mark.parametrize("margin", [0, 60])
@pytest.mark.parametrize("picture", ["breast", "muscle"])
def test_one_breast_with_or_without_a_film_s_margin_is_one(picture: str, margin: int) -> None:
    pixels = breast_pixels(400, 300) if picture == "breast" else oblique_pixels(400, 300)[0]
    framed = np.pad(pixels, margin, constant_values=0.02)
    assert not {APART, JOINED} & set(prepare(mammogram(framed), Recipe()).warnings)


def test_the_breast_s_grey_levels_hold_no_air() -> None:
    found = analyse(mammogram(breast_pixels(800, 600)), Recipe())
    assert found.level_at(0.5) > 0.2  # air is 0.02, the darkest tissue about 0.25
    assert found.breast.mask[found.breast.tissue > 0].all()


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    st.integers(30, 900),
    st.integers(30, 700),
    st.floats(0.0, 1.0),
    st.floats(0.2, 1.2),
    st.sampled_from(["left", "right"]),
    st.booleans(),
)
def test_the_crop_holds_every_pixel_of_the_mask(
    height: int, width: int, centre: float, extent: float, side: str, stored_inverted: bool
) -> None:
    pixels = np.full((height, width), 0.02, np.float32)
    cv2.ellipse(pixels, (0, int(centre * height)), (int(extent * width), height // 3), 0, 0, 360, 0.6, -1)
    pixels = np.clip(pixels + np.random.default_rng(1).normal(0, 0.02, pixels.shape), 0, 1).astype(np.float32)
    pixels = pixels[:, ::-1] if side == "right" else pixels
    found = analyse(mammogram(1 - pixels if stored_inverted else pixels), Recipe())
    rows, columns = np.nonzero(found.breast.mask)
    across, down = width / found.breast.mask.shape[1], height / found.breast.mask.shape[0]
    x0, y0, x1, y1 = found.box
    assert x0 <= columns.min() * across and (columns.max() + 1) * across <= x1 + 1e-6
    assert y0 <= rows.min() * down and (rows.max() + 1) * down <= y1 + 1e-6
    assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
