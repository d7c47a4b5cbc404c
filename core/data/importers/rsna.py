"""`rsna`: the RSNA 2022 screening mammography set, the original DICOM or one of the PNG and JPEG copies of it."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.data.importers.base import VERIFY, Importer, ImportReport, Options, Progress, check_files, rows_to_frame, ticking
from core.data.importers.differing import Differing
from core.data.importers.folder_walk import Walk, walk
from core.data.importers.vocabulary import cell_word
from core.data.tables import read_table, shown
from core.errors import BadManifest
from core.wording import counted

_NEEDED = ("patient_id", "image_id", "laterality", "view", "cancer")
_KEPT = {
    "age": "age",
    "density": "density",
    "machine_id": "scanner",
    "implant": "implant",
    "BIRADS": "birads",
    "biopsy": "biopsy",
    "invasive": "invasive",
    "difficult_negative_case": "difficult_negative_case",
    "site_id": "site",
}
_SUFFIXES = (".dcm", ".dicom", ".png", ".jpg", ".jpeg", ".tif", ".tiff")
_SIZE = re.compile(r"_[0-9]{3,4}$")  # copies scaled to 512 px and the like are called so
_LABELS = {"": "", "nan": "", "0": "benign", "1": "malignant"}
_WORST = ("", "benign", "malignant")


def import_rsna(source: Path, options: Options, progress: Progress | None) -> ImportReport:
    """Rows of train.csv whose image is there: <patient>/<image>.dcm or <patient>_<image>.jpg|png, in any folder below."""
    verify = options.choice("verify", ("auto", "all", "header"))
    table = _table(source)
    read = read_table(table, lambda fields: set(_NEEDED) <= set(fields))
    header, records = read.header, read.rows
    at = {name: place for place, name in enumerate(header)}
    missing = [name for name in _NEEDED if name not in header]
    if missing:
        raise BadManifest(
            f"{table}: expected the columns of RSNA's train.csv ({', '.join(_NEEDED)}, ...), {', '.join(missing)} missing. "
            "RSNA's test.csv has no labels and cannot be imported."
        )
    known = {(cell_word(fields[at["patient_id"]]), cell_word(fields[at["image_id"]])) for _, fields in records}
    files, others, walked = _index(table.parent, known, ticking(progress))
    rejected = [*walked.rejected(), *((str(path), reason or f"not listed in {table.name}") for path, reason in others)]
    absent: Counter[str] = Counter()
    rows_of: dict[Path, dict[str, Any]] = {}
    rows_like: dict[Path, list[dict[str, Any]]] = {}  # of images that have several
    for line, fields in records:
        record = dict(zip(header, fields, strict=True))
        for name in ("patient_id", "image_id", "cancer"):
            record[name] = cell_word(record[name])  # pandas writes 5.0 for 5 beside empty cells
        key = (record["patient_id"], record["image_id"])
        label = _LABELS.get(record["cancer"].lower())
        if label is None:
            rejected.append((f"{table.name} line {line}", f"cancer {shown(record['cancer'])}: expected 0, 1 or nothing"))
        elif key not in files:
            absent[key[0]] += 1
            rejected.append(
                (
                    f"{key[0]}/{key[1]}",
                    f"no image {key[0]}/{key[1]}.dcm, {key[0]}_{key[1]}.png, {key[0]}@{key[1]}.png or {key[1]}.png found",
                )
            )
        elif files[key] in rows_of:
            first, other = rows_of[files[key]], _row(files[key], record, label)
            rows_like.setdefault(files[key], [first.copy()]).append(other)
            worse = _WORST.index(label) > _WORST.index(first["label"])
            first["label"] = label if worse else first["label"]
            now = f", which is {label} now" if worse else ""
            rejected.append((f"{table.name} line {line}", f"the same image as a row above{now}"))
        else:
            rows_of[files[key]] = _row(files[key], record, label)
    differing = Differing()
    for path, own in rows_like.items():
        for name in ("age", "density"):
            rows_of[path][name] = differing.first(name, path.name, [row[name] for row in own])
        several = [sorted({row[name] for row in own} - {""}) for name in ("laterality", "view")]
        if contrary := [", ".join(words) for words in several if len(words) > 1]:
            del rows_of[path]
            rejected.append((str(path), f"its rows contradict each other: {'; '.join(contrary)}. Correct the table"))
    candidates = list(rows_of.items())
    checked, how = check_files([path for path, _ in candidates], verify, progress, options.require)
    rejected += [(str(path), found.reason) for (path, _), found in zip(candidates, checked, strict=True) if found.reason]
    rows = [row for (_, row), found in zip(candidates, checked, strict=True) if not found.reason]
    notes = [
        how,
        *(*read.notes, *walked.notes()),
        "benign means cancer = 0 here: no cancer found; most of these were never biopsied",
        "no split is given: the patients are split when a training starts, or fill the split column",
    ]
    unlabelled = sum(not row["label"] for row in rows)
    if unlabelled:
        notes.append(f"{counted(unlabelled, 'image has', 'images have')} an empty cell for cancer: unlabelled")
    if absent:
        notes.append(
            f"{counted(absent.total(), 'row')} of {table.name} "
            f"{'has' if absent.total() == 1 else 'have'} no image here (a part of the set was downloaded)"
        )
    return ImportReport(rows_to_frame(rows), notes, rejected, differing.notes())


def _table(source: Path) -> Path:
    table = source if source.is_file() else source / "train.csv"
    if not table.is_file():
        raise BadManifest(
            f"{source}: expected a folder with train.csv and train_images/<patient_id>/<image_id>.dcm or "
            "images/<patient_id>_<image_id>.jpg (or .png), got one without train.csv. Name the folder that holds it."
        )
    return table


def _index(
    root: Path, known: set[tuple[str, str]], tick: Callable[[], None] | None
) -> tuple[dict[tuple[str, str], Path], list[tuple[Path, str]], Walk]:
    """The image below `root` of each (patient, image) in the table; a DICOM wins over a copy of it.

    Also the other images: copies with the reason, those of no row with "".
    """
    found: dict[tuple[str, str], Path] = {}
    others: list[tuple[Path, str]] = []
    images = Counter(image for _, image in known)
    patients = {image: patient for patient, image in known if images[image] == 1}  # a name without the patient
    walked = walk(root, tick)
    for path in sorted(walked.files, key=lambda path: (_rank(path.name), path)):
        stem, suffix = os.path.splitext(path.name)  # noqa: PTH122  a Path a name is slow for 50,000 names
        if suffix.lower() not in _SUFFIXES:
            continue
        for name in (stem, _SIZE.sub("", stem)):
            patient, separator, image = name.replace("@", "_", 1).partition("_")
            keys = [(patient, image)] if separator else [(path.parent.name, name), (patients.get(name, ""), name)]
            key = next((key for key in keys if key in known), None)
            if key is not None:
                if found.setdefault(key, path) != path:
                    others.append((path, f"the same image as {found[key]}"))
                break
        else:
            others.append((path, ""))
    return found, others, walked


def _rank(name: str) -> int:
    suffix = name[name.rfind(".") :].lower()
    return _SUFFIXES.index(suffix) if suffix in _SUFFIXES else len(_SUFFIXES)


def _row(path: Path, record: dict[str, str], label: str) -> dict[str, Any]:
    side = record["laterality"].upper()
    row: dict[str, Any] = {
        "path": str(path),
        "label": label,
        "patient_id": record["patient_id"],
        "laterality": side if side in ("L", "R") else "",
        "view": record["view"].upper(),
        "split": "",
        "dataset": "rsna",
        "collection": "rsna",
        "label_source": "outcome",
    }
    extra = {new: record.get(old, "") for old, new in _KEPT.items()}
    extra["birads"] = extra["birads"].removesuffix(".0")
    return row | extra


IMPORTER = Importer(
    "rsna",
    "RSNA 2022 screening mammography: train.csv with train_images/<patient>/<image>.dcm or images/<patient>_<image>.jpg|png",
    {"verify": VERIFY},
    import_rsna,
    lambda tree: next((f"RSNA's table: {path.name}" for path in tree.tables(_NEEDED, r"train.*")), ""),
)
