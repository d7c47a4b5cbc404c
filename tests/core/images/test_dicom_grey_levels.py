"""DICOM grey levels: every transformation against pydicom or by arithmetic, in the order of the standard."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from builders.dicom_factory import item, make_dataset, make_dicom, to_bytes
from pydicom import dcmread
from pydicom.pixels import apply_modality_lut, apply_voi_lut

from core.errors import UnreadableImage
from core.images import Mammogram, read

RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)
SIGNED = (np.arange(4096, dtype=np.int16) - 2048).reshape(64, 64)


def lut(entries: list[int], *, first: int = 0, bits: int = 12, vr: str = "US", **elements: Any) -> Any:
    found = item(LUTDescriptor=[len(entries), first, bits], **elements)
    found["LUTDescriptor"].VR = "SS" if first < 0 else "US"
    if vr == "OW":
        found.add_new("LUTData", "OW", np.array(entries, "<u2").tobytes())
    else:
        found.LUTData = entries
        found["LUTData"].VR = "US"
    return found


def pydicom_reference(content: bytes, index: int = 0) -> np.ndarray[Any, Any]:
    """Modality, then VOI, by pydicom, scaled to 0..1 over the output range that it uses."""
    ds = dcmread(io.BytesIO(content))
    with np.errstate(over="ignore"):
        values = apply_voi_lut(apply_modality_lut(ds.pixel_array, ds), ds, index=index).astype(np.float64)
    if ds.get("VOILUTSequence"):
        return values / (2 ** ds.VOILUTSequence[index].LUTDescriptor[2] - 1)
    slope, intercept = float(ds.get("RescaleSlope", 1)), float(ds.get("RescaleIntercept", 0))
    bits = ds.BitsStored
    ends = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if ds.PixelRepresentation else (0, 2**bits - 1)
    low, high = (end * slope + intercept for end in ends)
    return (values - low) / (high - low)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(
    "rescale", [{}, {"RescaleSlope": 2, "RescaleIntercept": -1000}, {"RescaleSlope": "0.5", "RescaleIntercept": 7}]
)
@pytest.mark.parametrize("stored", [RAMP, SIGNED], ids=["unsigned", "signed"])
def test_each_of_several_windows_equals_pydicoms(function: str, rescale: dict[str, Any], stored: Any) -> None:
    elements = {"WindowCenter": [500, 1200, 40], "WindowWidth": [900, 300, 2], "VOILUTFunction": function, **rescale}
    content = make_dicom(stored, BitsStored=12, **elements)
    for number in (1, 2, 3):
        np.testing.assert_allclose(read(content, window=number).pixels, pydicom_reference(content, number - 1), atol=2e-6)


def test_every_window_is_offered_with_its_name_and_the_first_is_taken() -> None:
    names = ["NORMAL", "HARDER"]
    content = make_dicom(
        RAMP, BitsStored=12, WindowCenter=[2048, 1500], WindowWidth=[4096, 500], WindowCenterWidthExplanation=names
    )
    mammogram = read(content)
    assert mammogram.meta.windows == ("LINEAR 2048/4096 (NORMAL)", "LINEAR 1500/500 (HARDER)")
    assert mammogram.steps[-1].parameters["voi"] == mammogram.meta.windows[0] and not mammogram.warnings
    assert read(content, window=2).steps[-1].parameters["voi"] == mammogram.meta.windows[1]


def test_a_window_that_the_file_has_not_gives_its_last_with_a_warning() -> None:
    content = make_dicom(RAMP, BitsStored=12, WindowCenter=[2048, 1500], WindowWidth=[4096, 500])
    asked = read(content, window=9)
    np.testing.assert_array_equal(asked.pixels, read(content, window=2).pixels)
    assert any("window 9" in warning and "2 windows" in warning for warning in asked.warnings)
    assert not read(make_dicom(RAMP, BitsStored=12), window=9).warnings  # without any there is nothing to miss
    with pytest.raises(UnreadableImage, match="from 0"):
        read(content, window=-1)


def test_window_0_is_the_whole_range_of_the_image() -> None:
    content = make_dicom(RAMP + 100, BitsStored=13, WindowCenter=2048, WindowWidth=100)
    np.testing.assert_allclose(read(content, window=0).pixels, RAMP / 4095, atol=1e-6)


@pytest.mark.parametrize("vr", ["US", "OW"])
def test_voi_luts_come_before_windows_and_equal_pydicoms(vr: str) -> None:
    luts = [lut([min(4095, 2 * v) for v in range(4096)], vr=vr), lut([v // 16 for v in range(4096)], bits=8, vr="US")]
    luts[1].LUTExplanation = "SOFT"
    content = make_dicom(RAMP, BitsStored=12, VOILUTSequence=luts, WindowCenter=100, WindowWidth=50)
    assert read(content).meta.windows == ("LUT 1", "LUT 2 (SOFT)", "LINEAR 100/50")
    np.testing.assert_allclose(read(content, window=1).pixels, pydicom_reference(content), atol=1e-6)
    # By arithmetic: pydicom 3.0 counts the values of an 8-bit LUT in 8 bits too, and begins again at 256.
    np.testing.assert_allclose(read(content, window=2).pixels, (RAMP // 16) / 255, atol=1e-6)
    np.testing.assert_allclose(read(content, window=3).pixels, np.clip((RAMP - 99.5) / 49 + 0.5, 0, 1), atol=1e-6)


def test_a_voi_lut_begins_at_its_first_value_also_below_zero() -> None:
    table = lut(list(range(0, 4096, 2)), first=-1024)
    content = make_dicom(SIGNED, BitsStored=12, VOILUTSequence=[table])
    expected = np.clip(SIGNED.astype(int) + 1024, 0, 2047) * 2 / 4095
    np.testing.assert_allclose(read(content).pixels, expected, atol=1e-6)


@pytest.mark.parametrize("bits, vr", [(16, "US"), (16, "OW"), (8, "US"), (12, "US")])
def test_a_modality_lut_is_applied_before_the_window(bits: int, vr: str) -> None:
    entries = [(4095 - v) >> max(0, 12 - bits) for v in range(4096)]
    content = make_dicom(
        RAMP,
        BitsStored=12,
        ModalityLUTSequence=[lut(entries, bits=bits, vr=vr, ModalityLUTType="US")],
        WindowCenter=100,
        WindowWidth=101,
        VOILUTFunction="LINEAR",
    )
    expected = np.clip((np.array(entries).reshape(64, 64) - 99.5) / 100 + 0.5, 0, 1)
    np.testing.assert_allclose(read(content).pixels, expected, atol=1e-6)


@pytest.mark.parametrize("vr", ["US", "OW"])
@pytest.mark.parametrize("first", [0, -2048])
def test_a_voi_lut_cut_short_is_left_out_where_the_image_goes_beyond_it(first: int, vr: str) -> None:
    stored = RAMP if first == 0 else SIGNED
    short = lut(list(range(0, 4096, 4)), first=first, vr=vr)  # a quarter of its entries
    short.LUTDescriptor = [4096, first, 12]
    short["LUTDescriptor"].VR = "SS" if first < 0 else "US"
    window = {"WindowCenter": 0, "WindowWidth": 4096}
    mammogram = read(make_dicom(stored, BitsStored=12, VOILUTSequence=[short], **window))
    assert mammogram.meta.windows == ("LINEAR 0/4096",)
    assert any("VOI LUT 1 of the header is cut short" in warning for warning in mammogram.warnings)
    np.testing.assert_array_equal(mammogram.pixels, read(make_dicom(stored, BitsStored=12, **window)).pixels)


def test_a_voi_lut_cut_short_serves_an_image_that_stays_within_it() -> None:
    entries = [min(4095, 3 * value) for value in range(4096)]
    whole, short = lut(entries), lut(entries[:1500])
    short.LUTDescriptor = [4096, 0, 12]
    stored = np.minimum(RAMP, 1499)
    mammogram = read(make_dicom(stored, BitsStored=12, VOILUTSequence=[short]))
    assert any("1,500 of its 4,096 entries" in warning for warning in mammogram.warnings)
    np.testing.assert_array_equal(mammogram.pixels, read(make_dicom(stored, BitsStored=12, VOILUTSequence=[whole])).pixels)


def test_padding_beyond_a_short_voi_lut_is_no_value_of_the_image() -> None:
    short = lut([min(4095, 3 * value) for value in range(1500)])
    short.LUTDescriptor = [4096, 0, 12]
    stored = np.where(RAMP < 3000, np.minimum(RAMP, 1499), 4095).astype(np.uint16)
    mammogram = read(make_dicom(stored, BitsStored=12, VOILUTSequence=[short], PixelPaddingValue=4095))
    assert mammogram.meta.windows == ("LUT 1",) and not mammogram.pixels[stored == 4095].any()


def test_a_modality_lut_cut_short_is_refused_where_the_image_goes_beyond_it() -> None:
    short = lut(list(range(1000)), ModalityLUTType="US")
    short.LUTDescriptor = [4096, 0, 12]
    with pytest.raises(UnreadableImage, match="a usable modality LUT"):
        read(make_dicom(RAMP, BitsStored=12, ModalityLUTSequence=[short]))


def test_a_damaged_voi_lut_is_left_out_with_a_warning() -> None:
    mammogram = read(make_dicom(RAMP, BitsStored=12, VOILUTSequence=[item(LUTExplanation="empty")]))
    assert mammogram.meta.windows == () and any("VOI LUT 1" in warning for warning in mammogram.warnings)
    np.testing.assert_allclose(mammogram.pixels, RAMP / 4095, atol=1e-6)


def test_an_unknown_window_function_is_taken_for_linear_with_a_warning() -> None:
    content = make_dicom(RAMP, BitsStored=12, WindowCenter=2048, WindowWidth=1000, VOILUTFunction="CUBIC")
    plain = make_dicom(RAMP, BitsStored=12, WindowCenter=2048, WindowWidth=1000)
    mammogram = read(content)
    np.testing.assert_array_equal(mammogram.pixels, read(plain).pixels)
    assert any("window function" in warning for warning in mammogram.warnings)


@pytest.mark.parametrize("width", [0, -5, 0.5])
def test_an_impossible_window_is_not_offered(width: float) -> None:
    mammogram = read(make_dicom(RAMP, BitsStored=12, WindowCenter=[9, 2048], WindowWidth=[width, 4096]))
    assert mammogram.meta.windows == ("LINEAR 2048/4096",)
    assert any("impossible" in warning for warning in mammogram.warnings)


@pytest.mark.parametrize("centre, colour", [(60_000, "black"), (-60_000, "white")])
@pytest.mark.parametrize("function", ["LINEAR", "SIGMOID"])
def test_a_window_beside_the_image_is_told(centre: int, colour: str, function: str) -> None:
    mammogram = read(make_dicom(RAMP, BitsStored=12, WindowCenter=centre, WindowWidth=100, VOILUTFunction=function))
    (warning,) = mammogram.warnings
    assert colour in warning and "0..4095" in warning and "0 for the whole range" in warning
    assert not read(make_dicom(RAMP, BitsStored=12, WindowCenter=4000, WindowWidth=100)).warnings


def test_a_rescale_slope_of_zero_is_left_out_with_a_warning() -> None:
    mammogram = read(make_dicom(RAMP, BitsStored=12, RescaleSlope=0, RescaleIntercept=5))
    np.testing.assert_allclose(mammogram.pixels, RAMP / 4095, atol=1e-6)
    assert any("slope" in warning for warning in mammogram.warnings)


def test_a_negative_slope_turns_the_picture() -> None:
    pixels = read(make_dicom(RAMP, BitsStored=12, RescaleSlope=-1, RescaleIntercept=4095)).pixels
    np.testing.assert_allclose(pixels, 1 - RAMP / 4095, atol=1e-6)


@pytest.mark.parametrize("stored", [RAMP, SIGNED], ids=["unsigned", "signed"])
def test_junk_above_the_stored_bits_is_left_out_and_told(stored: Any) -> None:
    clean = make_dicom(stored, BitsStored=12, WindowCenter=0, WindowWidth=4096)
    dirty = stored.copy()
    dirty.view(np.uint16)[::2] ^= 0x5000
    mammogram = read(make_dicom(dirty, BitsStored=12, WindowCenter=0, WindowWidth=4096))
    np.testing.assert_array_equal(mammogram.pixels, read(clean).pixels)
    assert any("beyond the 12 stored" in warning for warning in mammogram.warnings)


def test_negative_values_written_without_their_sign_bits_are_still_negative() -> None:
    cut = (SIGNED.view(np.uint16) & 0x0FFF).view(np.int16)
    mammogram = read(make_dicom(cut, BitsStored=12))
    np.testing.assert_array_equal(mammogram.pixels, read(make_dicom(SIGNED, BitsStored=12)).pixels)
    assert not mammogram.warnings


def test_values_that_begin_above_bit_0_are_shifted_down() -> None:
    ds = make_dataset(RAMP << 4, BitsStored=12, WindowCenter=1000, WindowWidth=500)
    ds.HighBit = 15
    plain = make_dicom(RAMP, BitsStored=12, WindowCenter=1000, WindowWidth=500)
    mammogram = read(to_bytes(ds))
    np.testing.assert_array_equal(mammogram.pixels, read(plain).pixels)
    assert not mammogram.warnings


@pytest.mark.parametrize("bits", [16, 20, 32])
def test_values_of_up_to_32_bits(bits: int) -> None:
    values = np.linspace(0, 2**bits - 1, 400).astype(np.uint32).reshape(20, 20)
    np.testing.assert_allclose(read(make_dicom(values, BitsStored=bits)).pixels, values / (2**bits - 1), atol=1e-6)


@pytest.mark.parametrize("window", [{}, {"WindowCenter": 0, "WindowWidth": 2001}], ids=["stretched", "windowed"])
@pytest.mark.parametrize("value", [-2000, 63_536], ids=["signed", "as if unsigned"])
def test_signed_padding_is_black_also_below_a_window(window: dict[str, Any], value: int) -> None:
    stored = np.tile(np.linspace(-1000, 1000, 40).astype(np.int16), (40, 1))
    plain = read(make_dicom(stored, **window)).pixels
    stored[:10] = -2000
    ds = make_dataset(stored, PhotometricInterpretation="MONOCHROME1", **window)
    ds.add_new("PixelPaddingValue", "SS" if value < 0 else "US", value)
    mammogram = read(to_bytes(ds))
    assert (mammogram.pixels[:10] == 0).all() and "padding" in mammogram.steps[-1].parameters
    np.testing.assert_allclose(mammogram.pixels[10:], 1 - plain[10:], atol=1e-6)


def test_padding_outside_the_stored_bits_is_not_mistaken_for_junk() -> None:
    stored = RAMP.copy()
    stored[0] = 0xF830
    mammogram = read(make_dicom(stored, BitsStored=12, PixelPaddingValue=0xF830))
    assert (mammogram.pixels[0] == 0).all()
    np.testing.assert_allclose(mammogram.pixels[1:], (RAMP[1:] - 64) / (4095 - 64), atol=1e-6)


def enhanced(**shared: Any) -> Any:
    """Three frames of a ramp with functional groups; every per-frame item has another window, rescale and spacing."""
    stack = np.stack([RAMP, RAMP, RAMP])
    ds = make_dataset(stack, BitsStored=12, WindowCenter=1, WindowWidth=2, RescaleSlope=100, RescaleIntercept=0, **shared)
    ds.SharedFunctionalGroupsSequence = [
        item(
            PixelMeasuresSequence=[item(PixelSpacing=[0.1, 0.1])],
            FrameVOILUTSequence=[item(WindowCenter=2048, WindowWidth=4096, VOILUTFunction="LINEAR_EXACT")],
            FrameAnatomySequence=[item(FrameLaterality="R")],
        )
    ]
    ds.PerFrameFunctionalGroupsSequence = [
        item(PixelValueTransformationSequence=[item(RescaleSlope=1, RescaleIntercept=0, RescaleType="US")]),
        item(
            PixelValueTransformationSequence=[item(RescaleSlope=2, RescaleIntercept=-1000, RescaleType="US")],
            FrameVOILUTSequence=[
                item(WindowCenter=[1000, 500], WindowWidth=[500, 100], WindowCenterWidthExplanation=["A", "B"])
            ],
            PixelMeasuresSequence=[item(PixelSpacing=[0.2, 0.3])],
        ),
        item(FrameAnatomySequence=[item(FrameLaterality="L")]),
    ]
    return ds


@pytest.mark.parametrize("window", [1, 2])
def test_rescale_and_windows_of_the_chosen_frame_hold_for_it(window: int) -> None:
    content = to_bytes(enhanced())
    first, second = read(content, frame=0), read(content, frame=1, window=window)
    np.testing.assert_allclose(first.pixels, RAMP / 4096, atol=2e-6)  # shared window, own rescale
    centre, width = [(1000, 500), (500, 100)][window - 1]
    expected = np.clip((RAMP * 2.0 - 1000 - (centre - 0.5)) / (width - 1) + 0.5, 0, 1)
    np.testing.assert_allclose(second.pixels, expected, atol=2e-6)
    assert first.meta.windows == ("LINEAR_EXACT 2048/4096",)
    assert second.meta.windows == ("LINEAR 1000/500 (A)", "LINEAR 500/100 (B)")


def test_spacing_and_laterality_of_the_chosen_frame_hold_for_it() -> None:
    content = to_bytes(enhanced())
    metas = [read(content, frame=index).meta for index in range(3)]
    assert [meta.pixel_spacing for meta in metas] == [(0.1, 0.1), (0.2, 0.3), (0.1, 0.1)]
    assert [meta.laterality for meta in metas] == ["R", "R", "L"]
    assert [(meta.frames, meta.frame) for meta in metas] == [(3, 0), (3, 1), (3, 2)]


def test_a_voi_lut_and_a_modality_lut_inside_functional_groups() -> None:
    ds = make_dataset(np.stack([RAMP, RAMP]), BitsStored=12)
    inverse = [4095 - value for value in range(4096)]
    doubled = [min(4095, 2 * value) for value in range(4096)]
    ds.SharedFunctionalGroupsSequence = [
        item(PixelValueTransformationSequence=[item(ModalityLUTSequence=[lut(inverse, bits=12, ModalityLUTType="US")])])
    ]
    ds.PerFrameFunctionalGroupsSequence = [item(), item(FrameVOILUTSequence=[item(VOILUTSequence=[lut(doubled)])])]
    np.testing.assert_allclose(read(to_bytes(ds), frame=0).pixels, (4095 - RAMP) / 4095, atol=1e-6)
    np.testing.assert_allclose(
        read(to_bytes(ds), frame=1).pixels, np.minimum(4095, 2 * (4095 - RAMP.astype(int))) / 4095, atol=1e-6
    )


def test_inverse_comes_after_the_window_not_before() -> None:
    window = {"WindowCenter": 300, "WindowWidth": 200, "BitsStored": 12}
    straight = read(make_dicom(RAMP, **window)).pixels
    np.testing.assert_allclose(read(make_dicom(RAMP, PresentationLUTShape="INVERSE", **window)).pixels, 1 - straight, atol=1e-6)
    assert straight[0, 0] == 0 and straight[-1, -1] == 1  # inverted before the window it would be the other way round


def test_colour_photometry_ignores_windows() -> None:
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
    mammogram: Mammogram = read(make_dicom(np.stack([grey] * 3, axis=2), WindowCenter=5, WindowWidth=2))
    np.testing.assert_allclose(mammogram.pixels, grey / 255, atol=1e-6)
