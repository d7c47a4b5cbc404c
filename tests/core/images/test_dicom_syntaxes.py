"""Every lossless transfer syntax gives the pixels of its uncompressed twin, bit for bit; only the asked frame is read."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from builders.dicom_factory import make_dataset, make_dicom, to_bytes
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from core.errors import UnreadableImage
from core.images import read

SHARED = Path(__file__).parents[4] / "shared" / "data" / "dicom"
DEPTHS = [(8, np.uint8), (10, np.uint16), (12, np.uint16), (16, np.uint16), (8, np.int8), (12, np.int16), (16, np.int16)]
JPEG_LOSSLESS, JPEG_LOSSLESS_SV1, JPEG_LS = "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80"
J2K, J2K_LOSSY, HT, HT_RPCL = (f"1.2.840.10008.1.2.4.{number}" for number in (90, 91, 201, 202))
Array = np.ndarray[Any, Any]


def scene(bits: int, dtype: Any) -> Array:
    """Smooth rows, noisy rows, and both extremes of the range."""
    low = -(2 ** (bits - 1)) if np.issubdtype(dtype, np.signedinteger) else 0
    values = np.random.default_rng(bits).integers(0, 2**bits, (37, 53))
    values[:12] = np.linspace(0, 2**bits - 1, 53)
    values[20], values[21] = 0, 2**bits - 1
    return (values + low).astype(dtype)


def unsigned(values: Array, bits: int) -> Array:
    """As a codec without signs stores them: the lower `bits` of the two's complement."""
    word = np.uint8 if values.dtype.itemsize == 1 else np.uint16
    return values.view(word) & word(2**bits - 1)


ENCODERS: dict[tuple[str, str], Callable[[Array, int], bytes]] = {
    ("lj92", JPEG_LOSSLESS_SV1): lambda values, bits: imagecodecs.ljpeg_encode(unsigned(values, bits), bitspersample=bits),
    **{
        (f"libjpeg predictor {predictor}", uid): lambda values, bits, predictor=predictor: imagecodecs.jpeg8_encode(  # type: ignore[misc]
            unsigned(values, bits), lossless=True, predictor=predictor, bitspersample=bits
        )
        for predictor, uid in [(1, JPEG_LOSSLESS_SV1), (1, JPEG_LOSSLESS), (4, JPEG_LOSSLESS), (7, JPEG_LOSSLESS)]
    },
    ("charls", JPEG_LS): lambda values, bits: imagecodecs.jpegls_encode(unsigned(values, bits)),
    ("openjpeg", J2K): lambda values, bits: imagecodecs.jpeg2k_encode(values, level=0, codecformat="j2k", bitspersample=bits),
    ("openjpeg, unsigned", J2K): lambda values, bits: imagecodecs.jpeg2k_encode(
        unsigned(values, bits), level=0, codecformat="j2k", bitspersample=bits
    ),
    ("openjpeg in JP2 boxes", J2K_LOSSY): lambda values, bits: imagecodecs.jpeg2k_encode(
        values, level=0, codecformat="jp2", bitspersample=bits
    ),
    ("openjph", HT): lambda values, bits: imagecodecs.htj2k_encode(values, reversible=True),
    ("openjph, tile-part lengths", HT_RPCL): lambda values, bits: imagecodecs.htj2k_encode(values, reversible=True, tlm=True),
}


def compressed(
    frames: list[bytes], values: Array, syntax: str, *, table: str = "basic", fragments: int = 1, **elements: Any
) -> bytes:
    ds = make_dataset(values, syntax=UID(syntax), **elements)
    if table == "extended":
        ds.PixelData, ds.ExtendedOffsetTable, ds.ExtendedOffsetTableLengths = encapsulate_extended(frames)
    else:
        ds.PixelData = encapsulate(frames, fragments_per_frame=fragments, has_bot=table == "basic")
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    return to_bytes(ds)


@pytest.mark.parametrize("bits, dtype", DEPTHS)
@pytest.mark.parametrize("name, uid", ENCODERS)
def test_lossless_codecs_equal_their_uncompressed_twin(name: str, uid: str, bits: int, dtype: Any) -> None:
    values = scene(bits, dtype)
    frame = bytes(ENCODERS[name, uid](values, bits))
    mammogram = read(compressed([frame], values, uid, BitsStored=bits))
    np.testing.assert_array_equal(mammogram.pixels, read(make_dicom(values, BitsStored=bits)).pixels)
    contradiction = name == "openjpeg, unsigned" and np.issubdtype(dtype, np.signedinteger)
    assert [warning[:31] for warning in mammogram.warnings] == ["the compressed data are unsigne"] * contradiction


def smooth(low: int, high: int) -> Array:
    """A picture without breaks that reaches from `low` to `high`."""
    y, x = np.mgrid[0:61, 0:41]
    waves = np.cos(x / 9.0) * np.sin(y / 11.0)
    return low + (waves - waves.min()) / np.ptp(waves) * (high - low)


@pytest.mark.parametrize("syntax", [J2K, HT])
@pytest.mark.parametrize("claimed", [0, 1], ids=["header unsigned", "header signed"])
@pytest.mark.parametrize("encoded", [np.uint16, np.int16], ids=["stream unsigned", "stream signed"])
@pytest.mark.parametrize(
    ("bits", "stored", "low", "high"),
    [
        (12, 12, 0, 4095),
        (12, 13, 0, 2400),
        (12, 12, -2048, 2047),
        (12, 12, -1024, 1500),
        (12, 16, -900, 900),
        (16, 16, 0, 60_000),
    ],
)
def test_a_sign_that_header_and_stream_disagree_about_is_found_in_the_picture(
    bits: int, stored: int, low: int, high: int, encoded: Any, claimed: int, syntax: str
) -> None:
    truth = smooth(low, high)
    bits = bits if syntax == J2K else stored  # the other encoder writes whole words
    pattern = np.rint(truth).astype(np.int64) & (2**bits - 1)  # as the values lie in memory
    if encoded is np.int16:
        pattern = np.where(pattern >= 2 ** (bits - 1), pattern - 2**bits, pattern)
    values = pattern.astype(encoded)
    if syntax == J2K:
        frame = imagecodecs.jpeg2k_encode(values, level=0, reversible=True, codecformat="j2k", bitspersample=bits)
    else:
        frame = imagecodecs.htj2k_encode(values, reversible=True)
    content = compressed([bytes(frame)], values, syntax, BitsStored=stored, HighBit=stored - 1, PixelRepresentation=claimed)
    mammogram = read(content)
    disagree = (encoded is np.int16) != bool(claimed)
    assert any("the compressed data are" in warning for warning in mammogram.warnings) is disagree
    if disagree:
        assert np.corrcoef(mammogram.pixels.ravel(), truth.ravel())[0, 1] > 0.999


@pytest.mark.parametrize("bits, dtype", DEPTHS)
@pytest.mark.parametrize(
    "syntax, plugin", [(RLELossless, "pydicom"), (JPEGLSLossless, "pyjpegls"), (JPEG2000Lossless, "pylibjpeg")]
)
def test_what_pydicoms_encoders_write_equals_its_uncompressed_twin(syntax: UID, plugin: str, bits: int, dtype: Any) -> None:
    values = scene(bits, dtype)
    ds = make_dataset(values, BitsStored=bits)
    ds.compress(syntax, encoding_plugin=plugin, generate_instance_uid=False)
    np.testing.assert_array_equal(read(to_bytes(ds)).pixels, read(make_dicom(values, BitsStored=bits)).pixels)


def big_endian(values: Array, vr: str, bits: int) -> bytes:
    ds = Dataset(make_dataset(values, BitsStored=bits))
    ds.file_meta = make_dataset(values, syntax=ExplicitVRBigEndian).file_meta
    pixels = values.astype(values.dtype.newbyteorder(">")).tobytes()
    if vr == "OW" and values.dtype.itemsize == 1:  # words of two pixels, the second one in the upper byte
        pixels = np.frombuffer(pixels + b"\0" * (len(pixels) % 2), "u2").byteswap().tobytes()
    ds.PixelData = pixels
    ds["PixelData"].VR = vr
    return to_bytes(ds, implicit_vr=False, little_endian=False)


@pytest.mark.parametrize("bits, dtype", DEPTHS)
@pytest.mark.parametrize("how", ["implicit", "deflated", "big endian"])
def test_uncompressed_syntaxes_are_twins(how: str, bits: int, dtype: Any) -> None:
    values = scene(bits, dtype)
    if how == "big endian":
        contents = [big_endian(values, vr, bits) for vr in (["OB", "OW"] if bits == 8 else ["OW"])]
    else:
        syntax = ImplicitVRLittleEndian if how == "implicit" else DeflatedExplicitVRLittleEndian
        contents = [make_dicom(values, syntax=syntax, BitsStored=bits)]
    for content in contents:
        np.testing.assert_array_equal(read(content).pixels, read(make_dicom(values, BitsStored=bits)).pixels)


STACK = np.stack([np.full((9, 11), 10 * number, np.uint16) for number in range(5)]) + np.arange(11, dtype=np.uint16)


@pytest.mark.parametrize("table, fragments", [("basic", 1), ("basic", 3), ("none", 1), ("none", 2), ("extended", 1)])
def test_frames_are_found_with_and_without_offset_tables(table: str, fragments: int) -> None:
    frames = [bytes(imagecodecs.jpegls_encode(frame)) for frame in STACK]
    content = compressed(frames, STACK, JPEG_LS, table=table, fragments=fragments, BitsStored=12)
    for index in range(5):
        expected = read(make_dicom(STACK[index], BitsStored=12)).pixels
        np.testing.assert_array_equal(read(content, frame=index).pixels, expected)


def test_a_wrong_offset_table_does_not_give_a_wrong_frame() -> None:
    frames = [bytes(imagecodecs.jpegls_encode(frame)) for frame in STACK]
    content = compressed(frames, STACK, JPEG_LS, BitsStored=12)
    table = content.index(b"\xfe\xff\x00\xe0") + 8
    broken = content[:table] + struct.pack("<5L", 3, 5, 7, 9, 11) + content[table + 20 :]
    np.testing.assert_array_equal(read(broken, frame=3).pixels, read(content, frame=3).pixels)


class CountingFile(io.FileIO):
    """A file that counts the bytes read from it."""

    taken = 0

    def read(self, size: int | None = -1) -> bytes:  # type: ignore[override]
        data = super().read(-1 if size is None else size)
        CountingFile.taken += len(data or b"")
        return data or b""


@pytest.mark.parametrize("kind", ["uncompressed", "compressed"])
def test_of_a_large_stack_only_the_frame_asked_for_is_read(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = np.random.default_rng(0).integers(0, 4096, (40, 64, 64)).astype(np.uint16)
    content = make_dicom(stack, BitsStored=12)
    if kind == "compressed":
        content = compressed([bytes(imagecodecs.jpegls_encode(frame)) for frame in stack], stack, JPEG_LS, BitsStored=12)
    path = tmp_path / "stack.dcm"
    path.write_bytes(content)
    monkeypatch.setattr(Path, "open", lambda self, mode: CountingFile(self, mode.replace("b", "")))
    CountingFile.taken = 0
    mammogram = read(path, frame=31)
    assert 64 * 64 < CountingFile.taken < len(content) / 10
    np.testing.assert_array_equal(mammogram.pixels, read(make_dicom(stack[31], BitsStored=12)).pixels)


@pytest.mark.parametrize("frame", [-1, 5, 10**9])
def test_a_frame_that_is_not_there_is_refused_with_those_that_are(frame: int) -> None:
    with pytest.raises(UnreadableImage, match="one of the file's 5 frames"):
        read(make_dicom(STACK), frame=frame)


def test_a_frame_count_that_cannot_be_read_is_counted() -> None:
    content = make_dicom(STACK, BitsStored=12)
    at = content.index(b"\x28\x00\x08\x00IS") + 8
    broken = content[:at] + b"5A" + content[at + 2 :]
    mammogram = read(broken, frame=3)
    assert mammogram.meta.frames == 5 and any("number of frames" in warning for warning in mammogram.warnings)
    np.testing.assert_array_equal(mammogram.pixels, read(content, frame=3).pixels)


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL", "YBR_FULL_422", "PALETTE COLOR"])
def test_grey_stored_as_colour_is_read(photometric: str) -> None:
    grey = (np.arange(64, dtype=np.uint8).reshape(8, 8) * 3) + 20
    middle = np.full_like(grey, 128)
    if photometric == "PALETTE COLOR":
        ds = make_dataset(np.arange(64, dtype=np.uint8).reshape(8, 8), PhotometricInterpretation=photometric)
        for colour in ("Red", "Green", "Blue"):
            setattr(ds, f"{colour}PaletteColorLookupTableDescriptor", [64, 0, 16])
            entries = grey.ravel().astype("<u2") * 257
            setattr(ds, f"{colour}PaletteColorLookupTableData", entries.tobytes())
    else:
        channels = [grey] * 3 if photometric == "RGB" else [grey, middle, middle]
        ds = make_dataset(np.stack(channels, axis=2), PhotometricInterpretation=photometric)
        if photometric == "YBR_FULL_422":
            pairs = np.stack([grey[:, ::2], grey[:, 1::2], middle[:, ::2], middle[:, ::2]], axis=2)
            ds.PixelData = pairs.tobytes()
        elif photometric == "RGB":
            ds.PlanarConfiguration = 1
            ds.PixelData = np.stack(channels).tobytes()
    pixels = read(to_bytes(ds)).pixels
    if photometric == "PALETTE COLOR":
        grey = grey - grey.min()  # 16 bits without a window are stretched
        np.testing.assert_allclose(pixels, grey / grey.max(), atol=0.01)
    else:
        np.testing.assert_allclose(pixels, grey / 255, atol=1 / 255)


TWINS = [
    ("emri_small.dcm", ["emri_small_RLE.dcm", "emri_small_big_endian.dcm", "emri_small_jpeg_2k_lossless.dcm"]),
    ("emri_small.dcm", ["emri_small_jpeg_ls_lossless.dcm", "emri_small_jpeg_2k_lossless_too_short.dcm"]),
    ("MR_small.dcm", ["MR_small_RLE.dcm", "MR_small_bigendian.dcm", "MR_small_expb.dcm", "MR_small_implicit.dcm"]),
    ("MR_small.dcm", ["MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "MR_small_padded.dcm"]),
    ("rtdose.dcm", ["rtdose_expb.dcm", "rtdose_rle.dcm"]),
    ("rtdose_1frame.dcm", ["rtdose_expb_1frame.dcm", "rtdose_rle_1frame.dcm"]),
    ("693_UNCR.dcm", ["693_J2KR.dcm"]),
]


@pytest.mark.parametrize("plain, others", TWINS)
def test_public_test_files_equal_their_uncompressed_twins(plain: str, others: list[str]) -> None:
    if not SHARED.is_dir():
        pytest.skip("the public DICOM test files are not at ../shared/data/dicom")
    expected = read(SHARED / plain).pixels
    for name in others:
        np.testing.assert_array_equal(read(SHARED / name).pixels, expected, err_msg=name)


@pytest.mark.slow
def test_every_public_test_file_is_read_or_refused_for_a_reason_of_its_own() -> None:
    if not SHARED.is_dir():
        pytest.skip("the public DICOM test files are not at ../shared/data/dicom")
    reasons = ("a colour image", "a binary mask", "truncated", "in the compressed data")
    for path in sorted(SHARED.glob("*.dcm")):
        try:
            pixels = read(path).pixels
        except UnreadableImage as error:
            assert any(reason in str(error) for reason in reasons), str(error)
            continue
        assert np.isfinite(pixels).all() and pixels.min() >= 0 and pixels.max() <= 1, path.name
