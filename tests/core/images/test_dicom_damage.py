"""DICOM files cut short or damaged: refused as such, wherever they end, in every way of storing pixels."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
import pytest
from builders.dicom_factory import make_dataset, make_dicom, to_bytes
from pydicom.encaps import encapsulate
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian

from core.errors import UnreadableImage
from core.images import read
from core.images.codestream import inspect

NOISE = np.random.default_rng(3).integers(0, 4096, (64, 48)).astype(np.uint16)
CODECS: dict[str, Callable[[], bytes]] = {
    "1.2.840.10008.1.2.4.51": lambda: imagecodecs.jpeg8_encode(NOISE, level=95, bitspersample=12),
    "1.2.840.10008.1.2.4.70": lambda: imagecodecs.ljpeg_encode(NOISE, bitspersample=12),
    "1.2.840.10008.1.2.4.80": lambda: imagecodecs.jpegls_encode(NOISE),
    "1.2.840.10008.1.2.4.90": lambda: imagecodecs.jpeg2k_encode(NOISE, level=0, codecformat="j2k"),
    "1.2.840.10008.1.2.4.91": lambda: imagecodecs.jpeg2k_encode(NOISE, level=40, codecformat="j2k"),
    "1.2.840.10008.1.2.4.201": lambda: imagecodecs.htj2k_encode(NOISE, reversible=True),
}


def encapsulated(frame: bytes, syntax: str) -> bytes:
    ds = make_dataset(NOISE, syntax=UID(syntax), BitsStored=12)
    ds.PixelData = encapsulate([frame])
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    return to_bytes(ds)


def rle() -> bytes:
    ds = make_dataset(NOISE, BitsStored=12)
    ds.compress(UID("1.2.840.10008.1.2.5"), encoding_plugin="pydicom", generate_instance_uid=False)
    return to_bytes(ds)


FILES: dict[str, Callable[[], bytes]] = {
    "explicit": lambda: make_dicom(NOISE, BitsStored=12),
    "implicit": lambda: make_dicom(NOISE, BitsStored=12, syntax=ImplicitVRLittleEndian),
    "deflated": lambda: make_dicom(NOISE, BitsStored=12, syntax=DeflatedExplicitVRLittleEndian),
    "rle": rle,
    **{uid: lambda uid=uid: encapsulated(bytes(CODECS[uid]()), uid) for uid in CODECS},  # type: ignore[misc]
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_ends_too_early_is_called_truncated_wherever_it_ends(kind: str) -> None:
    content = FILES[kind]()
    read(content)
    pixels = content.index(b"\xe0\x7f\x10\x00") if kind != "deflated" else 400
    ends = [*range(140, pixels, 23), *np.linspace(pixels + 16, len(content) - 40, 12).astype(int)]
    for end in ends:
        with pytest.raises(UnreadableImage) as caught:
            read(content[:end])
        words = str(caught.value)
        assert any(word in words for word in ("truncated", "cut short", "damaged")), f"cut at {end}: {words}"
        if end > pixels and kind != "deflated":
            assert "truncated" in words, f"cut at {end}: {words}"


def test_the_share_that_is_there_is_told() -> None:
    content = make_dicom(NOISE, BitsStored=12)
    with pytest.raises(UnreadableImage, match=r"truncated file: it ends after 50% of the pixels"):
        read(content[: -NOISE.nbytes // 2])


@pytest.mark.parametrize("uid", CODECS)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 0.99])
def test_a_frame_cut_short_inside_a_complete_file_is_refused_not_filled_up(uid: str, share: float) -> None:
    frame = bytes(CODECS[uid]())
    with pytest.raises(UnreadableImage, match=r"cut short|decode|header of any codec"):
        read(encapsulated(frame[: int(len(frame) * share)], uid))


@pytest.mark.parametrize("uid", ["1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.201"])
def test_a_missing_end_marker_alone_loses_nothing(uid: str) -> None:
    frame = bytes(CODECS[uid]())
    assert frame.endswith(b"\xff\xd9")
    np.testing.assert_array_equal(read(encapsulated(frame[:-2], uid)).pixels, read(encapsulated(frame, uid)).pixels)


@pytest.mark.parametrize("uid", CODECS)
def test_zeros_behind_a_frame_do_no_harm(uid: str) -> None:
    frame = bytes(CODECS[uid]())
    np.testing.assert_array_equal(read(encapsulated(frame + bytes(20), uid)).pixels, read(encapsulated(frame, uid)).pixels)


def test_a_run_length_frame_that_ends_early_is_refused() -> None:
    content = rle()
    at = content.index(b"\x02\0\0\0\x40\0\0\0")  # two segments, the first one at 64
    for change in ((at, b"\x01"), (at, b"\x05"), (at + 8, b"\xff\xff\xff\x7f"), (at + 8, b"\x10\0\0\0")):
        broken = content[: change[0]] + change[1] + content[change[0] + len(change[1]) :]
        with pytest.raises(UnreadableImage, match="run-length"):
            read(broken)


def test_jpeg_inside_a_file_that_announces_jpeg_2000_is_still_read() -> None:
    frame = bytes(CODECS["1.2.840.10008.1.2.4.80"]())
    np.testing.assert_array_equal(
        read(encapsulated(frame, "1.2.840.10008.1.2.4.90")).pixels, read(make_dicom(NOISE, BitsStored=12)).pixels
    )


@pytest.mark.parametrize("rows", [1, 20, NOISE.shape[0]])
def test_more_pixels_than_the_header_describes_are_told(rows: int) -> None:
    ds = make_dataset(np.vstack([NOISE, NOISE[:rows]]), BitsStored=12)
    ds.Rows = NOISE.shape[0]
    mammogram = read(to_bytes(ds))
    excess = f"longer than its header says: {NOISE[:rows].nbytes:,} bytes more"
    assert any(excess in warning for warning in mammogram.warnings)
    np.testing.assert_array_equal(mammogram.pixels, read(make_dicom(NOISE, BitsStored=12)).pixels)


def test_a_byte_that_makes_the_pixels_length_even_is_not_told() -> None:
    odd = (NOISE[:5, :7] >> 4).astype(np.uint8)
    content = make_dicom(odd)
    assert content.endswith(odd.tobytes() + b"\0") and read(content).warnings == ()


def test_a_report_is_no_truncated_image() -> None:
    ds = make_dataset(NOISE)
    for name in ("PixelData", "Rows", "Columns"):
        delattr(ds, name)
    stream = io.BytesIO()
    ds.save_as(stream)
    with pytest.raises(UnreadableImage, match="a DICOM file without pixels"):
        read(stream.getvalue())
    ds.Rows, ds.Columns = 64, 48
    stream = io.BytesIO()
    ds.save_as(stream)
    with pytest.raises(UnreadableImage, match="ends without its pixels"):
        read(stream.getvalue())


@pytest.mark.parametrize("name, value", [("BitsAllocated", 12), ("BitsStored", 40), ("SamplesPerPixel", 2), ("Rows", 0)])
def test_impossible_headers_are_refused(name: str, value: int) -> None:
    ds = make_dataset(NOISE)
    setattr(ds, name, value)
    ds["PixelData"].VR = "OW"
    with pytest.raises(UnreadableImage, match=r"expected .*, got .*"):
        read(to_bytes(ds))


@pytest.mark.parametrize(
    "uid, kind, bits, signed",
    [
        ("1.2.840.10008.1.2.4.51", "JPEG", 12, False),
        ("1.2.840.10008.1.2.4.80", "JPEG-LS", 16, False),
        ("1.2.840.10008.1.2.4.90", "JPEG 2000", 16, False),
        ("1.2.840.10008.1.2.4.201", "JPEG 2000", 16, False),
    ],
)
def test_what_a_codestream_says_of_itself(uid: str, kind: str, bits: int, signed: bool) -> None:
    stream: Any = inspect(bytes(CODECS[uid]()))
    assert (stream.kind, stream.rows, stream.columns, stream.components) == (kind, 64, 48, 1)
    assert (stream.bits, stream.signed, stream.missing) == (bits, signed, "")
