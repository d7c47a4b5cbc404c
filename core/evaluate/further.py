"""Columns of a manifest that MammoLab has no name for: which of them the shortcut audit takes in, and as what.

A table of a hospital has columns such as `kVp`, `paddle` or `compression_force`. What says how or where an image was made can
be a shortcut, whatever its column is called. So every further column is audited, except those that cannot be one: identifiers,
paths, dates, free text, splits, columns without two values, and what was found or decided about the case (BI-RADS, pathology,
biopsy). The last tell the label because they come from the diagnosis, which is no shortcut that an image could show.

A column is a number where its name or its decimals say that it measures something; every other one is a category. The settings
`evaluation.numeric_columns` and `evaluation.category_columns` count before all of these rules. Only values and names decide,
never the labels, so that what is audited does not depend on the result.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from core.data.identity import patients_known
from core.data.known_images import OUT_OF_FOLD
from core.evaluate.metadata import KNOWN, LESIONS, OF_FILE, RESERVED
from core.metrics.metadata_model import names_everything
from core.metrics.subgroups import STRATA, UNKNOWN, categories, numbers_of

if TYPE_CHECKING:
    from core.config.schema import EvaluationConfig

MOST = 40  # columns that nobody named
_DATES = re.compile(r"(19|20)\d{2}[-/.]?\d{1,2}[-/.]?\d{1,2}([ T].*)?|\d{1,2}[-/.]\d{1,2}[-/.](19|20)?\d{2}")
_LONG, _WORDY = 40, 5  # characters, words: the median of free text has more
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z][a-z])|(?<=[a-z]{2})(?=[A-Z]{2})")


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# What MammoLab reads for another purpose than the audit.
_ELSEWHERE = frozenset(
    (
        *("synthetic", "lesions", "lesion_circles", "lesion_masks", "official_split", "split_official", "split_origin"),
        *("label_source", "label_rule", "copy_of", OUT_OF_FOLD),  # how the label came about, and from which image a copy is
    )
)
_OUTCOMES = _set(
    "pathology pathological histology histological histopathology birads rads biopsy biopsied assessment diagnosis diagnosed "
    "cancer cancers malignant malignancy benign outcome recall recalled followup tumor tumour grade stage invasive dcis idc "
    "assessments severity subtype her2 ki67 receptor reader radiologist rating suspicion suspicious negative positive truth "
    "prediction predicted probability abnormality abnormalities finding findings lesion lesions mass masses calc "
    "calcification calcifications subtlety bbox roi mask contour annotation xmin ymin xmax ymax"
)
_OUTCOME_NAMES = _set("label labels class target verdict y gt groundtruth score")  # only as the whole name
_NO_OUTCOME = _set("density acr quality body bodymassindex")  # density_birads is the density, and so on
_SPLITS = _set("split set subset fold folds partition")
_PEOPLE = _set("patient subject person participant client woman case")
_RECORDS = _set("study series exam examination image instance sop record row file")
_KEYS = _set("id ids uid uuid guid name names nr no number key index initials path")
_IDENTIFIERS = _set(
    "id index uid uuid guid mrn accession path filepath filename file url hash sha256 md5 unnamed patient subject"
)
_PRIVATE = _set("date dates datetime timestamp dob birth birthdate birthday address zip postcode phone email")
_NAMES = _set("id code type class category group mode flag status version serial label")
_MEASURES = _set(
    "age patientage kvp kv mas ma exposure dose agd esd thickness force pressure compression height width weight bmi mm cm kg "
    "ms mgy time angle spacing size year volume length area count distance percent percentage temperature ratio hvl "
    "current voltage parity"
)
_WHERE_FROM = _set(
    "nr no num number model machine device scanner detector unit room station software operator technologist technician "
    "vendor manufacturer site hospital institution centre center clinic department grid filter anode paddle view "
    "side laterality race ethnicity sex gender country region protocol"
)


@dataclass(frozen=True)
class FurtherColumn:
    """A column and what became of it: `read` as a number or a category, or "" where it was left out; `why`, in words.

    `named`: the settings name it. `outcome`: it says what was found or decided about the case, not how the image was made.
    """

    name: str
    read: Literal["number", "category", ""]
    why: str
    named: bool = False
    outcome: bool = False


def further_columns(manifest: pd.DataFrame, settings: EvaluationConfig) -> tuple[FurtherColumn, ...]:
    """Every column of the manifest besides the known ones, and every one that the settings name, by name.

    Args:
        manifest: all rows, every split; labels are not looked at.
        settings: numeric_columns and category_columns.
    """
    units = int(manifest["patient_id"].nunique()) if patients_known(manifest) else len(manifest)
    called: dict[str, Literal["number", "category"]] = dict.fromkeys(settings.category_columns, "category")
    called |= dict.fromkeys(settings.numeric_columns, "number")
    ours = {"content_hash", *RESERVED, *KNOWN, *OF_FILE, *LESIONS}
    found, automatic = [], 0
    for name in sorted({*map(str, manifest.columns), *called} - (ours - called.keys())):
        if name in called:
            each = _as_named(name, called[name], manifest)
        else:
            each = _as_found(name, manifest[name], units)
            automatic += bool(each.read)
            if each.read and automatic > MOST:
                each = FurtherColumn(name, "", f"no more than {MOST} columns are audited unless the settings name them")
        found.append(each)
    return tuple(found)


def sentence_of(found: tuple[FurtherColumn, ...]) -> str:
    """Which further columns were audited and as what, and which were not, in up to three sentences; "" without any."""
    used = [f"{each.name} ({each.read})" for each in found if each.read]
    outcomes = [each.name for each in found if not each.read and each.outcome]
    left = [each.name for each in found if not each.read and not each.outcome]
    parts = [f"Further columns of the manifest that were audited: {', '.join(used)}."] if used else []
    if outcomes:
        parts.append(f"Not audited, since what was found or decided about the case is no shortcut: {', '.join(outcomes)}.")
    parts += [f"{'Also left' if outcomes else 'Left'} out: {', '.join(left)}."] if left else []
    return " ".join(parts)


def _as_named(name: str, kind: Literal["number", "category"], manifest: pd.DataFrame) -> FurtherColumn:
    setting = "evaluation.numeric_columns" if kind == "number" else "evaluation.category_columns"
    if name in RESERVED:
        return FurtherColumn(name, "", f"named in {setting}, but every evaluation has this column itself", True)
    if name not in manifest.columns:
        if name in OF_FILE:  # the files say it
            return FurtherColumn(name, kind, f"named in {setting}; read from the files", True)
        return FurtherColumn(name, "", f"named in {setting}, but the manifest has no such column", True)
    why = f"named in {setting}"
    if kind == "number":
        numbers = numbers_of(manifest[name])
        if numbers is None:
            kind, why = "category", f"{why}, but it holds words, or nothing"
        elif np.unique(numbers[np.isfinite(numbers)]).size <= STRATA:
            kind, why = "category", f"{why}, but with at most {STRATA} different numbers each is a group of its own"
    outcome = name not in (*KNOWN, *OF_FILE) and (name in LESIONS or _outcome(_words(name), manifest[name]))
    return FurtherColumn(name, kind, f"{why}{f'; {_OUTCOME}' if outcome else ''}", True, outcome)


_OUTCOME = "it says what was found or decided about the case, not how the image was made"


def _as_found(name: str, column: pd.Series, units: int) -> FurtherColumn:
    """What becomes of a column that nobody named; `units` patients or images are in the manifest."""
    words, values = _words(name), categories(column)
    known = values[values != UNKNOWN]
    different, counts = np.unique(known.astype(str), return_counts=True)
    if name.lower() in _ELSEWHERE:
        return FurtherColumn(name, "", "used for another purpose (lesions, the data set's own split, synthetic images)")
    if _outcome(words, column):
        return FurtherColumn(name, "", f"{_OUTCOME}: it tells the label without being a shortcut", outcome=True)
    if why := _no_metadata(words, different):
        return FurtherColumn(name, "", why)
    if different.size < 2:
        return FurtherColumn(name, "", "empty" if not different.size else "the same for every image that has a value")
    numbers = numbers_of(column)
    if numbers is not None and different.size > STRATA:
        if why := _measures(words, numbers[np.isfinite(numbers)]):
            return FurtherColumn(name, "number", why)
        if different.size > max(STRATA, units // 2) or names_everything(counts):
            why = "whole numbers, so many different ones that they may be identifiers, and no name of a measurement: if they "
            return FurtherColumn(name, "", f"{why}measure something, name the column in evaluation.numeric_columns")
        return FurtherColumn(name, "category", "written in digits, but neither its name nor decimals say that it measures")
    text = np.array([len(value) for value in different]), np.array([len(value.split()) for value in different])
    if np.median(text[0]) > _LONG or np.median(text[1]) >= _WORDY:
        return FurtherColumn(name, "", "free text")
    if different.size > max(STRATA, units // 2) or names_everything(counts):
        return FurtherColumn(name, "", "so many different values that they rather are identifiers")
    return FurtherColumn(name, "category", "words" if numbers is None else f"{different.size} different values")


def _words(name: str) -> frozenset[str]:
    """The words of a column's name in small letters, and all of them as one: BodyPartThickness, body_part_thickness, kVp."""
    parts = [word for word in re.split(r"[^a-z0-9]+", _CAMEL.sub("_", name).lower()) if word]
    return frozenset((*parts, "".join(parts)))


def _outcome(words: frozenset[str], column: pd.Series) -> bool:
    if words & _NO_OUTCOME:
        return False
    stated = {value.lower() for value in categories(column)}
    whole = max(words, key=len, default="")
    return bool(words & _OUTCOMES or whole in _OUTCOME_NAMES or stated & {"benign", "malignant"})


def _no_metadata(words: frozenset[str], different: np.ndarray) -> str:
    """Why a column says nothing of how an image was made, by its name or the look of its values; "" where it may."""
    whole = max(words, key=len, default="")
    if whole in _SPLITS or words & {"split", "fold", "partition"}:
        return "a split"
    if whole in _IDENTIFIERS or "unnamed" in words or (words & (_PEOPLE | _RECORDS) and words & _KEYS):
        return "an identifier of a person, an examination or a file"
    if words & {"uid", "uuid", "guid", "mrn", "accession", "hash", "filename", "filepath", "url"}:
        return "an identifier of a person, an examination or a file"
    dates = sum(bool(_DATES.fullmatch(value)) for value in different)
    if (words & _PRIVATE) or (different.size > 1 and dates >= 0.9 * different.size):
        return "a date or something personal"
    return ""


def _measures(words: frozenset[str], numbers: np.ndarray) -> str:
    """Why numbers measure something; "" where they rather are names written in digits."""
    if words & _NAMES:
        return ""
    if words & _MEASURES or {"number", "of"} <= words or ("n" in words and len(words) > 1):
        return "its name is that of a measurement"
    if words & _WHERE_FROM:
        return ""
    return "it has decimals" if (numbers != np.round(numbers)).any() else ""
