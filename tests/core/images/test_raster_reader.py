"""PNG, JPEG, PGM and TIFF: right grey levels at every depth, whatever the container."""

from __future__ import annotations

import io
import logging
import warnings
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps, PngImagePlugin

from core.errors import UnreadableImage
from core.images import encode_png, read
from core.images.library_warnings import silenced

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


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "TIFF of 16 bits", "TIFF with LZW"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_as_pillow_does(kind: str, orientation: int) -> None:
    values = (np.random.default_rng(1).integers(0, 4, (24, 16)) * 80).astype(np.uint16 if "16" in kind else np.uint8)
    image = Image.fromarray(np.kron(values, np.ones((8, 8), values.dtype)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    compression = {"compression": "tiff_lzw"} if "LZW" in kind else {}
    content = saved(image, kind.split()[0], exif=exif, **compression)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))))
    np.testing.assert_allclose(read(content).pixels, expected / 255, atol=1e-6)


@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("kind, channels", [("png", 2), ("png", 3), ("png", 4), ("tiff", 3), ("tiff", 4)])
def test_colour_of_sixteen_bits_keeps_all_of_them(bits: int, kind: str, channels: int) -> None:
    grey = np.linspace(0, 2**bits - 1, 600).astype(np.uint16).reshape(20, 30)
    opaque = np.full_like(grey, 65535)
    planes = [grey] * (3 if channels > 2 else 1) + [opaque] * (channels % 2 == 0)
    encode = {"png": imagecodecs.png_encode, "tiff": imagecodecs.tiff_encode}[kind]
    mammogram = read(bytes(encode(np.ascontiguousarray(np.dstack(planes)))))
    np.testing.assert_allclose(mammogram.pixels, grey / (2**bits - 1), atol=1e-6)
    assert mammogram.meta.bits_stored == bits and not mammogram.warnings


def test_half_transparent_pixels_of_sixteen_bits_are_half_as_bright() -> None:
    grey = np.full((8, 8), 60000, np.uint16)
    content = bytes(imagecodecs.png_encode(np.dstack([grey, np.full_like(grey, 32768)])))
    np.testing.assert_allclose(read(content).pixels, 30000 / 65535, atol=1e-4)


@pytest.mark.parametrize("encode", ["lossless", "12-bit"])
def test_jpeg_of_more_than_eight_bits_is_read(encode: str) -> None:
    values = np.linspace(0, 4095, 600).astype(np.uint16).reshape(20, 30)
    if encode == "lossless":
        mammogram = read(bytes(imagecodecs.ljpeg_encode(values, bitspersample=12)))
        np.testing.assert_allclose(mammogram.pixels, values / 4095, atol=1e-6)
    else:
        mammogram = read(bytes(imagecodecs.jpeg8_encode(values, level=98, bitspersample=12)))
        np.testing.assert_allclose(mammogram.pixels, values / 4095, atol=0.02)
    assert mammogram.meta.bits_stored == 12


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("mode", ["L", "P", "RGB", "RGBA", "LA", "CMYK"])
def test_compression_makes_no_difference(mode: str, compression: str) -> None:
    content = saved(Image.fromarray(GREY).convert(mode), "TIFF", compression=compression)
    np.testing.assert_allclose(read(content).pixels, GREY / 255, atol=2 / 255 if mode == "CMYK" else 1e-4)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
@pytest.mark.parametrize("dtype, turned_by_pillow", [(np.uint8, True), (np.uint16, False)])
def test_white_as_zero_is_turned_in_every_depth(dtype: Any, turned_by_pillow: bool, compression: str) -> None:
    values = np.linspace(0, np.iinfo(dtype).max, 64).astype(dtype).reshape(8, 8)
    share = values / np.iinfo(dtype).max
    mammogram = read(saved(Image.fromarray(values), "TIFF", compression=compression, tiffinfo={262: 0}))
    # Pillow writes 8-bit values turned when told that 0 is white, and deeper ones as they are.
    np.testing.assert_allclose(mammogram.pixels, share if turned_by_pillow else 1 - share, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floating_point_from_zero_to_one_is_taken_as_it_is(dtype: Any) -> None:
    values = np.linspace(0, 1, 64).astype(dtype).reshape(8, 8)
    mammogram = read(bytes(imagecodecs.tiff_encode(values)))
    np.testing.assert_allclose(mammogram.pixels, values.astype(np.float32))
    assert not mammogram.warnings


@pytest.mark.parametrize(
    "low, high, dtype",
    [(0, 4095, np.float32), (-1000, 3000, np.float32), (-3.4e38, 3.4e38, np.float32), (-1e308, 1e308, np.float64)],
)
def test_other_floating_point_is_stretched_and_said(low: float, high: float, dtype: Any) -> None:
    share = np.linspace(0, 1, 64).reshape(8, 8)
    mammogram = read(bytes(imagecodecs.tiff_encode((low * (1 - share) + high * share).astype(dtype))))
    np.testing.assert_allclose(mammogram.pixels, share, atol=1e-6)
    assert "stretched" in mammogram.warnings[0]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floating_point_that_is_not_finite_is_refused(value: float, dtype: Any) -> None:
    values = np.full((8, 8), 0.5, dtype)
    values[3, 4] = value
    with pytest.raises(UnreadableImage, match="NaN or infinite"):
        read(bytes(imagecodecs.tiff_encode(values)))


@pytest.mark.parametrize("dtype, bits", [(np.int16, 16), (np.uint32, 32), (np.int32, 32)])
def test_whole_numbers_of_other_types_are_read(dtype: Any, bits: int) -> None:
    values = np.linspace(np.iinfo(dtype).min, np.iinfo(dtype).max, 64).astype(dtype).reshape(8, 8)
    share = (values.astype(np.float64) - values.min()) / (float(values.max()) - float(values.min()))
    np.testing.assert_allclose(read(bytes(imagecodecs.tiff_encode(values))).pixels, share, atol=1e-6)


@pytest.mark.parametrize("kind, options", [("PNG", {}), ("TIFF", {}), ("TIFF", {"compression": "group4"})])
def test_one_bit_images_are_refused_as_masks(kind: str, options: dict[str, str]) -> None:
    with pytest.raises(UnreadableImage, match="1-bit"):
        read(saved(Image.fromarray(GREY).convert("1"), kind, **options))


@pytest.mark.parametrize("mode", ["RGB", "CMYK", "YCbCr"])
def test_a_colour_photograph_is_warned_about(mode: str) -> None:
    photograph = np.random.default_rng(3).integers(0, 256, (40, 30, 3)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
    warnings = read(saved(Image.fromarray(photograph).convert(mode), "JPEG")).warnings
    assert any("is this a mammogram?" in warning for warning in warnings)


def test_the_pages_stand_in_the_metadata() -> None:
    pages = [Image.fromarray(np.full((6, 5), level, np.uint8)) for level in (10, 20, 30)]
    content = saved(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    assert [(m.meta.frames, m.meta.frame) for m in (read(content), read(content, frame=2))] == [(3, 0), (3, 2)]
    with pytest.raises(UnreadableImage, match="one of the file's 3 frames"):
        read(content, frame=3)


@pytest.mark.parametrize("gap", [b" ", b"\n", b"\r\n\t ", b"\n# a comment 77 \n", b" " * 3000])
def test_text_pgm_is_read_piece_by_piece(gap: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.images.pgm._PIECE", 100)
    values = np.random.default_rng(4).integers(0, 65536, (9, 11))
    content = b"P2 11 9 65535" + gap + gap.join(str(value).encode() for value in values.ravel())
    np.testing.assert_allclose(read(content).pixels, values / 65535, atol=1e-6)


def test_a_damaged_exif_block_is_ignored_and_said() -> None:
    exif = b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"
    content = saved(Image.fromarray(GREY), "JPEG", quality=100)
    content = content[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + content[2:]
    mammogram = read(content)
    assert mammogram.pixels.shape == GREY.shape and any("Exif" in warning for warning in mammogram.warnings)


def test_reading_leaves_the_libraries_warnings_as_they_were() -> None:
    before = list(warnings.filters)
    level = logging.getLogger("pydicom").level
    with silenced(), silenced():
        warnings.warn_explicit("a broken tag", UserWarning, "TiffImagePlugin.py", 1, module="PIL.TiffImagePlugin")
        with pytest.raises(RuntimeWarning):  # ours are not silenced
            warnings.warn("ours", RuntimeWarning, stacklevel=1)
    assert list(warnings.filters) == before and logging.getLogger("pydicom").level == level


def test_log_lines_of_the_libraries_are_held_back_while_an_image_is_read_and_no_logger_is_made_to_look_again() -> None:
    heard: list[str] = []

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(record.getMessage())

    root, inner, other = logging.getLogger(), logging.getLogger("pydicom.inner"), logging.getLogger("a.program")
    ear = Ear()
    root.addHandler(ear)
    try:
        inner.warning("before")
        other.isEnabledFor(logging.WARNING)
        assert other._cache and inner._cache  # type: ignore[attr-defined]  # what they know of their levels
        with silenced():
            inner.warning("Patient^Name in a damaged header")
            other.warning("ours")
        assert other._cache and inner._cache  # type: ignore[attr-defined]
        inner.warning("after")
    finally:
        root.removeHandler(ear)
    assert heard == ["before", "ours", "after"]
