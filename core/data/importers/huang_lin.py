"""`huang-lin`: Huang and Lin's breast masses, images of INbreast, MIAS and DDSM in many augmented copies each."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from core.data.importers.base import Importer, ImportReport, Options, Progress
from core.data.importers.collection import Candidate, Collection, options_of
from core.data.importers.file_names import split_name
from core.data.importers.folder_walk import with_home
from core.data.importers.inbreast import patient_tokens
from core.data.importers.tree import Tree
from core.data.label_rules import BENIGN, MALIGNANT
from core.errors import BadManifest
from core.wording import counted

_PART = re.compile(r"((?:INbreast|MIAS|DDSM)(?:\+(?:INbreast|MIAS|DDSM))*) dataset", re.IGNORECASE)
_CLASSES = {"benign masses": BENIGN, "malignant masses": MALIGNANT}
_COPY = re.compile(r"(?P<original>.+?)\s*\((?P<number>[0-9]{1,4})\)")
_MIAS = re.compile(r"mdb([0-9]{3})", re.IGNORECASE)
_DDSM = re.compile(r"([A-D]_[0-9]{4})_", re.IGNORECASE)
_INBREAST = re.compile(r"[0-9]{8}")


@dataclass(frozen=True)
class _File:
    path: Path
    part: str
    label: str
    original: str
    number: int


def import_huang_lin(source: Path, options: Options, progress: Progress | None) -> ImportReport:
    """One copy an image (or all, grouped), from the parts, or from the combined folder where it is alone."""
    copies = options.choice("copies", ("first", "all"))
    found = Collection.begin("huang-lin", source, options, progress)
    hashes = _inbreast_patients(options)
    groups: defaultdict[tuple[str, str], list[_File]] = defaultdict(list)
    for file in _once(found, _files(found)):
        groups[(file.label, file.original)].append(file)
    candidates = []
    unknown = 0
    for (label, original), files in groups.items():
        files.sort(key=lambda file: (file.number, file.path))
        patient, subset = _patient(original, hashes)
        unknown += not patient
        parts = split_name(original.rpartition("/")[2].replace(".", "_"))
        for file in files if copies == "all" else files[:1]:
            row = {
                "patient_id": found.patient(patient or original),
                "laterality": parts.laterality,
                "view": parts.view,
                "subset": subset,
                "pathology": label,
                "copy_of": original,
            }
            candidates.append(Candidate(file.path, row))
        for file in files[1:] if copies == "first" else []:
            found.reject(file.path, f"copy {file.number} of {original}, of which copy {files[0].number} was taken (copies=all)")
    if copies == "all":
        found.notes.append(
            "warning: every augmented copy was taken in, also for validation and test, where each image then counts many times "
            "(copies=first takes one)"
        )
    if unknown:
        found.unknown.append(
            f"patients of {counted(unknown, 'original image')} of INbreast: each counts as a patient of its own, so scores "
            "are not patient-level. inbreast=FOLDER with INbreast's files says who they are"
        )
    found.notes.append(
        "every image holds a mass: there is no normal one. The images are INbreast's, MIAS's and DDSM's: never test on this "
        "set what was trained on one of those, or the reverse"
    )
    return found.finish(candidates, "pathology")


def _files(found: Collection) -> list[_File]:
    """The images below a class folder in a part's folder, without the combined part where its parts are there."""
    files = []
    for path in found.tree.images:
        parts = [match[1] for name in path.parent.parts if (match := _PART.fullmatch(name))]
        label = next((_CLASSES[name.lower()] for name in path.parent.parts if name.lower() in _CLASSES), "")
        if not parts or not label:
            found.reject(path, "expected it in <name> Dataset/Benign Masses or Malignant Masses")
            continue
        match = _COPY.fullmatch(path.stem)
        original = match["original"] if match else path.stem
        files.append(_File(path, parts[-1], label, original, int(match["number"]) if match else 0))
    single = {file.part.lower() for file in files if "+" not in file.part}
    kept = []
    for file in files:
        repeated = "+" in file.part and single & set(file.part.lower().split("+"))
        if repeated:
            found.reject(file.path, f"the combined folder repeats the others ({', '.join(sorted(single))}), which were read")
        else:
            kept.append(file)
    return kept


def _once(found: Collection, files: list[_File]) -> list[_File]:
    """Each file once: archives hold the whole folder a second time within itself."""
    first: dict[tuple[str, str, str, int], _File] = {}
    for file in sorted(files, key=lambda file: (len(file.path.parts), file.path)):
        key = (file.part.lower(), file.label, file.original, file.number)
        if key in first:
            found.reject(file.path, f"the same part, class and name as {first[key].path}")
        else:
            first[key] = file
    return list(first.values())


def _inbreast_patients(options: Options) -> dict[str, str]:
    folder = options.text("inbreast")
    if not folder:
        return {}
    path = with_home(Path(folder)).absolute()
    if options.require is not None:
        options.require([path])  # before anything is said of it
    if not path.is_dir():
        raise BadManifest(f"importer huang-lin: option inbreast: expected INbreast's folder, got {path}, where there is none")
    return patient_tokens(Tree.of(path, require=options.require))


def _patient(original: str, hashes: dict[str, str]) -> tuple[str, str]:
    """The patient of an original image ("" where nobody knows), and the collection that it is from."""
    if match := _MIAS.search(original):
        return f"mias{(int(match[1]) + 1) // 2:03d}", "mias"
    if match := _DDSM.search(original):
        return match[1].upper(), "ddsm"
    if match := _INBREAST.search(original):
        return hashes.get(match[0], ""), "inbreast"
    return "", ""


def _recognise(tree: Tree) -> str:
    for path in tree.images:
        names = [name for name in path.parent.parts if _PART.fullmatch(name)]
        if names and path.parent.name.lower() in _CLASSES:
            return f"folders {names[-1]}/{path.parent.name}, as in Huang and Lin's set of masses"
    return ""


IMPORTER = Importer(
    "huang-lin",
    "Huang and Lin's breast masses: <INbreast|MIAS|DDSM> Dataset/<Benign|Malignant> Masses/<name> (N).png",
    {
        "copies": "first (default): one of the augmented copies of each image; all: every copy, grouped by patient",
        "inbreast": "folder of INbreast itself, whose file names say which patients its images here are of",
        **options_of(("pathology",)),
    },
    import_huang_lin,
    _recognise,
)
