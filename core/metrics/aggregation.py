"""How far metrics by patient depend on the rule that makes one score of several images.

The rule in use is the mean of all images. Beside it stand other usual rules, and comparisons that every patient enters with as
many breasts as every other, since means of unequal sets differ in more than the disease (core.metrics.composition):

- one breast of each patient, drawn at random: a malignant patient by any breast of hers;
- the affected breast of each malignant patient against a random breast of each benign one;
- two breasts of everybody: a patient with one is completed by the breast of a random benign patient;
- one image of each patient, or of each breast, drawn at random: also as many images of everybody.

All but the third are not drawn but averaged over all draws there are, the third over a number of them. Such an AUC is the mean
of a kernel over pairs of patients, and has DeLong's variance with that kernel in place of "ranks above" (Obuchowski's for
breasts, of which a patient has two), within the score limits of core.metrics.delong.

Sources: DeLong, DeLong, Clarke-Pearson, Biometrics 1988;44:837. Obuchowski, Biometrics 1997;53:567.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.errors import NotEnoughData
from core.metrics.binormal import design_of
from core.metrics.bootstrap import Patients
from core.metrics.delong import AucParts, auc_interval, interval_of
from core.metrics.intervals import Interval
from core.metrics.levels import at_level, of_breasts
from core.metrics.summary import why_not

DRAWS = 200
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Rule:
    """The AUC by patient under one rule, or why there is none; `balanced`: every patient enters with as many breasts."""

    name: str
    auc: Interval | str
    patients: int
    balanced: bool = False


MEAN = "mean of all images (the rule in use)"
MEAN_OF_BREASTS = "mean of all breasts (the rule in use)"
HIGHEST_BREAST = "highest breast, each the mean of its views"
HIGHEST_IMAGE = "highest image"
ONE_BREAST = "one random breast of each patient"
AFFECTED = "affected breast against a random benign patient's breast"
COMPLETED = "two breasts of everybody, missing ones from random benign patients"
ONE_IMAGE = "one random image of each patient"


def aggregation_rules(
    predictions: pd.DataFrame,
    *,
    confidence: float,
    draws: int = DRAWS,
    seed: int = 0,
    names: Sequence[str] | None = None,
) -> tuple[Rule, ...]:
    """The AUC by patient under each rule, or under those of these `names`; of a model that judges breasts, those of breasts.

    Args:
        predictions: columns patient_id, laterality, view, label, score of one split.
        draws: of COMPLETED. The limits are those of the mean over draws: they do not cover which breasts were drawn.
    """
    patients = at_level(predictions, "patient")
    malignant = (patients["label"] == "malignant").to_numpy()
    of_class = Patients.of(patients["patient_id"]).of_class(malignant)
    no_sides = ""
    try:
        at_level(predictions, "breast")
    except NotEnoughData as error:
        no_sides = str(error)

    def stated(scores: Callable[[], tuple[Array, Array]]) -> Interval | str:
        """Of a kernel's means over the other class, by malignant and by benign patient."""
        why = why_not("auc", of_class)
        if why:
            return why
        try:
            return _interval(*scores(), confidence)
        except NotEnoughData as error:
            return str(error)

    def plain(scores: pd.Series) -> Interval | str:
        """Of one score a patient, as every other AUC has it."""
        values = scores.loc[patients["patient_id"]].to_numpy(dtype=np.float64)
        return why_not("auc", of_class) or auc_interval(malignant, values, confidence=confidence)

    by_patient = predictions.groupby("patient_id", sort=True)["score"]
    found: dict[str, Callable[[], Interval | str]] = {
        MEAN: lambda: plain(by_patient.mean()),
        HIGHEST_IMAGE: lambda: plain(by_patient.max()),
        ONE_IMAGE: lambda: one_image_auc(predictions, "patient", confidence),
    }
    if no_sides:
        found |= dict.fromkeys(_BY_BREAST, lambda: no_sides)
    else:
        found |= _by_breast(predictions, patients, malignant, plain, stated, draws, seed)
    balanced = (ONE_BREAST, AFFECTED, COMPLETED, ONE_IMAGE)
    whole = of_breasts(predictions)
    wanted = [name for name in _ALL if (names is None or name in names) and not (whole and name in _OF_IMAGES)]
    titles = {MEAN: MEAN_OF_BREASTS, HIGHEST_BREAST: "highest breast"} if whole else {}
    return tuple(Rule(titles.get(name, name), found[name](), len(patients), name in balanced) for name in wanted)


_OF_IMAGES = (HIGHEST_IMAGE, ONE_IMAGE)  # no rule where a model judges breasts: its images have no scores
_BY_BREAST = (HIGHEST_BREAST, ONE_BREAST, AFFECTED, COMPLETED)
_ALL = (MEAN, HIGHEST_BREAST, HIGHEST_IMAGE, ONE_BREAST, AFFECTED, COMPLETED, ONE_IMAGE)


def _by_breast(
    predictions: pd.DataFrame,
    patients: pd.DataFrame,
    malignant: NDArray[np.bool_],
    plain: Callable[[pd.Series], Interval | str],
    stated: Callable[[Callable[[], tuple[Array, Array]]], Interval | str],
    draws: int,
    seed: int,
) -> dict[str, Callable[[], Interval | str]]:
    """The rules that need to know sides."""
    breasts = _breasts(predictions)
    own = {str(name): part for name, part in breasts.groupby("patient_id", sort=True)}
    order = patients["patient_id"].astype("str").to_numpy()
    ill = [own[name] for name in order[malignant]]
    well = [own[name] for name in order[~malignant]]

    affected = [part[part["malignant"]] for part in ill]
    return {
        HIGHEST_BREAST: lambda: plain(breasts.groupby("patient_id")["views"].max()),
        ONE_BREAST: lambda: stated(lambda: _means(_Drawn.of(ill), _Drawn.of(well))),
        AFFECTED: lambda: stated(lambda: _means(_Drawn.of(affected), _Drawn.of(well))),
        COMPLETED: lambda: stated(lambda: _completed(ill, well, draws, seed)),
    }


def one_image_auc(predictions: pd.DataFrame, level: Literal["breast", "patient"], confidence: float) -> Interval | str:
    """The AUC when each breast or patient enters with one of its images, drawn at random: the mean over all draws there are.

    A breast or patient is malignant when any of its images is. Breasts of one patient count as hers, as in any other AUC.

    Args:
        predictions: columns patient_id, laterality, label, score of one split.

    Returns: the AUC, or why there is none.
    """
    try:
        units = at_level(predictions, level)
    except NotEnoughData as error:
        return str(error)
    keys = ["patient_id", "laterality"] if level == "breast" else ["patient_id"]
    malignant, groups = (units["label"] == "malignant").to_numpy(), units["patient_id"].to_numpy()
    if why := why_not("auc", Patients.of(groups).of_class(malignant)):
        return why
    parts = [part for _, part in predictions.groupby(keys, sort=True)]
    ill, well = ([part for part, chosen in zip(parts, rows, strict=True) if chosen] for rows in (malignant, ~malignant))
    above, below = _means(_Drawn.of(ill), _Drawn.of(well))
    if level == "patient":
        groups = np.arange(len(units))
    ordered = np.concatenate([np.flatnonzero(malignant), np.flatnonzero(~malignant)])
    try:
        return _interval(above, below, confidence, groups[ordered], units["score"].to_numpy(np.float64)[ordered])
    except NotEnoughData as error:
        return str(error)


def _breasts(predictions: pd.DataFrame) -> pd.DataFrame:
    """One row a breast: patient_id, laterality, malignant, score (mean of images) and views (mean of the means of views)."""
    frame = predictions.assign(malignant=predictions["label"] == "malignant")
    views = frame.groupby(["patient_id", "laterality", "view"], sort=True)["score"].mean()
    table = frame.groupby(["patient_id", "laterality"], sort=True).agg(
        malignant=("malignant", "any"), score=("score", "mean"), images=("score", "size")
    )
    return table.assign(views=views.groupby(level=[0, 1], sort=True).mean()).reset_index()


@dataclass(frozen=True)
class _Drawn:
    """Scores that may be drawn for each patient: `owner` (k,) is the patient, from 0, of each of `score` (k,)."""

    score: Array
    owner: NDArray[np.int64]

    @classmethod
    def of(cls, parts: list[pd.DataFrame]) -> _Drawn:
        sizes = [len(part) for part in parts]
        return cls(
            np.concatenate([part["score"].to_numpy(np.float64) for part in parts]), np.repeat(np.arange(len(parts)), sizes)
        )

    @classmethod
    def one_each(cls, scores: Array) -> _Drawn:
        return cls(scores, np.arange(scores.size))

    @property
    def weight(self) -> Array:
        """How likely each score is drawn for its patient."""
        return 1 / np.bincount(self.owner)[self.owner]


def _means(ill: _Drawn, well: _Drawn) -> tuple[Array, Array]:
    """For each malignant patient the mean of the kernel over all benign ones, and the other way; the kernel of a pair is the
    share of their draws in which the malignant one ranks above, ties as half.
    """
    above, below = _below(ill.score, well), 1 - _below(well.score, ill)
    return (
        np.bincount(ill.owner, weights=above * ill.weight).astype(np.float64),
        np.bincount(well.owner, weights=below * well.weight).astype(np.float64),
    )


def _below(values: Array, others: _Drawn) -> Array:
    """For each value the share of the others' draws below it, ties as half."""
    weight = others.weight / (others.owner.max() + 1)
    order = np.argsort(others.score, kind="stable")
    total = np.concatenate(([0.0], np.cumsum(weight[order])))
    ranked = others.score[order]
    left, right = np.searchsorted(ranked, values, side="left"), np.searchsorted(ranked, values, side="right")
    return np.asarray((total[left] + total[right]) / 2)


def _completed(ill: list[pd.DataFrame], well: list[pd.DataFrame], draws: int, seed: int) -> tuple[Array, Array]:
    """Means over draws in which a patient with one breast gets a random one of a random benign patient, never her own."""
    if len(well) < 2:
        raise NotEnoughData("Expected two benign patients to complete breasts from, got fewer.")
    generator = np.random.default_rng(seed)
    donors = pd.concat(well, ignore_index=True)
    sizes = np.array([len(part) for part in well])
    starts, sums, counts = (
        np.cumsum(sizes) - sizes,
        (donors["score"] * donors["images"]).to_numpy(),
        donors["images"].to_numpy(),
    )

    def own(parts: list[pd.DataFrame]) -> tuple[Array, Array, NDArray[np.bool_]]:
        found = [((part["score"] * part["images"]).sum(), part["images"].sum(), len(part) == 1) for part in parts]
        one, two, three = zip(*found, strict=True)
        return np.array(one, np.float64), np.array(two, np.float64), np.array(three, np.bool_)

    def drawn(total: Array, images: Array, single: NDArray[np.bool_], *, benign: bool) -> _Drawn:
        chosen = generator.integers(len(well) - benign, size=total.size)
        chosen += benign & (chosen >= np.arange(total.size))  # any but herself
        breast = starts[chosen] + generator.integers(sizes[chosen])
        return _Drawn.one_each((total + single * sums[breast]) / (images + single * counts[breast]))

    first, second = np.zeros(len(ill)), np.zeros(len(well))
    of_ill, of_well = own(ill), own(well)
    for _ in range(draws):
        above, below = _means(drawn(*of_ill, benign=False), drawn(*of_well, benign=True))
        first, second = first + above / draws, second + below / draws
    return first, second


def _interval(
    malignant: Array, benign: Array, confidence: float, groups: NDArray[Any] | None = None, scores: Array | None = None
) -> Interval:
    """Of the mean kernel, from its means by unit, the malignant units first.

    Args:
        groups: patient of each unit, in that order; None: each unit is a patient of its own.
        scores: of the units, for how alike those of one patient are; None: no ties, as means over draws hardly have any.
    """
    area = float(malignant.mean())
    count = malignant.size + benign.size
    labels = np.arange(count) < malignant.size
    patients = Patients.of(np.arange(count) if groups is None else groups)
    moved = np.concatenate([(malignant - area) / malignant.size, (benign - area) / benign.size])
    first, second = (
        np.bincount(patients.index, weights=np.where(rows, moved, 0.0), minlength=patients.count).astype(np.float64)
        for rows in (labels, ~labels)
    )
    opponents = np.where(labels, benign.size, malignant.size).astype(np.float64)
    ranked = np.arange(count, dtype=np.float64) if scores is None else scores
    design = design_of(labels, ranked, patients, np.zeros(count, np.int64), opponents)
    with_malignant, with_benign = (int(np.unique(patients.index[rows]).size) for rows in (labels, ~labels))
    parts = AucParts(area, first, second, with_malignant, with_benign, malignant.size * benign.size, design)
    return interval_of(parts, count, confidence)
