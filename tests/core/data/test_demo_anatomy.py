"""The pictures themselves: breasts that look like breasts, findings that show, nothing trivial that tells the label."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from core.demo import anatomy, lesions, render
from core.demo.anatomy import Tissue
from core.demo.lesions import Kind

ROWS = 250


def _tissue(view: str = "CC", seed: int = 0, density: str = "a") -> Tissue:
    rng = np.random.default_rng(seed)
    build = anatomy.draw_build(density, rng)
    return anatomy.grow(render.canvas(render.SCANNERS["A"], ROWS, build.depth * 1.1 + 16), build, view, rng)


def _lesion(kind: Kind, seed: int = 1) -> lesions.Lesion:
    plain = lesions.draw_lesion(kind, np.random.default_rng(seed))
    return replace(plain, strength=1.0, radius=10.0, depth=0.45, lateral=0.1, upper=0.1)


@pytest.mark.parametrize("view", ["CC", "MLO"])
@pytest.mark.parametrize("seed", range(4))
def test_a_breast_starts_at_the_chest_wall_and_ends_at_the_nipple_with_air_beyond(view: str, seed: int) -> None:
    tissue = _tissue(view, seed)
    inside = tissue.thickness > 0.05
    assert tissue.body.dtype == np.float32
    assert inside[:, 0].mean() > 0.4
    assert not inside[:, -1].any()
    row = int(tissue.nipple[1] / tissue.canvas.spacing)
    reach = np.flatnonzero(inside[row]).max() * tissue.canvas.spacing
    assert reach == pytest.approx(tissue.nipple[0], abs=9.0)


@pytest.mark.parametrize("seed", range(4))
def test_mlo_shows_the_pectoral_muscle_in_its_upper_corner(seed: int) -> None:
    muscle = _tissue("MLO", seed).muscle
    height, width = muscle.shape
    assert muscle[: height // 10, : width // 10].mean() > 0.9
    assert muscle[-height // 4 :].max() < 0.1
    assert 0.03 < (muscle > 0.5).mean() < 0.35


def test_denser_grades_hold_more_gland() -> None:
    means = [np.mean([_tissue("CC", seed, density).gland.mean() for seed in range(3)]) for density in "abcd"]
    assert means == sorted(means)


def test_exposed_breast_is_brighter_than_air_and_fades_at_the_skin() -> None:
    rng = np.random.default_rng(0)
    for scanner in render.SCANNERS.values():
        tissue = _tissue("CC")
        grey = render.expose(tissue, scanner, rng)
        assert grey.dtype == np.float32
        assert grey.min() >= 0.0 and grey.max() <= 1.0
        inner = grey[:, : tissue.canvas.shape[1]][tissue.skin_distance > 15]
        air = grey[:, -3:]
        assert inner.mean() > air.mean() + 0.12


@pytest.mark.parametrize("kind", [*lesions.BENIGN, *lesions.MALIGNANT])
@pytest.mark.parametrize("view", ["CC", "MLO"])
def test_a_finding_brightens_its_box_and_nothing_far_from_it(kind: Kind, view: str) -> None:
    tissue = _tissue(view, seed=3)
    before = tissue.body.copy()
    x0, y0, x1, y1 = (round(value) for value in lesions.add(tissue, _lesion(kind), np.random.default_rng(2)))
    change = tissue.body - before
    assert change[y0:y1, x0:x1].sum() > 0
    assert change[y0:y1, x0:x1].max() > 0.1
    share = np.clip(change, 0, None)[y0:y1, x0:x1].sum() / np.clip(change, 0, None).sum()
    assert share > 0.6
    middle_x, middle_y = (x0 + x1) / 2 * tissue.canvas.spacing, (y0 + y1) / 2 * tissue.canvas.spacing
    far = np.hypot(tissue.canvas.x - middle_x, tissue.canvas.y - middle_y) > 45
    np.testing.assert_allclose(change[far], 0, atol=1e-6)


def test_both_views_show_a_finding_at_the_same_depth_behind_the_nipple() -> None:
    lesion = _lesion("circumscribed mass")
    for seed in range(5):
        depths = []
        for view in ("CC", "MLO"):
            tissue = _tissue(view, seed)
            x, y = lesions.place(tissue, lesion)
            ax, ay = tissue.axis
            depths.append(((x - tissue.nipple[0]) * ax + (y - tissue.nipple[1]) * ay) / tissue.depth)
        assert depths == pytest.approx([lesion.depth] * 2, abs=1e-6)


def test_a_spiculated_mass_has_a_rougher_margin_than_a_circumscribed_one() -> None:
    def roughness(kind: Kind) -> float:
        tissue = _tissue(seed=3)
        tissue.body[:] = 0.3
        lesions.add(tissue, _lesion(kind), np.random.default_rng(4))
        shape = tissue.body > 0.3 + 0.4 * (tissue.body.max() - 0.3)
        edges = np.abs(np.diff(shape.astype(int), axis=0)).sum() + np.abs(np.diff(shape.astype(int), axis=1)).sum()
        return float(edges**2 / shape.sum())

    assert roughness("spiculated mass") > 1.5 * roughness("circumscribed mass")


def test_no_soft_lesion_outshines_what_normal_breasts_hold() -> None:
    tissue = _tissue(seed=3)
    tissue.body[:] = 0.3
    lesions.add(tissue, replace(_lesion("spiculated mass"), strength=20.0), np.random.default_rng(0))
    assert tissue.body.max() <= 0.95
