"""Where one score lies among those of validation images whose truth is known: what a reader can make of a score.

A score is no probability unless it is calibrated, and networks trained briefly give all images nearly the same one. Its place
among known cases means the same for every model.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from core.metrics.chance import read_scores
from core.metrics.operating_points import DECIMALS

CLASSES = ("benign", "malignant")


@dataclass(frozen=True)
class Reference:
    """Scores of validation images, float64 in [0, 1], sorted, a class."""

    benign: NDArray[np.float64]
    malignant: NDArray[np.float64]

    @classmethod
    def of(cls, labels: ArrayLike, scores: ArrayLike) -> Reference:
        """`labels` (n,) are "malignant" and anything else; `scores` (n,)."""
        values, malignant = np.asarray(scores, dtype=np.float64), np.asarray(labels) == "malignant"
        return cls(np.sort(values[~malignant]), np.sort(values[malignant]))

    def below(self, score: float) -> tuple[float | None, float | None]:
        """Shares in [0, 1] of (benign, malignant) images with a lower score; None for a class without images."""
        value = round(score, DECIMALS)  # as they are kept
        shares = [
            float(np.searchsorted(each, value)) / each.size if each.size else None for each in (self.benign, self.malignant)
        ]
        return shares[0], shares[1]

    def words(self, score: float) -> str:
        """The place of a score in a sentence: "Its score is higher than 71 % of benign and 38 % of malignant ..."."""
        found = zip(CLASSES, self.below(score), strict=True)
        parts = [f"{share:.0%} of the {name}".replace("%", " %") for name, share in found if share is not None]
        return f"Its score is higher than {' and '.join(parts)} validation images." if parts else ""

    def errors(self, threshold: float) -> str:
        """What a threshold misses and calls malignant among validation images, in a sentence; "" where a class has none."""
        missed, called = (int(np.searchsorted(each, round(threshold, DECIMALS))) for each in (self.malignant, self.benign))
        alarms = self.benign.size - called
        if not (self.benign.size and self.malignant.size):
            return ""
        per_100 = f"{100 * missed / self.malignant.size:.0f} and {100 * alarms / self.benign.size:.0f} per 100"
        return (
            f"On validation its threshold misses {missed} of {self.malignant.size} malignant images and calls {alarms} of "
            f"{self.benign.size} benign ones malignant ({per_100})."
        )

    def probability(self, calibrated: float) -> str:
        """A calibrated probability in a sentence, with the share of malignant images for which it holds."""
        total = self.benign.size + self.malignant.size
        share = f", where {100 * self.malignant.size / total:.0f} % of the images are malignant" if total else ""
        return f"Probability of malignancy, calibrated on validation{share}: {calibrated:.3f}."

    def histograms(self, low: float, high: float, bins: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Shares of (benign, malignant) images in each of `bins` equal parts of [low, high]: 1 in all, at most."""
        edges = np.linspace(low, high, bins + 1)
        counted = [np.histogram(each, edges)[0] / max(1, each.size) for each in (self.benign, self.malignant)]
        return counted[0], counted[1]


NO_REFERENCE = Reference.of([], [])


def reference_of(folder: Path) -> Reference | None:
    """That of the run in `folder` (predictions/val.csv); None where there is none to be read, or no score in it."""
    table = read_scores(folder / "predictions" / "val.csv")
    if table is None:
        return None
    found = table[table["score"].between(0.0, 1.0)]
    return None if found.empty else Reference.of(found["label"], found["score"])
