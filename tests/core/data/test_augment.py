"""Augmentation: stateless, within its bounds, and black stays black."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from core.config import AugmentationConfig
from core.data.augment import Change, apply, draw, to_float

STILL = Change(flip=False, angle=0.0, scale=1.0, brightness=0.0, contrast=1.0)
NOTHING = AugmentationConfig(horizontal_flip=False, rotation=0, zoom=0, brightness=0, contrast=0)


def breast(height: int = 60, width: int = 40) -> np.ndarray:
    """Smooth bright half-ellipse at the left edge, black elsewhere; uint8."""
    y, x = np.mgrid[:height, :width]
    inside = (x / (0.7 * width)) ** 2 + ((y - height / 2) / (0.4 * height)) ** 2
    return np.clip(230 * (1 - inside), 0, 255).astype(np.uint8)


def test_the_same_numbers_give_the_same_change_and_others_another() -> None:
    config = AugmentationConfig()
    first = draw(config, 1, 2, 3)
    assert draw(config, 1, 2, 3) == first
    others = {draw(config, *key) for key in [(0, 2, 3), (1, 0, 3), (1, 2, 0), (1, 2, 3, 1), (3, 2, 1)]}
    assert len(others | {first}) == 6


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**31), st.integers(0, 1000), st.integers(0, 10**6))
def test_changes_stay_within_the_configured_bounds(seed: int, epoch: int, index: int) -> None:
    change = draw(AugmentationConfig(rotation=10, zoom=0.1, brightness=0.2, contrast=0.3), seed, epoch, index)
    assert abs(change.angle) <= 10
    assert 0.9 <= change.scale <= 1.1
    assert abs(change.brightness) <= 0.2
    assert 0.7 <= change.contrast <= 1.3
    assert draw(NOTHING, seed, epoch, index) == STILL


def test_all_of_the_range_is_used_and_half_are_flipped() -> None:
    changes = [draw(AugmentationConfig(), 0, 0, index) for index in range(2000)]
    angles = np.array([change.angle for change in changes])
    assert angles.min() < -9.5 and angles.max() > 9.5 and abs(angles.mean()) < 0.5
    assert 0.45 < np.mean([change.flip for change in changes]) < 0.55
    turned = [draw(AugmentationConfig(vertical_flip=True), 0, 0, index) for index in range(2000)]
    assert 0.45 < np.mean([change.upside_down for change in turned]) < 0.55
    assert 0.2 < np.mean([change.upside_down and change.flip for change in turned]) < 0.3
    assert [replace(change, upside_down=False) for change in turned] == changes


def test_turning_one_setting_off_leaves_the_other_draws() -> None:
    everything = draw(AugmentationConfig(), 5, 6, 7)
    without = draw(AugmentationConfig(horizontal_flip=False, brightness=0), 5, 6, 7)
    assert (without.angle, without.scale, without.contrast) == (everything.angle, everything.scale, everything.contrast)


def test_no_change_is_the_image_over_255() -> None:
    pixels = breast()
    np.testing.assert_array_equal(apply(pixels, STILL), pixels.astype(np.float32) / 255)
    np.testing.assert_array_equal(to_float(pixels), pixels.astype(np.float32) / 255)


def test_a_flip_is_exact() -> None:
    pixels = breast(61, 40)
    flipped = apply(pixels, Change(flip=True, angle=0.0, scale=1.0, brightness=0.0, contrast=1.0))
    np.testing.assert_array_equal(flipped, to_float(pixels)[:, ::-1])


@pytest.mark.parametrize("flip", [False, True])
def test_upside_down_is_exact(flip: bool) -> None:
    pixels = breast(61, 40)
    pixels[10:14, 5:9] = 0
    turned = apply(pixels, replace(STILL, flip=flip, upside_down=True))
    np.testing.assert_array_equal(turned, to_float(pixels)[::-1, :: -1 if flip else 1])


@pytest.mark.parametrize("angle", [-9.0, 4.5, 10.0])
def test_rotation_agrees_with_scipy(angle: float) -> None:
    pixels = cv2.GaussianBlur(np.pad(breast(), 20), (0, 0), 2)
    turned = apply(pixels, Change(flip=False, angle=angle, scale=1.0, brightness=0.0, contrast=1.0))
    expected = ndimage.rotate(pixels.astype(np.float64) / 255, angle, reshape=False, order=1)
    assert np.abs(turned - expected).max() < 0.02


def test_zoom_scales_areas_about_the_middle() -> None:
    pixels = np.zeros((101, 101), np.uint8)
    pixels[40:61, 40:61] = 200
    larger = apply(pixels, Change(flip=False, angle=0.0, scale=1.2, brightness=0.0, contrast=1.0))
    assert larger.sum() == pytest.approx(1.44 * to_float(pixels).sum(), rel=0.03)
    assert ndimage.center_of_mass(larger) == pytest.approx((50, 50), abs=0.1)


@settings(deadline=None, max_examples=60)
@given(st.floats(-0.5, 0.5), st.floats(0.5, 1.5), st.floats(-45, 45), st.floats(0.5, 1.5))
def test_black_stays_black_and_values_stay_in_range(brightness: float, contrast: float, angle: float, scale: float) -> None:
    pixels = breast()
    geometry = Change(flip=False, angle=angle, scale=scale, brightness=0.0, contrast=1.0)
    both = Change(flip=False, angle=angle, scale=scale, brightness=brightness, contrast=contrast)
    plain, changed = apply(pixels, geometry), apply(pixels, both)
    assert changed.dtype == np.float32 and changed.shape == pixels.shape
    assert changed.min() >= 0 and changed.max() <= 1
    assert (changed[plain == 0] == 0).all()


def test_brightness_and_contrast_act_inside_the_breast_without_an_edge() -> None:
    pixels = breast()
    plain = to_float(pixels)
    bright = apply(pixels, Change(flip=False, angle=0.0, scale=1.0, brightness=0.1, contrast=1.0))
    inside = (plain > 0.1) & (plain < 0.9)
    np.testing.assert_allclose(bright[inside] - plain[inside], 0.1, atol=1e-6)
    # One grey level above black moves by little more than a level: no bright rim where the breast ends.
    assert apply(np.full((2, 2), 1, np.uint8), Change(False, 0.0, 1.0, 0.1, 1.0)).max() < 3 / 255
    strong = apply(pixels, Change(flip=False, angle=0.0, scale=1.0, brightness=0.0, contrast=1.2))
    assert strong[inside].std() > plain[inside].std()


def test_all_black_and_read_only_images_are_fine() -> None:
    pixels = np.zeros((8, 8), np.uint8)
    pixels.flags.writeable = False
    assert apply(pixels, draw(AugmentationConfig(), 0, 0, 0)).max() == 0
