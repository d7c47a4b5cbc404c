"""The manifest: a CSV with one row an image, read strictly and written atomically.

Columns: path, label, patient_id (required), laterality, view, split (empty when absent), then any others.
Of the others four have a meaning here: `age` (years, float64, NaN when empty), `lesions` (JSON list of
[x0, y0, x1, y1] in pixels of the original image, origin top left), `synthetic` (true/false) and `content_hash`.
"""

from __future__ import annotations

import csv
import io
import json
import math
import ntpath
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

import pandas as pd

from core.atomic import write_text
from core.errors import BadManifest

LABELS = ("benign", "malignant")
SPLITS = ("train", "val", "test")
REQUIRED = ("path", "label", "patient_id")
STANDARD = (*REQUIRED, "laterality", "view", "split")

_SIDES = {"": "", "l": "L", "r": "R", "left": "L", "right": "R"}
_TRUTH = {"": False, "false": False, "0": False, "no": False, "true": True, "1": True, "yes": True}
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
_LISTED = 8  # problems named in one message; the rest is counted


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
    rows, header = _parse(_text(path), path)
    problems: list[str] = []
    records = [_record(row, path.parent, problems) for row in rows]
    _find_repeated(records, rows, problems)
    if problems:
        raise BadManifest(f"{path}: {_some(problems)}")
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
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    for record in frame[columns].to_dict(orient="records"):
        record["path"] = _relative(str(record["path"]), path.parent)
        writer.writerow([_cell(record[name]) for name in columns])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, stream.getvalue())
    except OSError as error:
        raise BadManifest(f"{path}: cannot be written: {error.strerror or error}. Choose another place.") from error


def lesion_boxes(row: Mapping[Any, Any] | pd.Series) -> list[tuple[float, float, float, float]]:
    """The row's lesion boxes (x0, y0, x1, y1) in pixels of the original image, origin top left; [] when it has none.

    Raises:
        BadManifest: `lesions` is not a JSON list of boxes with x0 < x1 and y0 < y1.
    """
    content = row.get("lesions", "")
    if content is None or content == "" or (isinstance(content, float) and math.isnan(content)):
        return []
    wanted = "expected a JSON list of [x0, y0, x1, y1] in pixels with x0 < x1 and y0 < y1"
    try:
        boxes = json.loads(content) if isinstance(content, str) else content
        result = [(float(x0), float(y0), float(x1), float(y1)) for x0, y0, x1, y1 in boxes]
    except (ValueError, TypeError) as error:
        raise BadManifest(f"lesions {content!r}: {wanted}") from error
    if not all(math.isfinite(sum(box)) and box[0] < box[2] and box[1] < box[3] for box in result):
        raise BadManifest(f"lesions {content!r}: {wanted}")
    return result


def is_synthetic(frame: pd.DataFrame) -> bool:
    """Whether any row says that its image is synthetic."""
    if "synthetic" not in frame.columns:
        return False
    return any(_TRUTH.get(str(value).strip().lower(), True) for value in frame["synthetic"])


def _text(path: Path) -> str:
    if path.exists() and not path.is_file():  # a named pipe would be waited for without end
        raise BadManifest(f"{path}: expected a CSV file, got a folder, pipe or device. Name the file.")
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise BadManifest(
            f"{path}: no such manifest. Write one with `python -m core data import NAME FOLDER --out {path.name}`."
        ) from error
    except OSError as error:
        raise BadManifest(f"{path}: cannot be read: {error.strerror or error}") from error
    return decode(content, path)


def decode(content: bytes, path: Path) -> str:
    """Bytes of a CSV as text.

    Raises:
        BadManifest: empty, or not UTF-8 (the message names the line and how to save it from Excel).
    """
    hint = "Save it as UTF-8 (in Excel: 'CSV UTF-8')."
    if not content.strip():
        raise BadManifest(f"{path}: the file is empty; expected a CSV with a header line")
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise BadManifest(f"{path}: expected UTF-8 text, got UTF-16. {hint}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadManifest(f"{path} line {line}: byte 0x{content[error.start]:02x} is not UTF-8. {hint}") from error
    if "\0" in text:
        raise BadManifest(f"{path} line {text.count(chr(10), 0, text.index(chr(0))) + 1}: not a text file (it holds NUL bytes)")
    return text


def separator(text: str) -> str:
    """What separates the fields of the header line: ',' or ';' (Excel in much of Europe) or a tab."""
    header = next((line for line in text.splitlines() if line.strip()), "")
    return max(",;\t", key=header.count)


def parse_table(text: str, path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """A CSV's header (as it stands, stripped) and its rows, each with the number of its first line.

    Raises:
        BadManifest: broken quotes, a row with another number of fields than the header, a repeated or empty column name.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator(text), strict=True)
    header: list[str] = []
    rows: list[tuple[int, list[str]]] = []
    problems: list[str] = []
    line = 1
    try:
        for fields in reader:
            first, line = line, reader.line_num + 1
            if not any(field.strip() for field in fields):
                continue
            if not header:
                header = [field.strip() for field in fields]
            elif len(fields) != len(header):
                problems.append(f"line {first}: expected {len(header)} fields as in the header, got {len(fields)}")
            else:
                rows.append((first, [field.strip() for field in fields]))
    except csv.Error as error:
        raise BadManifest(f"{path} line {line}: not valid CSV: {error}") from error
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        problems.insert(0, f"line 1: column {', '.join(map(repr, repeated))} stands there more than once")
    if problems:
        raise BadManifest(f"{path}: {_some(problems)}")
    return header, rows


def _parse(text: str, path: Path) -> tuple[list[_Row], list[str]]:
    header, rows = parse_table(text, path)
    known = {*STANDARD, "age", "lesions", "synthetic", "content_hash"}
    names = [name.lower() if name.lower() in known else name for name in header]
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise BadManifest(
            f"{path} line 1: column {', '.join(missing)} is missing; required are {', '.join(REQUIRED)}; "
            f"got {', '.join(names)}. A CSV in another form: `python -m core data import csv {path.name} --out manifest.csv`."
        )
    repeated = sorted({name for name in names if names.count(name) > 1} | ({""} & set(names)))
    if repeated:
        raise BadManifest(f"{path} line 1: every column needs a name of its own, got {', '.join(names)}")
    if not rows:
        raise BadManifest(f"{path}: there is a header but no row; expected one row an image")
    return [_Row(line, dict(zip(names, fields, strict=True))) for line, fields in rows], names


def _record(row: _Row, folder: Path, problems: list[str]) -> dict[str, Any]:
    record: dict[str, Any] = dict.fromkeys(STANDARD, "") | row.values
    where = f"line {row.line}"
    record["label"] = _word(row, "label", LABELS, problems)
    record["split"] = _word(row, "split", ("", *SPLITS), problems)
    record["view"] = record["view"].upper()
    if record["laterality"].lower() in _SIDES:
        record["laterality"] = _SIDES[record["laterality"].lower()]
    else:
        problems.append(f"{where}: laterality {record['laterality']!r}: expected L, R or nothing")
    if not record["patient_id"]:
        problems.append(f"{where}: patient_id is empty; without it nobody can keep a patient's images in one split")
    if record["path"]:
        record["path"] = absolute(record["path"], folder)
    else:
        problems.append(f"{where}: path is empty")
    if "age" in record:
        record["age"] = _number(record["age"])
        if record["age"] is None:
            problems.append(f"{where}: age {row.values['age']!r}: expected a number of years or nothing")
    if "synthetic" in record:
        if record["synthetic"].lower() not in _TRUTH:
            problems.append(f"{where}: synthetic {record['synthetic']!r}: expected true or false")
        record["synthetic"] = _TRUTH.get(record["synthetic"].lower(), True)
    try:
        lesion_boxes(row.values)
    except BadManifest as error:
        problems.append(f"{where}: {error}")
    return record


def _word(row: _Row, name: str, allowed: tuple[str, ...], problems: list[str]) -> str:
    given = row.values.get(name, "")
    word = given.lower()
    if word not in allowed:
        named = ", ".join(option for option in allowed if option)
        meant = _MEANT.get(word)
        hint = f" (did you mean {meant}?)" if meant in allowed else ""
        nothing = "nothing or " if "" in allowed else ""
        problems.append(f"line {row.line}: {name} {given!r}: expected {nothing}one of {named}{hint}")
    return word


def _number(text: str) -> float | None:
    if not text:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _find_repeated(records: list[dict[str, Any]], rows: list[_Row], problems: list[str]) -> None:
    first: dict[str, int] = {}
    for record, row in zip(records, rows, strict=True):
        if not record["path"]:
            continue
        key = os.path.normcase(record["path"])
        if key in first:
            problems.append(
                f"line {row.line}: the same image as line {first[key]} ({row.values['path']}); keep one row an image"
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
    return os.path.abspath(folder / text)  # noqa: PTH100


def _relative(text: str, folder: Path) -> str:
    path = Path(text)
    if not path.is_absolute():
        return path.as_posix()
    try:
        return path.relative_to(folder).as_posix()
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


def _some(problems: Iterable[str]) -> str:
    problems = list(problems)
    shown = "; ".join(problems[:_LISTED])
    return shown if len(problems) <= _LISTED else f"{shown}; and {len(problems) - _LISTED} more"
