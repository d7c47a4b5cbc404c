"""Everything that is no readable grey image is refused with a reason, fast, and never crashes the process."""

from __future__ import annotations

import io
import random
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from builders.dicom_factory import make_dataset, make_dicom, to_bytes
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import UID, JPEG2000Lossless

from core.errors import UnreadableImage
from core.images import encode_jpeg, encode_png, limits, read

GREY = np.random.default_rng(0).integers(0, 4096, (48, 40), dtype=np.uint16)


def png_header(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    image = b"IDAT" + zlib.compress(bytes(100))
    chunks = b"".join(struct.pack(">I", len(b) - 4) + b + struct.pack(">I", zlib.crc32(b)) for b in (body, image, b"IEND"))
    return b"\x89PNG\r\n\x1a\n" + chunks


def tiff() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(GREY).save(stream, "TIFF", compression="tiff_lzw")
    return stream.getvalue()


@pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom's own words about broken files
@pytest.mark.parametrize(
    "content, reason",
    [
        (b"", "empty"),
        (bytes(5000), "zeros"),
        (b"%PDF-1.7 ...", "PDF"),
        (b"PK\x03\x04zip", "ZIP"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"hello, world", "text"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (png_header(100_000, 100_000), "100000×100000"),
        (png_header(19_000, 19_000), "19000×19000"),
        (b"P5 100000 100000 255 ", "100000×100000"),
        (b"P5 4 4 255 abc", "bytes of pixels"),
        (b"P5 0 4 255 abc", "at least one pixel"),
        (b"P2 2 2 100 1 2 3 999", "up to 100"),
        (b"P2 2 2 100 1 2 x 9", "whole numbers"),
        (b"P5 2 2 70000 12345678", "65535"),
        (bytes(128) + b"DICM", "DICOM"),
        (bytes(128) + b"DICM" + b"\xff" * 300, "DICOM"),
        (make_dicom(GREY, Rows=30_000, Columns=30_000), "30000×30000"),
        (make_dicom(GREY, Rows=480), "pixels that decode"),
        (make_dicom(GREY, BitsAllocated=1, BitsStored=1), "mask"),
        (make_dicom(GREY, PhotometricInterpretation=""), "PhotometricInterpretation"),
    ],
)
def test_refused_with_a_reason(content: bytes, reason: str) -> None:
    with pytest.raises(UnreadableImage, match=r"(?is)expected .*got .*\.") as caught:
        read(content)
    assert reason.lower() in str(caught.value).lower()


def test_a_video_is_refused_by_the_name_of_its_syntax() -> None:
    with pytest.raises(UnreadableImage, match="MPEG2"):
        read(encapsulated(b"\0\0\1\xb3" * 20, "1.2.840.10008.1.2.4.100"))


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match="folder"):
        read(tmp_path)
    with pytest.raises(UnreadableImage, match=r"missing\.png"):
        read(tmp_path / "missing.png")
    with pytest.raises(UnreadableImage, match="cannot be opened"):
        read("nul\0character")


def test_a_file_over_the_size_limit_is_not_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "big.png"
    path.write_bytes(encode_png(GREY))
    monkeypatch.setattr("core.images.files.MAX_RASTER_BYTES", 1000)
    with pytest.raises(UnreadableImage, match="at most"):
        read(path)


def test_an_inflation_bomb_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    content = make_dicom(np.zeros((1000, 1000), np.uint16), syntax=UID("1.2.840.10008.1.2.1.99"))
    assert len(content) < 20_000 and read(content).pixels.shape == (1000, 1000)
    monkeypatch.setattr("core.images.dicom.file.MAX_INFLATED_BYTES", 100_000)
    with pytest.raises(UnreadableImage, match="inflated"):
        read(content)


def encapsulated(frame: bytes, syntax: str) -> bytes:
    ds = make_dataset(GREY, syntax=UID(syntax), BitsStored=12)
    ds.PixelData = encapsulate([frame])
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    return to_bytes(ds)


def test_a_codestream_larger_than_its_header_is_refused_before_decoding() -> None:
    large = bytes(imagecodecs.jpeg2k_encode(np.zeros((500, 500), np.uint16), level=0, codecformat="j2k"))
    with pytest.raises(UnreadableImage, match="500×500 in the compressed data"):
        read(encapsulated(large, JPEG2000Lossless))


@pytest.mark.parametrize(
    "syntax, encode",
    [
        ("1.2.840.10008.1.2.4.51", lambda: imagecodecs.jpeg8_encode(GREY, level=95, bitspersample=12)),
        ("1.2.840.10008.1.2.4.70", lambda: imagecodecs.ljpeg_encode(GREY, bitspersample=12)),
        ("1.2.840.10008.1.2.4.80", lambda: imagecodecs.jpegls_encode(GREY)),
        ("1.2.840.10008.1.2.4.90", lambda: imagecodecs.jpeg2k_encode(GREY, level=0, codecformat="j2k")),
        ("1.2.840.10008.1.2.4.201", lambda: imagecodecs.htj2k_encode(GREY, reversible=True)),
    ],
)
@pytest.mark.parametrize("share", [0.95, 0.5])
def test_frames_cut_short_are_refused_not_filled_up(syntax: str, encode: Any, share: float) -> None:
    frame = bytes(encode())
    read(encapsulated(frame, syntax))
    with pytest.raises(UnreadableImage):
        read(encapsulated(frame[: int(len(frame) * share)], syntax))


SEEDS = {
    "native": make_dicom(GREY, BitsStored=12, WindowCenter=2048, WindowWidth=4096, ViewPosition="MLO"),
    "j2k": encapsulated(bytes(imagecodecs.jpeg2k_encode(GREY, level=0, codecformat="j2k")), JPEG2000Lossless),
    "png": encode_png(GREY),
    "jpeg": encode_jpeg(GREY),
    "tiff": tiff(),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SEEDS)
def test_mutated_files_are_read_or_refused(name: str) -> None:
    chance = random.Random(name)
    for _ in range(60):
        content = bytearray(SEEDS[name])
        for _ in range(chance.choice([1, 3, 20])):
            content[chance.randrange(min(len(content), chance.choice([300, 3000])))] = chance.choice(
                [0, 255, chance.randrange(256)]
            )
        if chance.random() < 0.3:
            del content[chance.randrange(len(content)) :]
        try:
            pixels = read(bytes(content)).pixels
        except UnreadableImage:
            continue
        assert pixels.dtype == np.float32 and np.isfinite(pixels).all() and pixels.min() >= 0 and pixels.max() <= 1


def test_the_limits_leave_room_for_the_largest_films() -> None:
    limits.check_size(12_000, 9_600)  # 24 × 30 cm at 25 µm


@pytest.mark.parametrize(("name", "called"), [("", "uploaded data"), ("left/note.txt", "note.txt"), ("a\nb.png", "a?b.png")])
def test_bytes_are_called_by_the_name_of_the_file_they_came_from(name: str, called: str) -> None:
    with pytest.raises(UnreadableImage, match=rf"^{re.escape(called)}: expected a DICOM"):
        read(b"hello there", name=name)
