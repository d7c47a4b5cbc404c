"""Excel workbooks as rows of text, within bounds."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from builders.workbook import column, sheet_xml, write_workbook

from core.data import workbooks
from core.data.importers.records import has_columns, read_records
from core.data.tables import MOST_COLUMNS
from core.data.workbooks import read_sheets
from core.errors import BadManifest


def test_sheets_come_back_as_text_by_place(tmp_path: Path) -> None:
    rows = [["ID", "a & b", "n"], [], ["x", None, 22678622.0], ["Ä <1>\nsecond line ", "2$2", 4.5]]
    found = read_sheets(write_workbook(tmp_path / "t.xlsx", {"first": rows, "empty": [], "other": [["z"]]}))
    assert found == {
        "first": [(1, ["ID", "a & b", "n"]), (3, ["x", "", "22678622"]), (4, ["Ä <1>\nsecond line", "2$2", "4.5"])],
        "other": [(1, ["z"])],
    }


def test_a_table_is_found_in_the_sheet_that_has_its_columns_below_a_legend(tmp_path: Path) -> None:
    legend = [["MIAS words"], *([f"word {number}", "meaning"] for number in range(31))]
    rows = [*legend, ["Patient ID", "Breast  type", None, "Patient ID"], ["P1", "L", "unnamed", "second"]]
    path = write_workbook(tmp_path / "t.xlsx", {"notes": [["nothing"]], "all": rows})
    records = read_records(path, ("patient_id", "breast type"))
    assert [(record.line, record["Patient-ID"], record["breast_type"]) for record in records] == [(34, "P1", "L")]
    assert records.notes == ["t.xlsx: sheet all was read"] and has_columns(path, ("Patient ID",))
    assert not has_columns(path, ("age",))
    with pytest.raises(BadManifest, match="expected a sheet with the columns age"):
        read_records(path, ("age",))


def test_text_of_several_runs_and_inline_text_are_read(tmp_path: Path) -> None:
    main = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    strings = f"<sst {main}><si><r><t>Cancer</t></r><r><t> left</t></r><rPh><t>kana</t></rPh></si></sst>"
    cells = (
        '<c r="A1" t="s"><v>0</v></c><c r="B1" t="inlineStr"><is><t>in</t></is></c><c r="C1" t="e"><v>#N/A</v></c><c r="D1"/>'
    )
    sheet = f'<worksheet {main}><sheetData><row r="1">{cells}</row></sheetData></worksheet>'
    path = write_workbook(tmp_path / "t.xlsx", {"s": [["x"]]}, sharedStrings=strings, sheet1=sheet)
    assert read_sheets(path) == {"s": [(1, ["Cancer left", "in"])]}


def _far(reference: str) -> str:
    row = "".join(letter for letter in reference if letter.isdigit())
    return sheet_xml([["x"]], []).replace("</sheetData>", f'<row r="{row}"><c r="{reference}"><v>1</v></c></row></sheetData>')


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"sheet1": _far("XFD2")}, "at most 1,000 columns"),
        ({"sheet1": _far("A9999999999")}, "expected rows 1 to"),
        ({"sheet1": '<!DOCTYPE x [<!ENTITY a "aaaa">]>' + sheet_xml([["x"]], [])}, "its own XML entities"),
        ({"sheet1": "<worksheet"}, "damaged"),
        ({"sheet1": '<?xml version="1.0" encoding="cp037"?>' + "\x4c\x5a"}, "damaged"),
        ({"sharedStrings": "<sst/>"}, "damaged"),
        ({"relations": "<Relationships/>"}, "without any cell"),
        ({"sheet1": sheet_xml([], [])}, "without any cell"),
    ],
)
def test_what_is_too_much_or_damaged_is_refused(tmp_path: Path, parts: dict[str, str], words: str) -> None:
    path = write_workbook(tmp_path / "t.xlsx", {"s": [["x"]]}, **parts)
    with pytest.raises(BadManifest, match=words):
        read_sheets(path)
    assert MOST_COLUMNS == 1_000 and column(16383) == "XFD"


def test_the_declared_encoding_does_not_matter(tmp_path: Path) -> None:
    sheet = sheet_xml([["x"]], []).replace("UTF-8", "no-such-encoding")
    assert read_sheets(write_workbook(tmp_path / "t.xlsx", {"s": [["ä"]]}, sheet1=sheet)) == {"s": [(1, ["ä"])]}


def test_bombs_and_other_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "no.xlsx").write_bytes(b"\xd0\xcf\x11\xe0 an old workbook")
    (tmp_path / "folder.xlsx").mkdir()
    for name in ("no.xlsx", "folder.xlsx", "nowhere.xlsx"):
        with pytest.raises(BadManifest):
            read_sheets(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "zip.xlsx", "w") as archive:
        archive.writestr("a.txt", "x")
    with pytest.raises(BadManifest, match="damaged"):
        read_sheets(tmp_path / "zip.xlsx")
    path = write_workbook(tmp_path / "large.xlsx", {"s": [["x" * 5000]]})
    monkeypatch.setattr(workbooks, "LARGEST_PART", 4000)
    with pytest.raises(BadManifest, match="a larger one"):
        read_sheets(path)
    monkeypatch.setattr(workbooks, "LARGEST", 100)
    with pytest.raises(BadManifest, match="got a larger file"):
        read_sheets(path)


def test_csv_tables_are_records_too(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("File Name;Bi-Rads;ACR\r\n22678622;4a;  \r\n", encoding="utf-8")
    (record,) = read_records(tmp_path / "t.csv", ("file_name", "BIRADS"))
    assert (record["File Name"], record["Bi-Rads"], record["ACR"], record["nothing"]) == ("22678622", "4a", "", "")
    with pytest.raises(BadManifest, match="View missing"):
        read_records(tmp_path / "t.csv", ("File Name", "View"))
