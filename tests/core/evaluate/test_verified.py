"""What counts as verified: how cells are read, and what follows for breasts and patients."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from core.evaluate.verified import reading, readings, verification_of


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        *((cell, "yes") for cell in ("1", "1.0", "TRUE", "Yes", " y ", "done", "Benign", "core-biopsy", "B2", "DCIS")),
        *((cell, "no") for cell in ("0", "0.0", "False", "no", "N", "never", "not_done", "BENIGN_WITHOUT_CALLBACK")),
        *((cell, "empty") for cell in ("", " ", "nan", "None", None, "-", "unknown", "n/a")),
        *((cell, "not understood") for cell in ("2", "negative", "maybe", "yes?", "see report")),
    ],
)
def test_cells_are_read_and_never_guessed(cell: str | None, expected: str) -> None:
    assert reading(cell) == expected


def test_a_column_that_says_nothing_is_none() -> None:
    assert readings(pd.DataFrame({"label": ["benign"]})) is None
    assert readings(pd.DataFrame({"biopsy": ["", "nan", None]})) is None
    assert readings(pd.DataFrame({"biopsy": ["", "1", None]})).tolist() == ["empty", "yes", "empty"]


@pytest.mark.parametrize("level", ["image", "breast", "patient"])
def test_a_breast_is_verified_by_an_image_and_a_patient_by_both_breasts(level: str) -> None:
    draw = np.random.default_rng(5)
    cells = ["1", "0", "", "maybe"]
    rows = [
        (f"/d/{patient}{side}{view}", f"P{patient}", side, "malignant" if patient % 4 == 0 else "benign", draw.choice(cells))
        for patient, side, view in itertools.product(range(60), "LR", ("CC", "MLO"))
    ]
    manifest = pd.DataFrame(rows, columns=["path", "patient_id", "laterality", "label", "biopsy"])
    found = verification_of(manifest.drop(columns="biopsy"), manifest, level)
    assert found is not None and not found.lists_only_biopsies

    def of_breast(some: list[str]) -> str:
        return "yes" if "1" in some else "no" if "0" in some else "not stated"

    expected = {"yes": 0, "no": 0, "not stated": 0}
    for patient in range(60):
        if patient % 4 == 0:
            continue
        own = [row for row in rows if row[1] == f"P{patient}"]
        breasts = [of_breast([row[4] for row in own if row[2] == side]) for side in "LR"]
        if level == "image":
            states = [of_breast([row[4]]) for row in own]
        elif level == "breast":
            states = breasts
        else:
            states = [next(state for state in ("no", "not stated", "yes") if state in breasts)]
        for state in states:
            expected[state] += 1
    assert {state: found.count(state) for state in expected} == expected
    assert {each.written: each.read_as for each in found.spellings}["maybe"] == found.spellings[0].read_as == "not understood"
    assert sum(each.benign for each in found.spellings) == 45 * 4 and sum(each.malignant for each in found.spellings) == 15 * 4


def test_a_column_that_lists_only_biopsies_makes_nobody_unverified() -> None:
    manifest = pd.DataFrame(
        {"path": list("abc"), "patient_id": list("PQR"), "laterality": "L", "label": ["malignant", "benign", "benign"]}
    ).assign(biopsy=["malignant", "", ""])
    found = verification_of(manifest.drop(columns="biopsy"), manifest, "patient")
    assert found.lists_only_biopsies and found.count("no") == 0 and found.count("not stated") == 2
