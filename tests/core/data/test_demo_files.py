"""What the demo generator writes: files that real readers understand, a manifest that fits them, whole or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless
from sklearn.metrics import roc_auc_score

from core import demo
from core.config import Recipe
from core.data.lesions import lesion_boxes
from core.data.manifest import is_synthetic, read_manifest
from core.demo import files, make_demo
from core.demo.plan import Storage
from core.errors import BadConfig, BadManifest
from core.images import read
from core.preprocessing import map_boxes, prepare

SMALL = 200  # rows: a whole set in a second
SHOT = files.Shot("DEMO-0007", "R", "MLO", "A", 61, 55.0, 0.24, 0)


@pytest.fixture(scope="module")
def small_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_demo(tmp_path_factory.mktemp("demo"), patients=8, seed=3, rows=SMALL)


def _hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted((folder / "images").iterdir())}


def _grey() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 4096, (40, 30)).astype(np.uint16)


@pytest.mark.slow
def test_a_set_has_four_views_of_every_patient_and_says_it_is_synthetic(small_set: Path) -> None:
    frame = read_manifest(small_set)
    assert len(frame) == 32
    assert set(map(tuple, frame[["laterality", "view"]].to_numpy())) == {("L", "CC"), ("L", "MLO"), ("R", "CC"), ("R", "MLO")}
    assert (frame.groupby("patient_id").size() == 4).all()
    assert (frame.groupby("patient_id")["split"].nunique() == 1).all()
    assert is_synthetic(frame) and frame["synthetic"].all()
    assert "SYNTHETIC" in (small_set.parent / "README.txt").read_text(encoding="utf-8")
    assert all("DEMO-" in path for path in frame["path"])


@pytest.mark.slow
def test_the_manifest_holds_relative_paths_so_that_the_folder_can_move(small_set: Path) -> None:
    lines = small_set.read_text(encoding="utf-8").splitlines()
    assert all(line.startswith("images/DEMO-") for line in lines[1:])


@pytest.mark.slow
def test_every_image_is_readable_and_its_boxes_lie_on_the_breast(small_set: Path) -> None:
    for _, row in read_manifest(small_set).iterrows():
        mammogram = read(Path(row["path"]))
        height, width = mammogram.pixels.shape
        boxes = lesion_boxes(row)
        assert len(boxes) == (0 if row["finding"] == "none" else len(row["finding"].split(" + ")))
        if row["path"].endswith(".dcm"):
            assert (mammogram.meta.laterality, mammogram.meta.view) == (row["laterality"], row["view"])
            assert mammogram.meta.synthetic
        prepared = prepare(mammogram, Recipe(size=128))
        for x0, y0, x1, y1 in boxes:
            assert 0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height
        for x0, y0, x1, y1 in map_boxes(boxes, prepared.matrix):
            # Over tissue, not over the black left around the breast: the boxes are mirrored as the pixels are.
            middle = prepared.pixels[round((y0 + y1) / 2) - 2 :, round((x0 + x1) / 2) - 2 :][:5, :5]
            assert middle.size == 25 and middle.min() > 0


@pytest.mark.slow
def test_right_breasts_have_their_chest_wall_on_the_right(small_set: Path) -> None:
    for _, row in read_manifest(small_set).iterrows():
        pixels = read(Path(row["path"])).pixels
        middle = pixels[pixels.shape[0] // 3 : -pixels.shape[0] // 3]
        left, right = middle[:, :4].mean(), middle[:, -4:].mean()
        inverted = pixels[:6, pixels.shape[1] // 2 :].mean() > 0.8 or pixels[:6, : pixels.shape[1] // 2].mean() > 0.8
        assert ((left > right) != inverted) == (row["laterality"] == "L")


def test_label_is_malignant_exactly_where_a_malignant_finding_shows(small_set: Path) -> None:
    frame = read_manifest(small_set)
    shows = frame["finding"].str.contains("spiculated") | frame["finding"].str.contains("microcalcifications")
    assert (frame["label"].eq("malignant") == shows).all()


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("compressed", [False, True])
def test_dicom_gives_back_the_pixels_and_a_mammography_header(tmp_path: Path, inverted: bool, compressed: bool) -> None:
    grey = _grey()
    path = files.write(tmp_path, SHOT, grey, Storage("dicom", inverted=inverted, compressed=compressed))
    dataset = pydicom.dcmread(path)
    stored = dataset.pixel_array
    np.testing.assert_array_equal(4095 - stored if inverted else stored, grey)
    assert dataset.file_meta.TransferSyntaxUID == (JPEGLSLossless if compressed else ExplicitVRLittleEndian)
    assert dataset.PhotometricInterpretation == ("MONOCHROME1" if inverted else "MONOCHROME2")
    assert dataset.SOPClassUID.name.startswith("Digital Mammography X-Ray Image Storage")
    assert (dataset.Modality, dataset.BitsStored, dataset.ImageLaterality, dataset.ViewPosition) == ("MG", 12, "R", "MLO")
    assert dataset.PatientOrientation == ["P", "F"]
    assert dataset.SeriesDescription == "SYNTHETIC - not a patient"
    assert "Synthetic" in dataset.Manufacturer
    assert float(dataset.ImagerPixelSpacing[0]) == pytest.approx(0.24)
    np.testing.assert_allclose(read(path).pixels, grey / 4095, atol=1e-3)


@pytest.mark.parametrize(("kind", "shift", "top"), [("png8", 4, 255), ("png16", -4, 65520)])
@pytest.mark.parametrize("inverted", [False, True])
def test_png_keeps_the_grey_levels_and_says_synthetic(tmp_path: Path, kind: str, shift: int, top: int, inverted: bool) -> None:
    grey = _grey()
    path = files.write(tmp_path, SHOT, grey, Storage(kind, inverted=inverted))  # type: ignore[arg-type]
    stored = cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(int)
    wanted = (4095 - grey if inverted else grey).astype(int)
    np.testing.assert_array_equal(stored, wanted >> shift if shift > 0 else wanted << -shift)
    assert stored.max() <= top
    with Image.open(path) as image:
        assert image.info["Comment"] == "SYNTHETIC - not a patient"


@pytest.mark.slow
def test_the_same_seed_gives_the_same_files_whatever_the_number_of_threads(tmp_path: Path) -> None:
    for name, workers in (("one", 1), ("four", 4)):
        make_demo(tmp_path / name, patients=4, seed=5, workers=workers, rows=120)
    make_demo(tmp_path / "other", patients=4, seed=6, rows=120)
    one, four, other = (_hashes(tmp_path / name) for name in ("one", "four", "other"))
    assert one == four
    assert not set(one.values()) & set(other.values())
    assert (tmp_path / "one/manifest.csv").read_bytes() == (tmp_path / "four/manifest.csv").read_bytes()


@pytest.mark.slow
def test_a_finished_set_is_left_alone_and_another_seed_replaces_it(tmp_path: Path) -> None:
    manifest = make_demo(tmp_path, patients=3, seed=1, rows=100)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    calls: list[tuple[int, int]] = []
    assert make_demo(tmp_path, patients=3, seed=1, rows=100, progress=lambda *done: calls.append(done)) == manifest
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")} == before
    assert calls == []
    make_demo(tmp_path, patients=2, seed=2, rows=100)
    assert len(read_manifest(manifest)) == 8
    assert {Path(path).name for path in read_manifest(manifest)["path"]} == {
        path.name for path in (tmp_path / "images").iterdir()
    }


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["an image", "the manifest", "the identity"])
def test_a_set_with_something_missing_is_made_again(tmp_path: Path, loss: str) -> None:
    manifest = make_demo(tmp_path, patients=2, seed=1, rows=100)
    wanted = manifest.read_bytes()
    image = next(iter((tmp_path / "images").iterdir()))
    {"an image": image, "the manifest": manifest, "the identity": image}[loss].unlink()
    if loss == "the identity":
        (tmp_path / "demo.json").write_text(json.dumps({"synthetic": True, "version": 0}), encoding="utf-8")
    make_demo(tmp_path, patients=2, seed=1, rows=100)
    assert manifest.read_bytes() == wanted
    assert image.exists()


@pytest.mark.slow
def test_an_interrupted_run_leaves_no_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_demo(tmp_path, patients=2, seed=1, rows=100)
    real: Callable[..., Path] = files.write

    def full_disk(folder: Path, shot: files.Shot, *rest: object) -> Path:
        if shot.patient == "DEMO-0002":
            raise OSError(28, "No space left on device")
        return real(folder, shot, *rest)

    monkeypatch.setattr(demo.files, "write", full_disk)
    with pytest.raises(BadManifest, match="No space left"):
        make_demo(tmp_path, patients=2, seed=9, rows=100)
    assert not (tmp_path / "manifest.csv").exists()


def test_a_folder_with_someones_data_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("path,label,patient_id\na.png,benign,1\n", encoding="utf-8")
    with pytest.raises(BadManifest, match="Choose another folder"):
        make_demo(tmp_path, patients=1, rows=100)
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.csv"]


@pytest.mark.parametrize(("patients", "seed"), [(0, 0), (-1, 0), (1, -1)])
def test_impossible_sizes_are_refused(tmp_path: Path, patients: int, seed: int) -> None:
    with pytest.raises(BadConfig, match="patients"):
        make_demo(tmp_path / "new", patients=patients, seed=seed)
    assert not (tmp_path / "new").exists()


def test_progress_counts_up_to_all_images(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    make_demo(tmp_path, patients=3, rows=100, progress=lambda *done: calls.append(done))
    assert calls == [(4, 12), (8, 12), (12, 12)]


@pytest.mark.slow
def test_neither_size_nor_brightness_nor_contrast_tells_the_label(tmp_path: Path) -> None:
    frame = read_manifest(make_demo(tmp_path, patients=60, rows=100))
    malignant = frame["label"].eq("malignant").to_numpy()
    images = [prepare(read(Path(path)), Recipe(size=64)) for path in frame["path"]]
    features = {
        "rows and columns": [read(Path(path)).pixels.size for path in frame["path"]],
        "breast area": [(image.pixels > 20).mean() for image in images],
        "brightness": [image.pixels.mean() for image in images],
        "contrast": [image.pixels.std() for image in images],
    }
    for name, values in features.items():
        assert 0.28 < roc_auc_score(malignant, values) < 0.72, name
