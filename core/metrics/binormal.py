"""How far an AUC may be off, by a model: what the variance estimated from few patients cannot say.

Where an AUC is near 1 or one class has few patients, the variance of DeLong and Obuchowski is itself known badly, and mostly
too small: the few malignant patients that happened to be easy are all it has seen. The binormal model (scores of both classes
normal with one variance) gives the variance at every area that may be the true one, from nothing but how many images of how
many patients were compared, and how alike the images of a patient are. A score interval inverts it, as Wilson's does for shares
and Newcombe's method 5 for an AUC of independent images.

For two pairs of a malignant and a benign image, the chance that both are in order is a bivariate normal probability: their
score differences correlate by 1/2 where they share an image, and by half the intraclass correlation for each two images, one of
each pair, of one patient (with the sign of whether they stand on the same side). Summed over all pairs of pairs this is the
variance. Tied scores are rated no narrower than distinct ones: the factor by which ties shrink the variance of the Mann-Whitney
statistic holds where both classes are alike, and at a high AUC makes limits hold the truth in 74 instead of 95 of 100 sets.

Sources: Newcombe, Stat Med 2006;25:559. Hanley, McNeil, Radiology 1982;143:29. Owen, Ann Math Stat 1956;27:1075 (T function).
Intraclass correlation: Donner, Int Stat Rev 1986;54:67.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri, owens_t
from scipy.stats import norm, rankdata

from core.metrics.bootstrap import Patients
from core.metrics.checks import Labels, Scores

_EDGE = 1e-12  # areas nearer to 0 or 1 than this are taken as this


@dataclass(frozen=True)
class Design:
    """How the pairs behind an AUC hang together: how many pairs of pairs, by what they share.

    `same` counts pairs with themselves, `image` those that share one image, `image_patient` one image while the other two are
    of one patient, `patient` two images of one patient on the same side, `both` on both sides, `across` two images of one
    patient on opposite sides. `alike` is the intraclass correlation of scores, `varies`: any two scores differ.
    """

    same: float
    image: float
    image_patient: float
    patient: float
    both: float
    across: float
    alike: float
    varies: bool

    def variance(self, area: float) -> float:
        """The variance of an estimated AUC where `area`, in [0, 1], is the true one."""
        theta = min(1 - _EDGE, max(_EDGE, area))
        r = self.alike
        correlation = np.array([1.0, 0.5, (1 + r) / 2, r / 2, r, -r / 2])
        counts = np.array([self.same, self.image, self.image_patient, self.patient, self.both, self.across])
        h = ndtri(theta)
        with np.errstate(divide="ignore"):  # a correlation of -1: two images of each patient that stand at opposite ends
            together = ndtr(h) - 2 * owens_t(h, np.sqrt((1 - correlation) / (1 + correlation)))
        return max(0.0, float(counts @ (together - theta**2))) / self.same**2

    def limits(self, area: float, deviations: float, inflation: float) -> tuple[float, float]:
        """The areas from which the estimate `area` is `deviations` standard errors away.

        Args:
            inflation: what the model's variance is multiplied by, at least 1.
        """

        def beyond(theta: float) -> float:
            return abs(area - theta) - deviations * float(np.sqrt(inflation * self.variance(theta)))

        def limit(outer: float) -> float:
            inner = min(1 - _EDGE, max(_EDGE, area))
            if beyond(outer) <= 0:
                return 0.0 if outer < 0.5 else 1.0
            # Without a step between them the two are one: the area is at its end, or the deviations are next to none.
            return float(brentq(beyond, *sorted((outer, inner)))) if beyond(inner) < 0 else area

        return limit(_EDGE), limit(1 - _EDGE)


def design_of(labels: Labels, scores: Scores, patients: Patients, stratum: NDArray[np.int64], opponents: Scores) -> Design:
    """The design of an AUC of images (n,), compared within strata, each with `opponents` (n,) images of the other class."""
    index, count = patients.index, patients.count
    sums = {side: np.bincount(index[rows], weights=opponents[rows], minlength=count) for side, rows in _sides(labels)}
    pairs = float(opponents[labels].sum())
    # Ordered pairs of two images of one class, patient and stratum, times the images of the other class in that stratum.
    _, cell = np.unique(stratum * np.int64(count) + index, return_inverse=True)
    cells = {side: np.bincount(cell[rows], minlength=cell.max() + 1) for side, rows in _sides(labels)}
    of_cell = np.zeros(cell.max() + 1, dtype=np.int64)
    of_cell[cell] = stratum
    strata = int(stratum.max()) + 1
    twice = {side: np.bincount(of_cell, weights=(k * (k - 1.0)), minlength=strata) for side, k in cells.items()}
    size = {side: np.bincount(stratum[rows], minlength=strata).astype(np.float64) for side, rows in _sides(labels)}
    image_patient = float(size["malignant"] @ twice["benign"] + size["benign"] @ twice["malignant"])
    both = float(twice["malignant"] @ twice["benign"])
    image = float((opponents * np.maximum(opponents - 1, 0)).sum()) - image_patient
    shared = sum(float(total @ total) for total in sums.values()) - float(opponents @ opponents)
    return Design(
        same=pairs,
        image=max(0.0, image),
        image_patient=image_patient,
        patient=max(0.0, shared - image_patient - 2 * both),
        both=both,
        across=2 * float(sums["malignant"] @ sums["benign"]),
        alike=_alikeness(labels, scores, patients),
        varies=bool(np.ptp(scores) > 0),
    )


def _sides(labels: Labels) -> tuple[tuple[str, Labels], tuple[str, Labels]]:
    return ("malignant", labels), ("benign", ~labels)


def _alikeness(labels: Labels, scores: Scores, patients: Patients) -> float:
    """The intraclass correlation of one patient's scores within each class, from one analysis of variance over both.

    Scores enter as normal scores of their ranks, so that any rising map of them gives the same. Tied scores say less of how
    alike the images are than what lies behind them: they are corrected for it, to first order as a tetrachoric correlation is.
    0 where no patient has two images of a class. Below 0 where a patient's images differ more than those of different patients.
    """
    within = between = free_within = free_between = spread = explained = 0.0
    largest = 1.0
    for _, rows in _sides(labels):
        values = ndtri((rankdata(scores[rows]) - 0.5) / max(1, int(rows.sum())))
        number = np.unique(patients.index[rows], return_inverse=True)[1]
        sizes = np.bincount(number).astype(np.float64)
        means = np.bincount(number, weights=values) / sizes
        within += float(((values - means[number]) ** 2).sum())
        between += float(sizes @ (means - values.mean()) ** 2)
        free_within += values.size - sizes.size
        free_between += sizes.size - 1
        spread += values.size - float(sizes @ sizes) / values.size
        largest = max(largest, float(sizes.max()))
        explained += _explained(scores[rows]) * values.size / scores.size
    if free_within < 1 or free_between < 1:
        return 0.0
    inside, outside, images = within / free_within, between / free_between, spread / free_between
    total = outside + (images - 1) * inside
    if total <= 0 or explained <= 0:
        return 0.0
    return float(np.clip((outside - inside) / total / explained, -1 / max(1.0, largest - 1), 1.0))


def _explained(scores: Scores) -> float:
    """The share of a normal variable's variance that scores with these ties would keep, of what they keep without ties."""
    counts = np.unique(scores, return_counts=True)[1]
    return _between(counts) / _between(np.ones(scores.size, dtype=np.int64)) if scores.size > 1 else 1.0


def _between(counts: NDArray[np.int64]) -> float:
    """The variance of a standard normal variable's means within consecutive shares of it, `counts` (k,) of the whole."""
    shares = counts / counts.sum()
    densities = norm.pdf(ndtri(np.concatenate(([0.0], np.minimum(np.cumsum(shares)[:-1], 1.0), [1.0]))))
    return float(np.sum(np.diff(densities) ** 2 / shares))
