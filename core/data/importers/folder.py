"""`folder`: {train,val,test}/{benign,malignant}/... or {benign,malignant}/..., any formats, any depth below."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.data.importers.base import (
    VERIFY,
    Importer,
    ImportReport,
    Looked,
    Options,
    Progress,
    look_at,
    mixed_sources_notes,
    rows_to_frame,
)
from core.data.importers.names import split_name
from core.data.importers.patterns import PatientPattern
from core.errors import BadManifest

_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_CLUTTER = {
    "thumbs.db",
    "desktop.ini",
    "readme",
    "readme.md",
    "readme.txt",
    "dicomdir",
    "licence.txt",
    "license.txt",
    "license",
}
_LAYOUT = "expected {train,val,test}/{benign,malignant}/ (any of the splits) or {benign,malignant}/"


@dataclass(frozen=True)
class _File:
    path: Path
    inside: str  # posix path from the class folder
    split: str
    label: str


def import_folder(source: Path, options: Options, progress: Progress | None) -> ImportReport:
    """Labels and splits from folder names; patients from a pattern, DICOM headers, or file names, in this order."""
    pattern = options.pattern("patient_pattern")
    verify = options.choice("verify", ("auto", "all", "header"))
    labels = {word.lower(): "benign" for word in options.words("benign", "benign")}
    labels |= {word.lower(): "malignant" for word in options.words("malignant", "malignant,cancer")}
    if not source.is_dir():
        raise BadManifest(f"{source}: {_LAYOUT}, got a file. Name the folder above those.")
    found_files, ignored = _find(source, labels)
    files = [file for file in found_files if not _is_clutter(file.path)]
    looked, how = look_at([file.path for file in files], verify, progress)
    rejected = [(str(file.path), found.reason) for file, found in zip(files, looked, strict=True) if found.reason]
    kept = [(file, found) for file, found in zip(files, looked, strict=True) if not found.reason]
    rows, rules = _rows(kept, pattern)
    notes = [how, *_patient_notes(rules, len(rows))]
    if len(files) < len(found_files):
        count = len(found_files) - len(files)
        notes.append(f"{count} files that come with folders were passed over (hidden ones, readme, Thumbs.db, DICOMDIR)")
    if ignored:
        notes.append(f"folders that name neither a split nor a label were left alone: {', '.join(ignored)}")
    return ImportReport(rows_to_frame(rows), notes, rejected)


def _find(source: Path, labels: dict[str, str]) -> tuple[list[_File], list[str]]:
    with_split: list[tuple[Path, str, str]] = []
    without: list[tuple[Path, str, str]] = []
    ignored: list[str] = []
    for child in _folders(source):
        name = child.name.lower()
        if name in labels:
            without.append((child, "", labels[name]))
        elif name in _SPLITS:
            for inner in _folders(child):
                if inner.name.lower() in labels:
                    with_split.append((inner, _SPLITS[name], labels[inner.name.lower()]))
                else:
                    ignored.append(f"{child.name}/{inner.name}")
        else:
            ignored.append(child.name)
    if with_split and without:
        raise BadManifest(
            f"{source}: {_LAYOUT}, got both ({with_split[0][0].relative_to(source).as_posix()} and {without[0][0].name}). "
            "Import them one at a time."
        )
    if not with_split and not without:
        there = ", ".join(ignored[:10]) or "no folder at all"
        raise BadManifest(f"{source}: {_LAYOUT}, got {there}. Other folder names: options benign and malignant.")
    files = [
        _File(path, path.relative_to(folder).as_posix(), split, label)
        for folder, split, label in with_split or without
        for path in _files(folder)
    ]
    return files, ignored


def _folders(path: Path) -> list[Path]:
    return sorted(child for child in path.iterdir() if child.is_dir() and not child.name.startswith("."))


def _files(folder: Path) -> list[Path]:
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent) / name for name in names]
    return sorted(found)


def _is_clutter(path: Path) -> bool:
    return path.name.startswith(".") or path.name.lower() in _CLUTTER


def _rows(kept: Sequence[tuple[_File, Looked]], pattern: PatientPattern | None) -> tuple[list[dict[str, Any]], Counter[str]]:
    names = {file.path: split_name(file.path.stem) for file, _ in kept}
    shared = {parts.patient for parts in names.values() if parts.stripped and parts.patient}
    rules: Counter[str] = Counter()
    rows = []
    patients = pattern.find([file.inside for file, _ in kept]) if pattern else [""] * len(kept)
    for (file, found), matched in zip(kept, patients, strict=True):
        parts, meta = names[file.path], found.meta
        if matched:
            rule, patient = "pattern", matched
        elif meta.patient:
            rule, patient = "dicom", meta.patient
        elif parts.patient and (parts.stripped or parts.patient in shared):
            rule, patient = "name", parts.patient
        else:
            # With its folders, because 1.png of benign/ and of malignant/ are hardly the same person.
            rule = "alone"
            patient = "/".join(part for part in (file.split, file.label, file.inside.rpartition(".")[0] or file.inside) if part)
        rules[rule] += 1
        row: dict[str, Any] = {
            "path": str(file.path),
            "label": file.label,
            "patient_id": patient,
            "laterality": meta.laterality or parts.laterality,
            "view": meta.view or parts.view,
            "split": file.split,
            "scanner": f"{meta.manufacturer} {meta.model_name}".strip(),
        }
        rows.append(row | ({"synthetic": True} if meta.synthetic else {}))
    return rows, rules


def _patient_notes(rules: Counter[str], total: int) -> list[str]:
    texts = {
        "pattern": "patient from patient_pattern",
        "dicom": "patient from the DICOM header (as a pseudonym)",
        "name": "patient from the file name without side and view at its end",
        "alone": "no patient known, so each file counts as a patient of its own. Leakage between splits cannot be excluded "
        "for these: give patient_pattern if the names hold the patient",
    }
    notes = [f"{rules[rule]} of {total} images: {text}" for rule, text in texts.items() if rules[rule]]
    return notes + mixed_sources_notes(rules)


IMPORTER = Importer(
    "folder",
    "Folders named after the label: {train,val,test}/{benign,malignant} or just {benign,malignant}",
    {
        "patient_pattern": "regular expression searched in each file's path below the label folder; its group named patient, "
        "or the first one, is the patient. Where it matches, it wins over the patient in a DICOM header: a set of DICOM files "
        "that all name their patient does not need it, a mixed one does",
        "benign": "names of folders with benign images, commas between (default: benign)",
        "malignant": "names of folders with malignant images, commas between (default: malignant,cancer)",
        "verify": VERIFY,
    },
    import_folder,
)
