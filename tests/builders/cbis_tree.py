"""A small CBIS-DDSM as it lies on disks: case tables with their real headers and oddities, DICOM trees, Kaggle's JPEGs."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from builders.dicom_factory import make_dicom

_ROOT = "1.3.6.1.4.1.9590.100.1.2"
MASS = [
    "patient_id",
    "breast_density",
    "left or right breast",
    "image view",
    "abnormality id",
    "abnormality type",
    "mass shape",
    "mass margins",
    "assessment",
    "pathology",
    "subtlety",
    "image file path",
    "cropped image file path",
    "ROI mask file path",
]
CALC = [
    "patient_id",
    "breast density",
    "left or right breast",
    "image view",
    "abnormality id",
    "abnormality type",
    "calc type",
    "calc distribution",
    "assessment",
    "pathology",
    "subtlety",
    "image file path",
    "cropped image file path",
    "ROI mask file path",
]
FILM, CROP = (48, 64), (10, 12)  # (height, width)


@dataclass
class Lesion:
    """A row of a case table. `order`: which of 1-1 and 1-2 is the mask; `two_series`: crop and mask lie apart."""

    kind: str
    part: str
    patient: str
    side: str
    view: str
    number: int
    pathology: str
    order: str = "mask first"
    two_series: bool = False
    mask_shape: tuple[int, int] = FILM
    density: str = "3"
    missing: bool = False
    described: bool = True  # whether Kaggle's list has a series description

    @property
    def film(self) -> str:
        kind, part = ("Mass" if self.kind == "mass" else "Calc"), ("Training" if self.part == "train" else "Test")
        return f"{kind}-{part}_{self.patient}_{self.side}_{self.view}"

    def uid(self, what: str) -> str:
        """A UID of its own, whose last five digits differ; film and lesions of one film share those of the film."""
        shared = self.film if what.startswith("film") else f"{self.film}_{self.number}"
        number = int.from_bytes(f"{shared} {what}".encode().rjust(8)[-40:], "big") % 10**20
        return f"{_ROOT}.{number:020d}"


LESIONS = [
    Lesion("mass", "train", "P_00001", "LEFT", "CC", 1, "BENIGN"),
    Lesion("mass", "train", "P_00001", "LEFT", "CC", 2, "MALIGNANT", order="crop first"),
    Lesion("mass", "train", "P_00001", "LEFT", "MLO", 1, "BENIGN_WITHOUT_CALLBACK", mask_shape=(42, 56), described=False),
    Lesion("mass", "train", "P_00001", "RIGHT", "CC", 1, "BENIGN", two_series=True, density="0"),
    Lesion("calc", "train", "P_00016", "LEFT", "CC", 1, "BENIGN", order="crop first"),
    Lesion("mass", "test", "P_00016", "LEFT", "CC", 1, "MALIGNANT", mask_shape=(48, 48)),
    Lesion("mass", "test", "P_00016", "LEFT", "MLO", 1, "MALIGNANT"),
    Lesion("calc", "test", "P_00038", "LEFT", "CC", 1, "BENIGN"),
    Lesion("calc", "test", "P_00038", "LEFT", "MLO", 1, "BENIGN", missing=True),
]


def tables(folder: Path, lesions: list[Lesion] | None = None) -> None:
    """The four case tables: a line end inside the quoted last path, two spellings of the density's column."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind in ("mass", "calc"):
        for part in ("train", "test"):
            stream = io.StringIO()
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(MASS if kind == "mass" else CALC)
            for each in LESIONS if lesions is None else lesions:
                if (each.kind, each.part) == (kind, part):
                    writer.writerow(_row(each))
            (folder / f"{kind}_case_description_{part}_set.csv").write_bytes(stream.getvalue().encode())


def _row(each: Lesion) -> list[str]:
    film = f"{each.film}/{each.uid('film study')}/{each.uid('film series')}/000000.dcm"
    place = f"{each.film}_{each.number}/{each.uid('study')}"
    crop_series, mask_series = each.uid("series"), each.uid("mask series" if each.two_series else "series")
    crop_number, mask_number = ("000000", "000001") if each.kind == "mass" else ("000001", "000000")
    if each.two_series:
        crop_number = mask_number = "000000"
    crop, mask = f"{place}/{crop_series}/{crop_number}.dcm", f"{place}/{mask_series}/{mask_number}.dcm"
    if each.kind == "mass":
        mask += "\n"
    else:
        crop += "\n"
    kind = "mass" if each.kind == "mass" else "calcification"
    words = ["OVAL", "SPICULATED"] if each.kind == "mass" else ["PLEOMORPHIC", ""]
    row = [each.patient, each.density, each.side, each.view, str(each.number), kind, *words, "4", each.pathology, "3"]
    return [*row, film, crop, mask]


def _pixels(each: Lesion) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    rng = np.random.default_rng(int(each.uid("pixels")[-8:]))
    film = rng.integers(0, 60000, FILM).astype(np.uint16)
    crop = rng.integers(0, 60000, CROP).astype(np.uint16)
    mask = np.zeros(each.mask_shape, np.uint8)
    height, width = each.mask_shape
    mask[height // 4 : height // 2, width // 8 : width // 4] = 255
    return film, crop, mask


def _dicom(path: Path, pixels: np.ndarray[Any, Any], description: str, subject: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(make_dicom(pixels, SeriesDescription=description, PatientID=subject, Modality="MG"))


@dataclass
class Layout:
    """How folders are called; `lie`: folders and headers name crops as masks and the reverse."""

    style: str = "nbia"
    lie: bool = False
    listed: list[tuple[str, str]] = field(default_factory=list)  # series UID, folder

    def folder(self, subject: str, study: str, series: str, what: str) -> Path:
        if self.style == "classical":
            return Path(subject) / study / series
        if self.style == "flat":
            return Path(series)
        return Path("CBIS-DDSM") / subject / f"08-29-2017-DDSM-NA-{study[-5:]}" / f"1.000000-{what}-{series[-5:]}"


def dicom_tree(root: Path, style: str = "nbia", lesions: list[Lesion] | None = None, *, lie: bool = False) -> Path:
    """Tables and DICOM files below `root`; styles nbia, classical, flat."""
    chosen = LESIONS if lesions is None else lesions
    tables(root, chosen)
    layout = Layout(style)
    for each in chosen:
        if each.missing:
            continue
        film, crop, mask = _pixels(each)
        place = layout.folder(each.film, each.uid("film study"), each.uid("film series"), "full mammogram images")
        _dicom(root / place / "1-1.dcm", film, "full mammogram images", each.film)
        lesion = f"{each.film}_{each.number}"
        words = {"crop": "cropped images", "mask": "ROI mask images"}
        said = {"crop": words["mask"], "mask": words["crop"]} if lie else words
        if each.two_series:
            for what, pixels, series in (("crop", crop, each.uid("series")), ("mask", mask, each.uid("mask series"))):
                place = layout.folder(lesion, each.uid("study"), series, words[what])
                _dicom(root / place / "000000.dcm", pixels, said[what], lesion)
            continue
        place = layout.folder(lesion, each.uid("study"), each.uid("series"), words["mask"])
        first, second = ("mask", "crop") if each.order == "mask first" else ("crop", "mask")
        files = {"crop": crop, "mask": mask}
        _dicom(root / place / "1-1.dcm", files[first], said[first], lesion)
        _dicom(root / place / "1-2.dcm", files[second], said[second], lesion)
    return root


def jpeg_tree(root: Path, *, nested: bool = False) -> Path:
    """Kaggle's copy: csv/ with the tables and dicom_info.csv, jpeg/<series UID>/1-101.jpg.

    A lesion with `described=False` has NaN for a description; the film of P_00038 lies under another UID, so that only the
    PatientID of dicom_info.csv finds it.
    """
    tables(root / "csv")
    images = root / "jpeg" / "CBIS-DDSM" / "jpeg" if nested else root / "jpeg"
    listed = [["file_path", "image_path", "PatientID", "SeriesDescription", "SeriesInstanceUID"]]

    def put(series: str, name: str, pixels: np.ndarray[Any, Any], subject: str, description: str) -> None:
        path = images / series / name
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])
        listed.append([f"CBIS-DDSM/dicom/{series}/{name}", f"CBIS-DDSM/jpeg/{series}/{name}", subject, description, series])

    for each in LESIONS:
        if each.missing:
            continue
        film, _, mask = _pixels(each)
        elsewhere = each.patient == "P_00038"
        series = each.uid("film elsewhere") if elsewhere else each.uid("film series")
        put(series, "1-093.jpg", (film >> 8).astype(np.uint8), each.film, "full mammogram images")
        lesion = f"{each.film}_{each.number}"
        smooth = np.full(CROP, 120, np.uint8)
        mask_series = each.uid("mask series" if each.two_series else "series")
        put(each.uid("series"), "1-101.jpg", smooth, lesion, "cropped images" if each.described else "")
        put(mask_series, "2-102.jpg", mask, lesion, "ROI mask images" if each.described else "")
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(listed)
    (root / "csv" / "dicom_info.csv").write_text(stream.getvalue(), encoding="utf-8")
    return root
