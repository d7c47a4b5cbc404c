"""Rounding to 8 bits, and PNG and JPEG bytes that decode to what went in."""

from __future__ import annotations

import subprocess
import sys

import cv2
import numpy as np
import pytest

from core.images import encode_jpeg, encode_png, read, to_uint8


def test_rounding_is_half_up_and_clips() -> None:
    values = np.array([-1, 0, 0.5 / 255, 0.49 / 255, 1.5 / 255, 1, 2, np.nan, np.inf], np.float64)
    np.testing.assert_array_equal(to_uint8(values), [0, 0, 1, 0, 2, 255, 255, 0, 255])
    np.testing.assert_array_equal(to_uint8(np.array([0, 128, 129, 257, 65535], np.uint16)), [0, 0, 1, 1, 255])
    with pytest.raises(TypeError):
        to_uint8(np.array([1, 2]))


def test_png_keeps_sixteen_bits_and_colour_order() -> None:
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    np.testing.assert_array_equal(np.rint(read(encode_png(values)).pixels * 65535), values)
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 200
    decoded = cv2.imdecode(np.frombuffer(encode_png(red), np.uint8), cv2.IMREAD_COLOR_RGB)
    np.testing.assert_array_equal(decoded, red)


def test_jpeg_takes_views_and_floats_and_refuses_nonsense() -> None:
    ramp = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)[:, ::-1]
    np.testing.assert_allclose(read(encode_jpeg(ramp, quality=100)).pixels, ramp, atol=0.02)
    with pytest.raises(ValueError, match="shape"):
        encode_png(np.zeros((2, 2, 2), np.uint8))


@pytest.mark.slow
def test_reading_and_preparing_do_not_import_torch() -> None:
    code = "import sys, core.images, core.preprocessing; sys.exit('torch' in sys.modules or 'imagecodecs' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
