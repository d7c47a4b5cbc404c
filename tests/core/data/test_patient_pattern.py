"""A user's regular expression: what it finds, and that it ends."""

from __future__ import annotations

import pytest

from core.data.importers import patient_pattern
from core.data.importers.patient_pattern import PatientPattern
from core.errors import BadManifest


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"^(P[0-9]+)_", ["P12", "", "P3"]),
        (r"(?P<side>[LR])_(?P<patient>\w+)", ["", "", "CC"]),
        (r"^(X)?P", ["", "", ""]),
        (r"(?<=/)(.)(?=\.png)", ["", "b", ""]),
    ],
)
def test_the_patient_is_the_group_of_that_name_or_the_first(text: str, expected: list[str]) -> None:
    assert PatientPattern(text, "here").find(["P12_x.png", "a/b.png", "P3_L_CC"]) == expected


def test_names_of_any_encoding_are_searched() -> None:
    assert PatientPattern(r"(.)_", "here").find(["\udcff_", "乳_\n", "\0_"]) == ["\udcff", "乳", "\0"]


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize("text", [r"^(a+)+$", r"^((a|aa)*)*$", r"(a?){40}(a){40}b", r"(.*a){25}x"])
def test_an_expression_that_would_not_end_is_ended(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(patient_pattern, "LIMIT", 1.0)
    with pytest.raises(BadManifest, match=r"option p .*took more than 1 s on 2 names.*repeat inside a repeat"):
        PatientPattern(text, "option p").find(["a" * 60 + "!", "b"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("(", "not a regular expression"),
        ("P[0-9]+", "a group around the patient"),
        ("(a{99999999999999999999})", "not a regular expression"),
        ("(" * 900 + ")" * 100, "not a regular expression"),
        ("(a)" * 500, "at most 1,000 characters, got 1,500"),
    ],
    ids=["open", "no group", "a count beyond all numbers", "deep", "long"],
)
def test_what_is_no_usable_expression_is_refused(text: str, words: str) -> None:
    with pytest.raises(BadManifest, match=words):
        PatientPattern(text, "option p")


def test_waiting_for_a_pattern_can_be_ended() -> None:
    class Enough(Exception):
        pass

    def tick() -> None:
        raise Enough

    with pytest.raises(Enough):
        PatientPattern("^(a+)+$", "option p").find(["a" * 60 + "!"], tick)
