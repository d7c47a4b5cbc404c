"""CSV tables as programs write them, read within bounds: the manifest's and every importer's.

The work grows with the bytes and with nothing else: no quantity that a file chooses (columns, lines, the length of a
field) is taken up before it has been compared with its limit. What is beyond a limit is refused.
"""

from __future__ import annotations

import csv
import io
import itertools
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.data.table_text import beginning, decode, read_text
from core.errors import BadManifest
from core.wording import counted, first_few

MOST_COLUMNS = 1_000
MOST_CELLS = 20_000_000  # of all rows together: each becomes an object
LONGEST_ROW = 1 << 20  # characters of one row, over all its lines
LONGEST_NAME = 200  # characters of a column's name
SEPARATORS = ",;\t|"

_LISTED = 8  # problems named in one message; the rest is counted
_SHOWN = 60  # characters of a cell in a message
_SAMPLE = 1 << 16  # characters that tell the separator
_SAMPLED_LINES = 50
_TITLES = 20  # lines above the header
# Excel's own: sep=; before everything, here and there in quotes, with the separators of the empty columns after it.
_SEPARATOR_LINE = re.compile(r"\s*\"?sep=(\\t|[^\r\n\"])\"?[ ,;\t|]*(?:\r\n|\r|\n|$)", re.IGNORECASE)
_LINE_END = re.compile(r"\r\n|\r|\n")
Wanted = Callable[[list[str]], bool]


class Problems:
    """What is wrong with a table: the first few in full, the others as a number, however many there are."""

    def __init__(self) -> None:
        self._first: list[str] = []
        self._count = 0

    def add(self, problem: str) -> None:
        """One more."""
        self._count += 1
        if len(self._first) < _LISTED:
            self._first.append(problem)

    def refuse(self, path: Path) -> None:
        """Raises BadManifest with the problems, when there are any."""
        if self._count:
            more = f"; and {self._count - _LISTED:,} more" if self._count > _LISTED else ""
            raise BadManifest(f"{path}: {'; '.join(self._first)}{more}")


@dataclass(frozen=True)
class Table:
    """`header`: the columns' names, each once; `rows`: each with the number of its first line, as wide as the header;
    `notes`: what was passed over in reading it."""

    header: list[str]
    rows: list[tuple[int, list[str]]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def shown(text: object) -> str:
    """A cell as a message quotes it: on one line and never longer than a few words."""
    text = str(text)
    return repr(text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…")


def listed(names: list[str]) -> str:
    """Column names as a message lists them: the first dozen or so."""
    return first_few((name if len(name) <= _SHOWN else f"{name[: _SHOWN - 1]}…" for name in names), 20)


def read_table(path: Path, wanted: Wanted | None = None) -> Table:
    """The table in a CSV file; `wanted`: see `parse_table`. `path` may be a link to a regular file: the user named it.

    Raises:
        FileNotFoundError: there is nothing.
        BadManifest: what is there cannot be read, is no CSV in UTF-8, or is beyond a limit.
    """
    return parse_table(read_text(path), path, wanted)


def header_of(path: Path, wanted: Wanted | None = None) -> list[str]:
    """The names in the header of a CSV, whatever follows it; [] where there is none. For scans of many files."""
    try:
        text = decode(beginning(Path(os.path.realpath(path)), LONGEST_ROW), path)
        named = _SEPARATOR_LINE.match(text)
        reader = csv.reader(
            _Lines(text, path, named.end() if named else 0),
            delimiter=_named_separator(named, path) if named else separator(text),
        )
        first = list(itertools.islice(filter(any, reader), _TITLES + 1))
    except (OSError, ValueError, BadManifest, csv.Error):
        return []
    rows = [[field.strip() for field in fields] for fields in first]
    return rows[_header_at(rows, wanted)] if rows else []


def separator(text: str) -> str:
    """What separates the fields: ',' or ';' (Excel in much of Europe), a tab, or '|'.

    The one that most of the first lines agree on; the header's fields may hold others in quotes, the cells commas.
    """
    sample = [line for line in re.findall(r"[^\r\n]+", text[:_SAMPLE]) if line.strip()][:_SAMPLED_LINES]
    if len(text) > _SAMPLE and len(sample) > 1:
        sample.pop()  # cut
    best, most = ",", (0, 0)
    for candidate in SEPARATORS:
        widths = Counter(len(fields) for fields in csv.reader(sample, delimiter=candidate))
        agreed = max(((count, width) for width, count in widths.items() if width > 1), default=(0, 0))
        if agreed > most:
            best, most = candidate, agreed
    return best


def parse_table(text: str, path: Path, wanted: Wanted | None = None) -> Table:
    """A CSV's header (as it stands, stripped) and its rows.

    Detected from the text, and listed in `notes`: a `sep=` line (Excel's) names the separator; lines of titles above the
    header are passed over, where the header is the first line that `wanted` knows, or the first with two names; columns
    without a name are dropped when they are empty or number the rows (an index that pandas or R wrote).

    Raises:
        BadManifest: broken quotes, a row with another number of fields than the header, a repeated column name, values
            under no name, more columns, cells or characters in a row than the limits.
    """
    named = _SEPARATOR_LINE.match(text)
    delimiter = _named_separator(named, path) if named else separator(text)
    lines = _Lines(text, path, named.end() if named else 0)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    first_line = 2 + text.count("\n", 0, named.start(1)) if named else 1
    waiting: list[tuple[int, list[str]]] = []  # the first rows, until the header is found among them
    builder: _Builder | None = None
    line = first_line
    try:
        for fields in reader:
            first, line = line, reader.line_num + first_line
            lines.row_ended()
            if not any(field.strip() for field in fields):
                continue
            if len(fields) > MOST_COLUMNS:
                raise BadManifest(
                    f"{path} line {first}: expected at most {MOST_COLUMNS:,} columns, got {len(fields):,}. "
                    "Is it a table with a row an image? Delete the columns that are not needed."
                )
            fields = [field.strip() for field in fields]
            if builder is not None:
                builder.add(first, fields)
                continue
            waiting.append((first, fields))
            if len(waiting) == _TITLES + 1:
                builder = _begin(waiting, path, wanted)
    except csv.Error as error:
        raise BadManifest(f"{path} line {line}: not valid CSV: {error}") from error
    return (builder or _begin(waiting, path, wanted)).table()


def _named_separator(line: re.Match[str], path: Path) -> str:
    named = line.group(1).replace("\\t", "\t")
    if len(named) != 1 or named.isalnum() or named in "\"'\r\n":
        raise BadManifest(f"{path} line 1: expected one character after sep=, such as ; or a tab, got {shown(named)}")
    return named


def _begin(rows: list[tuple[int, list[str]]], path: Path, wanted: Wanted | None) -> _Builder:
    """The table from its first rows: the titles, the header, and what follows it."""
    at = _header_at([fields for _, fields in rows], wanted)
    builder = _Builder(path, *rows[at]) if rows else _Builder(path, 1, [])
    if at:
        titles = [next(filter(None, fields)) for _, fields in rows[:at]]
        passed = counted(at, "line above the header was", "lines above the header were")
        builder.notes.append(f"{passed} passed over (the first: {shown(titles[0])})")
    for first, fields in rows[at + 1 :]:
        builder.add(first, fields)
    return builder


def _header_at(rows: list[list[str]], wanted: Wanted | None) -> int:
    """Which of the first rows is the header: the one that is known, or the first with two names, or the first."""
    known = next((index for index, fields in enumerate(rows) if wanted and wanted(fields)), None)
    named = next((index for index, fields in enumerate(rows) if sum(map(bool, fields)) > 1), 0)
    return named if known is None else known


class _Builder:
    """A table row by row."""

    def __init__(self, path: Path, line: int, fields: list[str]) -> None:
        self.notes: list[str] = []
        self._path = path
        self._line = line
        while fields and not fields[-1]:
            fields = fields[:-1]
        self._header = _header(fields, path, line)
        self._rows: list[tuple[int, list[str]]] = []
        self._problems = Problems()

    def add(self, line: int, fields: list[str]) -> None:
        width = len(self._header)
        if len(fields) > width and not any(fields[width:]):
            fields = fields[:width]  # spreadsheets write the separators of empty columns
        if len(fields) > width and fields[width]:
            self._problems.add(
                f"line {line}: expected {width} fields as in the header, got {len(fields)}, {shown(fields[width])} too many"
            )
        elif len(fields) != width:
            self._problems.add(f"line {line}: expected {width} fields as in the header, got {len(fields)}")
        else:
            self._rows.append((line, fields))
            if len(self._rows) * width > MOST_CELLS:
                raise BadManifest(f"{self._path}: expected at most {MOST_CELLS:,} cells, got more. Split the table.")

    def table(self) -> Table:
        self._problems.refuse(self._path)
        unnamed = [index for index, name in enumerate(self._header) if not name]
        for index in unnamed:
            cells = [fields[index] for _, fields in self._rows]
            line = next((line for line, fields in self._rows if fields[index]), None)
            if line is None:
                continue
            if index == 0 and _numbers_rows(cells):
                self.notes.append("the first column has no name and numbers the rows: it was left out")
                continue
            raise BadManifest(
                f"{self._path} line {self._line}: column {index + 1} has no name but values (line {line}: "
                f"{shown(next(filter(None, cells)))}). Name it, or delete it."
            )
        if not unnamed:
            return Table(self._header, self._rows, self.notes)
        used = [index for index, name in enumerate(self._header) if name]
        rows = [(line, [fields[index] for index in used]) for line, fields in self._rows]
        return Table([self._header[index] for index in used], rows, self.notes)


def _numbers_rows(cells: Sequence[str]) -> bool:
    """Whether cells are an index: whole numbers, each once, or counted up from 0 or 1 once or several times (joined tables)."""
    cells = [cell.removesuffix(".0") for cell in cells]
    if not all(cell.isascii() and cell.isdecimal() and len(cell) < 16 for cell in cells):
        return False
    numbers = list(map(int, cells))
    counted = all(number in (0, 1, before + 1) for before, number in zip([-1, *numbers], numbers, strict=False))
    return counted or len(set(numbers)) == len(numbers)


def table_text(rows: Iterable[Sequence[str]]) -> str:
    """Rows of cells as a CSV that `parse_table` reads back, whatever stands in the cells."""
    stream = io.StringIO()
    plain = csv.writer(stream, lineterminator="\n")
    quoted = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for cells in rows:
        # Before Python 3.13 a carriage return, which ends a line, is not reason enough for quotes.
        (quoted if any("\r" in cell for cell in cells) else plain).writerow(cells)
    return stream.getvalue()


def repeated(names: list[str]) -> list[str]:
    """The names that stand there more than once, sorted."""
    return sorted(name for name, count in Counter(names).items() if count > 1)


def _header(fields: list[str], path: Path, line: int) -> list[str]:
    names = [field.strip() for field in fields]
    long = next((name for name in names if len(name) > LONGEST_NAME), None)
    if long is not None:
        raise BadManifest(
            f"{path} line {line}: expected names of columns of at most {LONGEST_NAME} characters, got {shown(long)} "
            f"with {len(long):,}. Is this line the header?"
        )
    twice = repeated([name for name in names if name])
    if twice:
        raise BadManifest(f"{path} line {line}: each column once, got {listed([repr(name) for name in twice])} more than once")
    return names


class _Lines:
    """The lines for a csv.reader, which takes as many as a row has; a row that grows beyond all reason is refused."""

    def __init__(self, text: str, path: Path, start: int = 0) -> None:
        self._text = text  # not io.StringIO: it would take four bytes a character
        self._path = path
        self._start = start
        self._length = 0
        self._number = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self._start == len(self._text):
            raise StopIteration
        found = _LINE_END.search(self._text, self._start, self._start + LONGEST_ROW + 1)
        end = found.end() if found else min(self._start + LONGEST_ROW + 1, len(self._text))
        line = self._text[self._start : end]
        self._start = end
        self._number += 1
        self._length += len(line)
        if self._length > LONGEST_ROW:
            raise BadManifest(
                f"{self._path} line {self._number}: expected rows of at most {LONGEST_ROW:,} characters, got a longer one. "
                "Is it a table with a row an image, with every quotation mark closed?"
            )
        return line

    def row_ended(self) -> None:
        """The next line begins a row."""
        self._length = 0
