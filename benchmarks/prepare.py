"""From a decoded 4096 x 3328 mammogram to the model's input: what a moving slider pays with and without a kept analysis."""

from __future__ import annotations

import cv2
import numpy as np

from benchmarks.timing import best_of
from core.config import Recipe
from core.images.mammogram import ImageMeta, Mammogram
from core.preprocessing import analyse, prepare

HEIGHT, WIDTH = 4096, 3328


def run() -> None:
    """Print milliseconds and the ratio."""
    mammogram, recipe = drawn_breast(), Recipe()
    kept = analyse(mammogram, recipe)
    whole = best_of(lambda: prepare(mammogram, recipe), 5)
    again = best_of(lambda: prepare(mammogram, recipe, analysis=kept), 5)
    print(f"prepare: {whole * 1e3:.0f} ms; with a kept analysis: {again * 1e3:.0f} ms; ratio {whole / again:.2f}")


def drawn_breast() -> Mammogram:
    """A half ellipse of smooth noise on black."""
    coarse = np.random.default_rng(0).random((HEIGHT // 32, WIDTH // 32), dtype=np.float32)
    texture = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    outline = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.ellipse(outline, (0, HEIGHT // 2), (WIDTH * 2 // 3, HEIGHT * 2 // 5), 0, -90, 90, 255, -1)
    pixels = np.where(outline > 0, 0.3 + 0.4 * np.clip(texture, 0, 1), 0).astype(np.float32)
    return Mammogram(pixels, ImageMeta())
