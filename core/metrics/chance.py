"""Whether a model has shown that it is better than chance. One answer, which every page, command and report repeats.

It is asked of validation scores. A model that has not shown it may still be good, with more images; until then nobody should
read a decision of its own as one.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from core.files.untrusted import LARGE, read_bytes
from core.metrics.frozen import Frozen
from core.metrics.operating_points import DECIMALS
from core.metrics.summary import auc_or_note

HEADLINE = "Not better than chance so far"
CONFIDENCE = 0.95  # of the interval that decides it: the same for every run, whatever its settings
_SHOWN = 3  # decimals of a score as people see it
_EDGE = 2 * 10.0**-DECIMALS


def chance_of_scores(labels: ArrayLike, scores: ArrayLike, patients: ArrayLike) -> str:
    """Why these validation scores do not show that the model is better than chance, in words; "" when they do.

    `labels` (n,) are "malignant" or 1, and anything else; `scores` (n,) in [0, 1]; `patients` (n,).
    """
    answers = np.asarray(labels)
    malignant = answers == "malignant" if answers.dtype.kind in "OUT" else answers.astype(bool)
    shown = np.round(np.asarray(scores, dtype=np.float64), _SHOWN)
    if not shown.size:
        return "it has no validation scores"
    if np.unique(shown).size == 1:
        return f"every validation image gets the same score, {shown[0]:.3f}"
    if np.isin(shown, (0.0, 1.0)).all():
        return "every validation score is 0.000 or 1.000: the network has saturated"
    found = auc_or_note(malignant, scores, patients, CONFIDENCE)
    if isinstance(found, str):
        return f"validation cannot show it ({found})"
    if found.high < 0.5:
        return (
            f"the AUC on validation is {found} ({CONFIDENCE:.0%} interval), worse than chance (0.5): check that the labels are "
            "not swapped"
        )
    if found.low <= 0.5:
        return f"the AUC on validation is {found} ({CONFIDENCE:.0%} interval), and 0.5 is chance"
    return ""


def chance_of_model(card: Frozen, folder: Path | None = None) -> str:
    """Why the model of a card (model.json) has not shown to be better than chance; "" when it has, or nothing is known.

    A card of an earlier version does not say; then predictions/val.csv in the run's `folder` is asked.
    """
    threshold = card.threshold
    if threshold is not None and not _EDGE < threshold < 1 - _EDGE:
        calls = "malignant" if threshold <= _EDGE else "benign"
        return f"the threshold is {threshold:.3f}, which calls every image {calls}"
    if card.chance is not None:
        return card.chance
    return "" if folder is None else _of_file(folder / "predictions" / "val.csv")


def warning_of(reason: str) -> str:
    """The sentence to show for what `chance_of_model` gave; "" for ""."""
    return f"{HEADLINE}: {reason}." if reason else ""


_MOST_COLUMNS = 1000


def _of_file(path: Path) -> str:
    table = read_scores(path)
    if table is None:  # whoever evaluates the run is told what is wrong with the file
        return ""
    try:
        return chance_of_scores(table["label"], table["score"], table["patient_id"])
    except ValueError:
        return ""


def read_scores(path: Path) -> pd.DataFrame | None:
    """`label`, `score` (float64) and `patient_id` of a predictions file, read within bounds; None where that cannot be done."""
    try:
        content = read_bytes(path, LARGE)
        if content.partition(b"\n")[0].count(b",") > _MOST_COLUMNS:
            return None
        table = pd.read_csv(
            io.BytesIO(content), usecols=["label", "score", "patient_id"], dtype={"label": "str", "patient_id": "str"}
        )
        return table.assign(score=table["score"].astype("float64"))
    except (OSError, ValueError, KeyError):
        return None
