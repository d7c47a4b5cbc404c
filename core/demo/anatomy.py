"""Anatomy of the synthetic breast: outline, compression, fat and gland, ligaments, vessels, muscle, skin.

Everything is drawn in millimetres on a canvas with the chest wall on the left (x = 0) and the nipple to the right;
right breasts are mirrored at the very end. `Tissue.body` is attenuation in arbitrary units: fat about 0.3, gland up to
about 0.8, muscle about 0.75, calcium above 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from core.demo import noise
from core.demo.noise import Field, Rng

DENSITIES = ("a", "b", "c", "d")

# Families of ligaments: cell along and across the ducts (mm), width of the line (share of the cell), attenuation.
_LIGAMENTS = ((48.0, 9.0, 0.08, 0.068), (34.0, 5.0, 0.11, 0.060), (22.0, 3.4, 0.15, 0.052), (14.0, 2.2, 0.2, 0.036))


@dataclass(frozen=True)
class Build:
    """What the two breasts of a woman have in common. Lengths in mm."""

    depth: float  # chest wall to nipple
    half_width: float  # of the CC outline at the chest wall
    thickness: float  # under compression
    density: str  # BI-RADS a (fat) to d (dense)
    gland_extent: float  # how much of the depth holds gland, 0 to 1
    gland_tilt: float  # gland reaches further to the lateral and upper side, 0 to 1
    lobule: float  # size of the fat lobules between glandular strands
    strands: float  # how stringy the tissue is, 0 to 1
    gland: float  # attenuation of pure gland over that of fat
    pectoral: float  # length of the muscle along the chest wall in MLO
    nipple: float  # length of the nipple


@dataclass(frozen=True)
class Canvas:
    """The detector: `shape` in pixels (H, W), `spacing` in mm a pixel, x and y (H, W) in mm."""

    shape: tuple[int, int]
    spacing: float
    x: Field
    y: Field

    @staticmethod
    def create(height_mm: float, width_mm: float, rows: int) -> Canvas:
        spacing = height_mm / rows
        shape = (rows, max(8, round(width_mm / spacing)))
        y, x = np.indices(shape, dtype=np.float32)
        half = 0.5
        return Canvas(shape, spacing, (x + half) * spacing, (y + half) * spacing)

    def pixels(self, millimetres: float) -> float:
        return millimetres / self.spacing

    def halved(self) -> Canvas:
        """Every second pixel: what is soft needs no more."""
        x, y = self.x[::2, ::2], self.y[::2, ::2]
        return Canvas((x.shape[0], x.shape[1]), self.spacing * 2.0, x, y)


@dataclass
class Tissue:
    """One compressed breast in one view, before the X-ray. Fields are (H, W) float32."""

    canvas: Canvas
    view: str
    body: Field  # attenuation per unit of thickness
    thickness: Field  # 0 outside, 1 where the plates touch
    skin_distance: Field  # mm inside the outline, 0 outside
    gland: Field  # share of gland, 0 to 1
    muscle: Field  # share of pectoral muscle, 0 to 1
    nipple: tuple[float, float]  # mm
    axis: tuple[float, float]  # unit vector from the nipple towards the chest wall
    depth: float  # mm from the nipple to the chest wall along the axis


def draw_build(density: str, rng: Rng) -> Build:
    """The traits of a woman of that density ("a" to "d"), drawn independently of any finding."""
    grade = DENSITIES.index(density)
    depth = float(np.clip(rng.normal(112 - 5 * grade, 15), 80, 142))
    return Build(
        depth=depth,
        half_width=float(np.clip(depth * rng.normal(0.82, 0.06), 60, 108)),
        thickness=float(rng.uniform(40, 70)),
        density=density,
        gland_extent=float(np.clip(rng.normal(0.62 + 0.07 * grade, 0.06), 0.45, 0.95)),
        gland_tilt=float(rng.uniform(0.1, 0.6)),
        lobule=float(rng.uniform(9, 17)),
        strands=float(rng.uniform(0.25, 0.95)),
        gland=float(rng.uniform(0.22, 0.38)),
        pectoral=float(rng.uniform(95, 150)),
        nipple=float(rng.uniform(0.0, 6.0)),
    )


def grow(canvas: Canvas, build: Build, view: str, rng: Rng) -> Tissue:
    """One breast of that build in one view ("CC" or "MLO")."""
    outline, nipple, axis = _outline(canvas, build, view, rng)
    inside = np.maximum(_fill(canvas, outline), _fill(canvas, _nipple_outline(nipple, build, rng)))
    distance: Any = cv2.distanceTransform((inside > 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    skin_distance = np.asarray(distance, dtype=np.float32) * canvas.spacing
    # The canvas border at the chest wall is no skin: distanceTransform sees none there, which is what we want.
    roll = build.thickness * rng.uniform(0.38, 0.55)
    rim = np.clip(1.0 - skin_distance / roll, 0.0, 1.0)
    thickness = np.sqrt(np.maximum(1.0 - rim * rim, 0.0)).astype(np.float32) * noise.smooth(inside, 0.7)
    depth = _depth(nipple, axis)
    tissue = Tissue(canvas, view, inside * 0.0, thickness, skin_distance, inside * 0, inside * 0, nipple, axis, depth)
    flow = _flow(tissue)
    tissue.gland = _gland(tissue, build, flow, rng)
    tissue.muscle = _muscle(tissue, build, rng)
    tissue.body = _fat(tissue, build, flow, rng)
    tissue.body += build.gland * tissue.gland * (1.0 - 0.6 * tissue.muscle)
    _vessels(tissue, rng)
    _mix_muscle(tissue, rng)
    _skin(tissue)
    return tissue


def _depth(nipple: tuple[float, float], axis: tuple[float, float]) -> float:
    return nipple[0] / max(-axis[0], 0.2)


def _outline(
    canvas: Canvas, build: Build, view: str, rng: Rng
) -> tuple[NDArray[np.float64], tuple[float, float], tuple[float, float]]:
    height = canvas.shape[0] * canvas.spacing
    jitter = float(rng.normal(0, 2.0))
    if view == "CC":
        centre = height * 0.5 + float(rng.normal(0, 5.0))
        half = min(build.half_width, height * 0.47)
        depth = build.depth + jitter
        angle = np.linspace(-np.pi / 2, np.pi / 2, 160)
        power = rng.uniform(0.86, 1.02)  # below 1: fuller than an ellipse
        lean = rng.normal(0, 0.05)
        ripple = 1 + 0.012 * np.sin(3 * angle + rng.uniform(0, 6.28)) + 0.006 * np.sin(7 * angle + rng.uniform(0, 6.28))
        x = depth * np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** power * ripple
        y = centre + half * np.sin(angle) * ripple + lean * x
        nipple = (depth, float(centre + lean * depth + rng.normal(0, 4.0)))
        axis = (-1.0, 0.0)
        outline = np.stack([x, y], axis=1)
        outline = np.vstack([[-30.0, y[0]], outline, [-30.0, y[-1]]])
    else:
        outline, nipple = _oblique_outline(height, build, jitter, rng)
        tilt = math.radians(rng.uniform(12, 26))
        axis = (-math.cos(tilt), -math.sin(tilt))
    nearest = outline[np.argmin(np.abs(outline[:, 1] - nipple[1]) - 0.2 * outline[:, 0])]
    return outline, (float(nearest[0]), float(nearest[1])), axis


def _oblique_outline(height: float, build: Build, jitter: float, rng: Rng) -> tuple[NDArray[np.float64], tuple[float, float]]:
    depth = build.depth * rng.uniform(0.97, 1.05) + jitter
    level = height * rng.uniform(0.56, 0.65)  # of the nipple
    span = min(build.half_width, 0.36 * height)
    fold = min(level + span * rng.uniform(0.92, 1.05), height * 0.955)
    arm = depth * rng.uniform(0.56, 0.74)
    points = np.array(
        [
            [arm * 1.02, -12.0],
            [arm * 0.97, height * 0.09],
            [arm * 1.06, height * 0.2],
            [depth * 0.86, level - span * 0.6],
            [depth * 0.98, level - span * 0.22],
            [depth, level + span * 0.06],
            [depth * 0.93, level + span * 0.36],
            [depth * 0.7, level + (fold - level) * 0.72],
            [depth * 0.4, level + (fold - level) * 0.93],
            [depth * 0.16, fold],
            [depth * 0.1, fold + 4.0],
            [depth * 0.12, fold + 16.0],
            [depth * 0.14, fold + 45.0],
        ]
    )
    points[:, 0] += rng.normal(0, 0.012 * depth, len(points))
    length = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    fine = np.linspace(0, length[-1], 300)
    curve = np.stack([PchipInterpolator(length, points[:, 0])(fine), PchipInterpolator(length, points[:, 1])(fine)], axis=1)
    smooth = np.stack([_smooth_line(curve[:, 0], 7), _smooth_line(curve[:, 1], 7)], axis=1)
    outline = np.vstack([[-30.0, -30.0], [smooth[0, 0], -30.0], smooth, [-30.0, smooth[-1, 1]]])
    return outline, (depth, float(level + span * rng.normal(0.06, 0.04)))


def _smooth_line(values: NDArray[np.float64], radius: int) -> NDArray[np.float64]:
    kernel = np.hanning(2 * radius + 3)[1:-1]
    padded = np.pad(values, radius, mode="edge")
    return np.convolve(padded, kernel / kernel.sum(), mode="valid")


def _fill(canvas: Canvas, outline: NDArray[np.float64]) -> Field:
    mask = np.zeros(canvas.shape, dtype=np.uint8)
    shift = 4
    points = np.round((outline / canvas.spacing - 0.5) * (1 << shift)).astype(np.int32)
    cv2.fillPoly(mask, [points], 255, lineType=cv2.LINE_AA, shift=shift)
    return mask.astype(np.float32) / 255.0


@dataclass(frozen=True)
class _Flow:
    """Coordinates that follow the ducts: `along` mm from the nipple, `angle` rad off the axis, `across` mm off it."""

    along: Field
    angle: Field
    across: Field


def _flow(tissue: Tissue) -> _Flow:
    x = tissue.canvas.x - (tissue.nipple[0] + 6.0)
    y = tissue.canvas.y - tissue.nipple[1]
    ax, ay = (component for component in tissue.axis)
    forward = x * ax + y * ay
    sideways = y * ax - x * ay
    radius = np.sqrt(forward * forward + sideways * sideways) + 1e-3
    return _Flow(radius, np.arctan2(sideways, forward), sideways)


def _strands(canvas: Canvas, flow: _Flow, rng: Rng, along: float, across: float, wobble: float, shear: float = 0.0) -> Field:
    """Unit-variance noise drawn out along the ducts; cell sizes in mm at 60 mm from the nipple.

    `shear` turns the strands off the ducts' direction, so that several families cross each other.
    """
    texture = noise.tile(rng, (96, 64))
    # sqrt: strands fan out more slowly than straight rays, as ligaments do.
    spread = flow.angle * np.sqrt(flow.along * 60.0) + shear * flow.along
    bend = noise.power_law(rng, canvas.shape, canvas.pixels(36.0), canvas.pixels(8.0), 0.5) * wobble
    return noise.sample(texture, (flow.along + bend) / along, (spread + bend) / across)


def _gland(tissue: Tissue, build: Build, flow: _Flow, rng: Rng) -> Field:
    """Share of fibroglandular tissue: a cone behind the nipple, broken up by fat lobules."""
    canvas = tissue.canvas.halved()
    flow = _Flow(*(np.ascontiguousarray(field[::2, ::2]) for field in (flow.along, flow.angle, flow.across)))
    grade = DENSITIES.index(build.density)
    reach = build.gland_extent * tissue.depth
    lean = build.gland_tilt * 22.0
    # In both views the upper / lateral side (low y) holds more gland.
    side = (flow.across - lean) / (24.0 + 11.0 * grade + 0.16 * build.half_width)
    depth_term = (flow.along - 0.5 * reach) / (0.56 * reach)
    envelope = 1.15 - (depth_term * depth_term + side * side)
    subcutaneous = np.clip((tissue.skin_distance[::2, ::2] - 9.0) / 9.0, -1.0, 0.0)
    coarse = noise.power_law(rng, canvas.shape, canvas.pixels(46.0), canvas.pixels(2.5), 0.68)
    strand = _strands(canvas, flow, rng, along=30.0, across=7.0, wobble=6.0)
    fine = _strands(canvas, flow, rng, along=14.0, across=2.6, wobble=6.0, shear=float(rng.normal(0, 0.25)))
    level = -0.85 + 0.45 * grade
    mass = level + 1.2 * envelope + 2.2 * subcutaneous
    mass += 0.62 * coarse + (0.45 * build.strands) * strand
    share = noise.sigmoid(1.7 * mass)
    # Inside the cone, fat lobules of all sizes show as darker cells with scalloped borders.
    lace = np.zeros(canvas.shape, dtype=np.float32)
    weight, cell = 0.40, build.lobule
    for _ in range(5):
        wall = 1.0 - np.minimum(np.abs(noise.blobs(rng, canvas.shape, canvas.pixels(cell))), 1.6) / 1.6
        lace += weight * wall * wall
        weight, cell = weight * 0.82, cell * 0.55
    weave = noise.sigmoid(1.3 * (strand + 0.8 * fine))
    inner = (0.16 + 0.07 * grade) + 0.50 * lace + (0.34 * build.strands) * weave
    gland = share * np.clip(inner + 0.12 * coarse, 0.0, 1.2)
    height, width = tissue.canvas.shape
    enlarged: Any = cv2.resize(gland, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(enlarged, dtype=np.float32) * (tissue.thickness > 0)


def _fat(tissue: Tissue, build: Build, flow: _Flow, rng: Rng) -> Field:
    """Fat with its faint clouds, and Cooper's ligaments as a net of thin crossing lines."""
    canvas = tissue.canvas
    clouds = noise.power_law(rng, canvas.shape, canvas.pixels(64.0), canvas.pixels(0.6), 0.70)
    where = noise.power_law(rng, canvas.shape, canvas.pixels(30.0), canvas.pixels(7.0), 0.7)
    presence = noise.sigmoid(1.5 * where)
    net: Field = np.zeros(canvas.shape, dtype=np.float32)
    for along, across, width, weight in _LIGAMENTS:
        strand = _strands(canvas, flow, rng, along, across, wobble=5.5, shear=float(rng.normal(0, 0.5)))
        net += weight * noise.ridges(strand, width) * presence
        presence = 1.0 - 0.75 * presence
    # Lines come and go along their way, and fine ones fill the space between.
    broken = noise.sigmoid(2.2 * noise.power_law(rng, canvas.shape, canvas.pixels(12.0), canvas.pixels(2.5), 0.7))
    fuzz = noise.ridges(noise.power_law(rng, canvas.shape, canvas.pixels(5.0), canvas.pixels(1.2), 0.7), 0.25)
    net = 0.85 * net * (0.35 + 1.1 * broken) + 0.022 * fuzz * presence
    return 0.29 + 0.032 * clouds + (0.8 + 0.7 * build.strands) * net


def _muscle(tissue: Tissue, build: Build, rng: Rng) -> Field:
    """Share of pectoral muscle: a wedge in MLO, at most a sliver at the chest wall in CC."""
    canvas = tissue.canvas
    wave = noise.blobs(rng, canvas.shape, canvas.pixels(70.0)) * 1.6
    if tissue.view == "CC":
        if rng.random() > 0.2:
            return np.zeros(canvas.shape, dtype=np.float32)
        centre, half, bulge = tissue.nipple[1] + rng.normal(0, 8), rng.uniform(22, 40), rng.uniform(3, 9)
        edge = bulge * (1.0 - np.square((canvas.y - centre) / half))
        return noise.sigmoid((edge - canvas.x + wave) / 0.9)
    top = rng.uniform(0.36, 0.52) * build.depth
    share = canvas.y / build.pectoral
    bow = rng.uniform(-2.0, 9.0) * np.sin(np.pi * np.clip(share, 0, 1))
    edge = top * (1.0 - share) + bow
    return noise.sigmoid((edge - canvas.x + wave) / rng.uniform(0.8, 1.8))


def _mix_muscle(tissue: Tissue, rng: Rng) -> None:
    if not tissue.muscle.any():
        return
    canvas = tissue.canvas
    angle = math.radians(rng.uniform(55, 72))
    across = canvas.x * math.sin(angle) + canvas.y * math.cos(angle)
    along = canvas.y * math.sin(angle) - canvas.x * math.cos(angle)
    fibres = noise.sample(noise.tile(rng, (64, 64)), along / 60.0, across / 3.2)
    broad = noise.sample(noise.tile(rng, (64, 64)), along / 90.0, across / 14.0)
    level = rng.uniform(0.58, 0.88)
    grain = noise.power_law(rng, canvas.shape, canvas.pixels(20.0), canvas.pixels(0.6), 0.75)
    fading = 0.10 * np.clip(canvas.x / 60.0, 0.0, 1.0)  # thinner towards its edge
    muscle = level * (1.0 - fading) + 0.012 * fibres + 0.022 * broad + 0.019 * grain
    weight = 0.9 * tissue.muscle
    tissue.body = tissue.body * (1.0 - weight) + weight * muscle


def _vessels(tissue: Tissue, rng: Rng) -> None:
    """A few meandering vessels, soft-edged, mostly in the fat above and below the gland."""
    canvas = tissue.canvas
    layer = np.zeros(canvas.shape, dtype=np.float32)
    for _ in range(int(rng.integers(2, 6))):
        start = np.array([rng.uniform(-8, 6), tissue.nipple[1] + rng.uniform(-60, 60)])
        goal = np.array([tissue.nipple[0] * rng.uniform(0.7, 0.95), tissue.nipple[1] + rng.uniform(-28, 28)])
        steps = np.linspace(0, 1, 60)[:, None]
        path = start + (goal - start) * steps
        normal = np.array([-(goal - start)[1], (goal - start)[0]]) / (np.hypot(*(goal - start)) + 1e-6)
        meander = sum(
            rng.normal(0, 6.0 / (k**1.2)) * np.sin(np.pi * k * steps[:, 0] + rng.uniform(0, 6.28)) for k in range(1, 7)
        )
        draw_line(layer, canvas, path + normal * np.asarray(meander)[:, None], rng.uniform(0.6, 1.5), rng.uniform(0.35, 1.0))
    tissue.body += 0.085 * noise.smooth(layer, canvas.pixels(0.4))


def draw_line(layer: Field, canvas: Canvas, path: NDArray[np.float64], width: float, value: float) -> None:
    """Draw an anti-aliased polyline of `width` mm into `layer`, keeping what is brighter there."""
    mask = np.zeros(layer.shape, dtype=np.uint8)
    points = np.round((path / canvas.spacing - 0.5) * 16).astype(np.int32)
    cv2.polylines(mask, [points], False, 255, max(1, round(canvas.pixels(width))), cv2.LINE_AA, shift=4)
    np.maximum(layer, mask.astype(np.float32) * (value / 255.0), out=layer)


def _nipple_outline(nipple: tuple[float, float], build: Build, rng: Rng) -> NDArray[np.float64]:
    """A small dome on the skin, flattened to nothing where it is not in profile."""
    length = build.nipple * rng.uniform(0.7, 1.2)
    half = rng.uniform(4.0, 6.0)
    angle = np.linspace(0, 2 * np.pi, 48)
    x = nipple[0] - 1.0 + (length + 0.5) * np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** 0.7
    y = nipple[1] + half * np.sin(angle) + rng.normal(0, 0.6) * np.cos(angle)
    return np.stack([x, y], axis=1)


def _skin(tissue: Tissue) -> None:
    """The skin line and the shadow of the ducts behind the nipple."""
    canvas = tissue.canvas
    line = np.exp(-np.square((tissue.skin_distance - 0.9) / 0.7)) * (tissue.skin_distance > 0)
    tissue.body += 0.22 * line
    nx, ny = (value for value in tissue.nipple)
    dx, dy = (canvas.x - nx + 6.0) / 9.0, (canvas.y - ny) / 6.5
    tissue.body += 0.13 * np.exp(-(dx * dx + dy * dy)) * (tissue.thickness > 0)
