"""How well the label can be predicted without the breast, before any training: from collection, size, scanner, age and view."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from core.data.manifest import labelled
from core.errors import NotEnoughData, UnreadableImage
from core.images.headers import read_header
from core.metrics.bootstrap import Patients
from core.metrics.checks import checked
from core.metrics.delong import auc_parts, interval_of
from core.metrics.features import ALL, feature_words
from core.metrics.intervals import Estimate, Interval
from core.metrics.metadata_model import Learner
from core.metrics.shortcut_columns import NUMBERS, columns_for_audit
from core.metrics.shortcuts import patient_folds
from core.metrics.summary import why_not

FOLDS = 5
_COLUMNS = ("collection",)
_SAID = "Any model has to do better than this to have learned something from the breasts."


@dataclass(frozen=True)
class MetadataBaseline:
    """`rows`: the AUC by column, and ALL where there are several, each cross-validated with patients kept apart; the highest
    column first. `left_out`: columns that tell nothing apart, or name nearly every image.
    """

    rows: tuple[tuple[str, Estimate], ...]
    left_out: tuple[str, ...]
    images: int
    patients: int
    folds: int
    confidence: float

    @property
    def sentence(self) -> str:
        """What it shows, in words."""
        if not self.rows:
            return "No column tells the images apart: there is nothing to predict the label from."
        name, found = next((row for row in self.rows if row[0] == ALL), self.rows[0])
        what = "All columns together" if name == ALL else f"{feature_words(name)} alone".capitalize()
        if isinstance(found, str):
            return f"{what}: {found}."
        lead = f"{what} predict" + ("" if name == ALL else "s")
        words = f"{lead} the label with an AUC of {found} ({self.confidence:.0%} interval)"
        return f"{words}. {_SAID}" if found.low > 0.5 else f"{words}, which is not shown to be better than chance (0.5)."

    def as_dict(self) -> dict[str, object]:
        """As JSON has it."""
        plain = {
            name: {"value": found.value, "low": found.low, "high": found.high} if isinstance(found, Interval) else found
            for name, found in self.rows
        }
        return {
            "images": self.images,
            "patients": self.patients,
            "folds": self.folds,
            "confidence": self.confidence,
            "auc": plain,
            "left_out": list(self.left_out),
            "sentence": self.sentence,
        }


def metadata_baseline(
    frame: pd.DataFrame, *, confidence: float, seed: int = 0, progress: Callable[[int, int], None] | None = None
) -> MetadataBaseline:
    """Predict the label of a manifest's labelled images from its metadata, by cross-validation with patients kept apart.

    Images' sizes come from the files' headers, where the manifest has no height and width. `progress(done, total)` is called
    meanwhile; an exception it raises ends the work.

    Raises:
        NotEnoughData: one label only, or too few patients of a label.
    """
    rows = labelled(frame).reset_index(drop=True)
    labels, _ = checked((rows["label"] == "malignant").to_numpy(), np.zeros(len(rows)), both_classes=True)
    patients = Patients.of(rows["patient_id"].astype("str").to_numpy())
    of_class = patients.of_class(labels)
    why = why_not("auc", of_class)
    if why:
        raise NotEnoughData(f"Metadata baseline: {why}.")
    metadata = _metadata(rows, progress or (lambda done, total: None))
    fold = patient_folds(labels, patients, min(FOLDS, *of_class.values()), seed)
    learner = Learner(metadata, labels, metadata, fold, seed, frozenset(NUMBERS))
    names = list(learner.encoders)
    asked = [[name] for name in names] + ([names] if len(names) > 1 else [])
    found = []
    for columns in asked:
        parts = auc_parts(labels, learner.predict(columns, "logistic"), patients, fold)
        found.append((columns[0] if len(columns) == 1 else ALL, interval_of(parts, labels.size, confidence)))
    found.sort(key=lambda row: (row[0] == ALL, -row[1].value, row[0]))
    return MetadataBaseline(tuple(found), learner.left_out, len(rows), patients.count, int(fold.max()) + 1, confidence)


def _metadata(rows: pd.DataFrame, report: Callable[[int, int], None]) -> pd.DataFrame:
    """The columns that may tell, as text, "" where unknown."""
    said = rows[columns_for_audit(rows, _COLUMNS)].astype("str")
    if not {"height", "width"} <= set(said.columns):
        sizes = []
        for done, path in enumerate(rows["path"].astype("str")):
            if done % 100 == 0:
                report(done, len(rows))
            sizes.append(_size(path))
        said = said.assign(height=[height for height, _ in sizes], width=[width for _, width in sizes])
    report(len(rows), len(rows))
    return said.replace({"nan": "", "None": "", "<NA>": ""})


def _size(path: str) -> tuple[str, str]:
    """Height and width in pixels by the file's header, "" where it does not say; the check of the data names such files."""
    try:
        size = read_header(Path(path)).size
    except UnreadableImage:
        return "", ""
    return ("", "") if size is None else (str(size[1]), str(size[0]))
