"""CSV tables as people's programs write them, read within bounds: the manifest's and every importer's.

The work grows with the bytes and with nothing else: no quantity that a file chooses (columns, lines, the length of a
field) is taken up before it has been compared with its limit. What is beyond a limit is refused in words.
"""

from __future__ import annotations

import csv
import errno
import io
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import BadManifest
from core.small_files import TooLarge, open_regular, read_bytes

LARGEST = 1 << 28  # bytes of a table: a million images with a dozen columns are a half of it
MOST_COLUMNS = 1_000
MOST_LINES = 5_000_000
MOST_CELLS = 20_000_000  # of all rows together: each becomes an object
LONGEST_ROW = 1 << 20  # characters of one row, over all its lines
LONGEST_NAME = 200  # characters of a column's name
SEPARATORS = ",;\t"

_LISTED = 8  # problems named in one message; the rest is counted
_SHOWN = 60  # characters of a cell in a message
_LINE_END = re.compile(r"\r\n|\r|\n")
_UTF8 = "Save it as UTF-8 (in Excel: 'CSV UTF-8')."


class Problems:
    """What is wrong with a table: the first few in words, the others as a number, however many there are."""

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
    """`header`: the columns' names, each once; `rows`: each with the number of its first line, as wide as the header."""

    header: list[str]
    rows: list[tuple[int, list[str]]] = field(default_factory=list)


def shown(text: object) -> str:
    """A cell as a message quotes it: on one line and never longer than a few words."""
    text = str(text)
    return repr(text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…")


def listed(names: list[str]) -> str:
    """Column names as a message lists them: the first dozen or so."""
    words = ", ".join(name if len(name) <= _SHOWN else f"{name[: _SHOWN - 1]}…" for name in names[:20])
    return words + (f" and {len(names) - 20:,} more" if len(names) > 20 else "")


def read_table(path: Path) -> Table:
    """The table in a CSV file. `path` may be a link to a regular file: the user named it.

    Raises:
        FileNotFoundError: there is nothing.
        BadManifest: what is there cannot be read, is no CSV in UTF-8, or is beyond a limit; in words.
    """
    return parse_table(read_text(path), path)


def read_text(path: Path) -> str:
    """The text of a CSV file; see `read_table`."""
    try:
        content = read_bytes(Path(os.path.realpath(path)), LARGEST)
    except FileNotFoundError:
        raise
    except TooLarge as error:
        raise BadManifest(
            f"{path}: expected a table of at most {LARGEST >> 20} MB, got a larger file. Name the table itself, or split it."
        ) from error
    except OSError as error:
        if error.errno == errno.EINVAL:  # a folder, a pipe, a device: it would be waited for without end
            raise BadManifest(f"{path}: expected a CSV file: {error.strerror}. Name the file itself.") from error
        raise BadManifest(f"{path}: cannot be read: {error.strerror or error}") from error
    return decode(content, path)


def decode(content: bytes, path: Path) -> str:
    """Bytes of a CSV as text.

    Raises:
        BadManifest: empty, too many lines, or not UTF-8 (the message names the line and how to save it from Excel).
    """
    if not content.strip():
        raise BadManifest(f"{path}: the file is empty; expected a CSV with a header line")
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise BadManifest(f"{path}: expected UTF-8 text, got UTF-16. {_UTF8}")
    lines = content.count(b"\n") + content.count(b"\r") - content.count(b"\r\n")
    if lines > MOST_LINES:
        raise BadManifest(f"{path}: expected at most {MOST_LINES:,} lines, got {lines:,}. Split the table.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadManifest(f"{path} line {line}: byte 0x{content[error.start]:02x} is not UTF-8. {_UTF8}") from error
    if "\0" in text:
        raise BadManifest(f"{path} line {text.count(chr(10), 0, text.index(chr(0))) + 1}: not a text file (it holds NUL bytes)")
    return text


def header_of(path: Path) -> list[str]:
    """The names in the header of a CSV, whatever follows it; [] where there is none to be read. For a look at many files."""
    try:
        content = _beginning(Path(os.path.realpath(path)), LONGEST_ROW)
        text = decode(content, path)
        reader = csv.reader(_Lines(text, path), delimiter=separator(text), strict=True)
        fields = next((fields for fields in reader if any(field.strip() for field in fields)), [])
    except (OSError, BadManifest, csv.Error):
        return []
    return [name.strip() for name in fields]


def separator(text: str) -> str:
    """What separates the fields of the header line: ',' or ';' (Excel in much of Europe) or a tab."""
    first = re.search(r"\S[^\r\n]*", text[:LONGEST_ROW])
    header = first.group() if first else ""
    return max(SEPARATORS, key=header.count)


def parse_table(text: str, path: Path) -> Table:
    """A CSV's header (as it stands, stripped) and its rows.

    Raises:
        BadManifest: broken quotes, a row with another number of fields than the header, a repeated or empty column name,
            more columns, cells or characters in a row than the limits.
    """
    lines = _Lines(text, path)
    reader = csv.reader(lines, delimiter=separator(text), strict=True)
    header: list[str] = []
    rows: list[tuple[int, list[str]]] = []
    problems = Problems()
    line = 1
    try:
        for fields in reader:
            first, line = line, reader.line_num + 1
            lines.row_ended()
            if not any(field.strip() for field in fields):
                continue
            if len(fields) > MOST_COLUMNS:
                raise BadManifest(
                    f"{path} line {first}: expected at most {MOST_COLUMNS:,} columns, got {len(fields):,}. "
                    "Is it a table with a row an image? Delete the columns that are not needed."
                )
            if not header:
                header = _header(fields, path, first)
            elif len(fields) != len(header):
                problems.add(f"line {first}: expected {len(header)} fields as in the header, got {len(fields)}")
            else:
                rows.append((first, [field.strip() for field in fields]))
                if len(rows) * len(header) > MOST_CELLS:
                    raise BadManifest(f"{path}: expected at most {MOST_CELLS:,} cells, got more. Split the table.")
    except csv.Error as error:
        raise BadManifest(f"{path} line {line}: not valid CSV: {error}") from error
    problems.refuse(path)
    return Table(header, rows)


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
    twice = repeated(names)
    if twice:
        raise BadManifest(f"{path} line {line}: column {listed([repr(name) for name in twice])} stands there more than once")
    return names


class _Lines:
    """The lines for a csv.reader, which takes as many as a row has; a row that grows beyond all reason is refused."""

    def __init__(self, text: str, path: Path) -> None:
        self._text = text  # not io.StringIO: it would take four bytes a character
        self._path = path
        self._start = 0
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


def _beginning(path: Path, limit: int) -> bytes:
    """Whole lines from the start of a regular file, `limit` bytes at most."""
    with open_regular(path) as stream:
        content = stream.read(limit)
        more = stream.read(1)
    if not more:
        return content
    end = max(content.rfind(b"\n"), content.rfind(b"\r"))
    return content[: end + 1]
