"""Excel workbooks for tests, as small as they can be, and as broken as they may be."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

_SHEETS = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006/relationships"
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>'


def column(index: int) -> str:
    """The letters of a column, from 0."""
    letters = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


def sheet_xml(rows: Sequence[Sequence[object]], strings: list[str]) -> str:
    """A worksheet: texts as shared strings, numbers as numbers, None as no cell."""
    lines = []
    for number, cells in enumerate(rows, start=1):
        parts = []
        for index, cell in enumerate(cells):
            reference = f"{column(index)}{number}"
            if isinstance(cell, str):
                strings.append(cell)
                parts.append(f'<c r="{reference}" t="s"><v>{len(strings) - 1}</v></c>')
            elif cell is not None:
                parts.append(f'<c r="{reference}"><v>{cell}</v></c>')
        lines.append(f'<row r="{number}">{"".join(parts)}</row>')
    return f'{_HEAD}<worksheet xmlns="{_SHEETS}"><sheetData>{"".join(lines)}</sheetData></worksheet>'


def write_workbook(path: Path, sheets: Mapping[str, Sequence[Sequence[object]]], **parts: str) -> Path:
    """Write an .xlsx; `parts` replace whole parts by name (sheet1, sharedStrings, workbook)."""
    strings: list[str] = []
    made = {f"sheet{number}": sheet_xml(rows, strings) for number, rows in enumerate(sheets.values(), start=1)}
    listed = "".join(
        f'<sheet name="{escape(name)}" sheetId="{number}" r:id="rId{number}"/>' for number, name in enumerate(sheets, start=1)
    )
    related = "".join(
        f'<Relationship Id="rId{number}" Type="{_RELATIONS}/worksheet" Target="worksheets/sheet{number}.xml"/>'
        for number in range(1, len(sheets) + 1)
    )
    items = "".join(f"<si><t xml:space='preserve'>{escape(text)}</t></si>" for text in strings)
    made |= {
        "workbook": f'{_HEAD}<workbook xmlns="{_SHEETS}" xmlns:r="{_RELATIONS}"><sheets>{listed}</sheets></workbook>',
        "sharedStrings": f'{_HEAD}<sst xmlns="{_SHEETS}">{items}</sst>',
        "relations": f'{_HEAD}<Relationships xmlns="{_PACKAGE}">{related}</Relationships>',
    } | parts
    places = {"workbook": "xl/workbook.xml", "sharedStrings": "xl/sharedStrings.xml", "relations": "xl/_rels/workbook.xml.rels"}
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in made.items():
            archive.writestr(places.get(name, f"xl/worksheets/{name}.xml"), content)
    return path
