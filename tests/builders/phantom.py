"""A breast-like picture for tests: half an ellipse with texture, a muscle, labels, and air."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from core.images import Mammogram
from core.images.mammogram import ImageMeta


def breast_pixels(height: int = 400, width: int = 300, *, chest_wall: str = "left", label: bool = True) -> NDArray[np.float32]:
    """float32 (height, width): air 0.02, breast 0.25-0.75 in the chest wall's 60 %, a label of 1.0 in the far corner."""
    generator = np.random.default_rng(7)
    texture = cv2.GaussianBlur(generator.normal(size=(height, width)).astype(np.float32), (0, 0), 2)
    breast = np.zeros((height, width), np.uint8)
    cv2.ellipse(breast, (0, height // 2), (int(width * 0.6), int(height * 0.42)), 0, 0, 360, 1, -1)
    pixels = np.where(breast > 0, 0.5 + 0.5 * texture, 0.02).astype(np.float32)
    if label:
        pixels[height // 20 : height // 10, -width // 6 : -width // 30] = 1.0
    pixels = np.clip(pixels, 0, 1)
    return np.ascontiguousarray(pixels[:, ::-1] if chest_wall == "right" else pixels)


def mammogram(pixels: NDArray[np.float32]) -> Mammogram:
    """The pixels as a reader would give them."""
    return Mammogram(np.ascontiguousarray(pixels, dtype=np.float32), ImageMeta(format="PNG"))


def oblique_pixels(height: int = 400, width: int = 300) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """As `breast_pixels`, chest wall left, as an MLO view reaching the upper edge with a muscle of 0.8; and its mask, 255."""
    pixels = breast_pixels(height, width, label=False)
    cv2.fillPoly(pixels, [np.array([[0, 0], [width // 2, 0], [width * 3 // 5, height // 2], [0, height // 2]])], 0.45)
    muscle = np.zeros((height, width), np.uint8)
    cv2.fillPoly(muscle, [np.array([[0, 0], [width * 9 // 25, 0], [0, height * 11 // 20]])], 255)
    texture = cv2.GaussianBlur(np.random.default_rng(9).normal(size=pixels.shape).astype(np.float32), (0, 0), 2)
    pixels = np.where(muscle > 0, 0.8, pixels) + np.where(pixels > 0.1, 0.15 * texture, 0)
    return np.clip(pixels, 0, 1).astype(np.float32), muscle
