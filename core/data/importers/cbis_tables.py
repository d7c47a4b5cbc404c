"""The four case tables of CBIS-DDSM: a row a lesion, for every form in which the images are distributed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from core.data.importers.records import Record, read_records
from core.data.importers.tree import Tree
from core.data.importers.vocabulary import split_of
from core.data.label_rules import BENIGN, MALIGNANT, WITHOUT_CALLBACK
from core.data.tables import shown
from core.errors import BadManifest

# Copies that were saved again have other names for the same columns.
_NAMES = {
    "side": ("left or right breast", "side"),
    "view": ("image view", "view"),
    "number": ("abnormality id", "abn_num"),
    "image": ("image file path", "od_img_path"),
    "crop": ("cropped image file path", "od_crop_path"),
    "mask": ("ROI mask file path", "mask_path"),
}
_NEEDED = (("patient_id", "pathology", "image file path"), ("patient_id", "pathology", "od_img_path"))
_PATIENT = re.compile(r"P_[0-9]{5}")
_SUBJECT = re.compile(r"(Mass|Calc)-(Training|Test)_(P_[0-9]{5})_(LEFT|RIGHT)_(CC|MLO)(?:_([0-9]+))?", re.IGNORECASE)
_PATHOLOGIES = {"malignant": MALIGNANT, "benign": BENIGN, "benign_without_callback": WITHOUT_CALLBACK}
_DENSITY = {"1": "A", "2": "B", "3": "C", "4": "D"}


@dataclass(frozen=True)
class Case:
    """A lesion in one film. `kind`: mass or calcification; `part`: train or test; paths are split at / and \\, last name last.

    `subject`: the name of the film's folder in DICOM (Mass-Training_P_00001_LEFT_CC); the lesion's has `_<number>` behind it.
    """

    where: str
    kind: str
    part: str
    patient: str
    laterality: str
    view: str
    number: str
    pathology: str
    density: str
    assessment: str
    appearance: str
    image: tuple[str, ...]
    crop: tuple[str, ...]
    mask: tuple[str, ...]

    @property
    def film(self) -> tuple[str, str, str]:
        """The same for every row of one film, in whichever table it stands: patient, side, view."""
        return self.patient, self.laterality, self.view

    @property
    def subject(self) -> str:
        part = "Training" if self.part == "train" else "Test"
        side = "LEFT" if self.laterality == "L" else "RIGHT"
        return f"{'Mass' if self.kind == 'mass' else 'Calc'}-{part}_{self.patient}_{side}_{self.view}"


def case_tables(tree: Tree) -> list[Path]:
    """The case tables below a folder, one of each content: copies lie in several folders of some downloads."""
    found = [path for needed in _NEEDED for path in tree.tables(needed)]
    by_name = {path.name.lower(): path for path in reversed(found)}  # the one nearest to the root
    return sorted(by_name.values())


def read_cases(tables: Sequence[Path]) -> tuple[list[Case], list[tuple[str, str]]]:
    """Every row as a case, and the rows that are none, with the reason.

    Raises:
        BadManifest: a table cannot be read.
    """
    cases: list[Case] = []
    rejected: list[tuple[str, str]] = []
    for table in tables:
        needed = next((each for each in _NEEDED if _fits(table, each)), _NEEDED[0])
        for record in read_records(table, needed):
            where = f"{table.name} line {record.line}"
            case = _case(record, where, table)
            if isinstance(case, str):
                rejected.append((where, case))
            else:
                cases.append(case)
    return cases, rejected


def subject_of(name: str) -> re.Match[str] | None:
    """The parts of a subject's name: kind, part, patient, side, view, number of the lesion (None for a film)."""
    return _SUBJECT.fullmatch(name)


def _fits(table: Path, needed: Sequence[str]) -> bool:
    try:
        return bool(read_records(table, needed).rows)
    except BadManifest:
        return False


def _case(record: Record, where: str, table: Path) -> Case | str:
    cell = {role: next(filter(None, (record[name] for name in names)), "") for role, names in _NAMES.items()}
    patient = _PATIENT.search(record["patient_id"])
    if patient is None:
        return f"patient_id {shown(record['patient_id'])}: expected P_ and five digits"
    side = cell["side"][:1].upper()
    view = cell["view"].upper()
    if side not in ("L", "R") or view not in ("CC", "MLO"):
        return f"side {shown(cell['side'])}, view {shown(cell['view'])}: expected LEFT or RIGHT, CC or MLO"
    image = _segments(cell["image"])
    kind, part = _kind_and_part(record, image, table)
    if not kind or not part:
        return "neither the path, the columns nor the table's name say whether it is a mass or a calcification, train or test"
    appearance = (record[name] for name in ("mass shape", "mass margins", "calc type", "calc distribution"))
    density = record["breast_density"]  # `breast density` in the tables of calcifications: compared without _ and blanks
    return Case(
        where=where,
        kind=kind,
        part=part,
        patient=patient[0],
        laterality=side,
        view=view,
        number=record["abnormality id"] or cell["number"] or "1",
        pathology=_PATHOLOGIES.get(re.sub(r"\s+", "_", record["pathology"].lower()), ""),
        density=_DENSITY.get(density, ""),
        assessment=record["assessment"],
        appearance=" ".join(filter(None, appearance)).lower(),
        image=image,
        crop=_segments(cell["crop"]),
        mask=_segments(cell["mask"]),
    )


def _segments(path: str) -> tuple[str, ...]:
    """A path of the table as its parts; the trailing line end that all of them have in one column is gone."""
    return tuple(part for part in PurePath(path.replace("\\", "/")).as_posix().strip().split("/") if part not in ("", "."))


def _kind_and_part(record: Record, image: Sequence[str], table: Path) -> tuple[str, str]:
    subject = next(filter(None, map(subject_of, image)), None)
    if subject is not None:
        return ("mass" if subject[1].lower() == "mass" else "calcification"), split_of(subject[2]) or ""
    name = table.name.lower()
    said = f"{record['abnormality type']} {name}".lower()
    kind = "mass" if "mass" in said else "calcification" if "calc" in said else ""
    return kind, "test" if "test" in name else "train" if "train" in name else ""
