"""`csv`: any table with a row an image; columns and label words are mapped by options, or guessed by their usual names."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
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
from core.data.manifest import absolute
from core.data.tables import listed, read_table, shown
from core.errors import BadManifest

# How the columns of published tables are called; compared without case, blanks, dashes and underscores.
_USUAL = {
    "path": ("path", "file", "filename", "filepath", "imagepath", "imagefilepath", "image", "imagefile", "img"),
    "label": ("label", "class", "pathology", "cancer", "malignant", "target", "diagnosis", "outcome"),
    "patient": ("patientid", "patient", "subjectid", "subject", "caseid", "case", "studyid"),
    "laterality": ("laterality", "side", "breast", "leftorrightbreast", "imagelaterality"),
    "view": ("view", "imageview", "viewposition", "projection"),
    "split": ("split", "set", "subset", "fold", "partition"),
}
_BENIGN = "benign,benign_without_callback,0,negative,false,no,b"
_MALIGNANT = "malignant,1,cancer,positive,true,yes,m"
_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
    "": "",
}
# Columns that hold nothing personal and that the lab knows what to do with; others need `keep`.
_KNOWN = (
    *("age", "density", "scanner", "birads", "implant", "biopsy", "synthetic", "manufacturer", "site"),
    *("lesions", "lesion_circles", "lesion_masks", "dataset", "official_split"),
)


def import_csv(source: Path, options: Options, progress: Progress | None) -> ImportReport:
    """A row of the table becomes a row of the manifest, or is left out with its line and the reason."""
    verify = options.choice("verify", ("auto", "all", "header"))
    if not source.is_file():
        raise BadManifest(f"{source}: expected a CSV file, got a folder, pipe or device. Name the table itself.")
    found = read_table(source)
    header, records = found.header, found.rows
    columns = _columns(source, header, options)
    keep = _kept(source, header, columns, options)
    root = Path(options.text("root") or source.parent).expanduser().absolute()
    pattern = options.pattern("patient_pattern")
    labels = {word.lower(): "benign" for word in options.words("benign", _BENIGN)}
    labels |= {word.lower(): "malignant" for word in options.words("malignant", _MALIGNANT)}
    matched = _matched(pattern, [fields[header.index(columns["path"])] for _, fields in records])
    rows: list[dict[str, Any]] = []
    sources: list[str] = []  # of each row's patient
    rejected: list[tuple[str, str]] = []
    seen: dict[str, int] = {}
    for line, fields in records:
        record = dict(zip(header, fields, strict=True))
        row, rule, reason = _row(record, columns, labels, root, matched.get(record[columns["path"]], ""))
        if not reason and os.path.normcase(row["path"]) in seen:
            reason = f"the same image as line {seen[os.path.normcase(row['path'])]}"
        if reason:
            rejected.append((f"{source.name} line {line}", reason))
            continue
        seen[os.path.normcase(row["path"])] = line
        rows.append(row | {name.lower(): record[name] for name in keep})
        sources.append(rule)
    looked, how = look_at([Path(row["path"]) for row in rows], verify, progress)
    rejected += [(row["path"], found.reason) for row, found in zip(rows, looked, strict=True) if found.reason]
    together = zip(rows, sources, looked, strict=True)
    kept = [_completed(row, rule, found) for row, rule, found in together if not found.reason]
    rules = Counter(rule for _, rule in kept)
    notes = [how, *_notes(columns, rules, header, keep)]
    return ImportReport(rows_to_frame([row for row, _ in kept]), notes, rejected)


def _matched(pattern: PatientPattern | None, paths: Sequence[str]) -> dict[str, str]:
    """The patient that the pattern finds in each path."""
    return dict(zip(paths, pattern.find(paths), strict=True)) if pattern else {}


def _columns(source: Path, header: Sequence[str], options: Options) -> dict[str, str]:
    """Which column of the table holds what; "" where none does."""
    plain = {re.sub(r"[\s_\-]", "", name).lower(): name for name in reversed(header)}
    found: dict[str, str] = {}
    for role, usual in _USUAL.items():
        named = options.text(f"{role}_column")
        if named and named not in header:
            raise BadManifest(
                f"{source}: option {role}_column: expected one of its columns ({listed(list(header))}), got {named!r}"
            )
        found[role] = named or next((plain[name] for name in usual if name in plain), "")
    for role in ("path", "label"):
        if not found[role]:
            raise BadManifest(
                f"{source}: which column holds the {role}? None of {listed(list(header))} is named so. "
                f"Say it with the option {role}_column."
            )
    return found


def _kept(source: Path, header: Sequence[str], columns: dict[str, str], options: Options) -> list[str]:
    wanted = options.words("keep")
    missing = [name for name in wanted if name not in header]
    if missing:
        raise BadManifest(f"{source}: option keep: no column {', '.join(missing)}; there are {listed(list(header))}")
    used = set(columns.values())
    names = [name for name in header if name not in used and (name.lower() in _KNOWN or name in wanted)]
    return [name for name in names if name.lower() not in ("path", "label", "patient_id", "laterality", "view", "split")]


def _row(
    record: dict[str, str], columns: dict[str, str], labels: dict[str, str], root: Path, matched: str
) -> tuple[dict[str, Any], str, str]:
    """The manifest's row, where its patient comes from ("" for nowhere yet), and why it cannot be one ("" when it can)."""
    value = {role: record[column] if column else "" for role, column in columns.items()}
    label = labels.get(_number_word(value["label"]))
    split = _SPLITS.get(value["split"].lower())
    if not value["path"]:
        return {}, "", "no path"
    if label is None:
        reason = f"label {shown(value['label'])} is mapped to neither benign nor malignant (options benign=..., malignant=...)"
        return {}, "", reason
    if split is None:
        return {}, "", f"split {shown(value['split'])}: expected train, val, test or nothing"
    rule = "table" if value["patient"] else "pattern" if matched else ""
    side = value["laterality"][:1].upper()
    row = {
        "path": absolute(value["path"], root),
        "label": label,
        "patient_id": value["patient"] or matched,
        "laterality": side if side in ("L", "R") else "",
        "view": value["view"].upper(),
        "split": split,
    }
    return row, rule, ""


def _completed(row: dict[str, Any], rule: str, found: Looked) -> tuple[dict[str, Any], str]:
    """The row with what the file itself says where the table is silent, and where its patient comes from."""
    parts = split_name(Path(row["path"]).stem)
    patient = row["patient_id"]
    if not rule and found.meta.patient:
        rule, patient = "dicom", found.meta.patient
    elif not rule and parts.stripped and parts.patient:
        rule, patient = "name", parts.patient
    elif not rule:
        rule, patient = "alone", Path(row["path"]).as_posix().lstrip("/").rpartition(".")[0]
    side = row["laterality"] or found.meta.laterality or parts.laterality
    return row | {"patient_id": patient, "laterality": side, "view": row["view"] or found.meta.view or parts.view}, rule


def _number_word(text: str) -> str:
    """Labels as people and spreadsheets write them: 1.0 is 1, case does not matter."""
    return text.strip().lower().removesuffix(".0")


def _notes(columns: dict[str, str], rules: Counter[str], header: Sequence[str], keep: Sequence[str]) -> list[str]:
    used = ", ".join(f"{role} from {column}" for role, column in columns.items() if column)
    notes = [f"columns: {used}"]
    texts = {
        "pattern": "patient from patient_pattern",
        "dicom": "patient from the DICOM header (as a pseudonym)",
        "name": "patient from the file name without side and view at its end",
        "alone": "no patient known, so each file counts as a patient of its own. Leakage between splits cannot be excluded: "
        "name a patient_column or give a patient_pattern",
    }
    notes += [f"{rules[rule]} images: {text}" for rule, text in texts.items() if rules[rule]]
    notes += mixed_sources_notes(rules)
    dropped = [name for name in header if name not in keep and name not in columns.values()]
    if dropped:
        notes.append(f"columns left out of the manifest (option keep takes them in): {', '.join(dropped)}")
    return notes


IMPORTER = Importer(
    "csv",
    "Any CSV with one row an image; say which column is which where the names do not",
    {
        **{
            f"{role}_column": f"column that holds the {role}" + ("" if role in ("path", "label") else ", if there is one")
            for role in _USUAL
        },
        "benign": f"label words that mean benign, commas between (default: {_BENIGN})",
        "malignant": f"label words that mean malignant, commas between (default: {_MALIGNANT})",
        "root": "folder that relative paths start from (default: the table's own)",
        "patient_pattern": "regular expression on the path, used where the table names no patient; its group named patient, "
        "or the first one, is the patient. Where it matches, it wins over the patient in a DICOM header",
        "keep": f"further columns to take over, commas between; {', '.join(_KNOWN)} are always taken. Keep names and dates out",
        "verify": VERIFY,
    },
    import_csv,
)
