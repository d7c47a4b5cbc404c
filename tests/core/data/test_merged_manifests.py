"""Manifests of several collections as one: ids apart, warnings where the data set tells the label."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from core.data.manifest import read_manifest, write_manifest
from core.data.merged_manifests import merge_manifests
from core.errors import BadManifest


def part(name: str, rows: list[tuple[str, str, str]], folder: str = "", **columns: Any) -> tuple[Path, pd.DataFrame]:
    """A manifest NAME.csv with rows (image, label, patient); `columns` hold one value for all."""
    frame = pd.DataFrame(rows, columns=["path", "label", "patient_id"])
    frame = frame.assign(laterality="", view="", split="", **columns)
    frame["path"] = [f"/{folder or name}/{path}" for path in frame["path"]]
    return Path(folder) / f"{name}.csv", frame


EVEN = [("1.png", "benign", "1"), ("2.png", "malignant", "2"), ("3.png", "", "3")]


def test_patients_of_two_sets_never_become_one(tmp_path: Path) -> None:
    one = part("a", EVEN, collection="cmmd", exam_id="7", age=50.0)
    one[1]["patient_id"] = ["cmmd:1", "cmmd:2", "cmmd:3"]
    merged, notes = merge_manifests([one, part("mine", EVEN, synthetic=True), part("mine", EVEN, folder="other")])
    assert merged["patient_id"].tolist()[:3] == ["cmmd:1", "cmmd:2", "cmmd:3"]
    assert merged["patient_id"].nunique() == 9 and set(merged["exam_id"]) == {"cmmd:7", ""}
    assert merged["collection"].nunique() == 3 and merged["age"].isna().sum() == 6 and merged["synthetic"].sum() == 3
    assert merged["label"].tolist().count("") == 3 and notes == []
    write_manifest(merged, tmp_path / "m.csv")
    pd.testing.assert_frame_equal(read_manifest(tmp_path / "m.csv"), merged, check_dtype=False)


def test_two_parts_of_one_collection_share_their_patients() -> None:
    one, other = part("a", EVEN, collection="cbis-ddsm"), part("b", EVEN, collection="cbis-ddsm")
    merged, _ = merge_manifests([one, other])
    assert merged["patient_id"].nunique() == 3 and set(merged["patient_id"]) == {f"cbis-ddsm:{number}" for number in (1, 2, 3)}


def test_an_image_in_two_manifests_is_kept_once_or_refused() -> None:
    one, other = part("a", EVEN, folder="x", collection="rsna"), part("b", EVEN[:2], folder="x", collection="rsna")
    merged, notes = merge_manifests([one, other])
    assert len(merged) == 3 and notes[0] == "2 images in several manifests with the same label and split: kept once"
    one[1]["density"], other[1]["density"] = "A", ["B", ""] + [""] * (len(other[1]) - 2)
    assert "several values of density: the first is taken (1.png: A and B)" in merge_manifests([one, other])[1][1]
    other[1].loc[0, "label"] = "malignant"
    with pytest.raises(BadManifest, match="1 image stands in several manifests with another label"):
        merge_manifests([one, other])


def test_relatives_mixed_labels_and_missing_splits_are_warned_of() -> None:
    one = part("a", EVEN, collection="cbis-ddsm", label_source="pathology")
    other = part("b", EVEN, collection="mini-ddsm", label_source="pathology")
    third = part("c", EVEN, collection="vindr", label_source="birads")
    third[1]["split"] = "train"
    _, notes = merge_manifests([one, other, third])
    text = "\n".join(notes)
    assert "cbis-ddsm and mini-ddsm hold images of the same women" in text and text.count("the same women") == 1
    assert "labels mean different things (pathology in cbis-ddsm and mini-ddsm; birads in vindr)" in text
    assert "cbis-ddsm and mini-ddsm have no split and the other has one" in text
    one[1]["split"] = "train"
    assert "mini-ddsm has no split and the others have one" in "\n".join(merge_manifests([one, other, third])[1])


def test_a_collection_that_tells_the_label_is_warned_of() -> None:
    cancers = [(f"{number}.png", "malignant", str(number)) for number in range(9)] + [("x.png", "benign", "x")]
    normals = [(f"{number}.png", "benign", str(number)) for number in range(10)] + [("u.png", "", "u")]
    _, notes = merge_manifests([part("a", cancers, collection="cbis"), part("b", normals, collection="rsna")])
    (warning,) = notes
    # Of the 9 x 11 pairs 10 benign ones stand in the other set and one in the same: (9 * 10 + 9 * 0.5) / 99.
    assert "AUC 0.95" in warning and "malignant: 90% in 'cbis', 0% in 'rsna'" in warning


def test_crops_and_a_manifest_alone_are_refused() -> None:
    with pytest.raises(BadManifest, match="at least two manifests"):
        merge_manifests([part("a", EVEN)])
    crops = part("b", EVEN, collection="cbis-ddsm-crop", subset="crop")
    crops[1]["patient_id"] = [f"cbis-ddsm:{number}" for number in (1, 2, 3)]
    with pytest.raises(BadManifest, match="3 rows are crops around lesions"):
        merge_manifests([part("a", EVEN, collection="cbis-ddsm"), crops])
    merged, _ = merge_manifests([crops, part("c", [("9.png", "benign", "9")], collection="cbis-ddsm-crop", subset="crop")])
    assert merged["patient_id"].tolist() == ["cbis-ddsm:1", "cbis-ddsm:2", "cbis-ddsm:3", "cbis-ddsm-crop:9"]
