"""Findings: what is drawn into a breast, and where. Sizes in mm, boxes in canvas pixels.

Benign: smooth round or oval masses, coarse calcifications. Malignant: spiculated irregular masses that pull the
tissue around them, fine clustered pleomorphic calcifications. The classes overlap on purpose: some benign masses
have uneven margins, some cancers are faint, and dense tissue hides both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from core.demo import noise
from core.demo.anatomy import Tissue
from core.demo.noise import Field, Rng

Kind = Literal["circumscribed mass", "coarse calcifications", "spiculated mass", "clustered microcalcifications"]
Box = tuple[float, float, float, float]

_SOFT_CEILING, _CALCIUM_CEILING = 0.94, 1.18  # attenuation; muscle and dense gland reach 0.7 to 0.8

MALIGNANT: tuple[Kind, ...] = ("spiculated mass", "clustered microcalcifications")
BENIGN: tuple[Kind, ...] = ("circumscribed mass", "coarse calcifications")


@dataclass(frozen=True)
class Lesion:
    """One finding of a breast; both views show it at the same depth behind the nipple.

    `depth` is a share of the breast's depth, `lateral` and `upper` shares of the half-width at that depth (-1 to 1).
    """

    kind: Kind
    radius: float
    strength: float  # 1 is plain to see, 0.5 is faint
    depth: float
    lateral: float
    upper: float
    irregularity: float
    aspect: float
    angle: float


def draw_lesion(kind: Kind, rng: Rng) -> Lesion:
    """A random finding of that kind."""
    subtle = rng.random() < 0.22
    if kind == "circumscribed mass":
        radius, strength, irregularity = rng.uniform(5.0, 11.0), rng.uniform(0.6, 1.1), rng.choice([0.03, 0.06, 0.14])
    elif kind == "coarse calcifications":
        radius, strength, irregularity = rng.uniform(4.0, 16.0), rng.uniform(0.7, 1.2), 0.2
    elif kind == "spiculated mass":
        radius, strength, irregularity = rng.uniform(8.0, 15.0), rng.uniform(0.8, 1.2), rng.uniform(0.18, 0.34)
    else:
        radius, strength, irregularity = rng.uniform(8.0, 15.0), rng.uniform(0.85, 1.2), rng.uniform(0.2, 0.4)
    lesion = Lesion(
        kind=kind,
        radius=float(radius),
        strength=float(strength),
        depth=float(rng.uniform(0.24, 0.68)),
        lateral=float(rng.uniform(-0.6, 0.6)),
        upper=float(rng.uniform(-0.5, 0.5)),
        irregularity=float(irregularity),
        aspect=float(rng.uniform(0.68, 1.0)),
        angle=float(rng.uniform(0, np.pi)),
    )
    if subtle:
        lesion = replace(lesion, strength=lesion.strength * 0.6, radius=lesion.radius * 0.8)
    return lesion


def beside(first: Lesion, second: Lesion, rng: Rng) -> Lesion:
    """The second finding moved next to the first, as calcifications of a mass are."""
    depth = float(np.clip(first.depth + rng.normal(0, 0.06), 0.2, 0.72))
    lateral, upper = (float(share + rng.normal(0, 0.12)) for share in (first.lateral, first.upper))
    return replace(second, depth=depth, lateral=lateral, upper=upper)


def place(tissue: Tissue, lesion: Lesion) -> tuple[float, float]:
    """Centre of the lesion in this view in mm: its depth is kept, its offset shrinks until it lies inside the breast."""
    canvas = tissue.canvas
    offset = lesion.lateral if tissue.view == "CC" else lesion.upper
    behind = lesion.depth * tissue.depth
    ax, ay = tissue.axis
    base_x, base_y = tissue.nipple[0] + ax * behind, tissue.nipple[1] + ay * behind
    clearance = min(lesion.radius + 4.0, 18.0)
    for share in np.linspace(1.0, 0.0, 11):
        sideways = offset * share * 55.0
        x, y = base_x + ay * sideways, base_y - ax * sideways
        row = int(np.clip(y / canvas.spacing, 0, canvas.shape[0] - 1))
        column = int(np.clip(x / canvas.spacing, 0, canvas.shape[1] - 1))
        if tissue.skin_distance[row, column] >= clearance and tissue.muscle[row, column] < 0.3:
            return float(x), float(y)
    return float(base_x), float(base_y)


def add(tissue: Tissue, lesion: Lesion, rng: Rng) -> Box:
    """Draw the lesion into the tissue; returns its box (x0, y0, x1, y1) in canvas pixels."""
    centre = place(tissue, lesion)
    patch = _Patch.around(tissue, centre, reach=lesion.radius * 3.4 + 6.0)
    if lesion.kind == "circumscribed mass":
        extent = _circumscribed(patch, lesion, rng)
    elif lesion.kind == "coarse calcifications":
        extent = _coarse(patch, lesion, rng)
    elif lesion.kind == "spiculated mass":
        extent = _spiculated(patch, lesion, rng)
    else:
        extent = _cluster(patch, lesion, rng)
    spacing, (height, width) = tissue.canvas.spacing, tissue.canvas.shape
    x, y = centre
    return (
        round(max((x - extent) / spacing, 0.0), 1),
        round(max((y - extent) / spacing, 0.0), 1),
        round(min((x + extent) / spacing, float(width)), 1),
        round(min((y + extent) / spacing, float(height)), 1),
    )


def add_bystanders(tissue: Tissue, rng: Rng) -> None:
    """Small bright calcifications of no meaning, in many breasts of either label, outside the boxes and the findings.

    They keep "has a bright spot" from standing for a finding.
    """
    for _ in range(int(rng.choice(4, p=[0.55, 0.25, 0.12, 0.08]))):
        spot = replace(draw_lesion("coarse calcifications", rng), radius=float(rng.uniform(0.5, 3.0)))
        spot = replace(spot, depth=float(rng.uniform(0.12, 0.8)), strength=float(rng.uniform(0.3, 0.9)))
        patch = _Patch.around(tissue, place(tissue, spot), reach=9.0)
        _coarse(patch, spot, rng, most=3)


@dataclass
class _Patch:
    """The part of the canvas a lesion touches: `body` is a view into the tissue, dx and dy are mm from the centre."""

    body: Field
    inside: Field
    dx: Field
    dy: Field
    spacing: float

    @staticmethod
    def around(tissue: Tissue, centre: tuple[float, float], reach: float) -> _Patch:
        spacing, (height, width) = tissue.canvas.spacing, tissue.canvas.shape
        x0, x1 = (int(np.clip((centre[0] + side * reach) / spacing, 0, width)) for side in (-1, 1))
        y0, y1 = (int(np.clip((centre[1] + side * reach) / spacing, 0, height)) for side in (-1, 1))
        rows, columns = slice(y0, y1), slice(x0, x1)
        return _Patch(
            tissue.body[rows, columns],
            np.minimum(tissue.thickness[rows, columns] * 3.0, 1.0),
            tissue.canvas.x[rows, columns] - centre[0],
            tissue.canvas.y[rows, columns] - centre[1],
            spacing,
        )

    @property
    def origin(self) -> NDArray[np.float64]:
        """The lesion's centre (x, y) in mm from the patch's first pixel."""
        return np.array([-float(self.dx[0, 0]), -float(self.dy[0, 0])])

    def deposit(self, layer: Field, ceiling: float) -> None:
        """Add attenuation that levels off below `ceiling`: a finding never outshines what normal breasts hold too.

        Without it, one bright lesion would darken the rest of a windowed image, and brightness alone would tell the label.
        """
        room = np.maximum(ceiling - self.body, 0.03)
        self.body += room * (1.0 - np.exp(np.minimum(-layer / room, 2.0))) * self.inside


def _radius_field(patch: _Patch, lesion: Lesion, rng: Rng, lobes: int, aspect: float) -> Field:
    """Distance from the centre in units of the lesion's wobbly outline: 1 on the margin."""
    turn = lesion.angle + rng.normal(0, 0.35)  # the other view sees it from another side
    cos, sin = math.cos(turn), math.sin(turn)
    u = patch.dx * cos + patch.dy * sin
    v = (patch.dy * cos - patch.dx * sin) / aspect
    angle = np.arctan2(v, u)
    outline = np.ones_like(u)
    for k in range(2, 2 + lobes):
        outline += lesion.irregularity * rng.normal(0, 1.1) / k**0.7 * np.cos(k * angle + rng.uniform(0, 6.28))
    return np.sqrt(u * u + v * v) / (lesion.radius * np.maximum(outline, 0.35))


def _dome(distance: Field) -> Field:
    """Projected thickness of a body whose margin is at distance 1."""
    return np.sqrt(np.maximum(1.0 - distance * distance, 0.0))


def _circumscribed(patch: _Patch, lesion: Lesion, rng: Rng) -> float:
    distance = _radius_field(patch, lesion, rng, lobes=4, aspect=lesion.aspect)
    level = 0.32 * lesion.strength
    mass = noise.smooth(_dome(distance), 0.8 / patch.spacing)
    halo = np.exp(-np.square((distance - 1.1) / 0.09))
    texture = noise.power_law(rng, mass.shape, 6.0 / patch.spacing, 1.0 / patch.spacing)
    patch.deposit(level * mass * (1.0 + 0.10 * texture) - 0.012 * halo, _SOFT_CEILING)
    return lesion.radius * 1.12


def _coarse(patch: _Patch, lesion: Lesion, rng: Rng, most: int = 9) -> float:
    layer = np.zeros_like(patch.body)
    for _ in range(int(rng.integers(1 + most // 4, most))):
        where, spin = rng.uniform(0, lesion.radius) * math.sqrt(rng.random()), rng.uniform(0, 6.28)
        size = rng.uniform(0.6, 0.9 + 0.17 * most)
        dx = patch.dx - where * math.cos(spin)
        dy = (patch.dy - where * math.sin(spin)) / rng.uniform(0.7, 1.2)
        radius = np.sqrt(dx * dx + dy * dy) / size
        bumps = 1.0 + 0.18 * np.cos(int(rng.integers(3, 6)) * np.arctan2(dy, dx) + spin)
        shell = 0.55 if rng.random() < 0.3 else 0.0  # eggshell: a bright rim around a clearer middle
        grain = noise.sigmoid((bumps - radius) * 9.0)
        grain -= shell * noise.sigmoid((bumps * 0.55 - radius) * 9.0)
        np.maximum(layer, grain * rng.uniform(0.6, 1.0), out=layer)
    patch.deposit(0.7 * lesion.strength * noise.smooth(layer, 0.2 / patch.spacing), _CALCIUM_CEILING)
    return lesion.radius + 2.5


def _spiculated(patch: _Patch, lesion: Lesion, rng: Rng) -> float:
    _retract(patch, lesion)
    distance = _radius_field(patch, lesion, rng, lobes=9, aspect=0.5 + 0.5 * lesion.aspect)
    rough = noise.power_law(rng, distance.shape, 5.0 / patch.spacing, 0.8 / patch.spacing)
    core = noise.sigmoid((0.92 - distance + 0.10 * rough) * 6.5)
    core *= 0.72 + 0.28 * np.exp(-distance * distance)
    spicules = _spicules(patch, lesion, rng)
    level = 0.48 * lesion.strength
    texture = 1.0 + 0.10 * rough
    patch.deposit(level * np.maximum(core * texture, 0.7 * spicules), _SOFT_CEILING)
    return lesion.radius * 1.75


def _spicules(patch: _Patch, lesion: Lesion, rng: Rng) -> Field:
    """Thin tapering lines that leave the mass in all directions, slightly bent; 0 to 1."""
    shape = (patch.body.shape[0], patch.body.shape[1])
    layer = np.zeros(shape, dtype=np.uint8)
    origin = patch.origin / patch.spacing
    total = int(rng.integers(20, 38))
    for index in range(total):
        angle = 2 * np.pi * (index + rng.uniform(-0.9, 0.9)) / total
        length = lesion.radius * float(np.clip(0.9 + rng.exponential(0.6), 1.0, 2.7))
        bend = rng.normal(0, 0.22)
        steps = np.linspace(0.3, 1.0, 13)
        theta = angle + bend * (steps - 0.3)
        path = origin + np.stack([np.cos(theta), np.sin(theta)], axis=1) * (steps * length / patch.spacing)[:, None]
        points = np.round(path * 16).astype(np.int32)
        stroke = np.zeros_like(layer)
        for part in (5, 4, 3, 2, 1, 0):  # thinner and fainter outwards
            piece = points[part * 2 : part * 2 + 3]
            width = max(1, round((1.8 - 0.26 * part) / patch.spacing))
            cv2.polylines(stroke, [piece], False, 255 - 26 * part, width, cv2.LINE_AA, shift=4)
        np.maximum(layer, stroke, out=layer)
    lines = layer.astype(np.float32) / 255.0
    # Real spicules are frayed: bend them a little, let them fade here and there.
    largest, smallest, reach = 6.0 / patch.spacing, 1.5 / patch.spacing, 0.5 / patch.spacing
    rows, columns = np.indices(shape, dtype=np.float32)
    u = columns + reach * noise.power_law(rng, shape, largest, smallest)
    v = rows + reach * noise.power_law(rng, shape, largest, smallest)
    frayed = cv2.remap(lines, u, v, cv2.INTER_LINEAR)
    fading = noise.sigmoid(1.8 + 1.0 * noise.blobs(rng, shape, 4.0 / patch.spacing))
    return noise.smooth(np.asarray(frayed, dtype=np.float32) * fading, 0.4 / patch.spacing)


def _retract(patch: _Patch, lesion: Lesion) -> None:
    """Pull the surrounding tissue towards the mass: architectural distortion."""
    radius = np.sqrt(patch.dx * patch.dx + patch.dy * patch.dy)
    pull = 0.28 * np.exp(-np.square(radius / (1.8 * lesion.radius)))
    rows, columns = np.indices(radius.shape, dtype=np.float32)
    u = columns + patch.dx * pull / patch.spacing
    v = rows + patch.dy * pull / patch.spacing
    warped = cv2.remap(np.ascontiguousarray(patch.body), u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    fade = np.clip((3.2 * lesion.radius - radius) / (0.8 * lesion.radius), 0.0, 1.0)
    patch.body += (np.asarray(warped, dtype=np.float32) - patch.body) * fade


def _cluster(patch: _Patch, lesion: Lesion, rng: Rng) -> float:
    """Fine specks of uneven size, shape and brightness in a segment that points to the nipple, on a faint haze."""
    layer = np.zeros(patch.body.shape, dtype=np.uint8)
    origin = patch.origin
    along, across = lesion.radius, lesion.radius * rng.uniform(0.45, 0.8)
    turn = rng.normal(0, 0.5)
    for _ in range(int(rng.integers(60, 130))):
        u, v = rng.normal(0, 0.48, 2) * (along, across)
        position = origin + np.array([u * np.cos(turn) - v * np.sin(turn), u * np.sin(turn) + v * np.cos(turn)])
        size = 0.2 + min(rng.exponential(0.25), 0.6)
        axes = (size * rng.uniform(1.0, 2.0), size * rng.uniform(0.6, 1.0))
        corners = np.arange(8) * (np.pi / 4)
        points = np.stack([np.cos(corners), np.sin(corners)], axis=1) * axes * rng.uniform(0.7, 1.2, (8, 1))
        spin = rng.uniform(0, np.pi)
        turned = points @ np.array([[np.cos(spin), np.sin(spin)], [-np.sin(spin), np.cos(spin)]])
        pixels = np.round((position + turned) / patch.spacing * 16).astype(np.int32)
        cv2.fillPoly(layer, [pixels], int(rng.integers(90, 256)), cv2.LINE_AA, shift=4)
    specks = noise.smooth(layer.astype(np.float32) / 255.0, 0.12 / patch.spacing)
    distance = np.sqrt(np.square(patch.dx / along) + np.square(patch.dy / across))
    haze = np.exp(-distance * distance)
    patch.deposit(lesion.strength * 0.10 * haze, _SOFT_CEILING)
    patch.deposit(lesion.strength * 0.85 * specks, _CALCIUM_CEILING)
    return lesion.radius * 1.25
