"""The csv importer on tables that other people made: nothing is guessed against the evidence, nothing dropped in silence."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.data.importers import ImportReport, import_data
from core.data.importers.file_names import patient_offers
from core.data.importers.vocabulary import cell_word, is_number, split_of
from core.data.lesions import lesion_boxes
from core.data.manifest import is_excluded, read_manifest, write_manifest
from core.errors import BadManifest

SHADES = "abcdefghijkl"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve pictures, a.png to l.png, no two alike."""
    for shade, name in enumerate(SHADES):
        assert cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((6, 5), 100 + shade, np.uint8))
    return tmp_path


def imported(folder: Path, text: str, **options: Any) -> ImportReport:
    (folder / "t.csv").write_text(text, encoding="utf-8")
    report = import_data("csv", folder / "t.csv", **options)
    write_manifest(report.frame, folder / "m.csv")
    assert len(read_manifest(folder / "m.csv")) == len(report.frame), "what is imported can be read back"
    return report


def labels(report: ImportReport) -> dict[str, str]:
    return {Path(row.path).stem: row.label for row in report.frame.itertuples()}


def said(report: ImportReport, *words: str) -> bool:
    return any(all(word in note for word in words) for note in report.notes)


# ---------------------------------------------------------------- a row a lesion


@pytest.mark.parametrize("order", [("BENIGN", "MALIGNANT"), ("MALIGNANT", "BENIGN"), ("unproven", "MALIGNANT")])
@pytest.mark.parametrize("spelling", ["a.png", "./a.png", "x/../a.png", "x\\..\\a.png", "{folder}/a.png"])
def test_an_image_with_any_malignant_row_is_malignant(folder: Path, order: tuple[str, str], spelling: str) -> None:
    (folder / "x").mkdir()
    again = spelling.format(folder=folder)
    report = imported(folder, f"path,pathology,patient\na.png,{order[0]},1\nb.png,BENIGN,2\n{again},{order[1]},1\n")
    assert labels(report) == {"a": "malignant", "b": "benign"}
    line = order.index("MALIGNANT") * 2 + 2
    assert report.rejected == [
        ("t.csv line 4", f"the same image as line 2: one row per image, which is malignant because line {line} is")
    ]
    assert said(report, "1 image has several rows", "1 of them has malignant and other rows")


def test_what_was_excluded_stays_excluded_and_is_counted_also_where_only_one_row_of_an_image_says_so(folder: Path) -> None:
    text = "path,label,patient,Excluded\na.png,0,1,\nb.png,1,2,blurred\nc.png,1,3,no\nd.png,1,4,false\nd.png,1,4,TRUE\n"
    report = imported(folder, text)
    rows = report.frame.set_index(report.frame["path"].map(lambda path: Path(path).stem))
    assert dict(zip(rows.index, is_excluded(rows), strict=True)) == {"a": False, "b": True, "c": False, "d": True}
    assert rows.loc["b", "excluded"] == "blurred"
    assert said(report, "2 images are excluded by hand")
    assert not said(imported(folder, "path,label,patient,excluded\na.png,0,1,\nb.png,1,2,no\n"), "by hand")


@pytest.mark.parametrize(
    ("words", "missing"), [("Benign,Malign", ""), ("benigno,maligno", ""), ("Benigne,maligne", ""), ("benign,odd", "malignant")]
)
def test_labels_in_other_languages_are_read_and_a_table_without_one_of_them_says_so(
    folder: Path, words: str, missing: str
) -> None:
    first, second = words.split(",")
    report = imported(folder, f"path,classification\na.png, {first}\nb.png, {second}\n", label_column="classification")
    assert labels(report) == {"a": "benign"} | ({} if missing else {"b": "malignant"})
    assert said(report, f"warning: there is no {missing} image") is bool(missing)


def test_ages_and_densities_in_which_rows_of_an_image_differ_are_named(folder: Path) -> None:
    text = "path,label,patient,age,density\na.png,0,1,50,A\na.png,1,1,51,B\nb.png,0,2,60,\nb.png,0,2,60.0,c\n"
    report = imported(folder, text)
    for words in ("several values of age", "a.png: 51 and 50"), ("several values of density", "a.png: B and A"):
        assert said(report, *words, "that of the first malignant row is taken")
    assert not said(report, "b.png: ")
    assert report.frame["age"].tolist() == [51, 60] and report.frame["density"].tolist() == ["B", "c"]


@pytest.mark.skipif(os.name != "posix", reason="links need rights on Windows")
def test_a_link_to_an_image_is_the_same_image(folder: Path) -> None:
    (folder / "z.png").symlink_to(folder / "a.png")
    report = imported(folder, "path,label,patient\na.png,0,1\nz.png,1,1\nb.png,0,2\n")
    assert labels(report) == {"a": "malignant", "b": "benign"}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["a.png,0,1,,", "a.png,0,2,,"], "lines 2 and 3 are the same image under different patients ('1', '2')"),
        (["a.png,0,1,train,", "a.png,1,1,test,"], "lines 2 and 3 are the same image in different splits (train, test)"),
        (["a.png,0,1,,", "a.png,unproven,1,,"], "label 'unproven' is mapped to neither"),
        (["a.png,0,1,,", "a.png,,1,,"], "no label; the same image is benign in line 2"),
    ],
)
def test_rows_that_contradict_each_other_leave_the_image_out_with_the_reason(folder: Path, rows: list[str], words: str) -> None:
    report = imported(folder, "path,label,patient,split,view\n" + "\n".join([*rows, "b.png,1,9,train,CC"]))
    assert labels(report) == {"b": "malignant"}
    assert [where for where, _ in report.rejected] == ["t.csv line 2", "t.csv line 3"]
    assert all(words in reason for _, reason in report.rejected)


def test_rows_of_one_image_are_completed_by_each_other_and_keep_all_lesions(folder: Path) -> None:
    report = imported(
        folder,
        "path;label;patient;side;view;split;age;lesions\n"
        "a.png;0;100;L;CC;;;[[1, 1, 2, 2]]\n"
        "a.png;1;100.0;;CC;train;61;[[3, 3, 4, 5]]\n"
        "a.png;0;;R;CC;train;;[[1, 1, 2, 2]]\n",
    )
    row = report.frame.iloc[0]
    assert (row["label"], row["patient_id"], row["laterality"], row["view"], row["split"], row["age"]) == (
        *("malignant", "100", "", "CC", "train"),
        61,
    )
    assert lesion_boxes(row) == [(3, 3, 4, 5), (1, 1, 2, 2)]
    assert said(report, "different sides or views", "a.png")


# ---------------------------------------------------------------- labels


def column(values: list[str]) -> str:
    return "path,label,patient\n" + "".join(f'{SHADES[index]}.png,"{value}",{index}\n' for index, value in enumerate(values))


@pytest.mark.parametrize(
    ("values", "options", "words"),
    [
        (["0", "1", "2"], {}, "benign=0,1 malignant=2"),
        (["1", "2"], {}, "benign=1 malignant=2"),
        (["1", "2", "3", "4"], {}, "for example benign=... malignant=...;"),
        (["1.0", "2.0"], {}, "'2' (1 row)"),
        (["-1", "1"], {}, "benign=-1 malignant=1"),
        (["0", "1", "0.5"], {}, "'0.5'"),
        (["0", "1", "0,5"], {}, "'0'"),
        (["0", "1"], {"benign": "1"}, "what do the labels in column label mean"),
        (["0", "1"], {"malignant": "0"}, "what do the labels in column label mean"),
        (["0", "1", "2"], {"malignant": "2"}, "'1' (1 row)"),
        (["benign", "malignant", "3"], {}, "'3' (1 row)"),
        (["0", "1"], {"benign": "x,0", "malignant": "0"}, "options benign and malignant both name 0"),
        (["0", "1"], {"benign": "1.0", "malignant": "01"}, "options benign and malignant both name 1"),
    ],
)
def test_numbers_without_a_known_meaning_are_a_question(
    folder: Path, values: list[str], options: dict[str, str], words: str
) -> None:
    with pytest.raises(BadManifest) as caught:
        imported(folder, column(values), **options)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("values", "options", "expected"),
    [
        (["0", "1"], {}, "bm"),
        (["0.0", "1.00", "01", "0,0"], {}, "bmmb"),
        (["1", "malignant"], {"benign": "1"}, "bm"),
        (["0", "benign"], {"malignant": "0"}, "mb"),
        (["1", "0"], {"benign": "1", "malignant": "0"}, "bm"),
        (["0", "1", "2"], {"benign": "0,1", "malignant": "2"}, "bbm"),
        (["0", "1", "2"], {"benign": "1.0", "malignant": ["2"]}, "-bm"),
        (["True", "FALSE", "m", "B ", "Cancer", "negative"], {}, "mbmbmb"),
        (["BENIGN_WITHOUT_CALLBACK", "MALIGNANT", "normal", "", "nan"], {}, "bm---"),
    ],
)
def test_labels_mean_what_the_options_say_and_else_the_usual(
    folder: Path, values: list[str], options: dict[str, Any], expected: str
) -> None:
    report = imported(folder, column(values), **options)
    found = labels(report)
    assert "".join(found.get(SHADES[index], "-")[0] for index in range(len(values))) == expected
    assert len(report.rejected) == expected.count("-")
    assert said(report, "labels of column label", "as benign")


def test_a_row_of_totals_has_no_say(folder: Path) -> None:
    report = imported(folder, column(["0", "1"]) + ",17,\n")
    assert labels(report) == {"a": "benign", "b": "malignant"} and report.rejected == [("t.csv line 4", "no path")]


def test_words_that_were_left_out_or_never_came_are_counted(folder: Path) -> None:
    report = imported(folder, column(["benign", "malignant", "N", "N"]), benign="benign,harmless")
    assert said(report, "taken as neither", "'n' (2)") and said(report, "option benign: no row", "'harmless'")


# ---------------------------------------------------------------- columns and splits

FOLDS = "patient_id,path,cancer,fold\n" + "".join(f"{i},{name}.png,{i % 2},{i % 4}\n" for i, name in enumerate(SHADES))


def test_a_column_of_folds_is_no_split_but_kept(folder: Path) -> None:
    report = imported(folder, FOLDS)
    assert set(report.frame["split"]) == {""} and report.frame["fold"].tolist()[:5] == ["0", "1", "2", "3", "0"]
    assert said(report, "column fold holds numbers", "val=0 test=3")


def test_folds_become_splits_when_the_options_say_which(folder: Path) -> None:
    report = imported(folder, FOLDS, val="0", test="3")
    assert report.frame["split"].tolist()[:4] == ["val", "train", "train", "test"]
    with pytest.raises(BadManifest, match="the same word twice"):
        imported(folder, FOLDS, val="0", test="0.0")
    assert said(imported(folder, FOLDS, val="0", test="9"), "no row of column fold says '9'")
    assert len(imported(folder, FOLDS, train="1,2", val="0").rejected) == 3, "fold 3 was not named"


def test_folds_in_a_column_that_was_named_are_a_question(folder: Path) -> None:
    with pytest.raises(BadManifest, match=r"column fold holds numbers.*say which are which"):
        imported(folder, FOLDS, split_column="fold")


@pytest.mark.parametrize("off", ["none", "None", ""])
@pytest.mark.parametrize("role", ["split", "patient", "laterality", "view"])
def test_a_guessed_column_can_be_switched_off(folder: Path, off: str, role: str) -> None:
    text = "path,label,patient,side,view,split\na.png,0,7,L,CC,train\nb.png,1,8,R,MLO,test\n"
    report = imported(folder, text, **{f"{role}_column": off})
    row = report.frame.iloc[0].to_dict()
    expected = {"patient_id": "7", "laterality": "L", "view": "CC", "split": "train"}
    name = {"patient": "patient_id"}.get(role, role)
    assert {key: row[key] for key in expected if key != name} == {key: expected[key] for key in expected if key != name}
    assert row[name] != expected[name]


@pytest.mark.parametrize("role", ["path", "label"])
def test_what_every_image_needs_cannot_be_switched_off(folder: Path, role: str) -> None:
    with pytest.raises(BadManifest, match=f"every image needs a {role}"):
        imported(folder, FOLDS, **{f"{role}_column": "none"})


def test_a_column_that_is_really_called_none_can_be_named(folder: Path) -> None:
    report = imported(folder, "path,label,none\na.png,0,p1\nb.png,1,p2\n", patient_column="none")
    assert report.frame["patient_id"].tolist() == ["p1", "p2"]


def test_a_guessed_split_column_without_a_split_is_none(folder: Path) -> None:
    report = imported(folder, "path,label,set\na.png,0,mass\nb.png,1,calc\n")
    assert set(report.frame["split"]) == {""} and said(report, "column set holds no word for a split", "'calc' (1)")
    report = imported(folder, "path,label,set\na.png,0,Training Set\nb.png,1,odd\nc.png,1,\n")
    assert report.frame["split"].tolist() == ["train", ""] and "split 'odd'" in report.rejected[0][1]


def test_a_pattern_wins_over_a_guessed_column_and_a_named_column_over_the_pattern(folder: Path) -> None:
    text = "path,label,case\na.png,0,7\nb.png,1,7\n"
    report = imported(folder, text, patient_pattern="(.).png")
    assert report.frame["patient_id"].tolist() == ["a", "b"]
    assert said(report, "wins over the column case, which was guessed")
    report = imported(folder, text, patient_pattern="(.).png", patient_column="case")
    assert report.frame["patient_id"].tolist() == ["7", "7"]
    assert said(report, "patient_column names, wins over it") and said(report, "matches 2 of 2 rows and is used in 0")
    assert said(imported(folder, text, patient_pattern="(never)"), "matches 0 of 2 rows")


def test_other_columns_that_could_have_been_meant_are_named(folder: Path) -> None:
    report = imported(folder, "image,filename,label,pathology\na.png,b.png,0,malignant\n")
    assert said(report, "could have been meant", "image for the path (path_column)", "pathology for the label")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(("Training Set", "train"), ("test_data", "test"), ("validation-images", "val"), ("VAL", "val"), ("Testset", "test")),
        *(("hold-out", None), ("holdout", "test"), ("Validación", "val"), ("train/test", None), ("mass", None), ("", "")),
        *(("traindata", "train"), ("set", None), ("dev", "val"), ("Entraînement", "train"), ("test 12", None)),
    ],
)
def test_words_for_splits(text: str, expected: str | None) -> None:
    assert split_of(text) == expected


@pytest.mark.parametrize(
    ("text", "word"), [("1.0", "1"), ("01", "1"), (" 1,00 ", "1"), ("-0", "0"), ("-1.", "-1"), ("1.5", "1.5"), ("B", "b")]
)
def test_cells_are_compared_without_what_spreadsheets_add(text: str, word: str) -> None:
    assert cell_word(text) == word and is_number(text) == (text != "B")


# ---------------------------------------------------------------- patients


def test_words_for_nobody_do_not_become_one_giant_patient(folder: Path) -> None:
    rows = "".join(f"{name}.png,{index % 2},{'removed' if index else 'P1'}\n" for index, name in enumerate(SHADES))
    report = imported(folder, "path,label,patient\n" + rows)
    assert report.frame["patient_id"].nunique() == 12 and report.frame["patient_id"].iloc[0] == "P1"
    assert said(report, "warning: column patient says 'removed' (11 rows), which names nobody")


def test_patients_that_may_be_one_are_a_warning(folder: Path) -> None:
    report = imported(folder, "path,label,patient,split\na.png,0,100,train\nb.png,1,100.0,test\nc.png,0,7,train\n")
    assert report.frame["patient_id"].tolist() == ["100", "100.0", "7"], "what the table says is kept"
    assert said(report, "warning: 1 patient may be written in more than one way ('100' and '100.0')", "different splits")
    report = imported(folder, "path,label,patient\na.png,0,1.00097E+12\nb.png,1,1.00097E+12\n")
    assert said(report, "warning: 2 images: patient '1.00097E+12' was rounded by a spreadsheet")


@pytest.mark.parametrize(
    ("names", "pattern", "patients"),
    [
        ([f"{p}_{i}.png" for p in (101, 102, 103) for i in (7001, 7002)], r"(?:^|[/\\])([^/\\_]+)_[^/\\]*$", "3 different"),
        ([f"x/{p} ({i}).jpg" for p in (20586900, 20586901) for i in (1, 2)], r"(?:^|[/\\])([^/\\ ]+) [^/\\]*$", "2 different"),
        ([f"P{p}/IM{i}.png" for p in range(5) for i in range(4)], r"(?:^|[/\\])([^/\\]+)[/\\][^/\\]+$", "5 different"),
        ([f"P{i // 2}/study/IM{i}.png" for i in range(8)], r"(?:^|[/\\])([^/\\]+)[/\\][^/\\]+[/\\][^/\\]+$", "4 different"),
        ([f"{p}{i}_{'ab'[p % 2]}{p}_MG.dcm" for p in range(4) for i in (1, 2)], r"[^/\\_]+_([^/\\_]+)_", "4 different"),
    ],
)
def test_names_that_hold_the_patient_are_offered_with_counts(names: list[str], pattern: str, patients: str) -> None:
    offers = patient_offers(names)
    assert any(pattern in offer and patients in offer for offer in offers)


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["a.png"],
        [f"{i}.png" for i in range(20)],
        [f"scan_{i}.png" for i in range(20)],
        ["benign/a", "benign/b"],
        [f"{label} ({i}).png" for label in ("benign", "Malignant") for i in range(4)],
    ],
)
def test_names_that_hold_no_patient_are_not_offered(names: list[str]) -> None:
    assert patient_offers(names) == []


def test_the_offer_stands_in_the_report_and_works(folder: Path) -> None:
    for index, name in enumerate(SHADES):
        (folder / f"{name}.png").rename(folder / f"P{index // 3}_{index}.png")
    text = "file,label\n" + "".join(f"P{index // 3}_{index}.png,{index % 2}\n" for index in range(12))
    report = imported(folder, text)
    offer = next(note for note in report.notes if "patient_pattern=" in note)
    assert "4 different ones, 3 to 3 images each" in offer
    again = imported(folder, text, patient_pattern=offer.partition("patient_pattern=")[2])
    assert again.frame["patient_id"].nunique() == 4


# ---------------------------------------------------------------- files and cells


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("a", "'a.png' is there"),
        ("A.PNG", "'a.png' is there"),
        ("a.jpg", "'a.png' is there"),
        ("C:\\data\\a.png", "a path of a Windows machine"),
        ("nowhere.png", "Check the path."),
        ("https://example.org/a.png", "download the images"),
        ("x" * 5000, "expected at most 4,096 characters"),
    ],
)
def test_a_missing_file_is_named_with_what_was_probably_meant(folder: Path, path: str, words: str) -> None:
    if os.name == "nt":
        pytest.skip("Windows finds files in any capitals")
    report = imported(folder, f"path,label,patient\n{path},0,1\nb.png,1,2\n")
    assert labels(report) == {"b": "malignant"} and words in report.rejected[0][1]


def test_cells_that_a_manifest_cannot_take_are_left_empty_and_counted(folder: Path) -> None:
    report = imported(
        folder,
        'path;label;patient;age;lesions;synthetic\na.png;0;1;1e999;[[9, 9, 1, 1]];maybe\nb.png;1;2;sixty;"[";\n'
        "c.png;1;3;50;[[1, 1, 2, 2]];true\n",
    )
    assert said(report, "2 cells of column age are no age") and said(report, "2 cells of column lesions are no lesions")
    assert report.frame["synthetic"].tolist() == [False, False, True]


CELL = st.text(st.characters(codec="utf-8", exclude_characters='\0\r\n"'), max_size=6)


@given(st.lists(st.tuples(CELL, CELL, CELL, st.sampled_from(["", "[[1,1,2,2]]", "[]", "x"])), min_size=1, max_size=6))
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_stands_in_the_cells_the_manifest_can_be_read_back(folder: Path, cells: list[tuple[str, ...]]) -> None:
    rows = [
        f'{SHADES[index]}.png,"{index % 2}","{patient}","{age}","{site}","{boxes}"\n'
        for index, (patient, age, site, boxes) in enumerate(cells)
    ]
    report = imported(folder, "path,label,patient,age,site,lesions\n" + "".join(rows), verify="header")
    left_out = {where for where, _ in report.rejected}
    assert len(report.frame) + len(left_out) >= len(rows), "each row is imported, or left out with a reason"


def test_rows_without_a_label_are_kept_when_asked_and_never_become_benign(folder: Path) -> None:
    text = "path,label,patient\na.png,0,1\na.png,,1\nb.png,unknown,2\nc.png,maybe,3\nd.png,1,4\nd.png,,4\n"
    for name in "cd":
        shutil.copy(folder / "a.png", folder / f"{name}.png")
    report = imported(folder, text, unlabelled="keep")
    assert labels(report) == {"a": "", "b": "", "d": "malignant"}
    assert said(report, "3 rows without a label: kept, unlabelled") and said(report, "left out: 'maybe' (1)")
    assert (
        "t.csv line 3",
        "the same image as line 2: one row per image, which is unlabelled because one of them is",
    ) in report.rejected
    assert labels(imported(folder, text)) == {"d": "malignant"}, "without the option they are left out"
