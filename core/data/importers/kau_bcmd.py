"""`kau-bcmd`: King Abdulaziz University's set, in folders by BI-RADS, with its sheet where it is there."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from core.data.importers.base import Importer, ImportReport, Options, Progress
from core.data.importers.collection import Candidate, Collection, options_of
from core.data.importers.merging import sound
from core.data.importers.records import Record, read_records
from core.data.importers.tree import Tree
from core.errors import BadManifest

_NAME = re.compile(r"([0-9]{4}_BC[0-9]+)_(CC|MLO)_?\s*([LR])", re.IGNORECASE)
_FOLDER = re.compile(r"bi-?rads?\s*_?([0-6])", re.IGNORECASE)
_NEEDED = ("PatientID", "Assesment")  # as it is written there
_DENSITY_COLUMN = "percentageof"  # "Percentage of\n grandular tissue(density)"
_DENSITY = (("0%-25%", "A"), ("26%-50%", "B"), ("25%-50%", "B"), ("51%-75%", "C"), ("50%-75%", "C"), (">75%", "D"))
_RULES = ("birads-from-4", "birads-without-3", "birads-from-3", "birads-only-5")


def import_kau(source: Path, options: Options, progress: Progress | None) -> ImportReport:
    """A row an image; its BI-RADS category is that of its folder, the higher one where it lies in two."""
    found = Collection.begin("kau-bcmd", source, options, progress)
    sheet = _sheet(found)
    copies: defaultdict[tuple[str, str, str], list[tuple[str, Path]]] = defaultdict(list)
    for path in found.tree.images:
        match = _NAME.search("".join(path.stem.split()))  # blanks stray in the names
        grade = next((folder[1] for name in reversed(path.parent.parts) if (folder := _FOLDER.search(name))), "")
        if match is None:
            found.reject(path, "expected a name such as 2018_BC005421_CC_R")
        elif not grade:
            found.reject(path, "expected it in a folder named after its BI-RADS category (BIRAD 4, Birad5)")
        else:
            copies[(match[1].upper(), match[2].upper(), match[3].upper())].append((grade, path))
    candidates = []
    for (patient, view, side), files in copies.items():
        files.sort(key=lambda file: (-int(file[0]), str(file[1])))
        grade, path = files[0]
        for other, again in files[1:]:
            found.reject(again, f"the same image as {path} of BI-RADS {grade}, the higher of its categories; here {other}")
        records = sheet.get(patient, [])
        row = {
            "patient_id": found.patient(patient),
            "laterality": side,
            "view": view,
            "birads": grade,
            "age": found.differing.first("age", patient, [sound("age", each["Patient age"]) for each in records]),
            "density": found.differing.first("density", patient, map(_density, records)),
        }
        candidates.append(Candidate(path, row))
    if not sheet:
        found.unknown.append("ages and densities: its sheet (correctSheetlast.xlsx) is not here")
    found.unknown.append("lesions are not outlined; there is no BI-RADS 2")
    return found.finish(candidates, _RULES[0])


def _sheet(found: Collection) -> dict[str, list[Record]]:
    """The rows of the sheet by patient: age and density are the patient's."""
    for path in found.tree.tables(_NEEDED):
        records = read_records(path, _NEEDED)
        found.notes += [f"table read: {path.name}", *records.notes]
        rows: defaultdict[str, list[Record]] = defaultdict(list)
        for record in records:
            if match := re.match(r"[0-9]{4}_BC[0-9]+", record["PatientID"].upper()):
                rows[match[0]].append(record)
        return rows
    return {}


def _density(record: Record) -> str:
    name = next((name for name in record.cells if name.startswith(_DENSITY_COLUMN)), "")
    text = "".join(record.cells.get(name, "").split())
    return next((grade for words, grade in _DENSITY if words in text), "")


def _recognise(tree: Tree) -> str:
    for path in tree.images:
        if _NAME.search("".join(path.stem.split())) and any(_FOLDER.search(name) for name in path.parent.parts):
            return f"names such as {path.name} in folders by BI-RADS, as in KAU-BCMD"
    return ""


def _import(source: Path, options: Options, progress: Progress | None) -> ImportReport:
    if source.is_file():
        raise BadManifest(f"{source}: expected the folder that holds BIRAD 1, BIRAD 3 ..., got a file.")
    return import_kau(source, options, progress)


IMPORTER = Importer(
    "kau-bcmd",
    "KAU-BCMD: BIRAD <n>/2018_BC005421_CC_R.jpg, with correctSheetlast.xlsx for ages and densities",
    options_of(_RULES),
    _import,
    _recognise,
)
