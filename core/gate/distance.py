"""How far an image is from the training images: Mahalanobis' distance with a shrunken covariance (Ledoit & Wolf 2004).

Two of them, in what the network's head saw and in the figures of the picture (see `features`); each in units of what 90 % of
validation images have, and the larger one counts. The limit is the one below which all but 2 % of validation images lie, with
room above it: another scanner's mammograms are farther away than one's own, and should be judged with a warning.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

FALSE_ALARMS = 0.02  # of validation images, at most so many beyond the limit, before the room
ROOM = 1.3  # what is refused lies so much farther away than what is warned of
FEWEST_TRAIN, FEWEST_VALIDATION = 40, 50  # images; with fewer, nothing is refused, for 2 % of them is less than one image
ROOM_OF_FEW = 1.5
MOST_AXES = 64
_TYPICAL = 0.9  # quantile of validation distances that is 1 in each part
_STEADY = 0.1  # of a figure's spread that is added to each: what hardly varies in training tells little when it does
_SHRINKAGE = 0.05  # at least


@dataclass(frozen=True)
class Part:
    """One distance: float32 `mean` and `scale` (F,), `axes` (k, F) of unit length with `variances` (k,), and the variance
    `floor` in all other directions. `typical` is the distance of 1."""

    mean: Floats
    scale: Floats
    axes: Floats
    variances: Floats
    floor: float
    typical: float = 1.0

    @classmethod
    def fit(cls, rows: Floats, steady: float) -> Part:
        """Learn from rows (n, F), n > 1; `steady` is a spread in their units."""
        from sklearn.covariance import ledoit_wolf_shrinkage

        rows = rows.astype(np.float64)
        mean = rows.mean(axis=0)
        scale = np.sqrt(rows.var(axis=0) + steady**2)
        standard = (rows - mean) / scale
        shrinkage = max(_SHRINKAGE, float(ledoit_wolf_shrinkage(standard, assume_centered=True)))
        _, lengths, axes = np.linalg.svd(standard, full_matrices=False)
        spread = lengths**2 / len(rows)
        average = max(float(spread.sum()) / standard.shape[1], 1e-12)
        kept = min(MOST_AXES, len(spread))
        rest = float(spread[kept:].sum()) / max(1, standard.shape[1] - kept)
        variances = (1 - shrinkage) * spread[:kept] + shrinkage * average
        floor = (1 - shrinkage) * rest + shrinkage * average
        arrays = [each.astype(np.float32) for each in (mean, scale, axes[:kept], variances)]
        return cls(arrays[0], arrays[1], arrays[2], arrays[3], floor)

    def __call__(self, rows: Floats) -> NDArray[np.float64]:
        """Distances (n,) of rows (n, F)."""
        standard = (rows.astype(np.float64) - self.mean) / self.scale
        along = standard @ self.axes.T.astype(np.float64)
        beside = np.maximum(np.square(standard).sum(axis=1) - np.square(along).sum(axis=1), 0.0)
        return np.sqrt((np.square(along) / self.variances).sum(axis=1) + beside / self.floor) / self.typical


@dataclass(frozen=True)
class Distance:
    """A fitted gate. `features` is None for a network whose head shows none. `limit` is in units of the parts' typical
    distances; beyond it an image is refused if `refuses`, else warned of. `train` and `validation` count images."""

    features: Part | None
    picture: Part
    limit: float
    refuses: bool
    train: int
    validation: int

    @classmethod
    def fit(cls, train: tuple[Floats | None, Floats], validation: tuple[Floats | None, Floats]) -> Distance:
        """Learn from (features (n, F) or None, figures (n, COUNT)) of training images and of validation images, two or more."""
        parts: list[Part | None] = []
        far = np.zeros(len(validation[1]))
        for rows, others, own in ((train[0], validation[0], True), (train[1], validation[1], False)):
            if rows is None or others is None:
                parts.append(None)
                continue
            steady = _STEADY * (float(np.sqrt(rows.var(axis=0).mean())) if own else 1.0)
            fitted = Part.fit(rows, max(steady, 1e-6))
            distances = fitted(others)
            typical = max(float(np.quantile(distances, _TYPICAL)), 1e-6)
            parts.append(Part(fitted.mean, fitted.scale, fitted.axes, fitted.variances, fitted.floor, typical))
            far = np.maximum(far, distances / typical)
        enough = len(train[1]) >= FEWEST_TRAIN and len(far) >= FEWEST_VALIDATION
        limit = float(np.quantile(far, 1 - FALSE_ALARMS)) * ROOM if enough else float(far.max()) * ROOM_OF_FEW
        picture = parts[1]
        assert picture is not None
        return cls(parts[0], picture, max(limit, 1e-6), enough, len(train[1]), len(far))

    def relative(self, features: Floats | None, figures: Floats) -> float | None:
        """How far one image is, 1 being the limit; `features` (F,) and `figures` (COUNT,). None where they do not fit."""
        found = []
        for part, row in ((self.features, features), (self.picture, figures)):
            if part is None:
                continue
            if row is None or row.shape != part.mean.shape or not np.isfinite(row).all():
                return None
            found.append(float(part(row[None])[0]))
        return max(found) / self.limit

    def words(self, relative: float | None) -> str:
        """What there is to say of such a distance; "" for an image like those of training."""
        if relative is None:
            return "whether this image is like those the model was trained on cannot be checked: the gate is of another network"
        if relative > 1:
            more = "" if self.refuses else f", as far as {self.train} training and {self.validation} validation images can tell"
            return (
                f"it is unlike the images the model was trained on ({relative:.1f} times as far from them as it may be){more}"
            )
        room = ROOM if self.refuses else ROOM_OF_FEW
        if relative > 1 / room:
            return "the image differs from those the model was trained on, as mammograms of another source do"
        return ""
