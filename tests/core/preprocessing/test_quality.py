"""Local contrast and noise as numbers: against a plain implementation, and on pictures whose noise is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from builders.phantom import breast_pixels, mammogram
from numpy.typing import NDArray
from scipy.ndimage import convolve

from core.config import Recipe
from core.preprocessing import normalise_intensity, normalise_spatially, quality

FULL = 65_535


def smooth_picture(height: int = 1400, width: int = 900) -> NDArray[np.float64]:
    """Broad structures between 0.3 and 0.7."""
    coarse = np.random.default_rng(3).random((height // 100, width // 100))
    return 0.3 + 0.4 * np.clip(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)


def grey(levels: NDArray[np.float64]) -> NDArray[np.uint16]:
    return np.rint(np.clip(levels, 0, 1) * FULL).astype(np.uint16)


def noisy(levels: NDArray[np.float64], sigma: float) -> NDArray[np.uint16]:
    return grey(levels + np.random.default_rng(5).normal(0, sigma, levels.shape))


@pytest.mark.parametrize("sigma", [0.005, 0.02, 0.05])
def test_added_noise_is_found(sigma: float) -> None:
    found = quality(noisy(smooth_picture(), 0.002), noisy(smooth_picture(), sigma), None)
    assert found.noise_after == pytest.approx(sigma, rel=0.05)
    assert found.noise_gain == pytest.approx(sigma / 0.002, rel=0.05)


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.6])
def test_a_plain_stretch_raises_contrast_and_noise_alike(factor: float) -> None:
    levels = 0.5 * smooth_picture() + np.random.default_rng(5).normal(0, 0.01, (1400, 900))
    found = quality(grey(levels), grey(factor * levels), None)
    assert found.local_contrast_gain == pytest.approx(factor, rel=1e-3)
    assert found.noise_gain == pytest.approx(factor, rel=1e-3)


def test_smoothing_takes_noise_rather_than_contrast() -> None:
    before = noisy(smooth_picture(1400, 900), 0.01)
    found = quality(before, cv2.GaussianBlur(before, (0, 0), 1), None)
    assert found.noise_gain < 0.1 and found.noise_gain < 0.5 * found.local_contrast_gain < 0.5


@pytest.mark.parametrize("shape", [(1400, 900), (3000, 2200), (300, 500), (90, 40), (9, 9)])
def test_the_numbers_are_those_of_a_plain_implementation(shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(1).integers(0, FULL + 1, shape).astype(np.uint16)
    inside = np.zeros(shape, np.uint8)
    cv2.ellipse(inside, (0, shape[0] // 2), (shape[1] * 9 // 10, shape[0] * 9 // 20), 0, 0, 360, 255, -1)
    side = min(max(8, min(32, round(max(shape) / 128))), *shape)
    rows, columns = ({round(x) for x in np.linspace(0, n - side, 24)} for n in shape)
    mask = np.outer([1, -2, 1], [1, -2, 1])
    deviations, responses = [], []
    for y in sorted(rows):
        for x in sorted(columns):
            if inside[y : y + side, x : x + side].all():
                patch = picture[y : y + side, x : x + side] / FULL
                deviations.append(patch.std())
                responses.append(np.abs(convolve(patch, mask)[1:-1, 1:-1]).mean())
    found = quality(picture, picture, inside if deviations else None)
    if deviations:
        assert found.local_contrast_before == pytest.approx(np.mean(deviations), rel=1e-4)
        assert found.noise_before == pytest.approx(np.sqrt(np.pi / 2) * np.mean(responses) / 6, rel=1e-4)
    assert found.local_contrast_gain == found.noise_gain == 1


def test_only_the_breast_counts() -> None:
    before = noisy(smooth_picture(), 0.01)
    after = before.copy()
    inside = np.zeros(before.shape, np.uint8)
    inside[200:900, :500] = 255
    after[:150], after[950:], after[:, 550:] = 0, FULL, 7
    found = quality(before, after, inside)
    assert found.local_contrast_gain == found.noise_gain == 1
    assert quality(before, after, None).local_contrast_gain != 1
    assert quality(before, after, np.zeros_like(inside)) == quality(before, after, None)


@pytest.mark.parametrize("shape", [(1, 1), (2, 300), (64, 64)])
def test_pictures_without_contrast_have_no_gain(shape: tuple[int, int]) -> None:
    flat = np.full(shape, 1000, np.uint16)
    found = quality(flat, flat, None)
    assert max(found.local_contrast_after, found.noise_after) < 1e-7
    assert found.local_contrast_gain == found.noise_gain == 1


def test_pictures_of_different_shapes_are_refused() -> None:
    picture = np.zeros((20, 20), np.uint16)
    with pytest.raises(ValueError, match="same shape"):
        quality(picture, picture[1:], None)
    with pytest.raises(ValueError, match="same shape"):
        quality(picture, picture, np.zeros((3, 3), np.uint8))


def test_a_higher_clip_limit_buys_contrast_with_noise() -> None:
    recipe = Recipe(clahe=False)
    pixels = np.clip(breast_pixels(800, 600) + np.random.default_rng(2).normal(0, 0.01, (800, 600)), 0, 1)
    spatial = normalise_spatially(mammogram(pixels.astype(np.float32)), recipe)
    assert spatial.removed_mask is not None
    plain, inside = normalise_intensity(spatial, recipe).pixels, cv2.bitwise_not(spatial.removed_mask)
    gains = []
    for clip in (1.0, 2.0, 6.0):
        found = quality(plain, normalise_intensity(spatial, Recipe(clip_limit=clip)).pixels, np.asarray(inside, dtype=np.uint8))
        gains.append((found.local_contrast_gain, found.noise_gain))
    assert gains == sorted(gains) and gains[-1][1] > 1.2
