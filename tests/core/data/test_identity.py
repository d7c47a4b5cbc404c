"""Patients' identifiers: what is doubtful is said, what is not is left alone."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data.identity import patient_doubts, patients_known, spelling, without_patient, written_twice
from core.data.splits import patients_written_apart
from core.images.placeholder import is_placeholder
from core.images.pseudonym import pseudonym


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            "nan",
            "NaN",
            "None",
            "NULL",
            "n/a",
            "#N/A",
            "<NA>",
            "removed",
            "Removed ",
            "ANONYMOUS",
            "Anon^",
            "[redacted]",
        ),
        *(
            "Anonymous^Patient"[:9],
            "unknown",
            "UNBEKANNT",
            "Inconnu",
            "anónimo",
            "gelöscht",
            "supprimé",
            "匿名",
            "----",
            "xxxx",
            "?",
        ),
        *("de-identified", "REMOVED\u200b", "*** removed ***", "\u00a0nan\u00a0", "###", "(null)"),
    ],
)
def test_words_for_nobody_are_no_patients(text: str) -> None:
    assert is_placeholder(text) and pseudonym(text) == ""
    doubts = patient_doubts([text, "P1", "P2"], ["", "", ""])
    assert [doubt.rows for doubt in doubts] == [(0,)] and "nobody" in doubts[0].message


@pytest.mark.parametrize("text", ["0", "1", "P1", "Nana", "anonymous-17", "unknown_3", "X1", "removed7", "12", "NaN01", "王"])
def test_names_that_only_look_alike_are_patients(text: str) -> None:
    assert not is_placeholder(text) and pseudonym(text) != ""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *(("100", "100.0"), ("100", "100.00"), ("100", "100,0"), ("7", "007"), ("p1", "P1"), ("P1", "P01"), ("P-1", "P1")),
        *(("P 1", "P_1"), ("P_001_a", "P_1_A"), ("1.5E+3", "1500"), ("1,5e+3", "1500.0"), ("１２", "12"), ("P1\u200b", "P1")),
        *(("a b", "a  b"), ("P1", "P1\u00a0"), ("A–1", "A-1"), ("straße", "STRASSE")),
        *(("007", "'007"), ("007", '="007"')),
        *(("P_00000_LEFT", "P_00000_RIGHT"), ("P0_L", "P0_R"), ("P0_L_CC", "p0"), ("P0 RMLO", "P0-lcc"), ("12_L", "12")),
        *(("P0-2023", "P0-2024"), ("P0_L-2023", "P0"), ("{AB00-EF}", "ab00-ef"), ("Patient 1", "1"), ("patient_id-07", "7")),
        *(("Patient P1", "P1"), ("P.1", "P1"), ("#1", "1")),
    ],
)
def test_one_patient_written_in_two_ways_is_named_before_it_leaks(one: str, other: str) -> None:
    doubts = patient_doubts([one, "zz", other], ["train", "train", "test"])
    assert [doubt.rows for doubt in doubts] in ([(0, 2)], [(0,), (0, 2)], [(0,), (2,), (0, 2)])
    assert "more than one way" in doubts[-1].message and "1 of them stands in different splits" in doubts[-1].message
    assert "different splits" not in patient_doubts([one, other], ["train", "train"])[-1].message


@pytest.mark.parametrize(("one", "other"), [("P024947", "24947"), ("p7", "007"), ("cmmd:ID-7", "cmmd:7"), ("Patient P1", "1")])
def test_a_letter_before_the_number_is_a_doubt_and_never_taken_for_one_person(one: str, other: str) -> None:
    (doubt,) = patient_doubts([one, "zz", other], ["train", "train", "test"])
    assert doubt.rows == (0, 2) and "with and without letters before the number" in doubt.message
    assert "1 of them stands in different splits" in doubt.message
    assert spelling(one) != spelling(other)
    frame = pd.DataFrame({"patient_id": [one, other], "split": ["train", "test"], "path": ["a.png", "b.png"]})
    assert written_twice(frame) == (0, 0) and patients_written_apart(frame) == []


@pytest.mark.parametrize(
    "patients",
    [
        ["cmmd:P7", "rsna:7"],
        ["A7", "7"],
        ["1-12", "11-2"],
        ["P1", "P10", "P11"],
        ["100.0", "101.0", "102.0"],
        ["12E4", "12E5"],
        ["a1b", "a10b"],
        ["12-2001", "12-2002"],
        ["A-L", "A-R"],
        ["D1-1023", "D1-1024"],
        ["P-2001", "P-2002", "Patient 2003", "P1L", "P1R"],
        ["0", "00a", "1.5", "1.50x"],
        ["K3JH5L2MNOPQ", "K3JH5L2MNOPR"],
    ],
)
def test_patients_that_are_two_are_left_alone(patients: list[str]) -> None:
    assert patient_doubts(patients, [""] * len(patients)) == []


@pytest.mark.parametrize("text", ["1.00097E+12", "1,00097e+12", "1E+05", "1.2E15", "1234567890123450000"])
def test_numbers_that_a_spreadsheet_rounded_are_named(text: str) -> None:
    doubts = patient_doubts([text] * 3 + ["P1"], [""] * 4)
    assert doubts[0].rows == (0, 1, 2) and "rounded by a spreadsheet" in doubts[0].message


def test_one_patient_with_most_of_the_images_is_named() -> None:
    doubts = patient_doubts(["site"] * 30 + [f"P{number}" for number in range(60)], [""] * 90)
    assert len(doubts) == 1 and "30 of 90 images belong to patient 'site'" in doubts[0].message
    assert patient_doubts(["P"] * 4 + ["Q"] * 4, [""] * 8) == []


def test_many_doubts_are_said_in_few_words() -> None:
    patients = [f"{number}{end}" for number in range(1, 2000) for end in ("", ".0")]
    doubts = patient_doubts(patients, [""] * len(patients))
    assert len(doubts) == 1 and "1,999 patients" in doubts[0].message and "and 1,995 more" in doubts[0].message
    assert len(doubts[0].message) < 500


@given(st.lists(st.text(), max_size=20))
def test_any_identifiers_are_looked_at(patients: list[str]) -> None:
    for doubt in patient_doubts(patients, [""] * len(patients)):
        assert doubt.rows and max(doubt.rows) < len(patients)


@pytest.mark.parametrize(
    ("path", "patient", "known"),
    [
        ("/data/benign/a.png", "benign/a", False),  # as the folder importer says that nobody is known
        ("/data/a.b.png", "data/a.b", False),  # as the importer of tables does
        ("C:\\data\\a.png", "data/a", False),
        ("/data/P1_L_CC.png", "P1", True),
        ("/data/a.png", "b", True),
    ],
)
def test_a_file_that_counts_as_its_own_patient_has_none(path: str, patient: str, known: bool) -> None:
    one = pd.DataFrame({"path": [path], "patient_id": [patient]})
    assert without_patient(one).tolist() == [not known] and patients_known(one) is known
    assert patients_known(pd.concat([one, pd.DataFrame({"path": ["/data/x_CC.png"], "patient_id": ["x"]})]))


def test_a_file_name_that_two_images_share_is_a_patient() -> None:
    frame = pd.DataFrame({"path": ["/data/a.png", "/data/b.png"], "patient_id": ["a", "a"]})
    assert not without_patient(frame).any()
