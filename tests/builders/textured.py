"""Synthetic breasts with the texture of parenchyma: power-law noise, another one for each seed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def textured_breast(seed: int, height: int = 320, width: int = 256) -> NDArray[np.uint8]:
    """A breast on black, uint8 (H, W), chest wall to the left."""
    random = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None])
    frequency[0, 0] = 1
    noise = np.fft.ifft2(np.fft.fft2(random.normal(size=(height, width))) / frequency**1.4).real
    noise = (noise - noise.min()) / np.ptp(noise)
    rows, columns = np.mgrid[:height, :width]
    breast = ((rows / height - 0.5) / 0.46) ** 2 + (columns / (0.85 * width)) ** 2 < 1
    return np.where(breast, 70 + 170 * noise, 2).astype(np.uint8)
