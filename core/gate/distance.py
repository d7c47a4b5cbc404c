"""Distance of an image from the training images: Mahalanobis, with a shrunken covariance (Ledoit & Wolf 2004).

Two of them: in what the network's head sees, scaled to length 1 so that its direction counts and not its size, and in the
statistics of the picture (see `features`). Each is in units of what 90 % of validation images have; the square root of the sum
of their squares counts. The limit is the distance below which all but 2 % of validation images lie, with room above it: another
source's mammograms are farther away than one's own, and are to be judged with a warning. `python -m benchmarks gate` shows what
lies beyond it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

FALSE_ALARMS = 0.02  # of validation images, at most so many beyond the limit, before the room
ROOM = 1.5  # what is refused lies so many times as far away as what is warned of
FEWEST_TRAIN, FEWEST_VALIDATION = 40, 50  # images; with fewer, nothing is refused, for 2 % of them is less than one image
MOST_AXES = 64
_FEATURE_AXES = 16  # of features; more follow the training images' own chances
_TYPICAL = 0.9  # quantile of validation distances that is 1 in each part
# A spread that is added to each feature's (in shares of their mean one) and to each statistic's: what hardly varies in training
# tells little when it does.
_STEADY_FEATURES, _STEADY_STATISTICS = 0.1, 0.3
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
    def fit(cls, rows: Floats, steady: float, most_axes: int = MOST_AXES) -> Part:
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
        used = min(most_axes, len(spread))
        rest = float(spread[used:].sum()) / max(1, standard.shape[1] - used)
        variances = (1 - shrinkage) * spread[:used] + shrinkage * average
        floor = (1 - shrinkage) * rest + shrinkage * average
        arrays = [each.astype(np.float32) for each in (mean, scale, axes[:used], variances)]
        return cls(arrays[0], arrays[1], arrays[2], arrays[3], floor)

    def scaled_to(self, rows: Floats) -> Part:
        """The same with the distance that 90 % of these rows (n, F) have as 1."""
        return replace(self, typical=max(float(np.quantile(self(rows), _TYPICAL)), 1e-6))

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
        """Learn from (features (n, F) or None, statistics (n, COUNT)) of training and of validation images, two or more."""
        picture = Part.fit(train[1], _STEADY_STATISTICS).scaled_to(validation[1])
        features = None
        if train[0] is not None and validation[0] is not None:
            rows = _directions(train[0])
            steady = max(_STEADY_FEATURES * float(np.sqrt(rows.var(axis=0).mean())), 1e-6)
            features = Part.fit(rows, steady, _FEATURE_AXES).scaled_to(_directions(validation[0]))
        counts = len(train[1]), len(validation[1])
        fitted = cls(features, picture, 1.0, True, *counts)
        far = fitted._far(*validation)
        enough = counts[0] >= FEWEST_TRAIN and counts[1] >= FEWEST_VALIDATION
        most = float(np.quantile(far, 1 - FALSE_ALARMS)) if enough else float(far.max())
        return replace(fitted, limit=max(most * ROOM, 1e-6), refuses=enough)

    def relative(self, features: Floats | None, statistics: Floats) -> float | None:
        """How far one image is, 1 being the limit; `features` (F,) and `statistics` (COUNT,). None where they do not fit."""
        for part, row in ((self.features, features), (self.picture, statistics)):
            if part is not None and (row is None or row.shape != part.mean.shape or not np.isfinite(row).all()):
                return None
        return float(self._far(None if features is None else features[None], statistics[None])[0]) / self.limit

    def _far(self, features: Floats | None, statistics: Floats) -> NDArray[np.float64]:
        """Distances (n,) of images, not yet in shares of the limit."""
        squares = np.square(self.picture(statistics))
        if self.features is not None and features is not None:
            squares = squares + np.square(self.features(_directions(features)))
        return np.sqrt(squares)

    @property
    def learned_from(self) -> str:
        """How many images it was fitted on, as text."""
        return f"{self.train} training and {self.validation} validation images"

    def words(self, relative: float | None) -> str:
        """What there is to say of such a distance; "" for an image like those of training."""
        if relative is None:
            return "whether this image is like those the model was trained on cannot be checked: the gate is of another network"
        if relative > 1:
            more = "" if self.refuses else f", as far as {self.learned_from} can tell"
            # Rounded to one digit an image just beyond the limit would stand at it.
            times = f"{relative:.1f} times" if relative >= 1.05 else "more than 1.0 times"
            return f"it is unlike the images the model was trained on ({times} as far from them as it may be){more}"
        if relative > 1 / ROOM:
            return "the image differs from those the model was trained on, as mammograms of another source do"
        return ""


@dataclass(frozen=True)
class MeanDistance(Distance):
    """The gate of an ensemble: an image is as far away as it is on average for its members, each with its own gate and in
    shares of its own limit. It refuses where all of them may; `train` and `validation` are the smallest of a member."""

    gates: tuple[Distance, ...] = ()

    @classmethod
    def of(cls, gates: Sequence[Distance]) -> Distance:
        """Of the members' gates in their order; of one alone that one itself."""
        if len(gates) == 1:
            return gates[0]
        counts = min(gate.train for gate in gates), min(gate.validation for gate in gates)
        return cls(None, gates[0].picture, 1.0, all(gate.refuses for gate in gates), *counts, tuple(gates))

    @property
    def learned_from(self) -> str:
        """How many images the members' gates were fitted on, as text: each has its own."""
        train, validation = (
            f"{min(counts)} to {max(counts)}" if min(counts) < max(counts) else str(min(counts))
            for counts in ([gate.train for gate in self.gates], [gate.validation for gate in self.gates])
        )
        return f"{train} training and {validation} validation images of each of its {len(self.gates)} models"

    def relative(self, features: Floats | None, statistics: Floats) -> float | None:
        """As `Distance.relative`; `features` of the members whose heads show some, one after the other."""
        found, start = [], 0
        for gate in self.gates:
            own = None
            if gate.features is not None and features is not None:
                own = features[start : start + gate.features.mean.size]
                start += gate.features.mean.size
            found.append(gate.relative(own, statistics))
        if any(each is None for each in found) or (features is not None and start != features.size):
            return None
        return float(np.mean([each for each in found if each is not None]))


def _directions(features: Floats) -> Floats:
    """Features (n, F) at length 1."""
    lengths = np.linalg.norm(features.astype(np.float64), axis=1, keepdims=True)
    return np.asarray(features / np.maximum(lengths, 1e-12), np.float32)
