"""What patients are made of: how many images and sides each has, by label, and whether that alone tells the label.

A patient's score is made of all images of hers. Where malignant patients come with the affected breast only and benign ones
with both, such scores are means of two images against means of four: an AUC by patient then also says how a set was put
together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.metrics.intervals import Interval
from core.metrics.levels import images_of
from core.metrics.summary import auc_or_note

COUNTS = ("images_of_patient", "sides_of_patient")  # as columns of the shortcut audit are called
TITLES = {"images_of_patient": "number of images", "sides_of_patient": "number of sides"}
# Below this distance from 0.5 a difference may be certain in a large set, and still too small to carry a metric.
MATTERS = 0.05
_SPLITS = ("train", "val", "test", "")


@dataclass(frozen=True)
class Composition:
    """Patients of one label in one split; a patient is malignant when any image is. `low` and `high` are the fewest and the
    most images that one of them has. `two_sides`, `one_side` and `unknown_sides` count patients and sum to `patients`.
    """

    split: str
    label: str
    patients: int
    images: int
    median: float
    low: int
    high: int
    two_sides: int
    one_side: int
    unknown_sides: int


@dataclass(frozen=True)
class Association:
    """How well a count alone tells a patient's label: the AUC of the count for malignant, or why there is none.

    Below 0.5: malignant patients have fewer. `strength` is the same AUC in the direction in which it tells the label.
    """

    split: str
    what: str
    auc: Interval | str

    @property
    def strength(self) -> Interval | str:
        found = self.auc
        if isinstance(found, str) or found.value >= 0.5:
            return found
        return Interval(1 - found.value, 1 - found.high, 1 - found.low, found.method)

    @property
    def unequal(self) -> bool:
        """Whether one class has systematically fewer: the interval leaves out 0.5, and the AUC is not near it."""
        found = self.strength
        return isinstance(found, Interval) and found.low > 0.5 and found.value >= 0.5 + MATTERS

    @property
    def fewer(self) -> str:
        """The label whose patients have fewer."""
        return "malignant" if isinstance(self.auc, Interval) and self.auc.value < 0.5 else "benign"


def by_patient(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a patient: patient_id, label, and COUNTS; sides are NaN where an image of hers does not say which it shows.

    Args:
        frame: columns patient_id, label and, where sides are known, laterality; a row an image, or a breast with its images.
    """
    names, patient = np.unique(frame["patient_id"].astype("str").to_numpy(dtype=object), return_inverse=True)
    side = frame["laterality"].to_numpy(dtype=object) if "laterality" in frame.columns else np.full(len(frame), "")

    def count(rows: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.bincount(patient[rows], minlength=len(names))

    left, right = count(side == "L"), count(side == "R")
    rows = np.bincount(patient, minlength=len(names))
    images = np.bincount(patient, weights=images_of(frame), minlength=len(names)).astype(np.int64)
    sides = np.where(left + right == rows, (left > 0).astype(np.float64) + (right > 0), np.nan)
    label = np.where(count((frame["label"] == "malignant").to_numpy()) > 0, "malignant", "benign")
    return pd.DataFrame({"patient_id": names, "images_of_patient": images, "sides_of_patient": sides, "label": label})


def composition(frame: pd.DataFrame) -> tuple[Composition, ...]:
    """A row for each split and label that has patients. `frame` has the columns patient_id, label, laterality, split."""
    rows = []
    for split, part in _splits(frame):
        patients = by_patient(part)
        for label in ("benign", "malignant"):
            some = patients[patients["label"] == label]
            if some.empty:
                continue
            images, sides = some["images_of_patient"], some["sides_of_patient"]
            rows.append(
                Composition(
                    split=split,
                    label=label,
                    patients=len(some),
                    images=int(images.sum()),
                    median=float(images.median()),
                    low=int(images.min()),
                    high=int(images.max()),
                    two_sides=int((sides == 2).sum()),
                    one_side=int((sides == 1).sum()),
                    unknown_sides=int(sides.isna().sum()),
                )
            )
    return tuple(rows)


def associations(frame: pd.DataFrame, confidence: float) -> tuple[Association, ...]:
    """For each split, whether the number of images, and of sides, tells the label of a patient."""
    return tuple(
        Association(split, what, _tells(by_patient(part), what, confidence))
        for split, part in _splits(frame)
        for what in COUNTS
    )


def composition_warnings(found: Iterable[Association], names: Mapping[str, str] | None = None) -> list[str]:
    """One sentence for all splits together where patients of a label have systematically fewer images or sides.

    Args:
        names: how to call a split in words; by default as it is called in the manifest.
    """
    by_label: dict[str, dict[str, list[Association]]] = {}
    for each in found:
        if each.unequal:
            by_label.setdefault(each.fewer, {}).setdefault(each.what, []).append(each)
    sentences = []
    for label, by_count in by_label.items():
        counts = []
        for what, unequal in by_count.items():
            aucs = [f"{(names or {}).get(each.split, each.split)}: AUC {each.strength}".removeprefix(": ") for each in unequal]
            counts.append(f"{TITLES[what].removeprefix('number of ')} ({'; '.join(aucs)})")
        other = "benign" if label == "malignant" else "malignant"
        sentences.append(
            f"{label} patients have fewer {' and '.join(counts)} than {other} ones: that alone tells the label. A score by "
            "patient is made of unequal sets of images, and its metrics may rest on how the set was put together"
        )
    return sentences


def _splits(frame: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    return [(split, frame[frame["split"] == split]) for split in _SPLITS if (frame["split"] == split).any()]


def _tells(patients: pd.DataFrame, what: str, confidence: float) -> Interval | str:
    known = patients[patients[what].notna()]
    labels: NDArray[np.bool_] = (known["label"] == "malignant").to_numpy()
    if known.empty:
        return "which side an image shows is not known"
    return auc_or_note(labels, known[what].to_numpy(dtype=np.float64), known["patient_id"].to_numpy(), confidence)
