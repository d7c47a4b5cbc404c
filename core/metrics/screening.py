"""What an operating point would mean where disease is as rare as in screening: PPV, NPV, recalls and cancers per 1,000.

Sensitivity and specificity come from the data, the prevalence from whoever moves the slider. Both carry over only if the people
screened resemble the patients behind the data in all but how many are ill.

Intervals: 2,000 pairs of a sensitivity and a specificity are drawn, each from Jeffreys' posterior for as many images as its
patients are worth (the same effective number as behind their own Wilson intervals), and carried through the formulas. Unlike
resampled patients they still vary where all or none of the malignant were found.

Sources: Altman, Bland, BMJ 1994;309:102. Brown, Cai, DasGupta, Stat Sci 2001;16:101 (Jeffreys).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.metrics.bootstrap import Patients
from core.metrics.checks import Scores, checked
from core.metrics.intervals import Interval
from core.metrics.proportions import clustered_wilson, effective_rows


@dataclass(frozen=True)
class Screening:
    """What happens to 1,000 people at `prevalence`; `ppv` and `npv` in [0, 1], the others are people per 1,000."""

    prevalence: float
    ppv: Interval
    npv: Interval
    recalled: Interval
    found: Interval
    missed: Interval
    false_alarms: Interval


@dataclass(frozen=True)
class OperatingPoint:
    """Sensitivity and specificity at one threshold, with draws (k,) of both that say how well they are known.

    Made once a threshold; `at` is then instant for any prevalence.
    """

    threshold: float
    sensitivity: Interval
    specificity: Interval
    sensitivities: Scores
    specificities: Scores
    confidence: float

    def at(self, prevalence: float) -> Screening:
        """The figures at a prevalence in (0, 1)."""
        if not 0 < prevalence < 1:
            raise ValueError(f"expected a prevalence in (0, 1), got {prevalence}")
        values = _figures(np.array([self.sensitivity.value]), np.array([self.specificity.value]), prevalence)
        drawn = _figures(self.sensitivities, self.specificities, prevalence)
        tail = (1 - self.confidence) / 2

        def interval(name: str) -> Interval:
            value = float(values[name][0])
            low, high = (float(limit) for limit in np.nanquantile(drawn[name], (tail, 1 - tail)))
            return Interval(value, min(low, value), max(high, value))

        return Screening(prevalence, **{name: interval(name) for name in values})


def operating_point(
    y: ArrayLike,
    s: ArrayLike,
    threshold: float,
    groups: ArrayLike,
    *,
    samples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> OperatingPoint:
    """Sensitivity and specificity of score >= `threshold`, patients of `groups` (n,) taken as independent.

    Raises:
        NotEnoughData: one class only, nothing to score, NaN scores.
    """
    labels, scores = checked(y, s, both_classes=True)
    names, called = np.asarray(groups), scores >= threshold
    generator = np.random.default_rng(seed)

    def drawn(hits: NDArray[np.bool_], patients: NDArray) -> Scores:
        worth, share = effective_rows(hits, Patients.of(patients), confidence), float(hits.mean())
        return generator.beta(share * worth + 0.5, (1 - share) * worth + 0.5, samples)

    return OperatingPoint(
        threshold=float(threshold),
        sensitivity=clustered_wilson(called[labels], names[labels], confidence=confidence),
        specificity=clustered_wilson(~called[~labels], names[~labels], confidence=confidence),
        sensitivities=drawn(called[labels], names[labels]),
        specificities=drawn(~called[~labels], names[~labels]),
        confidence=confidence,
    )


def _figures(sensitivity: Scores, specificity: Scores, prevalence: float) -> dict[str, Scores]:
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
