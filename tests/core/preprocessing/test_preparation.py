"""prepare: exact geometry, true grey levels, one chain for preview and model, and no failures."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import pytest
from builders.phantom import breast_pixels, mammogram
from hypothesis import given, settings
from hypothesis import strategies as st

from core.config import Recipe
from core.preprocessing import (
    analyse,
    map_boxes,
    normalise_intensity,
    normalise_spatially,
    original_from_prepared,
    prepare,
    quality,
    stages,
)
from core.preprocessing.geometry import map_points

PLAIN = {"polarity": "keep", "remove_background": False, "crop": False, "orient": False, "clahe": False}


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("size", [128, (160, 96), (96, 200)])
@pytest.mark.parametrize("switches", [{}, {"crop": False}, {"orient": False}, {"remove_background": False}, {"clahe": False}])
def test_the_matrix_maps_fiducials_onto_themselves(side: str, size: Any, switches: dict[str, Any]) -> None:
    pixels = breast_pixels(chest_wall=side, label=False) * 0.3
    dots = np.array([[60, 130], [120, 200], [40, 260]], float)
    if side == "right":
        dots[:, 0] = 300 - dots[:, 0]
    for x, y in dots.astype(int):
        pixels[y - 6 : y + 6, x - 6 : x + 6] = 1.0  # centred on the corner between four pixels: (x, y) exactly
    prepared = prepare(mammogram(pixels), Recipe(size=size, polarity="keep", **switches))
    shape = (size, size) if isinstance(size, int) else size
    assert prepared.pixels.shape == shape and prepared.pixels.dtype == np.uint8 and prepared.pixels.flags.c_contiguous
    scale = abs(prepared.matrix[0, 0])
    for x, y in map_points(dots, prepared.matrix):
        radius = 6 * scale + 2
        columns, rows = np.meshgrid(np.arange(shape[1]) + 0.5, np.arange(shape[0]) + 0.5)
        near = (abs(columns - x) < radius) & (abs(rows - y) < radius) & (prepared.pixels > 180)
        weights = prepared.pixels[near].astype(float)
        assert np.average(columns[near], weights=weights) == pytest.approx(x, abs=0.35)
        assert np.average(rows[near], weights=weights) == pytest.approx(y, abs=0.35)


def test_the_aspect_ratio_is_kept_and_padding_is_black() -> None:
    prepared = prepare(mammogram(breast_pixels(800, 300)), Recipe(size=256))
    x0, y0, x1, y1 = prepared.breast
    assert x0 == 0 and y0 == 0 and y1 == 256 and x1 < 200  # chest wall at the left edge, all padding on the right
    assert abs(prepared.matrix[0, 0] / prepared.matrix[1, 1]) == pytest.approx(1, abs=0.01)
    assert (prepared.pixels[:, x1:] == 0).all() and prepared.pixels[:, :x1].any()


@pytest.mark.parametrize("clahe", [False, True])
def test_outside_the_breast_everything_is_black(clahe: bool) -> None:
    pixels = breast_pixels() + np.float32(0.05)
    prepared = prepare(mammogram(pixels), Recipe(size=(400, 300), crop=False, clahe=clahe, window_low=0))
    assert (prepared.pixels[20:40, 250:290] == 0).all() and (prepared.pixels[:20] == 0).all()
    kept = prepare(mammogram(pixels), Recipe(size=(400, 300), crop=False, clahe=clahe, remove_background=False))
    assert kept.pixels[20:40, 250:290].min() > 100


@pytest.mark.parametrize(
    "recipe", [Recipe(), Recipe(**PLAIN), Recipe(size=(64, 300), clip_limit=4, tile_grid=16), Recipe(size=1024)]
)
def test_stages_end_in_exactly_what_prepare_gives(recipe: Recipe) -> None:
    image = mammogram(1 - breast_pixels(chest_wall="right"))
    shown, prepared = stages(image, recipe), prepare(image, recipe)
    np.testing.assert_array_equal(shown[-1].pixels, prepared.pixels.astype(np.float32) / np.float32(255))
    assert [stage.name for stage in shown[1:]] == [step.name for step in prepared.steps]
    assert shown[0].pixels is image.pixels and prepared.recipe_hash == recipe.hash
    assert all(stage.pixels.dtype == np.float32 and 0 <= stage.pixels.min() <= stage.pixels.max() <= 1 for stage in shown)


def test_stages_show_what_their_names_say() -> None:
    upright = breast_pixels()
    shown = {stage.name: stage.pixels for stage in stages(mammogram(1 - upright[:, ::-1]), Recipe())}
    np.testing.assert_allclose(shown["polarity"], upright[:, ::-1], atol=1e-6)
    assert shown["background"][20:40, 10:50].max() == 0 < shown["polarity"][20:40, 10:50].min()
    assert shown["crop"].shape[1] < 220
    np.testing.assert_array_equal(shown["orientation"], shown["crop"][:, ::-1])


@pytest.mark.parametrize("change", [lambda pixels: pixels[:, ::-1], lambda pixels: 1 - pixels])
def test_mirrored_and_inverted_files_prepare_alike(change: Any) -> None:
    pixels = breast_pixels(512, 512)
    straight, changed = (prepare(mammogram(p), Recipe(size=256)).pixels.astype(int) for p in (pixels, change(pixels)))
    assert np.abs(straight - changed).max() <= 12 and np.abs(straight - changed).mean() < 0.5


def test_the_window_shows_its_percentiles_as_black_and_white() -> None:
    ramp = np.tile(np.linspace(0, 1, 1001, dtype=np.float32), (400, 1))
    recipe = Recipe(**PLAIN, size=(400, 1001), window_low=10, window_high=90)
    image = mammogram(ramp)
    levels = analyse(image, recipe).levels  # of the breast: here the part of the ramp that is not as dark as air
    low, high = np.percentile(levels, (10, 90))
    pixels = prepare(image, recipe).pixels[200]
    expected = np.clip((ramp[0] - low) / (high - low), 0, 1) * 255
    np.testing.assert_allclose(pixels, expected, atol=1.5)


def test_clahe_follows_its_slider_at_low_clip_limits() -> None:
    """On raw 16-bit levels OpenCV's clip limit does nothing between 1 and 4: ours has to."""
    faint = breast_pixels(1024, 768) * 0.2 + 0.02  # 14-bit detectors fill a part of their range
    contrast = []
    for clip in (0.5, 1, 2, 4):
        recipe = Recipe(clip_limit=clip, tile_grid=8, size=(1024, 768), crop=False, window_high=100)
        inside = prepare(mammogram(faint), recipe).pixels[400:600, 50:250].astype(np.float32)
        contrast.append(float((inside - cv2.GaussianBlur(inside, (0, 0), 8)).std()))
    assert all(later > 1.03 * earlier for earlier, later in pairwise(contrast)), contrast


@pytest.mark.parametrize("clip", [1, 2, 4])
def test_a_clip_limit_does_as_much_for_8_bit_files_as_for_16_bits(clip: float) -> None:
    fine = np.clip(breast_pixels(1024, 768) * 0.7 + np.random.default_rng(6).normal(0, 0.01, (1024, 768)), 0, 1)
    fine = np.rint(fine * 65535) / 65535
    gains = []
    for pixels in (fine, np.rint(fine * 255) / 255):
        arranged = normalise_spatially(mammogram(pixels.astype(np.float32)), Recipe())
        plain, clahe = (normalise_intensity(arranged, Recipe(clahe=on, clip_limit=clip)).pixels for on in (False, True))
        gains.append(quality(plain, clahe, None).local_contrast_gain)
    assert gains[1] == pytest.approx(gains[0], rel=0.12)


@pytest.mark.slow
def test_preparation_is_deterministic_across_threads() -> None:
    images = [mammogram(breast_pixels(600 + 40 * k, 500, chest_wall=("left", "right")[k % 2])) for k in range(4)]
    alone = [prepare(image, Recipe()).pixels for image in images]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda image: prepare(image, Recipe()).pixels, images * 4))
    for k, pixels in enumerate(together):
        np.testing.assert_array_equal(pixels, alone[k % 4])


def test_a_kept_analysis_gives_the_same_and_a_foreign_one_is_refused() -> None:
    image = mammogram(breast_pixels())
    kept = analyse(image, Recipe())
    for recipe in (Recipe(), Recipe(clip_limit=5, crop_margin=0.1, window_high=99, size=64)):
        np.testing.assert_array_equal(prepare(image, recipe, analysis=kept).pixels, prepare(image, recipe).pixels)
    with pytest.raises(ValueError, match="analyse"):
        prepare(image, Recipe(polarity="invert"), analysis=kept)
    with pytest.raises(ValueError, match="analyse"):
        prepare(mammogram(breast_pixels(200, 200)), Recipe(), analysis=kept)


def test_boxes_map_with_their_edges_in_order() -> None:
    prepared = prepare(mammogram(breast_pixels(chest_wall="right")), Recipe(size=200))
    ((x0, y0, x1, y1),) = map_boxes([(200, 150, 240, 170)], prepared.matrix)
    assert 0 < x0 < x1 < 200 and 0 < y0 < y1 < 200
    assert (x1 - x0) / (y1 - y0) == pytest.approx(2, rel=0.02)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_map_returns_to_the_place_it_came_from(side: str) -> None:
    pixels = breast_pixels(chest_wall=side)
    prepared = prepare(mammogram(pixels), Recipe(size=200))
    heat = np.zeros((200, 200), np.float32)
    point = (100.0, 180.0) if side == "left" else (200.0, 180.0)
    ((x, y),) = map_points(np.array([point]), prepared.matrix)
    cv2.circle(heat, (round(x - 0.5), round(y - 0.5)), 6, 1.0, -1)
    back = original_from_prepared(heat, prepared, pixels.shape)
    rows, columns = np.nonzero(back > 0.5)
    assert back.shape == pixels.shape and back.dtype == np.float32
    assert columns.mean() + 0.5 == pytest.approx(point[0], abs=1.5) and rows.mean() + 0.5 == pytest.approx(point[1], abs=1.5)
    everywhere = original_from_prepared(np.ones((200, 200, 3), np.uint8), prepared, pixels.shape)
    far = 290 if side == "left" else 10
    assert everywhere[200, far].max() == 0 and everywhere[200, 300 - far].min() == 1
    with pytest.raises(ValueError, match="prepared size"):
        original_from_prepared(np.ones((10, 10)), prepared, pixels.shape)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 60),
    st.integers(1, 60),
    st.sampled_from(
        [Recipe(size=32), Recipe(size=(64, 32), tile_grid=64), Recipe(size=32, polarity="invert", crop_margin=0.25)]
    ),
    st.integers(0, 2**32 - 1),
)
def test_no_image_is_too_odd(height: int, width: int, recipe: Recipe, seed: int) -> None:
    pixels = np.random.default_rng(seed).random((height, width), dtype=np.float32)
    prepared = prepare(mammogram(pixels), recipe)
    assert prepared.pixels.shape == recipe.shape
    x0, y0, x1, y1 = prepared.breast
    assert 0 <= x0 < x1 <= recipe.shape[1] and 0 <= y0 < y1 <= recipe.shape[0]


def test_doubts_are_said_once_and_only_where_they_matter() -> None:
    blank = mammogram(np.full((200, 200), 0.5, np.float32))
    warnings = prepare(blank, Recipe()).warnings
    assert len(warnings) == 2 and len(set(warnings)) == 2
    assert prepare(blank, Recipe(**PLAIN)).warnings == ()
    inverted = mammogram(1 - breast_pixels())
    assert any("inverted" in text for text in prepare(inverted, Recipe(polarity="keep")).warnings)
    assert prepare(inverted, Recipe()).warnings == ()
