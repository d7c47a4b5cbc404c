"""The same on real mammograms, where the shared material lies beside the repository."""

from __future__ import annotations

import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest

from core.config import Recipe
from core.errors import UnreadableImage
from core.images import read
from core.preprocessing import analyse, map_boxes, prepare
from core.preprocessing.pectoral import find_pectoral

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data, which is no part of the repository")


def lesions() -> list[tuple[str, int, int, int]]:
    table = SHARED / "mini-mias" / "Info.txt"
    if not table.is_file():
        return []
    rows = [line.split() for line in table.read_text(encoding="latin-1").splitlines()]
    return [(r[0], *(int(n) for n in r[4:])) for r in rows if len(r) == 7 and (table.parent / f"{r[0]}.pgm").is_file()]  # type: ignore[misc]


@pytest.mark.slow
@needs_shared
def test_every_lesion_circle_of_mini_mias_lies_inside_the_crop() -> None:
    circles = lesions()
    assert len(circles) >= 50
    for name, x, from_bottom, radius in circles:
        mammogram = read(SHARED / "mini-mias" / f"{name}.pgm")
        y = mammogram.pixels.shape[0] - from_bottom
        prepared = prepare(mammogram, Recipe(size=256))
        ((left, top, right, bottom),) = map_boxes([(x - radius, y - radius, x + radius, y + radius)], prepared.matrix)
        x0, y0, x1, y1 = prepared.breast
        assert x0 <= left and y0 <= top and right <= x1 and bottom <= y1, name


@pytest.mark.slow
@needs_shared
def test_no_lesion_of_mini_mias_is_taken_for_muscle_and_most_muscles_are_found() -> None:
    circles, found = lesions(), 0
    for name, x, from_bottom, radius in circles:
        analysis = analyse(read(SHARED / "mini-mias" / f"{name}.pgm"), Recipe())
        muscle = find_pectoral(analysis.small, analysis.breast.mask, analysis.chest_wall.side, "MLO").mask
        scale, height = analysis.small.shape[1] / analysis.shape[1], analysis.shape[0]
        circle = np.zeros_like(muscle)
        cv2.circle(circle, (round(x * scale), round((height - from_bottom) * scale)), round(radius * scale), 1, -1)
        assert not muscle[circle > 0].any(), name
        found += bool(muscle.any())
    assert found > 0.5 * len(circles)


@needs_shared
def test_fat_as_dark_as_film_is_not_cut() -> None:
    analysis = analyse(read(SHARED / "rsna" / "images" / "353_2067038200.jpg"), Recipe())
    assert analysis.inverted and analysis.chest_wall.side == "right"
    assert analysis.box[0] < 305  # the skin is at 295 of 640


@pytest.mark.slow
@needs_shared
def test_the_film_with_frame_and_blackened_plate_is_cut_to_its_breast() -> None:
    mammogram = read(SHARED / "dicom" / "MG1_J2KI.dcm")
    prepared = prepare(mammogram, Recipe(size=256))
    assert (mammogram.meta.laterality, mammogram.meta.view) == ("L", "MLO")
    assert not prepared.warnings and prepared.breast[2] < 140  # neither the letters nor the film's rim
    assert prepared.pixels[:, :8].mean() > 60 and prepared.pixels[100:110, 110:].mean() < 60


@pytest.mark.slow_for("MG1_J2KI")
@needs_shared
@pytest.mark.parametrize("path", sorted((SHARED / "dicom").glob("*.dcm")), ids=lambda path: path.stem)
def test_each_dicom_file_is_decoded_or_refused_with_a_reason(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's own words about files that are broken on purpose
        try:
            pixels = read(path).pixels
        except UnreadableImage as error:
            assert "expected" in str(error) and "got" in str(error)
            return
    assert pixels.dtype == np.float32 and np.isfinite(pixels).all() and pixels.min() >= 0 and pixels.max() <= 1


@needs_shared
@pytest.mark.parametrize(
    "compressed, native",
    [
        ("693_J2KR", "693_UNCR"),
        ("MR_small_RLE", "MR_small"),
        ("MR_small_jp2klossless", "MR_small"),
        ("MR_small_jpeg_ls_lossless", "MR_small"),
        ("MR_small_bigendian", "MR_small"),
        ("emri_small_RLE", "emri_small"),
        ("emri_small_jpeg_2k_lossless", "emri_small"),
        ("emri_small_jpeg_ls_lossless", "emri_small"),
        ("emri_small_big_endian", "emri_small"),
        ("rtdose_rle", "rtdose"),
    ],
)
def test_lossless_files_equal_their_uncompressed_twins(compressed: str, native: str) -> None:
    one, other = (read(SHARED / "dicom" / f"{name}.dcm").pixels for name in (compressed, native))
    np.testing.assert_array_equal(one, other)
