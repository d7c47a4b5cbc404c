"""Who an image shows, so that nobody says it: what may name a person is removed from every text that goes further.

Vendors and staff copy names and numbers into free text (descriptions, explanations of windows, model names). The
elements below are parsed for one purpose: texts that contain one of their values are dropped.
"""

from __future__ import annotations

import re

from pydicom.dataset import Dataset

from core.images.dicom_elements import texts_of

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
_LONG = 6
_SHORTEST = 3  # letters; shorter parts of names are in half of all words


def identity_of(ds: Dataset) -> frozenset[str]:
    """Everything in the header that names a person or a visit, in capitals: whole values, and the parts of names."""
    found: set[str] = set()
    for keyword in IDENTITY:
        for text in (text.upper() for text in texts_of(ds, keyword)):
            found.add(text)
            if keyword in _PERSONS:
                found.update(re.split(r"[\^=\s,]+", text))
    return frozenset(text for text in found if len(text) >= _SHORTEST)


def without_identity(text: str, identity: frozenset[str]) -> str:
    """The text, or "" if it contains anything that names a person."""
    capitals = text.upper()
    return "" if any(_contains(capitals, word) for word in identity) else text


def _contains(text: str, word: str) -> bool:
    # A patient called Men is no reason to forget Siemens: short words only count alone.
    if len(word) < _LONG and word.isalpha():
        return re.search(rf"(?<![^\W_]){re.escape(word)}(?![^\W_])", text) is not None
    return word in text
