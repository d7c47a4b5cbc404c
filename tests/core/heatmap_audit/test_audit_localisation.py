"""Pointing game, energy and overlap: hand-counted on tiny maps, and what an oracle and a blind map get."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from core.heatmap_audit.localisation import energy_inside, grown, localisation, shape_map

BREAST = np.zeros((4, 5), np.bool_)
BREAST[:, :4] = True  # 16 pixels
LESION = np.zeros((4, 5), np.bool_)
LESION[1:3, 1:3] = True  # 4 pixels


def test_figures_of_a_map_counted_by_hand() -> None:
    values = np.zeros((4, 5), np.float32)
    values[1, 1], values[1, 2], values[0, 0], values[0, 4] = 0.4, 0.2, 1.0, 0.4
    found = localisation(values, LESION, BREAST, tolerance=0)
    assert found["hit"] == found["hit_exact"] == 0.0
    assert found["energy"] == pytest.approx(0.6 / 2.0)
    # The four highest pixels are all that are above 0; two of them lie in the lesion: 2 of 6.
    assert found["iou_area"] == pytest.approx(2 / 6)
    # Half the peak is reached at (0, 0) alone.
    assert found["iou_half"] == 0.0
    assert found["hit_exact:chance"] == found["energy:chance"] == pytest.approx(4 / 16)
    # 4 pixels drawn from 16 hit 1 of the 4 on average: 1 of 7 in common.
    assert found["iou_area:chance"] == pytest.approx(1 / 7)
    assert found["iou_half:chance"] == pytest.approx(0.25 / (1 + 4 - 0.25))


def test_the_tolerance_makes_a_near_miss_a_hit_and_raises_chance_with_it() -> None:
    values = np.zeros((4, 5), np.float32)
    values[0, 0] = 1.0  # 1.41 px from the lesion's corner
    assert localisation(values, LESION, BREAST, 1.4)["hit"] == 0.0
    near = localisation(values, LESION, BREAST, 1.5)
    assert (near["hit"], near["hit_exact"]) == (1.0, 0.0)
    assert near["hit:chance"] == 1.0, "every pixel of this breast lies within 1.5 px"
    assert localisation(values, LESION, BREAST, 1.0)["hit:chance"] == pytest.approx(12 / 16)


def test_an_oracle_gets_everything() -> None:
    found = localisation(LESION.astype(np.float32), LESION, BREAST, 0)
    assert all(found[key] == 1.0 for key in ("hit", "hit_exact", "energy", "iou_area", "iou_half"))


@pytest.mark.parametrize("seed", range(3))
def test_a_map_that_is_the_same_all_over_the_breast_gets_chance(seed: int) -> None:
    generator = np.random.default_rng(seed)
    breast = generator.random((20, 30)) < 0.7
    lesion = np.zeros_like(breast)
    lesion[4:12, 5:20] = True
    found = localisation(breast.astype(np.float32), lesion, breast, 3)
    for key in ("hit", "hit_exact", "energy", "iou_area", "iou_half"):
        assert found[key] == pytest.approx(found[f"{key}:chance"]), key


def test_blind_maps_get_chance_on_average() -> None:
    generator = np.random.default_rng(0)
    found = [localisation(generator.random((4, 5), np.float32) * BREAST, LESION, BREAST, 0) for _ in range(3000)]
    for key in ("hit_exact", "energy"):
        assert np.mean([each[key] for each in found]) == pytest.approx(found[0][f"{key}:chance"], abs=0.02), key


def test_only_what_lies_in_the_breast_is_lesion() -> None:
    lesion = np.zeros_like(LESION)
    lesion[:, 3:] = True  # the last column is air
    values = np.zeros((4, 5), np.float32)
    values[:, 4] = 1.0
    found = localisation(values, lesion, BREAST, 0)
    assert found["energy"] == found["hit_exact"] == 0.0 and found["energy:chance"] == pytest.approx(4 / 16)


def test_equal_peaks_each_count_their_part() -> None:
    values = np.zeros((4, 5), np.float32)
    values[1, 1] = values[0, 0] = values[3, 3] = values[3, 0] = 1.0
    assert localisation(values, LESION, BREAST, 0)["hit_exact"] == 0.25


def test_energy_off_the_breast_is_what_lies_outside_of_it() -> None:
    values = np.zeros((4, 5), np.float32)
    values[:, 4], values[0, 0] = 1.0, 1.0
    assert energy_inside(values, ~BREAST) == pytest.approx(4 / 5)


def test_growing_takes_all_within_a_distance() -> None:
    mask = np.zeros((15, 15), np.bool_)
    mask[7, 7] = True
    y, x = np.mgrid[-3:4, -3:4]
    expected = binary_dilation(mask, x**2 + y**2 <= 9)
    assert np.array_equal(grown(mask, 3.0), expected)
    assert grown(mask, 0) is mask


def test_the_shape_map_peaks_in_the_breasts_middle_and_knows_nothing_else() -> None:
    y, x = np.mgrid[:64, :48]
    breast = (y - 32) ** 2 + x**2 < 30**2
    values = shape_map(breast)
    assert values.shape == breast.shape and values.dtype == np.float32
    assert values.max() == 1.0 and (values[~breast] == 0).all()
    # The largest circle in a half disc of radius 30 has its centre 15 from the straight side (pixels near it tie).
    assert np.unravel_index(values.argmax(), values.shape) == pytest.approx((32, 14), abs=6)


def test_the_shape_map_of_a_breast_off_the_edges_peaks_inside() -> None:
    breast = np.zeros((40, 40), np.bool_)
    breast[10:21, 5:16] = True
    assert np.unravel_index(shape_map(breast).argmax(), (40, 40)) == (15, 10)
