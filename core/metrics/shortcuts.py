"""Shortcut audit: how far the label can be computed from what is not the breast, and what the model tells beyond that.

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
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import logit
from scipy.stats import rankdata

from core.errors import NotEnoughData
from core.metrics.bootstrap import Patients
from core.metrics.calibration import clustered_logistic
from core.metrics.checks import Labels, Scores, checked
from core.metrics.delong import AucParts, auc_parts, difference_of, interval_of
from core.metrics.features import ALL
from core.metrics.intervals import Interval
from core.metrics.metadata_model import Learner
from core.metrics.shortcut_columns import NUMBERS, OF_PATIENT
from core.metrics.shortcut_results import Metadata, Shortcut, ShortcutAudit
from core.metrics.subgroups import STRATA, categories, numbers_of
from core.metrics.summary import why_not

_EDGE = 1e-6
_SEPARATED = 50.0  # a coefficient beyond this means that there is no finite one


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
    confidence: float,
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
    of_class = patients.of_class(labels)
    why = why_not("auc", of_class)
    if why:
        raise NotEnoughData(f"Shortcut audit: {why}.")
    fold, numbers = np.zeros(labels.size, dtype=np.int64), frozenset((*NUMBERS, *numeric))
    if training is None:
        fold = patient_folds(labels, patients, min(folds, *of_class.values()), seed)
        learner = Learner(metadata, labels, metadata, fold, seed, numbers)
    else:
        taught, _ = checked(training[0], np.zeros(len(training[1])), both_classes=True)
        learner = Learner(training[1], taught, metadata, None, seed, numbers)
    images = _Images(labels, scores, patients, fold, confidence)
    rows, against = [], None
    for name in learner.encoders:
        strata, banded = strata_of(metadata[name], numeric=name in numbers)
        rows.append(images.row(name, learner.predict([name], "logistic"), strata, banded=banded))
    rows.sort(key=lambda row: (-round(row.auc.value, 9) if isinstance(row.auc, Interval) else math.inf, row.feature))
    apart = tuple(name for name in (*OF_PATIENT, *sorted(outcomes)) if name in learner.encoders)
    names = tuple(name for name in learner.encoders if name not in apart)
    if names:
        linear = learner.predict(names, "logistic")
        against = images.against(names, linear)
    if len(names) > 1:
        boosting = images.auc_of(learner.predict(names, "boosting"))
        rows.append(images.row(ALL, linear, _quantile_strata(linear, fold), banded=True, boosting=boosting))
    counts = (int(labels.size), patients.count, 0 if training is not None else int(fold.max()) + 1)
    learned_on = 0 if training is None else len(training[1])
    return ShortcutAudit(images.model, tuple(rows), learner.left_out, *counts, learned_on, against, apart)


@dataclass(frozen=True)
class _Images:
    """The scored images: labels, scores, patients and folds (n,); what is measured of them has limits of `confidence`."""

    labels: Labels
    scores: Scores
    patients: Patients
    fold: NDArray[np.int64]
    confidence: float

    @cached_property
    def parts(self) -> AucParts:
        return auc_parts(self.labels, self.scores, self.patients)

    @property
    def model(self) -> Interval:
        """The model's AUC on all images."""
        return interval_of(self.parts, self.labels.size, self.confidence)

    def auc_of(self, predicted: Scores) -> Interval:
        """The AUC of scores `predicted` from metadata, within each fold."""
        return interval_of(auc_parts(self.labels, predicted, self.patients, self.fold), self.labels.size, self.confidence)

    def row(
        self, name: str, predicted: Scores, strata: NDArray[Any], *, banded: bool, boosting: Interval | None = None
    ) -> Shortcut:
        """The row of a column: `predicted` from it (n,), and the model among images of one of the `strata` (n,)."""
        within, share = self.within(strata)
        return Shortcut(name, self.auc_of(predicted), within, boosting, share, banded)

    def within(self, strata: NDArray[Any]) -> tuple[Interval | str, float]:
        """The model's AUC among images of one stratum, and the share of all pairs that it rests on."""
        try:
            parts = auc_parts(self.labels, self.scores, self.patients, strata)
            fewest = {"malignant": parts.with_malignant, "benign": parts.with_benign}
            interval = why_not("auc", fewest) or interval_of(parts, self.labels.size, self.confidence)
            return interval, parts.pairs / self.parts.pairs
        except NotEnoughData as error:
            return str(error), 0.0

    def against(self, names: tuple[str, ...], predicted: Scores) -> Metadata:
        """The model's scores against the label `predicted` from the columns `names`; pairs are compared within a fold."""
        feature = ALL if len(names) > 1 else names[0]
        try:
            model, metadata = (auc_parts(self.labels, each, self.patients, self.fold) for each in (self.scores, predicted))
            difference, _, p = difference_of(model, metadata, self.labels.size, self.confidence)
        except NotEnoughData as error:
            return Metadata(feature, str(error), None, str(error), None, names)
        logits, known = (logit(np.clip(each, _EDGE, 1 - _EDGE)) for each in (self.scores, predicted))
        spread = float(logits.std())
        if spread < 1e-9:
            return Metadata(feature, difference, p, "the model gives every image the same score", None, names)
        # Each fold's predictions come from a model of their own, on a scale of their own: a constant for each.
        constants = (self.fold[:, None] == np.unique(self.fold)).astype(np.float64)
        columns = [((logits - logits.mean()) / spread)[:, None], constants]
        if known.std() > 1e-9:
            columns.append(((known - known.mean()) / known.std())[:, None])
        added, added_p = clustered_logistic(np.column_stack(columns), self.labels, self.patients, self.confidence)
        if not np.isfinite([added.low, added.high]).all() or abs(added.value) > _SEPARATED:
            note = "undefined: score and metadata separate the classes completely"
            return Metadata(feature, difference, p, note, None, names)
        return Metadata(feature, difference, p, added, added_p, names)


def strata_of(column: pd.Series, *, numeric: bool = False) -> tuple[NDArray[Any], bool]:
    """The column as strata (n,) to compare images within, and whether these are bands: categories and a few different numbers
    stay as they are, more numbers become five bands.
    """
    numbers = numbers_of(column) if numeric else None
    if numbers is None or np.unique(numbers[np.isfinite(numbers)]).size <= STRATA:
        return categories(column), False
    known = np.isfinite(numbers)
    strata = np.full(numbers.size, -1, dtype=np.int64)
    strata[known] = _fifths(numbers[known])
    return strata, True


def patient_folds(labels: Labels, patients: Patients, folds: int, seed: int) -> NDArray[np.int64]:
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
