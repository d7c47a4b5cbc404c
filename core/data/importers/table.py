"""`csv`: any table with a row an image; columns and label words are mapped by options, or guessed by their usual names."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.data.importers.base import (
    VERIFY,
    FileCheck,
    Importer,
    ImportReport,
    Options,
    Progress,
    check_files,
    patient_notes,
    rows_to_frame,
    ticking,
)
from core.data.importers.columns import BENIGN, MALIGNANT, Labels, Splits
from core.data.importers.file_names import patient_offers, split_name
from core.data.importers.folder_walk import with_home
from core.data.importers.merging import OLDEST, TableRow, merge, sound
from core.data.importers.path_hints import PathHints
from core.data.importers.vocabulary import plain
from core.data.manifest import EXCLUDED, LABELS, absolute, is_excluded, left_out_notes
from core.data.tables import Table, listed, read_table, shown
from core.errors import BadManifest
from core.images.placeholder import is_placeholder
from core.wording import counted

# How the columns of published tables are called; compared without case, accents, blanks, dashes and underscores.
_USUAL = {
    "path": ("path", "file", "filename", "filepath", "imagepath", "imagefilepath", "image", "imagefile", "img"),
    "label": ("label", "class", "pathology", "cancer", "malignant", "target", "diagnosis", "outcome"),
    "patient": ("patientid", "patient", "subjectid", "subject", "caseid", "case", "studyid"),
    "laterality": ("laterality", "side", "breast", "leftorrightbreast", "imagelaterality"),
    "view": ("view", "imageview", "viewposition", "projection"),
    "split": ("split", "set", "subset", "fold", "partition"),
}
_NEEDED = ("path", "label")
NONE = "none"  # switches a guessed column off
# Columns that hold nothing personal and that the lab knows what to do with; others need `keep`.
_KNOWN = (
    *("age", "density", "scanner", "birads", "implant", "biopsy", "synthetic", "manufacturer", "site", EXCLUDED),
    *("lesions", "lesion_circles", "lesion_masks", "dataset", "official_split", "split_origin"),
    *("collection", "label_source", "label_rule", "split_official", "exam_id", "subset", "copy_of", "pathology"),
)
_LONGEST_PATH = 4_096  # characters; no system takes more
_RESERVED = ("path", "label", "patient_id", "laterality", "view", "split", "content_hash")


@dataclass(frozen=True)
class _Columns:
    """`of`: which column of the table holds what, "" where none does; `guessed`: the roles that no option named."""

    of: dict[str, str]
    guessed: frozenset[str]
    notes: list[str]


def import_csv(source: Path, options: Options, progress: Progress | None) -> ImportReport:
    """A row of the table becomes a row of the manifest, or is left out with its line and the reason."""
    verify = options.choice("verify", ("auto", "all", "header"))
    table = read_table(source, lambda fields: _is_header(fields, options))
    columns = _columns(source, table.header, options)
    keep, kept_notes = _kept(source, table.header, columns.of, options)
    cells = {role: _cells(table, column) for role, column in columns.of.items()}
    # Rows without an image (totals, notes below the table) have no say in what the words mean.
    with_image = {role: list(itertools.compress(column, cells["path"])) for role, column in cells.items()}
    labels = Labels(options, columns.of["label"], with_image["label"])
    splits = Splits(options, columns.of["split"], "split" in columns.guessed, with_image["split"])
    if columns.of["split"] and not splits.used and columns.of["split"].lower() not in _RESERVED:
        keep = [*keep, columns.of["split"]]
    patients, pattern_notes = _patients(options, columns, cells, ticking(progress))
    root = with_home(Path(options.text("root") or source.parent)).absolute()
    unlabelled = options.choice("unlabelled", ("leave", "keep")) == "keep"
    rows, rejected, spoiled = _rows(table, cells, labels, splits, patients, keep, root, unlabelled)
    merged = merge(rows)
    rejected = sorted([*rejected, *merged.rejected])
    checked, how = check_files([Path(row.path) for row in merged.rows], verify, progress, options.require)
    hints = PathHints()
    unread = [
        (row.path, found.reason + hints.hint(row.path)) for row, found in zip(merged.rows, checked, strict=True) if found.reason
    ]
    kept = [_completed(row, found) for row, found in zip(merged.rows, checked, strict=True) if not found.reason]
    for row, _ in kept:
        if row["split"]:
            row.setdefault("split_origin", _split_origin(row, columns.of["split"]))
    notes = [
        *_two_level_notes([check for check in checked if not check.reason]),
        *(
            how,
            *table.notes,
            *columns.notes,
            *labels.notes(unlabelled=unlabelled),
            *splits.notes,
            *kept_notes,
            *pattern_notes,
            *merged.notes,
        ),
        *patient_notes(Counter(rule for _, rule in kept), len(kept), "name a patient_column or give a patient_pattern"),
        *patient_offers([row["path"] for row, rule in kept if rule == "alone"]),
        *(_spoiled(name, found) for name, found in spoiled.items()),
        *_dropped(table.header, keep, columns.of),
    ]
    lines = [(f"{source.name} line {line}", reason) for line, reason in rejected]
    frame = rows_to_frame([row for row, _ in kept])
    if not frame.empty:
        there = set(frame["label"])
        notes += [f"warning: there is no {label} image" for label in LABELS if label not in there]
    if is_excluded(frame).any():
        notes += left_out_notes(frame)[:1]
    return ImportReport(frame, notes, [*lines, *unread])


def _split_origin(row: Mapping[str, Any], column: str) -> str:
    """Where a row's split comes from, for the record of a run that trains on it."""
    official = str(row.get("official_split", "")).strip().lower() in ("1", "true", "yes")
    return f"{'the official split of the data set, ' if official else ''}by the column {column} of the imported table"


def _is_header(fields: Sequence[str], options: Options) -> bool:
    names = {plain(name) for name in fields}
    named = [options.text(f"{role}_column") for role in _USUAL]
    if any(plain(name) not in names for name in named if name and name.lower() != NONE):
        return False
    return all(options.text(f"{role}_column") or names & set(_USUAL[role]) for role in _NEEDED)


def _columns(source: Path, header: Sequence[str], options: Options) -> _Columns:
    there = {plain(name): name for name in reversed(header)}
    found: dict[str, str] = {}
    guessed: set[str] = set()
    others: list[str] = []
    for role, usual in _USUAL.items():
        option = f"{role}_column"
        named = options.text(option)
        if options.given(option) and (not named or (named.lower() == NONE and named not in header)):
            if role in _NEEDED:
                raise BadManifest(f"{source}: option {option}: every image needs a {role}. Name one of {listed(list(header))}")
            found[role] = ""
        elif named:
            found[role] = named if named in header else there.get(plain(named), "")
            if not found[role]:
                wanted = listed(list(header))
                raise BadManifest(f"{source}: option {option}: expected one of its columns ({wanted}), got {shown(named)}")
        else:
            candidates = [there[name] for name in usual if name in there]
            found[role] = candidates[0] if candidates else ""
            guessed.add(role)
            others += [f"{name} for the {role} ({option})" for name in candidates[1:]]
    for role in _NEEDED:
        if not found[role]:
            raise BadManifest(
                f"{source}: which column holds the {role}? None of {listed(list(header))} is named so. "
                f"Say it with the option {role}_column."
            )
    used = ", ".join(
        f"{role} from {column}{' (guessed)' if role in guessed else ''}" for role, column in found.items() if column
    )
    notes = [f"columns: {used}. An option names another, {NONE} switches a guessed one off (split_column={NONE})"]
    others = [other for other in others if other.partition(" for the ")[0] not in found.values()]
    if others:
        notes.append(f"columns that could have been meant instead: {', '.join(others)}")
    return _Columns(found, frozenset(guessed), notes)


def _kept(source: Path, header: Sequence[str], columns: dict[str, str], options: Options) -> tuple[list[str], list[str]]:
    wanted = options.words("keep")
    missing = [name for name in wanted if name not in header]
    if missing:
        raise BadManifest(f"{source}: option keep: no column {', '.join(missing)}; there are {listed(list(header))}")
    used = set(columns.values())
    names = [name for name in header if name not in used and (name.lower() in _KNOWN or name in wanted)]
    names = [name for name in names if name.lower() not in _RESERVED]
    once = list({name.lower(): name for name in reversed(names)}.values())[::-1]
    unkept = [name for name in wanted if name not in once]
    if unkept:
        why = "they are used already, or their names mean something else in a manifest"
        return once, [f"option keep: not taken over, for {why}: {', '.join(unkept)}"]
    return once, []


def _cells(table: Table, column: str) -> list[str]:
    if not column:
        return [""] * len(table.rows)
    index = table.header.index(column)
    return [fields[index] for _, fields in table.rows]


def _patients(
    options: Options, columns: _Columns, cells: dict[str, list[str]], tick: Callable[[], None] | None
) -> tuple[list[tuple[str, str]], list[str]]:
    """Each row's patient and where it comes from ("table", "pattern" or "" for nowhere yet), and what to say of it.

    A pattern that the user gave wins over a column that was guessed; a column that the user named wins over the pattern.
    """
    pattern = options.pattern("patient_pattern")
    column, guessed = columns.of["patient"], "patient" in columns.guessed
    matched = pattern.find(cells["path"], tick) if pattern else [""] * len(cells["path"])
    named = ["" if is_placeholder(cell) else cell for cell in cells["patient"]]
    notes = []
    nobody = Counter(cell for cell in cells["patient"] if cell and is_placeholder(cell))
    if nobody:
        words = ", ".join(f"{shown(word)} ({counted(count, 'row')})" for word, count in nobody.most_common(4))
        notes.append(
            f"warning: column {column} says {words}, which names nobody: all of them would be one patient. They count as "
            "not named"
        )
    result = []
    for given, found in zip(named, matched, strict=True):
        first, second = ((found, "pattern"), (given, "table")) if guessed else ((given, "table"), (found, "pattern"))
        result.append(first if first[0] else second if second[0] else ("", ""))
    if pattern:
        used = sum(rule == "pattern" for _, rule in result)
        doubt = "" if any(matched) else "warning: "
        notes.append(
            f"{doubt}patient_pattern matches {sum(map(bool, matched))} of {counted(len(matched), 'row')} and is used in {used}"
        )
        if any(named):
            which = (
                f"it wins over the column {column}, which was guessed; patient_column={column} would make the column win"
                if guessed
                else f"the column {column}, which patient_column names, wins over it where it has a patient"
            )
            notes.append(f"patient_pattern: {which}")
    return result, notes


def _rows(
    table: Table,
    cells: dict[str, list[str]],
    labels: Labels,
    splits: Splits,
    patients: Sequence[tuple[str, str]],
    keep: Sequence[str],
    root: Path,
    unlabelled: bool,
) -> tuple[list[TableRow], list[tuple[int, str]], dict[str, list[str]]]:
    """The rows that name an image; (line, reason) of the others; kept cells that a manifest could not take, by column."""
    places = {name: table.header.index(name) for name in keep}
    rows: list[TableRow] = []
    rejected: list[tuple[int, str]] = []
    spoiled: defaultdict[str, list[str]] = defaultdict(list)
    for index, (line, fields) in enumerate(table.rows):
        value = {role: column[index] for role, column in cells.items()}
        split = splits.of(value["split"])
        if not value["path"]:
            rejected.append((line, "no path"))
            continue
        if len(value["path"]) > _LONGEST_PATH:
            rejected.append((line, f"path {shown(value['path'])}: expected at most {_LONGEST_PATH:,} characters"))
            continue
        if split is None:
            rejected.append((line, f"split {shown(value['split'])}: expected train, val, test or nothing"))
            continue
        extra = {name: sound(name, fields[place]) for name, place in places.items()}
        for name, place in places.items():
            if fields[place] and not extra[name]:
                spoiled[name].append(fields[place])
        label = labels.of(value["label"]) or ""
        side = value["laterality"][:1].upper()
        rows.append(
            TableRow(
                line=line,
                path=absolute(value["path"], root),
                label=label,
                patient=patients[index][0],
                rule=patients[index][1],
                laterality=side if side in ("L", "R") else "",
                view=value["view"].upper(),
                split=split,
                extra=extra,
                refusal="" if label or (unlabelled and is_placeholder(value["label"])) else labels.refusal(value["label"]),
            )
        )
    return rows, rejected, spoiled


def _completed(row: TableRow, found: FileCheck) -> tuple[dict[str, Any], str]:
    """The manifest's row with what the file itself says where the table is silent, and where its patient comes from."""
    parts = split_name(Path(row.path).stem)
    rule, patient = row.rule, row.patient
    if not rule and found.meta.patient:
        rule, patient = "dicom", found.meta.patient
    elif not rule and parts.stripped and parts.patient:
        rule, patient = "name", parts.patient
    elif not rule:
        rule, patient = "alone", Path(row.path).as_posix().lstrip("/").rpartition(".")[0]
    complete: dict[str, Any] = {
        "path": row.path,
        "label": row.label,
        "patient_id": patient,
        "laterality": row.laterality or found.meta.laterality or parts.laterality,
        "view": row.view or found.meta.view or parts.view,
        "split": row.split,
    }
    return complete | {name.lower(): cell for name, cell in row.extra.items()}, rule


def _two_level_notes(checked: Sequence[FileCheck]) -> list[str]:
    count = sum(check.two_levels for check in checked)
    if not count:
        return []
    return [
        f"warning: {counted(count, 'image has', 'images have')} two grey levels only, as "
        "masks have: is it the images that path_column names?"
    ]


def _spoiled(name: str, found: Sequence[str]) -> str:
    range_of = f" from 0 to {OLDEST} years" if name.lower() == "age" else ""
    different = list(dict.fromkeys(found))
    more = f" and {len(different) - 5} others" if len(different) > 5 else ""
    named = f"{', '.join(map(shown, different[:5]))}{more}"
    are, were = ("is", "was") if len(found) == 1 else ("are", "were")
    return f"{counted(len(found), 'cell')} of column {name} {are} no {name}{range_of} and {were} left empty: {named}"


def _dropped(header: Sequence[str], keep: Sequence[str], columns: dict[str, str]) -> list[str]:
    dropped = [name for name in header if name not in keep and name not in columns.values()]
    return [f"columns left out of the manifest (option keep takes them in): {listed(dropped)}"] if dropped else []


IMPORTER = Importer(
    "csv",
    "Any CSV with one row per image (or a lesion); say which column is which where the names do not",
    {
        **{
            f"{role}_column": f"column that holds the {role}"
            + ("" if role in _NEEDED else f", if there is one; {NONE} for none, also where one looks like it")
            for role in _USUAL
        },
        "benign": f"label words that mean benign, commas between (default: {BENIGN})",
        "malignant": f"label words that mean malignant, commas between (default: {MALIGNANT})",
        "unlabelled": "leave (default): rows without a label are left out; keep: they are kept without one, for predictions",
        "train": "words of the split column that mean train, commas between (default: train, training); with folds: the others",
        "val": "words, or numbers of folds, of the split column that mean validation, commas between (default: val, dev, ...)",
        "test": "words, or numbers of folds, of the split column that mean test, commas between (default: test, holdout, ...)",
        "root": "folder that relative paths start from (default: the table's own)",
        "patient_pattern": "regular expression on the path; its group named patient, or the first one, is the patient. It wins "
        "over the patient in a DICOM header and over a column that is only guessed; patient_column wins over it",
        "keep": f"further columns to take over, commas between; {', '.join(_KNOWN)} are always taken. Keep names and dates out",
        "verify": VERIFY,
    },
    import_csv,
)
