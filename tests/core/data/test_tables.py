"""Tables within bounds: whatever a file holds, it is read or refused in words, and soon."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data import tables
from core.data.lesions import lesion_boxes
from core.data.manifest import number, read_manifest
from core.data.table_text import LARGEST
from core.data.tables import MOST_COLUMNS, header_of, parse_table, table_text
from core.errors import BadManifest

HEADER = "path,label,patient_id"


def written(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "table.csv"
    path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    return path


def many_columns(count: int) -> str:
    extra = [f"c{number}" for number in range(count - 3)]
    return f"{HEADER},{','.join(extra)}\na.png,benign,p{',' * len(extra)}\n"


@pytest.mark.timeout(60)  # took minutes when it grew with the square
@pytest.mark.parametrize("count", [MOST_COLUMNS + 1, 20_000, 100_000])
def test_more_columns_than_any_table_has_are_refused_at_once(tmp_path: Path, count: int) -> None:
    with pytest.raises(BadManifest, match=rf"line 1: expected at most 1,000 columns, got {count:,}"):
        read_manifest(written(tmp_path, many_columns(count)))


def test_the_largest_number_of_columns_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, many_columns(MOST_COLUMNS))
    assert len(header_of(path)) == MOST_COLUMNS
    assert read_manifest(path).shape == (1, MOST_COLUMNS + 3)


@pytest.mark.slow_for("bad rows")
@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\n" * 6_000_000, "empty"),
        (b"\n" * 6_000_000 + b"path,label,patient_id\na,benign,p\n", "expected at most 5,000,000 lines, got 6,000,002"),
        (b"," * 3_000_000, "line 1: expected rows of at most 1,048,576 characters"),
        (b"path,label,patient_id\n" + b"a" * 3_000_000, "line 2: expected rows of at most 1,048,576 characters"),
        (b'"\n",' * 400_000, "line 262145: expected rows of at most 1,048,576 characters"),
        (b"path,label,patient_id\n" + b"," * 1_000 + b"x\n", "line 2: expected at most 1,000 columns, got 1,001"),
        (b"path,label,patient_id\n" + b"x\n" * 100_000, "and 99,992 more"),
        (b"path,label,patient_id," + b"n" * 300 + b"\n", "expected names of columns of at most 200 characters"),
        (b'path,label,patient_id\n"' + b"a" * 200_000 + b'",benign,p\n', "line 2: not valid CSV: field larger"),
    ],
    ids=[
        "empty lines",
        "lines",
        "commas",
        "one line",
        "one quoted row",
        "a wide row",
        "bad rows",
        "a long name",
        "a long cell",
    ],
)
def test_what_is_beyond_a_limit_is_refused_in_a_few_words(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(BadManifest) as caught:
        read_manifest(written(tmp_path, content))
    assert words in str(caught.value) and len(str(caught.value)) < 1500 + 2 * len(str(tmp_path))


@pytest.mark.slow
def test_a_file_larger_than_any_manifest_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.csv"
    with path.open("wb") as stream:
        stream.truncate(LARGEST + 1)
    with pytest.raises(BadManifest, match="expected a table of at most 256 MB"):
        read_manifest(path)


def test_too_many_cells_are_refused_while_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MOST_CELLS", 29)
    with pytest.raises(BadManifest, match="at most 29 cells"):
        read_manifest(written(tmp_path, HEADER + "\n" + "".join(f"{row}.png,benign,p\n" for row in range(10))))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are a thing of POSIX")
@pytest.mark.timeout(20)
def test_a_pipe_is_refused_without_waiting_and_a_link_to_a_file_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "to_pipe.csv").symlink_to(tmp_path / "pipe.csv")
    for name in ("pipe.csv", "to_pipe.csv"):
        with pytest.raises(BadManifest, match="a named pipe"):
            read_manifest(tmp_path / name)
        assert header_of(tmp_path / name) == []
    (tmp_path / "circle.csv").symlink_to(tmp_path / "circle.csv")
    with pytest.raises(BadManifest, match="symbolic link"):
        read_manifest(tmp_path / "circle.csv")
    (tmp_path / "sub").mkdir()
    real = written(tmp_path / "sub", HEADER + "\na.png,benign,p\n")
    (tmp_path / "link.csv").symlink_to(real)
    assert read_manifest(tmp_path / "link.csv")["path"].tolist() == [str(tmp_path / "a.png")]
    assert header_of(tmp_path / "link.csv") == ["path", "label", "patient_id"]


@pytest.mark.parametrize("content", ["", "\n\n", "\0", b"\xff\xfe\0", '"'])
def test_a_look_at_any_file_gives_a_header_or_nothing(tmp_path: Path, content: str | bytes) -> None:
    assert header_of(written(tmp_path, content)) == []


def test_a_look_reads_no_more_than_the_beginning(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER + "\n" + "a.png,benign,p\n" * 200_000 + "\0")
    assert header_of(path) == ["path", "label", "patient_id"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
def test_lines_end_as_the_csv_module_says(end: str, last: bool) -> None:
    lines = ["a,b", '"1\r\n2","x""y"', ' 3 ,5" film', "", ",,"][:4]
    text = end.join(lines) + (end if last else "")
    expected = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines(keepends=True), strict=True) if row]
    table = parse_table(text, Path("t.csv"))
    assert [table.header, *(fields for _, fields in table.rows)] == expected


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


@given(st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=1))
@settings(deadline=None)
def test_what_is_written_is_read_back(rows: list[list[str]]) -> None:
    table = parse_table(table_text([["path", "label", "patient_id"], *rows]), Path("t.csv"))
    kept = [[cell.strip() for cell in row] for row in rows if any(cell.strip() for cell in row)]
    assert [fields for _, fields in table.rows] == kept


@pytest.mark.parametrize(
    "content",
    [
        f"[[{'9' * 400}, 2, 3, 4]]",
        f"[[1, 2, 3, -{'9' * 5000}]]",
        "[" * 100_000,
        "[" * 60 + "]" * 60,
        "[[1, 2, 3, 1e999]]",
        "[[NaN, 2, 3, 4]]",
        "[[1, 2, Infinity, 4]]",
        "[[1e308, 1e308, 1.1e308, 1.1e308]]",
        '{"1234": 0}',
        '["1234"]',
        '[["1", "2", "3", "4"]]',
        "[[false, false, true, true]]",
        '[{"a": 1, "b": 2, "c": 3, "d": 4}]',
        "[[1, 2, 3, 4, 5]]",
        "[1, 2, 3, 4]",
        "[[3, 2, 1, 4]]",
        '""',
        "null",
        "7",
        "lesion",
    ],
    ids=lambda text: text[:24],
)
def test_lesions_that_are_no_boxes_are_bad_manifests_in_few_words(tmp_path: Path, content: str) -> None:
    with pytest.raises(BadManifest, match=r"lesions .*expected a JSON list") as caught:
        lesion_boxes({"lesions": content})
    assert len(str(caught.value)) < 300
    quoted = content.replace('"', '""')
    if len(content) < 100_000:
        with pytest.raises(BadManifest, match="line 2: lesions"):
            read_manifest(written(tmp_path, f'{HEADER},lesions\na.png,benign,p,"{quoted}"\n'))


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=12))
def test_lesions_of_any_shape_give_boxes_or_a_bad_manifest(content: object) -> None:
    try:
        boxes = lesion_boxes({"lesions": content})
    except BadManifest:
        return
    assert all(x0 < x1 and y0 < y1 for x0, y0, x1, y1 in boxes)


@pytest.mark.parametrize("text", ["9" * 400, "1e999", "inf", "nan", "1_0", "६१", "0x10", "61Y", "--1", ".", "1e", "e5"])
def test_an_age_that_is_no_finite_number_is_named(tmp_path: Path, text: str) -> None:
    assert number(text) is None
    with pytest.raises(BadManifest, match=r"line 2: age .*expected a number of years or nothing"):
        read_manifest(written(tmp_path, f"{HEADER},age\na.png,benign,p,{text}\n"))


@pytest.mark.parametrize(
    ("text", "value"), [("61", 61.0), ("61.5", 61.5), ("6.1e1", 61.0), (".5", 0.5), ("61.", 61.0), ("+3", 3.0), ("61,5", 61.5)]
)
def test_ages_as_people_write_them_are_numbers(text: str, value: float) -> None:
    assert number(text) == value


BODY = [[f"P{number}", f"a{number}.png", ("benign", "malignant")[number % 2]] for number in range(4)]
NAMES = ["patient_id", "path", "label"]


def text_of(separator: str, *, before: str = "", header: list[str] | None = None, rows: list[list[str]] | None = None) -> str:
    return before + "".join(separator.join(row) + "\n" for row in [header or NAMES, *(rows or BODY)])


@pytest.mark.slow_for("two titles-|")
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    "before",
    [
        "",
        "\ufeff",
        "sep={0}\r\n",
        '\ufeff"sep={0}"\n',
        "SEP={0}{0}{0}\n",
        "Export of 2024\n",
        "Export of 2024{0}{0}\n\n",
        "Hospital{0}12{0}\nfrom, to; 3\n",
        "\n\n{0}{0}\n",
    ],
    ids=["plain", "mark", "sep", "quoted sep", "sep and columns", "title", "wide title", "two titles", "blank"],
)
def test_the_header_is_found_below_what_programs_put_above_it(tmp_path: Path, separator: str, before: str) -> None:
    path = written(tmp_path, text_of(separator, before=before.format(separator)))
    assert read_manifest(path)["patient_id"].tolist() == ["P0", "P1", "P2", "P3"]
    assert header_of(path, lambda fields: "path" in fields) == NAMES
    table = parse_table(path.read_text(encoding="utf-8-sig"), path, lambda fields: "path" in fields)
    assert bool(table.notes) == ("Export" in before or "Hospital" in before)


@pytest.mark.parametrize(
    ("separator", "cells"),
    [
        (";", ["0,5", "1,5", "a,b"]),
        (",", ["a;b;c;d", "a;b", "x"]),
        ("\t", ["a,b", "a;b", "a|b,c,d"]),
        ("|", ["a,b", "1;2", ""]),
    ],
)
def test_separators_inside_cells_do_not_decide(separator: str, cells: list[str]) -> None:
    rows = [[*row, cell] for row, cell in zip(BODY, cells, strict=False)]
    assert parse_table(text_of(separator, header=[*NAMES, "note"], rows=rows), Path("t.csv")).rows[1][1][3] == cells[1]


@pytest.mark.parametrize("rows_too", [True, False])
def test_empty_columns_at_the_end_are_nothing(tmp_path: Path, rows_too: bool) -> None:
    rows = [[*row, "", ""] for row in BODY] if rows_too else BODY
    text = text_of(";", header=[*NAMES, "", ""], rows=[[*row, "", ""] for row in BODY]) if rows_too else text_of(";", rows=rows)
    assert list(read_manifest(written(tmp_path, text)).columns)[:3] == ["path", "label", "patient_id"]
    assert parse_table(text_of(";", rows=[[*row, ""] for row in BODY]), Path("t.csv")).header == NAMES


@pytest.mark.parametrize("at", [0, 1, 3])
def test_values_under_no_name_are_a_question_and_an_index_is_none(at: int) -> None:
    def with_column(cells: list[str]) -> str:
        header = [*NAMES[:at], "", *NAMES[at:]]
        return text_of(",", header=header, rows=[[*row[:at], cell, *row[at:]] for row, cell in zip(BODY, cells, strict=True)])

    assert parse_table(with_column([""] * 4), Path("t.csv")).header == NAMES
    for cells in (["a", "b", "c", "d"], ["7", "7", "2", "3"], ["0", "1", "", "3"], ["0.5", "1", "2", "3"]):
        with pytest.raises(BadManifest, match=r"has no name but values|too many"):
            parse_table(with_column(cells), Path("t.csv"))
    if at == 0:
        for cells in (["0.0", "1.0", "2.0", "3.0"], ["0", "1", "0", "1"], ["1", "2", "1", "2"], ["9", "4", "7", "5"]):
            assert parse_table(with_column(cells), Path("t.csv")).header == NAMES
        table = parse_table(with_column(["0", "1", "2", "3"]), Path("t.csv"))
        assert table.header == NAMES and table.rows[0] == (2, BODY[0]) and "numbers the rows" in table.notes[0]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"PK\x03\x04\x14\0", "Excel \\(.xlsx\\)"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0", "old Excel workbook \\(.xls\\)"),
        (b"\n <!DOCTYPE HTML><html>", "a web page"),
        (b"<?xml version='1.0'?><Workbook/>", "Excel workbook in XML"),
        (b"<TABLE><tr>", "a table in HTML"),
        (b"%PDF-1.7", "a PDF document"),
        (b"\x1f\x8b\x08", "a gzip archive"),
        (b"PAR1\x15\x04", "a Parquet file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
    ],
)
def test_another_format_under_the_name_of_a_csv_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(BadManifest, match=rf"expected a CSV, got .*{words}"):
        read_manifest(written(tmp_path, content))


def test_a_sep_line_that_names_no_separator_is_refused_or_a_title(tmp_path: Path) -> None:
    with pytest.raises(BadManifest, match="one character after sep="):
        read_manifest(written(tmp_path, f"sep=a\n{text_of(',')}"))
    for told in ('"', "12", ""):
        assert len(read_manifest(written(tmp_path, f"sep={told}\n{text_of(',')}"))) == 4


def test_a_bad_row_does_not_hide_the_header_from_a_look(tmp_path: Path) -> None:
    assert header_of(written(tmp_path, "path,label\nonly one\n,,,,\n")) == ["path", "label"]


def test_the_mark_that_dos_programs_put_at_the_end_is_nothing(tmp_path: Path) -> None:
    assert len(read_manifest(written(tmp_path, text_of(",") + "\x1a"))) == 4


def test_a_name_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadManifest, match="not a file name"):
        read_manifest("a\0b.csv")
    assert header_of(Path("a\0b.csv")) == []
