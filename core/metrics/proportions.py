"""Proportions of images that come in patients: Wilson's interval with as many images as the patients are worth.

Images of one patient resemble each other, so 400 images of 100 patients tell less than 400 patients would. The variance
between patients says how much less (the design effect); Wilson's interval then takes the effective number of images.
Unlike percentiles of a bootstrap it does not shrink to nothing near 0 and 1.

Sources: Wilson, J Am Stat Assoc 1927;22:209. Rao, Scott, Biometrics 1992;48:577 (effective sample size).
Korn, Graubard, Surv Methodol 1998;24:193 (few clusters: t instead of z). Differences: Newcombe, Stat Med 1998;17:873 and
17:2635 (from the two Wilson intervals, with their correlation). McNemar, Psychometrika 1947;12:153. Limits that agree with
its exact test: Fay, Lumbard, Stat Med 2021;40:1147 (one row a patient; here whole patients move, as in the test).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv, ndtri, stdtrit
from scipy.stats import binom

from core.errors import NotEnoughData
from core.metrics.bootstrap import Patients
from core.metrics.intervals import Interval, square_and_add, wilson

# Places where chances and shares are looked up for the limits of a paired difference; odd, so that a half is one of them.
_CHANCES, _SHARES, _HALVINGS = 513, 1000, 40


def clustered_wilson(hits: ArrayLike, groups: ArrayLike, *, confidence: float) -> Interval:
    """The share of True among `hits` (n,), with rows of one patient of `groups` (n,) counted as what they are worth.

    With one row a patient and many patients it is Wilson's interval. A share of 0 or 1 counts every patient once.

    Raises:
        NotEnoughData: no row, or lengths that differ.
    """
    rows = np.asarray(hits, dtype=np.bool_)
    names = np.asarray(groups)
    if rows.ndim != 1 or rows.shape != names.shape or not rows.size:
        raise NotEnoughData(f"Expected at least one row with its patient, got {rows.shape} rows and {names.shape} patients.")
    patients = Patients.of(names)
    share = float(rows.mean())
    worth = effective_rows(rows, patients, confidence)
    return wilson(share * worth, worth, confidence)


def effective_rows(hits: NDArray[np.bool_], patients: Patients, confidence: float) -> float:
    """How many independent rows these rows are worth: between 1 and their number."""
    n, share = hits.size, float(hits.mean())
    if patients.count < 2 or share in (0.0, 1.0):
        return float(patients.count)
    residual = np.bincount(patients.index, weights=hits - share, minlength=patients.count)
    clustered = patients.count / (patients.count - 1) * float(residual @ residual) / n**2
    independent = share * (1 - share) / n
    worth = n * min(1.0, independent / clustered) if clustered > 0 else float(n)
    tail = 0.5 + confidence / 2
    student = float(stdtrit(patients.count - 1, tail))
    # At a confidence of nearly 0 both quantiles vanish, and the limits are the share itself whatever the rows are worth.
    few = (float(ndtri(tail)) / student) ** 2 if student > 0 else 1.0
    return max(1.0, worth * few)


@dataclass(frozen=True)
class ShareDifference:
    """Two shares and `difference`, the second minus the first, with its two-sided `p` (None where it cannot be computed)."""

    first: Interval
    second: Interval
    difference: Interval
    p: float | None


@dataclass(frozen=True)
class PairedShares(ShareDifference):
    """The same rows judged twice: `gained` hit only the second time, `lost` only the first."""

    gained: int = 0
    lost: int = 0


def share_difference(
    first: ArrayLike, first_groups: ArrayLike, second: ArrayLike, second_groups: ArrayLike, *, confidence: float
) -> ShareDifference:
    """The share of True among `second` less that among `first`, whose rows (n,) and (m,) may share patients.

    Newcombe's limits from the two clustered Wilson intervals; `p` is 1 - the confidence at which they touch 0, None where a
    side has a single patient.

    Raises:
        NotEnoughData: a side has no row.
    """
    limits, fewest = _limits_of_difference(first, first_groups, second, second_groups)
    before, after, difference = limits(confidence)
    p = None
    if fewest > 1:
        value = difference.value

        def beyond_zero(at: float) -> bool:
            found = limits(at)[2]
            return (found.low if value > 0 else -found.high) > 0

        low, high = 0.0, 1.0 - 1e-12
        if value == 0:
            high = 0.0
        elif not beyond_zero(high):
            for _ in range(_HALVINGS):
                middle = (low + high) / 2
                low, high = (middle, high) if beyond_zero(middle) else (low, middle)
        p = 1 - high
    return ShareDifference(before, after, difference, p)


def _limits_of_difference(
    first: ArrayLike, first_groups: ArrayLike, second: ArrayLike, second_groups: ArrayLike
) -> tuple[Callable[[float], tuple[Interval, Interval, Interval]], int]:
    """What gives both shares and their difference at a confidence, and how many patients the smaller side has."""
    one, two = np.asarray(first, dtype=np.bool_), np.asarray(second, dtype=np.bool_)
    patients = Patients.of(np.concatenate((np.asarray(first_groups), np.asarray(second_groups))))
    index_one, index_two = patients.index[: one.size], patients.index[one.size :]
    if not (one.size and two.size):
        raise NotEnoughData(f"Expected at least one row on each side, got {one.size} and {two.size}.")

    def moved(hits: NDArray[np.bool_], index: NDArray[np.int64]) -> NDArray[np.float64]:
        """What each patient moves the share by."""
        return np.bincount(index, weights=(hits - hits.mean()) / index.size, minlength=patients.count).astype(np.float64)

    correlation = _correlation(moved(one, index_one), moved(two, index_two))

    def limits(confidence: float) -> tuple[Interval, Interval, Interval]:
        before = clustered_wilson(one, index_one, confidence=confidence)
        after = clustered_wilson(two, index_two, confidence=confidence)
        return before, after, square_and_add(before, after, correlation)

    return limits, min(np.unique(index_one).size, np.unique(index_two).size)


def paired_shares(first: ArrayLike, second: ArrayLike, groups: ArrayLike, *, confidence: float) -> PairedShares:
    """As `share_difference` for the same rows judged twice, such as the malignant images by two models' decisions.

    `p` is exact: were both as good, each patient's difference would be as likely the other way round. With one row a
    patient that is McNemar's exact test. `difference` has limits that agree with it: they leave out 0 where p is below
    1 - `confidence`, and only there.
    """
    one, two = np.asarray(first, dtype=np.bool_), np.asarray(second, dtype=np.bool_)
    first_share, second_share, found = _limits_of_difference(one, groups, two, groups)[0](confidence)
    patients = Patients.of(groups)
    moved = np.bincount(patients.index, weights=two.astype(np.float64) - one, minlength=patients.count).astype(np.int64)
    gained, lost = int(np.count_nonzero(two & ~one)), int(np.count_nonzero(one & ~two))
    tail = (1 - confidence) / 2
    low, high = _lower_limit(moved, patients, tail, confidence), -_lower_limit(-moved, patients, tail, confidence)
    value = found.value
    difference = Interval(value, min(low, value), max(high, value), "exact")
    return PairedShares(first_share, second_share, difference, _sign_flips(moved), gained, lost)


def _lower_limit(moved: NDArray[np.int64], patients: Patients, tail: float, confidence: float) -> float:
    """The lower limit of `moved`, whole rows by patient, as a share of all rows (Fay and Lumbard's melded limit).

    The difference is (2 * chance - 1) * changed: the chance that a patient's change is one for the better, and the share of
    rows that changed. The first is as uncertain as the sign-flip test says, the second as Clopper and Pearson say of as many
    rows as the patients are worth; the limit is the `tail` quantile of their product.
    """
    steps = np.abs(moved)
    chances = np.linspace(0, 1, _CHANCES)
    known = _at_least(moved, chances)
    owner = np.sort(patients.index)
    changed = np.arange(owner.size) - np.searchsorted(owner, owner) < steps[owner]  # as many of a patient's as moved
    share = float(changed.mean())
    worth = effective_rows(changed, Patients(owner, patients.count), confidence)
    levels = (np.arange(_SHARES) + 0.5) / _SHARES
    few = betaincinv(share * worth, (1 - share) * worth + 1, levels) if share > 0 else np.full(_SHARES, 1e-12)
    many = betaincinv(share * worth + 1, (1 - share) * worth, levels) if share < 1 else np.ones(_SHARES)

    def below(limit: float) -> float:
        """How sure it is that the difference is at most `limit`."""
        chance = (1 + limit / (few if limit >= 0 else many)) / 2
        return float(np.interp(chance, chances, known, left=0.0, right=1.0).mean())

    low, high = -1.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if below(middle) > tail else (middle, high)
    return low


def _at_least(moved: NDArray[np.int64], chances: NDArray[np.float64]) -> NDArray[np.float64]:
    """How likely the sum is at least that of `moved` where each number is positive with each of the `chances` (k,): (k,)."""
    steps = np.abs(moved[moved != 0])
    reach = int(steps.sum())
    spectrum = np.ones((chances.size, reach + 1), dtype=np.complex128)
    for size, count in zip(*np.unique(steps, return_counts=True), strict=True):
        of_size = np.zeros((chances.size, reach + 1))  # of each sum of the positive ones
        of_size[:, : size * count + 1 : size] = binom.pmf(np.arange(count + 1), count, chances[:, None])
        spectrum *= np.fft.fft(of_size, axis=1)
    chance = np.fft.ifft(spectrum, axis=1).real
    # Rounding must not make it fall.
    return np.maximum.accumulate(np.clip(chance[:, int(moved[moved > 0].sum()) :].sum(axis=1), 0.0, 1.0))


def _correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Of two shares, from what each patient moves them by; 0 where one does not vary."""
    spread = math.sqrt(float(first @ first) * float(second @ second))
    return float(first @ second) / spread if spread > 0 else 0.0


def _sign_flips(moved: NDArray[np.int64]) -> float:
    """How often the sum of these whole numbers, each with either sign, is at least as far from 0 as it is; exact."""
    steps = np.abs(moved[moved != 0])
    reach = int(steps.sum())
    chance = np.zeros(2 * reach + 1)  # of each sum from -reach to reach
    chance[reach] = 1.0
    for step in steps.tolist():
        chance = (np.roll(chance, step) + np.roll(chance, -step)) / 2  # nothing wraps around: the ends are reached last
    far = np.abs(np.arange(-reach, reach + 1)) >= abs(int(moved.sum()))
    return min(1.0, float(chance[far].sum()))
