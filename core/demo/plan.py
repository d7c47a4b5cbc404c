"""Plan of the demo set: findings, split, scanner and file format of every patient, drawn before any pixel.

Findings decide the label of an image; split is stratified by them; density, scanner and file format are dealt
out within each group of findings, so that none of them can tell the label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

from core.demo import lesions
from core.demo.lesions import Kind, Lesion
from core.demo.noise import Rng

T = TypeVar("T")
Side = Literal["L", "R"]
SIDES: tuple[Side, ...] = ("L", "R")
VIEWS = ("CC", "MLO")


@dataclass(frozen=True)
class Storage:
    """How the images of a patient are written."""

    kind: Literal["dicom", "png8", "png16"]
    inverted: bool = False  # MONOCHROME1 for DICOM; a plain negative, unmarked, for PNG
    compressed: bool = False


_STORAGE: tuple[tuple[Storage, float], ...] = (
    (Storage("dicom"), 0.14),
    (Storage("dicom", inverted=True), 0.10),
    (Storage("dicom", compressed=True), 0.16),
    (Storage("dicom", inverted=True, compressed=True), 0.10),
    (Storage("png8"), 0.20),
    (Storage("png16"), 0.20),
    (Storage("png8", inverted=True), 0.05),
    (Storage("png16", inverted=True), 0.05),
)
_DENSITIES = (("a", 0.25), ("b", 0.4), ("c", 0.25), ("d", 0.10))
_SCANNERS = (("A", 0.55), ("B", 0.45))
_SPLITS = ("train", "val", "test", "train", "train")

# Shares of patients: a cancer in one breast, in both, in none.
_ONE_SIDED, _BOTH_SIDED = 0.5, 0.125


@dataclass(frozen=True)
class Patient:
    """One invented woman."""

    number: int
    split: str
    density: str
    scanner: str
    storage: Storage
    age: int
    findings: dict[Side, tuple[Lesion, ...]]

    @property
    def identifier(self) -> str:
        return f"DEMO-{self.number:04d}"

    def label(self, side: Side) -> str:
        """malignant where that breast holds a malignant finding, else benign."""
        return "malignant" if any(lesion.kind in lesions.MALIGNANT for lesion in self.findings[side]) else "benign"


def plan_patients(patients: int, seed: int) -> list[Patient]:
    """The patients in the order of their numbers; every draw depends only on `patients` and `seed`."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, 1]))
    groups = _groups(patients, rng)
    splits: list[str] = []
    storages: list[Storage] = []
    scanners: list[str] = []
    densities: list[str] = []
    findings: list[dict[Side, tuple[Lesion, ...]]] = []
    for has_cancer in (True, False):
        members = [group for group in groups if bool(group) == has_cancer]
        storages += _deal(_STORAGE, len(members), rng)
        scanners += _deal(_SCANNERS, len(members), rng)
        densities += _deal(_DENSITIES, len(members), rng)
        for group in members:
            splits.append(_SPLITS[len(splits) % len(_SPLITS)])
            findings.append({side: _findings(side in group, rng) for side in SIDES})
    numbers = rng.permutation(patients) + 1  # a number must not tell the group
    ages = rng.integers(40, 80, patients)
    people = [
        Patient(int(numbers[i]), splits[i], densities[i], scanners[i], storages[i], int(ages[i]), findings[i])
        for i in range(patients)
    ]
    return sorted(people, key=lambda patient: patient.number)


def _groups(patients: int, rng: Rng) -> list[tuple[Side, ...]]:
    """Which breasts of each patient hold a cancer; cancers of both sides are spread evenly among the others."""
    both = round(_BOTH_SIDED * patients)
    one = max(1, round(_ONE_SIDED * patients)) if patients else 0
    one_sided: list[tuple[Side, ...]] = [(SIDES[i % 2],) for i in range(one)]
    cancers = one_sided + [("L", "R")] * min(both, patients - one)
    order = rng.permutation(len(cancers))
    return [cancers[i] for i in order] + [()] * (patients - len(cancers))


def _findings(cancer: bool, rng: Rng) -> tuple[Lesion, ...]:
    if cancer:
        kind: Kind = lesions.MALIGNANT[0] if rng.random() < 0.68 else lesions.MALIGNANT[1]
        found = [lesions.draw_lesion(kind, rng)]
        if kind == "spiculated mass" and rng.random() < 0.2:
            found.append(lesions.beside(found[0], lesions.draw_lesion("clustered microcalcifications", rng), rng))
        return tuple(found)
    if rng.random() < 0.45:
        kind = lesions.BENIGN[0] if rng.random() < 0.62 else lesions.BENIGN[1]
        return (lesions.draw_lesion(kind, rng),)
    return ()


def _deal(shares: tuple[tuple[T, float], ...], count: int, rng: Rng) -> list[T]:
    """`count` items in the given shares (largest remainders first), shuffled."""
    exact = np.array([share for _, share in shares]) * count
    whole = np.floor(exact).astype(int)
    remainder = exact - whole + rng.random(len(exact)) * 1e-6
    for index in np.argsort(-remainder)[: count - int(whole.sum())]:
        whole[index] += 1
    items = [item for (item, _), number in zip(shares, whole, strict=True) for _ in range(number)]
    return [items[i] for i in rng.permutation(count)]
