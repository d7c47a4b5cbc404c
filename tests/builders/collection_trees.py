"""Small trees of published collections as they lie on disks, each with the oddities that imports of them stumble over."""

from __future__ import annotations

import plistlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from builders.dicom_factory import item, make_dicom
from builders.workbook import write_workbook

VINDR = (
    "study_id,series_id,image_id,laterality,view_position,height,width,breast_birads,breast_density,finding_categories,"
    "finding_birads,xmin,ymin,xmax,ymax,split"
)
CMMD = "ID1,LeftRight,Age,number,abnormality,classification,subtype"
_rng = np.random.default_rng(16)


def picture(path: Path, shape: tuple[int, int] = (48, 64), *, white: tuple[int, int, int, int] | None = None) -> Path:
    """Write a grey picture of (height, width), or a mask with a white box (x0, y0, x1, y1)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = _rng.integers(20, 230, shape).astype(np.uint8)
    if white is not None:
        pixels = np.zeros(shape, np.uint8)
        pixels[white[1] : white[3], white[0] : white[2]] = 255
    assert cv2.imwrite(str(path), pixels)
    return path


def dicom(path: Path, shape: tuple[int, int] = (48, 64), bits: int = 16, **elements: Any) -> Path:
    """Write a DICOM file of (height, width)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = np.uint8 if bits == 8 else np.uint16
    path.write_bytes(make_dicom(_rng.integers(0, 200, shape).astype(kind), **elements))
    return path


def inbreast(root: Path) -> Path:
    """Three patients in five files; a table with ; and CRLF, `4a`, a blank ACR, FB, a row without a file; three outlines."""
    release = root / "INbreast Release 1.0"
    files = {
        "20000001_aaaaaaaaaaaaaaaa_MG_R_CC_ANON": ("R;CC", "3", "1"),
        "20000002_aaaaaaaaaaaaaaaa_MG_L_ML_ANON": ("L;MLO", "3", "4a"),
        "20000003_bbbbbbbbbbbbbbbb_MG_R_CC_ANON": ("R;CC", "1", "3"),
        "20000004_bbbbbbbbbbbbbbbb_MG_R_FB_ANON": ("R;FB", "      ", "2"),
        "20000005_cccccccccccccccc_MG_L_CC_ANON": ("L;CC", "4", "6"),
    }
    rows = ["Patient ID;Patient age;Laterality;View;Acquisition date;File Name;ACR;Bi-Rads"]
    for stem, (side_and_view, acr, grade) in files.items():
        dicom(release / "AllDICOMs" / f"{stem}.dcm", PatientID="removed")
        rows.append(f"removed;removed;{side_and_view};201001;{stem[:8]};{acr};{grade}")
    rows += ["removed;removed;L;MLO;201001;20000009;2;5", ";;;;;;28;49"]
    (release / "INbreast.csv").write_bytes("\r\n".join(rows).encode())
    outlines = {
        "20000002": [("Mass", ["(10.5, 8.0)", "(30.0, 8.0)", "(30.0, 70.0)", "(10.5, 20.0)"]), ("Calcification", ["(5, 6)"])],
        "20000005": [(" Assymetry ", ["(1, 2)", "(9, 2)", "(9, 12)"]), ("Lymph", ["(3, 3)", "(4, 9)", "(8, 3)"])],
    }
    (release / "AllXML").mkdir()
    for number, regions in outlines.items():
        content = [{"Name": name, "NumberOfPoints": len(points), "Point_px": points} for name, points in regions]
        (release / "AllXML" / f"{number}.xml").write_bytes(plistlib.dumps({"Images": [{"NumberOfROIs": 1, "ROIs": content}]}))
    return root


def hexadecimal(number: int) -> str:
    """An id of VinDr: 32 digits and letters."""
    return f"{number:032x}".replace("0", "e")


def vindr(root: Path, *, suffix: str = ".dicom", flat: bool = False, shape: tuple[int, int] = (48, 64)) -> Path:
    """Three studies of four images (height 48, width 64 in the tables), nested or flat, DICOM or pictures of another size.

    Study 1: BI-RADS 4 left with two findings on one image, both boxes leave it, none in the other view; BI-RADS 1 right.
    Study 2 (test): densities B and C. Study 3: one image is missing.
    """
    findings, breasts = [VINDR], [",".join((*VINDR.split(",")[:9], "split"))]
    boxes = {
        (1, 0): [
            ("['Mass']", "BI-RADS 4", "-6.5,10,20,30"),
            ("\"['Nipple Retraction', 'Architectural Distortion']\"", "BI-RADS 3", "30.5,5,90,40"),
        ]
    }
    for study in (1, 2, 3):
        for place, (side, view) in enumerate((("L", "CC"), ("L", "MLO"), ("R", "CC"), ("R", "MLO"))):
            image = hexadecimal(1000 * study + place + 1)
            grade = 4 if study == 1 and side == "L" else 3 if study == 3 else 1
            density = "C" if study == 2 and side == "L" else "B"
            split = "test" if study == 2 else "training"
            head = [
                hexadecimal(study),
                hexadecimal(77),
                image,
                side,
                view,
                "48",
                "64",
                f"BI-RADS {grade}",
                f"DENSITY {density}",
            ]
            breasts.append(",".join((*head, split)))
            for category, birads, box in boxes.get((study, place), [("['No Finding']", "", ",,,")]):
                findings.append(",".join((*head, category, birads, box, split)))
            if (study, place) == (3, 3):
                continue
            folder = root / "images" if not flat else root / "images_png"
            name = f"{hexadecimal(study)}_{image}" if flat else f"{hexadecimal(study)}/{image}"
            if suffix == ".dicom":
                dicom(folder / f"{name}{suffix}", shape)
            else:
                picture(folder / f"{name}{suffix}", shape)
    (root / "finding_annotations.csv").write_text("\n".join(findings), encoding="utf-8")
    (root / "breast-level_annotations.csv").write_text("\n".join(breasts), encoding="utf-8")
    tags = f"SOP Instance UID,Patient's Age,Manufacturer,Manufacturer's Model Name\n{hexadecimal(1001)},053Y,SIEMENS,Mammomat\n"
    (root / "metadata.csv").write_text(tags, encoding="utf-8")
    return root


_CODES = {"CC": "399162004", "MLO": "399368009"}


def cmmd(root: Path, table: str = "CMMD_clinicaldata_revision.xlsx") -> Path:
    """D1-0001 (R benign), D1-0087 (L benign, R malignant), D2-0001 (only L listed), in NBIA's folders; file order says nothing.

    One file of 16 bit; one without a view code, whose PatientOrientation says MLO; a row of D2-0009 without an image.
    """
    rows = [
        CMMD.split(","),
        ["D1-0001", "R", 44, 2, "calcification", "Benign", None],
        ["D1-0087", "L", 59, 2, "calcification", "Benign", None],
        ["D1-0087", "R", 59, 2, "calcification", "Malignant", None],
        ["D2-0001", "L", 64, 2, "both", "Malignant", "Luminal B"],
        ["D2-0009", "L", 50, 2, "mass", "Malignant", "triple negative"],
    ]
    if table.endswith(".xlsx"):
        write_workbook(root / table, {"Sheet1": rows})
    else:
        root.mkdir(parents=True, exist_ok=True)
        text = "\n".join(";".join("" if cell is None else str(cell) for cell in cells) for cells in rows)
        (root / table).write_text(text, encoding="utf-8")
    images = {
        "D1-0001": [("R", "MLO"), ("R", "CC")],
        "D1-0087": [("R", "CC"), ("L", "MLO"), ("L", "CC"), ("R", "MLO")],
        "D2-0001": [("L", "CC"), ("R", "CC"), ("R", "MLO"), ("L", "MLO")],
    }
    for patient, views in images.items():
        for number, (side, view) in enumerate(views, start=1):
            bits = 16 if (patient, number) == ("D2-0001", 1) else 8
            elements: dict[str, Any] = {"ImageLaterality": side, "PatientID": patient, "PatientAge": "063Y"}
            if (patient, number) == ("D1-0001", 1):
                elements["PatientOrientation"] = ["P", "FL"]
            else:
                elements["ViewCodeSequence"] = [item(CodeValue=_CODES[view], CodingSchemeDesignator="SCT", CodeMeaning=view)]
            folder = root / "CMMD" / patient / "07-18-2010-NA-NA-79377" / "1.000000-NA-70244"
            dicom(folder / f"1-{number}.dcm", bits=bits, **elements)
    return root


def huang_lin(root: Path) -> Path:
    """Two images a class in four copies, with a nested repetition, the combined folder, and Thumbs.db."""
    top = root / "Dataset of Mammography with Benign Malignant Breast Masses"
    sets = {
        "INbreast Dataset": {"Benign Masses": ["20000001"], "Malignant Masses": ["20000002"]},
        "MIAS Dataset": {"Benign Masses": ["mdb005"], "Malignant Masses": ["mdb028"]},
        "DDSM Dataset": {"Benign Masses": ["D1_A_1177_1.RIGHT_CC"], "Malignant Masses": ["D2_A_1177_1.RIGHT_MLO"]},
    }
    for part, classes in sets.items():
        for label, names in classes.items():
            for name in names:
                for copy in (12, 3, 7, 1):
                    picture(top / part / label / f"{name} ({copy}).png")
                    picture(top / "INbreast+MIAS+DDSM Dataset" / label / f"{name} ({copy}).png")
    picture(top / top.name / "MIAS Dataset" / "Benign Masses" / "mdb005 (3).png")
    (top / "MIAS Dataset" / "Benign Masses" / "Thumbs.db").write_bytes(b"x")
    return root


def mini_ddsm(root: Path) -> Path:
    """A patient a class; the cancer patient has an outline on the left only; a mask that must not become an image; an .ics."""
    rows: list[list[object]] = [
        ["fullPath", "fileName", "View", "Side", "Status", "Tumour_Contour", "Tumour_Contour2", "Age", "Density"]
    ]
    cases = (("Normal", "A_0011_1"), ("Benign", "C_0029_1"), ("Cancer", "B_3001_1"))
    for status, case in cases:
        for side in ("LEFT", "RIGHT"):
            name = f"{case}.{side}_CC.jpg"
            number = case.split("_")[1]
            contour = f"{status}\\{number}\\{case}.{side}_CC_MASK.jpg" if (status, side) == ("Cancer", "LEFT") else "-"
            rows.append(
                [f"{status}\\{number}\\{name}", name, "CC", side, status, contour, "-", 58, 0 if status == "Normal" else 3]
            )
            picture(root / status / number / name)
            if contour != "-":
                picture(root / status / number / f"{case}.{side}_CC_MASK.jpg", white=(10, 10, 20, 30))
        (root / status / number / f"{case.replace('_', '-')}.ics").write_text("ics", encoding="utf-8")
    rows.append(["Cancer\\3001\\B_3001_1.LEFT_MLO.jpg", "B_3001_1.LEFT_MLO.jpg", "MLO", "LEFT", "Cancer", "-", "-", 58, 2])
    write_workbook(root / "DataWMask.xlsx", {"Sheet1": rows})
    # A third outline, in the table for images with more than two; its folder comes first in the alphabet.
    picture(root / "Cancer" / "3001" / "B_3001_1.LEFT_CC_MASK3.jpg", white=(30, 5, 40, 20))
    more = [[*rows[0], "Tumour_Contour3"], [*rows[5], "Cancer\\3001\\B_3001_1.LEFT_CC_MASK3.jpg"]]
    write_workbook(root / "Data-MoreThanTwoMasks.xlsx", {"Sheet1": more})
    return root


def embed(root: Path) -> Path:
    """Patient 11: cancer left, negative right, a C-view, a spot view; 12: recalled, no follow-up; 13: a finding of both."""
    clinical = [
        "empi_anon,acc_anon,study_date_anon,asses,side,tissueden,path_severity,bside,numfind,desc,age_at_study",
        "11,1234567890123456,x,B,L,2.0,4.0,L,1,,55.5",
        "11,1234567890123456,x,M,L,2.0,0.0,L,2,,55.5",
        "11,1234567890123456,x,N,R,2.0,,,1,,55.5",
        "12,1234567890123457,x,A,L,3,,,1,,61",
        "13,1234567890123458,x,N,,5,,,1,,44",
        "13,1234567890123459,x,K,B,1,1,R,1,,46",
    ]
    metadata = [
        "empi_anon,acc_anon,anon_dicom_path,FinalImageType,ImageLateralityFinal,ViewPosition,spot_mag,num_roi,ROI_coords"
    ]
    images = [
        ("11", "1234567890123456", "a1", "2D", "L", "CC", "", '"((10, 20, 30, 44),)"'),
        ("11", "1234567890123456", "a2", "2D", "R", "CC", "0", "()"),
        ("11", "1234567890123456", "a3", "C-view", "L", "CC", "", "()"),
        ("11", "1234567890123456", "a4", "2D", "L", "MLO", "1", "()"),
        ("12", "1234567890123457", "b1", "2D", "L", "CC", "", "()"),
        ("12", "1234567890123457", "b2", "2D", "R", "CC", "", "()"),
        ("13", "1234567890123458", "c1", "2D", "R", "MLO", "", "()"),
        ("13", "1234567890123459", "c2", "2D", "L", "MLO", "", "()"),
        ("13", "1234567890123459", "c3", "2D", "R", "MLO", "", "()"),
        ("13", "1234567890123459", "gone", "2D", "R", "CC", "", "()"),
    ]
    for patient, exam, name, kind, side, view, spot, regions in images:
        place = f"cohort_1/{patient}/{exam}/{name}.dcm"
        metadata.append(f"{patient},{exam},/mnt/NAS/EMBED/{place},{kind},{side},{view},{spot},0,{regions}")
        if name != "gone":
            dicom(root / "images" / place)
    (root / "tables").mkdir()
    (root / "tables" / "EMBED_OpenData_clinical.csv").write_text("\n".join(clinical), encoding="utf-8")
    (root / "tables" / "EMBED_OpenData_metadata.csv").write_text("\n".join(metadata), encoding="utf-8")
    (root / "tables" / "EMBED_OpenData_metadata_reduced.csv").write_text(metadata[0], encoding="utf-8")
    return root


def kau(root: Path) -> Path:
    """One stem in BIRAD 4 and Birad5, a stray blank, a `._` file, and the sheet with its line end and blanks in the header."""
    for folder, name in (
        ("BIRAD 1", "2018_BC0021_CC_L"),
        ("BIRAD 3", "2018_BC0021_ MLO_L"),
        ("BIRAD 4", "2018_BC005421_CC_R"),
        ("Birad5", "2018_BC005421_CC_R"),
        ("Birad5", "2018_BC005421_MLO_R"),
        ("BIRAD 1", "thumb"),
    ):
        picture(root / folder / f"{name}.jpg")
    (root / "BIRAD 1" / "._2018_BC0021_CC_L.jpg").write_bytes(b"mac")
    header = ["PatientID", "Patient age ", "Breast  type", "Breast view", "Assesment", "Image path"]
    rows = [[*header, "Percentage of\n grandular tissue(density)"], ["2018_BC005421", 47, "R", "CC", 5, "x", ">75%"]]
    write_workbook(root / "correctSheetlast.xlsx", {"Sheet1": [["x"]], "correctSheet": rows})
    return root


def dmid(root: Path) -> Path:
    """A legend above rows without a header; two findings on one image; TIFF twins; masks; an image of which no row tells."""
    legend: list[list[object]] = [[f"legend {number}", "meaning"] for number in range(31)]
    rows: list[list[object]] = [
        ["IMG001", "CCLT", "G", "CIRC", "B", 300, 200, 30],
        ["IMG001", "CCLT", "G", "CALC(CLAC)+SPIC", "M", 100, 120, 12],
        ["IMG002", "MLORT", "D", "NORM", "N"],
        ["IMG003", "MLOLT", "F", "ASYM", "B", 10, 20, 5],
        ["IMG009", "CCRT", "F", "ASYM", "B", 10, 20, 5],
    ]
    write_workbook(root / "Metadata.xlsx", {"Sheet1": [*legend, *rows]})
    for number in (1, 2, 4):
        dicom(root / "DICOM Images" / f"IMG00{number}.dcm")
    for number in (1, 3):
        picture(root / "TIFF Images" / "TIFF Images" / f"IMG00{number}.tif")
        picture(root / "ROI Masks" / "ROI Masks" / f"IMG00{number}.tif", white=(5, 5, 20, 20))
    return root


def cdd_cesm(root: Path) -> Path:
    """DM and CM images, a stray blank in a name, two rows of one image, BI-RADS of two lesions in one cell."""
    header = ["Image_name", "Patient_ID", "Side", "View", "Type", "Age", "Breast density (ACR)", "BIRADS", "Findings", "Tags"]
    header += ["Machine", "Pathology Classification/ Follow up"]
    rows = [
        header,
        ["P1_L_DM_CC ", "1", "L", "CC", "DM", 44, "c", "2$5", "mass", "", "GE", "Malignant"],
        ["P1_L_DM_CC ", "1", "L", "CC", "DM", 44, "c", "2$5", "mass", "", "GE", "Malignant"],
        ["P1_L_CM_CC", "1", "L", "CC", "CESM", 44, "c", "5", "mass", "", "GE", "Malignant"],
        ["P1_R_DM_MLO", "1", "R", "MLO", "DM", 44, "c", "1", "", "", "GE", "Normal"],
        ["P2_R_DM_CC", "2", "R", "CC", "DM", 61, "a", "3", "cyst", "", "GE", " Benign "],
        ["P3_R_DM_CC", "3", "R", "CC", "DM", 61, "a", "3", "cyst", "", "GE", "Benign"],
    ]
    write_workbook(root / "Radiology manual annotations.xlsx", {"notes": [["x"]], "all": rows})
    for name in ("P1_L_DM_CC", "P1_R_DM_MLO", "P2_R_DM_CC"):
        picture(root / "Low energy images of CDD-CESM" / f"{name}.jpg")
    picture(root / "Subtracted images of CDD-CESM" / "P1_L_CM_CC.jpg")
    picture(root / "Low energy images of CDD-CESM" / "P9_L_DM_CC.jpg")
    return root
