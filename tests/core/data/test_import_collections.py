"""Importers of published collections: every trap of each, on a small tree with the collection's own layout."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from builders import collection_trees as trees
from builders.cbis_tree import dicom_tree

from core.data.identity import nobody_known, without_patient
from core.data.importers import IMPORTERS, ImportReport, import_data
from core.data.importers.recognition import recognise
from core.data.label_rules import relabel
from core.data.lesions import lesion_boxes, lesions_of
from core.data.manifest import read_manifest, write_manifest
from core.data.splits import leaking_patients
from core.errors import BadManifest

TREES: dict[str, Callable[[Path], Path]] = {
    "cbis-ddsm": dicom_tree,
    "inbreast": trees.inbreast,
    "vindr": trees.vindr,
    "cmmd": trees.cmmd,
    "huang-lin": trees.huang_lin,
    "mini-ddsm": trees.mini_ddsm,
    "embed": trees.embed,
    "kau-bcmd": trees.kau,
    "dmid": trees.dmid,
    "cdd-cesm": trees.cdd_cesm,
}


CESM = "Image_name,Patient_ID,Side,View,Type,Age,Breast density (ACR),BIRADS,Findings,Machine,"
CESM += "Pathology Classification/ Follow up"


def by_name(report: ImportReport) -> dict[str, Any]:
    """Rows by their file's stem."""
    return {Path(row.path).stem: row for _, row in report.frame.iterrows()}


def reasons(report: ImportReport) -> str:
    return "\n".join(f"{Path(what).name}: {reason}" for what, reason in report.rejected)


def labels(report: ImportReport) -> dict[str, str]:
    return {name: row.label for name, row in by_name(report).items()}


# ---------------------------------------------------------------- all of them


def test_rows_of_one_image_that_contradict_each_other_are_one_with_the_worst_label(tmp_path: Path) -> None:
    tree = trees.cdd_cesm(tmp_path)
    rows = ["P1_L_DM_CC,1,L,CC,DM,44,c,2,,GE,Benign", "P1_L_DM_CC,1,L,CC,DM,44,c,5,,GE,Malignant"]
    rows += ["P1_R_DM_MLO,1,R,MLO,DM,44,c,1,,GE,Normal", "P2_R_DM_CC,2,R,CC,DM,61,a,3,,GE,Benign"]
    rows += ["P2_R_DM_CC,4,R,CC,DM,61,a,3,,GE,Benign"]
    (tree / "Radiology manual annotations.xlsx").unlink()
    (tree / "t.csv").write_text("\n".join([CESM, *rows]), encoding="utf-8")
    report = import_data("cdd-cesm", tree)
    assert labels(report) == {"P1_L_DM_CC": "malignant", "P1_R_DM_MLO": "benign"}
    assert report.repairs == ["1 image has rows with several labels: the worst is taken (P1_L_DM_CC.jpg)"]
    said = reasons(report)
    assert "P1_L_DM_CC.jpg: the same image as a row above" in said
    assert "P2_R_DM_CC.jpg: its rows name several patients (cdd-cesm:P2, cdd-cesm:P4)" in said


@pytest.mark.parametrize(
    ("again", "why"),
    [
        ("P1_L_DM_CC,1,R,CC,DM,44,c,5,,GE,Malignant", "its rows name several sides (L, R)"),
        ("P1_L_DM_CC,1,L,MLO,DM,44,c,5,,GE,Malignant", "its rows name several views (CC, MLO)"),
    ],
)
def test_rows_that_name_several_sides_or_views_leave_the_image_out(tmp_path: Path, again: str, why: str) -> None:
    tree = trees.cdd_cesm(tmp_path)
    (tree / "Radiology manual annotations.xlsx").unlink()
    (tree / "t.csv").write_text("\n".join([CESM, "P1_L_DM_CC,1,L,CC,DM,44,c,2,,GE,Benign", again]), encoding="utf-8")
    (tree / "t.csv").write_text(f"{(tree / 't.csv').read_text(encoding='utf-8')}\nP2_R_DM_CC,2,R,CC,DM,61,a,3,,GE,Benign")
    report = import_data("cdd-cesm", tree)
    assert list(labels(report)) == ["P2_R_DM_CC"] and f"P1_L_DM_CC.jpg: {why}" in reasons(report)


def test_ages_and_densities_that_contradict_each_other_are_named_with_their_values(tmp_path: Path) -> None:
    tree = trees.cdd_cesm(tmp_path)
    (tree / "Radiology manual annotations.xlsx").unlink()
    rows = ["P1_L_DM_CC,1,L,CC,DM,44,c,2,,GE,Benign", "P1_L_DM_CC,1,L,CC,DM,45,b,5,,GE,Malignant"]
    rows += ["P2_R_DM_CC,2,R,CC,DM,61,,3,,GE,Benign", "P2_R_DM_CC,2,R,CC,DM,61.0,A,3,,GE,Benign"]
    (tree / "t.csv").write_text("\n".join([CESM, *rows]), encoding="utf-8")
    report = import_data("cdd-cesm", tree)
    assert report.repairs[-2:] == [
        "1 image has rows with several values of age: the first is taken (P1_L_DM_CC.jpg: 44 and 45)",
        "1 image has rows with several values of density: the first is taken (P1_L_DM_CC.jpg: C and B)",
    ]
    made = by_name(report)
    assert (made["P1_L_DM_CC"].age, made["P1_L_DM_CC"].density, made["P2_R_DM_CC"].density) == (44, "C", "A")


@pytest.mark.parametrize("name", TREES)
def test_each_is_recognised_and_its_manifest_read_back(tmp_path: Path, name: str) -> None:
    tree = TREES[name](tmp_path / "set")
    (found,) = recognise(tree)
    assert found.name == name and found.reason
    report = import_data(name, tree, verify="header")
    frame = report.frame
    write_manifest(frame, tmp_path / "m.csv")
    pd.testing.assert_frame_equal(read_manifest(tmp_path / "m.csv"), frame)
    assert set(frame["collection"]) == {name} and frame["patient_id"].str.startswith(f"{name}:").all()
    assert frame["label_source"].nunique() == 1 and not leaking_patients(frame)
    assert set(frame["label"]) <= {"benign", "malignant", ""}
    assert all(reason for _, reason in report.rejected)
    decoded = import_data(name, tree, verify="all").frame
    pd.testing.assert_frame_equal(decoded, frame)


@pytest.mark.parametrize("name", TREES)
def test_no_table_or_no_image_is_said_and_a_cancelled_import_ends(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadManifest):
        import_data(name, tmp_path)
    trees.picture(tmp_path / "a.png")
    (tmp_path / "t.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(BadManifest):
        import_data(name, tmp_path)
    with pytest.raises(BadManifest):
        import_data(name, tmp_path / "t.csv")
    tree = TREES[name](tmp_path / "set")

    def stop(done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_data(name, tree, progress=stop)


@pytest.mark.parametrize("name", [name for name, importer in IMPORTERS.items() if "rule" in importer.options])
def test_a_rule_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadManifest, match="label rule 'birads>=4': expected one of"):
        import_data(name, TREES[name](tmp_path), rule="birads>=4")


# ---------------------------------------------------------------- INbreast


def test_inbreast_patients_are_the_second_part_of_the_name(tmp_path: Path) -> None:
    report = import_data("inbreast", trees.inbreast(tmp_path))
    rows = {name[:8]: row for name, row in by_name(report).items()}
    assert {name: row.patient_id.split(":")[1][0] for name, row in rows.items()} == {
        "20000001": "a",
        "20000002": "a",
        "20000003": "b",
        "20000004": "b",
        "20000005": "c",
    }
    assert {name: row.label for name, row in rows.items()} == {
        "20000001": "benign",
        "20000002": "malignant",
        "20000003": "benign",
        "20000004": "benign",
        "20000005": "malignant",
    }
    assert (rows["20000002"]["view"], rows["20000004"]["view"]) == ("MLO", "FB"), "the name says ML, the table MLO"
    assert (rows["20000002"].birads, rows["20000001"].density, rows["20000004"].density) == ("4a", "C", "")
    assert set(report.frame["label_source"]) == {"birads"}
    assert "no image 20000009" in reasons(report) and "the totals below the table" in reasons(report)
    assert any("pathology is not published" in text for text in report.unknown)


def test_inbreast_outlines_are_lesions_with_types_and_stay_inside_the_image(tmp_path: Path) -> None:
    report = import_data("inbreast", trees.inbreast(tmp_path))
    rows = {name[:8]: row for name, row in by_name(report).items()}
    mass, spot = lesions_of(rows["20000002"])
    assert mass.type == "mass" and mass.polygon[2] == (30.0, 48.0), "cut at the lower edge of 48 px"
    assert spot.type == "calcification" and spot.bounds == (5, 6, 6, 7)
    assert [lesion.type for lesion in lesions_of(rows["20000005"])] == ["asymmetry", "other"]
    assert lesions_of(rows["20000001"]) == []
    assert any("reaching over the image's edge" in text for text in report.repairs)
    assert any("'lymph' (1)" in note for note in report.notes)


def test_inbreast_rules(tmp_path: Path) -> None:
    tree = trees.inbreast(tmp_path)
    assert labels(import_data("inbreast", tree, rule="birads-without-3"))["20000003_bbbbbbbbbbbbbbbb_MG_R_CC_ANON"] == ""
    assert labels(import_data("inbreast", tree, rule="birads-from-3"))["20000003_bbbbbbbbbbbbbbbb_MG_R_CC_ANON"] == "malignant"


def test_inbreast_pictures_that_lost_the_patient_are_marked(tmp_path: Path) -> None:
    tree = trees.inbreast(tmp_path)
    for path in tree.rglob("*.dcm"):
        shape = (408, 333) if "20000002" in path.name else (50, 50)
        trees.picture(path.with_name(f"{path.name[:8]}.png"), shape)
        path.unlink()
    xml = next(tree.rglob("20000002.xml"))
    xml.write_bytes(xml.read_bytes().replace(b"(30.0, 70.0)", b"(3000.0, 4000.0)"))
    report = import_data("inbreast", tree)
    assert without_patient(report.frame).all() and nobody_known(report.frame)
    assert any(text.startswith("patients of 5 images") for text in report.unknown)
    rows = by_name(report)
    mass = lesions_of(rows["20000002"])[0]
    assert mass.polygon[2] == pytest.approx((300.2, 399.6), abs=0.1), "scaled from 3328 x 4084"
    assert lesion_boxes(rows["20000005"]) == [] and lesions_of(rows["20000005"])[0].type == "asymmetry"
    assert any("another shape than INbreast's" in note for note in report.notes)


def test_inbreast_damaged_outlines_cost_the_outlines_only(tmp_path: Path) -> None:
    tree = trees.inbreast(tmp_path)
    next(tree.rglob("20000002.xml")).write_bytes(b"<plist><dict>")
    next(tree.rglob("20000005.xml")).write_text('<!DOCTYPE a [<!ENTITY b "c">]><plist/>', encoding="utf-8")
    report = import_data("inbreast", tree)
    assert len(report.frame) == 5 and "xml" not in reasons(report), "their images are not left out"
    (note,) = (note for note in report.notes if "cannot be read" in note)
    assert note.startswith("warning: 2 files of outlines") and "20000002.xml" in note and "20000005.xml" in note
    next(tree.rglob("INbreast.csv")).rename(tmp_path / "INbreast.xls")
    with pytest.raises(BadManifest, match="save its first sheet as INbreast"):
        import_data("inbreast", tree)


def test_inbreast_rows_of_one_image_become_one(tmp_path: Path) -> None:
    tree = trees.inbreast(tmp_path)
    next(tree.rglob("20000002.xml")).write_bytes(b"<plist><dict>")
    table = next(tree.rglob("INbreast.csv"))
    rows = [
        "r;r;R;CC;201001;20000001;3;",
        "r;r;L;MLO;201001;20000002;3;2",
        "r;r;R;CC;201001;20000003;1;5",
        "r;r;L;;;20000004;;2",
    ]
    table.write_bytes(b"\r\n".join([table.read_bytes(), *(row.encode() for row in rows)]))
    report = import_data("inbreast", tree)
    assert report.frame["path"].is_unique
    made = {name[:8]: row.birads for name, row in by_name(report).items()}
    assert made == {"20000001": "1", "20000002": "4a", "20000003": "5", "20000005": "6"}
    assert reasons(report).count("the same image as a row above") == 4
    assert "its rows contradict each other: Laterality R, L (lines 5, 12)" in reasons(report)
    assert "2 images have rows with several BI-RADS categories: the highest is taken (20000002, 20000003)" in report.repairs
    assert sum("20000002.xml" in note for note in report.notes) == 1


def test_inbreast_outlines_outside_are_dropped_and_odd_names_explained(tmp_path: Path) -> None:
    tree = trees.inbreast(tmp_path)
    xml = next(tree.rglob("20000002.xml"))
    xml.write_bytes(xml.read_bytes().replace(b"(5, 6)", b"(500, 6)"))
    whole = next(tree.rglob("20000003*.dcm"))
    whole.rename(whole.with_name("20000003_aaaa1_MG_R_CC_ANON.dcm"))
    report = import_data("inbreast", tree)
    rows = {name[:8]: row for name, row in by_name(report).items()}
    assert [len(lesion.polygon) for lesion in lesions_of(rows["20000002"])] == [4, 0]
    assert "1 lesion outside of the image: the outline was dropped" in report.repairs
    assert "continues with '_aaaa1_MG_R_CC_ANON': expected nothing after the number 20000003" in reasons(report)


# ---------------------------------------------------------------- VinDr-Mammo


@pytest.mark.slow_for("form0-1")
@pytest.mark.parametrize(
    ("form", "scale"),
    [({}, 1), ({"suffix": ".png", "flat": True}, 1), ({"suffix": ".png", "shape": (96, 128)}, 2), ({"suffix": ".jpg"}, 1)],
)
def test_vindr_rows_are_images_and_boxes_follow_their_size(tmp_path: Path, form: dict[str, Any], scale: int) -> None:
    report = import_data("vindr", trees.vindr(tmp_path, **form))
    frame = report.frame
    assert len(frame) == 11 and frame["patient_id"].nunique() == 3, "one row an image, whatever its number of findings"
    first = next(row for _, row in frame.iterrows() if row["finding_birads"] == "4")
    mass, other = lesions_of(first)
    assert (mass.type, mass.birads, other.type, other.note) == (
        "mass",
        "4",
        "distortion",
        "Nipple Retraction, Architectural Distortion",
    )
    assert mass.box == pytest.approx((0, 10 * scale, 20 * scale, 30 * scale)), "it left the image at the left"
    assert other.box == pytest.approx((30.5 * scale, 5 * scale, 64 * scale, 40 * scale))
    assert any("2 lesions reaching over the image's edge" in text for text in report.repairs)
    assert (first.age, first.scanner, first.laterality, first["view"]) == (53, "SIEMENS Mammomat", "L", "CC")
    assert "no such image here" in reasons(report) and len(report.rejected) == 1
    assert frame["split"].value_counts().to_dict() == {"train": 7, "test": 4}
    assert set(frame["split_official"]) == {"training", "test"} and set(frame["official_split"]) == {"true"}


@pytest.mark.slow
def test_vindr_labels_are_of_the_breast_and_rules_change_them(tmp_path: Path) -> None:
    tree = trees.vindr(tmp_path)
    report = import_data("vindr", tree)
    frame = report.frame
    assert (frame["label"] == "malignant").sum() == 2, "both views of the breast of BI-RADS 4"
    assert any("1 image has a breast of BI-RADS 4 or 5 but no finding in this view" in note for note in report.notes)
    assert set(frame.loc[frame["split"] == "test", "density"]) == {"B", "C"}, "densities are of the breast"
    rules = {
        rule: import_data("vindr", tree, rule=rule).frame["label"].value_counts().to_dict()
        for rule in ("findings-from-4", "birads-without-3", "birads-only-5")
    }
    assert rules["findings-from-4"] == {"benign": 10, "malignant": 1}
    assert rules["birads-without-3"] == {"benign": 6, "": 3, "malignant": 2}
    assert rules["birads-only-5"] == {"benign": 11}


@pytest.mark.slow
def test_vindr_needs_only_one_of_its_tables(tmp_path: Path) -> None:
    tree = trees.vindr(tmp_path)
    (tree / "finding_annotations.csv").unlink()
    report = import_data("vindr", tree)
    assert len(report.frame) == 11 and not any("no finding in this view" in note for note in report.notes)
    assert set(import_data("vindr", tree, rule="findings-from-4").frame["label"]) == {""}, "findings are not known"
    trees.vindr(tmp_path)
    (tree / "breast-level_annotations.csv").unlink()
    (tree / "metadata.csv").unlink()
    assert len(import_data("vindr", tree).frame) == 11


@pytest.mark.slow
def test_vindr_rows_that_contradict_each_other_are_told(tmp_path: Path) -> None:
    tree = trees.vindr(tmp_path)
    table = tree / "breast-level_annotations.csv"
    rows = table.read_text(encoding="utf-8").splitlines()
    rows.append(rows[1].replace("BI-RADS 4", "BI-RADS 5").replace("training", "test"))
    rows.append(rows[5].replace("BI-RADS 1", "BI-RADS 4"))
    rows.append(rows[6].replace(",L,", ",R,"))
    rows.append(rows[7])
    table.write_text("\n".join(rows), encoding="utf-8")
    report = import_data("vindr", tree)
    made = {name[-4:]: row for name, row in by_name(report).items()}
    assert len(made) == 10 and made["e3e9"].birads == "5" and made["e7d1"].label == "malignant"
    assert any(text.startswith("2 images have rows with several BI-RADS categories") for text in report.repairs)
    assert made["e3e9"].split == "train" and made["e3e9"].split_official == "training,test"
    assert any("1 patient stood in several parts" in text and "1 image stood in both" in text for text in report.repairs)
    said = reasons(report)
    assert "its rows contradict each other: laterality L, R" in said
    assert said.count("breast-level_annotations.csv line") == 4 and said.count("the same image as a row above") == 4


@pytest.mark.slow
def test_vindr_boxes_without_extent_are_counted(tmp_path: Path) -> None:
    tree = trees.vindr(tmp_path)
    table = tree / "finding_annotations.csv"
    table.write_text(table.read_text(encoding="utf-8").replace("30.5,5,90,40", "30.5,5,30.5,40"), encoding="utf-8")
    report = import_data("vindr", tree)
    assert any(text.startswith("1 box without an extent was dropped, its finding kept (line 3)") for text in report.repairs)
    row = next(row for _, row in report.frame.iterrows() if row["finding_birads"] == "4")
    assert [lesion.box is None for lesion in lesions_of(row)] == [False, True]


def test_vindr_finding_rows_that_are_the_same_are_one_lesion(tmp_path: Path) -> None:
    tree = trees.vindr(tmp_path)
    table = tree / "finding_annotations.csv"
    rows = table.read_text(encoding="utf-8").splitlines()
    rows += [rows[1], rows[1].replace("BI-RADS 4,-6.5", "BI-RADS 5,-6.5"), rows[1].replace("'Mass'", "'Asymmetry'")]
    table.write_text("\n".join(rows), encoding="utf-8")
    report = import_data("vindr", tree)
    row = next(row for _, row in report.frame.iterrows() if row["finding_birads"] == "5")
    found = [(lesion.type, lesion.birads) for lesion in lesions_of(row)]
    assert found == [("mass", "5"), ("distortion", "3"), ("asymmetry", "4")]
    assert any(text.startswith("2 finding rows repeat the box and categories of another") for text in report.repairs)


def test_vindr_densities_and_ages_that_contradict_each_other_are_named(tmp_path: Path) -> None:
    tree = trees.vindr(tmp_path)
    table, tags = tree / "breast-level_annotations.csv", tree / "metadata.csv"
    table.write_text(table.read_text(encoding="utf-8").replace("DENSITY B", "DENSITY D", 1), encoding="utf-8")
    again = tags.read_text(encoding="utf-8").splitlines()[1]
    tags.write_text(tags.read_text(encoding="utf-8") + f"{again}\n{again.replace('053Y', '054Y')}\n", encoding="utf-8")
    report = import_data("vindr", tree)
    said = [text for text in report.repairs if "several values of" in text]
    assert any(
        "1 image has rows with several values of density: the first is taken" in text and "D and B" in text for text in said
    )
    assert any("several values of age" in text and "53 and 54" in text for text in said)
    assert len(said) == 2


# ---------------------------------------------------------------- CMMD


@pytest.mark.parametrize("table", ["CMMD_clinicaldata_revision.xlsx", "CMMD_clinicaldata.csv"])
def test_cmmd_labels_are_of_a_breast(tmp_path: Path, table: str) -> None:
    report = import_data("cmmd", trees.cmmd(tmp_path, table))
    frame = report.frame
    by_breast = frame.groupby(["patient_id", "laterality"])["label"].agg(set).to_dict()
    assert by_breast == {
        ("cmmd:D1-0001", "R"): {"benign"},
        ("cmmd:D1-0087", "L"): {"benign"},
        ("cmmd:D1-0087", "R"): {"malignant"},
        ("cmmd:D2-0001", "L"): {"malignant"},
        ("cmmd:D2-0001", "R"): {""},
    }
    assert len(frame) == 10 and frame.groupby("view").size().to_dict() == {"CC": 5, "MLO": 5}
    one = frame[frame["patient_id"] == "cmmd:D1-0001"].sort_values("path")
    assert one["view"].tolist() == ["MLO", "CC"], "the first has PatientOrientation only"
    assert frame.set_index("patient_id")["age"].to_dict() == {"cmmd:D1-0001": 44, "cmmd:D1-0087": 59, "cmmd:D2-0001": 64}
    assert set(frame["subset"]) == {"D1", "D2"} and set(frame["split"]) == {""}
    assert "D2-0009 L: a row of the table without an image" in reasons(report)
    assert any("2 images are of a breast without a row" in note for note in report.notes)
    assert any("the part tells the label (33 % malignant in D1, 100 % malignant in D2)" in note for note in report.notes)


@pytest.mark.slow
def test_cmmd_patients_come_from_the_header_where_folders_are_uids(tmp_path: Path) -> None:
    tree = trees.cmmd(tmp_path)
    for number, folder in enumerate(sorted((tree / "CMMD").iterdir())):
        folder.rename(tree / "CMMD" / f"1.3.6.1.4.{number}")
    assert set(import_data("cmmd", tree).frame["patient_id"]) == {"cmmd:D1-0001", "cmmd:D1-0087", "cmmd:D2-0001"}
    assumed = import_data("cmmd", tree, rule="pathology-assume-normal").frame
    assert (assumed["label"] == "").sum() == 0 and set(assumed["label_rule"]) == {"pathology-assume-normal"}


def test_cmmd_pictures_without_a_side_are_unlabelled(tmp_path: Path) -> None:
    tree = trees.cmmd(tmp_path)
    shutil.rmtree(tree / "CMMD")
    for patient in ("D1-0001", "D2-0001"):
        trees.picture(tree / patient / "1-1.png")
    report = import_data("cmmd", tree)
    assert report.frame["label"].tolist() == ["", ""] and any("2 images name no side" in note for note in report.notes)


def test_cmmd_assumes_benign_only_where_a_listed_patients_other_breast_has_no_row(tmp_path: Path) -> None:
    tree = trees.cmmd(tmp_path)
    for path in tree.glob("CMMD_clinicaldata*"):
        path.unlink()
    (tree / "CMMD_clinicaldata_revision.csv").write_text(
        "ID1,LeftRight,Age,number,abnormality,classification,subtype\n"
        "D1-0001,R,44,2,mass,Benign,\nD1-0002,L,50,2,mass,,\nD1-0003,L,60,2,mass,Malignant,\n",
        encoding="utf-8",
    )
    shutil.rmtree(tree / "CMMD")
    for name in ("D1-0001/L_CC", "D1-0001/R_CC", "D1-0002/L_CC", "D1-0002/R_CC", "D1-0003/L_CC", "D1-0003/1-1", "D1-0009/L_CC"):
        trees.picture(tree / f"{name}.png")
    report = import_data("cmmd", tree, rule="pathology-assume-normal")
    labels = {
        f"{Path(path).parent.name}/{Path(path).stem}": label for path, label in report.frame[["path", "label"]].to_numpy()
    }
    assert labels == {
        "D1-0001/L_CC": "benign",  # assumed
        "D1-0001/R_CC": "benign",
        "D1-0002/L_CC": "",  # a row without a class
        "D1-0002/R_CC": "benign",  # assumed
        "D1-0003/L_CC": "malignant",
        "D1-0003/1-1": "",  # perhaps the malignant breast
        "D1-0009/L_CC": "",  # a patient of whom the table knows nothing
    }
    assert any("2 images are of a breast without a row in the table, and taken for benign" in note for note in report.notes)
    assert any("(first: D1-0003/1-1.png)" in note for note in report.notes)
    relabelled, _ = relabel(import_data("cmmd", tree).frame, "pathology-assume-normal")
    assert relabelled["label"].tolist() == report.frame["label"].tolist()


# ---------------------------------------------------------------- Huang and Lin


def test_huang_lin_copies_are_one_image_and_nothing_is_counted_twice(tmp_path: Path) -> None:
    report = import_data("huang-lin", trees.huang_lin(tmp_path))
    frame = report.frame
    assert len(frame) == 6 and sorted(Path(path).name for path in frame["path"])[0] == "20000001 (1).png"
    assert frame["patient_id"].str.split(":").str[1].tolist().count("A_1177") == 2, "one case, benign and malignant images"
    assert {"huang-lin:mias003", "huang-lin:mias014"} <= set(frame["patient_id"])
    said = reasons(report)
    assert said.count("the combined folder repeats the others") == 24 and said.count("the same part, class and name") == 1
    assert said.count(", of which copy 1 was taken") == 18 and len(report.rejected) == 43
    assert frame.loc[frame["subset"] == "ddsm", ["laterality", "view"]].to_numpy().tolist() == [["R", "CC"], ["R", "MLO"]]
    assert any(text.startswith("patients of 2 original images") for text in report.unknown)
    unknown = frame["subset"] == "inbreast"
    assert without_patient(frame).tolist() == unknown.tolist()


@pytest.mark.slow
def test_huang_lin_all_copies_share_a_patient(tmp_path: Path) -> None:
    tree = trees.huang_lin(tmp_path / "set")
    report = import_data("huang-lin", tree, copies="all", inbreast=trees.inbreast(tmp_path / "inbreast"))
    frame = report.frame
    assert len(frame) == 24 and frame.groupby("copy_of")["patient_id"].nunique().eq(1).all()
    assert set(frame.loc[frame["subset"] == "inbreast", "patient_id"]) == {"huang-lin:aaaaaaaaaaaaaaaa"}
    assert not report.unknown and any(note.startswith("warning: every augmented copy") for note in report.notes)
    combined = tree / "Dataset of Mammography with Benign Malignant Breast Masses"
    for part in ("INbreast", "MIAS", "DDSM"):
        shutil.rmtree(combined / f"{part} Dataset")
    shutil.rmtree(combined / combined.name)
    assert len(import_data("huang-lin", tree).frame) == 6, "the combined folder alone"
    with pytest.raises(BadManifest, match="option inbreast"):
        import_data("huang-lin", tree, inbreast=str(tmp_path / "nowhere"))


# ---------------------------------------------------------------- mini-DDSM


def test_mini_ddsm_cancer_is_of_the_side_with_an_outline(tmp_path: Path) -> None:
    report = import_data("mini-ddsm", trees.mini_ddsm(tmp_path))
    assert labels(report) == {
        "A_0011_1.LEFT_CC": "benign",
        "A_0011_1.RIGHT_CC": "benign",
        "C_0029_1.LEFT_CC": "benign",
        "C_0029_1.RIGHT_CC": "benign",
        "B_3001_1.LEFT_CC": "malignant",
        "B_3001_1.RIGHT_CC": "benign",
    }
    assert any("1 image of patients with cancer without an outline" in note for note in report.notes)
    rows = by_name(report)
    lesion, third = lesions_of(rows["B_3001_1.LEFT_CC"])
    assert third.mask == "B_3001_1.LEFT_CC_MASK3.jpg", "from the table of images with more than two"
    assert lesion.mask == "B_3001_1.LEFT_CC_MASK.jpg" and lesion.pathology == "malignant"
    assert rows["B_3001_1.LEFT_CC"].patient_id == "mini-ddsm:3001" and rows["A_0011_1.LEFT_CC"].density == ""
    assert "no image 'Cancer\\\\3001\\\\B_3001_1.LEFT_MLO.jpg' here" in reasons(report) and len(report.rejected) == 1
    dropped = labels(import_data("mini-ddsm", tmp_path, rule="pathology-without-unmarked"))
    assert dropped["B_3001_1.RIGHT_CC"] == "" and dropped["A_0011_1.LEFT_CC"] == "benign"
    lesions_only = labels(import_data("mini-ddsm", tmp_path, rule="pathology-without-normal"))
    assert lesions_only["A_0011_1.LEFT_CC"] == "" and lesions_only["C_0029_1.LEFT_CC"] == "benign"


# ---------------------------------------------------------------- EMBED


@pytest.mark.slow
def test_embed_findings_belong_to_their_own_breast(tmp_path: Path) -> None:
    report = import_data("embed", trees.embed(tmp_path))
    assert labels(report) == {
        "a1": "malignant",
        "a2": "benign",
        "b1": "",
        "b2": "",
        "c1": "benign",
        "c2": "",
        "c3": "malignant",
    }
    rows = by_name(report)
    assert lesion_boxes(rows["a1"]) == [(20, 10, 44, 30)], "the table has y before x"
    assert (rows["a1"].exam_id, rows["a1"].age, rows["a1"].density, rows["a1"].birads) == ("1234567890123456", 55.5, "B", "5")
    assert rows["c1"].patient_id == rows["c3"].patient_id == "embed:13" and rows["c1"].density == ""
    said = reasons(report)
    assert "image type C-view" in said and "a spot compression" in said and "gone: listed in the metadata" in said
    assert set(report.frame["label_source"]) == {"outcome"}
    assert len(import_data("embed", tmp_path, images="all").frame) == 8


def test_embed_rows_that_contradict_each_other_are_named(tmp_path: Path) -> None:
    tree = trees.embed(tmp_path)
    clinical, metadata = (tree / "tables" / f"EMBED_OpenData_{name}.csv" for name in ("clinical", "metadata"))
    clinical.write_text(clinical.read_text(encoding="utf-8").replace("M,L,2.0", "M,L,3"), encoding="utf-8")
    rows = metadata.read_text(encoding="utf-8").splitlines()
    metadata.write_text("\n".join([*rows, rows[2].replace(",R,CC", ",L,CC")]), encoding="utf-8")
    report = import_data("embed", tree)
    assert "a2.dcm: its rows name several sides (L, R)" in reasons(report) and "a2" not in labels(report)
    assert any("several values of density" in text and "(a1.dcm: B and C" in text for text in report.repairs)


def test_embed_images_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    tree = trees.embed(tmp_path)
    table = tree / "tables" / "EMBED_OpenData_metadata.csv"
    lines = table.read_text(encoding="utf-8").replace("/b1.dcm", "/a1.dcm").replace("/c3.dcm", "/A1.dcm").splitlines()
    lines += [lines[1], lines[2].replace("a2.dcm", "moved.dcm")]
    table.write_text("\n".join(lines), encoding="utf-8")
    images = tree / "images" / "cohort_1"
    (images / "12" / "1234567890123457" / "b1.dcm").rename(images / "12" / "1234567890123457" / "a1.dcm")
    trees.picture(images / "12" / "1234567890123457" / "a1.png")
    trees.dicom(tree / "images" / "moved.dcm")
    report = import_data("embed", tree)
    made = {(row.patient_id, Path(row.path).stem): row.label for _, row in report.frame.iterrows()}
    assert made[("embed:11", "a1")] == "malignant" and made[("embed:12", "a1")] == ""
    assert made[("embed:11", "moved")] == "benign" and len(made) == 7 and report.frame["path"].is_unique
    said = reasons(report)
    assert "A1: listed in the metadata as /mnt/NAS/EMBED/cohort_1/13/1234567890123459/A1.dcm: no image in these folders" in said
    assert "a1.png: the same image as" in said and "c3.dcm: not listed in EMBED_OpenData_metadata.csv" in said


def test_embed_breasts_without_findings_and_without_a_grade_are_counted_apart(tmp_path: Path) -> None:
    tree = trees.embed(tmp_path)
    clinical, metadata = (tree / "tables" / f"EMBED_OpenData_{name}.csv" for name in ("clinical", "metadata"))
    clinical.write_text(clinical.read_text(encoding="utf-8").replace("x,A,L", "x,X,L"), encoding="utf-8")
    metadata.write_text(metadata.read_text(encoding="utf-8").replace("20, 30, 44)", "20, 10, 44)"), encoding="utf-8")
    report = import_data("embed", tree)
    assert any(note.startswith("1 image of a breast without any finding") for note in report.notes), "b2"
    assert any(note.startswith("1 image of a breast whose findings") for note in report.notes), "b1"
    assert "1 region of interest without an extent dropped" in report.repairs


# ---------------------------------------------------------------- KAU-BCMD, DMID, CDD-CESM


def test_kau_keeps_the_higher_category_and_reads_names_with_blanks(tmp_path: Path) -> None:
    report = import_data("kau-bcmd", trees.kau(tmp_path))
    rows = {f"{row.patient_id} {row['view']}": row for _, row in report.frame.iterrows()}
    assert {name: (row.label, row.birads) for name, row in rows.items()} == {
        "kau-bcmd:2018_BC0021 CC": ("benign", "1"),
        "kau-bcmd:2018_BC0021 MLO": ("benign", "3"),
        "kau-bcmd:2018_BC005421 CC": ("malignant", "5"),
        "kau-bcmd:2018_BC005421 MLO": ("malignant", "5"),
    }
    assert rows["kau-bcmd:2018_BC005421 CC"].age == 47 and rows["kau-bcmd:2018_BC005421 CC"].density == "D"
    assert "the higher of its categories; here 4" in reasons(report) and "thumb.jpg: expected a name" in reasons(report)
    (tmp_path / "correctSheetlast.xlsx").unlink()
    bare = import_data("kau-bcmd", tmp_path)
    assert len(bare.frame) == 4 and any("ages and densities" in text for text in bare.unknown)


def test_dmid_has_no_patients_and_says_so(tmp_path: Path) -> None:
    report = import_data("dmid", trees.dmid(tmp_path))
    assert labels(report) == {"IMG001": "malignant", "IMG002": "benign", "IMG003": "benign"}
    assert nobody_known(report.frame) and any(text.startswith("patients: the set names none") for text in report.unknown)
    rows = by_name(report)
    assert Path(rows["IMG001"].path).suffix == ".dcm" and Path(rows["IMG003"].path).suffix == ".tif"
    assert (rows["IMG001"].laterality, rows["IMG001"]["view"], rows["IMG002"].pathology) == ("L", "CC", "normal")
    (lesion,) = lesions_of(rows["IMG001"])
    assert (Path(rows["IMG001"].path).parent / lesion.mask).is_file() and lesions_of(rows["IMG002"]) == []
    said = reasons(report)
    assert "IMG001.tif: the same image as" in said and "IMG009: listed in" in said and "IMG004.dcm: not listed" in said


def test_cesm_takes_low_energy_images_only(tmp_path: Path) -> None:
    report = import_data("cdd-cesm", trees.cdd_cesm(tmp_path))
    assert labels(report) == {"P1_L_DM_CC": "malignant", "P1_R_DM_MLO": "benign", "P2_R_DM_CC": "benign"}
    rows = by_name(report)
    assert (rows["P1_L_DM_CC"].birads, rows["P1_L_DM_CC"].density, rows["P1_L_DM_CC"].patient_id) == ("5", "C", "cdd-cesm:P1")
    said = reasons(report)
    assert "the twin of a low-energy one" in said and "P1_L_DM_CC.jpg: the same image as a row above" in said
    assert "no image 'P3_R_DM_CC' here" in said and "P9_L_DM_CC.jpg: not listed" in said


@pytest.mark.parametrize(
    ("name", "table", "column"),
    [
        ("inbreast", "INbreast.csv", "Bi-Rads"),
        ("inbreast", "INbreast.csv", "File Name"),
        ("cmmd", "clinical.csv", "classification"),
    ],
)
def test_a_table_that_lacks_a_column_is_not_called_missing(tmp_path: Path, name: str, table: str, column: str) -> None:
    from core.data.importers.cmmd import _NEEDED as OF_CMMD
    from core.data.importers.inbreast import _NEEDED as OF_INBREAST

    needed = {"inbreast": OF_INBREAST, "cmmd": OF_CMMD}[name]
    trees.picture(tmp_path / "images" / "a.png")
    (tmp_path / table).write_text(",".join(each for each in needed if each != column) + "\n", encoding="utf-8")
    with pytest.raises(BadManifest, match=rf"{table} is there, without the column {column}"):
        import_data(name, tmp_path)


@pytest.mark.parametrize("inner", ["train/0 train/1 valid/0 valid/1", "train/benign test/malignant"])
def test_a_folder_that_wraps_the_images_is_answered_with_the_one_that_was_meant(tmp_path: Path, inner: str) -> None:
    for name in inner.split():
        trees.picture(tmp_path / "Mammö graphien" / name / f"{name.replace('/', '-')}.png")
    with pytest.raises(BadManifest, match=r"got none\. Did you mean .*Mammö graphien \(folders named .*\)\? Name the importer"):
        import_data("auto", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadManifest, match=r"got none\. Name the importer"):
        import_data("auto", tmp_path / "empty")
