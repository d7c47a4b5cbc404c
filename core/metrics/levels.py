"""From images to breasts and patients: one score for several images of the same."""

from __future__ import annotations

import json
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.errors import NotEnoughData
from core.metrics.thresholds import ThresholdRule

Level = Literal["image", "breast", "patient"]
LEVELS: tuple[Level, ...] = ("image", "breast", "patient")
UNITS = {"image": "images", "breast": "breasts", "patient": "patients"}
# The column of predictions that has a breast's images, as a JSON list: where it stands, a row is a breast and not an image.
PATHS = "paths"
NO_IMAGES = "the model judges a breast from all its images: there are no scores of single images"


def of_breasts(predictions: pd.DataFrame) -> bool:
    """Whether a row of these predictions is a breast, as a model of two views judges it, and not an image."""
    return PATHS in predictions.columns


def images_of(predictions: pd.DataFrame) -> NDArray[np.int64]:
    """How many images are behind each row, int64 (N,)."""
    if not of_breasts(predictions):
        return np.ones(len(predictions), dtype=np.int64)
    return np.array([len(json.loads(cell)) for cell in predictions[PATHS]], dtype=np.int64)


def unit_of(predictions: pd.DataFrame) -> Literal["image", "breast"]:
    """What a row of these predictions is."""
    return "breast" if of_breasts(predictions) else "image"


def at_level(predictions: pd.DataFrame, level: Level, combine: Literal["mean", "max"] = "mean") -> pd.DataFrame:
    """One row a unit of `level`, with columns patient_id, laterality, label, score and images (how many).

    A breast or patient is malignant when any of its images is; its score is the mean (or the highest) of its
    images' scores. Where a model has judged breasts (see `of_breasts`), a patient's is the mean of her breasts', a breast's
    that of its examinations, `images` counts these, and a breast of unknown side stands for itself.

    Args:
        predictions: columns patient_id, laterality, label, score (as in predictions/<split>.csv).

    Raises:
        NotEnoughData: breasts are asked for and some images do not say which side they show; or images, of a model that judges
            breasts.
    """
    whole = of_breasts(predictions)
    if level == "image":
        if whole:
            raise NotEnoughData(f"Image level: {NO_IMAGES}. Read the breast or patient level.")
        return predictions.assign(images=1)
    if level == "breast" and not whole:
        unknown = int((~predictions["laterality"].isin(("L", "R"))).sum())
        if unknown:
            raise NotEnoughData(
                f"Breast level: expected laterality L or R for every image, got {unknown} of {len(predictions)} without. "
                "Fill the manifest's laterality column, or read the image or patient level."
            )
    keys = ["patient_id", "laterality"] if level == "breast" else ["patient_id"]
    frame = predictions.assign(malignant=predictions["label"] == "malignant")
    if level == "breast" and whole:
        keys.append("alone")
        frame["alone"] = frame["path"].where(~frame["laterality"].isin(("L", "R")), "")
    grouped = frame.groupby(keys, sort=True)
    scores = grouped["score"]  # a column at a time: named aggregation takes ten times as long
    table = pd.DataFrame({"score": scores.agg(combine), "images": scores.size(), "label": grouped["malignant"].any()})
    table = table.reset_index()
    table["label"] = np.where(table["label"], "malignant", "benign")
    if level == "patient":
        table["laterality"] = ""
    return table[["patient_id", "laterality", "label", "score", "images"]]


def level_thresholds(validation: pd.DataFrame, rule: ThresholdRule) -> dict[Level, float | str]:
    """A threshold for each level, chosen by `rule` on validation scores combined as they will be later; or a note.

    The threshold of images does not keep its sensitivity for breasts or patients: a mean of four scores spreads less than
    one score, and a patient is malignant for a single malignant image.

    Args:
        validation: columns patient_id, laterality, label, score of the validation set, never of the test set.
    """
    chosen: dict[Level, float | str] = {}
    for level in LEVELS:
        try:
            table = at_level(validation, level)
            chosen[level] = rule.choose(table["label"], table["score"])
        except NotEnoughData as error:
            chosen[level] = str(error)
    return chosen
