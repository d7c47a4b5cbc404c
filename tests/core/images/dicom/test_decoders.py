"""Decoders: which one takes what, no wrap-around beyond white, and the first images of a process side by side."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import imagecodecs
import numpy as np
import pytest
from builders.dicom_factory import make_dataset, to_bytes
from pydicom import uid
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from core.errors import UnreadableImage
from core.images import read
from core.images.codestream import inspect
from core.images.dicom import decoders

NOISE = np.random.default_rng(5).integers(0, 4096, (40, 56)).astype(np.uint16)
HTJ2K, HTJ2K_LOSSLESS = str(uid.HTJ2K), str(uid.HTJ2KLossless)
STEPS = np.where(np.random.default_rng(5).random((64, 64)) < 0.5, 0, 255).astype(np.uint8)


def encapsulated(frame: bytes, values: np.ndarray[Any, Any], syntax: str, **elements: Any) -> bytes:
    ds = make_dataset(values, syntax=UID(syntax), **elements)
    ds.PixelData = encapsulate([frame])
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    return to_bytes(ds)


def test_every_compressed_still_image_syntax_of_the_standard_has_a_decoder() -> None:
    families = ("JPEG Base", "JPEG Ext", "JPEG Lossless", "JPEG-LS", "JPEG 2000 Image Compression", "High-Throughput", "RLE")
    # Not these: the two-dimensional collections of JPEG 2000 part 2, and references to pixels elsewhere.
    others = ("Part 2", "Multi", "JPIP", "Referenced")
    known = [one for one, (_, kind, _, retired, _) in uid.UID_dictionary.items() if (kind, retired) == ("Transfer Syntax", "")]
    wanted = [one for one in known if UID(one).name.startswith(families) and not any(word in UID(one).name for word in others)]
    assert len(wanted) >= 12
    for syntax in wanted:
        assert decoders.decoder_of(syntax), UID(syntax).name
    assert decoders.decoder_of("1.2.840.10008.1.2.4.100") == ""


def test_without_imagecodecs_the_message_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    content = encapsulated(bytes(imagecodecs.jpegls_encode(NOISE)), NOISE, str(uid.JPEGLSLossless), BitsStored=12)
    monkeypatch.setattr("core.images.dicom.decoders.importlib.util.find_spec", lambda _: None)
    with pytest.raises(UnreadableImage, match=r"requirements\.txt"):
        read(content)


@pytest.mark.parametrize("syntax", [HTJ2K, HTJ2K_LOSSLESS])
def test_lossy_htj2k_beyond_white_stays_white(syntax: str) -> None:
    frame = bytes(imagecodecs.htj2k_encode(STEPS, level=0.1, reversible=False))
    wrapped = np.abs(np.asarray(imagecodecs.htj2k_decode(frame)).astype(int) - STEPS) > 200
    assert wrapped.any()  # what is guarded against: OpenJPH alone turns white into black
    pixels = read(encapsulated(frame, STEPS, syntax)).pixels
    assert np.abs(pixels - STEPS / 255).max() < 0.5


@pytest.mark.slow
def test_damaged_htj2k_is_not_what_happened_to_be_in_memory() -> None:
    frame = bytes(imagecodecs.htj2k_encode(NOISE, reversible=True))
    for at in range(len(frame) // 2, len(frame) - 2, 40):
        broken = frame[:at] + b"\xff\xff\xff\x8f" + frame[at + 4 :]
        try:
            first = read(encapsulated(broken, NOISE, HTJ2K_LOSSLESS, BitsStored=12)).pixels
        except UnreadableImage:
            continue
        np.testing.assert_array_equal(first, read(encapsulated(broken, NOISE, HTJ2K_LOSSLESS, BitsStored=12)).pixels)
    assert read(encapsulated(frame, NOISE, HTJ2K_LOSSLESS)).steps[0].parameters["decoder"] == "OpenJPEG"


def test_jpeg_2000_with_missing_tiles_is_known_from_its_headers() -> None:
    frame = bytearray(imagecodecs.jpeg2k_encode(NOISE, level=0, codecformat="j2k"))
    size = frame.index(b"\xff\x51")
    frame[size + 22 : size + 26] = (28).to_bytes(4, "big")  # the width of a tile: two would be needed
    stream = inspect(bytes(frame))
    assert stream is not None and stream.missing == "1 of its 2 tiles"


def test_the_first_compressed_images_of_a_process_are_read_side_by_side() -> None:
    contents = [
        encapsulated(bytes(imagecodecs.jpegls_encode(NOISE)), NOISE, str(uid.JPEGLSLossless), BitsStored=12),
        encapsulated(bytes(imagecodecs.htj2k_encode(NOISE, reversible=True)), NOISE, HTJ2K_LOSSLESS, BitsStored=12),
        encapsulated(bytes(imagecodecs.ljpeg_encode(NOISE, bitspersample=12)), NOISE, str(uid.JPEGLosslessSV1), BitsStored=12),
    ] * 6
    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(lambda content: read(content).pixels, contents))
    for pixels in results[1:]:
        np.testing.assert_array_equal(pixels, results[0])
