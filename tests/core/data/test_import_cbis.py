"""`cbis-ddsm`: each trap of the collection, in the forms in which it is distributed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
from builders import cbis_tree
from builders.cbis_tree import LESIONS, Lesion, dicom_tree, jpeg_tree

from core.data.importers import ImportReport, import_data
from core.data.lesions import lesions_of
from core.data.manifest import read_manifest, write_manifest
from core.errors import BadManifest


def by_film(frame: pd.DataFrame) -> dict[str, pd.Series]:
    """Rows by patient, side and view."""
    return {f"{row.patient_id.split(':')[1]} {row.laterality} {row.view}": row for _, row in frame.iterrows()}


@pytest.fixture(params=["nbia", "classical", "flat", "jpeg", "jpeg nested"])
def report(request: pytest.FixtureRequest, tmp_path: Path) -> ImportReport:
    style = request.param
    tree = jpeg_tree(tmp_path, nested="nested" in style) if "jpeg" in style else dicom_tree(tmp_path, style)
    return import_data("cbis-ddsm", tree)


@pytest.mark.slow_for("flat", "nbia")
def test_films_labels_patients_and_lesions_are_right_in_every_form(report: ImportReport) -> None:
    films = by_film(report.frame)
    assert sorted(films) == [
        *("P_00001 L CC", "P_00001 L MLO", "P_00001 R CC", "P_00016 L CC", "P_00016 L MLO", "P_00038 L CC"),
    ]
    labels = {name: row.label for name, row in films.items()}
    assert labels["P_00001 L CC"] == "malignant", "one of its two lesions is"
    assert labels["P_00001 L MLO"] == "benign" and films["P_00001 L MLO"].pathology == "benign_without_callback"
    assert labels["P_00016 L CC"] == "malignant", "benign as a calcification case of train, malignant as a mass case of test"
    assert labels["P_00001 R CC"] == labels["P_00038 L CC"] == "benign", "each breast has its own label"
    assert films["P_00001 L CC"].density == "C" and films["P_00001 R CC"].density == "", "0 is no density"
    assert set(report.frame["label_source"]) == {"pathology"} and set(report.frame["collection"]) == {"cbis-ddsm"}
    assert set(report.frame["birads"]) == {"4"}
    assert [lesion.pathology for lesion in lesions_of(films["P_00001 L CC"])] == ["benign", "malignant"]
    assert {lesion.type for lesion in lesions_of(films["P_00016 L CC"])} == {"mass", "calcification"}
    # Every lesion's mask was found, whichever of the two files it is, and its box is in pixels of the film.
    for row in films.values():
        for lesion in lesions_of(row):
            assert lesion.mask and (Path(row.path).parent / lesion.mask).is_file() and lesion.box is not None
            assert lesion.box == pytest.approx((8, 12, 16, 24), abs=1.5) and lesion.size == (64, 48)


@pytest.mark.slow_for("flat", "nbia")
def test_no_patient_is_on_two_sides_and_the_repair_is_counted(report: ImportReport) -> None:
    splits = report.frame.groupby("patient_id")["split"].agg(set).to_dict()
    assert splits == {"cbis-ddsm:P_00001": {"train"}, "cbis-ddsm:P_00016": {"train"}, "cbis-ddsm:P_00038": {"test"}}
    assert set(report.frame["split_origin"]) == {
        "the official split of the data set, with all images of patients in several parts of it moved to train"
    }
    assert "official_split" not in report.frame.columns, "it is not the official one any more"
    films = by_film(report.frame)
    assert films["P_00016 L CC"].split_official == "train,test" and films["P_00016 L MLO"].split_official == "test"
    assert any("1 patient stood in several parts" in text and "1 image moved" in text for text in report.repairs)
    assert any("1 image stood in both" in text for text in report.repairs)
    assert any("1 film in both the mass and the calcification table" in text for text in report.repairs)


@pytest.mark.slow_but("jpeg")
def test_every_file_and_row_left_out_has_its_reason(report: ImportReport) -> None:
    reasons = {Path(what).name: reason for what, reason in report.rejected}
    assert "no image in the folder" in reasons["Calc-Test_P_00038_LEFT_MLO"]
    twin = [reason for _, reason in report.rejected if reason.startswith("the same film as")]
    assert len(twin) == 1
    assert len(report.rejected) == 2


@pytest.mark.slow
def test_the_manifest_is_read_back_with_its_masks(tmp_path: Path) -> None:
    frame = import_data("cbis-ddsm", dicom_tree(tmp_path / "set")).frame
    write_manifest(frame, tmp_path / "set" / "m.csv")
    pd.testing.assert_frame_equal(read_manifest(tmp_path / "set" / "m.csv"), frame)
    shutil.move(tmp_path / "set", tmp_path / "moved")
    for _, row in read_manifest(tmp_path / "moved" / "m.csv").iterrows():
        assert all((Path(row["path"]).parent / lesion.mask).is_file() for lesion in lesions_of(row))


@pytest.mark.slow
def test_bits_decide_where_folders_and_headers_lie(tmp_path: Path) -> None:
    report = import_data("cbis-ddsm", dicom_tree(tmp_path, lie=True))
    for row in by_film(report.frame).values():
        assert all(lesion.box is not None for lesion in lesions_of(row))
    assert any("series description says the other" in note and note.startswith("8 ") for note in report.notes)


@pytest.mark.slow
def test_a_mask_of_another_shape_than_the_film_is_kept_and_marked(tmp_path: Path) -> None:
    report = import_data("cbis-ddsm", dicom_tree(tmp_path))
    films = by_film(report.frame)
    marked = [lesion for row in films.values() for lesion in lesions_of(row) if "another shape" in lesion.note]
    assert len(marked) == 1 and marked[0].type == "mass" and any("1 mask has another shape" in note for note in report.notes)


@pytest.mark.slow
def test_the_raw_official_split_warns_of_its_leakage(tmp_path: Path) -> None:
    report = import_data("cbis-ddsm", dicom_tree(tmp_path), split="official")
    films = by_film(report.frame)
    assert films["P_00016 L CC"].split == "test" and films["P_00016 L MLO"].split == "test"
    assert not any("split=official leaves" in note for note in report.notes)  # twins of one film in both parts: joined
    assert any(text.startswith("1 image stood in several parts of the official split: kept once") for text in report.repairs)
    lesions = [*LESIONS, Lesion("calc", "train", "P_00016", "RIGHT", "CC", 1, "BENIGN")]
    report = import_data("cbis-ddsm", dicom_tree(tmp_path / "more", lesions=lesions), split="official")
    assert any(note.startswith("warning: split=official leaves 1 patient") for note in report.notes)
    assert set(import_data("cbis-ddsm", tmp_path, split="none").frame["split"]) == {""}


@pytest.mark.slow
def test_benign_without_callback_can_be_left_unlabelled(tmp_path: Path) -> None:
    frame = import_data("cbis-ddsm", dicom_tree(tmp_path), rule="pathology-without-callback").frame
    assert by_film(frame)["P_00001 L MLO"].label == "" and (frame["label"] == "").sum() == 1


@pytest.mark.slow
def test_parts_of_the_tables(tmp_path: Path) -> None:
    dicom_tree(tmp_path)
    mass = import_data("cbis-ddsm", tmp_path, lesions="mass").frame
    assert set(mass["abnormality"]) == {"mass"} and len(mass) == 5
    crops = import_data("cbis-ddsm", tmp_path, image="crop").frame
    assert len(crops) == 8 and set(crops["collection"]) == {"cbis-ddsm-crop"}
    assert set(crops["patient_id"]) == {"cbis-ddsm:P_00001", "cbis-ddsm:P_00016", "cbis-ddsm:P_00038"}


@pytest.mark.slow
def test_tables_that_were_saved_again_under_other_names_are_read(tmp_path: Path) -> None:
    dicom_tree(tmp_path, "classical")
    for table in tmp_path.glob("*.csv"):
        text = table.read_text(encoding="utf-8")
        head, _, rest = text.partition("\n")
        for new, old in (
            ("side", "left or right breast"),
            ("view", "image view"),
            ("abn_num", "abnormality id"),
            ("od_crop_path", "cropped image file path"),
            ("od_img_path", "image file path"),
            ("mask_path", "ROI mask file path"),
        ):
            head = head.replace(old, new)
        table.write_text(f"{head}\n{rest.replace('/', chr(92))}", encoding="utf-8")
    assert len(import_data("cbis-ddsm", tmp_path).frame) == 6


@pytest.mark.slow
def test_nbia_folders_are_found_by_its_own_list_too(tmp_path: Path) -> None:
    """Where the folders' names say nothing, metadata.csv leads from the series to them."""
    dicom_tree(tmp_path, "flat")
    rows = ["Series UID,Subject ID,File Location"]
    for number, folder in enumerate(sorted(path for path in tmp_path.iterdir() if path.is_dir())):
        folder.rename(tmp_path / f"series{number}")
        rows.append(f"{folder.name},x,.\\series{number}")
    (tmp_path / "metadata.csv").write_text("\n".join(rows), encoding="utf-8")
    assert len(import_data("cbis-ddsm", tmp_path).frame) == 6


@pytest.mark.slow
def test_rows_that_cannot_be_read_are_left_out_by_line(tmp_path: Path) -> None:
    dicom_tree(tmp_path)
    table = tmp_path / "mass_case_description_train_set.csv"
    text = table.read_text(encoding="utf-8").replace("P_00001,3,LEFT,MLO", "patient one,3,LEFT,MLO")
    table.write_text(text, encoding="utf-8")
    report = import_data("cbis-ddsm", tmp_path)
    assert any("patient_id 'patient one'" in reason and "line" in what for what, reason in report.rejected)
    with pytest.raises(BadManifest, match="expected CBIS-DDSM's case tables"):
        import_data("cbis-ddsm", tmp_path / "CBIS-DDSM")


@pytest.mark.slow
def test_it_is_recognised_by_its_tables(tmp_path: Path) -> None:
    report = import_data("auto", dicom_tree(tmp_path))
    assert report.notes[0].startswith("recognised as cbis-ddsm: case tables of CBIS-DDSM: calc_case_description_test_set.csv")
    assert cbis_tree.MASS[0] == "patient_id"
