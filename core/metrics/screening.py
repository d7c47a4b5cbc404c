"""What an operating point would mean where disease is as rare as in screening: PPV, NPV, recalls and cancers per 1,000.

Sensitivity and specificity come from the data, the prevalence from whoever moves the slider. Both carry over only if the people
screened resemble the patients behind the data in all but how many are ill.

Intervals: 2,000 pairs of a sensitivity and a specificity are drawn, each from Jeffreys' posterior for as many images as its
patients are worth (the same effective number as behind their own Wilson intervals), and carried through the formulas. Unlike
resampled patients they still vary where all or none of the malignant were found.

Sources: Altman, Bland, BMJ 1994;309:102. Brown, Cai, DasGupta, Stat Sci 2001;16:101 (Jeffreys).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.metrics.bootstrap import Patients
from core.metrics.checks import Scores, checked
from core.metrics.intervals import Interval
from core.metrics.proportions import clustered_wilson, effective_rows


@dataclass(frozen=True)
class Screening:
    """What happens to 1,000 people at `prevalence`; `ppv` and `npv` in [0, 1], the others are people per 1,000.

    `given`: the prevalence was given and has no interval of its own; the metrics' intervals hold it fixed. Otherwise it is that
    of the set itself, and the intervals are those of the set's own shares.
    """

    prevalence: float
    ppv: Interval
    npv: Interval
    recalled: Interval
    found: Interval
    missed: Interval
    false_alarms: Interval
    given: bool = True


@dataclass(frozen=True)
class OperatingPoint:
    """Sensitivity and specificity of one set of decisions, with draws (k,) of both that say how well they are known.

    Made once a threshold; `at` is then instant for any prevalence. `own` is what happened in the set itself: its PPV is the
    precision of `summarize`, with the same interval. Limits at a given prevalence that happens to be the set's own would be
    narrower, for they take it as known.
    """

    sensitivity: Interval
    specificity: Interval
    sensitivities: Scores
    specificities: Scores
    confidence: float
    own: Screening

    def at(self, prevalence: float) -> Screening:
        """The metrics at a prevalence in (0, 1) that is given; for the set's own there is `own`."""
        if not 0 < prevalence < 1:
            raise ValueError(f"expected a prevalence in (0, 1), got {prevalence}")
        values = _metrics(np.array([self.sensitivity.value]), np.array([self.specificity.value]), prevalence)
        drawn = _metrics(self.sensitivities, self.specificities, prevalence)
        tail = (1 - self.confidence) / 2

        def interval(name: str) -> Interval:
            value = float(values[name][0])
            low, high = (float(limit) for limit in np.nanquantile(drawn[name], (tail, 1 - tail)))
            return Interval(value, min(low, value), max(high, value))

        found: dict[str, Any] = {name: interval(name) for name in values}
        return Screening(prevalence, **found)


def operating_point(
    y: ArrayLike,
    s: ArrayLike,
    threshold: float | Scores,
    groups: ArrayLike,
    *,
    samples: int = 2000,
    confidence: float,
    seed: int = 0,
) -> OperatingPoint:
    """Sensitivity and specificity of score >= `threshold`, patients of `groups` (n,) taken as independent.

    `threshold` is one for all, or one a row (n,).
    """
    labels, scores = checked(y, s, both_classes=True)
    names, called = np.asarray(groups), scores >= threshold
    generator = np.random.default_rng(seed)

    def drawn(hits: NDArray[np.bool_], patients: NDArray) -> Scores:
        worth, share = effective_rows(hits, Patients.of(patients), confidence), float(hits.mean())
        return generator.beta(share * worth + 0.5, (1 - share) * worth + 0.5, samples)

    return OperatingPoint(
        sensitivity=clustered_wilson(called[labels], names[labels], confidence=confidence),
        specificity=clustered_wilson(~called[~labels], names[~labels], confidence=confidence),
        sensitivities=drawn(called[labels], names[labels]),
        specificities=drawn(~called[~labels], names[~labels]),
        confidence=confidence,
        own=_of_the_set(labels, called, names, confidence),
    )


def _of_the_set(labels: NDArray[np.bool_], called: NDArray[np.bool_], names: NDArray, confidence: float) -> Screening:
    """What happened in the set: shares of its rows, with limits for what the patients are worth."""

    def share(hits: NDArray[np.bool_], among: NDArray[np.bool_], times: float = 1.0) -> Interval:
        if not among.any():
            return Interval(math.nan, math.nan, math.nan, "none")
        found = clustered_wilson(hits[among], names[among], confidence=confidence)
        return Interval(times * found.value, times * found.low, times * found.high, "wilson")

    every = np.ones_like(labels)
    return Screening(
        prevalence=float(labels.mean()),
        ppv=share(labels, called),
        npv=share(~labels, ~called),
        recalled=share(called, every, 1000),
        found=share(called & labels, every, 1000),
        missed=share(~called & labels, every, 1000),
        false_alarms=share(called & ~labels, every, 1000),
        given=False,
    )


def _metrics(sensitivity: Scores, specificity: Scores, prevalence: float) -> dict[str, Scores]:
    found, missed = prevalence * sensitivity, prevalence * (1 - sensitivity)
    cleared, alarms = (1 - prevalence) * specificity, (1 - prevalence) * (1 - specificity)
    nothing = np.full(found.shape, np.nan)
    return {
        # With nobody recalled (or everybody) the share is 0 / 0.
        "ppv": np.divide(found, found + alarms, out=nothing.copy(), where=found + alarms > 0),
        "npv": np.divide(cleared, cleared + missed, out=nothing.copy(), where=cleared + missed > 0),
        "recalled": 1000 * (found + alarms),
        "found": 1000 * found,
        "missed": 1000 * missed,
        "false_alarms": 1000 * alarms,
    }
