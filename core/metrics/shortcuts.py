"""Shortcut audit: how far the label can be told from what is not the breast, and what the model tells beyond that.

Where malignant images come from another scanner, or from older patients, a model can be right for the wrong reason. The
audit predicts the label from metadata alone, each column by itself and all together, by cross-validation with patients kept
apart. Pairs of images are compared within a fold only: scores of different folds' models are not on one scale, and pooling
them would push the AUC of a useless column below 0.5. Beside it stands the model's AUC among images that share the value.

Sources: Zech et al., PLoS Med 2018;15:e1002683. DeGrave, Janizek, Lee, Nat Mach Intell 2021;3:610.
Within strata: Janes, Pepe, Biometrika 2009;96:371. Folds: Parker, Günter, Bedo, BMC Bioinformatics 2007;8:326.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from core.errors import NotEnoughData
from core.metrics.bootstrap import Patients
from core.metrics.checks import Labels, Scores, checked
from core.metrics.delong import auc_parts, interval_of
from core.metrics.intervals import Interval
from core.metrics.subgroups import UNKNOWN, categories
from core.metrics.summary import why_not

ALL = "all together"
# Rarer values share one column; more values than that are names, not categories.
_MIN_IMAGES = 10
_MAX_VALUES = 50
_STRATA = 5  # of a number, by quantiles, for the model's AUC within
_KNOTS = 4

Design = NDArray[np.float64]


@dataclass(frozen=True)
class Shortcut:
    """One column (or ALL): `auc` of the label predicted from it, and `within`, the model's AUC among images that share it.

    `boosting` is the AUC of gradient boosting on the same columns (ALL only): what interactions add. `pairs` is the share
    of the model's benign-malignant pairs that `within` rests on. Each figure is an Interval or a note.
    """

    feature: str
    auc: Interval | str
    within: Interval | str
    boosting: Interval | str | None = None
    pairs: float = 1.0

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; a figure that is a note is {"note": ...}."""

        def plain(figure: Interval | str | None) -> dict[str, Any] | None:
            return {"note": figure} if isinstance(figure, str) else None if figure is None else figure.as_dict()

        figures = {name: plain(getattr(self, name)) for name in ("auc", "within", "boosting")}
        return {"feature": self.feature, **figures, "pairs": self.pairs}


@dataclass(frozen=True)
class ShortcutAudit:
    """`model` is the model's own AUC on the same images; `features` one row a column, the strongest first, then ALL."""

    model: Interval | str
    features: tuple[Shortcut, ...]
    left_out: tuple[str, ...]
    images: int
    patients: int
    folds: int

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        model = {"note": self.model} if isinstance(self.model, str) else self.model.as_dict()
        rest = {name: getattr(self, name) for name in ("images", "patients", "folds")}
        return {"model": model, "features": [row.as_dict() for row in self.features], "left_out": list(self.left_out), **rest}


def shortcut_audit(
    y: ArrayLike,
    s: ArrayLike,
    groups: ArrayLike,
    metadata: pd.DataFrame,
    *,
    folds: int = 5,
    confidence: float = 0.95,
    seed: int = 0,
) -> ShortcutAudit:
    """Audit scores `s` for labels `y` with the columns of `metadata`, all (n,) and row by row.

    Numbers may be bent (linear and quantile steps), other columns are categories; a missing value is a value of its own.
    Columns that never vary, or that name nearly every image apart, are left out and listed. The same seed gives the same audit.

    Raises:
        NotEnoughData: one class only, too few patients of a class, NaN scores, lengths that differ.
    """
    labels, scores = checked(y, s, both_classes=True)
    patients = Patients.of(groups)
    if len(metadata) != labels.size:
        raise NotEnoughData(f"Shortcut audit: expected {labels.size} rows of metadata, one an image, got {len(metadata)}.")
    of_class = {"malignant": np.unique(patients.index[labels]).size, "benign": np.unique(patients.index[~labels]).size}
    why = why_not("auc", of_class)
    if why:
        raise NotEnoughData(f"Shortcut audit: {why}.")
    fold = _folds(labels, patients, min(folds, *of_class.values()), seed)
    designs = {str(name): _design(metadata[name]) for name in metadata.columns}
    used = {name: design for name, design in designs.items() if design is not None}
    model = auc_parts(labels, scores, patients)

    def told(predicted: Scores) -> Interval:
        return interval_of(auc_parts(labels, predicted, patients, fold), labels.size, confidence)

    def within(strata: NDArray[Any]) -> tuple[Interval | str, float]:
        try:
            parts = auc_parts(labels, scores, patients, strata)
            fewest = {"malignant": parts.with_malignant, "benign": parts.with_benign}
            return why_not("auc", fewest) or interval_of(parts, labels.size, confidence), parts.pairs / model.pairs
        except NotEnoughData as error:
            return str(error), 0.0

    rows = []
    for name, design in used.items():
        figure, pairs = within(strata_of(metadata[name]))
        rows.append(Shortcut(name, told(_predicted(design, labels, fold, "logistic", seed)), figure, pairs=pairs))
    rows.sort(key=lambda row: -row.auc.value if isinstance(row.auc, Interval) else math.inf)
    if len(used) > 1:
        everything = np.column_stack(list(used.values()))
        linear = _predicted(everything, labels, fold, "logistic", seed)
        figure, pairs = within(_quantile_strata(linear, fold))
        boosted = told(_predicted(everything, labels, fold, "boosting", seed))
        rows.append(Shortcut(ALL, told(linear), figure, boosted, pairs))
    left_out = tuple(name for name, design in designs.items() if design is None)
    own = interval_of(model, labels.size, confidence)
    return ShortcutAudit(own, tuple(rows), left_out, int(labels.size), patients.count, int(fold.max()) + 1)


def strata_of(column: pd.Series) -> NDArray[Any]:
    """The column as strata (n,) to compare images within: categories as they are, numbers with many values in five bands."""
    numbers = _numbers(column)
    if numbers is None or np.unique(numbers[np.isfinite(numbers)]).size <= _STRATA:
        return categories(column)
    known = np.isfinite(numbers)
    edges = np.unique(np.quantile(numbers[known], np.linspace(0, 1, _STRATA + 1)[1:-1]))
    return np.where(known, np.searchsorted(edges, numbers, side="right"), -1)


def _folds(labels: Labels, patients: Patients, folds: int, seed: int) -> NDArray[np.int64]:
    """A fold for each image; a patient's images share one, and the malignant patients are spread evenly."""
    malignant = np.bincount(patients.index, weights=labels, minlength=patients.count) > 0
    fold = np.empty(patients.count, dtype=np.int64)
    generator = np.random.default_rng(seed)
    for kind in (malignant, ~malignant):
        members = generator.permutation(np.flatnonzero(kind))
        fold[members] = np.arange(members.size) % folds
    return fold[patients.index]


def _design(column: pd.Series) -> Design | None:
    """Columns of numbers for a regression; None when the column cannot tell anything."""
    numbers = _numbers(column)
    if numbers is not None and np.unique(numbers[np.isfinite(numbers)]).size > _STRATA:
        known = np.isfinite(numbers)
        filled = np.where(known, numbers, np.median(numbers[known]))
        spread = filled.std() or 1.0
        knots = np.unique(np.quantile(numbers[known], np.linspace(0, 1, _KNOTS + 2)[1:-1]))
        steps = filled[:, None] > knots
        missing = [] if known.all() else [~known]
        return np.column_stack([(filled - filled.mean()) / spread, steps, *missing]).astype(np.float64)
    values = categories(column)
    names, counts = np.unique(values.astype(str), return_counts=True)
    if names.size < 2 or (names.size > _MAX_VALUES and np.median(counts) < _MIN_IMAGES):
        return None
    common = names[counts >= _MIN_IMAGES] if (counts >= _MIN_IMAGES).any() else names
    return np.column_stack([values == name for name in common]).astype(np.float64)


def _numbers(column: pd.Series) -> Scores | None:
    """The column as float64, NaN where empty; None when it holds words or truth values."""
    if column.dtype == bool:
        return None
    text = categories(column)
    numbers = pd.to_numeric(pd.Series(np.where(text == UNKNOWN, "", text)), errors="coerce").to_numpy(dtype=np.float64)
    known = text != UNKNOWN
    return numbers if known.any() and np.isfinite(numbers[known]).all() else None


def _predicted(
    design: Design, labels: Labels, fold: NDArray[np.int64], kind: Literal["logistic", "boosting"], seed: int
) -> Scores:
    """Scores (n,) of each image by a model that saw the other folds."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression

    predicted = np.zeros(labels.size)
    for number in range(int(fold.max()) + 1):
        inside = fold == number
        if kind == "logistic":
            estimator: Any = LogisticRegression(C=1.0, solver="newton-cholesky")
        else:
            estimator = HistGradientBoostingClassifier(max_iter=60, max_depth=3, early_stopping=False, random_state=seed)
        # Ties are ties: a last bit must not decide between images that look the same to the model.
        predicted[inside] = np.round(estimator.fit(design[~inside], labels[~inside]).predict_proba(design[inside])[:, 1], 9)
    return predicted


def _quantile_strata(predicted: Scores, fold: NDArray[np.int64]) -> NDArray[np.int64]:
    """Fifths of the predicted risk within each fold: images that look alike by their metadata."""
    strata = np.zeros(predicted.size, dtype=np.int64)
    for number in range(int(fold.max()) + 1):
        inside = fold == number
        edges = np.quantile(predicted[inside], np.linspace(0, 1, _STRATA + 1)[1:-1])
        strata[inside] = number * _STRATA + np.searchsorted(edges, predicted[inside], side="right")
    return strata


def columns_for_audit(frame: pd.DataFrame, extra: Sequence[str] = ()) -> list[str]:
    """The columns of a manifest or predictions frame that an audit may use: known metadata, and `extra`, that are there."""
    wanted = (*_METADATA, *extra)
    return [name for name in dict.fromkeys(wanted) if name in frame.columns]


_METADATA = (
    "age",
    "view",
    "laterality",
    "density",
    "scanner",
    "machine_id",
    "site_id",
    "implant",
    "height",
    "width",
    "bits",
    "inverted",
    "burned_in",
    "origin",
    "source",
)
