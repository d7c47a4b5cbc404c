"""PNG, JPEG, PGM and TIFF: right grey levels at every depth, whatever the container."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from core.errors import UnreadableImage
from core.images import encode_png, read

GREY = np.arange(256, dtype=np.uint8).reshape(8, 32)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_eight_bit_files_are_exact(kind: str) -> None:
    mammogram = read(saved(Image.fromarray(GREY), kind))
    np.testing.assert_array_equal(np.rint(mammogram.pixels * 255), GREY)
    assert mammogram.pixels.dtype == np.float32 and mammogram.meta.bits_stored == 8


def test_a_dark_eight_bit_image_is_not_stretched() -> None:
    assert read(encode_png(GREY // 16)).pixels.max() == pytest.approx(15 / 255)


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("extension", [".png", ".tiff"])
def test_sixteen_bit_files_scale_by_the_bits_in_use(bits: int, extension: str) -> None:
    values = np.linspace(0, 2**bits - 1, 600).astype(np.uint16).reshape(20, 30)
    mammogram = read(cv2.imencode(extension, values)[1].tobytes())
    np.testing.assert_allclose(mammogram.pixels, values / (2**bits - 1), atol=1e-6)
    assert mammogram.meta.bits_stored == bits and mammogram.steps[-1].parameters["to"] == 2**bits - 1


@pytest.mark.parametrize("maximum", [1, 100, 255, 256, 4095, 65535])
@pytest.mark.parametrize("magic", [b"P2", b"P5"])
def test_pgm_scales_by_its_own_maximum(maximum: int, magic: bytes) -> None:
    values = np.linspace(0, maximum, 12).astype(int).reshape(3, 4)
    body = (
        " ".join(map(str, values.ravel())).encode() + b"\n"
        if magic == b"P2"
        else values.astype(">u2" if maximum > 255 else np.uint8).tobytes()
    )
    mammogram = read(magic + b"\n# synthetic phantom\n4 3\n" + str(maximum).encode() + b"\n" + body)
    np.testing.assert_allclose(mammogram.pixels, values / maximum, atol=1e-6)
    assert mammogram.meta.synthetic and mammogram.meta.format == "PGM"


def test_tiff_with_white_as_zero_is_turned() -> None:
    values = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    normal, turned = (read(saved(Image.fromarray(values), "TIFF", tiffinfo={262: tag})).pixels for tag in (1, 0))
    np.testing.assert_allclose(turned, 1 - normal, atol=1e-6)


def test_jpeg_is_close() -> None:
    np.testing.assert_allclose(read(saved(Image.fromarray(GREY), "JPEG", quality=100)).pixels, GREY / 255, atol=0.02)


def test_exif_orientation_is_obeyed() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    assert read(saved(Image.fromarray(GREY), "JPEG", exif=exif)).pixels.shape == (32, 8)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
def test_grey_in_any_mode_is_the_same_grey(mode: str) -> None:
    mammogram = read(saved(Image.fromarray(GREY).convert(mode), "PNG"))
    np.testing.assert_allclose(mammogram.pixels, GREY / 255, atol=1e-6)
    assert not mammogram.warnings


def test_transparency_lies_on_black_and_colour_is_warned_about() -> None:
    transparent = np.dstack([GREY, np.zeros_like(GREY)])
    assert read(saved(Image.fromarray(transparent, "LA"), "PNG")).pixels.max() == 0
    coloured = np.dstack([GREY, GREY[::-1], GREY // 2])
    assert any("colour" in warning for warning in read(saved(Image.fromarray(coloured), "PNG")).warnings)


def test_the_first_page_of_a_tiff_is_taken_and_said() -> None:
    pages = [Image.fromarray(np.full((6, 5), level, np.uint8)) for level in (10, 20)]
    content = saved(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    assert read(content).pixels[0, 0] == pytest.approx(10 / 255) and any("2 pages" in text for text in read(content).warnings)
    assert read(content, frame=1).pixels[0, 0] == pytest.approx(20 / 255)


def test_a_png_comment_marks_synthetic_images() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "SYNTHETIC mammogram")
    assert read(saved(Image.fromarray(GREY), "PNG", pnginfo=info)).meta.synthetic
    assert not read(saved(Image.fromarray(GREY), "PNG")).meta.synthetic


def test_content_decides_not_the_name(tmp_path: Path) -> None:
    path = tmp_path / "Aufnahme ü.dcm"
    path.write_bytes(encode_png(GREY))
    assert read(path).meta.format == "PNG" and read(str(path)).meta.format == "PNG"


@given(st.binary(max_size=60), st.sampled_from([b"P5 ", b"P2\n", b"P5\n3 2\n255\n", b"P2 2 2 9 "]))
def test_pgm_parser_reads_or_refuses(tail: bytes, head: bytes) -> None:
    try:
        pixels = read(head + tail).pixels
    except UnreadableImage:
        return
    assert np.isfinite(pixels).all() and pixels.min() >= 0 and pixels.max() <= 1
