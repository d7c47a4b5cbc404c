"""A heatmap drawn on what the model saw or on the original, with lesion outlines; the files it is saved to."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from core.files.atomic import replacing
from core.images.encode import encode_png
from core.images.mammogram import Mammogram
from core.prediction import Prediction
from core.preprocessing import Prepared, original_from_prepared
from core.preprocessing.geometry import scaling
from core.runs.folder import require_regular, was_deleted
from dashboard.cache import lesions
from dashboard.cache.lesions import NO_LESIONS, Lesions, Polygon

if TYPE_CHECKING:
    from core.gradcam import Evidence, Heatmap
    from core.predict import Predictor
    from dashboard.state.tasks import Report

Picture = NDArray[np.uint8]

BOTH = "both"  # malignant and benign evidence in one picture
SHOWN_SIDE = 1024  # px; a small input is enlarged to about this before lesions are drawn, so that their lines are thin
GAP = 16  # px between pictures that are saved side by side


class Ask(NamedTuple):
    """What to compute for an image: `layer` "" is the usual one; `channels` are tried by Score-CAM, 0 for all; `anyway`
    asks for a score also where there is no verdict."""

    method: str = "auto"
    target: str = "malignant"
    layer: str = ""
    channels: int = 128
    anyway: bool = False


USUAL = Ask()


@dataclass(frozen=True)
class Explained:
    """The model's prediction for an image, and its heatmap (Evidence where both classes were asked for); no heatmap for
    an image without a verdict that was not scored anyway."""

    prediction: Prediction
    heat: Heatmap | Evidence | None

    @property
    def drawn(self) -> Heatmap | Evidence:
        """The heatmap, where the caller knows that there is one."""
        assert self.heat is not None
        return self.heat


@dataclass(frozen=True)
class View:
    """A map over the image it is shown on: `image` uint8 (H, W), `values` float32 (H, W), `outlines` of lesions in its
    pixels.

    `signed`: values from -1 (benign) to 1 (malignant), else from 0 to 1.
    """

    image: Picture
    values: NDArray[np.float32]
    outlines: tuple[Polygon, ...] = ()
    signed: bool = False


def explain(
    model: Predictor,
    prepared: Prepared,
    mammogram: Mammogram,
    ask: Ask,
    progress: Report | None = None,
    *,
    source: Path | bytes | None = None,
) -> Explained:
    """Prediction and heatmap of a prepared image, read from `source`; for a model of two views of its breast, in this image."""
    wanted: dict[str, Any] = {"method": ask.method, "layer": ask.layer or None, "channels": ask.channels, "progress": progress}
    if model.judges_breasts and isinstance(source, Path):
        from core.predict_breasts import heatmap_of, predict_view

        prediction, breast = predict_view(model, source, score_anyway=ask.anyway)
        if prediction.score is None:
            return Explained(prediction, None)
        return Explained(prediction, heatmap_of(model, breast, source, target=ask.target, **wanted)[1])
    prediction = model.predict_prepared(prepared, mammogram, source=source, score_anyway=ask.anyway)
    if prediction.score is None:
        return Explained(prediction, None)
    if ask.target == BOTH:
        return Explained(prediction, model.evidence(prediction, **wanted))
    return Explained(prediction, model.explain(prediction, target=ask.target, **wanted))


def what_if(model: Predictor, prepared: Prepared, mammogram: Mammogram, *, source: Path | bytes | None = None) -> Explained:
    """Prediction and heatmap of an image that another recipe than the model's prepared: see Predictor.what_if."""
    prediction = model.what_if(prepared, mammogram, source=source)
    return Explained(prediction, None if prediction.score is None else model.explain(prediction))


def on_input(found: Explained, drawn_lesions: Lesions = NO_LESIONS) -> View:
    """The map on what the model saw, with these lesions."""
    outlines = lesions.mapped(drawn_lesions, found.prediction.prepared.matrix)
    return View(found.prediction.prepared.pixels, found.drawn.values, outlines, found.drawn.target == BOTH)


def without_map(found: Explained) -> View:
    """What the model would see of an image without a verdict, with no map over it."""
    pixels = found.prediction.prepared.pixels
    return View(pixels, np.zeros(pixels.shape, np.float32))


def on_original(found: Explained, original: Picture, shape: tuple[int, int], drawn_lesions: Lesions = NO_LESIONS) -> View:
    """The map on the original image: `original` uint8 is a small copy of it, `shape` its real (height, width).

    What the preparation cut away has no heat.
    """
    height, width = original.shape
    enlarge = scaling(shape[1] / width, shape[0] / height)
    there = replace(found.prediction.prepared, matrix=found.prediction.prepared.matrix @ enlarge)
    values = original_from_prepared(found.drawn.values, there, original.shape)
    outlines = lesions.mapped(drawn_lesions, scaling(width / shape[1], height / shape[0]))
    return View(original, values, outlines, found.drawn.target == BOTH)


def drawn(view: View, **style: Any) -> Picture:
    """The view as RGB uint8, enlarged where it is small, with its lesions; `style`: opacity, colormap, outline (on or off)."""
    from core.gradcam import render

    style["outline"] = 2 if style.get("outline", True) else 0
    side = max(SHOWN_SIDE, *view.image.shape)
    return render(view.image, view.values, side=side, outlines=view.outlines, signed=view.signed, **style)


def side_by_side(shown: list[Picture]) -> Picture:
    """RGB pictures in a row on black, none of them stretched."""
    height = max(picture.shape[0] for picture in shown)
    width = sum(picture.shape[1] for picture in shown) + GAP * (len(shown) - 1)
    row, left = np.zeros((height, width, 3), np.uint8), 0
    for picture in shown:
        row[: picture.shape[0], left : left + picture.shape[1]] = picture
        left += picture.shape[1] + GAP
    return row


def file_name(image: str, found: Explained, *, original: bool = False, more: str = "") -> str:
    """A name for a saved overlay that every system accepts: `d0012_LCC-gradcam-malignant.png`.

    It holds method, class, layer and place, so that another one does not overwrite it, and whether there was no verdict.
    """
    heat = found.drawn
    anyway = "scored-anyway" if found.prediction.scored_anyway else ""
    parts = [Path(image).stem, anyway, heat.method, heat.target, heat.layer, "original" if original else "", more]
    words = (re.sub(r"[^\w.-]+", "-", part).strip("-.") for part in parts)
    return "-".join(word for word in words if word).replace("++", "pp") + ".png"


def save(folder: Path, name: str, picture: Picture) -> Path:
    """Write a picture as PNG into the run's explain/ folder; returns its path.

    Raises BadRun (the run was deleted, or its folder has entries that lead elsewhere); OSError (the folder cannot be written
    to).
    """
    if not folder.is_dir():
        raise was_deleted(folder)
    require_regular(folder)
    out = folder / "explain" / name
    out.parent.mkdir(exist_ok=True)
    with replacing(out) as stream:
        stream.write(encode_png(picture))
    return out
