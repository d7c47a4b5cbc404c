"""Imports of collections with their real tables and generated stub images: the counts, and files a second by headers only.

    MAMMOLAB_IMPORTS_TABLES   folder with cbis-ddsm/*_case_description_*_set.csv and cmmd/CMMD_clinicaldata*.csv: the
                              collections' own tables, no part of this project; what is missing is skipped

The stubs are a few tiny DICOM files under every name that the tables ask for, in NBIA's layout. VinDr-Mammo's 20,000 images are
generated with their tables.
"""

from __future__ import annotations

import io
import os
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from core.data.importers import ImportReport, import_data
from core.data.importers.cbis_tables import read_cases
from core.data.importers.records import read_records
from core.data.splits import leaking_patients
from core.data.tables import table_text

SETTING = "MAMMOLAB_IMPORTS_TABLES"
_VIEWS = {"CC": "399162004", "MLO": "399368009"}


def run() -> None:
    """Print what each import found, and how fast."""
    tables = Path(os.environ.get(SETTING, ""))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        cbis = sorted((tables / "cbis-ddsm").glob("*_case_description_*_set.csv"))
        if cbis:
            measured("cbis-ddsm", cbis_stubs(root / "cbis", cbis))
            measured("cbis-ddsm", cbis_jpegs(root / "kaggle", cbis))
        else:
            print(f"cbis-ddsm: skipped, no case tables: {SETTING} names their folder")
        cmmd = sorted((tables / "cmmd").glob("CMMD_clinicaldata*.csv"))
        if cmmd:
            measured("cmmd", cmmd_stubs(root / "cmmd", cmmd[0]))
        else:
            print(f"cmmd: skipped, no clinical table: {SETTING} names its folder")
        measured("vindr", vindr_stubs(root / "vindr", 5_000))


def measured(name: str, root: Path) -> None:
    """Import a tree by headers only and print what came out of it."""
    files = sum(path.is_file() for path in root.rglob("*"))
    start = time.perf_counter()
    report = import_data(name, root, verify="header")
    seconds = time.perf_counter() - start
    print(f"{name}: {files:,} files in {seconds:.1f} s, {files / seconds:,.0f} files/s{_peak()}")
    print(f"    {counts(report)}")
    for text in (*report.repairs, *report.unknown):
        print(f"    {text}")
    print(f"    left out: {dict(Counter(reason.split('/')[0][:50] for _, reason in report.rejected).most_common(4))}")


def counts(report: ImportReport) -> str:
    """Images, patients and labels of the whole and of each split, and the patients in two splits."""
    frame = report.frame
    parts = [("all", frame), *((split, frame[frame["split"] == split]) for split in ("train", "val", "test"))]
    words = []
    for name, part in parts:
        if len(part):
            labels = part["label"].value_counts()
            unlabelled = f", {labels['']:,} unlabelled" if "" in labels else ""
            who = f"{part['patient_id'].nunique():,} patients"
            words.append(f"{name} {len(part):,} images of {who}, {labels.get('malignant', 0):,} malignant{unlabelled}")
    breasts = int((frame.groupby(["patient_id", "laterality"])["label"].nunique() > 1).sum())
    return f"{'; '.join(words)}; {len(leaking_patients(frame))} patients in two splits; {breasts} breasts with two labels"


def cbis_stubs(root: Path, tables: list[Path]) -> Path:
    """CBIS-DDSM as NBIA's retriever writes it: films, and a crop and a mask a lesion."""
    film, crop, mask = stub((48, 64), 16), stub((10, 12), 16), stub((48, 64), 8)
    cases, _ = read_cases(tables)
    for table in tables:
        _write(root / table.name, table.read_bytes())
    for case in cases:
        together = case.crop[2] == case.mask[2]  # crop and mask in one series, as nearly all are
        for (subject, study, series, _), content, number in ((case.image, film, 1), (case.crop, crop, 1), (case.mask, mask, 2)):
            folder = root / "CBIS-DDSM" / subject / f"08-29-2017-DDSM-NA-{study[-5:]}"
            what = "full mammogram images" if content is film else "ROI mask images"
            _write(folder / f"1.000000-{what}-{series[-5:]}" / f"1-{number if together else 1}.dcm", content)
    return root


def cbis_jpegs(root: Path, tables: list[Path]) -> Path:
    """CBIS-DDSM as Kaggle's JPEG folders by series, with dicom_info.csv; every twentieth file has no description there."""
    film, crop = _jpeg(np.full((48, 64), 90, np.uint8)), _jpeg(np.full((10, 12), 120, np.uint8))
    mask = _jpeg(np.pad(np.full((12, 16), 255, np.uint8), ((12, 24), (16, 32))))
    cases, _ = read_cases(tables)
    for table in tables:
        _write(root / "csv" / table.name, table.read_bytes())
    rows = {("file_path", "image_path", "PatientID", "SeriesDescription")}
    for case in cases:
        described = ("full mammogram images", "cropped images", "ROI mask images")
        every = zip((case.image, case.crop, case.mask), (film, crop, mask), described, strict=True)
        for place, ((subject, _, series, _), content, words) in enumerate(every):
            name = f"{1 + (place == 2)}-{100 + place}.jpg"
            _write(root / "jpeg" / series / name, content)
            file = f"{series}/{name}"
            rows.add((f"CBIS-DDSM/dicom/{file}", f"CBIS-DDSM/jpeg/{file}", subject, words if len(rows) % 20 else ""))
    _write(root / "csv" / "dicom_info.csv", table_text(sorted(rows, key=lambda row: row[0] != "file_path")).encode())
    return root


def cmmd_stubs(root: Path, table: Path) -> Path:
    """CMMD: two images of every breast in the table, and of the other breast of D2's patients but four."""
    _write(root / table.name, table.read_bytes())
    stubs = {
        (side, view): stub((48, 64), 8, ImageLaterality=side, ViewCodeSequence=[_code(_VIEWS[view])])
        for side in "LR"
        for view in _VIEWS
    }
    sides: dict[str, set[str]] = {}
    for record in read_records(table, ("ID1", "LeftRight")):
        sides.setdefault(record["ID1"], set()).add(record["LeftRight"])
    single = [patient for patient, own in sides.items() if patient.startswith("D2") and len(own) == 1]
    for patient in single[4:]:
        sides[patient] = {"L", "R"}
    for patient, own in sides.items():
        views = [(side, view) for side in sorted(own) for view in _VIEWS]
        for number, each in enumerate(views, start=1):
            folder = root / "CMMD" / patient / "07-18-2010-NA-NA-79377" / "1.000000-NA-70244"
            _write(folder / f"1-{number}.dcm", stubs[each])
    return root


def vindr_stubs(root: Path, studies: int) -> Path:
    """VinDr-Mammo: four images a study and the table of breasts."""
    content = stub((48, 64), 16)
    ids = ["study_id", "series_id", "image_id"]
    rows = [[*ids, "laterality", "view_position", "breast_birads", "breast_density", "split"]]
    for study in range(studies):
        for number, (side, view) in enumerate((side, view) for side in "LR" for view in _VIEWS):
            names = [f"{study:032x}", f"{study:032x}", f"{4 * study + number:032x}"]
            part = "test" if study % 5 == 0 else "training"
            rows.append([*names, side, view, f"BI-RADS {1 + study % 4}", "DENSITY C", part])
            _write(root / "images" / names[0] / f"{names[2]}.dicom", content)
    (root / "breast-level_annotations.csv").write_text(table_text(rows), encoding="utf-8")
    return root


def stub(shape: tuple[int, int], bits: int, **elements: Any) -> bytes:
    """A DICOM file of (height, width) with a white box in it."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.2"
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    pixels = np.zeros(shape, np.uint8 if bits == 8 else np.uint16)
    pixels[shape[0] // 4 : shape[0] // 2, shape[1] // 4 : shape[1] // 2] = np.iinfo(pixels.dtype).max
    common = {"SOPClassUID": meta.MediaStorageSOPClassUID, "SOPInstanceUID": "1.2.3", "Modality": "MG", "SamplesPerPixel": 1}
    described = {"PhotometricInterpretation": "MONOCHROME2", "Rows": shape[0], "Columns": shape[1], "PixelRepresentation": 0}
    depth = {"BitsAllocated": bits, "BitsStored": bits, "HighBit": bits - 1}
    for name, value in (common | described | depth | elements).items():
        setattr(ds, name, value)
    ds.PixelData = pixels.tobytes()
    ds["PixelData"].VR = "OB" if bits == 8 else "OW"
    stream = io.BytesIO()
    ds.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _jpeg(pixels: np.ndarray[Any, Any]) -> bytes:
    return bytes(cv2.imencode(".jpg", pixels)[1].tobytes())


def _code(value: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "SCT", "view"
    return code


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _peak() -> str:
    return f", {psutil.Process().memory_info().rss / 1e6:,.0f} MB in memory"
