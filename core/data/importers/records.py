"""Tables of collections as records by column, whatever they were saved as: CSV with any separator, or an Excel workbook."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.data.importers.vocabulary import plain
from core.data.tables import header_of, listed, read_table
from core.data.workbooks import Sheet, is_workbook, read_sheets
from core.errors import BadManifest

TABLES = (".csv", ".xlsx", ".xlsm", ".tsv")
_HEADER_WITHIN = 100  # rows: legends stand above some tables


@dataclass(frozen=True)
class Record:
    """A row: its line in the file, and its cells by the column's plain name (no case, blanks, _, - or .)."""

    line: int
    cells: dict[str, str]

    def __getitem__(self, name: str) -> str:
        return self.cells.get(plain(name), "")


@dataclass(frozen=True)
class Records:
    """`columns`: plain names; `notes`: what was passed over in reading."""

    path: Path
    columns: frozenset[str]
    rows: list[Record]
    notes: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.rows)

    def has(self, name: str) -> bool:
        """Whether there is such a column, however it is written."""
        return plain(name) in self.columns


def read_records(path: Path, needed: Sequence[str]) -> Records:
    """The table that has the columns `needed`, in the first sheet that does. Names are compared by their letters and digits.

    Raises:
        BadManifest: it cannot be read, or no sheet has these columns.
    """
    wanted = {plain(name) for name in needed}
    if is_workbook(path):
        sheets = read_sheets(path)
        for name, sheet in sheets.items():
            if (at := _header_at(sheet, wanted)) is not None:
                return _of_sheet(path, sheet, at, name if len(sheets) > 1 else "")
        raise BadManifest(
            f"{path}: expected a sheet with the columns {listed(list(needed))}, got none in {listed(list(sheets))}."
        )
    table = read_table(path, lambda fields: wanted <= set(map(plain, fields)))
    names = [plain(name) for name in table.header]
    missing = [name for name in needed if plain(name) not in names]
    if missing:
        raise BadManifest(f"{path}: expected the columns {listed(list(needed))}; {listed(missing)} missing.")
    rows = [Record(line, _cells(names, fields)) for line, fields in table.rows]
    return Records(path, frozenset(names), rows, list(table.notes))


def joined(rows: Sequence[Record]) -> Record:
    """Rows of one image as one: of each column the first cell that is not empty."""
    cells: dict[str, str] = {}
    for row in rows:
        cells |= {name: value for name, value in row.cells.items() if value and name not in cells}
    return Record(rows[0].line, cells)


def contradiction(rows: Sequence[Record], names: Sequence[str]) -> str:
    """Why rows of one image cannot be joined: the first of these columns in which they differ; "" where they agree."""
    for name in names:
        values = list(dict.fromkeys(value for row in rows if (value := row[name].upper())))
        if len(values) > 1:
            lines = ", ".join(str(row.line) for row in rows if row[name])
            return f"its rows contradict each other: {name} {listed(values)} (lines {lines}). Correct the table"
    return ""


def has_columns(path: Path, needed: Sequence[str]) -> bool:
    """Whether a table has these columns, by its header alone where it is a CSV; no for whatever cannot be read."""
    wanted = {plain(name) for name in needed}
    if not is_workbook(path):
        return wanted <= {plain(name) for name in header_of(path, lambda fields: wanted <= set(map(plain, fields)))}
    try:
        return any(_header_at(sheet, wanted) is not None for sheet in read_sheets(path).values())
    except BadManifest:
        return False


def _header_at(sheet: Sheet, wanted: set[str]) -> int | None:
    first = enumerate(sheet[:_HEADER_WITHIN])
    return next((index for index, (_, cells) in first if wanted <= set(map(plain, cells))), None)


def _of_sheet(path: Path, sheet: Sheet, at: int, name: str) -> Records:
    names = [plain(cell) for cell in sheet[at][1]]
    rows = [Record(line, _cells(names, cells)) for line, cells in sheet[at + 1 :]]
    notes = [f"{path.name}: sheet {name} was read"] if name else []
    return Records(path, frozenset(filter(None, names)), rows, notes)


def _cells(names: Sequence[str], fields: Sequence[str]) -> dict[str, str]:
    """Cells by name; of two columns with one name the first."""
    found: dict[str, str] = {}
    for name, value in zip(names, fields, strict=False):
        if name:
            found.setdefault(name, value)
    return found
