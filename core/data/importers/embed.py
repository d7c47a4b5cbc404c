"""`embed`: EMBED Open Data with its clinical and metadata tables; labels follow from pathology, by breast and examination."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from core.data.importers.base import Importer, ImportReport, Options, Progress
from core.data.importers.collection import DENSITY, Candidate, Collection, options_of
from core.data.importers.merging import sound
from core.data.importers.records import Record, read_records
from core.data.importers.tree import IMAGES, Tree
from core.data.importers.vocabulary import cell_word
from core.data.lesions import Lesion
from core.errors import BadManifest
from core.wording import counted

_CLINICAL = ("empi_anon", "acc_anon", "side", "asses", "path_severity")
_METADATA = ("empi_anon", "acc_anon", "anon_dicom_path", "FinalImageType", "ImageLateralityFinal")
_GRADES = {"A": "0", "N": "1", "B": "2", "P": "3", "S": "4", "M": "5", "K": "6"}
_EMPTY = ("", "nan", "none", "0")
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_RULES = ("outcome", "outcome-with-benign-biopsies")

_WHOLE_PLACE = 3  # names below the cohort: patient, study, file

Breast = tuple[str, str, str]  # patient, examination, side


def import_embed(source: Path, options: Options, progress: Progress | None) -> ImportReport:
    """A row an image of kind 2D, joined with the findings of its own breast in its own examination."""
    views = options.choice("images", ("2d", "all"))
    found = Collection.begin("embed", source, options, progress)
    clinical, metadata = _tables(source, found.tree)
    findings = _findings(found, clinical)
    records = read_records(metadata, _METADATA)
    files = _Files.of(found.tree, [record["anon_dicom_path"] for record in records])
    used: set[Path] = set()
    candidates: dict[Path, list[Candidate]] = {}
    without: Counter[str] = Counter()
    found.notes += [f"tables read: {clinical.name}, {metadata.name}"]
    for record in records:
        where = f"{metadata.name} line {record.line}"
        path = files.find(record["anon_dicom_path"])
        if path is None:
            found.reject(_parts(record["anon_dicom_path"])[-1] or where, files.why_not(record["anon_dicom_path"]))
            continue
        reason = _unwanted(record, views)
        if path in used and (reason or path not in candidates):
            found.reject(where, f"the same image as a row above: {path.name}")
            continue
        used.add(path)
        if reason:
            found.reject(path, reason)
            continue
        each = _candidate(found, record, path, findings)
        candidates.setdefault(path, []).append(each)
        if not each.row["assessments"] and not each.row["pathology_severity"]:
            without["ungraded" if findings.get(_breast(record)) else "unlisted"] += 1
        without["flat"] += _regions_in(record["ROI_coords"]) - len(each.lesions)
    places = {path.with_suffix(""): path for path in used}
    for path in found.tree.images:
        if path not in used:
            copy = places.get(path.with_suffix(""))
            found.reject(path, f"not listed in {metadata.name}" if copy is None else f"the same image as {copy}")
    if without["unlisted"]:
        found.notes.append(
            f"{counted(without['unlisted'], 'image')} of a breast without any finding in the clinical table: unlabelled"
        )
    if without["ungraded"]:
        found.notes.append(
            f"{counted(without['ungraded'], 'image')} of a breast whose findings in the clinical table have neither a known "
            "assessment nor pathology (X and the like): unlabelled"
        )
    if without["flat"]:
        found.repairs.append(f"{counted(without['flat'], 'region')} of interest without an extent dropped")
    found.notes.append("a patient comes several times, in follow-up examinations: they share the patient_id, and so the split")
    return found.finish([each for own in candidates.values() for each in own], _RULES[0])


@dataclass(frozen=True)
class _Files:
    """The images by the name of their file, in lower case, and the paths that the table gives for each such name."""

    tree: Tree
    images: dict[str, list[Path]]
    rows: dict[str, set[tuple[str, ...]]]

    @classmethod
    def of(cls, tree: Tree, listed: Sequence[str]) -> _Files:
        images: defaultdict[str, list[Path]] = defaultdict(list)
        for path in sorted(tree.images, key=lambda path: (IMAGES.index(path.suffix.lower()), path)):
            images[path.stem.lower()].append(path)
        rows: defaultdict[str, set[tuple[str, ...]]] = defaultdict(set)
        for text in listed:
            parts = _parts(text)
            rows[parts[-1].lower()].add(_below_cohort(parts) or parts)
        return cls(tree, images, rows)

    def find(self, text: str) -> Path | None:
        """The image of a row: by its folders below the cohort's, else by its name where no other file or row has it."""
        parts = _parts(text)
        name, wanted = parts[-1].lower(), _below_cohort(parts)
        loose = []
        for path in self.images.get(name, ()):
            place = _below_cohort(_parts("/".join(self.tree.inside(path))))
            if wanted and place == wanted:
                return path
            if not wanted or len(place) < _WHOLE_PLACE:
                loose.append(path)
        alone = len(self.rows[name]) == 1 and len({path.parent for path in loose}) == 1
        return loose[0] if alone else None

    def why_not(self, text: str) -> str:
        """The reason where `find` has none."""
        parts = _parts(text)
        if parts[-1].lower() not in self.images:
            return "listed in the metadata, no such image here"
        return (
            f"listed in the metadata as {text}: no image in these folders, and the name alone tells not which is meant. Keep "
            "the folders of the download (cohort_*/<patient>/<study>)"
        )


def _parts(text: str) -> tuple[str, ...]:
    """The names of a path of any machine, the last without its suffix."""
    *folders, name = text.replace("\\", "/").split("/")
    return (*folders, PurePosixPath(name).stem)


def _below_cohort(parts: tuple[str, ...]) -> tuple[str, ...]:
    """Patient, study and file below cohort_*, in lower case; the folders before it are another machine's. () without it."""
    words = tuple(part.lower() for part in parts)
    at = next((place for place, word in enumerate(words[:-1]) if word.startswith("cohort_")), None)
    return () if at is None else words[at + 1 :]


def _tables(source: Path, tree: Tree) -> tuple[Path, Path]:
    clinical, metadata = tree.tables(_CLINICAL), tree.tables(_METADATA)
    if not clinical or not metadata:
        missing = "EMBED_OpenData_clinical.csv" if not clinical else "EMBED_OpenData_metadata.csv"
        near = tree.nearly(_METADATA if clinical else _CLINICAL)
        raise BadManifest(f"{source}: expected EMBED's tables and images below this folder, {missing} is missing{near}.")
    whole = [[path for path in paths if "reduced" not in path.name.lower()] or paths for paths in (clinical, metadata)]
    return whole[0][0], whole[1][0]


def _findings(found: Collection, table: Path) -> dict[Breast, list[Record]]:
    """The findings of each breast: by patient, examination and side; a finding of both sides, or of none, is of both."""
    findings: defaultdict[Breast, list[Record]] = defaultdict(list)
    for record in read_records(table, _CLINICAL):
        patient, exam = cell_word(record["empi_anon"]), cell_word(record["acc_anon"])
        if not patient or not exam:
            found.reject(f"{table.name} line {record.line}", "no patient or no examination (empi_anon, acc_anon)")
            continue
        side = record["side"][:1].upper()
        for each in (side,) if side in ("L", "R") else ("L", "R"):
            findings[(patient, exam, each)].append(record)
    return findings


def _unwanted(record: Record, views: str) -> str:
    kind = record["FinalImageType"]
    if kind.lower() != "2d" and views == "2d":
        return (
            f"image type {kind or 'unknown'}: only 2D images (images=all takes the others in: they show the same breast again)"
        )
    if cell_word(record["spot_mag"]) not in _EMPTY:
        return "a spot compression or magnification, no whole breast"
    if record["ImageLateralityFinal"][:1].upper() not in ("L", "R"):
        return "no side, and the findings are of one"
    return ""


def _breast(record: Record) -> Breast:
    side = record["ImageLateralityFinal"][:1].upper()
    return cell_word(record["empi_anon"]), cell_word(record["acc_anon"]), side


def _candidate(found: Collection, record: Record, path: Path, findings: dict[Breast, list[Record]]) -> Candidate:
    patient, exam, side = breast = _breast(record)
    own = findings.get(breast, [])
    # Where a biopsy's side is given, its result is of that side alone.
    biopsied = [each for each in own if each["bside"][:1].upper() in ("", side, "B") or each["bside"].lower() == "nan"]
    severities = [word for each in biopsied if (word := cell_word(each["path_severity"])) in "0123456" and word]
    letters = [letter for each in own if (letter := each["asses"][:1].upper()) in _GRADES]
    row: dict[str, Any] = {
        "patient_id": found.patient(patient),
        "exam_id": exam,
        "laterality": side,
        "view": record["ViewPosition"].upper(),
        "age": found.differing.first("age", path.name, [sound("age", each["age_at_study"]) for each in own]),
        "density": found.differing.first("density", path.name, [DENSITY.get(cell_word(each["tissueden"]), "") for each in own]),
        "birads": max((_GRADES[letter] for letter in letters), default=""),
        "assessments": "".join(sorted(set(letters))),
        "pathology_severity": min(severities, default=""),
        "subset": record["FinalImageType"],
    }
    return Candidate(path, row, _regions(record["ROI_coords"]))


def _regions_in(text: str) -> int:
    """How many whole regions a cell gives."""
    return len(_NUMBER.findall(text[:10_000])) // 4


def _regions(text: str) -> list[Lesion]:
    """Regions of interest, which the table gives as ymin, xmin, ymax, xmax; the text is never evaluated."""
    numbers = [float(each) for each in _NUMBER.findall(text[:10_000])]
    lesions = []
    for y0, x0, y1, x1 in zip(*(numbers[start::4] for start in range(4)), strict=False):
        if x0 < x1 and y0 < y1:
            lesions.append(Lesion(box=(x0, y0, x1, y1)))
    return lesions


IMPORTER = Importer(
    "embed",
    "EMBED Open Data: tables/EMBED_OpenData_clinical.csv and _metadata.csv with <cohort>/<patient>/<study>/<file>.dcm",
    {
        "images": "2d (default): 2D images only; all: also C-views and others, which show the same breast again",
        **options_of(_RULES),
    },
    import_embed,
    lambda tree: next((f"EMBED's metadata: {path.name}" for path in tree.tables(_METADATA) if tree.tables(_CLINICAL)), ""),
)
