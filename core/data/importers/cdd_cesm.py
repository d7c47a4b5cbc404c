"""`cdd-cesm`: the low-energy images of CDD-CESM, which look like mammograms, with the radiologists' manual annotations."""

from __future__ import annotations

import re
from pathlib import Path

from core.data.importers.base import Importer, ImportReport, Options, Progress
from core.data.importers.collection import DENSITY, Candidate, Collection, options_of
from core.data.importers.merging import sound
from core.data.importers.records import Record, read_records
from core.data.importers.tree import Tree
from core.data.label_rules import BENIGN, MALIGNANT, NORMAL, worst_grade
from core.data.tables import shown
from core.errors import BadManifest

_NEEDED = ("Image_name", "Patient_ID", "Side", "View", "Type", "Pathology Classification/ Follow up")
_PATHOLOGY = _NEEDED[-1]
_PATHOLOGIES = {"malignant": MALIGNANT, "benign": BENIGN, "normal": NORMAL}
_LOW_ENERGY = ("dm",)
_RULES = ("pathology", "pathology-without-normal", "birads-from-4", "birads-without-3")


def import_cesm(source: Path, options: Options, progress: Progress | None) -> ImportReport:
    """A row a low-energy (DM) image; the contrast-enhanced twin of a view shows the same breast, and is left out."""
    found = Collection.begin("cdd-cesm", source, options, progress)
    table = _table(source, found.tree)
    records = read_records(table, _NEEDED)
    found.notes += [f"table read: {table.name}", *records.notes]
    files = {_name(path.stem): path for path in reversed(found.tree.images)}
    used: set[Path] = set()
    candidates = []
    for record in records:
        where = f"{table.name} line {record.line}"
        path = files.get(_name(record["Image_name"]))
        if path is None:
            found.reject(where, f"no image {shown(record['Image_name'])} here")
        elif record["Type"].lower() not in _LOW_ENERGY:
            if path not in used:
                found.reject(path, "a subtracted contrast-enhanced image, the twin of a low-energy one of the same breast")
            used.add(path)
        else:
            used.add(path)
            candidates.append(_candidate(found, record, path))
    for path in found.tree.images:
        if path not in used:
            found.reject(path, f"not listed in {table.name}")
    found.notes.append(
        "low-energy images of contrast-enhanced mammography: symptomatic and recalled women, not a screening population"
    )
    return found.finish(candidates, _RULES[0])


def _table(source: Path, tree: Tree) -> Path:
    if source.is_file():
        return source
    tables = tree.tables(_NEEDED)
    if not tables:
        raise BadManifest(
            f"{source}: expected CDD-CESM's 'Radiology manual annotations.xlsx' (a sheet with {', '.join(_NEEDED)}) beside "
            f"its images, it is missing{tree.nearly(_NEEDED)}."
        )
    return tables[0]


def _name(text: str) -> str:
    """A name as both sides write it: blanks stray in the table's."""
    return re.sub(r"\s+", "", text).lower()


def _candidate(found: Collection, record: Record, path: Path) -> Candidate:
    patient = re.sub(r"\s+", "", record["Patient_ID"]).removesuffix(".0").upper()
    row = {
        "patient_id": found.patient(patient if patient.startswith("P") else f"P{patient}"),
        "laterality": record["Side"][:1].upper(),
        "view": record["View"].upper(),
        "age": sound("age", record["Age"]),
        "density": DENSITY.get(record["Breast density (ACR)"].removesuffix(".0").upper(), ""),
        "birads": str(worst_grade(record["BIRADS"]) or ""),  # 2$2: a grade a lesion
        "pathology": _PATHOLOGIES.get(record[_PATHOLOGY].lower(), ""),
        "scanner": record["Machine"],
        "findings": record["Findings"],
    }
    return Candidate(path, row)


IMPORTER = Importer(
    "cdd-cesm",
    "CDD-CESM: Low energy images of CDD-CESM/P1_L_DM_CC.jpg with 'Radiology manual annotations.xlsx'",
    options_of(_RULES),
    import_cesm,
    lambda tree: next((f"CDD-CESM's annotations: {path.name}" for path in tree.tables(_NEEDED)), ""),
)
