"""Identifying values of a header: what may name a person is removed from every text that goes further.

Vendors and staff copy names and numbers into free text (descriptions, explanations of windows, model names). The
elements below are parsed for one purpose: texts that contain one of their values are dropped.
"""

from __future__ import annotations

import re

from pydicom.dataset import Dataset

from core.images.dicom.elements import texts_of

_PERSONS = (
    *("PatientName", "OtherPatientNames", "PatientBirthName", "PatientMotherBirthName", "ReferringPhysicianName"),
    *("PerformingPhysicianName", "NameOfPhysiciansReadingStudy", "RequestingPhysician", "OperatorsName"),
)
IDENTITY = (
    *_PERSONS,
    *("PatientID", "OtherPatientIDs", "PatientBirthDate", "PatientAddress", "PatientTelephoneNumbers", "AccessionNumber"),
    *("StudyID", "StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate", "AcquisitionDateTime", "InstitutionName"),
    *("InstitutionAddress", "InstitutionalDepartmentName", "StationName", "DeviceSerialNumber"),
)
_DATES = ("PatientBirthDate", "StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate", "AcquisitionDateTime")
_PLACES = ("InstitutionName", "InstitutionAddress", "InstitutionalDepartmentName", "StationName")
# Words in names of places that descriptions of images need.
_COMMON = {
    *("BREAST", "CENTER", "CENTRE", "CLINIC", "DEPARTMENT", "HEALTH", "HOSPITAL", "IMAGING", "INSTITUTE", "LEFT", "MAMMO"),
    *("MAMMOGRAPHY", "MEDICAL", "RADIOLOGY", "RIGHT", "ROOM", "SCREENING", "UNIVERSITY", "VIEW", "WOMEN"),
}
_LONG = 6
_SHORTEST = 3  # letters; shorter parts of names are in half of all words


def identity_of(ds: Dataset) -> frozenset[str]:
    """Everything in the header that names a person or a visit, in capitals: whole values, and the parts of names."""
    found: set[str] = set()
    for keyword in IDENTITY:
        for text in (text.upper() for text in texts_of(ds, keyword)):
            found.add(text)
            if keyword in _PERSONS or keyword in _PLACES:
                found.update(set(re.split(r"[\^=\s,.;/]+", text)) - _COMMON)
            if keyword in _DATES:
                found.update(_spellings(text))
    return frozenset(text for text in found if len(text) >= _SHORTEST)


def _spellings(date: str) -> set[str]:
    """YYYYMMDD... -> the year, and the digits in every order that people write."""
    year, month, day = date[:4], date[4:6], date[6:8]
    if not (date[:8].isdigit() and len(date) >= 8):
        return set()
    return {year, year + month + day, day + month + year, month + day + year, day + month + year[2:], month + day + year[2:]}


def without_identity(text: str, identity: frozenset[str]) -> str:
    """The text, or "" if it contains anything that names a person."""
    capitals = text.upper()
    return "" if any(_contains(capitals, word) for word in identity) else text


def _contains(text: str, word: str) -> bool:
    # A patient called Men is no reason to forget Siemens: short words only count alone.
    if len(word) < _LONG and word.isalpha():
        return re.search(rf"(?<![^\W_]){re.escape(word)}(?![^\W_])", text) is not None
    if word.isdigit():  # 1943-12-17 and 17.12.1943 hold 19431217 and 17121943; a year counts alone
        return (
            word in re.sub(r"[\W_]", "", text) if len(word) >= _LONG else re.search(rf"(?<!\d){word}(?!\d)", text) is not None
        )
    return word in text
