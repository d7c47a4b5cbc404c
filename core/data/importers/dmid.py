"""`dmid`: the Digital Mammography Dataset for Breast Cancer Diagnosis Research, with its Metadata.xlsx. It names no patient."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.data.importers.base import Importer, ImportReport, Options, Progress
from core.data.importers.collection import Candidate, Collection, options_of, relative_to_image
from core.data.importers.records import TABLES
from core.data.importers.tree import IMAGES, Tree
from core.data.label_rules import BENIGN, MALIGNANT, NORMAL
from core.data.lesions import Lesion
from core.data.table_text import read_text
from core.data.workbooks import is_workbook, read_sheets
from core.errors import BadManifest

_ID = re.compile(r"IMG[0-9]{3}", re.IGNORECASE)
_VIEW = re.compile(r"(CC|MLO)(LT|RT)", re.IGNORECASE)
_PATHOLOGIES = {"M": MALIGNANT, "B": BENIGN, "N": NORMAL}
_TYPES = {"CIRC": "mass", "SPIC": "mass", "MISC": "mass", "CALC": "calcification", "ARCH": "distortion", "ASYM": "asymmetry"}
_TISSUE = {"F": "fatty", "G": "fatty-glandular", "D": "dense-glandular"}
_MASKS = "roi masks"
_RULES = ("pathology", "pathology-without-normal")

Cells = Sequence[str]


def import_dmid(source: Path, options: Options, progress: Progress | None) -> ImportReport:
    """A row an image: its worst finding; the DICOM file where there are several forms of it."""
    found = Collection.begin("dmid", source, options, progress)
    table, rows = _rows(source, found.tree)
    found.notes.append(f"table read: {table.name}")
    images, masks = _files(found)
    findings: defaultdict[str, list[Cells]] = defaultdict(list)
    for cells in rows:
        findings[cells[0].upper()].append(cells)
    candidates = []
    for name, own in findings.items():
        if name not in images:
            found.reject(name, f"listed in {table.name}, no such image here")
            continue
        views = sorted({cells[1].upper() for cells in own})
        if len(views) > 1:
            found.reject(images[name], f"its rows contradict each other: {', '.join(views)}. Correct the table")
            continue
        candidates.append(_candidate(found, name, own, images[name], masks.get(name)))
    for name, path in images.items():
        if name not in findings:
            found.reject(path, f"not listed in {table.name}")
    found.unknown.append(
        "patients: the set names none, and neighbouring numbers may well be one. Each image counts as a patient, so no split "
        "can be safe and no score is patient-level"
    )
    found.notes.append(
        "lesions are its mask files; the table's centres and radii are left out, for nobody says where y counts from"
    )
    return found.finish(candidates, _RULES[0])


def _rows(source: Path, tree: Tree) -> tuple[Path, list[Cells]]:
    """The rows that begin with an image's name, below the legend of the sheet."""
    tables = [source] if source.is_file() else [path for path in tree.files if path.suffix.lower() in TABLES]
    for path in sorted(tables, key=lambda path: (len(path.parts), path)):
        rows = _image_rows(path)
        if rows:
            return path, rows
    raise BadManifest(
        f"{source}: expected DMID's Metadata.xlsx (rows such as IMG001, MLOLT, G, CIRC, B) beside DICOM Images and TIFF "
        "Images, it is missing."
    )


def _image_rows(path: Path) -> list[Cells]:
    if is_workbook(path):
        lines = [cells for sheet in read_sheets(path).values() for _, cells in sheet]
    else:
        lines = [re.split(r"[,;\t]", line) for line in read_text(path).splitlines()]
    cleaned = [[cell.strip() for cell in cells if cell.strip()] for cells in lines]
    return [cells for cells in cleaned if len(cells) >= 3 and _ID.fullmatch(cells[0]) and _VIEW.fullmatch(cells[1])]


def _files(found: Collection) -> tuple[dict[str, Path], dict[str, Path]]:
    images: dict[str, Path] = {}
    masks: dict[str, Path] = {}
    for path in sorted(found.tree.images, key=lambda path: (IMAGES.index(path.suffix.lower()), path)):
        name = path.stem.upper()
        if _ID.fullmatch(name) is None:
            found.reject(path, "its name is not IMG and three digits")
        elif any(_MASKS in part.lower() for part in found.tree.inside(path)[:-1]):
            masks.setdefault(name, path)
        elif name in images:
            found.reject(path, f"the same image as {images[name]}")
        else:
            images[name] = path
    return images, masks


def _candidate(found: Collection, name: str, own: list[Cells], path: Path, mask: Path | None) -> Candidate:
    view = _VIEW.fullmatch(own[0][1])
    words = [cell.upper() for cells in own for cell in cells[2:]]
    said = {_PATHOLOGIES[word] for word in words if word in _PATHOLOGIES}
    abnormalities = sorted({part for word in words for part in word.split("+") if part in _TYPES or part in ("NORM", "CLAC")})
    worst = next((each for each in (MALIGNANT, BENIGN, NORMAL) if each in said), NORMAL if abnormalities == ["NORM"] else "")
    kinds = {_TYPES.get("CALC" if word == "CLAC" else word, "") for word in abnormalities} - {""}
    row: dict[str, Any] = {
        "patient_id": found.patient(path.stem),
        "laterality": view[2][0].upper() if view else "",
        "view": view[1].upper() if view else "",
        "pathology": worst,
        "density": found.differing.first("density", name, [_TISSUE[word] for word in words if word in _TISSUE]),
        "abnormality": " ".join(abnormalities),
    }
    kind = kinds.pop() if len(kinds) == 1 else ""
    lesions = (
        [Lesion(type=kind, pathology=worst, mask=relative_to_image(mask, path))] if mask is not None and worst != NORMAL else []
    )
    return Candidate(path, row, lesions)


def _recognise(tree: Tree) -> str:
    folders = {"dicom images", "tiff images"} & tree.parts
    named = any(_ID.fullmatch(path.stem) for path in tree.images)
    return f"{' and '.join(sorted(folders))} with files such as IMG001, as in DMID" if folders and named else ""


IMPORTER = Importer(
    "dmid",
    "DMID: DICOM Images/IMG001.dcm or TIFF Images/IMG001.tif, ROI Masks/IMG001.tif and Metadata.xlsx; no patients",
    options_of(_RULES),
    import_dmid,
    _recognise,
)
