"""Lesions and breast in the prepared image's geometry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from core.config import Recipe
from core.data.lesion_masks import breast_mask, has_lesion, lesion_mask
from core.errors import BadManifest
from core.images import read
from core.preprocessing import prepare
from core.preprocessing.geometry import mirror, scaling, translation

# A crop at (10, 20), mirrored at a width of 100, halved: original (x, y) -> ((100 - (x - 10)) / 2, (y - 20) / 2).
MATRIX = scaling(0.5, 0.5) @ mirror(100) @ translation(-10, -20)
ORIGINAL, SHAPE = (200, 150), (60, 50)


def mask_of(**row: Any) -> np.ndarray:
    return lesion_mask({"path": "/nowhere/a.png", **row}, MATRIX, ORIGINAL, SHAPE)


def test_a_box_is_cropped_mirrored_and_scaled() -> None:
    expected = np.zeros(SHAPE, np.bool_)
    expected[10:20, 25:40] = True  # y (40 - 20) / 2 .. (60 - 20) / 2; x (100 - 50) / 2 .. (100 - 20) / 2
    assert np.array_equal(mask_of(lesions="[[30, 40, 60, 60]]"), expected)


def test_a_circle_keeps_its_area_and_place() -> None:
    found = mask_of(lesion_circles="[[50, 60, 20]]", lesions="[[0, 0, 149, 199]]")
    y, x = np.nonzero(found)
    assert (x.mean() + 0.5, y.mean() + 0.5) == pytest.approx((30, 20), abs=0.1)
    assert found.sum() == pytest.approx(np.pi * 10**2, rel=0.02)


def test_a_lesion_smaller_than_a_pixel_is_one_pixel() -> None:
    assert np.argwhere(mask_of(lesions="[[31.1, 41.1, 31.3, 41.3]]")).tolist() == [[10, 39]]
    assert np.argwhere(mask_of(lesion_circles="[[31.2, 41.2, 0.1]]")).tolist() == [[10, 39]]


def test_a_lesion_outside_the_crop_is_nowhere() -> None:
    assert not mask_of(lesions="[[0, 0, 5, 15]]").any()


@pytest.mark.parametrize("content", [f"[[{'9' * 400}, 2, 3]]", "[" * 100_000, "[[1, 2, NaN]]", '{"123": 0}', "[[true, 1, 1]]"])
def test_circles_that_are_none_are_refused_in_few_words(content: str) -> None:
    with pytest.raises(BadManifest, match=r"lesion_circles .*expected a JSON list") as caught:
        mask_of(lesion_circles=content)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("name", ["mask.png", "first.png|mask.png"])
def test_masks_are_taken_from_files_beside_the_image(tmp_path: Path, name: str) -> None:
    drawn = np.zeros(ORIGINAL, np.uint8)
    drawn[40:60, 30:60] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), drawn)
    cv2.imwrite(str(tmp_path / "first.png"), np.roll(drawn, 60, axis=0))
    found = mask_of(path=str(tmp_path / "a.png"), lesion_masks=name, lesions="[[0, 0, 9, 9]]")
    box = mask_of(lesions="[[30, 40, 60, 60]]")
    both = box | mask_of(lesions="[[30, 100, 60, 120]]")
    assert np.array_equal(found, both if "|" in name else box)


def test_a_speck_of_a_mask_survives_shrinking(tmp_path: Path) -> None:
    drawn = np.zeros(ORIGINAL, np.uint8)
    drawn[42, 33] = 255  # between the centres of the prepared pixels
    cv2.imwrite(str(tmp_path / "mask.png"), drawn)
    assert np.argwhere(mask_of(path=str(tmp_path / "a.png"), lesion_masks="mask.png")).tolist() == [[11, 38]]


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "mask.png"), np.full((64, 64), 255, np.uint8))
    with pytest.raises(BadManifest, match="200 x 150 px, the image's size, got 64 x 64"):
        mask_of(path=str(tmp_path / "a.png"), lesion_masks="mask.png")


@pytest.mark.parametrize("bad", ["[[1, 2]]", "circle", "[[1, 2, 0]]", "[[1, 2, NaN]]", "[[1, 2, -3]]"])
def test_circles_that_are_none_are_refused(bad: str) -> None:
    with pytest.raises(BadManifest, match="lesion_circles"):
        has_lesion({"lesion_circles": bad})


def test_what_a_row_says_of_its_lesion() -> None:
    assert has_lesion({"lesions": "[[1, 2, 3, 4]]"}) and has_lesion({"lesion_circles": "[[1, 2, 3]]"})
    assert has_lesion({"lesion_masks": "m.png"})
    assert not has_lesion({}) and not has_lesion({"lesions": "", "lesion_circles": float("nan"), "lesion_masks": None})
    assert not has_lesion({"lesions": "[[1, 2, 3, 4]]", "lesion_circles": "[]"}), "none of the film's boxes is of this kind"


@pytest.mark.parametrize("remove_background", [True, False])
def test_the_breast_of_a_real_preparation(tmp_path: Path, remove_background: bool) -> None:
    image = np.zeros((240, 200), np.uint8)
    cv2.ellipse(image, (0, 120), (120, 90), 0, -90, 90, 150, -1)
    image[100:120, 30:50] = 0  # a hole: dark tissue, not air
    noise = np.random.default_rng(0).normal(0, 8, image.shape)
    image = np.where(image > 0, (image + noise).clip(1, 255), 0).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    recipe = Recipe(size=128, remove_background=remove_background, crop=False)
    mammogram = read(tmp_path / "a.png")
    prepared = prepare(mammogram, recipe)
    truth = np.zeros((240, 200), np.uint8)
    cv2.ellipse(truth, (0, 120), (120, 90), 0, -90, 90, 1, -1)
    expected = cv2.warpAffine(truth, prepared.matrix[:2], (128, 128), flags=cv2.INTER_NEAREST) > 0
    found = breast_mask(prepared.pixels, recipe)
    assert (found & expected).sum() / (found | expected).sum() > 0.93


def test_an_empty_image_is_taken_whole() -> None:
    assert breast_mask(np.zeros((32, 32), np.uint8), Recipe(size=32)).all()


def test_a_lesion_of_an_object_is_where_its_box_its_outline_or_its_mask_says(tmp_path: Path) -> None:
    box = mask_of(lesions="[[30, 40, 60, 60]]")
    doubled = '[{"type": "mass", "box": [60, 80, 120, 120], "size": [300, 400]}]'  # of the film at twice the size
    assert np.array_equal(mask_of(lesions=doubled), box)
    outline = mask_of(lesions='[{"polygon": [[30, 40], [60, 40], [60, 60], [30, 60]]}]')
    assert (outline & box).sum() >= 0.9 * box.sum() and (outline & ~box).sum() <= 0.3 * box.sum()
    drawn = np.full((400, 300), 20, np.uint8)  # as JPEG leaves it: not quite black, in the size of another scan
    drawn[80:120, 60:120] = 240
    assert cv2.imwrite(str(tmp_path / "mask.png"), drawn)
    row = {"path": str(tmp_path / "a.png"), "lesions": '[{"mask": "mask.png"}]'}
    assert np.array_equal(lesion_mask(row, MATRIX, ORIGINAL, SHAPE), box) and has_lesion(row)
    assert not has_lesion({"path": "a.png", "lesions": '[{"type": "mass"}]'})
