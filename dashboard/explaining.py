"""A heatmap as a picture to look at: what the model saw, the overlay, lesion boxes, and the files they are saved to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from core.gradcam import Heatmap
    from core.predict import Predictor
    from core.preprocessing import Prepared

Picture = NDArray[np.uint8]
Box = tuple[float, float, float, float]

SHOWN_SIDE = 1024  # px; a small input is enlarged to about this before boxes are drawn, so that their lines are thin
BOX_COLOR = (86, 180, 233)  # sky blue: not in the heat's colours, and seen by the colour-blind


@dataclass(frozen=True)
class Explanation:
    """One image by one model: its prepared pixels, score, decision and heatmap."""

    prepared: Prepared
    score: float
    threshold: float
    decision: str
    heat: Heatmap
    warnings: tuple[str, ...]


def explain(model: Predictor, prepared: Prepared, image_warnings: tuple[str, ...], method: str, target: str) -> Explanation:
    """Score and heatmap of a prepared image."""
    score = model.score_prepared(prepared)
    heat = model.explain(prepared, method=method, target=target)
    warnings = tuple(dict.fromkeys((*image_warnings, *prepared.warnings)))
    return Explanation(prepared, score, model.threshold, model.decide(score), heat, warnings)


def what_if(model: Predictor, prepared: Prepared) -> Explanation:
    """Score and heatmap of an image that another recipe than the model's prepared: see Predictor.what_if."""
    score, heat = model.what_if(prepared)
    return Explanation(prepared, score, model.threshold, model.decide(score), heat, ())


def pictures(found: Explanation, *, opacity: float, colormap: str, boxes: list[Box] | None = None) -> tuple[Picture, Picture]:
    """(model input, overlay), RGB uint8, both enlarged alike, with the boxes (prepared coordinates) drawn on both."""
    from core.gradcam import overlay

    grey = np.repeat(found.prepared.pixels[..., None], 3, axis=2)
    tinted = overlay(found.prepared, found.heat, opacity, colormap)
    return _finish(grey, boxes or []), _finish(tinted, boxes or [])


def _finish(image: Picture, boxes: list[Box]) -> Picture:
    height, width = image.shape[:2]
    factor = max(1, round(SHOWN_SIDE / max(height, width)))
    shown: Any = image
    if factor > 1:
        shown = cv2.resize(image, (width * factor, height * factor), interpolation=cv2.INTER_CUBIC)
    shown = np.ascontiguousarray(shown)
    for box in boxes:
        x0, y0, x1, y1 = (round(edge * factor) for edge in box)
        cv2.rectangle(shown, (x0, y0), (x1, y1), BOX_COLOR, 2, cv2.LINE_AA)
    return shown


def file_name(image: str, found: Explanation) -> str:
    """A name for a saved overlay that every system accepts: `d0012_LCC-gradcam-malignant.png`."""
    stem = re.sub(r"[^\w.-]+", "-", Path(image).stem).strip("-.") or "image"
    return f"{stem}-{found.heat.method}-{found.heat.target}.png".replace("++", "pp")


def save(folder: Path, name: str, picture: Picture) -> Path:
    """Write a picture as PNG into the run's explain/ folder; returns its path.

    Raises:
        OSError: the folder cannot be written to.
    """
    from core.images.encode import encode_png

    out = folder / "explain" / name
    out.parent.mkdir(exist_ok=True)
    temporary = out.with_name(f".{out.name}.tmp")
    temporary.write_bytes(encode_png(picture))
    temporary.replace(out)
    return out
