"""Sheets of Excel workbooks (.xlsx) as rows of text, read within bounds by the standard library alone.

Collections publish their tables as workbooks. Readers of whole workbooks were tried and left: a file of 2 kB with a cell in the
last row and column makes them ask for half a terabyte. Here nothing grows but with the cells that are there. Formulas give the
value that was stored with them, dates the number that Excel keeps for them, merged cells stand in the first of them.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from core.data.tables import LONGEST_ROW, MOST_CELLS, MOST_COLUMNS, shown
from core.errors import BadManifest
from core.files.untrusted import TooLarge, read_bytes

LARGEST = 1 << 26  # bytes of a workbook; those of collections have less than 2 MB
LARGEST_PART = 1 << 28  # bytes of a sheet, unpacked
MOST_ROWS = 1 << 20  # Excel has no more
_DECLARATION = re.compile(rb"^(?:\xef\xbb\xbf)?\s*<\?xml[^>]*\?>")
_CELL = re.compile(r"([A-Z]{1,3})[0-9]+")
_WHOLE = re.compile(r"(-?[0-9]+)\.0+")
_RELATION = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"

Sheet = list[tuple[int, list[str]]]  # (row from 1, its cells), empty rows left out


def is_workbook(path: Path) -> bool:
    """Whether a file's name says that it is one."""
    return path.suffix.lower() in (".xlsx", ".xlsm")


def read_sheets(path: Path) -> dict[str, Sheet]:
    """Every sheet with cells, by its name, in their order; cells are stripped text, "" where there is none.

    Raises:
        BadManifest: no workbook, damaged, encrypted, or beyond a limit.
    """
    try:
        content = read_bytes(path.resolve(), LARGEST)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _sheets(archive, path)
    except BadManifest:
        raise
    except TooLarge as error:
        raise BadManifest(f"{path}: expected a workbook of at most {LARGEST >> 20} MB, got a larger file.") from error
    except OSError as error:
        raise BadManifest(f"{path}: cannot be read: {error.strerror or error}") from error
    # zipfile says RuntimeError of encrypted parts and NotImplementedError of unknown methods.
    except (zipfile.BadZipFile, zlib.error, ElementTree.ParseError, LookupError, ValueError, EOFError, RuntimeError) as error:
        raise BadManifest(
            f"{path}: expected an Excel workbook (.xlsx), got a damaged, encrypted or other file ({error}). Save the sheet as "
            "CSV UTF-8, beside it or in its place."
        ) from error


def _sheets(archive: zipfile.ZipFile, path: Path) -> dict[str, Sheet]:
    targets = {}
    for _, relation in ElementTree.iterparse(io.BytesIO(_part(archive, "xl/_rels/workbook.xml.rels", path))):
        if _tag(relation) == "Relationship":
            target = str(relation.get("Target", "")).lstrip("/")
            targets[str(relation.get("Id", ""))] = target if target.startswith("xl/") else f"xl/{target}"
    strings = _shared(archive, path)
    found: dict[str, Sheet] = {}
    cells = 0
    for _, sheet in ElementTree.iterparse(io.BytesIO(_part(archive, "xl/workbook.xml", path))):
        target = targets.get(str(sheet.get(_RELATION, "")), "")
        if _tag(sheet) != "sheet" or "worksheets/" not in target:
            continue
        rows: Sheet = []
        for number, row in _rows(_part(archive, target, path), strings, path):
            cells += len(row)
            if cells > MOST_CELLS:
                raise BadManifest(f"{path}: expected at most {MOST_CELLS:,} cells, got more. Split the table.")
            rows.append((number, row))
        if rows:
            found[str(sheet.get("name", ""))] = rows
    if not found:
        raise BadManifest(f"{path}: expected a workbook with a table, got one without any cell.")
    return found


def _part(archive: zipfile.ZipFile, name: str, path: Path) -> bytes:
    """The bytes of a part. zipfile reads no more than the size that it announces, and compares the checksum."""
    info = archive.getinfo(name)
    if info.file_size > LARGEST_PART:
        raise BadManifest(f"{path}: expected sheets of at most {LARGEST_PART >> 20} MB, got a larger one. Split the table.")
    content = _DECLARATION.sub(b"", archive.read(info))  # UTF-8 whatever it declares: an encoding could hide what is refused
    # Entities can make a text of any size; no workbook declares one. A NUL is another encoding's, where this would not be seen.
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content or b"\0" in content:
        raise BadManifest(
            f"{path}: expected an Excel workbook, got one with its own XML entities. Save the sheet as CSV UTF-8."
        )
    return content


def _shared(archive: zipfile.ZipFile, path: Path) -> list[str]:
    if "xl/sharedStrings.xml" not in archive.namelist():
        return []
    found = []
    for _, element in ElementTree.iterparse(io.BytesIO(_part(archive, "xl/sharedStrings.xml", path))):
        if _tag(element) == "si":
            found.append(_text(element))
            element.clear()
    return found


def _text(element: ElementTree.Element) -> str:
    """The text of a string, without the pronunciation that East Asian ones may have."""
    if _tag(element) == "rPh":
        return ""
    return (element.text or "" if _tag(element) == "t" else "") + "".join(map(_text, element))


def _rows(content: bytes, strings: list[str], path: Path) -> Iterator[tuple[int, list[str]]]:
    number = 0
    for _, row in ElementTree.iterparse(io.BytesIO(content)):
        if _tag(row) != "row":
            continue
        number = int(row.get("r", number + 1))
        if not 0 < number <= MOST_ROWS:
            raise BadManifest(f"{path}: expected rows 1 to {MOST_ROWS:,}, got {number:,}.")
        cells: dict[int, str] = {}
        for cell in row:
            if _tag(cell) == "c" and (text := _value(cell, strings).strip()):
                cells[_column(str(cell.get("r", "")), len(cells), path)] = text
        row.clear()
        if not cells:
            continue
        if sum(map(len, cells.values())) > LONGEST_ROW:
            raise BadManifest(f"{path} row {number}: expected rows of at most {LONGEST_ROW:,} characters, got a longer one.")
        yield number, [cells.get(column, "") for column in range(max(cells) + 1)]


def _column(reference: str, after: int, path: Path) -> int:
    """The column of a cell, from 0: B7 is 1."""
    found = _CELL.fullmatch(reference)
    column = after
    if found:
        column = 0
        for letter in found[1]:
            column = 26 * column + ord(letter) - 64
        column -= 1
    if column >= MOST_COLUMNS:
        raise BadManifest(f"{path}: expected at most {MOST_COLUMNS:,} columns, got a cell in {shown(reference)}.")
    return column


def _value(cell: ElementTree.Element, strings: list[str]) -> str:
    kind = cell.get("t", "n")
    if kind == "inlineStr":
        return _text(cell)
    value = next((each.text or "" for each in cell if _tag(each) == "v"), "")
    if kind == "s":
        index = int(value or -1)
        if not 0 <= index < len(strings):
            raise ValueError(f"a cell names string {value or 'none'} of {len(strings)}")
        return strings[index]
    if kind == "e":
        return ""  # #N/A, #REF!: nothing is known
    whole = _WHOLE.fullmatch(value)
    return whole[1] if whole else value


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]
