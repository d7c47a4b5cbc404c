"""`folder`: {train,val,test}/{benign,malignant}/..., {benign,malignant}/{train,val,test}/... or {benign,malignant}/..., any
formats, any depth below.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
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
from core.data.importers.file_names import patient_offers, split_name
from core.data.importers.folder_walk import Walk, is_clutter, is_folder, walk
from core.data.importers.masks import says_mask, with_their_image
from core.data.importers.merging import same_file
from core.data.importers.vocabulary import split_of
from core.data.manifest import LABELS
from core.errors import BadManifest, UnreadableImage
from core.images.files import format_of_file
from core.wording import counted

_LAYOUT = "expected {train,val,test}/{benign,malignant}/ (any of the splits) or {benign,malignant}/"
_USUAL = {"benign": ("benign",), "malignant": ("malignant", "cancer")}
_MOST_COUNTED = 10_000  # files of a folder that is left alone


@dataclass(frozen=True)
class _File:
    path: Path
    inside: str  # posix path from the class folder
    outer: str  # split of a folder above the class folder
    inner: str  # split of a folder below it
    label: str

    @property
    def split(self) -> str:
        return self.outer or self.inner


@dataclass
class _Found:
    """What lies below the source: files of the class folders, and everything beside them."""

    files: list[_File] = field(default_factory=list)
    walks: list[Walk] = field(default_factory=list)
    alone: list[str] = field(default_factory=list)  # folders that are left alone
    contrary: list[tuple[str, str]] = field(default_factory=list)  # files in folders of both labels, with the reason
    loose: list[Path] = field(default_factory=list)  # files in folders where class folders are
    splits: dict[str, str] = field(default_factory=dict)  # by the name of the folder, where that is another
    folders: list[tuple[Path, str, str]] = field(default_factory=list)  # class folder, split above it, label


def import_folder(source: Path, options: Options, progress: Progress | None) -> ImportReport:
    """Labels and splits from folder names; patients from a pattern, DICOM headers, or file names, in this order."""
    pattern = options.pattern("patient_pattern")
    verify = options.choice("verify", ("auto", "all", "header"))
    masks = options.choice("masks", ("leave", "import"))
    labels = _labels(options)
    if not source.is_dir():
        raise BadManifest(f"{source}: {_LAYOUT}, got a file. Name the folder above those.")
    tick = ticking(progress)
    found = _find(source, labels, tick)
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
    if found.contrary:
        notes.append(
            f"warning: {counted(len(found.contrary), 'file lies', 'files lie')} in a folder of one label inside a folder of "
            "the other, so nobody knows "
            "which is right: they were left out"
        )
    if found.splits:
        notes.append(f"splits: {', '.join(f'{name} is {split}' for name, split in found.splits.items())}")
    notes += [*mask_notes, *_beside(found, rejected), *_unused(options, labels, found)]
    if pattern is not None:
        doubt = "" if rules["pattern"] else "warning: "
        notes.append(f"{doubt}patient_pattern matches {rules['pattern']} of {len(rows)} images")
    return ImportReport(rows_to_frame(rows), notes, sorted(rejected))


def _labels(options: Options) -> dict[str, str]:
    """Label by name of folder, in lower case; what an option names wins over what is usual."""
    given = {label: [word.lower() for word in options.words(label)] for label in LABELS}
    both = sorted(set(given["benign"]) & set(given["malignant"]))
    if both:
        raise BadManifest(f"importer folder: options benign and malignant both name {', '.join(both)}")
    usual = {word: label for label, words in _USUAL.items() if not given[label] for word in words}
    return usual | {word: label for label, words in given.items() for word in words}


def _find(source: Path, labels: dict[str, str], tick: Callable[[], None] | None) -> _Found:
    found = _Found()
    above: list[tuple[Path, str, str]] = []  # class folders below a split
    top: list[tuple[Path, str, str]] = []
    for child in _folders(source, found):
        name = child.name.lower()
        split = split_of(child.name)
        if name in labels:
            top.append((child, "", labels[name]))
        elif split:
            if child.name.lower() != split:
                found.splits[child.name] = split
            for inner in _folders(child, found):
                if inner.name.lower() in labels:
                    above.append((inner, split, labels[inner.name.lower()]))
                else:
                    found.alone.append(f"{child.name}/{inner.name}")
        else:
            found.alone.append(child.name)
    if above and top:
        raise BadManifest(
            f"{source}: {_LAYOUT}, got both ({above[0][0].relative_to(source).as_posix()} and {top[0][0].name}). "
            "Import them one at a time."
        )
    if not above and not top:
        there = ", ".join(found.alone[:10]) or "no folder at all"
        raise BadManifest(f"{source}: {_LAYOUT}, got {there}. {_meant(source, found.alone, labels)}")
    found.folders = above or top
    for class_folder, outer, label in found.folders:
        walked = walk(class_folder, tick)
        found.walks.append(walked)
        for path in walked.files:
            inside = path.relative_to(class_folder)
            other = next((part for part in inside.parent.parts if labels.get(part.lower(), label) != label), "")
            if other:
                reason = f"{path.name}: the folder {class_folder.name} says {label}, {other} in it says {labels[other.lower()]}"
                found.contrary.append((str(path), f"{reason}. Move it to the folder of its label"))
                continue
            below = next(filter(None, map(split_of, inside.parent.parts)), "")
            found.files.append(_File(path, inside.as_posix(), outer, below, label))
    return found


def _folders(path: Path, found: _Found) -> list[Path]:
    """The folders directly in a folder; what else lies there is noted."""
    try:
        there = sorted(path.iterdir())
    except OSError as error:
        raise BadManifest(f"{path}: this folder cannot be read: {error.strerror or error}. Check its permissions.") from error
    folders = [child for child in there if is_folder(child) and not is_clutter(child, folder=True)]
    found.loose += [child for child in there if not is_folder(child) and not is_clutter(child, folder=False)]
    return folders


def _meant(source: Path, names: Sequence[str], labels: dict[str, str]) -> str:
    """What the user may have meant, as a question: folders that hold the words, or a folder further down."""
    inner = [name.rpartition("/")[2] for name in names]
    words: dict[str, list[str]] = {
        "benign": [name for name in inner if "benign" in name.lower()],
        "malignant": [name for name in inner if "malig" in name.lower() or "cancer" in name.lower()],
    }
    if all(words.values()) and not set(words["benign"]) & set(words["malignant"]):
        options = " ".join(f'{label}="{",".join(dict.fromkeys(found))}"' for label, found in words.items())
        return f"Did you mean the options {options}?"
    if {"0", "1"} <= set(inner):
        return "If 0 means benign and 1 malignant, say so: options benign=0 malignant=1."
    for name in names:
        below = source / name
        if any(is_folder(child) and (child.name.lower() in labels or split_of(child.name)) for child in _listed(below)):
            return f"Did you mean {below}?"
    return "Other folder names: options benign and malignant."


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _once(files: Sequence[_File]) -> tuple[list[_File], list[tuple[str, str]]]:
    """Each file once, however many links lead to it; none where they contradict each other."""
    groups: defaultdict[object, list[_File]] = defaultdict(list)
    for file in files:
        groups[same_file(str(file.path))].append(file)
    kept: list[_File] = []
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
    kept: list[tuple[_File, FileCheck]], rejected: list[tuple[str, str]], masks: str
) -> tuple[list[tuple[_File, FileCheck]], list[str]]:
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
        notes.append(f"warning: all {len(kept)} images have two grey levels only, as masks have: are they mammograms?")
    doubtful = [path.name for path, reason in zip(paths, reasons, strict=True) if not reason and says_mask(path)]
    if doubtful:
        more = f" and {len(doubtful) - 5} more" if len(doubtful) > 5 else ""
        notes.append(
            f"warning: {counted(len(doubtful), 'image has', 'images have')} a word for a mask or a part in the path and "
            f"{'was' if len(doubtful) == 1 else 'were'} taken for images: "
            f"{', '.join(doubtful[:5])}{more}"
        )
    return [pair for pair, reason in zip(kept, reasons, strict=True) if not reason], notes


def _rows(kept: Sequence[tuple[_File, FileCheck]], patients: Sequence[str]) -> tuple[list[dict[str, Any]], Counter[str]]:
    names = {file.path: split_name(file.path.stem) for file, _ in kept}
    shared = {parts.patient for parts in names.values() if parts.stripped and parts.patient}
    rules: Counter[str] = Counter()
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
        rows.append(row | ({"synthetic": True} if meta.synthetic else {}))
    return rows, rules


def _alone(file: _File) -> str:
    """A patient for a file of which nobody is known: with its folders, because 1.png of benign/ and of malignant/ are hardly
    the same person.
    """
    inside = file.inside.rpartition(".")[0] or file.inside
    return "/".join(part for part in (file.outer, file.label, inside) if part)


def _without_split(file: _File) -> str:
    return "/".join(part for part in file.inside.split("/") if part == PurePath(file.inside).name or not split_of(part))


def _split_notes(files: Sequence[_File]) -> list[str]:
    notes = []
    inner = sum(bool(file.inner and not file.outer) for file in files)
    if inner:
        notes.append(f"the split of {counted(inner, 'image')} was taken from folders below the label's (train, val, test)")
        rest = sum(not file.split for file in files)
        if rest:
            notes.append(
                f"warning: {counted(rest, 'image is', 'images are')} in no split folder, the others are: a training refuses "
                "that. Move them, or empty "
                "the split column"
            )
    against = sum(bool(file.outer and file.inner and file.outer != file.inner) for file in files)
    if against:
        notes.append(
            f"warning: {counted(against, 'image is', 'images are')} in a split folder "
            "below another split's: the outer one was taken"
        )
    return notes


def _beside(found: _Found, rejected: list[tuple[str, str]]) -> list[str]:
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
        more = f" and {len(others) - 5} more" if len(others) > 5 else ""
        notes.append(
            f"{counted(len(others), 'file')} beside the folders "
            f"{'is no image' if len(others) == 1 else 'are no images'}: {', '.join(others[:5])}{more}"
        )
    if found.alone:
        notes.append(f"folders that name neither a split nor a label were left alone: {', '.join(_counted(found))}")
    return notes


def _counted(found: _Found) -> list[str]:
    """The folders that were left alone, with how many files they hold."""
    top = found.folders[0][0].parent
    source = top.parent if found.folders[0][1] else top
    result = []
    for name in found.alone:
        left = _MOST_COUNTED

        def tick() -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise _Enough

        try:
            count = counted(len(walk(source / name, tick).files), "file")
        except _Enough:
            count = "very many files"
        result.append(f"{name} ({count})")
    return result


class _Enough(Exception):
    """More folders than anybody wants counted."""


def _unused(options: Options, labels: dict[str, str], found: _Found) -> list[str]:
    """Names of label folders that were asked for and are nowhere."""
    there = {folder.name.lower() for folder, _, _ in found.folders}
    asked = [word for label in ("benign", "malignant") for word in options.words(label)]
    missing = [word for word in asked if word.lower() not in there]
    if missing:
        return [f"warning: no folder is called {', '.join(missing)} (options benign and malignant)"]
    absent = [label for label in ("benign", "malignant") if label not in {label for _, _, label in found.folders}]
    return [f"warning: there is no folder with {label} images" for label in absent]


IMPORTER = Importer(
    "folder",
    "Folders named after the label: {train,val,test}/{benign,malignant} or {benign,malignant}, with splits below or none",
    {
        "patient_pattern": "regular expression searched in each file's path below the label folder; its group named patient, "
        "or the first one, is the patient. Where it matches, it wins over the patient in a DICOM header: a set of DICOM files "
        "that all name their patient does not need it, a mixed one does",
        "benign": "names of folders with benign images, commas between (default: benign)",
        "malignant": "names of folders with malignant images, commas between (default: malignant,cancer)",
        "masks": "leave (default): files that are masks by their names or grey levels are left out; import: taken in",
        "verify": VERIFY,
    },
    import_folder,
)
