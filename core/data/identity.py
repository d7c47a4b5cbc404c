"""Checks of patient identifiers: one patient under two names leaks between splits, many under one are no patient.

Where nobody knows the patient of an image, an import takes the file itself for one. Such an identifier keeps a manifest
valid; it is no patient, and nothing may be said of patients on its account.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import PurePath

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.data.tables import shown
from core.images.placeholder import is_placeholder
from core.wording import counted, first_few

MANY = 20  # images of one patient that are worth checking, when they are
MUCH = 0.25  # of all images
_NAMED = 4

# As spreadsheets write long numbers: 1.00097E+12. Not 12E4, which may be a name.
_EXPONENT = re.compile(r"[+-]?[0-9](?:[.,][0-9]+)?E\+[0-9]{1,3}|[+-]?[0-9][.,][0-9]+E[0-9]{1,3}", re.IGNORECASE)
_NUMBER = re.compile(r"([0-9]+)(?:[.,]0*)?")
_SEPARATED = re.compile(r"[/:]")  # what importers put before the name of a file that has no patient
_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2212"), "-")
# What stands behind a patient in names of breasts, images and examinations: -left, -r, -lcc, -mlo, -2023.
_SIDE_OR_VIEW = re.compile(r"-(?:left|right|[lr]|(?:(?:left|right|[lr])-?)?(?:xccl|mlo|cc|ml|lm))$")
_YEAR = re.compile(r"-(?:199[0-9]|20[0-3][0-9])$")
_WORD = re.compile(r"^(?:patient|pat|subject|subj|case)(?:-?(?:id|no|nr|number))?(?:-|(?=[0-9]))(?=.*[0-9])")
_LETTERED = re.compile(r"((?:.*[:/])?)(?:p|pt|pid|id)([0-9]+)")  # of a spelling: what may be put before a patient's number
_KEPT_DIGITS = 15  # of a number in a spreadsheet; the others become zeros


@dataclass(frozen=True)
class Doubt:
    """What is doubtful, and the positions of the images it is about, from 0."""

    message: str
    rows: tuple[int, ...]


def patient_doubts(patients: Sequence[str], splits: Sequence[str]) -> list[Doubt]:
    """What is doubtful about the identifiers of each image's patient; `splits` (train, val, test or "") in the same order."""
    rows: defaultdict[str, list[int]] = defaultdict(list)
    for row, patient in enumerate(patients):
        rows[patient].append(row)
    found = [
        _placeholders(rows),
        _rounded(rows),
        _spelled_twice(rows, splits),
        _lettered(rows, splits),
        _giants(rows, len(patients)),
    ]
    return [doubt for doubt in found if doubt is not None]


def without_patient(frame: pd.DataFrame) -> NDArray[np.bool_]:
    """Which images have no patient, bool (N,): their identifier is the name of the file, and no other image has it but copies
    of this one (name (2).png, with name in the column copy_of).

    Args:
        frame: columns path and patient_id, as of a manifest or of predictions; copy_of where there is one.
    """
    patients = frame["patient_id"].astype("str")
    files = [PurePath(path.replace("\\", "/")).name.rpartition(".") for path in frame["path"].astype("str")]
    stems = pd.Series([stem or name for stem, _, name in files], index=frame.index, dtype="str")
    images = frame["path"].astype("str")
    if "copy_of" in frame.columns:
        copies = frame["copy_of"].astype("str")
        stems, images = stems.where(copies == "", copies), images.where(copies == "", copies)
    alone = (patients.map(images.groupby(patients).nunique()) == 1).to_numpy()
    own = [_SEPARATED.split(patient)[-1] == stem for patient, stem in zip(patients, stems, strict=True)]
    return np.asarray(alone & np.array(own, dtype=bool), dtype=np.bool_)


def nobody_known(frame: pd.DataFrame) -> str:
    """A warning where no image has a patient, "" elsewhere; as `without_patient`."""
    if patients_known(frame):
        return ""
    return (
        f"no patient known: leakage cannot be excluded. Each of the {len(frame):,} files counts as a patient of its own, so "
        "images of one person may stand in several splits. Import again with a column of patients, or with a patient_pattern "
        "that takes them from the file names"
    )


def written_twice(frame: pd.DataFrame) -> tuple[int, int]:
    """How many patients may be written in more than one way, and how many of these stand in several splits (columns
    patient_id and split of `frame`)."""
    splits: dict[str, set[str]] = {}
    names: dict[str, set[str]] = {}
    for patient, split in zip(frame["patient_id"].astype("str"), frame["split"].astype("str"), strict=True):
        if not is_placeholder(patient):
            key = spelling(patient)
            names.setdefault(key, set()).add(patient)
            splits.setdefault(key, set()).add(split)
    twice = [key for key, found in names.items() if len(found) > 1]
    return len(twice), sum(len(splits[key] - {""}) > 1 for key in twice)


def without_letters(spelled: str) -> str:
    """A `spelling` without a P, PT, PID or ID before its number: p24947 is 24947. "" where there is none.

    That letter alone may tell two hospitals' patients apart. So equality is a doubt, never taken for the same person as equal
    spellings are.
    """
    found = _LETTERED.fullmatch(spelled)
    return f"{found[1]}{found[2].lstrip('0') or '0'}" if found is not None else ""


def patients_known(frame: pd.DataFrame) -> bool:
    """Whether any image has a patient; as `without_patient`."""
    return not len(frame) or not bool(without_patient(frame).all())


def spelling(patient: str) -> str:
    """What is left of an identifier without the differences that programs and people make by accident.

    100 and 100.0, 007 and 7, P01 and p1, P-1 and P 1, 1.5E+3 and 1500, {AB-1} and ab-1, Patient 1 and 1, full-width and
    invisible characters. Nor with what makes a breast, an image or an examination of a patient: P1_LEFT, P1_R_MLO, P1-2023.
    """
    plain = unicodedata.normalize("NFKC", patient).translate(_DASHES)
    plain = "".join(letter for letter in plain if unicodedata.category(letter) not in ("Cf", "Cc"))
    plain = plain.strip(" \t='\"{}()[]<>#").casefold()  # '007 and ="007" is how spreadsheets mark text
    if _EXPONENT.fullmatch(plain):
        value = Decimal(plain.replace(",", "."))
        return str(int(value)) if value == int(value) and value.adjusted() < 40 else plain
    number = _NUMBER.fullmatch(plain)
    if number:
        return number.group(1).lstrip("0") or "0"
    plain = _without_parts(_WORD.sub("", re.sub(r"[\s_\-.]+", "-", plain)))
    plain = re.sub(r"(?<=[^\W\d_])-(?=\d)", "", plain)  # P-1 is P1, 1-12 is not 11-2
    return re.sub(r"(?<![0-9])0+(?=[0-9])", "", plain)


def _without_parts(plain: str) -> str:
    """Take sides, views and years off the end. What is left must hold a digit, and beside a year a letter: 12-2023 may be the
    twelfth patient of that year.
    """
    while True:
        end = _SIDE_OR_VIEW.search(plain) or _YEAR.search(plain)
        rest = plain[: end.start()] if end else ""
        lettered = end is None or end.re is _SIDE_OR_VIEW or any(map(str.isalpha, rest))
        if not lettered or not any(map(str.isdigit, rest)):
            return plain
        plain = rest


def _placeholders(rows: dict[str, list[int]]) -> Doubt | None:
    found = [patient for patient in rows if is_placeholder(patient)]
    if not found:
        return None
    positions = _positions(rows, found)
    return Doubt(
        f"{counted(len(positions), 'image')}: patient {_named(found)} is a word for nobody, and its images count as one "
        "patient. Give every image its patient (patient_pattern takes it from the file name), or a name of its own",
        positions,
    )


def _rounded(rows: dict[str, list[int]]) -> Doubt | None:
    def zeros(patient: str) -> bool:
        return patient.isdecimal() and len(patient) > _KEPT_DIGITS and not patient[_KEPT_DIGITS:].strip("0")

    found = [patient for patient in rows if _EXPONENT.fullmatch(patient.strip()) or zeros(patient)]
    if not found:
        return None
    positions = _positions(rows, found)
    return Doubt(
        f"{counted(len(positions), 'image')}: patient {_named(found)} was rounded by a spreadsheet, so that several patients "
        "may have become one. Export the table again with this column as text",
        positions,
    )


def _spelled_twice(rows: dict[str, list[int]], splits: Sequence[str]) -> Doubt | None:
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for patient in rows:
        if not is_placeholder(patient):
            groups[spelling(patient)].append(patient)
    twice = [names for names in groups.values() if len(names) > 1]
    if not twice:
        return None
    apart = sum(len({splits[row] for name in names for row in rows[name]} - {""}) > 1 for names in twice)
    first = first_few((" and ".join(map(shown, names[:_NAMED])) for names in twice), _NAMED, "; ")
    leak = (
        f" {apart} of them {'stands' if apart == 1 else 'stand'} in different splits: leakage, if they are one person."
        if apart
        else ""
    )
    return Doubt(
        f"{counted(len(twice), 'patient')} may be written in more than one way ({first}), each of which counts as a "
        f"patient of its own.{leak} Write every patient in one way",
        _positions(rows, [name for names in twice for name in names]),
    )


def _lettered(rows: dict[str, list[int]], splits: Sequence[str]) -> Doubt | None:
    named: defaultdict[str, list[str]] = defaultdict(list)
    for patient in rows:
        named[spelling(patient)].append(patient)
    pairs = [[*named[key], *named[bare]] for key in named if (bare := without_letters(key)) and bare in named]
    if not pairs:
        return None
    apart = sum(len({splits[row] for name in names for row in rows[name]} - {""}) > 1 for names in pairs)
    first = first_few((" and ".join(map(shown, names[:_NAMED])) for names in pairs), _NAMED, "; ")
    leak = f" {apart} of them {'stands' if apart == 1 else 'stand'} in different splits: leakage, if so." if apart else ""
    return Doubt(
        f"{counted(len(pairs), 'patient')} may be named with and without letters before the number ({first}). They count as "
        f"different people, which no split keeps together.{leak} If they are not, write every patient in one way",
        _positions(rows, list(dict.fromkeys(name for names in pairs for name in names))),
    )


def _giants(rows: dict[str, list[int]], total: int) -> Doubt | None:
    found = [name for name, own in rows.items() if len(own) >= MANY and len(own) > MUCH * total and not is_placeholder(name)]
    if not found:
        return None
    positions = _positions(rows, found)
    return Doubt(
        f"{len(positions)} of {total} images belong to patient {_named(found)}. Is it one person? A site, a scanner or a "
        "folder in place of the patient leaves nothing to split",
        positions,
    )


def _positions(rows: dict[str, list[int]], patients: Sequence[str]) -> tuple[int, ...]:
    return tuple(sorted(row for patient in patients for row in rows[patient]))


def _named(patients: Sequence[str]) -> str:
    return first_few(map(shown, patients), _NAMED)
