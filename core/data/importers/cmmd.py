"""`cmmd`: the Chinese Mammography Database with its clinical table, which has a row a breast."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from pathlib import Path

import pandas as pd

from core.data.importers.base import FileCheck, Importer, ImportReport, Options, Progress
from core.data.importers.collection import Candidate, Collection, options_of
from core.data.importers.file_names import split_name
from core.data.importers.records import Record, read_records
from core.data.importers.tree import Tree
from core.data.label_rules import BENIGN, MALIGNANT, UNLISTED
from core.data.tables import shown
from core.errors import BadManifest
from core.images.headers import ImageHeader
from core.images.pseudonym import pseudonym
from core.wording import counted

_NEEDED = ("ID1", "LeftRight", "classification")
_TABLE = r"CMMD_clinicaldata.*"
_PATIENT = re.compile(r"D[12]-[0-9]{4}")
_CLASSES = {"malignant": MALIGNANT, "benign": BENIGN}

Breast = tuple[str, str]  # patient, side


def import_cmmd(source: Path, options: Options, progress: Progress | None) -> ImportReport:
    """A row an image; its label is that of the breast (ID1 and side), side and view come from the header."""
    found = Collection.begin("cmmd", source, options, progress)
    breasts, unclear, ages = _breasts(found, _table(source, found.tree))
    listed = {patient for patient, _ in (*breasts, *unclear)}
    by_pseudonym = {pseudonym(patient): patient for patient in listed}
    candidates = [Candidate(path, {"patient_id": ""}) for path in found.tree.images]
    seen: set[Breast] = set()
    sideless: list[str] = []

    def complete(each: Candidate, check: FileCheck) -> str:
        named, in_header = _patient_of(found.tree.inside(each.path)), by_pseudonym.get(check.meta.patient, "")
        if named and in_header and named != in_header:
            return f"its folder or name says patient {named}, its header {in_header}"
        patient = named or in_header
        if not patient:
            return "neither a folder nor the header names a patient of the table (D1-0001)"
        parts = split_name(each.path.stem)
        side = check.meta.laterality or parts.laterality
        if not side:
            sideless.append("/".join(found.tree.inside(each.path)))
        record = breasts.get((patient, side))
        known = side != "" and patient in listed and (patient, side) not in unclear
        seen.add((patient, side))
        each.row |= {
            "patient_id": found.patient(patient),
            "laterality": side,
            "view": check.meta.view or _view_of(check.header) or parts.view,
            "age": found.differing.first("age", f"{patient} {side}", ages[patient, side])
            or found.differing.first("age", patient, [*ages[patient, "L"], *ages[patient, "R"]]),
            "subset": patient[:2],
            "pathology": _CLASSES[record["classification"].lower()] if record is not None else UNLISTED if known else "",
            "abnormality": "" if record is None else record["abnormality"],
            "subtype": "" if record is None else record["subtype"],
        }
        return ""

    report = found.finish(candidates, _RULES[0], complete)
    for patient, side in sorted(set(breasts) - seen):
        report.rejected.append((f"{patient} {side}", "a row of the table without an image here"))
    report.notes.extend(_notes(report, sideless))
    report.unknown.append("dates are invented: no order of examinations; lesions are not outlined")
    return report


def _table(source: Path, tree: Tree) -> Path:
    if source.is_file():
        return source
    tables = tree.tables(_NEEDED, _TABLE) or tree.tables(_NEEDED)
    if not tables:
        raise BadManifest(
            f"{source}: expected CMMD's clinical table (CMMD_clinicaldata_revision.xlsx or .csv, with the columns "
            f"{', '.join(_NEEDED)}) beside the images, it is missing{tree.nearly(_NEEDED)}. Download it from the collection's "
            "page."
        )
    return tables[0]


def _breasts(found: Collection, table: Path) -> tuple[dict[Breast, Record], set[Breast], defaultdict[Breast, list[str]]]:
    """The rows by patient and side, of two for one breast the malignant one; the breasts whose row says no class; and the ages
    of all rows of a breast."""
    records = read_records(table, _NEEDED)
    found.notes += [f"table read: {table.name}", *records.notes]
    breasts: dict[Breast, Record] = {}
    unclear: set[Breast] = set()
    ages: defaultdict[Breast, list[str]] = defaultdict(list)
    for record in records:
        where = f"{table.name} line {record.line}"
        patient, side = record["ID1"].upper(), record["LeftRight"][:1].upper()
        if _PATIENT.fullmatch(patient) is None or side not in ("L", "R"):
            found.reject(where, f"ID1 {shown(patient)}, LeftRight {shown(side)}: expected D1-0001 or D2-0001, L or R")
        elif record["classification"].lower() not in _CLASSES:
            unclear.add((patient, side))
            found.reject(where, f"classification {shown(record['classification'])}: expected Benign or Malignant")
        elif (patient, side) in breasts:
            found.reject(where, f"a second row of this breast ({patient} {side})")
            if record["classification"].lower() == MALIGNANT:
                breasts[(patient, side)] = record
        else:
            breasts[(patient, side)] = record
        ages[patient, side].append(record["Age"])
    return breasts, unclear - breasts.keys(), ages


def _patient_of(parts: tuple[str, ...]) -> str:
    return next((match[0] for part in reversed(parts) if (match := _PATIENT.match(part.upper()))), "")


def _view_of(header: ImageHeader) -> str:
    """From PatientOrientation, for files without a view code: columns lead sideways, or to the feet in an MLO."""
    orientation = header.dicom.orientation if header.dicom is not None else ()
    if len(orientation) != 2:
        return ""
    return "MLO" if "F" in orientation[1] else "CC" if orientation[1] in ("L", "R") else ""


def _notes(report: ImportReport, sideless: list[str]) -> list[str]:
    frame = report.frame
    notes = []
    if sideless:
        notes.append(
            f"warning: {counted(len(sideless), 'image names', 'images name')} no side (first: {sideless[0]}): labels are of a "
            "breast, so these are unlabelled. The DICOM files say the side"
        )
    without = frame.get("pathology", pd.Series("", index=frame.index)) == UNLISTED  # no column where nothing is said
    if without.any():
        what = f"{counted(int(without.sum()), 'image is', 'images are')} of a breast without a row in the table"
        if (frame.loc[without, "label"] == "").all():
            notes.append(
                f"{what}, and unlabelled: the collection does not say that it is healthy. rule=pathology-assume-normal takes "
                "it for benign"
            )
        else:
            notes.append(f"warning: {what}, and taken for benign: an assumption")
    unknown = int(((frame["label"] == "") & ~without).sum())
    if unknown:
        notes.append(
            f"{counted(unknown, 'image is', 'images are')} unlabelled, since their side, their patient's rows or their row's "
            "class is not known"
        )
    shares: Counter[str] = Counter()
    for subset, part in frame[frame["label"] != ""].groupby("subset"):
        shares[str(subset)] = round(100 * float((part["label"] == "malignant").mean()))
    if len(shares) > 1:
        listed = ", ".join(f"{share} % malignant in {subset}" for subset, share in sorted(shares.items()))
        notes.append(f"warning: the part tells the label ({listed}): look at the metrics by subset")
    return notes


_RULES = ("pathology", "pathology-assume-normal")

IMPORTER = Importer(
    "cmmd",
    "CMMD: <patient>/<study>/<series>/1-1.dcm with CMMD_clinicaldata_revision.xlsx (or saved as CSV)",
    options_of(_RULES),
    import_cmmd,
    lambda tree: next((f"CMMD's clinical table: {path.name}" for path in tree.tables(_NEEDED)), ""),
)
