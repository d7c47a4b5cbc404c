"""Shortcut audit: how far the label can be told from what is not the breast, and what the model tells beyond that.

Where malignant images come from another scanner, or from older patients, a model can be right for the wrong reason. The
audit predicts the label from metadata alone, each column by itself and all together, learned where the model learned: on the
training images. Beside it stands the model's AUC among images that share the value.

Without training metadata it cross-validates, with patients kept apart. Pairs of images are then compared within a fold only:
scores of different folds' models are not on one scale, and pooling them would push the AUC of a useless column below 0.5. With
few patients some of that remains, because a fold that has more of something leaves less of it to learn from.

How many images and sides a patient has (OF_PATIENT) is audited column by column and enters no prediction from several: no image
shows it, so a model of single images is not to be measured against it.

Sources: Zech et al., PLoS Med 2018;15:e1002683. DeGrave, Janizek, Lee, Nat Mach Intell 2021;3:610.
Within strata: Janes, Pepe, Biometrika 2009;96:371. Folds: Parker, Günter, Bedo, BMC Bioinformatics 2007;8:326.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from pydantic import SerializerFunctionWrapHandler, model_serializer
from scipy.special import logit
from scipy.stats import rankdata

from core.errors import NotEnoughData
from core.metrics.bootstrap import Patients
from core.metrics.calibration import clustered_logistic
from core.metrics.checks import Labels, Scores, checked
from core.metrics.delong import auc_parts, difference_of, interval_of
from core.metrics.features import ALL, feature_title, feature_words
from core.metrics.intervals import Estimate, Interval
from core.metrics.metadata_model import Learner
from core.metrics.subgroups import STRATA, categories, numbers_of
from core.metrics.summary import why_not

_EDGE = 1e-6
_SEPARATED = 50.0  # a coefficient beyond this means that there is no finite one
# How many images and sides of the same patient are in the set: a set may have other patients of each class, or other exams.
IMAGES_OF_PATIENT, SIDES_OF_PATIENT = "images_of_patient", "sides_of_patient"
OF_PATIENT = (IMAGES_OF_PATIENT, SIDES_OF_PATIENT)
# The columns that measure something. Every other column names something, even where its names are written in digits, as those
# of scanners and sites often are: the distance between scanner 49 and scanner 93 means nothing.
NUMBERS = ("age", "height", "width", IMAGES_OF_PATIENT)


@dataclass(frozen=True)
class Shortcut:
    """One column (or ALL, which is without those that stand apart): `auc` of the label predicted from it, and `within`, the
    model's AUC among images that share it.

    `boosting` is the AUC of gradient boosting on the same columns (ALL only): what interactions add. `pairs` is the share
    of the model's benign-malignant pairs that `within` rests on. Each figure is an Interval or a note.
    """

    feature: str
    auc: Estimate
    within: Estimate
    boosting: Estimate | None = None
    pairs: float = 1.0


@dataclass(frozen=True)
class Metadata:
    """What the model knows beyond the metadata, on the same images.

    `feature` is ALL, or the one column there is besides those that stand apart. `difference` is the model's AUC less that of
    the label predicted from the metadata, paired and clustered by patient, `p` its two-sided p value. `added` is the
    coefficient of the score's log odds, per standard deviation, in a logistic regression of the label that also has
    the prediction from the metadata, with cluster-robust limits and `added_p`: above 0, the image says something that the
    metadata do not. Both predictions were learned on other patients than those they are compared on. Each figure is an Interval
    or a note.
    """

    feature: str
    difference: Estimate
    p: float | None
    added: Estimate
    added_p: float | None

    @property
    def sentence(self) -> str:
        """What the comparison shows, in words: the same on every page, in the report and on the command line."""
        what = "all metadata together" if self.feature == ALL else f"{feature_words(self.feature)} alone"
        if isinstance(self.difference, str):
            return f"Whether the model tells more than {what} cannot be told: {self.difference}."
        change = f"AUC {self.difference.value:+.3f} [{self.difference.low:+.3f}, {self.difference.high:+.3f}], p {_p(self.p)}"
        if self.difference.low > 0:
            words = f"The model tells more than {what} ({change})."
        elif self.difference.high < 0:
            words = f"The model tells less than {what} ({change})."
        else:
            words = f"The model is not shown to tell more than {what} ({change})."
        if isinstance(self.added, str):
            return words
        found = f"coefficient {self.added.value:.2f} [{self.added.low:.2f}, {self.added.high:.2f}], p {_p(self.added_p)}"
        if self.added.low > 0:
            return f"{words} Given the metadata, its score still adds to what is known ({found})."
        return f"{words} Given the metadata, its score is not shown to add anything ({found})."

    @model_serializer(mode="wrap")
    def _with_words(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return plain(self) | {"sentence": self.sentence}


_COUNTED = {IMAGES_OF_PATIENT: "number of images", SIDES_OF_PATIENT: "number of sides"}


def _p(p: float | None) -> str:
    return "unknown" if p is None else "< 0.001" if p < 0.001 else f"= {p:.3f}"


@dataclass(frozen=True)
class ShortcutAudit:
    """`model` is the model's own AUC on the same images; `features` one row a column, the strongest first, then ALL.

    `learned_on` counts the training images that the predictions from metadata come from; 0: cross-validated in `folds`.
    `metadata` compares the model with them; None without any, and in an audit of an earlier version. `apart` are the columns of
    OF_PATIENT and of the outcome among the features, which neither ALL nor `metadata` has; an earlier version took OF_PATIENT
    in, and wrote none down.
    """

    model: Estimate
    features: tuple[Shortcut, ...]
    left_out: tuple[str, ...]
    images: int
    patients: int
    folds: int
    learned_on: int = 0
    metadata: Metadata | None = None
    apart: tuple[str, ...] = ()

    @property
    def of_patient(self) -> str:
        """What the numbers of a patient's images and sides tell, in words: beside the comparison, not in it; "" without."""
        rows = [row for row in self.features if row.feature in OF_PATIENT]
        if not rows:
            return ""
        told = ", ".join(f"{_COUNTED[row.feature]} {row.auc}" for row in rows)
        words = f"AUC of the label told from how many images or sides the patient has: {told}."
        if not {row.feature for row in rows} <= set(self.apart):
            return (
                f"{words} An earlier version made this audit: there, all metadata together include these numbers, which no "
                "image shows. `evaluate --remake` makes it again without them."
            )
        return (
            f"{words} No image shows these numbers, so all metadata together and the comparison with the model leave them out; "
            "scores by patient are made of so many images, and may rest on them."
        )

    @property
    def of_outcome(self) -> str:
        """Which columns say what was found or decided, in words: that they tell the label is no shortcut; "" without any."""
        rows = [row for row in self.features if row.feature in self.apart and row.feature not in OF_PATIENT]
        if not rows:
            return ""
        told = ", ".join(f"{feature_title(row.feature)} {row.auc}" for row in rows)
        return (
            "Not metadata of the image, but what was found or decided about the case, and audited because the settings name "
            f"it: {told}. That this tells the label is no shortcut; all metadata together and the comparison with the model "
            "leave it out."
        )

    @property
    def aside(self) -> str:
        """What stands beside the comparison of the model with the metadata, in words; "" where nothing does."""
        return f"{self.of_patient} {self.of_outcome}".strip()

    @model_serializer(mode="wrap")
    def _with_words(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return plain(self) | {"of_patient": self.of_patient, "of_outcome": self.of_outcome}


def shortcut_audit(
    y: ArrayLike,
    s: ArrayLike,
    groups: ArrayLike,
    metadata: pd.DataFrame,
    *,
    training: tuple[ArrayLike, pd.DataFrame] | None = None,
    numeric: Sequence[str] = (),
    outcomes: Sequence[str] = (),
    folds: int = 5,
    confidence: float = 0.95,
    seed: int = 0,
) -> ShortcutAudit:
    """Audit scores `s` for labels `y` with the columns of `metadata`, all (n,) and row by row.

    The columns in NUMBERS and in `numeric` are numbers, whose effect may bend (linear and quantile steps); all others are
    categories, whatever they are written with. A missing value is a value of its own. Columns that never vary in the scored
    or the training images, or that name nearly every image apart, are left out and listed. The same seed gives the same
    audit, in whatever order rows and columns come.

    Args:
        training: labels and metadata of the images that the model was trained on; None cross-validates in `folds`.
        numeric: names of further columns that measure something, such as a compressed thickness in millimetres.
        outcomes: names of columns that say what was found or decided about the case, such as BI-RADS. They get a row each, and
            stand apart from all columns together and from the comparison with the model.

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
    fold, numbers = np.zeros(labels.size, dtype=np.int64), frozenset((*NUMBERS, *numeric))
    if training is None:
        fold = _folds(labels, patients, min(folds, *of_class.values()), seed)
        learner = Learner(metadata, labels, metadata, fold, seed, numbers)
    else:
        taught, _ = checked(training[0], np.zeros(len(training[1])), both_classes=True)
        learner = Learner(training[1], taught, metadata, None, seed, numbers)
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

    rows, against = [], None
    for name in learner.encoders:
        figure, pairs = within(strata_of(metadata[name], numeric=name in numbers))
        rows.append(Shortcut(name, told(learner.predict([name], "logistic")), figure, pairs=pairs))
    rows.sort(key=lambda row: (-round(row.auc.value, 9) if isinstance(row.auc, Interval) else math.inf, row.feature))
    apart = tuple(name for name in (*OF_PATIENT, *sorted(outcomes)) if name in learner.encoders)
    names = [name for name in learner.encoders if name not in apart]
    if names:
        linear = learner.predict(names, "logistic")
        feature = ALL if len(names) > 1 else names[0]
        against = _against_metadata(feature, labels, scores, linear, patients, fold, confidence)
    if len(names) > 1:
        figure, pairs = within(_quantile_strata(linear, fold))
        boosted = told(learner.predict(names, "boosting"))
        rows.append(Shortcut(ALL, told(linear), figure, boosted, pairs))
    own = interval_of(model, labels.size, confidence)
    counts = (int(labels.size), patients.count, 0 if training is not None else int(fold.max()) + 1)
    learned_on = 0 if training is None else len(training[1])
    return ShortcutAudit(own, tuple(rows), learner.left_out, *counts, learned_on, against, apart)


def _against_metadata(
    feature: str,
    labels: Labels,
    scores: Scores,
    predicted: Scores,
    patients: Patients,
    fold: NDArray[np.int64],
    confidence: float,
) -> Metadata:
    """The model's scores against the label `predicted` from metadata; pairs are compared within a `fold` for both."""
    try:
        model, metadata = (auc_parts(labels, each, patients, fold) for each in (scores, predicted))
        difference, _, p = difference_of(model, metadata, labels.size, confidence)
    except NotEnoughData as error:
        return Metadata(feature, str(error), None, str(error), None)
    logits, known = (logit(np.clip(each, _EDGE, 1 - _EDGE)) for each in (scores, predicted))
    spread = float(logits.std())
    if spread < 1e-9:
        return Metadata(feature, difference, p, "the model gives every image the same score", None)
    # Each fold's predictions come from a model of their own, on a scale of their own: a constant for each.
    constants = (fold[:, None] == np.unique(fold)).astype(np.float64)
    columns = [((logits - logits.mean()) / spread)[:, None], constants]
    if known.std() > 1e-9:
        columns.append(((known - known.mean()) / known.std())[:, None])
    added, added_p = clustered_logistic(np.column_stack(columns), labels, patients, confidence)
    if not np.isfinite([added.low, added.high]).all() or abs(added.value) > _SEPARATED:
        return Metadata(feature, difference, p, "undefined: score and metadata separate the classes completely", None)
    return Metadata(feature, difference, p, added, added_p)


def strata_of(column: pd.Series, *, numeric: bool = False) -> NDArray[Any]:
    """The column as strata (n,) to compare images within: categories as they are, numbers with many values in five bands."""
    numbers = numbers_of(column) if numeric else None
    if numbers is None or np.unique(numbers[np.isfinite(numbers)]).size <= STRATA:
        return categories(column)
    known = np.isfinite(numbers)
    strata = np.full(numbers.size, -1, dtype=np.int64)
    strata[known] = _fifths(numbers[known])
    return strata


def _folds(labels: Labels, patients: Patients, folds: int, seed: int) -> NDArray[np.int64]:
    """A fold for each image; a patient's images share one, and the malignant patients are spread evenly."""
    malignant = np.bincount(patients.index, weights=labels, minlength=patients.count) > 0
    fold = np.empty(patients.count, dtype=np.int64)
    generator = np.random.default_rng(seed)
    for kind in (malignant, ~malignant):
        members = generator.permutation(np.flatnonzero(kind))
        fold[members] = np.arange(members.size) % folds
    return fold[patients.index]


def _quantile_strata(predicted: Scores, fold: NDArray[np.int64]) -> NDArray[np.int64]:
    """Fifths of the predicted risk within each fold: images that look alike by their metadata."""
    strata = np.zeros(predicted.size, dtype=np.int64)
    for number in range(int(fold.max()) + 1):
        inside = fold == number
        strata[inside] = number * STRATA + _fifths(predicted[inside])
    return strata


def _fifths(values: Scores) -> NDArray[np.int64]:
    """The fifth, 0 to 4, of each value (n,). Equal values stay together, in the fifth where the middle one of them lies.

    In whole numbers: an edge that is computed in another order must not move the values that lie on it.
    """
    twice = (2 * rankdata(values, method="average")).astype(np.int64)
    return STRATA * (twice - 1) // (2 * values.size)


def with_counts(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame (columns patient_id, laterality, a row an image) with how many images and sides of each patient it has."""
    patients = frame.groupby(frame["patient_id"].to_numpy())
    known = frame["laterality"].where(frame["laterality"].isin(("L", "R")))
    sides = known.groupby(frame["patient_id"].to_numpy()).transform("nunique").to_numpy()
    return frame.assign(
        **{
            IMAGES_OF_PATIENT: patients["patient_id"].transform("size").to_numpy(),
            SIDES_OF_PATIENT: np.where(sides > 0, sides.astype(int).astype(str), ""),
        }
    )


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
    "device",
    "site",
    "site_id",
    "hospital",
    "institution",
    "center",
    "centre",
    "manufacturer",
    "vendor",
    "implant",
    "height",
    "width",
    "bits",
    "inverted",
    "burned_in",
    "format",
    "folder",
    "origin",
    "source",
    IMAGES_OF_PATIENT,
    SIDES_OF_PATIENT,
)
