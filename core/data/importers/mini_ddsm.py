"""`mini-ddsm`: mini-DDSM with DataWMask.xlsx; its status is of the patient, its outlines are of a breast."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from core.data.importers.base import Importer, ImportReport, Options, Progress
from core.data.importers.collection import DENSITY, Candidate, Collection, options_of, relative_to_image
from core.data.importers.merging import sound
from core.data.importers.records import Record, read_records
from core.data.importers.tree import Tree
from core.data.label_rules import BENIGN, MALIGNANT, NORMAL, UNMARKED
from core.data.lesions import Lesion
from core.data.tables import shown
from core.errors import BadManifest
from core.wording import counted

_NEEDED = ("fullPath", "fileName", "Status", "Side", "Tumour_Contour")
_CASE = re.compile(r"[A-D]_([0-9]{4})_[0-9]", re.IGNORECASE)
_STATUSES = {"cancer": MALIGNANT, "benign": BENIGN, "normal": NORMAL}
_NO_CONTOUR = ("", "-", "nan", "none")
_RULES = ("pathology", "pathology-without-unmarked", "pathology-without-normal")

Key = tuple[str, str]  # folder and stem of a file, in lower case


def import_mini_ddsm(source: Path, options: Options, progress: Progress | None) -> ImportReport:
    """A row an image of the table. A patient's cancer counts for the side on which an outline is drawn."""
    found = Collection.begin("mini-ddsm", source, options, progress)
    table, further = _tables(source, found.tree)
    records = read_records(table, _NEEDED)
    found.notes += [f"tables read: {', '.join(path.name for path in (table, *further))}", *records.notes]
    files = _files(found.tree)
    contours: defaultdict[str, list[str]] = defaultdict(list)
    for each in (records, *(read_records(path, _NEEDED) for path in further)):
        for record in each:
            contours[record["fileName"].lower()] += _contours(record)
    marked = {_side(record) for record in records if contours[record["fileName"].lower()]}
    used: set[Path] = set()
    candidates: list[Candidate] = []
    for record in records:
        where = f"{table.name} line {record.line}"
        path = _find(files, record["fullPath"] or record["fileName"])
        status = _STATUSES.get(record["Status"].lower())
        case = _CASE.match(record["fileName"])
        if status is None or case is None:
            found.reject(where, f"Status {shown(record['Status'])}, fileName {shown(record['fileName'])}: expected Normal, "
                "Benign or Cancer, and a name such as A_1329_1.LEFT_CC.jpg")  # fmt: skip
            continue
        if path is None:
            found.reject(where, f"no image {shown(record['fullPath'] or record['fileName'])} here")
            continue
        if path in used and all(each.path != path for each in candidates):
            found.reject(where, f"the mask of a row above: {path.name}")
            continue
        used.add(path)
        pathology = UNMARKED if status == MALIGNANT and _side(record) not in marked else status
        drawn = (_find(files, name) for name in contours[record["fileName"].lower()])
        masks = list(dict.fromkeys(mask for mask in drawn if mask is not None))
        used.update(masks)
        candidates.append(_candidate(found, record, case[1], path, pathology, masks))
    for path in found.tree.images:
        if path not in used:
            what = "a mask, or another copy of one" if "mask" in path.stem.lower() else "not listed in the table"
            found.reject(path, f"{what} (its lists and images are read from one tree)")
    unmarked = sum(each.row["pathology"] == UNMARKED for each in candidates)
    if unmarked:
        found.notes.append(
            f"warning: {counted(unmarked, 'image')} of patients with cancer without an outline on that side: benign here "
            "(rule=pathology-without-unmarked leaves them unlabelled)"
        )
    found.notes.append("a part of DDSM, as CBIS-DDSM is, under other ids: never train on one of them and test on the other")
    found.unknown.append("scanners: several digitizers were used, and which one may tell the class")
    return found.finish(candidates, _RULES[0])


def _tables(source: Path, tree: Tree) -> tuple[Path, list[Path]]:
    """The table of the images, and those that name further outlines (Data-MoreThanTwoMasks.xlsx)."""
    if source.is_file():
        return source, []
    every = tree.tables(_NEEDED)
    further = [path for path in every if "morethan" in path.name.lower()]
    tables = [path for path in every if path not in further] or further[:1]
    if not tables:
        raise BadManifest(
            f"{source}: expected mini-DDSM's DataWMask.xlsx (columns {', '.join(_NEEDED)}) beside Normal, Benign and Cancer, "
            f"it is missing{tree.nearly(_NEEDED)}. It comes with the download."
        )
    return tables[0], [path for path in further if path != tables[0]]


def _files(tree: Tree) -> dict[Key, list[Path]]:
    files: defaultdict[Key, list[Path]] = defaultdict(list)
    for path in tree.images:
        files[(path.parent.name.lower(), path.stem.lower())].append(path)
    return files


def _find(files: dict[Key, list[Path]], text: str) -> Path | None:
    """The file of a path as the table writes it (Benign\\0029\\C_0029_1.LEFT_CC.jpg); the 16 bit tree has other endings."""
    folder, _, name = text.replace("\\", "/").rpartition("/")
    stem = name.rpartition(".")[0] if name.lower().endswith((".jpg", ".png", ".jpeg", ".tif")) else name
    there = files.get((folder.rpartition("/")[2].lower(), stem.lower()), [])
    if not there and not folder:  # a name alone
        there = next((paths for (_, known), paths in files.items() if known == stem.lower()), [])
    return next(iter(there), None)


def _contours(record: Record) -> list[str]:
    names = [name for name in record.cells if name.startswith("tumourcontour")]
    return [record.cells[name] for name in names if record.cells[name].lower() not in _NO_CONTOUR]


def _side(record: Record) -> tuple[str, str]:
    case = _CASE.match(record["fileName"])
    return (case[1] if case else record["fileName"]), record["Side"][:1].upper()


def _candidate(found: Collection, record: Record, case: str, path: Path, pathology: str, masks: list[Path]) -> Candidate:
    lesion_pathology = MALIGNANT if pathology == MALIGNANT else BENIGN if pathology == BENIGN else ""
    row = {
        "patient_id": found.patient(case),  # the number alone: whether it repeats across the letters is not known
        "laterality": record["Side"][:1].upper(),
        "view": record["View"].upper(),
        "age": sound("age", record["Age"]),
        "density": DENSITY.get(record["Density"], ""),
        "pathology": pathology,
        "status": record["Status"].lower(),
    }
    return Candidate(path, row, [Lesion(pathology=lesion_pathology, mask=relative_to_image(mask, path)) for mask in masks])


IMPORTER = Importer(
    "mini-ddsm",
    "mini-DDSM: <Normal|Benign|Cancer>/<number>/C_0029_1.LEFT_CC.jpg with DataWMask.xlsx",
    options_of(_RULES),
    import_mini_ddsm,
    lambda tree: next((f"mini-DDSM's table: {path.name}" for path in tree.tables(_NEEDED)), ""),
)
