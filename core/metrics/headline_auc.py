"""The AUC by breast or patient as it is shown first: by which rule one score is made of several images, and beside it, where
breasts or patients of one label have fewer images or sides, the AUC under a rule that gives everybody as many.

Which rule balances depends on what is unequal: where patients differ in sides only, everybody gets two breasts (COMPLETED of
core.metrics.aggregation), and the unit and the rule stay what they are; where images differ beyond that, or sides are not
known, everybody has one random image (ONE_IMAGE).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from core.errors import NotEnoughData
from core.metrics.aggregation import COMPLETED, ONE_BREAST, ONE_IMAGE, aggregation_rules, one_image_auc
from core.metrics.composition import TITLES, Association, by_patient
from core.metrics.intervals import Interval, plain_metric
from core.metrics.levels import UNITS, at_level, of_breasts
from core.metrics.summary import auc_or_note


@dataclass(frozen=True)
class HeadlineAuc:
    """`auc` under the `rule` in use. `unequal`: what one label has systematically fewer of, with how well the count alone tells
    the label; where there is any, `balanced` is the AUC (or why there is none) under `balanced_rule`.
    """

    level: Literal["breast", "patient"]
    auc: Interval | str
    rule: str
    unequal: tuple[Association, ...] = ()
    balanced: Interval | str = ""
    balanced_rule: str = ""

    @property
    def sentence(self) -> str:
        """Why the two differ, and the balanced one; "" where nothing is unequal. No full stop."""
        if not self.unequal:
            return ""
        label = self.unequal[0].fewer
        other = "benign" if label == "malignant" else "malignant"
        counts = " and ".join(_TITLES[each.what].removeprefix("number of ") for each in self.unequal)
        alone = ", ".join(f"{_TITLES[each.what]} {each.strength}" for each in self.unequal)
        balanced = (
            f"a balanced AUC cannot be computed: {self.balanced}"
            if isinstance(self.balanced, str)
            else f"balanced ({self.balanced_rule}), the AUC is {self.balanced}"
        )
        return (
            f"{label} {UNITS[self.level]} have fewer {counts} than {other} ones, which alone tells the label (AUC: {alone}). "
            f"The AUC by {self.level} compares means over unequal sets of images, and part of it may be how the set was put "
            f"together; {balanced}"
        )

    def as_dict(self) -> dict[str, Any]:
        found = {"level": self.level, "auc": plain_metric(self.auc), "rule": self.rule}
        if not self.unequal:
            return found
        return found | {
            "balanced": plain_metric(self.balanced),
            "balanced_rule": self.balanced_rule,
            "unequal": [
                {"what": _TITLES[each.what], "fewer": each.fewer, "auc": plain_metric(each.auc)} for each in self.unequal
            ],
            "why": self.sentence,
        }


_TITLES = TITLES | {"images_of_breast": "number of images"}


def headline_auc(
    predictions: pd.DataFrame, level: Literal["breast", "patient"], auc: Interval | str, confidence: float
) -> HeadlineAuc:
    """The AUC by `level` that an evaluation has, with its rule and, where sets are unequal, the balanced one.

    Args:
        predictions: columns patient_id, laterality, view, label, score of one split.

    Raises:
        NotEnoughData: breasts are asked for and an image does not say its side.
    """
    sizes = at_level(predictions, level)
    whole = of_breasts(predictions)
    found = HeadlineAuc(level, auc, score_rule(sizes["images"], level, of_breasts=whole))
    per_breast = _per_breast(predictions, confidence)
    if level == "breast":
        if per_breast is None or not per_breast.unequal:
            return found
        balanced = one_image_auc(predictions, "breast", confidence)
        return HeadlineAuc(level, auc, found.rule, (per_breast,), balanced, "one random image of each breast")
    unequal = tuple(each for each in _per_patient(predictions, confidence) if each.unequal)
    if not unequal:
        return found
    sides_only = any(each.what == "sides_of_patient" for each in unequal) and not (per_breast and per_breast.unequal)
    name = COMPLETED if sides_only and per_breast is not None else ONE_BREAST if whole else ONE_IMAGE
    rules = aggregation_rules(predictions, confidence=confidence, names=(name,))
    return HeadlineAuc(level, auc, found.rule, unequal, rules[0].auc, name)


def score_rule(counts: pd.Series, level: str, *, of_breasts: bool = False) -> str:
    """How one score is made of several: `mean of image scores over 2 to 4 images a patient`.

    Args:
        counts: how many images, or of a model that judges breasts how many scores, each unit has.
    """
    low, high, middle = int(counts.min()), int(counts.max()), float(counts.median())
    if of_breasts and level == "breast":
        return "the model's own, from all images of a breast" + (f"; mean over up to {high} examinations" if high > 1 else "")
    noun = "breast" if of_breasts else "image"
    if low == high:
        return f"mean of {noun} scores over {low} {noun}{'' if low == 1 else 's'} a {level}"
    return f"mean of {noun} scores over {low} to {high} {noun}s a {level} (median {middle:g})"


def _per_patient(predictions: pd.DataFrame, confidence: float) -> list[Association]:
    patients = by_patient(predictions)
    return [
        _association(patients[patients[what].notna()], what, confidence) for what in ("images_of_patient", "sides_of_patient")
    ]


def _per_breast(predictions: pd.DataFrame, confidence: float) -> Association | None:
    """Whether the number of a breast's images tells its label; None where sides are not known."""
    try:
        breasts = at_level(predictions, "breast")
    except NotEnoughData:
        return None
    return _association(breasts.rename(columns={"images": "images_of_breast"}), "images_of_breast", confidence)


def _association(units: pd.DataFrame, what: str, confidence: float) -> Association:
    labels, counts = (units["label"] == "malignant").to_numpy(), units[what].to_numpy(dtype=np.float64)
    return Association("", what, auc_or_note(labels, counts, units["patient_id"].to_numpy(), confidence))
