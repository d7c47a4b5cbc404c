"""The bytes of a CSV as text: what is no text, no UTF-8 or too large is refused with a word on what to do."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from core.errors import BadManifest
from core.files.untrusted import TooLarge, open_regular, read_bytes

LARGEST = 1 << 28  # bytes of a table: a million images with a dozen columns are a half of it
MOST_LINES = 5_000_000

_SAVE_AS = "Open it and save the sheet with the table as CSV (in Excel: Save As, 'CSV UTF-8')"
_FOREIGN = (
    (b"PK\x03\x04", f"a zip archive: an Excel (.xlsx) or OpenDocument (.ods) workbook, or a packed folder. {_SAVE_AS}"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", f"an old Excel workbook (.xls). {_SAVE_AS}"),
    (b"<?xml", f"an XML file, such as an Excel workbook in XML. {_SAVE_AS}"),
    (b"<!doctype html", f"a web page: the download failed, or a program saved a table as HTML. {_SAVE_AS}"),
    (b"<html", f"a web page: the download failed, or a program saved a table as HTML. {_SAVE_AS}"),
    (b"<table", f"a table in HTML, as some programs write .xls files. {_SAVE_AS}"),
    (b"%PDF", f"a PDF document. {_SAVE_AS}"),
    (b"{\\rtf", f"a text document (RTF). {_SAVE_AS}"),
    (b"\x1f\x8b", "a gzip archive. Unpack it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive. Unpack it"),
    (b"Rar!", "a RAR archive. Unpack it"),
    (b"\xfd7zXZ", "an xz archive. Unpack it"),
    (b"PAR1\x15", "a Parquet file. Save the table as CSV (in pandas: to_csv with index=False)"),
    (b"SQLite format 3", "an SQLite database. Export the table as CSV"),
    (b"\x80\x04\x95", "a Python pickle. Save the table as CSV (in pandas: to_csv with index=False)"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself. Run git lfs pull"),
)
_UTF8 = "Save it as UTF-8 (in Excel: 'CSV UTF-8')."


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
    except ValueError as error:  # a NUL in the name
        raise BadManifest(f"{str(path)!r}: not a file name: {error}") from error
    return decode(content, path)


def decode(content: bytes, path: Path) -> str:
    """Bytes of a CSV as text.

    Raises:
        BadManifest: empty, too many lines, or not UTF-8 (the message names the line and how to save it from Excel).
    """
    if not content.strip():
        raise BadManifest(f"{path}: the file is empty; expected a CSV with a header line")
    start = content[:1024].lstrip(b"\xef\xbb\xbf \t\r\n")
    for beginning, what in _FOREIGN:
        if (start.lower() if beginning.startswith(b"<") else start).startswith(beginning):
            raise BadManifest(f"{path}: expected a CSV, got {what}.")
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise BadManifest(f"{path}: expected UTF-8 text, got UTF-16. {_UTF8}")
    lines = content.count(b"\n") + content.count(b"\r") - content.count(b"\r\n")
    if lines > MOST_LINES:
        raise BadManifest(f"{path}: expected at most {MOST_LINES:,} lines, got {lines:,}. Split the table.")
    try:
        text = content.decode("utf-8-sig").rstrip("\x1a")  # the mark that DOS programs put at the end
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadManifest(f"{path} line {line}: byte 0x{content[error.start]:02x} is not UTF-8. {_UTF8}") from error
    if "\0" in text:
        raise BadManifest(f"{path} line {text.count(chr(10), 0, text.index(chr(0))) + 1}: not a text file (it holds NUL bytes)")
    return text


def beginning(path: Path, limit: int) -> bytes:
    """Whole lines from the start of a regular file, `limit` bytes at most."""
    with open_regular(path) as stream:
        content = stream.read(limit)
        more = stream.read(1)
    if not more:
        return content
    end = max(content.rfind(b"\n"), content.rfind(b"\r"))
    return content[: end + 1]
