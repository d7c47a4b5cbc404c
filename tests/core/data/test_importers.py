"""Importers: labels, patients and boxes as the set means them; nothing copied, every file left out is named."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian

from core.data.importers import IMPORTERS, ImportReport, import_data
from core.data.importers.file_names import split_name
from core.data.lesions import lesion_boxes
from core.data.manifest import read_manifest, write_manifest
from core.errors import BadManifest
from core.images.pseudonym import pseudonym


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((6, 5), 100, np.uint8))
    return path


def dicom(path: Path, patient: str, side: str, view: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = "1.2.3"
    ds.PatientID, ds.PatientName, ds.ImageLaterality, ds.ViewPosition = patient, "Doe^Jane", side, view
    ds.Manufacturer, ds.Modality = "ACME", "MG"
    ds.Rows, ds.Columns, ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 6, 5, 8, 8, 7, 0
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.PixelData = bytes(range(30))
    ds.save_as(path, enforce_file_format=True)
    return path


def by_name(report: ImportReport) -> dict[str, dict]:
    return {Path(row["path"]).name: row for row in report.frame.to_dict("records")}


def said(report: ImportReport, words: str) -> bool:
    return any(words in note for note in report.notes)


def round_trip(report: ImportReport, path: Path) -> None:
    """What was imported is a manifest that reads back the same."""
    write_manifest(report.frame, path)
    pd.testing.assert_frame_equal(read_manifest(path), report.frame)


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("stem", "patient", "side", "view"),
    [
        ("P001_L_CC", "P001", "L", "CC"),
        ("P001_R_MLO", "P001", "R", "MLO"),
        ("P001-LCC", "P001", "L", "CC"),
        ("P001.rmlo", "P001", "R", "MLO"),
        ("P001 left cc", "P001", "L", "CC"),
        ("A_1128_1.RIGHT_CC", "A_1128_1", "R", "CC"),
        ("P001_CC_L", "P001", "L", "CC"),
        ("P001_CCL", "P001", "L", "CC"),
        ("P001_XCCL_R", "P001", "R", "XCCL"),
        ("P001_L", "P001", "L", ""),
        ("P001_MLO", "P001", "", "MLO"),
        ("P001_L_CC_2", "P001", "L", "CC"),
        ("L_CC", "", "L", "CC"),
        ("LMLO", "", "L", "MLO"),
        ("PAUL", "PAUL", "", ""),
        ("P001", "P001", "", ""),
        ("scan_12", "scan_12", "", ""),
        ("CARML", "CARML", "", ""),
        ("P_R_L_CC", "P_R", "L", "CC"),
    ],
)
def test_side_and_view_are_taken_off_the_end_of_a_name(stem: str, patient: str, side: str, view: str) -> None:
    parts = split_name(stem)
    assert (parts.patient, parts.laterality, parts.view) == (patient, side, view)


# ---------------------------------------------------------------- folder


def test_folder_with_splits(tmp_path: Path) -> None:
    picture(tmp_path / "Train" / "benign" / "P1_L_CC.png")
    picture(tmp_path / "Train" / "benign" / "deep" / "P1_L_MLO.png")
    picture(tmp_path / "Train" / "Malignant" / "P2_RCC.png")
    picture(tmp_path / "validation" / "benign" / "P3.png")
    picture(tmp_path / "test" / "cancer" / "P4_R.png")
    picture(tmp_path / "masks" / "P1.png")
    (tmp_path / "test" / "cancer" / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "test" / "cancer" / ".DS_Store").write_bytes(b"x")
    before = sorted(tmp_path.rglob("*"))
    report = import_data("folder", tmp_path)
    assert sorted(tmp_path.rglob("*")) == before and report.rejected == []
    rows = by_name(report)
    assert len(rows) == 5
    assert {name: (row["split"], row["label"]) for name, row in rows.items()} == {
        "P1_L_CC.png": ("train", "benign"),
        "P1_L_MLO.png": ("train", "benign"),
        "P2_RCC.png": ("train", "malignant"),
        "P3.png": ("val", "benign"),
        "P4_R.png": ("test", "malignant"),
    }
    assert rows["P1_L_CC.png"]["patient_id"] == rows["P1_L_MLO.png"]["patient_id"] == "P1"
    assert (rows["P2_RCC.png"]["laterality"], rows["P2_RCC.png"]["view"]) == ("R", "CC")
    assert rows["P3.png"]["patient_id"] == "val/benign/P3"
    assert said(report, "4 of 5 images: patient from the file name")
    assert said(report, "1 of 5 images: no patient known") and said(report, "Leakage between splits cannot be excluded")
    assert said(report, "left alone: masks")
    round_trip(report, tmp_path / "m.csv")


def test_folder_without_splits_and_own_label_folders(tmp_path: Path) -> None:
    picture(tmp_path / "Normal" / "a1.png")
    picture(tmp_path / "BWC" / "a2.png")
    picture(tmp_path / "Tumour" / "a1_L.png")
    report = import_data("folder", tmp_path, benign="normal, bwc", malignant=["Tumour"])
    assert [(Path(row.path).name, row.label, row.patient_id, row.split) for row in report.frame.itertuples()] == [
        ("a2.png", "benign", "benign/a2", ""),
        ("a1.png", "benign", "a1", ""),
        ("a1_L.png", "malignant", "a1", ""),
    ]


def test_folder_leaves_out_what_lies_in_folders_of_both_labels(tmp_path: Path) -> None:
    picture(tmp_path / "malignant" / "benign" / "p0.png")
    picture(tmp_path / "malignant" / "cancer" / "p1.png")
    picture(tmp_path / "benign" / "p2.png")
    report = import_data("folder", tmp_path)
    assert {name: row["label"] for name, row in by_name(report).items()} == {"p1.png": "malignant", "p2.png": "benign"}
    assert [(Path(path).name, reason) for path, reason in report.rejected] == [
        (
            "p0.png",
            "p0.png: the folder malignant says malignant, benign in it says benign. Move it to the folder of its label",
        )
    ]
    assert said(report, "warning: 1 file lies in a folder of one label inside a folder of the other")


def test_folder_takes_the_patient_of_dicom_headers_as_a_pseudonym(tmp_path: Path) -> None:
    dicom(tmp_path / "benign" / "IM0001", "12345", "L", "CC")
    dicom(tmp_path / "malignant" / "IM0002.dcm", "12345", "R", "MLO")
    for verify in ("all", "header"):
        report = import_data("folder", tmp_path, verify=verify, patient_pattern="(XY)")
        rows = by_name(report)
        assert {row["patient_id"] for row in rows.values()} == {pseudonym("12345")}
        assert (rows["IM0002.dcm"]["laterality"], rows["IM0002.dcm"]["view"]) == ("R", "MLO")
        assert rows["IM0001"]["scanner"] == "ACME"
        assert "12345" not in report.frame.to_csv() and "Doe" not in report.frame.to_csv()
        assert said(report, "2 of 2 images: patient from the DICOM header")
        assert not said(report, "more than one source")


@pytest.mark.parametrize("importer", ["folder", "csv"])
def test_a_patient_with_dicom_and_other_files_is_one_with_a_pattern_and_doubtful_without(tmp_path: Path, importer: str) -> None:
    dicom(tmp_path / "benign" / "P7_L_CC.dcm", "12345", "L", "CC")
    picture(tmp_path / "malignant" / "P7_R_CC.png")
    source = tmp_path
    if importer == "csv":
        source = tmp_path / "table.csv"
        source.write_text("file,label\nbenign/P7_L_CC.dcm,0\nmalignant/P7_R_CC.png,1\n", encoding="utf-8")
    report = import_data(importer, source)
    assert report.frame["patient_id"].tolist() == [pseudonym("12345"), "P7"]
    assert said(report, "more than one source (1 from the DICOM header, 1 from the file name): the same patient may carry two")
    assert said(report, "leakage between splits cannot be excluded; a patient_pattern that matches every file solves this")
    report = import_data(importer, source, patient_pattern=r"(P\d+)_")
    assert report.frame["patient_id"].tolist() == ["P7", "P7"]
    assert said(report, "images: patient from patient_pattern") and not said(report, "more than one source")
    report = import_data(importer, source, patient_pattern=r"(P\d+)_R")
    assert said(report, "more than one source (1 from patient_pattern, 1 from the DICOM header)")


def test_csv_that_names_some_patients_only_is_doubtful(tmp_path: Path) -> None:
    picture(tmp_path / "P1_L.png")
    picture(tmp_path / "P1_R.png")
    table = tmp_path / "table.csv"
    table.write_text("file,label,patient\nP1_L.png,0,17\nP1_R.png,1,\n", encoding="utf-8")
    report = import_data("csv", table)
    assert said(report, "more than one source (1 from the table, 1 from the file name)")
    assert said(report, "naming the patient in every row")
    table.write_text("file,label,patient\nP1_L.png,0,17\nP1_R.png,1,17\n", encoding="utf-8")
    assert not said(import_data("csv", table), "more than one source")


@pytest.mark.parametrize("pattern", [r"^(?P<site>[a-z]+)/(?P<patient>\d+)", r"/(\d+)-"])
def test_folder_takes_the_patient_of_a_pattern(tmp_path: Path, pattern: str) -> None:
    picture(tmp_path / "benign" / "leeds" / "0017-x.png")
    picture(tmp_path / "malignant" / "leeds" / "0018-x.png")
    report = import_data("folder", tmp_path, patient_pattern=pattern)
    assert report.frame["patient_id"].tolist() == ["0017", "0018"]
    assert said(report, "2 of 2 images: patient from patient_pattern")


def test_folder_names_every_file_it_leaves_out(tmp_path: Path) -> None:
    picture(tmp_path / "benign" / "1.png")
    torn = picture(tmp_path / "benign" / "2.png")
    torn.write_bytes(torn.read_bytes()[:50])
    (tmp_path / "malignant").mkdir()
    (tmp_path / "malignant" / "3.png").write_text("no image", encoding="utf-8")
    (tmp_path / "malignant" / "4.png").write_bytes(b"")
    seen: list[tuple[int, int]] = []
    report = import_data("folder", tmp_path, progress=lambda *at: seen.append(at))
    assert [Path(path).name for path, _ in report.rejected] == ["2.png", "3.png", "4.png"]
    assert all(reason for _, reason in report.rejected)
    assert len(report.frame) == 1 and seen[-1] == (4, 4)
    headers_only = import_data("folder", tmp_path, verify="header")
    assert [Path(path).name for path, _ in headers_only.rejected] == ["3.png", "4.png"]
    assert said(headers_only, "headers only")


@pytest.mark.parametrize(
    ("folders", "words"),
    [
        ([], "no folder at all"),
        (["left", "right"], "got left, right"),
        (["train/benign", "malignant"], "got both"),
        (["benign", "malignant"], "no usable image"),
    ],
)
def test_folder_refuses_another_layout(tmp_path: Path, folders: list[str], words: str) -> None:
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True)
    with pytest.raises(BadManifest, match=words):
        import_data("folder", tmp_path)


# ---------------------------------------------------------------- csv


def test_csv_guesses_usual_columns_and_maps_labels(tmp_path: Path) -> None:
    for name in ("1.png", "2.png", "3.png", "4.png"):
        picture(tmp_path / "jpg" / name)
    (tmp_path / "cases.csv").write_text(
        "Image File Path;Pathology;Patient_ID;left or right breast;image view;Age;Name;density\n"
        "jpg/1.png;MALIGNANT;007;LEFT;cc;61;Jane Doe;2\n"
        "jpg/2.png;BENIGN_WITHOUT_CALLBACK;008;RIGHT;MLO;;John Doe;3\n"
        "jpg/3.png;normal;009;LEFT;CC;50;Ann Doe;1\n"
        "jpg/1.png;BENIGN;007;LEFT;CC;61;Jane Doe;2\n"
        "jpg/9.png;1.0;010;;;;;\n",
        encoding="utf-8",
    )
    report = import_data("csv", tmp_path / "cases.csv")
    rows = by_name(report)
    assert list(rows) == ["1.png", "2.png"]
    assert rows["1.png"]["label"] == "malignant" and rows["1.png"]["patient_id"] == "007"
    assert (rows["1.png"]["laterality"], rows["1.png"]["view"], rows["1.png"]["age"]) == ("L", "CC", 61.0)
    assert rows["2.png"]["label"] == "benign" and np.isnan(rows["2.png"]["age"])
    assert [path for path, _ in report.rejected][:2] == ["cases.csv line 4", "cases.csv line 5"]
    reasons = [reason for _, reason in report.rejected]
    assert "'normal'" in reasons[0] and "line 2" in reasons[1] and "9.png" in reasons[2]
    assert "Doe" not in report.frame.to_csv() and said(report, "left out of the manifest (option keep takes them in): Name")
    round_trip(report, tmp_path / "m.csv")
    assert len(import_data("csv", tmp_path / "cases.csv", benign="normal,benign_without_callback").frame) == 3


def test_csv_takes_named_columns_root_and_kept_columns(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "x1.png")
    table = tmp_path / "t" / "table.csv"
    table.parent.mkdir()
    table.write_text("a,b,c,d,birads,site code\nx1.png,ill,p1,dev,4,7\n", encoding="utf-8")
    report = import_data(
        "csv",
        table,
        path_column="a",
        label_column="b",
        patient_column="c",
        split_column="d",
        malignant="ill",
        root=tmp_path / "images",
        keep="site code",
    )
    row = report.frame.iloc[0].to_dict()
    assert row["path"] == str(tmp_path / "images" / "x1.png")
    assert (row["label"], row["patient_id"], row["split"], row["birads"], row["site code"]) == (
        "malignant",
        "p1",
        "val",
        "4",
        "7",
    )


def test_csv_without_patients_looks_at_pattern_header_and_name(tmp_path: Path) -> None:
    picture(tmp_path / "s-17_x.png")
    picture(tmp_path / "P1_L_CC.png")
    picture(tmp_path / "scan.png")
    dicom(tmp_path / "d.dcm", "999", "R", "CC")
    table = tmp_path / "table.csv"
    table.write_text("file,label\ns-17_x.png,0\nP1_L_CC.png,1\nscan.png,0\nd.dcm,1\n", encoding="utf-8")
    report = import_data("csv", table, patient_pattern=r"s-(\d+)")
    rows = by_name(report)
    assert rows["s-17_x.png"]["patient_id"] == "17" and said(report, "1 of 4 images: patient from patient_pattern")
    assert (rows["P1_L_CC.png"]["patient_id"], rows["P1_L_CC.png"]["view"]) == ("P1", "CC")
    assert rows["d.dcm"]["patient_id"] == pseudonym("999") and rows["d.dcm"]["laterality"] == "R"
    assert rows["scan.png"]["patient_id"].endswith("scan") and said(report, "1 of 4 images: no patient known")


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        ("a,b\n1,2\n", {}, "which column holds the path"),
        ("file,b\n1,2\n", {}, "label_column"),
        ("file,label\n1,0\n", {"patient_column": "who"}, "patient_column: expected one of its columns"),
        ("file,label\n1,0\n", {"keep": "who"}, "keep: no column who"),
        ("file,label\n1,maybe\n", {}, "no usable image.*maybe"),
        ("file,label\n1,0\n", {"patient_pattern": "("}, "not a regular expression"),
        ("file,label\n1,0\n", {"patient_pattern": "abc"}, "expected a group"),
        ("file,label\n1,0\n", {"verify": "some"}, "expected one of auto, all, header"),
        ("file,label\n1,0\n", {"colour": "red"}, "unknown option colour"),
    ],
)
def test_csv_refuses_with_what_is_allowed(tmp_path: Path, content: str, options: dict[str, str], words: str) -> None:
    (tmp_path / "t.csv").write_text(content, encoding="utf-8")
    with pytest.raises(BadManifest, match=words):
        import_data("csv", tmp_path / "t.csv", **options)


# ---------------------------------------------------------------- rsna

RSNA = (
    "site_id,patient_id,image_id,laterality,view,age,cancer,biopsy,invasive,BIRADS,implant,density,machine_id,"
    "difficult_negative_case\n"
    "2,5,100,L,CC,68,0,0,0,0.0,0,,21,True\n"
    "2,5,101,R,MLO,68,1,1,1,,1,B,21,False\n"
    "1,6,102,L,CC,,0,0,0,2.0,0,C,49,False\n"
)


@pytest.mark.parametrize(
    "names",
    [
        ["images/5_100.jpg", "images/5_101.png", "images/6_102.jpg"],
        ["train_images/5/100.png", "train_images/5/101.png", "train_images/6/102.png"],
        ["5_100.jpg", "5_101.jpg", "6_102.jpg"],
        ["5@100.png", "5@101.png", "6@102.png"],
        ["100.png", "101.png", "102.png"],
        ["images_512/5_100_512.png", "images_512/5@101_512.png", "102_1024.png"],
    ],
)
def test_rsna_in_every_usual_layout(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        picture(tmp_path / name)
    text = RSNA.replace(",68,1,", ",68,1.0,").replace(",,0,0,0,2.0", ",,0.0,0,0,2.0")  # as pandas writes them again
    (tmp_path / "train.csv").write_text(text, encoding="utf-8")
    report = import_data("auto", tmp_path)
    assert report.notes[0] == "recognised as rsna: RSNA's table: train.csv"
    assert report.frame["path"].tolist() == [str(tmp_path / name) for name in names]
    assert report.frame["label"].tolist() == ["benign", "malignant", "benign"]
    assert report.frame["patient_id"].tolist() == ["5", "5", "6"]
    assert report.frame["laterality"].tolist() == ["L", "R", "L"]
    assert report.frame["age"].tolist()[:2] == [68, 68] and np.isnan(report.frame["age"].iloc[2])
    assert report.frame["scanner"].tolist() == ["21", "21", "49"]
    assert report.frame["birads"].tolist() == ["0", "", "2"]
    assert report.frame["density"].tolist() == ["", "B", "C"]
    assert {"implant", "biopsy", "difficult_negative_case"} <= set(report.frame.columns)
    assert said(report, "benign means cancer = 0") and report.rejected == []
    round_trip(report, tmp_path / "m.csv")


def test_rsna_prefers_the_dicom_and_names_what_is_missing(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "5_100.png")
    original = dicom(tmp_path / "train_images" / "5" / "100.dcm", "5", "L", "CC")
    (tmp_path / "train.csv").write_text(RSNA, encoding="utf-8")
    report = import_data("rsna", tmp_path)
    assert report.frame["path"].tolist() == [str(original)]
    assert [Path(path).name for path, _ in report.rejected] == ["5_100.png", "101", "102"]
    assert report.rejected[0][1] == f"the same image as {original}"
    assert said(report, "2 rows of train.csv have no image here")


def test_rsna_empty_cells_are_unlabelled_and_images_without_a_row_are_named(tmp_path: Path) -> None:
    for name in ("5_100.png", "5_101.png", "6_102.png", "7_103.png"):
        picture(tmp_path / name)
    again = "2,5,100,L,CC,68,0,0,0,0.0,0,,21,True\n1,6,102,L,CC,,,0,0,2.0,0,C,49,False\n"
    text = RSNA.replace("68,1,1,1", "68,,1,1") + again
    (tmp_path / "train.csv").write_text(text, encoding="utf-8")
    report = import_data("rsna", tmp_path)
    assert report.frame["label"].tolist() == ["benign", "", "benign"]
    assert said(report, "1 image has an empty cell for cancer: unlabelled")
    assert report.rejected == [
        (str(tmp_path / "7_103.png"), "not listed in train.csv"),
        ("train.csv line 5", "the same image as a row above"),
        ("train.csv line 6", "the same image as a row above"),
    ]


def test_rsna_rows_that_contradict_each_other_are_named(tmp_path: Path) -> None:
    again = ["2,5,100,L,CC,69,0,0,0,0.0,0,B,21,True", "2,5,101,L,MLO,68,1,1,1,,1,B,21,False"]
    again += ["2,5,100,L,CC,68.0,0,0,0,0.0,0,C,21,True"]
    (tmp_path / "train.csv").write_text(RSNA + "\n".join(again), encoding="utf-8")
    for name in ("5_100.png", "5_101.png"):
        picture(tmp_path / name)
    report = import_data("rsna", tmp_path)
    assert (str(tmp_path / "5_101.png"), "its rows contradict each other: L, R. Correct the table") in report.rejected
    assert [row["density"] for row in report.frame.to_dict("records")] == ["B"]
    assert report.repairs == [
        "1 image has rows with several values of age: the first is taken (5_100.png: 68 and 69)",
        "1 image has rows with several values of density: the first is taken (5_100.png: B and C)",
    ]


def test_rsna_refuses_its_test_table_and_another_folder(tmp_path: Path) -> None:
    with pytest.raises(BadManifest, match=r"train\.csv"):
        import_data("rsna", tmp_path)
    (tmp_path / "test.csv").write_text("site_id,patient_id,image_id,laterality,view\n1,2,3,L,CC\n", encoding="utf-8")
    with pytest.raises(BadManifest, match="cancer missing"):
        import_data("rsna", tmp_path / "test.csv")


# ---------------------------------------------------------------- mini-mias

INFO = """INFORMATION: 1st column: MIAS database reference number.
mdb001 G CIRC B 535 425 197
mdb002 G CIRC B 522 280 69
mdb003 D NORM
mdb004 D NORM \t
mdb005 F CIRC B 477 133 30
mdb005 F CIRC B 500 168 26
mdb059 F CIRC B
mdb144 F MISC B 233 994 29
mdb144 F MISC M 313 540 27
mdb216 D CALC M *NOTE 3*
mdb300 D CALC M 10 20 5
"""


@pytest.fixture
def mias(tmp_path: Path) -> Path:
    (tmp_path / "Info.txt").write_text(INFO, encoding="latin-1")
    for number in (1, 2, 3, 4, 5, 59, 144, 216, 7):
        picture(tmp_path / f"mdb{number:03d}.pgm")
    return tmp_path


def test_mini_mias_labels_pairs_and_boxes(mias: Path) -> None:
    report = import_data("mini-mias", mias)
    rows = by_name(report)
    assert list(rows) == [f"mdb{number:03d}.pgm" for number in (1, 2, 5, 59, 144, 216)]
    assert rows["mdb001.pgm"]["patient_id"] == rows["mdb002.pgm"]["patient_id"] != rows["mdb005.pgm"]["patient_id"]
    assert (rows["mdb001.pgm"]["laterality"], rows["mdb002.pgm"]["laterality"]) == ("L", "R")
    assert {row["view"] for row in rows.values()} == {"MLO"}
    # y counts from the bottom: 425 up is row 1023 - 425 = 598 from the top.
    assert lesion_boxes(rows["mdb001.pgm"]) == [(535 - 197, 598 - 197, 535 + 198, 598 + 198)]
    assert len(lesion_boxes(rows["mdb005.pgm"])) == 2
    assert rows["mdb144.pgm"]["label"] == "malignant" and len(lesion_boxes(rows["mdb144.pgm"])) == 2
    assert lesion_boxes(rows["mdb144.pgm"])[0][1] == 0, "cut at the film's edge"
    assert lesion_boxes(rows["mdb059.pgm"]) == lesion_boxes(rows["mdb216.pgm"]) == []
    assert rows["mdb001.pgm"]["lesion_circles"] == "[[535.5, 598.5, 197.5]]", "the circle that the box encloses"
    assert rows["mdb144.pgm"]["lesion_circles"] == "[[313.5, 483.5, 27.5]]", "of the malignant finding only"
    assert rows["mdb216.pgm"]["lesion_circles"] == ""
    assert rows["mdb216.pgm"]["label"] == "malignant" and rows["mdb059.pgm"]["label"] == "benign"
    assert [Path(path).name for path, _ in report.rejected] == ["mdb300", "mdb007.pgm"]
    assert said(report, "2 normal films are left out") and said(report, "2 films have an abnormality without a position")
    round_trip(report, mias / "m.csv")


def test_mini_mias_lines_that_contradict_each_other_are_named(mias: Path) -> None:
    (mias / "Info.txt").write_text(INFO.replace("mdb144 F MISC M", "mdb144 D MISC M"), encoding="latin-1")
    report = import_data("mini-mias", mias)
    assert report.repairs[0].endswith("(mdb144: fatty and dense-glandular)") and len(report.repairs) == 1
    assert by_name(report)["mdb144.pgm"]["density"] == "fatty"


def test_mini_mias_without_normal_films_says_nothing_of_them(mias: Path) -> None:
    (mias / "mdb004.pgm").unlink()
    assert said(import_data("mini-mias", mias), "1 normal film is left out")
    (mias / "mdb003.pgm").unlink()
    assert not said(import_data("mini-mias", mias), "normal film")


def test_mini_mias_options(mias: Path) -> None:
    report = import_data("mini-mias", mias / "Info.txt", normals="benign", odd="right")
    rows = by_name(report)
    assert rows["mdb003.pgm"]["label"] == "benign" and rows["mdb003.pgm"]["abnormality"] == "NORM"
    assert rows["mdb003.pgm"]["laterality"] == "R" and rows["mdb004.pgm"]["laterality"] == "L"
    assert said(report, "2 normal films are taken in as benign")
    with pytest.raises(BadManifest, match="expected one of skip, benign"):
        import_data("mini-mias", mias, normals="malignant")


@pytest.mark.parametrize("content", [None, "nothing of the kind"])
def test_mini_mias_refuses_a_folder_without_its_list(tmp_path: Path, content: str | None) -> None:
    if content:
        (tmp_path / "Info.txt").write_text(content, encoding="utf-8")
    with pytest.raises(BadManifest, match=r"Info\.txt"):
        import_data("mini-mias", tmp_path)


# ---------------------------------------------------------------- registry


def test_the_registry_describes_every_importer_and_option() -> None:
    general, collections = ["folder", "csv", "rsna", "mini-mias"], ["cbis-ddsm", "inbreast", "vindr", "cmmd", "huang-lin"]
    assert list(IMPORTERS) == [*general, *collections, "mini-ddsm", "embed", "kau-bcmd", "dmid", "cdd-cesm"]
    for name, importer in IMPORTERS.items():
        assert importer.name == name and importer.description
        assert all(option.isidentifier() and text for option, text in importer.options.items())


def test_unknown_importers_and_places_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadManifest, match="expected one of folder, csv, rsna, mini-mias"):
        import_data("ddsm", tmp_path)
    for nowhere in (tmp_path / "nowhere", "~nobody-of-this-name/x", "a\0b"):
        with pytest.raises(BadManifest, match="Check the path"):
            import_data("folder", nowhere)


def test_cells_that_a_spreadsheet_would_run_are_kept_and_named(tmp_path: Path) -> None:
    for name in ("1", "2", "3"):
        picture(tmp_path / f"{name}.png")
    (tmp_path / "t.csv").write_text(
        'path,label,patient_id,scanner,site\n1.png,benign,p1,"=HYPERLINK(""http://x"")",-3\n2.png,malignant,p2,A,@x\n'
        "3.png,benign,p3,A,+4.5\n",
        encoding="utf-8",
    )
    report = import_data("csv", tmp_path / "t.csv")
    write_manifest(report.frame, tmp_path / "m.csv")
    assert read_manifest(tmp_path / "m.csv")["scanner"].tolist()[0] == '=HYPERLINK("http://x")'
    assert said(report, "2 cells begin with =, +, - or @") and said(report, "They are kept as they are")


@pytest.mark.parametrize("rest", ["535 425 " + "9" * 5000, "9" * 400 + " 425 197", "1 2"])
def test_mini_mias_numbers_beyond_the_film_give_no_box(tmp_path: Path, rest: str) -> None:
    picture(tmp_path / "mdb001.png")
    (tmp_path / "Info.txt").write_text(f"mdb001 G CIRC B {rest}\n", encoding="utf-8")
    report = import_data("mini-mias", tmp_path)
    assert "".join(report.frame.get("lesions", [""])) == "" and said(report, "1 film has an abnormality without a position")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are a thing of POSIX")
@pytest.mark.timeout(20)
@pytest.mark.parametrize(("importer", "name"), [("csv", "t.csv"), ("rsna", "train.csv"), ("mini-mias", "Info.txt")])
def test_a_pipe_in_place_of_a_table_is_refused_without_waiting(tmp_path: Path, importer: str, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(BadManifest):
        import_data(importer, tmp_path / name)
    if importer != "csv":
        with pytest.raises(BadManifest):
            import_data(importer, tmp_path)


@pytest.mark.parametrize("word", ["private", "hidden", "x", "?", "public", "unknown"])
def test_csv_leaves_out_rows_whose_split_is_a_word_without_a_meaning(tmp_path: Path, word: str) -> None:
    for name in ("a", "b", "c"):
        picture(tmp_path / f"{name}.png")
    table = tmp_path / "table.csv"
    table.write_text(f"file,label,split\na.png,0,train\nb.png,1,{word}\nc.png,1,n/a\n", encoding="utf-8")
    report = import_data("csv", table)
    assert {name: row["split"] for name, row in by_name(report).items()} == {"a.png": "train", "c.png": ""}
    assert report.rejected == [("table.csv line 3", f"split '{word}': expected train, val, test or nothing")]
    assert said(report, f"warning: column split holds words that are no split, and their rows were left out: '{word}' (1)")


def test_csv_reads_ages_as_dicom_writes_them_and_leaves_out_those_of_nobody(tmp_path: Path) -> None:
    cells = ["045Y", "006m", "61.5", "120", "999", "-1", "121Y", ""]
    for number in range(len(cells)):
        picture(tmp_path / f"{number}.png")
    lines = [f"{number}.png,{number % 2},{cell}" for number, cell in enumerate(cells)]
    (tmp_path / "table.csv").write_text("\n".join(["file,label,age", *lines, ""]), encoding="utf-8")
    report = import_data("csv", tmp_path / "table.csv")
    assert report.frame["age"].fillna(-1).tolist() == [45, 0.5, 61.5, 120, -1, -1, -1, -1]
    assert said(report, "3 cells of column age are no age from 0 to 120 years and were left empty: '999', '-1', '121Y'")
