"""Rendering from tissue to grey levels: the two fictitious scanners, burned-in labels and markers.

Scanner A equalises the periphery and has strong contrast, like processed digital images; scanner B fades towards the
skin and is softer and noisier, like digitised film.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from core.demo import noise
from core.demo.anatomy import Canvas, Tissue
from core.demo.noise import Field, Rng

GREY_MAX = 4095  # 12 bits
_SHOULDER = 0.7


@dataclass(frozen=True)
class Scanner:
    """A detector (mm) and its way of turning attenuation into grey."""

    name: str
    height: float
    width: float
    edge: float  # exponent of the thickness: small flattens the periphery
    black: float  # attenuation shown as black
    white: float
    gamma: float
    veil: float  # grey level of the air
    grain: float  # quantum noise, share of full scale
    blur: float  # mm
    crisp: float  # how far structures of 1 to 6 mm are enhanced, as vendors' processing does


SCANNERS = {
    "A": Scanner("A", 240.0, 192.0, edge=0.2, black=0.12, white=0.90, gamma=1.05, veil=0.0, grain=0.016, blur=0.10, crisp=0.45),
    "B": Scanner("B", 230.0, 184.0, edge=0.85, black=0.0, white=0.95, gamma=0.95, veil=0.02, grain=0.010, blur=0.2, crisp=0.15),
}


def canvas(scanner: Scanner, rows: int, reach: float) -> Canvas:
    """The part of the detector, with `rows` pixel rows, that a breast of depth `reach` (mm) can cover."""
    return Canvas.create(scanner.height, min(scanner.width, reach), rows)


def expose(tissue: Tissue, scanner: Scanner, rng: Rng) -> Field:
    """Grey levels float32 in [0, 1] over the whole detector (H, W), 0 = air; chest wall on the left."""
    spacing, rows = tissue.canvas.spacing, tissue.canvas.shape[0]
    exposure = rng.normal(1.0, 0.04)
    attenuation = np.power(tissue.thickness, scanner.edge) * tissue.body * exposure
    attenuation = noise.smooth(attenuation, scanner.blur / spacing)
    attenuation += scanner.crisp * _detail(attenuation, tissue, 1.0 / spacing, 5.0 / spacing)
    grey = np.maximum((attenuation - scanner.black) / (scanner.white - scanner.black), 0.0)
    # A shoulder instead of a cut: the densest parts keep their texture.
    over = np.maximum(grey - _SHOULDER, 0.0)
    room = 1.0 - _SHOULDER
    grey = np.minimum(grey, _SHOULDER) + room * (1.0 - np.exp(over / -room))
    grey = np.power(grey, (scanner.gamma * rng.uniform(0.9, 1.1)))
    mottle = noise.smooth(rng.standard_normal(grey.shape, dtype=np.float32), 0.6)
    grey += mottle * (scanner.grain * 1.9) * np.sqrt(grey) * np.minimum(tissue.thickness * 4.0, 1.0)
    columns = max(tissue.canvas.shape[1], round(scanner.width / spacing))
    grey = np.pad(grey, ((0, 0), (0, columns - tissue.canvas.shape[1])))
    veil = scanner.veil * rng.uniform(0.6, 1.4)
    grey = veil + (1.0 - veil) * grey
    if veil > 0:  # digitised film is never quite black, nor quite even
        grain = noise.tile(rng, ((rows + 3) // 4, (columns + 3) // 4))[:rows, :columns]
        grey += grain * 0.0015
    return np.clip(grey, 0.0, 1.0)


def _detail(attenuation: Field, tissue: Tissue, small: float, large: float) -> Field:
    """What stands out from its surroundings at two scales (pixels), faded towards the skin, where it would ring."""
    away = np.clip((tissue.skin_distance - 1.5) / 6.0, 0.0, 1.0)
    height, width = attenuation.shape
    quarter: Any = cv2.resize(attenuation, ((width + 3) // 4, (height + 3) // 4), interpolation=cv2.INTER_AREA)
    far: Any = cv2.resize(noise.smooth(quarter, large / 4.0), (width, height), interpolation=cv2.INTER_LINEAR)
    near = noise.smooth(attenuation, small)
    return ((attenuation - near) + 0.6 * (attenuation - far)) * away


def burn_label(grey: Field, text: str, rng: Rng, *, on_left: bool) -> None:
    """Write the view's letters into the air beside the breast, where technicians put their lead letters."""
    height, width = grey.shape
    scale = height / 1000.0
    font, thickness = cv2.FONT_HERSHEY_SIMPLEX, max(1, round(2.2 * scale))
    (w, h), _ = cv2.getTextSize(text, font, 1.1 * scale, thickness)
    margin, y = round(rng.uniform(18, 60) * scale), round(h + rng.uniform(25, 90) * scale)
    x = margin if on_left else width - w - margin
    area = (slice(max(y - h - 3, 0), y + 4), slice(max(x - 3, 0), x + w + 4))
    if float(grey[area].max(initial=0.0)) > 0.12:  # never over the breast
        return
    mask = np.zeros(grey.shape, dtype=np.uint8)
    cv2.putText(mask, text, (x, y), font, 1.1 * scale, 255, thickness, cv2.LINE_AA)
    np.maximum(grey, mask.astype(np.float32) * (0.92 / 255.0), out=grey)


def mark_nipple(grey: Field, tissue: Tissue) -> None:
    """A small lead ball taped on the nipple."""
    canvas = tissue.canvas
    dx, dy = canvas.x - (tissue.nipple[0] + 1.0), canvas.y - tissue.nipple[1]
    disc = noise.sigmoid((1.1 - np.sqrt(dx * dx + dy * dy)) * 9.0)
    part = grey[:, : canvas.shape[1]]
    np.maximum(part, disc * 0.97, out=part)


def quantise(grey: Field) -> NDArray[np.uint16]:
    """12-bit grey levels, 0 to 4095, half rounded up."""
    return np.floor(np.clip(grey, 0.0, 1.0) * GREY_MAX + 0.5).astype(np.uint16)
