"""How often nominal 95 % intervals of an AUC, and of a difference of two, hold the truth: a grid of simulated test sets.

Scores are normal in both classes (binormal). By image, a patient has 1 to 14 images that are alike (intraclass correlation
0.6), and of a malignant patient 6 in 10 images are malignant, at least one; by patient, each has one score. Beside coverage
stands how often the truth lies below the interval (the interval is too optimistic) and above it, and the limits from the
estimated variance alone (logit of the AUC, DeLong or Obuchowski with t) that programs print. Two tables leave the model:
malignant scores that spread 1.6 times as far, and three in ten malignant patients whose lesions are hardly seen. A third has a
reader who says yes or no, with a specificity of 0.95: nearly all scores are tied. A last kind of table is of the omnibus test
of groups: how often it finds a difference where there is none.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import pandas as pd
from scipy.special import ndtri

from core.errors import NotEnoughData
from core.metrics import Interval, compare_auc
from core.metrics.bootstrap import Patients
from core.metrics.delong import auc_parts, interval_of
from core.metrics.omnibus import omnibus_tests

AREAS = (0.5, 0.7, 0.85, 0.95, 0.98)
MALIGNANT, BENIGN = (5, 6, 10, 20, 60, 144), (20, 200, 994)
PAIRS = ((0.7, 0.7), (0.95, 0.95), (0.9, 0.97), (0.7, 0.85))
GROUPS = (
    ((6, 6, 6, 6), (6, 6, 6, 6)),
    ((5, 10, 40), (8, 20, 60)),
    ((5, 60), (60, 60)),
    ((20, 20), (20, 20)),
    ((10, 10, 10), (100, 100, 100)),
)
REPEATS = 300
MOST_IMAGES, ALIKE = 14, 0.6

Kind = Literal["binormal", "wider malignant", "hard cases", "two values"]


def run() -> None:
    """Print a line for each cell of the grid."""
    print("coverage in %, (truth below the interval / above it), mean width")
    for level in ("patient", "image"):
        for malignant in MALIGNANT:
            for benign in BENIGN:
                for area in AREAS:
                    _line(level, malignant, benign, area, "binormal")
    print("\nscores that are not binormal")
    for kind in ("wider malignant", "hard cases", "two values"):
        for level in ("patient", "image"):
            for malignant, benign in ((6, 200), (20, 200), (60, 200)):
                for area in (0.7, 0.85, 0.95):
                    _line(level, malignant, benign, area, kind)
    print("\nall groups of a feature at once: found different at p < 0.05 although they are not, in %")
    for ill, well in GROUPS:
        for area in (0.7, 0.85, 0.95):
            alarms = ", ".join(f"{name} {100 * share:.1f}" for name, share in false_alarms(ill, well, area, REPEATS).items())
            print(f"malignant {ill}, benign {well}, AUC {area}: {alarms}")
            sys.stdout.flush()
    print("\ndifference of two models on the same images")
    for level in ("patient", "image"):
        for malignant, benign in ((6, 200), (10, 60), (20, 20), (20, 200), (60, 200)):
            for first, second in PAIRS:
                found = difference_coverage(level, malignant, benign, first, second, REPEATS)
                print(f"{level} {malignant}+{benign}, AUC {first} and {second}: {_words(found)}")
                sys.stdout.flush()


def _line(level: str, malignant: int, benign: int, area: float, kind: Kind) -> None:
    found = coverage(level, malignant, benign, area, REPEATS, kind)
    print(f"{level} {malignant}+{benign}, AUC {area}{'' if kind == 'binormal' else f', {kind}'}: {_words(found)}")
    sys.stdout.flush()


def _words(found: dict[str, np.ndarray]) -> str:
    return "; ".join(
        f"{name} {100 * held:.1f} ({100 * below:.1f} / {100 * above:.1f}), {width:.3f}"
        for name, (held, below, above, width) in found.items()
    )


def coverage(
    level: str, malignant: int, benign: int, area: float, repeats: int, kind: Kind = "binormal", seed: int = 0
) -> dict[str, np.ndarray]:
    """By kind of limits: how often the AUC is within, below and above them, and their mean width; (4,) each."""
    random = np.random.default_rng([seed, malignant, benign, int(1000 * area), level == "image"])
    held: dict[str, list[tuple[float, ...]]] = {}
    for _ in range(repeats):
        y, groups, noise = _cohort(random, level, malignant, benign)
        parts = auc_parts(y, _scores(random, y, groups, noise, area, kind), Patients.of(groups))
        held.setdefault("score", []).append(_held(interval_of(parts, y.size, 0.95), area))
        held.setdefault("variance alone", []).append(_held(interval_of(parts, y.size, 0.95, "logit"), area))
    return {name: np.mean(rows, axis=0) for name, rows in held.items()}


def difference_coverage(
    level: str, malignant: int, benign: int, first: float, second: float, repeats: int, seed: int = 0
) -> dict[str, np.ndarray]:
    """As `coverage`, of the difference of two models whose scores correlate by 0.6 within each class."""
    random = np.random.default_rng([seed, malignant, benign, int(1000 * first), level == "image"])
    held: dict[str, list[tuple[float, ...]]] = {}
    for _ in range(repeats):
        y, groups, noise = _cohort(random, level, malignant, benign)
        one = 2**0.5 * ndtri(first) * y + noise()
        two = 2**0.5 * ndtri(second) * y + 0.6 * (one - 2**0.5 * ndtri(first) * y) + 0.8 * noise()
        for name, scale in (("score", "score"), ("variance alone", "plain")):
            try:
                difference = compare_auc(y, one, two, groups, scale=scale, confidence=0.95).difference  # type: ignore[arg-type]
            except NotEnoughData:  # neither varies: limits without width
                difference = Interval(0.0, 0.0, 0.0)
            held.setdefault(name, []).append(_held(difference, second - first))
    return {name: np.mean(rows, axis=0) for name, rows in held.items()}


def false_alarms(malignant: Sequence[int], benign: Sequence[int], area: float, repeats: int, seed: int = 0) -> dict[str, float]:
    """By metric: how often the omnibus test finds a difference at p < 0.05 between groups that have none.

    Args:
        malignant, benign: patients of each group, with one image each; AUC, and threshold, are the same in all.
    """
    random = np.random.default_rng([seed, *malignant, *benign, int(1000 * area)])
    truth = [np.arange(ill + well) < ill for ill, well in zip(malignant, benign, strict=True)]
    y, group = np.concatenate(truth), np.repeat(np.arange(len(truth)), [each.size for each in truth])
    distance, features = 2**0.5 * ndtri(area), pd.DataFrame({"group": [f"g{number}" for number in group]})
    found = dict.fromkeys(("auc", "sensitivity", "specificity"), 0)
    for _ in range(repeats):
        scores = distance * y + random.normal(size=y.size)
        for row in omnibus_tests(y, scores, distance / 2, np.arange(y.size), features):
            found[row.metric] += row.p < 0.05
    return {name: count / repeats for name, count in found.items()}


def _cohort(
    random: np.random.Generator, level: str, malignant: int, benign: int
) -> tuple[np.ndarray, np.ndarray, Callable[[], np.ndarray]]:
    """Labels and patients (n,), and what draws noise of variance 1 for them."""
    count = malignant + benign
    sizes = np.ones(count, dtype=int) if level == "patient" else random.integers(1, MOST_IMAGES + 1, count)
    groups = np.repeat(np.arange(count), sizes)
    first = np.concatenate(([True], np.diff(groups) > 0))
    y = (groups < malignant) & (first | (random.random(groups.size) < 0.6))

    def noise() -> np.ndarray:
        return ALIKE**0.5 * random.normal(size=count)[groups] + (1 - ALIKE) ** 0.5 * random.normal(size=groups.size)

    return y, groups, noise


def _scores(
    random: np.random.Generator,
    y: np.ndarray,
    groups: np.ndarray,
    noise: Callable[[], np.ndarray],
    area: float,
    kind: Kind,
) -> np.ndarray:
    if kind == "wider malignant":
        return np.hypot(1, 1.6) * ndtri(area) * y + noise() * np.where(y, 1.6, 1.0)
    if kind == "hard cases":
        hard = (random.random(groups.max() + 1) < 0.3)[groups]
        hidden = max(0.5, area - 0.25)
        seen = min(0.9995, (area - 0.3 * hidden) / 0.7)
        hidden = (area - 0.7 * seen) / 0.3
        return 2**0.5 * np.where(hard, ndtri(hidden), ndtri(seen)) * y + noise()
    if kind == "two values":
        return (noise() > np.where(y, ndtri(0.95 - (2 * area - 1)), ndtri(0.95))).astype(np.float64)
    return 2**0.5 * ndtri(area) * y + noise()


def _held(interval: Interval, truth: float) -> tuple[float, ...]:
    inside = interval.low <= truth <= interval.high
    return float(inside), float(truth < interval.low), float(truth > interval.high), interval.high - interval.low
