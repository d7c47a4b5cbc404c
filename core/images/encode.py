"""Encoders: arrays -> PNG and JPEG bytes, and the one rule for rounding grey levels to 8 bits."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from core.images.row_bands import in_row_bands


def to_uint8(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Float [0, 1] of any shape -> uint8, rounding half up; values outside are clipped, NaN becomes 0.

    uint8 is passed through; uint16 is rounded from 0..65535. Other types raise TypeError.
    """
    if pixels.dtype == np.uint8:
        return np.ascontiguousarray(pixels)
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8) * np.uint8(255)
    if pixels.dtype != np.uint16 and not np.issubdtype(pixels.dtype, np.floating):
        raise TypeError(f"expected float in [0, 1], uint8 or uint16 pixels, got {pixels.dtype}")
    return in_row_bands(_rounded, pixels, np.uint8)


def _rounded(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    if pixels.dtype == np.uint16:
        return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    scaled = np.floor(np.nan_to_num(pixels, nan=0.0, posinf=1.0, neginf=0.0) * 255.0 + 0.5)
    return np.clip(scaled, 0, 255).astype(np.uint8)


def encode_png(pixels: NDArray[Any], *, compression: int = 1) -> bytes:
    """Grey (H, W) or RGB (H, W, 3); uint8, uint16 (kept at 16 bits) or float [0, 1] (written at 8) -> PNG bytes.

    `compression` is zlib's level, 0..9: 1 is fast and nearly as small for mammograms.
    """
    image = pixels if pixels.dtype == np.uint16 else to_uint8(pixels)
    return _encode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, compression])


def encode_jpeg(pixels: NDArray[Any], quality: int = 90) -> bytes:
    """Grey (H, W) or RGB (H, W, 3); uint8, uint16 or float [0, 1] -> 8-bit JPEG bytes. `quality` 1..100."""
    return _encode(".jpg", to_uint8(pixels), [cv2.IMWRITE_JPEG_QUALITY, quality])


def _encode(extension: str, image: NDArray[Any], options: list[int]) -> bytes:
    if image.size == 0 or not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)):
        raise ValueError(f"expected a grey (H, W) or RGB (H, W, 3) image, got shape {image.shape}")
    if image.ndim == 3:
        image = image[:, :, ::-1]  # OpenCV wants BGR
    done, encoded = cv2.imencode(extension, np.ascontiguousarray(image), options)
    if not done:
        raise ValueError(f"an image of shape {image.shape} and type {image.dtype} cannot be written as {extension}")
    return encoded.tobytes()
