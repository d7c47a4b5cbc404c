"""The manifest: strict, helpful, and the same after writing and reading."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.data.lesions import lesion_boxes
from core.data.manifest import is_synthetic, labelled, read_manifest, unlabelled_note, write_manifest
from core.errors import BadManifest

HEADER = "path,label,patient_id,laterality,view,split\n"


def written(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "manifest.csv"
    path.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    return path


def test_reads_rows_with_absolute_paths_and_typed_columns(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "path,label,patient_id,laterality,view,split,age,density,synthetic\n"
        "a/1.png,benign,007,L,CC,train,61,B,true\n"
        "a/2.png,MALIGNANT,0071,right,mlo,Val,,,\n",
    )
    frame = read_manifest(path)
    assert list(frame.columns) == ["path", "label", "patient_id", "laterality", "view", "split", "age", "density", "synthetic"]
    assert frame["path"].tolist() == [str(tmp_path / "a" / "1.png"), str(tmp_path / "a" / "2.png")]
    assert frame["label"].tolist() == ["benign", "malignant"]
    assert frame["patient_id"].tolist() == ["007", "0071"]
    assert frame["laterality"].tolist() == ["L", "R"]
    assert frame["view"].tolist() == ["CC", "MLO"]
    assert frame["split"].tolist() == ["train", "val"]
    assert frame["age"].iloc[0] == 61 and pd.isna(frame["age"].iloc[1])
    assert frame["density"].tolist() == ["B", ""]
    assert frame["synthetic"].tolist() == [True, False] and is_synthetic(frame)


@pytest.mark.parametrize(
    "content",
    [
        "\ufeffPath,Label,Patient_ID\n1.png,benign,p1\n",
        "path;label;patient_id\r\n1.png;benign;p1\r\n",
        "path\tlabel\tpatient_id\n1.png\tbenign\tp1\n",
        '\n\npath,label,patient_id\n\n"1.png", benign , p1\n,,\n',
        "path,label,patient_id\r1.png,benign,p1\r",
    ],
    ids=["byte-order mark and capitals", "semicolons and CRLF", "tabs", "blank lines, quotes and spaces", "old Mac line ends"],
)
def test_accepts_what_spreadsheets_write(tmp_path: Path, content: str) -> None:
    frame = read_manifest(written(tmp_path, content))
    assert frame.to_dict("records") == [
        {"path": str(tmp_path / "1.png"), "label": "benign", "patient_id": "p1", "laterality": "", "view": "", "split": ""}
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ["empty"]),
        (" \n\n", ["empty"]),
        (HEADER, ["no row"]),
        ("path,patient_id\n1.png,p1\n", ["line 1", "label", "missing", "import csv"]),
        ("path,label,patient_id,label\n1.png,benign,p,benign\n", ["line 1", "'label'", "more than once"]),
        ("path,label,patient_id,Label\n1.png,benign,p,benign\n", ["line 1", "name of its own"]),
        (HEADER + "1.png,cancer,p1,L,CC,train\n", ["line 2", "'cancer'", "benign, malignant", "did you mean malignant"]),
        (HEADER + "1.png,1,p1,,,\n", ["line 2", "label '1'"]),
        (HEADER + "1.png,unknown,p1,,,\n", ["line 2", "label 'unknown'", "expected nothing or one of"]),
        ('path,label,patient_id,lesions\n1.png,benign,p1,"[{""box"": [1, 2, 1, 4]}]"\n', ["line 2", "lesions"]),
        (HEADER + "1.png,benign,p1,,,validation\n", ["line 2", "split 'validation'", "did you mean val"]),
        (HEADER + "1.png,benign,p1,both,,\n", ["line 2", "laterality 'both'"]),
        (HEADER + "1.png,benign,,,,\n", ["line 2", "patient_id is empty"]),
        (HEADER + ",benign,p1,,,\n", ["line 2", "path is empty"]),
        (HEADER + "1.png,benign,p1,,,\n2.png,benign,p1\n", ["line 3", "expected 6 fields", "got 3"]),
        (HEADER + "1.png,benign,p1,,,\nx/../1.png,malignant,p2,,,\n", ["line 3", "same image as line 2"]),
        (HEADER + '"1.png,benign,p1,,,\n', ["not valid CSV"]),
        (HEADER + '"a\nb.png",benign,p1,,,\n1.png,x,p1,,,\n', ["line 4", "label 'x'"]),
        ("path,label,patient_id,age\n1.png,benign,p1,068Y\n", ["line 2", "age '068Y'"]),
        ("path,label,patient_id,synthetic\n1.png,benign,p1,maybe\n", ["line 2", "synthetic 'maybe'"]),
        ('path,label,patient_id,lesions\n1.png,benign,p1,"[[1,2,3]]"\n', ["line 2", "lesions"]),
        ("caf\xe9".encode("latin-1") + b",label\n", ["line 1", "0xe9", "UTF-8"]),
        (HEADER.encode() + b"1.png,benign,M\xfcller,,,\n", ["line 2", "0xfc", "UTF-8"]),
        (HEADER.encode("utf-16"), ["UTF-16", "Excel"]),
        (HEADER + "1.png,benign,p\0,,,\n", ["line 2", "NUL"]),
    ],
)
def test_refuses_with_line_and_remedy(tmp_path: Path, content: str | bytes, words: list[str]) -> None:
    with pytest.raises(BadManifest) as caught:
        read_manifest(written(tmp_path, content))
    for word in words:
        assert word in str(caught.value)


def test_refuses_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(BadManifest, match="no such manifest"):
        read_manifest(tmp_path / "nowhere.csv")
    with pytest.raises(BadManifest, match="got a folder"):
        read_manifest(tmp_path)


def test_lists_the_first_problems_and_counts_the_rest(tmp_path: Path) -> None:
    rows = "".join(f"{number}.png,odd,p,,,\n" for number in range(20))
    with pytest.raises(BadManifest, match=r"line 2: .*line 9: .*and 12 more"):
        read_manifest(written(tmp_path, HEADER + rows))


def test_backslashes_of_a_windows_manifest_are_folders(tmp_path: Path) -> None:
    frame = read_manifest(written(tmp_path, HEADER + "images\\1.png,benign,p1,,,\n"))
    assert frame["path"].iloc[0] == str(tmp_path / "images" / "1.png")


def test_writes_paths_relative_below_its_folder_and_absolute_elsewhere(tmp_path: Path) -> None:
    outside = tmp_path / "elsewhere" / "2.png"
    frame = pd.DataFrame(
        {"path": [str(tmp_path / "set" / "a" / "1.png"), str(outside)], "label": ["benign"] * 2, "patient_id": ["01", "02"]}
    )
    path = tmp_path / "set" / "manifest.csv"
    write_manifest(frame, path)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[1].startswith("a/1.png,") and lines[2].startswith(f"{outside},")
    assert [entry.name for entry in path.parent.iterdir()] == ["manifest.csv"]
    assert read_manifest(path)["path"].tolist() == frame["path"].tolist()


def test_write_that_fails_leaves_the_old_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, HEADER + "1.png,benign,p1,,,\n")
    before = path.read_bytes()
    frame = read_manifest(path)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("core.files.atomic.os.fsync", full)
    with pytest.raises(BadManifest, match="No space left"):
        write_manifest(frame, path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["manifest.csv"]


@pytest.mark.parametrize(
    "frame",
    [pd.DataFrame({"path": ["a"], "label": ["benign"]}), pd.DataFrame({"path": [], "label": [], "patient_id": []})],
    ids=["no patient_id", "no row"],
)
def test_refuses_to_write_what_it_would_not_read(tmp_path: Path, frame: pd.DataFrame) -> None:
    with pytest.raises(BadManifest, match="cannot write"):
        write_manifest(frame, tmp_path / "m.csv")
    assert not (tmp_path / "m.csv").exists()


def test_lesion_boxes() -> None:
    assert lesion_boxes({"lesions": "[[1, 2, 3, 4], [5.5, 6, 7, 8]]"}) == [(1, 2, 3, 4), (5.5, 6, 7, 8)]
    assert lesion_boxes({"lesions": ""}) == lesion_boxes({}) == lesion_boxes({"lesions": float("nan")}) == []
    for bad in ("[1,2,3,4]", "{", "[[3,2,1,4]]", '[["a",2,3,4]]', "5", "[[1,2,NaN,4]]"):
        with pytest.raises(BadManifest, match="lesions"):
            lesion_boxes({"lesions": bad})


_words = (
    st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=12).map(str.strip).filter(bool)
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(_words, st.sampled_from(["benign", "malignant"]), _words), min_size=1, max_size=8))
def test_any_table_survives_writing_and_reading(tmp_path: Path, rows: list[tuple[str, str, str]]) -> None:
    frame = pd.DataFrame(
        {
            "path": [str(tmp_path / "images" / f"{number}.png") for number in range(len(rows))],
            "label": [label for _, label, _ in rows],
            "patient_id": [patient for _, _, patient in rows],
            "laterality": "",
            "view": "CC",
            "split": "",
            "remark": [remark for remark, _, _ in rows],
            "lesions": json.dumps([[0, 0, 5, 5]]),
        }
    ).astype("str")
    path = tmp_path / "manifest.csv"
    write_manifest(frame, path)
    pd.testing.assert_frame_equal(read_manifest(path), frame)


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(st.binary(max_size=200), st.text(max_size=200).map(lambda text: (HEADER + text).encode("utf-8", "surrogatepass")))
)
def test_any_bytes_are_read_or_refused(tmp_path: Path, content: bytes) -> None:
    try:
        assert len(read_manifest(written(tmp_path, content))) > 0
    except BadManifest as error:
        assert str(error)


def test_a_path_that_begins_with_a_blank_survives(tmp_path: Path) -> None:
    frame = pd.DataFrame([{"path": str(tmp_path / " a.png"), "label": "benign", "patient_id": "p"}])
    write_manifest(frame, tmp_path / "m.csv")
    assert read_manifest(tmp_path / "m.csv")["path"].tolist() == [str(tmp_path / " a.png")]


def test_an_empty_label_is_nobody_knows_and_stays_so(tmp_path: Path) -> None:
    frame = read_manifest(written(tmp_path, HEADER + "1.png,,p1,,,\n2.png,malignant,p2,,,\n"))
    assert frame["label"].tolist() == ["", "malignant"]
    write_manifest(frame, tmp_path / "again.csv")
    assert read_manifest(tmp_path / "again.csv")["label"].tolist() == ["", "malignant"]
    assert labelled(frame)["path"].tolist() == [str(tmp_path / "2.png")]
    assert unlabelled_note(frame).startswith("1 image without a label is left out") and unlabelled_note(labelled(frame)) == ""


def test_columns_of_collections_come_back(tmp_path: Path) -> None:
    names = ["collection", "label_source", "split_official", "birads", "exam_id", "subset", "copy_of"]
    header = f"path,label,patient_id,{','.join(names)}\n"
    frame = read_manifest(written(tmp_path, header + "1.png,benign,p1,vindr,birads,training,4a,0012,D1,x.png\n"))
    assert frame[names].iloc[0].tolist() == ["vindr", "birads", "training", "4a", "0012", "D1", "x.png"]
