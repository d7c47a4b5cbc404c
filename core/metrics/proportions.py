"""Proportions of images that come in patients: Wilson's interval with as many images as the patients are worth.

Images of one patient resemble each other, so 400 images of 100 patients tell less than 400 patients would. The variance
between patients says how much less (the design effect); Wilson's interval then takes the effective number of images.
Unlike percentiles of a bootstrap it does not shrink to nothing near 0 and 1.

Sources: Wilson, J Am Stat Assoc 1927;22:209. Rao, Scott, Biometrics 1992;48:577 (effective sample size).
Korn, Graubard, Surv Methodol 1998;24:193 (few clusters: t instead of z).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, stdtrit

from core.errors import NotEnoughData
from core.metrics.bootstrap import Patients
from core.metrics.intervals import Interval, wilson


def clustered_wilson(hits: ArrayLike, groups: ArrayLike, *, confidence: float = 0.95) -> Interval:
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


def effective_rows(hits: NDArray[np.bool_], patients: Patients, confidence: float = 0.95) -> float:
    """How many independent rows these rows are worth: between 1 and their number."""
    n, share = hits.size, float(hits.mean())
    if patients.count < 2 or share in (0.0, 1.0):
        return float(patients.count)
    residual = np.bincount(patients.index, weights=hits - share, minlength=patients.count)
    clustered = patients.count / (patients.count - 1) * float(residual @ residual) / n**2
    independent = share * (1 - share) / n
    worth = n * min(1.0, independent / clustered) if clustered > 0 else float(n)
    tail = 0.5 + confidence / 2
    few = float(ndtri(tail) / stdtrit(patients.count - 1, tail)) ** 2
    return max(1.0, worth * few)
