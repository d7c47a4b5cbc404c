"""Which benign labels somebody verified by tissue, as the manifest's column `biopsy` says, and how its cells were read.

A cell says "yes" (a biopsy was done; a result or a kind of biopsy says so too), "no" (none was done), or nothing: it is empty,
or written in a way that is not known here. Nothing is not "no": many columns list only what was biopsied. A breast is verified
when an image of it is, for tissue is of a breast; a patient when each of her breasts is. One that is not verified is stated as
unverified when any of its images says "no"; else it is not stated.

Malignant labels play no part: only a benign one can hide a cancer that was missed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from core.evaluate.birads import EMPTY
from core.metrics import Level

COLUMN = "biopsy"
State = Literal["yes", "no", "not stated"]
_YES = {
    *("1", "true", "yes", "y", "t", "done", "performed", "biopsied", "biopsy", "biopsy proven", "verified", "proven"),
    *("benign", "malignant", "cancer", "carcinoma", "dcis", "idc", "ilc", "lcis", "adh", "fibroadenoma", "papilloma"),
    *("core", "core biopsy", "fna", "fine needle aspiration", "vacuum", "vacuum biopsy", "surgical", "excision", "surgery"),
    *("b1", "b2", "b3", "b4", "b5", "b5a", "b5b"),  # categories of breast biopsies, not of images
}
_NO = {
    *("0", "false", "no", "n", "f", "never", "not done", "not performed", "not biopsied", "no biopsy", "without biopsy"),
    *("unverified", "not verified", "benign without callback"),  # as CBIS-DDSM calls what nobody took tissue from
}


@dataclass(frozen=True)
class Spelling:
    """How one way to fill a cell was read: "yes", "no", "empty" or "not understood", and of how many images by label."""

    written: str
    read_as: str
    benign: int
    malignant: int


@dataclass(frozen=True)
class Verification:
    """Of the benign images, breasts or patients: `states` is the state of each unit (index: its key, see `at_level`), benign
    or not; `spellings` how the cells were read, those not understood first.
    """

    level: str
    states: pd.Series
    benign: pd.Series
    spellings: tuple[Spelling, ...]

    def count(self, state: State) -> int:
        """How many benign units are in this state."""
        return int((self.benign & (self.states == state)).sum())

    @property
    def lists_only_biopsies(self) -> bool:
        """Whether no cell says "no": an empty one may then mean either."""
        return not any(each.read_as == "no" for each in self.spellings)


def reading(cell: object) -> str:
    """A cell of the column as "yes", "no", "empty" or "not understood"."""
    text = " ".join(str("" if cell is None else cell).strip().lower().replace("_", " ").replace("-", " ").split())
    if text in EMPTY or not text:
        return "empty"
    text = text.removesuffix(".0")
    return "yes" if text in _YES else "no" if text in _NO else "not understood"


def readings(rows: pd.DataFrame) -> pd.Series | None:
    """`reading` of each row's cell; None where the column is missing or empty."""
    if COLUMN not in rows.columns:
        return None
    column = rows[COLUMN].astype("object").where(rows[COLUMN].notna(), "").astype("str")
    found = column.map({text: reading(text) for text in column.unique()})
    return None if (found == "empty").all() else found


def verification_of(predictions: pd.DataFrame, manifest: pd.DataFrame, level: Level) -> Verification | None:
    """The state of each scored unit; None where the manifest's column says nothing.

    Args:
        predictions: path, patient_id, laterality, label, as in predictions/<split>.csv.
        manifest: path and the column.
    """
    read = readings(manifest)
    if read is None:
        return None
    paths = manifest["path"].astype("str")
    by_path = dict(zip(paths, zip(read, manifest[COLUMN], strict=True), strict=True))
    cells = [by_path.get(path, ("empty", "")) for path in predictions["path"].astype("str")]
    frame = predictions.assign(read=[each for each, _ in cells], malignant=predictions["label"] == "malignant")
    keys = {"image": ["path"], "breast": ["patient_id", "laterality"], "patient": ["patient_id"]}[level]
    breasts = frame.groupby(keys if level == "image" else ["patient_id", "laterality"], sort=True)["read"].agg(_state)
    states = breasts.groupby(level="patient_id", sort=True).agg(_weakest) if level == "patient" else breasts
    benign = ~frame.groupby(keys, sort=True)["malignant"].any()
    return Verification(level, states, benign, _spellings(frame, [str(written) for _, written in cells]))


def _state(read: pd.Series) -> State:
    """Of a breast: one verified image verifies it."""
    return "yes" if (read == "yes").any() else "no" if (read == "no").any() else "not stated"


def _weakest(states: pd.Series) -> State:
    """Of a patient: as the breast that is least verified."""
    return "no" if (states == "no").any() else "not stated" if (states == "not stated").any() else "yes"


def _spellings(frame: pd.DataFrame, written: list[str]) -> tuple[Spelling, ...]:
    said = [("" if read == "empty" else text.strip(), read) for text, read in zip(written, frame["read"], strict=True)]
    counts = Counter(zip(said, frame["malignant"], strict=True))
    order = ("not understood", "yes", "no", "empty")
    found = [Spelling(text, read, counts[(text, read), False], counts[(text, read), True]) for text, read in set(said)]
    return tuple(sorted(found, key=lambda each: (order.index(each.read_as), -each.benign - each.malignant, each.written)))
