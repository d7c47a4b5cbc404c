"""`inbreast`: INbreast with INbreast.csv; the patient is the second part of a file's name, lesions come from AllXML."""

from __future__ import annotations

import plistlib
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

from core.data.importers.base import FileCheck, Importer, ImportReport, Options, Progress
from core.data.importers.collection import DENSITY, Candidate, Collection, options_of
from core.data.importers.records import Record, contradiction, joined, read_records
from core.data.importers.tree import Tree
from core.data.lesions import Lesion
from core.data.tables import shown
from core.errors import BadManifest
from core.files.untrusted import LARGE, read_bytes
from core.wording import counted, first_few

_NEEDED = ("File Name", "Bi-Rads", "Laterality", "View")
_NAME = re.compile(r"([0-9]{6,10})(?:_([0-9a-f]{16})_.*)?", re.IGNORECASE)
_SIDE_AND_VIEW = re.compile(r"_MG_([LR])_([A-Z]+)", re.IGNORECASE)
_POINT = re.compile(r"\(\s*(-?[0-9.]{1,20})\s*,\s*(-?[0-9.]{1,20})\s*\)")
_SIZES = ((3328, 4084), (2560, 3328))  # (width, height) of the DICOM files, which outlines refer to
_SAME_SHAPE = 0.01
_TYPES = {
    "mass": "mass",
    "calcification": "calcification",
    "calcifications": "calcification",
    "cluster": "calcification",
    "distortion": "distortion",
    "spiculated region": "mass",
    "espiculated region": "mass",
    "asymmetry": "asymmetry",
    "assymetry": "asymmetry",
    "asimmetry": "asymmetry",
}
_RULES = ("birads-from-4", "birads-without-3", "birads-from-3", "birads-only-5")


def import_inbreast(source: Path, options: Options, progress: Progress | None) -> ImportReport:
    """A row of the table becomes a row of the manifest, joined by the number that begins the file's name."""
    found = Collection.begin("inbreast", source, options, progress)
    table = _table(source, found.tree)
    files = found.images_by(_number, _not_understood)
    outlines = {path.stem: path for path in found.tree.files if path.suffix.lower() == ".xml"}
    odd_types: Counter[str] = Counter()
    candidates = []
    rows: defaultdict[str, list[Record]] = defaultdict(list)
    records = read_records(table, _NEEDED)
    found.notes += [f"table read: {table.name}", *records.notes]
    for record in records:
        number = number_of(record)
        if not number:
            found.reject(f"{table.name} line {record.line}", "no number of a file: an empty row, or the totals below the table")
            continue
        rows[number].append(record)
        if len(rows[number]) > 1:
            found.reject(f"{table.name} line {record.line}", f"the same image as a row above: {number}")
    unread: list[str] = []
    for number, own in rows.items():
        if number not in files:
            found.reject(f"{table.name} line {own[0].line}", f"no image {number}_..._ANON.dcm (or {number}.png) here")
            continue
        differing = contradiction(own, ("Laterality", "View"))
        if differing:
            found.reject(files[number], differing)
            continue
        lesions = _lesions(outlines[number], odd_types, unread) if number in outlines else []
        candidates.append(_candidate(found, own, number, files[number], lesions))
    for number, path in files.items():
        if number not in rows:
            found.reject(path, f"not listed in {table.name}")
    if unread:
        found.notes.append(
            f"warning: {counted(len(unread), 'file')} of outlines cannot be read, their images are imported without them: "
            f"{first_few(unread, 5, '; ')}"
        )
    if odd_types:
        names = ", ".join(f"{shown(name)} ({count})" for name, count in odd_types.most_common(5))
        found.notes.append(
            f"{counted(odd_types.total(), 'outline')} with a name that is no type of lesion, taken as other: {names}"
        )
    unknown = sum(each.row["patient_id"] == found.patient(each.path.stem) for each in candidates)
    if unknown:
        found.unknown.append(
            f"patients of {counted(unknown, 'image')}: the name has lost its second part, which is the patient. Each counts "
            "as a patient of its own, so scores are not patient-level"
        )
    found.unknown.append("ages and scanners were removed by the collection's authors")
    unplaced: list[str] = []
    report = found.finish(candidates, _RULES[0], lambda each, check: _place(each, check, unplaced))
    if unplaced:
        report.notes.append(
            f"warning: {counted(len(unplaced), 'image has', 'images have')} another shape than INbreast's (first: "
            f"{unplaced[0]}): it was cropped or stretched, so the outlines were left out"
        )
    return report


def number_of(record: Record) -> str:
    """The number that names a row's file: workbooks write it with .0, and have totals below the table."""
    text = record["File Name"].removesuffix(".0")
    return text if text.isascii() and text.isdecimal() and len(text) >= 6 else ""


def _number(path: Path) -> str:
    match = _NAME.fullmatch(path.stem)
    return match[1] if match is not None else ""


def _not_understood(path: Path) -> str:
    number = re.match(r"[0-9]+", path.stem)
    if number is None:
        return "its name does not begin with a number of INbreast"
    if not 6 <= len(number[0]) <= 10:
        return f"its name begins with {number[0]}: expected a number of INbreast, of 6 to 10 digits"
    return (
        f"its name continues with {shown(path.stem[len(number[0]) :])}: expected nothing after the number {number[0]}, or the "
        f"patient as 16 digits and letters a to f ({number[0]}_0123456789abcdef_MG_R_CC_ANON)"
    )


def patient_tokens(tree: Tree) -> dict[str, str]:
    """The patient in the name of each file that has one, by the file's number."""
    found = {}
    for path in tree.files:
        match = _NAME.fullmatch(path.stem)
        if match is not None and match[2]:
            found[match[1]] = match[2].lower()
    return found


def _table(source: Path, tree: Tree) -> Path:
    if source.is_file():
        return source
    tables = tree.tables(_NEEDED)
    if tables:
        return tables[0]
    old = "; there is an old workbook (.xls): save its first sheet as INbreast.csv" if tree.named(r"INbreast\.xls") else ""
    raise BadManifest(
        f"{source}: expected INbreast.csv (columns {', '.join(_NEEDED)}) beside AllDICOMs, it is missing"
        f"{tree.nearly(_NEEDED) or old}."
    )


def _candidate(found: Collection, rows: list[Record], number: str, path: Path, lesions: list[Lesion]) -> Candidate:
    record = joined(rows)
    match = _NAME.fullmatch(path.stem)
    token = match[2].lower() if match is not None and match[2] else ""
    named = _SIDE_AND_VIEW.search(path.stem)
    view = record["View"].upper() or (named[2].upper() if named else "")
    grade = found.worst(number, [row["Bi-Rads"].lower().removesuffix(".0") for row in rows])
    row: dict[str, Any] = {
        "patient_id": found.patient(token or path.stem),
        "laterality": record["Laterality"][:1].upper() or (named[1].upper() if named else ""),
        "view": "MLO" if view == "ML" else view,  # the names say ML where the table says MLO
        "birads": grade,
        "density": found.differing.first("density", number, [DENSITY.get(row["ACR"].removesuffix(".0"), "") for row in rows]),
    }
    return Candidate(path, row, lesions)


def _lesions(path: Path, odd: Counter[str], unread: list[str]) -> list[Lesion]:
    """The outlines of an XML file (a property list); nothing in it is ever evaluated."""
    try:
        content = plistlib.loads(read_bytes(path, LARGE), fmt=plistlib.FMT_XML)
        regions = content["Images"][0]["ROIs"]
        return [_lesion(region, odd) for region in regions]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError, ExpatError) as error:
        unread.append(f"{path.name} ({type(error).__name__}: {error})")
        return []


def _lesion(region: dict[str, Any], odd: Counter[str]) -> Lesion:
    name = " ".join(str(region.get("Name", "")).split()).lower()
    kind = _TYPES.get(name, "other")
    if kind == "other":
        odd[name] += 1
    points = tuple(
        (float(match[1]), float(match[2])) for point in region["Point_px"] if (match := _POINT.fullmatch(str(point)))
    )
    return Lesion(type=kind, polygon=points, note="" if kind != "other" else name[:60])


def _place(each: Candidate, check: FileCheck, unplaced: list[str]) -> str:
    """Outlines are in pixels of the DICOM file; in a picture of another size they are scaled where its shape is the same."""
    size = check.header.size
    if not each.lesions or check.meta.format == "DICOM" or check.header.dicom is not None or size is None:
        return ""
    original = next((known for known in _SIZES if abs(size[0] * known[1] / (size[1] * known[0]) - 1) < _SAME_SHAPE), None)
    if original is None:
        unplaced.append(each.path.name)
        each.lesions = [Lesion(type=lesion.type, note="position not known in this copy") for lesion in each.lesions]
    else:
        each.lesions = [Lesion(**{**vars(lesion), "size": original}) for lesion in each.lesions]
    return ""


IMPORTER = Importer(
    "inbreast",
    "INbreast: AllDICOMs/<number>_<patient>_MG_<side>_<view>_ANON.dcm (or copies) with INbreast.csv and AllXML",
    options_of(_RULES),
    import_inbreast,
    lambda tree: next((f"INbreast's table: {path.name}" for path in tree.tables((*_NEEDED, "ACR"))), ""),
)
