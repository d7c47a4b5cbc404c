"""Sensitivity and specificity if every image, breast or patient with an image that was refused a verdict counts as an error.

The metrics of an evaluation are of scored images. A breast or patient of whom some images were refused is scored by the others,
and one of whom all were refused is in no metric. In the worst case each of them is an error. Labels are then those of all her
images: a patient whose only malignant image was refused is malignant here, and benign among the scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from core.errors import NotEnoughData
from core.evaluate.result import REFUSED, Excluded
from core.metrics import Level, at_level
from core.metrics.checks import Scores


@dataclass(frozen=True)
class WorstCase:
    """Of the `units` of one label, `refused` have a refused image (`wholly` of them no scored one); `right` are called rightly
    and have none.
    """

    label: str
    units: int
    refused: int
    wholly: int
    right: int

    @property
    def value(self) -> float:
        """Sensitivity (malignant) or specificity (benign) in the worst case; NaN without units."""
        return self.right / self.units if self.units else float("nan")


def worst_case(
    predictions: pd.DataFrame,
    excluded: Sequence[Excluded],
    manifest: pd.DataFrame,
    level: Level,
    threshold: float | Scores,
) -> tuple[WorstCase, WorstCase]:
    """Of malignant and of benign images, breasts or patients.

    Args:
        predictions: path, patient_id, laterality, label, score of the scored images.
        excluded: the images without a score; those that could not be read play no part.
        manifest: path, patient_id, laterality, label of all images.
        threshold: of the level; scores at or above it are called malignant. Of images also float64 (n,), one a row of
            `predictions`, where views have their own.

    Raises:
        NotEnoughData: a refused image is not in the manifest; breasts are asked for and an image does not say its side.
    """
    paths = [item.path for item in excluded if item.kind == REFUSED]
    rows = manifest[manifest["path"].astype("str").isin(paths)]
    if len(rows) != len(set(paths)):
        raise NotEnoughData(f"Expected every refused image in the manifest, got {len(rows)} of {len(set(paths))}.")
    columns = ["path", "patient_id", "laterality", "label"]
    both = pd.concat(
        [predictions[[*columns, "score"]].assign(threshold=threshold, refused=False), rows[columns].assign(refused=True)],
        ignore_index=True,
    )
    at_level(both.assign(score=0.0), level)  # raises where sides are not known
    keys = {"image": ["path"], "breast": ["patient_id", "laterality"], "patient": ["patient_id"]}[level]
    units = (
        both.assign(malignant=both["label"] == "malignant")
        .groupby(keys, sort=True)
        .agg(
            malignant=("malignant", "any"),
            score=("score", "mean"),
            threshold=("threshold", "first"),
            refused=("refused", "any"),
            wholly=("refused", "all"),
        )
    )
    right = ~units["refused"] & ((units["score"] >= units["threshold"]) == units["malignant"])
    found = []
    for label in ("malignant", "benign"):
        among = units["malignant"] == (label == "malignant")
        counts = (int(among.sum()), *(int((among & part).sum()) for part in (units["refused"], units["wholly"], right)))
        found.append(WorstCase(label, *counts))
    return found[0], found[1]
