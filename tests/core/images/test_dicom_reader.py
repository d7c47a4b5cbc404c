"""DICOM: grey levels by arithmetic and against pydicom, polarity once, padding, frames, syntaxes, metadata."""

from __future__ import annotations

import io
import math
from typing import Any

import imagecodecs
import numpy as np
import pytest
from builders.dicom_factory import item, make_dataset, make_dicom, to_bytes
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless

from core.errors import UnreadableImage
from core.images import read
from core.images.pseudonym import pseudonym

RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)


def test_window_linear_follows_the_standards_formula() -> None:
    pixels = read(make_dicom(RAMP, BitsStored=12, WindowCenter=2048, WindowWidth=1001)).pixels
    centre, width = 2048 - 0.5, 1001 - 1
    expected = np.clip((RAMP - centre) / width + 0.5, 0, 1)
    np.testing.assert_allclose(pixels, expected, atol=2e-6)


@pytest.mark.parametrize(
    "function, formula",
    [
        ("LINEAR_EXACT", lambda x: np.clip((x.astype(float) - 2048) / 1000 + 0.5, 0, 1)),
        ("SIGMOID", lambda x: 1 / (1 + np.exp(-4 * (x.astype(float) - 2048) / 1000))),
    ],
)
def test_other_window_functions(function: str, formula: Any) -> None:
    pixels = read(make_dicom(RAMP, BitsStored=12, WindowCenter=2048, WindowWidth=1000, VOILUTFunction=function)).pixels
    np.testing.assert_allclose(pixels, formula(RAMP), atol=2e-6)


def test_rescale_comes_before_the_window_as_in_pydicom() -> None:
    signed = (np.arange(4096, dtype=np.int16) - 2048).reshape(64, 64)
    elements = {"RescaleSlope": 2, "RescaleIntercept": -100, "WindowCenter": 0, "WindowWidth": 3000}
    content = make_dicom(signed, **elements)
    ds = dcmread(io.BytesIO(content))
    reference = apply_voi_lut(apply_modality_lut(ds.pixel_array, ds), ds)
    reference = (reference - reference.min()) / (reference.max() - reference.min())
    np.testing.assert_allclose(read(content).pixels, reference, atol=2e-6)


def test_modality_and_voi_lut_sequences() -> None:
    modality = item(LUTDescriptor=[4096, 0, 16], LUTData=[4095 - value for value in range(4096)], ModalityLUTType="US")
    voi = item(LUTDescriptor=[4096, 0, 12], LUTData=[min(4095, 2 * value) for value in range(4096)])
    modality["LUTDescriptor"].VR = modality["LUTData"].VR = voi["LUTDescriptor"].VR = voi["LUTData"].VR = "US"
    mammogram = read(make_dicom(RAMP, BitsStored=12, ModalityLUTSequence=[modality], VOILUTSequence=[voi]))
    expected = np.minimum(4095, 2 * (4095 - RAMP.astype(int))) / 4095
    np.testing.assert_allclose(mammogram.pixels, expected, atol=1e-6)
    assert mammogram.steps[-1].parameters["voi"] == "LUT 1"


def test_an_impossible_window_is_left_out_with_a_warning() -> None:
    mammogram = read(make_dicom(RAMP, BitsStored=12, WindowCenter=2048, WindowWidth=0))
    assert mammogram.pixels.min() == 0 and mammogram.pixels.max() == 1
    assert any("window" in warning for warning in mammogram.warnings)


@pytest.mark.parametrize(
    "elements, inverted",
    [
        ({}, False),
        ({"PhotometricInterpretation": "MONOCHROME1"}, True),
        ({"PresentationLUTShape": "INVERSE"}, True),
        ({"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"}, True),
        ({"PresentationLUTShape": "IDENTITY"}, False),
    ],
)
@pytest.mark.parametrize("window", [{}, {"WindowCenter": 1000, "WindowWidth": 1500}])
def test_polarity_is_turned_exactly_once_after_the_window(
    elements: dict[str, Any], inverted: bool, window: dict[str, Any]
) -> None:
    straight = read(make_dicom(RAMP, BitsStored=12, **window)).pixels
    pixels = read(make_dicom(RAMP, BitsStored=12, **window, **elements)).pixels
    np.testing.assert_allclose(pixels, 1 - straight if inverted else straight, atol=1e-6)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_does_not_stretch_the_grey_scale(photometric: str) -> None:
    pixels = np.full((40, 40), 1000, np.uint16)
    pixels[10:, :] = np.linspace(1000, 2000, 30 * 40).reshape(30, 40)
    pixels[:, :5] = 4095
    mammogram = read(make_dicom(pixels, BitsStored=12, PixelPaddingValue=4095, PhotometricInterpretation=photometric))
    assert (mammogram.pixels[:, :5] == 0).all()
    inside = mammogram.pixels[:, 5:]
    assert inside.min() == 0 and inside.max() == 1


def test_padding_range() -> None:
    pixels = np.array([[0, 1, 2, 3, 100, 200]], np.uint16).repeat(4, axis=0)
    grey = read(make_dicom(pixels, BitsStored=12, PixelPaddingValue=0, PixelPaddingRangeLimit=3)).pixels
    np.testing.assert_allclose(grey[0], [0, 0, 0, 0, 0, 1])


@pytest.mark.parametrize("bits, allocated", [(8, np.uint8), (10, np.uint16), (12, np.uint16), (14, np.uint16), (16, np.uint16)])
def test_every_depth_reaches_from_black_to_white(bits: int, allocated: Any) -> None:
    pixels = np.linspace(0, 2**bits - 1, 400).reshape(20, 20).astype(allocated)
    mammogram = read(make_dicom(pixels, BitsStored=bits))
    np.testing.assert_allclose(mammogram.pixels, pixels / (2**bits - 1), atol=1e-6)
    assert mammogram.meta.bits_stored == bits


def test_a_stack_gives_its_middle_frame_and_says_so() -> None:
    stack = np.zeros((5, 8, 8), np.uint8) + np.arange(5, dtype=np.uint8).reshape(5, 1, 1) * 50
    mammogram = read(make_dicom(stack))
    assert mammogram.pixels[0, 0] == pytest.approx(100 / 255)
    assert any("frame 3" in warning for warning in mammogram.warnings)
    chosen = read(make_dicom(stack), frame=4)
    assert chosen.pixels[0, 0] == pytest.approx(200 / 255) and not chosen.warnings
    with pytest.raises(UnreadableImage, match="5 frames, got frame 6"):
        read(make_dicom(stack), frame=5)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
def test_native_syntaxes_give_equal_pixels(syntax: str, dtype: Any) -> None:
    pixels = (RAMP.astype(np.int32) - (2048 if dtype == np.int16 else 0)).astype(dtype)
    np.testing.assert_array_equal(read(make_dicom(pixels, syntax=syntax)).pixels, read(make_dicom(pixels)).pixels)


@pytest.mark.parametrize("dtype", [np.uint16, np.int16])
def test_big_endian_files_are_not_misread(dtype: Any) -> None:
    pixels = (RAMP.astype(np.int32) - (2048 if dtype == np.int16 else 0)).astype(dtype)
    ds = Dataset(make_dataset(pixels))
    ds.file_meta = make_dataset(pixels, syntax=ExplicitVRBigEndian).file_meta
    ds.PixelData = pixels.astype(np.dtype(dtype).newbyteorder(">")).tobytes()
    content = to_bytes(ds, implicit_vr=False, little_endian=False)
    np.testing.assert_array_equal(read(content).pixels, read(make_dicom(pixels)).pixels)


@pytest.mark.parametrize(
    "uid, encode",
    [
        ("1.2.840.10008.1.2.4.70", lambda pixels: imagecodecs.ljpeg_encode(pixels, bitspersample=12)),
        ("1.2.840.10008.1.2.4.80", imagecodecs.jpegls_encode),
        ("1.2.840.10008.1.2.4.90", lambda pixels: imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="j2k")),
        ("1.2.840.10008.1.2.4.201", lambda pixels: imagecodecs.htj2k_encode(pixels, reversible=True)),
    ],
)
def test_lossless_syntaxes_equal_their_uncompressed_twin(uid: str, encode: Any) -> None:
    ds = make_dataset(RAMP, syntax=UID(uid), BitsStored=12)
    ds.PixelData = encapsulate([bytes(encode(RAMP))])
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    np.testing.assert_array_equal(read(to_bytes(ds)).pixels, read(make_dicom(RAMP, BitsStored=12)).pixels)


def test_rle_equals_its_uncompressed_twin() -> None:
    ds = make_dataset(RAMP, BitsStored=12)
    ds.compress(RLELossless, generate_instance_uid=False)
    np.testing.assert_array_equal(read(to_bytes(ds)).pixels, read(make_dicom(RAMP, BitsStored=12)).pixels)


def test_twelve_bit_jpeg_is_decoded() -> None:
    smooth = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint16) * 30
    ds = make_dataset(smooth, syntax=UID("1.2.840.10008.1.2.4.51"), BitsStored=12, WindowCenter=2048, WindowWidth=4096)
    ds.PixelData = encapsulate([bytes(imagecodecs.jpeg8_encode(smooth, level=98, bitspersample=12))])
    ds["PixelData"].is_undefined_length = True
    np.testing.assert_allclose(read(to_bytes(ds)).pixels, smooth / 4095, atol=0.003)


def test_a_file_without_preamble_is_still_dicom() -> None:
    ds = make_dataset(RAMP, BitsStored=12)
    stream = io.BytesIO()
    bare = type(ds)("", ds, file_meta=None, preamble=None, is_implicit_VR=True, is_little_endian=True)
    bare.save_as(stream, enforce_file_format=False, implicit_vr=True, little_endian=True)
    np.testing.assert_array_equal(read(stream.getvalue()).pixels, read(make_dicom(RAMP, BitsStored=12)).pixels)


@pytest.mark.parametrize(
    "elements, laterality, view",
    [
        ({"ImageLaterality": "L", "ViewPosition": "MLO"}, "L", "MLO"),
        ({"Laterality": "R", "ViewPosition": "CC"}, "R", "CC"),
        ({"SeriesDescription": "R CC"}, "R", "CC"),
        ({"ViewPosition": "LMLO"}, "L", "MLO"),
        ({"SeriesDescription": "LMLO MAG"}, "L", "MLO"),
        ({"ViewPosition": "ML"}, "", "ML"),
        (
            {"ViewCodeSequence": [item(CodeValue="R-10242", CodingSchemeDesignator="SRT", CodeMeaning="cranio-caudal")]},
            "",
            "CC",
        ),
        ({"ViewCodeSequence": [item(CodeValue="399368009", CodingSchemeDesignator="SCT", CodeMeaning="x")]}, "", "MLO"),
        ({"ViewCodeSequence": [item(CodeValue="?", CodeMeaning="cranio-caudal exaggerated laterally")]}, "", "XCCL"),
        ({"ImageLaterality": "B"}, "", ""),
        ({"SeriesDescription": "MAMMOGRAPHY CLINIC"}, "", ""),
    ],
)
def test_laterality_and_view_from_every_place(elements: dict[str, Any], laterality: str, view: str) -> None:
    meta = read(make_dicom(RAMP, BitsStored=12, **elements)).meta
    assert (meta.laterality, meta.view) == (laterality, view)


def test_metadata_never_names_the_patient() -> None:
    mammogram = read(
        make_dicom(RAMP, BitsStored=12, ImagerPixelSpacing=[0.07, 0.08], Manufacturer="ACME", StudyDate="20200101")
    )
    assert mammogram.meta.patient == pseudonym("ID-4711") and len(mammogram.meta.patient) == 12
    assert mammogram.meta.pixel_spacing == (0.07, 0.08) and mammogram.meta.manufacturer == "ACME"
    everything = repr(mammogram.meta) + repr(mammogram.steps)
    for secret in ("Doe", "Jane", "4711", "1960", "20200101"):
        assert secret not in everything


@pytest.mark.parametrize("name", ["SeriesDescription", "ImageComments"])
def test_synthetic_images_are_known_as_such(name: str) -> None:
    assert read(make_dicom(RAMP, **{name: "Synthetic demo image"})).meta.synthetic
    assert not read(make_dicom(RAMP, **{name: "routine"})).meta.synthetic


def test_raw_detector_data_come_with_a_warning() -> None:
    mammogram = read(make_dicom(RAMP, PresentationIntentType="FOR PROCESSING"))
    assert mammogram.meta.presentation_intent == "FOR PROCESSING"
    assert any("FOR PROCESSING" in warning for warning in mammogram.warnings)


def test_grey_stored_as_rgb_is_taken_and_colour_is_refused() -> None:
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
    np.testing.assert_allclose(read(make_dicom(np.stack([grey] * 3, axis=2))).pixels, grey / 255, atol=1e-6)
    with pytest.raises(UnreadableImage, match="colour"):
        read(make_dicom(np.stack([grey, 255 - grey, grey], axis=2)))


def test_float_pixels_are_stretched() -> None:
    ds = make_dataset(RAMP)
    del ds.PixelData, ds.BitsStored, ds.HighBit, ds.PixelRepresentation
    ds.BitsAllocated = 32
    ds.FloatPixelData = (RAMP.astype("<f4") * 3 - 5).tobytes()
    np.testing.assert_allclose(read(to_bytes(ds)).pixels, RAMP / 4095, atol=1e-6)
    values = RAMP.astype("<f4")
    values[0, 0] = math.nan
    ds.FloatPixelData = values.tobytes()
    with pytest.raises(UnreadableImage, match="NaN"):
        read(to_bytes(ds))
