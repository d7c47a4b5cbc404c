"""A few images with their heatmaps, chosen by rule: hits, misses and false alarms, never by looks."""

from __future__ import annotations

import base64
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.errors import LabError
from core.evaluate import Evaluation
from core.report.page import Picture

if TYPE_CHECKING:
    from core.predict import Predictor
    from core.training import Run

log = logging.getLogger(__name__)

_SIDE = 480  # px, the longer side of an image in the report
_TITLES = {
    "hit": "Malignant, called malignant",
    "miss": "Malignant, called benign",
    "alarm": "Benign, called malignant",
    "quiet": "Benign, called benign",
}


def heatmap_section(run: Run, evaluations: Mapping[str, Evaluation], predictor: Predictor | None) -> dict[str, Any]:
    """The template's `heatmaps`: text, and pictures of the image beside the image with its heatmap."""
    split = next((name for name in ("test", "val") if name in evaluations), None)
    if split is None:
        return {"text": "No split has been evaluated yet, so there is no case to show.", "images": []}
    try:
        if predictor is None:
            from core.predict import Predictor

            predictor = Predictor.from_run(run)
    except LabError as error:
        return {"text": f"Heatmaps cannot be made here: {error}", "images": []}
    evaluation = evaluations[split]
    pictures, missing = [], 0
    for number, kind in choose_cases(evaluation.predictions, evaluation.threshold):
        try:
            pictures.append(_picture(predictor, evaluation.predictions, number, kind))
        except LabError as error:
            log.warning("%s: no heatmap for row %d of %s: %s", run.name, number + 1, split, error)
            missing += 1
    text = (
        f"Grad-CAM for the malignant class on images of the {split} set: the two surest hits, the worst miss, the worst false "
        "alarm and the surest benign image, as far as there are such. Left: what the model saw; right: with the heatmap. "
        "A heatmap shows where evidence for the class was found, at the resolution of the last layer; it does not outline "
        "a lesion."
    )
    if missing:
        text += f" {missing} of the chosen images could not be read or explained now."
    return {"text": text, "images": pictures}


def choose_cases(predictions: pd.DataFrame, threshold: float) -> list[tuple[int, str]]:
    """(row of `predictions` from 0, kind) of the cases to show; the same for the same predictions."""
    ranked = predictions.reset_index(drop=True).sort_values(["score", "path"], ascending=[False, True])
    called, malignant = ranked["score"] >= threshold, ranked["label"] == "malignant"
    hits, alarms = ranked[called & malignant], ranked[called & ~malignant]
    misses, quiet = ranked[~called & malignant], ranked[~called & ~malignant]
    chosen = [
        *((row, "hit") for row in hits.index[:2]),
        *((row, "miss") for row in misses.index[-1:]),
        *((row, "alarm") for row in alarms.index[:1]),
        *((row, "quiet") for row in quiet.index[-1:]),
    ]
    return [(int(row), kind) for row, kind in chosen]


def _picture(predictor: Predictor, predictions: pd.DataFrame, number: int, kind: str) -> Picture:
    from core.gradcam import overlay
    from core.images.encode import encode_jpeg

    row = predictions.iloc[number]
    where = " ".join(word for word in (str(row["laterality"]), str(row["view"])) if word)
    caption = f"{_TITLES[kind]}: score {row['score']:.3f}{f', {where}' if where else ''} (row {number + 1} of the predictions)"
    prediction = predictor.predict(Path(str(row["path"])))
    prepared = prediction.prepared
    heat = predictor.explain(prepared)
    if heat.flat:
        caption += f". No heatmap: {heat.reason}" if heat.reason else ". The heatmap is flat"
    grey = np.repeat(prepared.pixels[:, :, None], 3, axis=2)
    pair = np.hstack([_fit(grey), _fit(overlay(prepared, heat))])
    source = "data:image/jpeg;base64," + base64.b64encode(encode_jpeg(pair, quality=88)).decode("ascii")
    return Picture(source, caption)


def _fit(image: NDArray[np.uint8]) -> NDArray[Any]:
    import cv2

    scale = _SIDE / max(image.shape[:2])
    if scale >= 1:
        return image
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
