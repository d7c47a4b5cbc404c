"""What is refused, or doubted, by what a file says and what its pixels plainly are."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from builders.dicom_factory import make_dicom

from core.config import Recipe
from core.gate import doubts_of_origin, refusal_of_origin
from core.images import encode_jpeg, encode_png, read
from core.images.grey_level_count import count_grey_levels
from core.images.mammogram import ImageMeta

RECIPE = Recipe()
MG = ImageMeta(format="DICOM", modality="MG", body_part="BREAST")


def refusal(meta: ImageMeta, recipe: Recipe = RECIPE, *, breast: bool = True) -> str:
    return refusal_of_origin(meta, breast_found=breast, recipe=recipe)


@pytest.mark.parametrize("modality", ["CT", "MR", "CR", "DX", "RG", "US", "NM", "PT", "SEG", "RTDOSE", "XA"])
def test_another_modality_is_refused_by_name(modality: str) -> None:
    assert f"modality is {modality}," in refusal(replace(MG, modality=modality))


@pytest.mark.parametrize("modality", ["MG", "OT", "SC", ""])
def test_a_mammogram_and_an_unknown_origin_are_not_refused(modality: str) -> None:
    meta = replace(MG, modality=modality)
    assert refusal(meta) == ""
    assert bool(doubts_of_origin(meta)) == (modality != "MG")


def test_a_picture_file_says_nothing_and_is_not_doubted_for_it() -> None:
    assert refusal(ImageMeta(format="PNG")) == "" and doubts_of_origin(ImageMeta(format="PNG")) == ()


@pytest.mark.parametrize(
    "part", ["BREAST", "Left Breast", "BREAST, RIGHT", "MAMMA", "Mammography", "Brust links", "SENO", "SEIN GAUCHE", ""]
)
def test_the_breast_is_known_by_many_names(part: str) -> None:
    assert refusal(replace(MG, body_part=part)) == ""


@pytest.mark.parametrize("part", ["CHEST", "HAND", "ABDOMEN", "WHOLE BODY", "SINUS", "PRESENT"])
def test_another_body_part_is_refused(part: str) -> None:
    assert f"({part})" in refusal(replace(MG, body_part=part))


@pytest.mark.parametrize("part", ["UNKNOWN", "unknown", "OTHER", "Unspecified", "N/A", "NONE", "-", " "])
def test_a_body_part_that_nobody_named_is_no_reason_against_a_mammogram(part: str) -> None:
    assert refusal(replace(MG, body_part=part)) == ""


@pytest.mark.parametrize("modality", ["MG", "OT"])
@pytest.mark.parametrize(
    ("storage", "name"), [("2", "CT Image Storage"), ("4", "MR Image Storage"), ("6.1", "Ultrasound Image Storage")]
)
def test_a_storage_class_of_other_images_contradicts_the_modality(modality: str, storage: str, name: str) -> None:
    pixels = disc(90, spread=30).astype(np.uint16)
    meta = read(make_dicom(pixels, Modality=modality, SOPClassUID=f"1.2.840.10008.5.1.4.1.1.{storage}")).meta
    assert f"the file says {modality} but its storage class is {name}" in refusal(meta)


@pytest.mark.parametrize("storage", ["1.2", "1.2.1", "13.1.3", "13.1.4", "7", "7.2", "7.3"])
def test_storage_classes_of_mammograms_and_of_captures_contradict_nothing(storage: str) -> None:
    pixels = disc(90, spread=30).astype(np.uint16)
    meta = read(make_dicom(pixels, SOPClassUID=f"1.2.840.10008.5.1.4.1.1.{storage}")).meta
    assert refusal(meta) == "" and doubts_of_origin(meta) == ()


@pytest.mark.parametrize(("storage", "name"), [("1", "Computed Radiography Image"), ("1.1", "Digital X-Ray Image")])
def test_plate_based_mammograms_are_doubted_and_not_refused(storage: str, name: str) -> None:
    pixels = disc(90, spread=30).astype(np.uint16)
    meta = read(make_dicom(pixels, SOPClassUID=f"1.2.840.10008.5.1.4.1.1.{storage}")).meta
    assert refusal(meta) == "" and name in doubts_of_origin(meta)[0]


def test_colour_masks_and_missing_breasts_are_refused() -> None:
    assert "colour" in refusal(replace(MG, coloured=True))
    assert "mask" in refusal(replace(MG, grey_levels=2))
    assert "no breast" in refusal(MG, breast=False)


def test_a_recipe_that_looks_for_no_breast_needs_none_but_still_no_ct() -> None:
    patches = Recipe(crop=False, remove_background=False)
    assert refusal(MG, patches, breast=False) == ""
    assert refusal(replace(MG, modality="CT"), patches, breast=False)


# ---------------------------------------------------------------- grey levels


def disc(level: int, spread: int = 0) -> np.ndarray:
    rows, columns = np.mgrid[:240, :180]
    inside = (rows - 120) ** 2 / 100**2 + columns**2 / 140**2 < 1
    noise = np.random.default_rng(0).integers(-spread, spread + 1, inside.shape)
    return np.where(inside, np.clip(level + noise, 1, 255), 0).astype(np.uint8)


@pytest.mark.parametrize("level", [255, 128, 1])
def test_a_mask_has_two_levels_whatever_they_are(level: int) -> None:
    assert read(encode_png(disc(level))).meta.grey_levels == 2


@pytest.mark.parametrize("quality", [60, 75, 95])
def test_a_mask_stays_one_as_jpeg(quality: int) -> None:
    assert read(encode_jpeg(disc(255), quality=quality)).meta.grey_levels == 2


def test_a_mask_that_was_scaled_stays_one() -> None:
    assert read(encode_png(cv2.resize(disc(255), (500, 700), interpolation=cv2.INTER_LINEAR))).meta.grey_levels == 2


def test_tissue_has_many_levels_and_a_hot_pixel_does_not_change_that() -> None:
    tissue = disc(90, spread=30)
    assert read(encode_png(tissue)).meta.grey_levels > 40
    dark = tissue.astype(np.uint16)
    dark[5, 5] = 65535
    assert read(encode_png(dark)).meta.grey_levels > 40


def test_a_uniform_picture_has_one_level() -> None:
    assert count_grey_levels(np.full((50, 40), 0.3, np.float32)) == 1
    assert count_grey_levels(np.zeros((1, 1), np.float32)) == 1


def test_colour_is_told_from_grey_in_colour_channels() -> None:
    grey = np.repeat(disc(90, spread=30)[..., None], 3, axis=2)
    assert not read(encode_png(grey)).meta.coloured
    grey[..., 0] //= 2
    assert read(encode_png(grey)).meta.coloured
