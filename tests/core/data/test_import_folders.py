"""The folder importer on folders as they are: links, loops, clutter, splits below labels, masks, images without a label."""

from __future__ import annotations

import os
from pathlib import Path, PurePath

import cv2
import numpy as np
import pytest

from core.data.importers import ImportReport, import_data, recognise
from core.data.importers.folder_layout import class_folders
from core.data.importers.folder_walk import walk
from core.data.importers.masks import says_mask, with_their_image
from core.data.manifest import read_manifest, write_manifest
from core.data.splits import leaking_patients
from core.errors import BadManifest

posix = pytest.mark.skipif(os.name != "posix", reason="links and odd names need POSIX")
_shade = iter(range(10**9))


def picture(path: Path) -> Path:
    """A small picture like no other, with many grey levels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = (np.arange(24 * 20, dtype=np.uint32).reshape(24, 20) * 7 + next(_shade)) % 251
    assert cv2.imwrite(str(path), pixels.astype(np.uint8))
    return path


def mask(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((24, 20), np.uint8)
    pixels[5 : 9 + next(_shade) % 10, 5:9] = 255
    assert cv2.imwrite(str(path), pixels)
    return path


def imported(folder: Path, **options: str) -> ImportReport:
    report = import_data("folder", folder, **options)
    write_manifest(report.frame, folder / "m.csv")
    assert read_manifest(folder / "m.csv")["path"].tolist() == report.frame["path"].tolist()
    (folder / "m.csv").unlink()
    return report


def names(report: ImportReport) -> list[str]:
    return sorted(Path(path).name for path in report.frame["path"])


def said(report: ImportReport, *words: str) -> bool:
    return any(all(word in note for word in words) for note in report.notes)


# ---------------------------------------------------------------- splits


@pytest.mark.parametrize("train", ["train", "Training Set", "TRAIN_DATA"])
def test_splits_below_the_labels_are_used(tmp_path: Path, train: str) -> None:
    for label in ("benign", "malignant"):
        for split in (train, "test"):
            picture(tmp_path / label / split / "deep" / f"{label}{split}.png")
    report = imported(tmp_path)
    assert sorted(report.frame["split"]) == ["test", "test", "train", "train"]
    assert said(report, "the split of 4 images was taken from folders below the label's")
    assert not said(report, "patient_pattern=")


def test_images_outside_the_split_folders_are_a_warning(tmp_path: Path) -> None:
    for name in ("benign/train/1", "malignant/train/2", "benign/3"):
        picture(tmp_path / f"{name}.png")
    assert said(imported(tmp_path), "warning: 1 image is in no split folder")


def test_a_split_below_another_split_is_a_warning(tmp_path: Path) -> None:
    picture(tmp_path / "train" / "benign" / "test" / "1.png")
    picture(tmp_path / "train" / "malignant" / "2.png")
    report = imported(tmp_path)
    assert set(report.frame["split"]) == {"train"} and said(report, "warning: 1 image is in", "the outer one was taken")


@pytest.mark.parametrize(
    ("folders", "words"),
    [
        (["Benign Masses", "Malignant Masses", "Normal"], 'benign="Benign Masses" malignant="Malignant Masses"'),
        (["train/0", "train/1"], "--classes 0=benign,1=malignant"),
        (["data/benign", "data/malignant"], "Did you mean .*data"),
        (["a", "b"], "Other folder names"),
    ],
)
def test_another_layout_is_refused_with_what_was_probably_meant(tmp_path: Path, folders: list[str], words: str) -> None:
    for folder in folders:
        picture(tmp_path / folder / "1.png")
    with pytest.raises(BadManifest, match=words):
        import_data("folder", tmp_path)


def test_label_folders_that_are_not_there_are_a_warning(tmp_path: Path) -> None:
    picture(tmp_path / "benign" / "1.png")
    assert said(imported(tmp_path), "warning: there is no folder with malignant images")
    assert said(imported(tmp_path, malignant="cancers"), "warning: no folder is called cancers")


# ---------------------------------------------------------------- links


@posix
def test_linked_patient_folders_are_followed_and_loops_are_not(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for number in range(6):
        picture(tmp_path / "big" / f"P{number}" / f"P{number}_L_CC.png")
        label = data / ("benign", "malignant")[number % 2]
        label.mkdir(parents=True, exist_ok=True)
        (label / f"P{number}").symlink_to(tmp_path / "big" / f"P{number}")
    (data / "benign" / "loop").symlink_to(data / "benign")
    (data / "benign" / "up").symlink_to(data)
    (data / "benign" / "self").symlink_to(data / "benign" / "self")
    (data / "malignant" / "again").symlink_to(tmp_path / "big" / "P1")
    report = imported(data)
    assert names(report) == [f"P{number}_L_CC.png" for number in range(6)]
    assert said(report, "links to folders that were read already", "loop") and said(report, "again")
    reasons = {Path(path).name: reason for path, reason in report.rejected}
    assert "self" in reasons


@posix
def test_a_file_in_two_label_folders_is_left_out_with_the_contradiction(tmp_path: Path) -> None:
    real = picture(tmp_path / "benign" / "1.png")
    picture(tmp_path / "benign" / "2.png")
    (tmp_path / "malignant").mkdir()
    (tmp_path / "malignant" / "also.png").symlink_to(real)
    (tmp_path / "benign" / "twice.png").symlink_to(tmp_path / "benign" / "2.png")
    report = imported(tmp_path)
    assert names(report) == ["2.png"]
    reasons = {Path(path).name: reason for path, reason in report.rejected}
    assert "contradict each other: benign, malignant" in reasons["1.png"] == reasons["also.png"]
    assert "the same file as" in reasons["twice.png"]


@posix
def test_a_label_folder_that_is_a_link_does_not_lead_above_its_target(tmp_path: Path) -> None:
    for label in ("benign", "malignant"):
        picture(tmp_path / "far" / label / f"{label}.png")
        (tmp_path / "far" / label / "up").symlink_to(tmp_path / "far")
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / label).symlink_to(tmp_path / "far" / label)
    report = imported(tmp_path / "data")
    assert sorted(report.frame["label"]) == ["benign", "malignant"] and report.rejected == []


@posix
def test_many_links_to_many_links_end(tmp_path: Path) -> None:
    below = tmp_path / "l0"
    picture(below / "1.png")
    for level in range(1, 40):  # 2 ** 40 paths to one picture
        folder = tmp_path / f"l{level}"
        folder.mkdir()
        (folder / "a").symlink_to(below)
        (folder / "b").symlink_to(below)
        below = folder
    found = walk(below)
    assert len(found.files) == 1 and len(found.again) == 39


@posix
@pytest.mark.skipif(os.name == "posix" and os.geteuid() == 0, reason="root may read everything")
def test_a_folder_without_permission_is_named(tmp_path: Path) -> None:
    picture(tmp_path / "benign" / "1.png")
    locked = tmp_path / "benign" / "locked"
    locked.mkdir(mode=0)
    report = imported(tmp_path)
    assert [(Path(path).name, "cannot be read" in reason) for path, reason in report.rejected] == [("locked", True)]


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture(tmp_path / "benign" / "1.png")
    (tmp_path / "benign" / "locked").mkdir()
    scan = os.scandir

    def refusing(path: Path) -> object:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)
    report = import_data("folder", tmp_path)
    assert [(Path(path).name, reason) for path, reason in report.rejected] == [
        ("locked", "this folder cannot be read: Permission denied")
    ]


# ---------------------------------------------------------------- clutter and unlabelled images


def test_what_systems_put_beside_images_is_passed_over_and_counted(tmp_path: Path) -> None:
    picture(tmp_path / "benign" / "1.PNG")
    for name in (".DS_Store", "._1.png", "Thumbs.db", "DICOMDIR", "desktop.ini", "README.md"):
        (tmp_path / "benign" / name).write_bytes(b"junk")
    for name in ("__MACOSX/benign/._1.png", "benign/__MACOSX/._1.png", "benign/@eaDir/1.png", "benign/.git/x"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"junk")
    report = imported(tmp_path)
    assert names(report) == ["1.PNG"] and report.rejected == []
    assert said(report, "9 files that come with folders were passed over") and not said(report, "left alone")


def test_images_without_a_label_are_left_out_by_name(tmp_path: Path) -> None:
    for name in ("train/benign/1", "train/malignant/2", "test/3", "4"):
        picture(tmp_path / f"{name}.png")
    (tmp_path / "labels.csv").write_text("a,b\n", encoding="utf-8")
    report = imported(tmp_path)
    assert [Path(path).name for path, _ in report.rejected] == ["4.png", "3.png"]
    assert all("in no folder that names a label" in reason for _, reason in report.rejected)
    assert said(report, "warning: 2 images lie beside the label folders") and said(report, "no image: labels.csv")


def test_folders_that_are_left_alone_are_counted(tmp_path: Path) -> None:
    for name in ("benign/1", "malignant/2", "Normal/3", "Normal/x/4"):
        picture(tmp_path / f"{name}.png")
    assert said(imported(tmp_path), "were left alone: Normal (2 files)")


@posix
@pytest.mark.parametrize("name", ["a\\b.png", "a.png ", "a\u00a0"])
def test_names_that_a_manifest_cannot_keep_are_left_out_with_the_reason(tmp_path: Path, name: str) -> None:
    picture(tmp_path / "benign" / "1.png")
    (tmp_path / "benign" / "1.png").rename(tmp_path / "benign" / name)
    picture(tmp_path / "benign" / " 2.png")
    report = imported(tmp_path)
    assert names(report) == [" 2.png"] and "expected a name without" in report.rejected[0][1]


# ---------------------------------------------------------------- masks


@pytest.mark.parametrize(
    "name",
    [
        *("{0}_mask", "{0}_mask_1", "{0}-ROI", "mask_{0}", "{0} mask", "{0}_Mask2", "{0}_segmentation", "{0}.gt"),
        *("masks/{0}", "ROI/{0}_2", "{0}_ground_truth"),
    ],
)
@pytest.mark.parametrize("verify", ["all", "header"])
def test_masks_of_images_are_left_out_by_name(tmp_path: Path, name: str, verify: str) -> None:
    for label in ("benign", "malignant"):
        picture(tmp_path / label / f"{label} (1).png")
        mask(tmp_path / label / f"{name.format(f'{label} (1)')}.png")
    report = imported(tmp_path, verify=verify)
    assert names(report) == ["benign (1).png", "malignant (1).png"]
    assert said(report, "warning: 2 files look like masks and were left out") and len(report.rejected) == 2
    taken = imported(tmp_path, masks="import", verify=verify)
    assert len(taken.frame) == 4 and said(taken, "warning: 2 files look like masks")


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_masks_without_telling_names_are_left_out_by_their_grey_levels(tmp_path: Path, suffix: str) -> None:
    picture(tmp_path / "benign" / "1.png")
    mask(tmp_path / "benign" / f"1_2.{suffix}")
    report = imported(tmp_path)
    assert names(report) == ["1.png"] and "two grey levels only" in report.rejected[0][1]


def test_a_set_of_nothing_but_two_levels_is_imported_with_a_warning(tmp_path: Path) -> None:
    mask(tmp_path / "benign" / "1.png")
    mask(tmp_path / "malignant" / "2.png")
    report = imported(tmp_path)
    assert len(report.frame) == 2 and said(report, "warning: all 2 images have two grey levels only")


def test_images_whose_names_only_sound_like_masks_are_imported_with_a_word(tmp_path: Path) -> None:
    picture(tmp_path / "benign" / "ROI_1.png")
    picture(tmp_path / "malignant" / "roi_2.png")
    report = imported(tmp_path)
    assert names(report) == ["ROI_1.png", "roi_2.png"]
    assert said(report, "warning: 2 images have a word for a mask", "were taken for images")


@pytest.mark.parametrize("name", ["damask", "euroimage", "segal_1", "P1_groin", "masked", "Roiz_L_CC"])
def test_words_inside_words_are_no_masks(name: str) -> None:
    assert not says_mask(PurePath(f"{name}.png"))
    assert with_their_image([PurePath("a.png"), PurePath(f"{name}.png")]) == [False, False]


# ---------------------------------------------------------------- others


@posix
def test_other_importers_follow_links_and_end(tmp_path: Path) -> None:
    picture(tmp_path / "far" / "5" / "100.png")
    (tmp_path / "rsna").mkdir()
    (tmp_path / "rsna" / "train_images").symlink_to(tmp_path / "far")
    (tmp_path / "far" / "loop").symlink_to(tmp_path / "far")
    (tmp_path / "rsna" / "train.csv").write_text("patient_id,image_id,laterality,view,cancer\n5,100,L,CC,1\n", encoding="utf-8")
    assert len(import_data("rsna", tmp_path / "rsna").frame) == 1
    (tmp_path / "mias").mkdir()
    picture(tmp_path / "films" / "mdb001.png")
    (tmp_path / "mias" / "films").symlink_to(tmp_path / "films")
    (tmp_path / "mias" / "Info.txt").write_text("mdb001 G CIRC B 535 425 197\n", encoding="utf-8")
    assert len(import_data("mini-mias", tmp_path / "mias").frame) == 1


# ---------------------------------------------------------------- options


def test_a_word_that_an_option_names_wins_over_its_usual_meaning(tmp_path: Path) -> None:
    picture(tmp_path / "cancer" / "1.png")
    picture(tmp_path / "malignant" / "2.png")
    report = imported(tmp_path, benign="cancer")
    assert sorted(report.frame["label"]) == ["benign", "malignant"]
    with pytest.raises(BadManifest, match="give cancer both labels"):
        import_data("folder", tmp_path, benign="cancer", malignant="Cancer")


def test_a_pattern_that_matches_nothing_is_a_warning_and_other_names_for_splits_are_told(tmp_path: Path) -> None:
    picture(tmp_path / "Training Set" / "benign" / "1.png")
    picture(tmp_path / "test" / "malignant" / "2.png")
    report = imported(tmp_path, patient_pattern="(never)")
    assert said(report, "warning: patient_pattern matches 0 of 2 images") and said(report, "splits: Training Set is train")


def test_rsna_tables_as_pandas_writes_them_and_with_a_row_twice(tmp_path: Path) -> None:
    picture(tmp_path / "5_100.png")
    picture(tmp_path / "6_101.png")
    (tmp_path / "train.csv").write_text(
        ",patient_id,image_id,laterality,view,cancer\n0,5.0,100.0,L,CC,0.0\n1,5,100,L,CC,1\n2,6.0,101,R,CC,0.0\n",
        encoding="utf-8",
    )
    report = import_data("rsna", tmp_path)
    assert report.frame[["patient_id", "label"]].to_numpy().tolist() == [["5", "malignant"], ["6", "benign"]]
    assert report.rejected == [("train.csv line 3", "the same image as a row above, which is malignant now")]
    assert said(report, "numbers the rows")


# ---------------------------------------------------------------- classes


def test_a_folder_of_normals_beside_both_classes_says_how_to_include_it(tmp_path: Path) -> None:
    for folder in ("Normal", "Benign", "Cancer", "notes"):
        picture(tmp_path / folder / "a.png")
    report = import_data("folder", tmp_path)
    option = "Benign=benign,Cancer=malignant,Normal=benign"
    assert said(report, "warning: Normal may be a class too, and nobody has said what it means: to include it")
    assert said(report, f"import again with --classes {option}")
    whole = import_data("folder", tmp_path, classes=option)
    assert whole.frame["label"].tolist().count("benign") == 2 and not said(whole, "may be a class too")


def test_classes_that_are_all_of_one_label_are_warned_of(tmp_path: Path) -> None:
    for folder in ("0", "1"):
        picture(tmp_path / folder / "a.png")
    report = import_data("folder", tmp_path, classes="0=benign,1=benign,2=benign")
    assert said(report, "there is no malignant image") and said(report, "no folder is called 2")


def test_one_file_is_written_in_the_singular(tmp_path: Path) -> None:
    picture(tmp_path / "benign" / "a.png")
    (tmp_path / "benign" / "Thumbs.db").write_bytes(b"x")
    report = import_data("folder", tmp_path, patient_pattern="(a)")
    assert said(report, "1 file that comes with folders was passed over")
    assert said(report, "patient_pattern matches 1 of 1 image") and not said(report, "1 images") and not said(report, "1 files")


@pytest.mark.parametrize(
    ("folders", "option"),
    [
        (("0", "1"), "0=benign,1=malignant"),
        (("normal", "cancer"), "cancer=malignant,normal=benign"),
        (("train/Negative", "train/Positive"), "Negative=benign,Positive=malignant"),
    ],
)
def test_what_classes_mean_is_asked_before_anything_is_imported(tmp_path: Path, folders: tuple[str, str], option: str) -> None:
    for number, folder in enumerate(folders):
        for each in range(number + 1):
            picture(tmp_path / folder / f"{each}.png")
    with pytest.raises(BadManifest, match="what do these folders mean") as caught:
        import_data("folder", tmp_path)
    benign = folders[0].rpartition("/")[2]
    assert str(caught.value).endswith(f"--classes {option}") and f"{benign} (1 file) for benign" in str(caught.value)
    report = import_data("folder", tmp_path, classes=option)
    assert report.frame["label"].value_counts().to_dict() == {"malignant": 2, "benign": 1}


def test_one_class_alone_is_asked_for_the_other(tmp_path: Path) -> None:
    for folder in ("0", "1"):
        picture(tmp_path / folder / "a.png")
    with pytest.raises(BadManifest, match="0=benign,1=malignant"):
        import_data("folder", tmp_path, classes="1=malignant")
    assert len(import_data("folder", tmp_path, classes="1=benign,0=malignant").frame) == 2, "the user knows better"
    for wrong in ("1", "1=cancer", "=benign"):
        with pytest.raises(BadManifest, match="option classes: expected NAME=benign"):
            import_data("folder", tmp_path, classes=wrong)


def test_augmented_copies_by_name_are_one_patient_and_leak_across_splits(tmp_path: Path) -> None:
    for split, name in (
        ("train", "a_jpg.rf.0123456789abcdef"),
        ("train", "a_jpg.rf.fedcba9876543210"),
        ("valid", "a_jpg.rf.00000000ffffffff"),
        ("train", "b_aug_1"),
        ("train", "b_aug_2"),
        ("train", "c_jpg.rf.0123456789abcdef"),
        ("train", "d (1)"),
        ("train", "d (2)"),
    ):
        picture(tmp_path / split / "benign" / f"{name}.png")
    picture(tmp_path / "train" / "malignant" / "z.png")
    report = import_data("folder", tmp_path)
    rows = report.frame.assign(name=[Path(path).stem for path in report.frame["path"]]).set_index("name")
    assert set(rows.loc[rows["copy_of"] == "a_jpg", "patient_id"]) == {"a_jpg"} and (rows["copy_of"] == "a_jpg").sum() == 3
    assert (rows["copy_of"] == "b").sum() == 2 and rows.loc["c_jpg.rf.0123456789abcdef", "copy_of"] == ""
    assert rows.loc["d (1)", "patient_id"] != rows.loc["d (2)", "patient_id"], "a numbered name may be another image"
    assert any("5 files are augmented copies of 2 images" in note and "leakage" in note for note in report.notes)
    assert list(leaking_patients(report.frame)) == ["a_jpg"]


def test_folders_of_classes_are_recognised(tmp_path: Path) -> None:
    for folder in ("train/0", "train/1", "test/0"):
        picture(tmp_path / folder / "a.png")
    (found,) = recognise(tmp_path)
    assert (found.name, found.reason) == ("folder", "folders named 0, 1")
    with pytest.raises(BadManifest, match="what do these folders mean"):
        import_data("auto", tmp_path)
    report = import_data("auto", tmp_path, classes="0=benign,1=malignant")
    assert len(report.frame) == 3 and report.notes[0] == "recognised as folder: folders named 0, 1"


def test_tiles_are_refused_with_their_source(tmp_path: Path) -> None:
    (tmp_path / "training10_0").mkdir()
    (tmp_path / "training10_0" / "training10_0.tfrecords").write_bytes(b"x")
    (tmp_path / "cv10_data.npy").write_bytes(b"x")
    for name in ("auto", "folder"):
        with pytest.raises(BadManifest, match=r"label_normal = 1 means a lesion.*import it as cbis-ddsm"):
            import_data(name, tmp_path)


def test_folders_that_may_be_classes_are_counted_over_all_splits(tmp_path: Path) -> None:
    for split, name, count in (("train", "0", 2), ("train", "1", 1), ("test", "0", 3), ("test", "notes", 1)):
        for number in range(count):
            picture(tmp_path / split / name / f"{number}.png")
    found = [(each.name, each.files, each.likely) for each in class_folders(tmp_path)]
    assert found == [("0", 5, "benign"), ("1", 1, "malignant"), ("notes", 1, "")]
