"""`folder`: {train,val,test}/{benign,malignant}/..., {benign,malignant}/{train,val,test}/... or {benign,malignant}/..., any
formats, any depth below.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any

from core.data.importers.base import (
    VERIFY,
    FileCheck,
    Importer,
    ImportReport,
    Options,
    Progress,
    check_files,
    patient_notes,
    rows_to_frame,
    ticking,
)
from core.data.importers.class_folders import is_class, labels_by_folder, likely_label
from core.data.importers.file_names import original_of_copy, patient_offers, split_name
from core.data.importers.folder_layout import LAYOUT, FoundFolders, LabelledFile, counted_alone, find_files
from core.data.importers.folder_walk import Walk
from core.data.importers.masks import says_mask, with_their_image
from core.data.importers.merging import same_file
from core.data.importers.tree import Tree
from core.data.importers.vocabulary import split_of
from core.errors import BadManifest, UnreadableImage
from core.images.files import format_of_file
from core.wording import counted, first_few


def import_folder(source: Path, options: Options, progress: Progress | None) -> ImportReport:
    """Labels and splits from folder names; patients from a pattern, DICOM headers, or file names, in this order."""
    pattern = options.pattern("patient_pattern")
    verify = options.choice("verify", ("auto", "all", "header"))
    masks = options.choice("masks", ("leave", "import"))
    labels = labels_by_folder(options)
    if not source.is_dir():
        raise BadManifest(f"{source}: {LAYOUT}, got a file. Name the folder above those.")
    tick = ticking(progress)
    found = find_files(source, labels, tick)
    files, rejected = _once(found.files)
    rejected += found.contrary
    checked, how = check_files([file.path for file in files], verify, progress, options.require)
    rejected += [(str(file.path), check.reason) for file, check in zip(files, checked, strict=True) if check.reason]
    kept = [(file, check) for file, check in zip(files, checked, strict=True) if not check.reason]
    kept, mask_notes = _without_masks(kept, rejected, masks)
    patients = pattern.find([file.inside for file, _ in kept], tick) if pattern else [""] * len(kept)
    rows, rules = _rows(kept, patients)
    notes = [
        how,
        *_split_notes([file for file, _ in kept]),
        *patient_notes(rules, len(rows), "give patient_pattern if the names hold the patient"),
    ]
    alone = [_without_split(file) for (file, _), row in zip(kept, rows, strict=True) if row["patient_id"] == _alone(file)]
    notes += patient_offers(alone) if rules["alone"] else []
    notes += _copy_notes(rows)
    if found.contrary:
        notes.append(
            f"warning: {counted(len(found.contrary), 'file lies', 'files lie')} in a folder of one label inside a folder of "
            "the other, so nobody knows which is right: they were left out"
        )
    if found.splits:
        notes.append(f"splits: {', '.join(f'{name} is {split}' for name, split in found.splits.items())}")
    notes += [*mask_notes, *_beside(found, rejected), *_unused(options, labels, found)]
    if pattern is not None:
        doubt = "" if rules["pattern"] else "warning: "
        notes.append(f"{doubt}patient_pattern matches {rules['pattern']} of {counted(len(rows), 'image')}")
    return ImportReport(rows_to_frame(rows), notes, sorted(rejected))


def _once(files: Sequence[LabelledFile]) -> tuple[list[LabelledFile], list[tuple[str, str]]]:
    """Each file once, however many links lead to it; none where they contradict each other."""
    groups: defaultdict[object, list[LabelledFile]] = defaultdict(list)
    for file in files:
        groups[same_file(str(file.path))].append(file)
    kept: list[LabelledFile] = []
    rejected: list[tuple[str, str]] = []
    for group in groups.values():
        first = group[0]
        if len({(file.label, file.split) for file in group}) == 1:
            kept.append(first)
            rejected += [(str(file.path), f"the same file as {first.path}") for file in group[1:]]
            continue
        where = ", ".join("/".join(filter(None, (file.split, file.label))) for file in group)
        rejected += [(str(file.path), f"the same file stands in places that contradict each other: {where}") for file in group]
    return kept, rejected


def _without_masks(
    kept: list[tuple[LabelledFile, FileCheck]], rejected: list[tuple[str, str]], masks: str
) -> tuple[list[tuple[LabelledFile, FileCheck]], list[str]]:
    """The images without what is a mask of one; what is left out goes to `rejected`."""
    paths = [PurePath(file.inside) for file, _ in kept]
    paired = with_their_image(paths)
    some = any(not check.two_levels for _, check in kept)  # where all are so, they are what there is to learn from
    reasons = [
        "its name says that it is a mask, and the image it belongs to is there"
        if is_paired
        else "it has two grey levels only, as a mask has"
        if check.two_levels and some
        else ""
        for is_paired, (_, check) in zip(paired, kept, strict=True)
    ]
    count = sum(map(bool, reasons))
    if count and masks == "import":
        seen = counted(count, "file looks like a mask", "files look like masks")
        imported = "was imported" if count == 1 else "were imported"
        return kept, [f"warning: {seen} (by their names or grey levels) and {imported}: masks=import"]
    rejected += [
        (str(file.path), f"{file.path.name}: {reason} (masks=import takes it in all the same)")
        for (file, _), reason in zip(kept, reasons, strict=True)
        if reason
    ]
    seen = counted(count, "file looks like a mask and was", "files look like masks and were")
    notes = [f"warning: {seen} left out (masks=import takes them in)"] if count else []
    if kept and not some:
        seen = "the only image has" if len(kept) == 1 else f"all {counted(len(kept), 'image')} have"
        notes.append(f"warning: {seen} two grey levels only, as masks have: mammograms have more")
    doubtful = [path.name for path, reason in zip(paths, reasons, strict=True) if not reason and says_mask(path)]
    if doubtful:
        notes.append(
            f"warning: {counted(len(doubtful), 'image has', 'images have')} a word for a mask or a part in the path and "
            f"{'was' if len(doubtful) == 1 else 'were'} taken for images: {first_few(doubtful, 5)}"
        )
    return [pair for pair, reason in zip(kept, reasons, strict=True) if not reason], notes


def _rows(kept: Sequence[tuple[LabelledFile, FileCheck]], patients: Sequence[str]) -> tuple[list[dict[str, Any]], Counter[str]]:
    names = {file.path: split_name(file.path.stem) for file, _ in kept}
    shared = {parts.patient for parts in names.values() if parts.stripped and parts.patient}
    rules: Counter[str] = Counter()
    originals = Counter(original_of_copy(file.path.stem) for file, _ in kept)
    rows = []
    for (file, found), matched in zip(kept, patients, strict=True):
        parts, meta = names[file.path], found.meta
        if matched:
            rule, patient = "pattern", matched
        elif meta.patient:
            rule, patient = "dicom", meta.patient
        elif parts.patient and (parts.stripped or parts.patient in shared):
            rule, patient = "name", parts.patient
        else:
            rule, patient = "alone", _alone(file)
        original = original_of_copy(file.path.stem)
        copied = bool(original) and originals[original] > 1
        if copied and rule == "alone":
            patient = original  # without its folders: copies of one image may lie in two splits
        rules[rule] += 1
        row: dict[str, Any] = {
            "path": str(file.path),
            "label": file.label,
            "patient_id": patient,
            "laterality": meta.laterality or parts.laterality,
            "view": meta.view or parts.view,
            "split": file.split,
            "scanner": f"{meta.manufacturer} {meta.model_name}".strip(),
        }
        row |= {"split_origin": "by the names of its folders"} if file.split else {}
        row |= {"copy_of": original} if copied else {}
        rows.append(row | ({"synthetic": True} if meta.synthetic else {}))
    return rows, rules


def _copy_notes(rows: Sequence[dict[str, Any]]) -> list[str]:
    copies = [row for row in rows if row.get("copy_of")]
    if not copies:
        return []
    images = len({row["copy_of"] for row in copies})
    splits: defaultdict[str, set[str]] = defaultdict(set)
    for row in copies:
        splits[row["copy_of"]].add(row["split"])
    apart = sum(len(found) > 1 for found in splits.values())
    across = ""
    if apart:
        who = counted(apart, "image has", "images have")
        across = f"; {who} copies in several splits: leakage, which a training refuses"
    return [
        f"warning: {counted(len(copies), 'file is', 'files are')} augmented copies of {counted(images, 'image')}, by their "
        f"names (.rf.<hash>, _aug): the copies of an image share a patient{across}"
    ]


def _alone(file: LabelledFile) -> str:
    """A patient for a file of which nobody is known: with its folders, because 1.png of benign/ and of malignant/ are hardly
    the same person.
    """
    inside = file.inside.rpartition(".")[0] or file.inside
    return "/".join(part for part in (file.outer, file.label, inside) if part)


def _without_split(file: LabelledFile) -> str:
    return "/".join(part for part in file.inside.split("/") if part == PurePath(file.inside).name or not split_of(part))


def _split_notes(files: Sequence[LabelledFile]) -> list[str]:
    notes = []
    inner = sum(bool(file.inner and not file.outer) for file in files)
    if inner:
        notes.append(f"the split of {counted(inner, 'image')} was taken from folders below the label's (train, val, test)")
        rest = sum(not file.split for file in files)
        if rest:
            notes.append(
                f"warning: {counted(rest, 'image is', 'images are')} in no split folder, the others are: a training refuses "
                "that. Move them, or empty the split column"
            )
    against = sum(bool(file.outer and file.inner and file.outer != file.inner) for file in files)
    if against:
        notes.append(
            f"warning: {counted(against, 'image is', 'images are')} in a split folder "
            "below another split's: the outer one was taken"
        )
    return notes


def _beside(found: FoundFolders, rejected: list[tuple[str, str]]) -> list[str]:
    """What lies beside the class folders: images without a label go to `rejected`, folders and other files are noted."""
    together = Walk(
        clutter=sum(walked.clutter for walked in found.walks), again=[path for walked in found.walks for path in walked.again]
    )
    rejected += [each for walked in found.walks for each in walked.rejected()]
    others = []
    for path in found.loose:
        try:
            format_of_file(path)
        except UnreadableImage:
            others.append(path.name)
        else:
            rejected.append((str(path), f"{path.name}: in no folder that names a label, so nobody knows what it shows"))
    notes = together.notes()
    unlabelled = len(found.loose) - len(others)
    if unlabelled:
        notes.append(
            f"warning: {counted(unlabelled, 'image lies', 'images lie')} beside the "
            "label folders, left out, for want of a label"
        )
    if others:
        notes.append(
            f"{counted(len(others), 'file')} beside the folders "
            f"{'is no image' if len(others) == 1 else 'are no images'}: {first_few(others, 5)}"
        )
    if found.alone:
        notes.append(f"folders that name neither a split nor a label were left alone: {', '.join(counted_alone(found))}")
        notes += _classes_offer(found)
    return notes


def _classes_offer(found: FoundFolders) -> list[str]:
    """How to take in folders that look like a class and were left alone."""
    likely = {name.rpartition("/")[2]: likely_label(name.rpartition("/")[2]) for name in found.alone}
    likely = {name: label for name, label in likely.items() if label}
    if not likely:
        return []
    every = likely | {folder.name: label for folder, _, label in found.folders}
    option = ",".join(f"{name}={label}" for name, label in sorted(every.items()))
    return [
        f"warning: {first_few(likely, 5)} may be a class too, and nobody has said what it means: to include it, import again "
        f"with --classes {option}"
    ]


def _unused(options: Options, labels: dict[str, str], found: FoundFolders) -> list[str]:
    """Names of label folders that were asked for and are nowhere."""
    there = {folder.name.lower() for folder, _, _ in found.folders}
    asked = [word for label in ("benign", "malignant") for word in options.words(label)]
    asked += [pair.rpartition("=")[0].strip() for pair in options.words("classes")]
    missing = [word for word in asked if word.lower() not in there]
    notes = [f"warning: no folder is called {', '.join(missing)} (options benign, malignant and classes)"] if missing else []
    absent = [label for label in ("benign", "malignant") if label not in {label for _, _, label in found.folders}]
    return notes + [f"warning: there is no folder with {label} images, so there is no {label} image" for label in absent]


def _recognise(tree: Tree) -> str:
    """By the names of folders below the root, or below its splits."""
    names = {tree.inside(path)[depth].lower() for path in tree.images for depth in (0, 1) if len(tree.inside(path)) > depth + 1}
    classes = sorted(name for name in names if is_class(name))
    return f"folders named {', '.join(classes)}" if len(classes) > 1 else ""


IMPORTER = Importer(
    "folder",
    "Folders named after the label: {train,val,test}/{benign,malignant} or {benign,malignant}, with splits below or none",
    {
        "patient_pattern": "regular expression searched in each file's path below the label folder; its group named patient, "
        "or the first one, is the patient. Where it matches, it wins over the patient in a DICOM header: a set of DICOM files "
        "that all name their patient does not need it, a mixed one does",
        "classes": "what folders mean, such as 0=benign,1=malignant; without it the import asks where they are 0 and 1, or "
        "normal",
        "benign": "names of folders with benign images, commas between (default: benign)",
        "malignant": "names of folders with malignant images, commas between (default: malignant,cancer)",
        "masks": "leave (default): files that are masks by their names or grey levels are left out; import: taken in",
        "verify": VERIFY,
    },
    import_folder,
    _recognise,
)
