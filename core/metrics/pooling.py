"""One AUC from several sets of patients, such as sites left out one by one, and how much they differ beyond chance.

Random effects on the logit scale: the sites' true AUCs vary about a mean. The mean's interval says how well it is known, the
prediction interval where the AUC of a new site would lie; with few sites it is wide, and rightly so.

Sources: DerSimonian, Laird, Control Clin Trials 1986;7:177. Hartung, Knapp, Stat Med 2001;20:3875. Prediction interval:
Higgins, Thompson, Spiegelhalter, J R Stat Soc A 2009;172:137. AUCs on the logit scale: Debray et al., BMJ 2017;356:i6460.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit, ndtri, stdtrit

from core.errors import NotEnoughData
from core.metrics.intervals import Interval

_EDGE = 1e-4


@dataclass(frozen=True)
class PooledAuc:
    """`mean` over sites, `prediction` for a new one, `between` the standard deviation between sites on the logit scale, `i2`
    the share of the spread that is not chance, in [0, 1]."""

    mean: Interval
    prediction: Interval
    between: float
    i2: float
    sites: int


def pooled_auc(areas: Sequence[Interval], *, confidence: float) -> PooledAuc:
    """Pool AUCs whose intervals are of `confidence`, of different patients.

    Raises:
        NotEnoughData: fewer than three; with two nothing can be said about others.
    """
    if len(areas) < 3:
        raise NotEnoughData(f"Pooling: expected the AUCs of at least three sites, got {len(areas)}.")
    table = np.clip([[area.value, area.low, area.high] for area in areas], _EDGE, 1 - _EDGE)
    effects, low, high = logit(table).T
    variances = ((high - low) / (2 * float(ndtri(0.5 + confidence / 2)))) ** 2
    weights, free = 1 / variances, len(areas) - 1
    fixed = float(weights @ effects / weights.sum())
    q = float(weights @ (effects - fixed) ** 2)
    between = max(0.0, (q - free) / float(weights.sum() - weights @ weights / weights.sum()))
    weights = 1 / (variances + between)
    mean = float(weights @ effects / weights.sum())
    # Hartung and Knapp's variance, not below the usual one: with sites that agree by chance it would be too small.
    scale = max(1.0, float(weights @ (effects - mean) ** 2) / free)
    error = math.sqrt(scale / float(weights.sum()))
    half = float(stdtrit(free, 0.5 + confidence / 2)) * error
    wide = float(stdtrit(free - 1, 0.5 + confidence / 2)) * math.sqrt(between + error**2)

    def interval(reach: float) -> Interval:
        return Interval(float(expit(mean)), float(expit(mean - reach)), float(expit(mean + reach)), "score")

    i2 = max(0.0, (q - free) / q) if q > 0 else 0.0
    return PooledAuc(interval(half), interval(wide), math.sqrt(between), i2, len(areas))
