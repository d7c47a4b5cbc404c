"""Whether a score of 0.3 means that three in ten are malignant, and how to make it so.

A calibration is fitted on validation and only there, kept as plain numbers in model.json, and applied to every later score.
Temperature and logistic calibration keep the order of the scores, so ROC and AUC stay; isotonic calibration makes steps, so
scores may tie and a threshold must be chosen again on calibrated validation scores.

Sources: temperature: Guo et al., ICML 2017. Logistic: Platt, Advances in Large Margin Classifiers, 1999; Cox, Biometrika
1958;45:562. Isotonic: Zadrozny, Elkan, KDD 2002. ECE: Naeini et al., AAAI 2015. Slope and intercept: Van Calster et al.,
BMC Med 2019;17:230.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import GetCoreSchemaHandler, SerializerFunctionWrapHandler, model_serializer, model_validator
from pydantic_core import CoreSchema, core_schema
from scipy.special import expit, logit, stdtr, stdtrit

from core.errors import NotEnoughData
from core.metrics.bootstrap import Patients, percentiles, resamples
from core.metrics.checks import Labels, Scores, checked
from core.metrics.curves import brier
from core.metrics.intervals import Estimate, Interval, wilson
from core.metrics.proportions import effective_rows

CalibrationMethod = Literal["none", "temperature", "logistic", "isotonic"]
# Scores are stored with six decimals: 0 and 1 stand for anything closer than this.
_EDGE = 1e-6
_MAX_SLOPE = 100.0
_MAX_INTERCEPT = 2000.0  # at the largest slope, where a score of 1e-6 or of 1 - 1e-6 lies in the middle


@dataclass(frozen=True)
class Calibration:
    """A map of scores to probabilities.

    "temperature" and "logistic" give expit(slope · logit(score) + intercept); the temperature is 1 / slope, its intercept 0.
    "isotonic" goes straight between the points (`x`, `y`), flat outside. "none" changes nothing. `rows` says how many
    validation images it was fitted on.
    """

    method: CalibrationMethod = "none"
    slope: float = 1.0
    intercept: float = 0.0
    x: tuple[float, ...] = ()
    y: tuple[float, ...] = ()
    rows: int = 0

    @property
    def temperature(self) -> float:
        """Above 1 the scores were too sure of themselves, below 1 too timid."""
        return 1 / self.slope

    def apply(self, s: ArrayLike) -> Scores:
        """Calibrated scores, float64, of the same shape; scores in [0, 1] stay there."""
        scores = np.asarray(s, dtype=np.float64)
        if self.method == "none":
            return scores.copy()
        if self.method == "isotonic":
            return np.interp(scores, self.x, self.y)
        return np.asarray(expit(self.slope * _logits(scores) + self.intercept))

    @model_validator(mode="after")
    def _rising(self) -> Self:
        """Of a file's: raises ValueError for a map that would turn scores round, or leave 0 to 1."""
        numbers = np.array([self.slope, self.intercept, *self.x, *self.y])
        rising = len(self.x) == len(self.y) and bool((np.diff(self.x) > 0).all() and (np.diff(self.y) >= 0).all())
        if (
            not np.isfinite(numbers).all()
            or not 0 < self.slope <= _MAX_SLOPE
            or abs(self.intercept) > _MAX_INTERCEPT
            or not all(0 <= value <= 1 for value in (*self.x, *self.y))
            or not rising
            or (self.method == "isotonic") != bool(self.x)
        ):
            raise ValueError(f"expected a rising map of scores to 0..1, got {repr(self)[:200]}. Fit it again on validation.")
        return self

    @model_serializer(mode="wrap")
    def _own_numbers(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        others = ("slope", "intercept") if self.method == "isotonic" else ("x", "y")
        return {name: value for name, value in plain(self).items() if name not in others}


def fit_calibration(y: ArrayLike, s: ArrayLike, method: CalibrationMethod) -> Calibration:
    """Fit on validation labels (n,) and scores (n,) in [0, 1].

    Raises:
        NotEnoughData: one class only, NaN scores, or scores that do not rise with malignancy.
    """
    labels, scores = checked(y, s, both_classes=True)
    if method == "none":
        return Calibration(rows=labels.size)
    if method == "isotonic":
        from sklearn.isotonic import IsotonicRegression

        fitted = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(scores, labels.astype(np.float64))
        x, values = fitted.X_thresholds_.tolist(), fitted.y_thresholds_.tolist()
        return Calibration("isotonic", x=tuple(x), y=tuple(values), rows=labels.size)
    logits = _logits(scores)
    design = logits[:, None] if method == "temperature" else np.column_stack((logits, np.ones_like(logits)))
    fit = _logistic(design, labels, np.zeros(labels.size))
    slope = float(fit[0])
    if slope <= 0:
        raise NotEnoughData(
            "scores do not rise with malignancy on the images that the calibration was to be fitted on (slope "
            f"{slope:.2f}): train longer, or on more images"
        )
    intercept = float(fit[1]) if method == "logistic" else 0.0
    return Calibration(method, min(slope, _MAX_SLOPE), intercept, rows=labels.size)


@dataclass(frozen=True)
class _StoredArray:
    """In `Annotated[NDArray, _StoredArray(dtype)]`: a list of numbers in JSON."""

    dtype: type[np.generic]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(
            lambda numbers: np.array(numbers, dtype=self.dtype),
            handler.generate_schema(list[int] if self.dtype is np.int64 else list[float]),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda array: array.tolist()),
        )


_Stored = Annotated[Scores, _StoredArray(np.float64)]


@dataclass(frozen=True)
class Reliability:
    """A reliability diagram: one value a bin that has images, each (k,).

    `observed` is the share of malignant images with limits `low` and `high` (Wilson, for what the patients are worth),
    `score` the mean score; `edges` (bins + 1,) are those of all bins. `ece` is the mean distance, weighted by images.
    """

    score: _Stored
    observed: _Stored
    low: _Stored
    high: _Stored
    count: Annotated[NDArray[np.int64], _StoredArray(np.int64)]
    edges: _Stored
    ece: float
    confidence: float


def reliability(
    y: ArrayLike,
    s: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    bins: int = 10,
    confidence: float,
) -> Reliability:
    """Observed share of malignant by score, in bins of as many images.

    Raises:
        NotEnoughData: nothing to score, NaN scores, or scores outside [0, 1].
    """
    labels, scores = checked(y, s)
    _require_probabilities(scores)
    patients = np.arange(labels.size) if groups is None else np.asarray(groups)
    edges, index = _binned(scores, bins)
    rows = []
    for number in np.unique(index):
        inside = index == number
        worth = effective_rows(labels[inside], Patients.of(patients[inside]), confidence)
        share = float(labels[inside].mean())
        limits = wilson(share * worth, worth, confidence)
        rows.append((scores[inside].mean(), share, limits.low, limits.high, np.count_nonzero(inside)))
    score, observed, low, high, count = np.array(rows, dtype=np.float64).T
    ece = float(np.abs(observed - score) @ count / labels.size)
    return Reliability(score, observed, low, high, count.astype(np.int64), edges, ece, confidence)


_EARLIER = "not computed by the version that made this evaluation: evaluate the split again"


@dataclass(frozen=True)
class CalibrationSummary:
    """`brier` and `ece` in [0, 1], lower is better; `slope` is 1 and `intercept` 0 for calibrated scores.

    `level` says what one row is: an image, a breast or a patient. `reference` is the Brier score of predicting the share of
    malignant for every row, and `scaled_brier` 1 - brier / reference: 1 is perfect, 0 knows nothing, below 0 is worse still.
    `observed_expected` is how many malignant rows there are for each that the scores expect.

    An ECE has no interval: none held its level in simulations, since chance alone moves bins off the diagonal. `chance` is the
    ECE that as many patients of a perfectly calibrated model would show on average, and `beyond_chance` whether this one lies
    above what 97.5 % (at a confidence of 95 %) of such models would show.
    A slope below 1 means scores too extreme, an intercept below 0 scores too high on the whole (in log odds, at slope 1).
    Both are notes where the scores separate the classes, which leaves no finite slope, and where so many scores are 0 or 1 (as
    isotonic steps are) that it matters where their infinite log odds are cut off.
    """

    brier: Interval
    ece: Interval
    chance: float
    slope: Estimate
    intercept: Estimate
    beyond_chance: bool | None = None
    reference: float | None = None
    scaled_brier: Estimate = _EARLIER
    observed_expected: Estimate = _EARLIER
    level: str = "image"

    def __post_init__(self) -> None:
        if self.beyond_chance is None:  # an earlier version said it by the lower limit of the ECE
            object.__setattr__(self, "beyond_chance", self.ece.low > 0)

    @property
    def worse_than_prevalence(self) -> bool:
        """Whether predicting the share of malignant for every row would have been at least as good, by the Brier score."""
        return self.reference is not None and self.brier.value >= self.reference


def calibration_summary(
    y: ArrayLike,
    s: ArrayLike,
    groups: ArrayLike,
    *,
    bins: int = 10,
    samples: int = 2000,
    confidence: float,
    seed: int = 0,
    level: str = "image",
) -> CalibrationSummary:
    """Metrics of calibration with intervals over the patients in `groups`; a row is a `level`.

    What ECE chance gives follows from the resamples' distances from the data's own gaps. Bins stay fixed.

    Raises:
        NotEnoughData: one class only, NaN scores, or scores outside [0, 1].
    """
    labels, scores = checked(y, s, both_classes=True)
    _require_probabilities(scores)
    patients = Patients.of(groups)
    _, index = _binned(scores, bins)
    gap = np.zeros((labels.size, bins))
    gap[np.arange(labels.size), index] = labels - scores
    per_patient = patients.sums(np.column_stack((gap, labels, scores, (labels - scores) ** 2, np.ones(labels.size))))
    drawn = np.concatenate([counts @ per_patient for counts in resamples(patients.count, samples, seed)])
    # A bin's weight times its distance is the distance of its sums: no division, no empty bins.
    malignant, expected, squares, rows = drawn[:, bins:].T
    briers, shares = squares / rows, malignant / rows
    tail = (1 - confidence) / 2
    ece = float(np.abs(gap.sum(axis=0)).sum() / labels.size)
    by_chance = np.abs(drawn[:, :bins] - gap.sum(axis=0)).sum(axis=1) / drawn[:, -1]
    value, share = brier(labels, scores), float(labels.mean())
    reference = share * (1 - share)

    def limited(at: float, drawn: Scores) -> Interval:
        low, high = map(float, percentiles(drawn[np.isfinite(drawn)], confidence))
        if low == high:  # every resample gives the same: it cannot tell what was not seen
            return Interval(at, at, at, "none")
        return Interval(at, min(low, at), max(high, at))

    with np.errstate(divide="ignore", invalid="ignore"):  # a resample may lack a class
        scaled, ratio = 1 - briers / (shares * (1 - shares)), malignant / expected
    slope, intercept = _slope_and_intercept(labels, scores, patients, confidence)
    return CalibrationSummary(
        brier=limited(value, briers),
        ece=Interval(ece, ece, ece, "none"),
        chance=float(by_chance.mean()),
        slope=slope,
        intercept=intercept,
        beyond_chance=bool(ece > np.quantile(by_chance, 1 - tail)),
        reference=reference,
        scaled_brier=limited(1 - value / reference, scaled),
        observed_expected=limited(float(labels.sum() / scores.sum()), ratio)
        if scores.any()
        else "no malignant row is expected",
        level=level,
    )


def _slope_and_intercept(
    labels: Labels, scores: Scores, patients: Patients, confidence: float
) -> tuple[Interval | str, Interval | str]:
    logits, ones = _logits(scores), np.ones((labels.size, 1))
    malignant, benign = logits[labels], logits[~labels]
    slope: Interval | str
    if malignant.min() >= benign.max() or malignant.max() <= benign.min():
        slope = "undefined: the scores separate the classes completely, or are all the same"
    else:
        design = np.column_stack((logits, ones))
        slope = clustered_logistic(design, labels, patients, confidence)[0]
        ends = int(np.count_nonzero((scores < _EDGE) | (scores > 1 - _EDGE)))
        if ends:
            # Their log odds are infinite; when it matters where they are cut off, the slope is that choice and no metric.
            reach = float(logit(1 - 10 * _EDGE))
            nearer = np.clip(logits, -reach, reach)
            other = float(_logistic(np.column_stack((nearer, ones)), labels, np.zeros(labels.size))[0])
            if abs(other - slope.value) > 0.01 * abs(slope.value):
                why = (
                    f"not reported: {ends} of {labels.size} scores are 0 or 1, and where their log odds are cut off decides it"
                )
                return why, why
    return slope, clustered_logistic(ones, labels, patients, confidence, logits)[0]


def clustered_logistic(
    design: Scores, labels: Labels, patients: Patients, confidence: float, offset: Scores | None = None
) -> tuple[Interval, float]:
    """The first coefficient of a logistic regression with limits from the cluster-robust variance, and its two-sided p.

    `design` (n, k) has to hold its own constant; `offset` (n,) is added to the log odds. Limits take t with one degree of
    freedom less than patients. Source: Liang, Zeger, Biometrika 1986;73:13.
    """
    offset = np.zeros(labels.size) if offset is None else offset
    beta = _logistic(design, labels, offset)
    p = expit(design @ beta + offset)
    bread = np.linalg.pinv((design * (p * (1 - p))[:, None]).T @ design)
    scores = patients.sums(design * (labels - p)[:, None])
    few = patients.count / max(1, patients.count - 1)
    error = math.sqrt(max(0.0, float((bread @ (few * scores.T @ scores) @ bread)[0, 0])))
    freedom = max(1, patients.count - 1)
    half = float(stdtrit(freedom, 0.5 + confidence / 2)) * error
    value = float(beta[0])
    p = float(2 * stdtr(freedom, -abs(value) / error)) if error > 0 else float(value == 0)
    return Interval(value, value - half, value + half, "sandwich"), p


def _logistic(design: Scores, labels: Labels, offset: Scores) -> Scores:
    """Maximum likelihood of a logistic regression by Newton's steps, halved until the likelihood rises."""

    def loss(beta: Scores) -> float:
        eta = design @ beta + offset
        return float(np.logaddexp(0, np.where(labels, -eta, eta)).sum())

    beta = np.zeros(design.shape[1])
    best = loss(beta)
    for _ in range(100):
        p = expit(design @ beta + offset)
        gradient = design.T @ (labels - p)
        hessian = (design * (p * (1 - p))[:, None]).T @ design
        step = np.linalg.lstsq(hessian, gradient, rcond=None)[0]
        while (now := loss(beta + step)) > best and np.abs(step).max() > 1e-12:
            step = step / 2
        if now > best or np.abs(step).max() < 1e-10 or np.abs(beta).max() > 2 * _MAX_SLOPE:
            break
        beta, best = beta + step, now
    return beta


def _binned(scores: Scores, bins: int) -> tuple[Scores, NDArray[np.int64]]:
    """Edges (bins + 1,) and the bin of each score; a score on an inner edge belongs to the bin below, as in scikit-learn."""
    edges = np.percentile(scores, np.linspace(0.0, 1.0, bins + 1) * 100)
    return edges, np.searchsorted(edges[1:-1], scores).astype(np.int64)


def _logits(scores: Scores) -> Scores:
    return np.asarray(logit(np.clip(scores, _EDGE, 1 - _EDGE)))


def _require_probabilities(scores: Scores) -> None:
    if scores.min() < 0 or scores.max() > 1:
        raise NotEnoughData(f"Calibration: expected scores in [0, 1], got {scores.min():.3g} to {scores.max():.3g}.")
