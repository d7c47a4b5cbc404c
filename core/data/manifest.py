"""The manifest: a CSV with one row per image, read strictly and written atomically.

Columns: path, label, patient_id (required), laterality, view, split (empty when absent), then any others. An empty label means
that nobody knows (see `labelled`). Of the others four have a meaning here: `age` (years, float64, NaN when empty), `lesions`
(JSON, see core.data.lesions), `synthetic` (true/false) and `content_hash`. Importers of collections also write:

    collection      name of the data set, such as cbis-ddsm
    label_source    what the label follows from: pathology, birads or outcome
    label_rule      the rule that made it so (core.data.label_rules)
    split_official  the split that the data set's authors give, in their word
    birads          assessment of the breast: 0 to 6, 4a to 4c
    exam_id         images of one examination share it
    subset          a part of the collection that may differ from the others (CMMD's D1 and D2)
    copy_of         the image that this one is a copy of, where the collection has copies

`excluded` is written by people: why this image takes no part (core.data.exclusions). Its row stays.
"""

from __future__ import annotations

import json
import logging
import math
import ntpath
import os
import re
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.data.lesions import lesions_of
from core.data.tables import Problems, header_of, listed, read_table, repeated, shown, table_text
from core.errors import BadManifest
from core.files.atomic import write_text
from core.wording import counted

log = logging.getLogger(__name__)

LABELS = ("benign", "malignant")
SPLITS = ("train", "val", "test")
REQUIRED = ("path", "label", "patient_id")
STANDARD = (*REQUIRED, "laterality", "view", "split")

EXCLUDED = "excluded"
_INCLUDED = ("", "false", "0", "no")  # cells of the column `excluded` that exclude nothing
_SIDES = {"": "", "l": "L", "r": "R", "left": "L", "right": "R"}
TRUTH = {"": False, "false": False, "0": False, "no": False, "true": True, "1": True, "yes": True}
_MEANT = {
    "validation": "val",
    "valid": "val",
    "dev": "val",
    "training": "train",
    "testing": "test",
    "0": "benign",
    "1": "malignant",
    "cancer": "malignant",
    "normal": "benign",
}
_UNTIDY = re.compile(r"/\.{0,2}(?:/|$)")  # in a path that pathlib would write otherwise
# As people write years, with a decimal point or comma. float() would also take 1_0, the digits of other scripts, and nan.
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,15}(?:[.,][0-9]{0,20})?|\.[0-9]{1,20})(?:[eE][+-]?[0-9]{1,3})?")


@dataclass(frozen=True)
class _Row:
    line: int
    values: dict[str, str]


def read_manifest(path: Path | str) -> pd.DataFrame:
    """Read and check a manifest.

    Text is UTF-8, with or without a byte-order mark; commas, semicolons or tabs separate. Words are accepted in any
    case. `path` comes back absolute (relative paths are taken from the manifest's folder); that the files exist is not
    checked here (see core.data.checks). Identifiers stay text, so leading zeros survive.

    Returns: a frame with columns path, label, patient_id, laterality, view, split, then the rest, in the file's order.
    Raises:
        BadManifest: with the line of every problem (the first few) and what to do.
    """
    path = Path(path)
    rows, header = _parse(path)
    problems = Problems()
    records = [_record(row, path.parent, problems) for row in rows]
    _find_repeated(records, rows, problems)
    problems.refuse(path)
    frame = pd.DataFrame.from_records(records)
    extra = [name for name in header if name not in STANDARD]
    frame = frame[[*STANDARD, *extra]]
    for name in frame.columns:
        if name not in ("age", "synthetic"):
            frame[name] = frame[name].astype("str")
    return frame


def write_manifest(frame: pd.DataFrame, path: Path | str) -> None:
    """Write a manifest atomically, in UTF-8; file paths below its folder are written relative (posix), others absolute.

    Raises:
        BadManifest: a required column is missing, there is no row, or the folder cannot be written to.
    """
    path = Path(path).absolute()
    missing = [name for name in REQUIRED if name not in frame.columns]
    if missing:
        raise BadManifest(f"cannot write {path.name}: the table lacks {', '.join(missing)}; required are {', '.join(REQUIRED)}")
    if frame.empty:
        raise BadManifest(f"cannot write {path.name}: there is no image to write")
    columns = [*(name for name in STANDARD if name in frame.columns), *(name for name in frame.columns if name not in STANDARD)]
    rows = [columns]
    for record in frame[columns].to_dict(orient="records"):
        record["path"] = _relative(str(record["path"]), path.parent)
        rows.append([_cell(record[name]) for name in columns])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, table_text(rows))
    except OSError as error:
        raise BadManifest(f"{path}: cannot be written: {error.strerror or error}. Choose another place.") from error


def labelled(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows with a label that nobody has excluded, as they are; what learns or is measured takes these.

    An empty label says that nobody knows.
    """
    there = (frame["label"] != "").to_numpy() & ~is_excluded(frame)
    return frame if there.all() else frame[there]


def excludes(cell: str) -> bool:
    """Whether a cell of the column `excluded` says anything but false, 0 or no."""
    return cell.lower() not in _INCLUDED


def is_excluded(frame: pd.DataFrame) -> NDArray[np.bool_]:
    """Which rows somebody has excluded, bool (N,); see `excludes`."""
    if EXCLUDED not in frame.columns:
        return np.zeros(len(frame), np.bool_)
    return frame[EXCLUDED].astype("str").map(excludes).to_numpy(dtype=np.bool_)


def left_out_notes(frame: pd.DataFrame) -> list[str]:
    """How many rows no training and no metric uses, and why; [] where all are used."""
    away = is_excluded(frame)
    count = int(away.sum())
    excluded = (
        f"{counted(count, 'image')} {'is' if count == 1 else 'are'} excluded by hand (column {EXCLUDED}) and left out of "
        "training and of every metric"
    )
    unlabelled = unlabelled_note(frame[~away] if count else frame)
    return ([excluded] if count else []) + ([unlabelled] if unlabelled else [])


def unlabelled_note(frame: pd.DataFrame) -> str:
    """How many rows have no label and what that means for them; "" where all have one."""
    count = int((frame["label"] == "").sum())
    if not count:
        return ""
    return (
        f"{counted(count, 'image')} without a label {'is' if count == 1 else 'are'} left out of training and of every metric "
        "(their label column is empty: nobody knows); a prediction scores them"
    )


def is_synthetic(frame: pd.DataFrame) -> bool:
    """Whether any row says that its image is synthetic."""
    if "synthetic" not in frame.columns:
        return False
    return any(TRUTH.get(str(value).strip().lower(), True) for value in frame["synthetic"])


def says_synthetic(path: Path) -> bool:
    """As `is_synthetic` of the manifest at `path`, without reading more of it than that takes: pages ask for nothing else.

    Raises:
        BadManifest: it is no table.
    """
    names = [name.lower() for name in header_of(path, _is_header)]
    if _is_header(names) and "synthetic" not in names:
        return False
    rows, _ = _parse(path)
    return any(TRUTH.get(row.values.get("synthetic", "").lower(), True) for row in rows)


def _is_header(fields: list[str]) -> bool:
    return set(REQUIRED) <= {name.lower() for name in fields}


def _parse(path: Path) -> tuple[list[_Row], list[str]]:
    try:
        table = read_table(path, _is_header)
    except FileNotFoundError as error:
        raise BadManifest(
            f"{path}: no such manifest. Write one with `python -m core data import NAME FOLDER --out {path.name}`."
        ) from error
    for note in table.notes:
        log.info("%s: %s", path, note)
    header, rows = table.header, table.rows
    known = {*STANDARD, "age", "lesions", "synthetic", "content_hash", EXCLUDED}
    names = [name.lower() if name.lower() in known else name for name in header]
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        which = f"{'column' if len(missing) == 1 else 'columns'} {listed(missing)}"
        raise BadManifest(
            f"{path} line 1: {which} missing; required are {', '.join(REQUIRED)}; "
            f"got {listed(names)}. A CSV in another form: `python -m core data import csv {path.name} --out manifest.csv`."
        )
    if repeated(names) or "" in names:
        raise BadManifest(f"{path} line 1: every column needs a name of its own, got {listed(names)}")
    if not rows:
        raise BadManifest(f"{path}: there is a header but no row; expected one row per image")
    return [_Row(line, dict(zip(names, fields, strict=True))) for line, fields in rows], names


def _record(row: _Row, folder: Path, problems: Problems) -> dict[str, Any]:
    record: dict[str, Any] = dict.fromkeys(STANDARD, "") | row.values
    where = f"line {row.line}"
    record["label"] = _word(row, "label", ("", *LABELS), problems)
    record["split"] = _word(row, "split", ("", *SPLITS), problems)
    record["view"] = record["view"].upper()
    if record["laterality"].lower() in _SIDES:
        record["laterality"] = _SIDES[record["laterality"].lower()]
    else:
        problems.add(f"{where}: laterality {shown(record['laterality'])}: expected L, R or nothing")
    if not record["patient_id"]:
        problems.add(f"{where}: patient_id is empty; without it nobody can keep a patient's images in one split")
    if record["path"]:
        record["path"] = absolute(record["path"], folder)
    else:
        problems.add(f"{where}: path is empty")
    if "age" in record:
        record["age"] = number(record["age"])
        if record["age"] is None:
            problems.add(f"{where}: age {shown(row.values['age'])}: expected a number of years or nothing")
    if "synthetic" in record:
        if record["synthetic"].lower() not in TRUTH:
            problems.add(f"{where}: synthetic {shown(record['synthetic'])}: expected true or false")
        record["synthetic"] = TRUTH.get(record["synthetic"].lower(), True)
    try:
        lesions_of(row.values)
    except BadManifest as error:
        problems.add(f"{where}: {error}")
    return record


def _word(row: _Row, name: str, allowed: tuple[str, ...], problems: Problems) -> str:
    given = row.values.get(name, "")
    word = given.lower()
    if word not in allowed:
        named = ", ".join(option for option in allowed if option)
        meant = _MEANT.get(word)
        hint = f" (did you mean {meant}?)" if meant in allowed else ""
        nothing = "nothing or " if "" in allowed else ""
        problems.add(f"line {row.line}: {name} {shown(given)}: expected {nothing}one of {named}{hint}")
    return word


def number(text: str) -> float | None:
    """A cell's finite number; NaN for an empty cell, None for anything else."""
    if not text:
        return math.nan
    value = float(text.replace(",", ".")) if _NUMBER.fullmatch(text) else math.nan
    return value if math.isfinite(value) else None


def _find_repeated(records: list[dict[str, Any]], rows: list[_Row], problems: Problems) -> None:
    first: dict[str, int] = {}
    for record, row in zip(records, rows, strict=True):
        if not record["path"]:
            continue
        key = os.path.normcase(record["path"])
        if key in first:
            problems.add(
                f"line {row.line}: the same image as line {first[key]} ({shown(row.values['path'])}); keep one row per image"
            )
        else:
            first[key] = row.line


def absolute(text: str, folder: Path) -> str:
    """`text` as an absolute path, relative ones from `folder`; backslashes of a Windows manifest work everywhere."""
    if os.sep == "/" and "\\" in text:
        if ntpath.isabs(text) and PureWindowsPath(text).drive:
            return text  # another machine's path: kept as it is, the check will say that the file is missing
        text = PureWindowsPath(text).as_posix()
    # Not resolve(): a link inside the data folder must keep its own name.
    # Not `folder / text`: it is half of the time that a long manifest takes.
    return os.path.abspath(os.path.join(folder, text))  # noqa: PTH100, PTH118


def _relative(text: str, folder: Path) -> str:
    above = f"{folder}/"
    if os.sep == "/" and text.startswith(above) and not _UNTIDY.search(text) and not text[len(above)].isspace():
        return text[len(above) :]  # what the lines below give, sooner
    path = Path(text)
    if not path.is_absolute():
        return path.as_posix()
    try:
        relative = path.relative_to(folder).as_posix()
        return relative if relative == relative.lstrip() else f"./{relative}"  # blanks at the ends of cells are not read
    except ValueError:
        return str(path)


def _cell(value: Any) -> str:
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool) or type(value).__name__ in ("bool", "bool_"):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, (list, tuple)):
        return json.dumps(value)
    return str(value)
