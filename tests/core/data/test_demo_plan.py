"""Who gets what in the demo set: a task worth learning, with nothing beside the picture that gives the label away."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import product

import pytest

from core.demo import lesions
from core.demo.plan import SIDES, Patient, plan_patients


def _images(people: list[Patient]) -> list[tuple[Patient, str]]:
    return [(person, person.label(side)) for person in people for side in SIDES for _ in ("CC", "MLO")]


def _share(people: list[Patient]) -> float:
    labels = [label for _, label in _images(people)]
    return labels.count("malignant") / len(labels)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_about_three_images_in_eight_are_malignant_in_every_split(seed: int) -> None:
    people = plan_patients(80, seed)
    assert _share(people) == pytest.approx(0.375, abs=0.01)
    splits = {name: [person for person in people if person.split == name] for name in ("train", "val", "test")}
    assert {name: len(members) for name, members in splits.items()} == {"train": 48, "val": 16, "test": 16}
    for members in splits.values():
        assert 0.25 < _share(members) < 0.5


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("trait", ["storage", "scanner", "density"])
def test_neither_file_format_nor_scanner_nor_density_tells_the_label(seed: int, trait: str) -> None:
    people = plan_patients(80, seed)
    by_value: dict[object, Counter[str]] = defaultdict(Counter)
    for person, label in _images(people):
        value = getattr(person, trait)
        by_value[value.kind if trait == "storage" else value][label] += 1
    for counts in by_value.values():
        if counts.total() >= 40:
            assert counts["malignant"] / counts.total() == pytest.approx(0.375, abs=0.1)


def test_left_and_right_hold_as_many_cancers() -> None:
    people = plan_patients(80, 0)
    counts = Counter(side for person in people for side in SIDES if person.label(side) == "malignant")
    assert abs(counts["L"] - counts["R"]) <= 1


def test_patient_numbers_do_not_tell_the_label() -> None:
    people = plan_patients(80, 0)
    first, second = people[:40], people[40:]
    assert [person.number for person in people] == list(range(1, 81))
    assert abs(_share(first) - _share(second)) < 0.15


def test_all_formats_occur_and_about_half_of_the_set_is_dicom() -> None:
    storages = [person.storage for person in plan_patients(80, 0)]
    dicom = [storage for storage in storages if storage.kind == "dicom"]
    assert 0.45 <= len(dicom) / len(storages) <= 0.55
    both = (False, True)
    assert {(storage.inverted, storage.compressed) for storage in dicom} == set(product(both, both))
    png = {(storage.kind, storage.inverted) for storage in storages if storage.kind != "dicom"}
    assert png == set(product(("png8", "png16"), both))


def test_both_kinds_of_benign_and_of_malignant_findings_occur_in_training_and_test() -> None:
    for split in ("train", "test"):
        members = [person for person in plan_patients(80, 0) if person.split == split]
        kinds = {lesion.kind for person in members for found in person.findings.values() for lesion in found}
        assert kinds == {*lesions.BENIGN, *lesions.MALIGNANT}


@pytest.mark.parametrize("patients", range(1, 12))
def test_any_number_of_patients_works_and_five_fill_every_split(patients: int) -> None:
    people = plan_patients(patients, 0)
    assert len(people) == patients
    if patients >= 5:
        assert {person.split for person in people} == {"train", "val", "test"}
        assert {label for _, label in _images(people)} == {"benign", "malignant"}
