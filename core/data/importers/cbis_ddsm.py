"""`cbis-ddsm`: CBIS-DDSM with its case tables, as DICOM from TCIA (NBIA or classical tree) or as Kaggle's JPEG files."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.data.importers.base import FileCheck, Importer, ImportReport, Options, Progress
from core.data.importers.cbis_files import CbisFiles
from core.data.importers.cbis_lesions import LesionFiles, sort_out
from core.data.importers.cbis_tables import Case, case_tables, read_cases
from core.data.importers.collection import Candidate, Collection, options_of, relative_to_image
from core.data.importers.tree import Tree
from core.data.label_rules import BENIGN, MALIGNANT, WITHOUT_CALLBACK
from core.data.lesions import Lesion
from core.errors import BadManifest
from core.wording import counted

_RULES = ("pathology", "pathology-without-callback")
_WORST = (MALIGNANT, "", BENIGN, WITHOUT_CALLBACK)  # a lesion of unknown pathology leaves the film unlabelled, not benign
_NON_UNIFORM = 0.01  # relative difference of the two scale factors between a mask and its film


def import_cbis(source: Path, options: Options, progress: Progress | None) -> ImportReport:
    """A row a film (or, with image=crop, a lesion), whichever of the tables it stands in; lesions with their masks."""
    wanted = options.choice("lesions", ("both", "mass", "calc"))
    crops = options.choice("image", ("full", "crop")) == "crop"
    found = Collection.begin("cbis-ddsm-crop" if crops else "cbis-ddsm", source, options, progress)
    tables = case_tables(found.tree) if source.is_dir() else [source]
    if not tables:
        raise BadManifest(
            f"{source}: expected CBIS-DDSM's case tables (mass_case_description_train_set.csv, calc_..., ..._test_set.csv) "
            "beside the images. Download them from the collection's page, and put them anywhere below this folder."
        )
    cases, rejected = read_cases(tables)
    found.rejected += rejected
    cases = [case for case in cases if wanted == "both" or case.kind.startswith(wanted)]
    files = CbisFiles(found.tree)
    found.rejected += [(str(path), f"the same series and file as {there}") for path, there in files.again]
    lesion_files = _lesion_files(found, cases, files)
    candidates = _crops(found, cases, lesion_files) if crops else _films(found, cases, files, lesion_files)
    found.notes += [
        f"tables read: {', '.join(path.name for path in tables)}",
        "there are no normal films in CBIS-DDSM: benign are benign lesions, so nothing can be said of normal against cancer",
        "films are scans: no age and no scanner is known",
    ]
    if len(tables) < 4 and source.is_dir() and wanted == "both":
        found.notes.append(f"warning: {len(tables)} of the 4 case tables are here: films and lesions of the others are missing")
    skewed: list[str] = []
    report = found.finish(candidates, _RULES[0], lambda each, check: _flag_skewed(each, check, skewed))
    if skewed:
        report.notes.append(
            f"warning: {counted(len(skewed), 'mask has', 'masks have')} another shape than the film (the two scale factors "
            f"differ by more than 1 %), marked in lesions: {', '.join(skewed[:3])}"
        )
    return report


def _lesion_files(found: Collection, cases: Sequence[Case], files: CbisFiles) -> list[LesionFiles]:
    boxes = found.options.choice("boxes", ("yes", "no")) == "yes"
    candidates = []
    for case in cases:
        lesion = f"{case.subject}_{case.number}"
        both = [*files.find(case.crop, lesion), *files.find(case.mask, lesion)]  # two series in a hundred rows
        candidates.append(list(dict.fromkeys(both)))
    result, odd = sort_out(candidates, files.description, boxes, found.progress)
    found.notes += [f"{count} {what}: the files' own bits decided" for what, count in odd.items()]
    without = Counter(each.problem for each in result if each.mask is None)
    if without:
        listed = ", ".join(f"{problem} ({count})" for problem, count in without.most_common(5))
        found.notes.append(f"{counted(without.total(), 'lesion')} without a mask: {listed}")
    return result


def _films(found: Collection, cases: Sequence[Case], files: CbisFiles, lesion_files: Sequence[LesionFiles]) -> list[Candidate]:
    films: defaultdict[tuple[str, str, str], list[tuple[Case, LesionFiles]]] = defaultdict(list)
    for case, own in zip(cases, lesion_files, strict=True):
        films[case.film].append((case, own))
    twice = mixed = 0
    candidates = []
    for film in films.values():
        there = list(dict.fromkeys(path for case, _ in film if (path := _image_of(case, files)) is not None))
        path = next(iter(there), None)
        parts = sorted({case.part for case, _ in film}, reverse=True)  # train before test
        pathologies = {case.pathology for case, _ in film}
        if path is None:
            found.reject(
                film[0][0].subject, f"no image in the folder that {film[0][0].where} names, nor under the subject's name"
            )
            continue
        for other in there[1:]:
            found.reject(
                other, f"the same film as {path}, which stands in two of the tables: one row a film, with all its lesions"
            )
        twice += len({case.subject for case, _ in film}) > 1
        mixed += MALIGNANT in pathologies and len(pathologies) > 1
        row = _row(found, film[0][0]) | {
            "split_official": ",".join(parts),
            "density": found.differing.first("density", film[0][0].subject, [case.density for case, _ in film]),
            "birads": max((case.assessment for case, _ in film), default=""),
            "pathology": next(each for each in _WORST if each in pathologies),
            "abnormality": " ".join(sorted({case.kind for case, _ in film})),
        }
        candidates.append(Candidate(path, row, [_lesion(case, own, path) for case, own in film]))
    if twice:
        found.repairs.append(
            f"{counted(twice, 'film')} in both the mass and the calcification table: one row each, with all lesions"
        )
    if mixed:
        found.notes.append(f"{counted(mixed, 'film has', 'films have')} malignant and benign lesions: malignant")
    return candidates


def _crops(found: Collection, cases: Sequence[Case], lesion_files: Sequence[LesionFiles]) -> list[Candidate]:
    candidates = []
    for case, own in zip(cases, lesion_files, strict=True):
        if own.crop is None:
            found.reject(f"{case.subject}_{case.number}", f"no crop in the folders that {case.where} names")
            continue
        row = _row(found, case) | {
            "split_official": case.part,
            "density": case.density,
            "birads": case.assessment,
            "pathology": case.pathology,
            "abnormality": case.kind,
            "subset": "crop",
        }
        candidates.append(Candidate(own.crop, row))
    found.notes.append("these are crops around lesions: never put them into one manifest with whole images")
    return candidates


def _row(found: Collection, case: Case) -> dict[str, Any]:
    return {"patient_id": f"cbis-ddsm:{case.patient}", "laterality": case.laterality, "view": case.view}


def _image_of(case: Case, files: CbisFiles) -> Path | None:
    there = files.find(case.image, case.subject)
    whole = [path for path in there if "full" in files.description(path)]
    return next(iter(whole or there), None)


def _lesion(case: Case, own: LesionFiles, image: Path) -> Lesion:
    return Lesion(
        type=case.kind,
        pathology=case.pathology,
        birads=case.assessment,
        box=own.box,
        mask="" if own.mask is None else relative_to_image(own.mask, image),
        size=own.size,
        note="; ".join(filter(None, (case.appearance, own.problem))),
    )


def _flag_skewed(each: Candidate, check: FileCheck, skewed: list[str]) -> str:
    size = check.header.size
    for index, lesion in enumerate(each.lesions):
        if size is None or lesion.size is None:
            continue
        across, down = size[0] / lesion.size[0], size[1] / lesion.size[1]
        if abs(across / down - 1) > _NON_UNIFORM:
            note = "; ".join(filter(None, (lesion.note, "mask of another shape than the film")))
            each.lesions[index] = Lesion(**{**vars(lesion), "note": note})
            skewed.append(lesion.mask)
    return ""


def _recognise(tree: Tree) -> str:
    tables = case_tables(tree)
    return f"case tables of CBIS-DDSM: {', '.join(path.name for path in tables)}" if tables else ""


IMPORTER = Importer(
    "cbis-ddsm",
    "CBIS-DDSM with its case tables: DICOM from TCIA (NBIA or classical tree, or PNG copies of it), or Kaggle's JPEG folders",
    {
        "lesions": "both (default), mass or calc: which tables are read",
        "image": "full (default): whole films; crop: the crops around lesions instead, a row a lesion",
        "boxes": "yes (default): masks are decoded for the lesions' boxes; no: their files are named only, which is faster",
        **options_of(_RULES, official=True),
    },
    import_cbis,
    _recognise,
)
