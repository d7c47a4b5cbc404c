"""`vindr`: VinDr-Mammo with its annotation tables, as DICOM from PhysioNet or as PNG copies."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

from core.data.importers.base import Importer, ImportReport, Options, Progress
from core.data.importers.collection import Candidate, Collection, options_of
from core.data.importers.merging import sound
from core.data.importers.records import Record, Records, contradiction, read_records
from core.data.importers.tree import Tree
from core.data.label_rules import worst_grade
from core.data.lesions import Box, Lesion
from core.data.manifest import number
from core.errors import BadManifest
from core.wording import counted, first_few

_FINDINGS = ("study_id", "image_id", "breast_birads", "finding_categories", "xmin", "ymin", "xmax", "ymax")
_BREASTS = ("study_id", "image_id", "laterality", "view_position", "breast_birads", "split")
_IMAGE_ID = re.compile(r"(?:.*_)?([0-9a-f]{32})", re.IGNORECASE)
_CATEGORY = re.compile(r"['\"]([^'\"]{1,60})['\"]")
_TYPES = (  # the first that one of a box's categories names
    ("mass", "mass"),
    ("calcification", "calcification"),
    ("distortion", "distortion"),
    ("asymmetry", "asymmetry"),
)
_RULES = ("birads-from-4", "birads-without-3", "birads-only-5", "birads-from-3", "findings-from-4")
# Columns of metadata.csv, which are those of DICOM in words; the first that is there.
_IDS = ("image_id", "SOP Instance UID", "SOPInstanceUID")
_AGES = ("Patient's Age", "PatientAge", "age")
_MAKERS = ("Manufacturer", "Manufacturer's Model Name", "ManufacturerModelName")


def import_vindr(source: Path, options: Options, progress: Progress | None) -> ImportReport:
    """A row an image; the findings of an image are its lesions, the label is that of the breast (or rule=findings-from-4)."""
    found = Collection.begin("vindr", source, options, progress)
    findings, breasts = _tables(source, found.tree)
    found.notes += [f"tables read: {', '.join(table.path.name for table in (findings, breasts) if table is not None)}"]
    images: dict[str, list[Record]] = defaultdict(list)
    for record in breasts or ():
        image = record["image_id"].lower()
        if breasts is not None and image in images:
            found.reject(f"{breasts.path.name} line {record.line}", f"the same image as a row above: {image}")
        images[image].append(record)
    for record in findings or ():
        images[record["image_id"].lower()].append(record)
    files = found.images_by(_id, lambda _: "its name is no id of an image (32 digits and letters a to f)")
    metadata = _metadata(found)
    candidates = []
    repeated: list[str] = []
    for image, records in images.items():
        if image not in files:
            found.reject(image, "listed in the tables, no such image here")
            continue
        differing = contradiction(records, ("study_id", "laterality", "view_position"))
        if differing:
            found.reject(files[image], differing)
            continue
        each = _candidate(found, image, records, files[image], metadata.get(image, []), repeated)
        if findings is None:
            each.row["finding_birads"] = ""  # not known, which is not the same as none
        candidates.append(each)
    for image, path in files.items():
        if image not in images:
            found.reject(path, "not listed in the tables")
    flat = [str(record.line) for record in findings or () if _box(record) is None and _has_box(record)]
    if flat:
        found.repairs.append(
            f"{counted(len(flat), 'box without an extent was', 'boxes without an extent were')} dropped, its finding kept "
            f"(line {first_few(flat, 5)})"
        )
    if repeated:
        found.repairs.append(
            f"{counted(len(repeated), 'finding row repeats', 'finding rows repeat')} the box and categories of another: one "
            "lesion, with the higher BI-RADS category"
        )
    unseen = sum((worst_grade(each.row["birads"]) or 0) > 3 and each.row["finding_birads"] == "none" for each in candidates)
    if unseen:
        found.notes.append(
            f"{counted(unseen, 'image has', 'images have')} a breast of BI-RADS 4 or 5 but no finding in this view: the "
            "breast's label stays (rule=findings-from-4 takes what is drawn)"
        )
    found.unknown.append("patients: a study stands for one, as there is no other key")
    return found.finish(candidates, _RULES[0])


def _tables(source: Path, tree: Tree) -> tuple[Records | None, Records | None]:
    findings, breasts = tree.tables(_FINDINGS), [path for path in tree.tables(_BREASTS) if "breast" in path.name.lower()]
    if not findings and not breasts:
        raise BadManifest(
            f"{source}: expected VinDr-Mammo's finding_annotations.csv or breast-level_annotations.csv beside images/, got "
            "neither. They come with the download from PhysioNet, and with most PNG copies."
        )
    return (
        read_records(findings[0], _FINDINGS) if findings else None,
        read_records(breasts[0], _BREASTS) if breasts else None,
    )


def _id(path: Path) -> str:
    """Of <study>/<image>.dicom, or <study>_<image>.png."""
    match = _IMAGE_ID.fullmatch(path.stem)
    return match[1].lower() if match is not None else ""


def _metadata(found: Collection) -> dict[str, list[Record]]:
    """The rows of metadata.csv by image."""
    for name in _IDS:
        for path in found.tree.tables((name,), r"metadata\.csv"):
            rows: defaultdict[str, list[Record]] = defaultdict(list)
            for record in read_records(path, (name,)):
                rows[record[name].lower()].append(record)
            return rows
    return {}


def _joined(lesions: list[Lesion], repeated: list[str]) -> list[Lesion]:
    """One lesion of several rows with the same box and categories, with the highest BI-RADS category of them."""
    once: dict[tuple[Box | None, frozenset[str]], Lesion] = {}
    for lesion in lesions:
        key = lesion.box, frozenset(lesion.note.lower().split(", "))
        before = once.get(key)
        if before is not None:
            repeated.append(lesion.note)
        if before is None or (worst_grade(lesion.birads) or 0) > (worst_grade(before.birads) or 0):
            once[key] = lesion
    return list(once.values())


def _candidate(
    found: Collection, image: str, records: list[Record], path: Path, tags: list[Record], repeated: list[str]
) -> Candidate:
    def first(name: str) -> str:
        return next(filter(None, (record[name] for record in records)), "")

    lesions = _joined([lesion for record in records if (lesion := _lesion(record)) is not None], repeated)
    grades = [grade for record in records if (grade := worst_grade(record["finding_birads"])) is not None]
    row: dict[str, Any] = {
        "patient_id": found.patient(first("study_id")),
        "exam_id": first("study_id"),
        "laterality": first("laterality")[:1].upper(),
        "view": first("view_position").upper(),
        "split_official": ",".join(dict.fromkeys(filter(None, (record["split"].lower() for record in records)))),
        "birads": found.worst(image, [record["breast_birads"].removeprefix("BI-RADS").strip() for record in records]),
        "finding_birads": str(max(grades)) if grades else "none",
        "density": found.differing.first(
            "density", image, [record["breast_density"].removeprefix("DENSITY").strip() for record in records]
        ),
    }
    if tags:
        ages = [sound("age", next(filter(None, map(each.__getitem__, _AGES)), "")) for each in tags]
        row["age"] = found.differing.first("age", image, ages)
        row["scanner"] = " ".join(dict.fromkeys(filter(None, map(tags[0].__getitem__, _MAKERS))))
    return Candidate(path, row, lesions)


def _lesion(record: Record) -> Lesion | None:
    """The finding of a row, None for a row of the breast table and for "No Finding"."""
    categories = _CATEGORY.findall(record["finding_categories"])
    box = _box(record)
    if box is None and (not categories or categories == ["No Finding"]):
        return None
    words = " ".join(categories).lower()
    width, height = (number(record[name]) for name in ("width", "height"))
    return Lesion(
        type=next((kind for word, kind in _TYPES if word in words), "other"),
        birads=record["finding_birads"].removeprefix("BI-RADS").strip(),
        box=box,
        size=(int(width), int(height)) if width and height and width >= 1 and height >= 1 else None,
        note=", ".join(categories),
    )


def _has_box(record: Record) -> bool:
    return any(record[name] and record[name].lower() != "nan" for name in ("xmin", "ymin", "xmax", "ymax"))


def _box(record: Record) -> Box | None:
    x0, y0, x1, y1 = (number(record[name]) for name in ("xmin", "ymin", "xmax", "ymax"))
    if x0 is None or y0 is None or x1 is None or y1 is None or not (x0 < x1 and y0 < y1):  # NaN is in no order
        return None
    return x0, y0, x1, y1


IMPORTER = Importer(
    "vindr",
    "VinDr-Mammo: images/<study>/<image>.dicom (or PNG copies, nested or flat) with its annotation tables",
    options_of(_RULES, official=True),
    import_vindr,
    lambda tree: next(
        (
            f"VinDr-Mammo's annotations: {path.name}"
            for path in [*tree.tables(_FINDINGS), *tree.tables((*_BREASTS, "series_id"))]
        ),
        "",
    ),
)
