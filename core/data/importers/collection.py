"""What importers of published collections share: candidates are checked, labelled by a rule, and given the official split,
repaired so that no patient is on two sides.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from core.data.importers.base import VERIFY, FileCheck, ImportReport, Options, Progress, check_files, rows_to_frame, ticking
from core.data.importers.differing import Differing
from core.data.importers.tree import IMAGES, Tree
from core.data.importers.vocabulary import split_of
from core.data.label_rules import RULES, rule_named, worst_grade
from core.data.lesions import Lesion, lesions_text
from core.data.manifest import SPLITS
from core.wording import counted, first_few

OFFICIAL = "repaired (default): the official split, patients in two parts of it in train only; official: as published; none"
DENSITY = {"1": "A", "2": "B", "3": "C", "4": "D"} | {letter: letter for letter in "ABCD"}


# What all rows of an image must agree on, and what is taken from the first row that says it.
_ONE_OF = {"patient_id": "patients", "laterality": "sides", "view": "views"}
_FIRST = ("age", "density")


@dataclass
class Candidate:
    """An image that may come into the manifest: `row` holds columns of it, all but path and label."""

    path: Path
    row: dict[str, Any]
    lesions: list[Lesion] = field(default_factory=list)


@dataclass
class Collection:
    """One import of a collection. What is left out, repaired or cannot be known is collected here, with the reason."""

    name: str
    options: Options
    progress: Progress | None
    tree: Tree
    rejected: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    repairs: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    contrary: list[str] = field(default_factory=list)  # images whose rows name several BI-RADS categories
    differing: Differing = field(default_factory=Differing)

    @classmethod
    def begin(cls, name: str, source: Path, options: Options, progress: Progress | None) -> Collection:
        """List the folder; what cannot be listed is left out with its reason."""
        tree = Tree.of(source, ticking(progress), options.require)
        return cls(name, options, progress, tree, tree.walked.rejected(), tree.walked.notes())

    def reject(self, what: object, reason: str) -> None:
        """Leave something out."""
        self.rejected.append((str(what), reason))

    def patient(self, identifier: str) -> str:
        """A patient's identifier, which no other collection has."""
        return f"{self.name}:{identifier}"

    def worst(self, image: str, grades: Sequence[str]) -> str:
        """The cell with the highest BI-RADS category of an image's rows; categories that differ are counted."""
        known = sorted({grade: worst_grade(grade) or 0 for grade in grades if grade}.items(), key=lambda each: -each[1])
        if len({category for _, category in known}) > 1:
            self.contrary.append(image)
        return known[0][0] if known else ""

    def images_by(self, key: Callable[[Path], str], otherwise: Callable[[Path], str]) -> dict[str, Path]:
        """Images by what `key` makes of their path, the DICOM file where there are copies of it; `otherwise`: why an image
        without a key ("") is left out."""
        files: dict[str, Path] = {}
        for path in sorted(self.tree.images, key=lambda path: (IMAGES.index(path.suffix.lower()), path)):
            name = key(path)
            if not name:
                self.reject(path, otherwise(path))
            elif name in files:
                self.reject(path, f"the same image as {files[name]}")
            else:
                files[name] = path
        return files

    def finish(
        self,
        candidates: Sequence[Candidate],
        rule: str,
        complete: Callable[[Candidate, FileCheck], str] | None = None,
    ) -> ImportReport:
        """Check the files, and make rows of those that can be read.

        Args:
            rule: of the labels, where the option `rule` names no other.
            complete: fills in what the header of a file says; a text that it returns leaves the file out, with it as reason.
        """
        chosen = rule_named(self.options.text("rule") or rule)
        verify = self.options.choice("verify", ("auto", "all", "header"))
        candidates = self._consistent(candidates)
        paths = list(dict.fromkeys(each.path for each in candidates))
        results, how = check_files(paths, verify, self.progress, self.options.require)
        checked = dict(zip(paths, results, strict=True))
        kept: list[Candidate] = []
        clamped: Counter[str] = Counter()
        for each in candidates:
            found = checked[each.path]
            reason = found.reason or (complete(each, found) if complete else "")
            if reason:
                self.reject(each.path, reason)
                continue
            _fill(each.row, found)
            placed = [_placed(lesion, found.header.size, clamped) for lesion in each.lesions]
            each.lesions = _once_each(placed)
            clamped["listed twice: once in the manifest"] += len(placed) - len(each.lesions)
            kept.append(each)
        self._set_splits(kept)
        rows: list[dict[str, Any]] = []
        for each in kept:
            words = {name: "" if value is None else str(value) for name, value in each.row.items()}
            made = {"path": str(each.path), "label": chosen.label(words), **each.row, "lesions": lesions_text(each.lesions)}
            made |= {"collection": self.name, "label_source": chosen.source, "label_rule": chosen.name}
            rows.append(made)
        rows = self._once(rows)
        if self.contrary:
            self.repairs.append(
                f"{counted(len(self.contrary), 'image has', 'images have')} rows with several BI-RADS categories: the highest "
                f"is taken ({first_few(self.contrary, 5)})"
            )
        if clamped:
            self.repairs += [f"{counted(count, 'lesion')} {what}" for what, count in sorted(clamped.items()) if count]
        self.repairs += self.differing.notes()
        if chosen.source == "birads" and rows:
            self.unknown.append("pathology is not published: malignant and benign here are BI-RADS assessments, not diagnoses")
        notes = [f"labels: rule {chosen.name} ({chosen.description})", how, *self.notes]
        return ImportReport(rows_to_frame(rows), notes, self.rejected, self.repairs, self.unknown)

    def _consistent(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Without images whose rows name several patients, sides or views; of several ages or densities the first."""
        grouped: defaultdict[Path, list[Candidate]] = defaultdict(list)
        for each in candidates:
            grouped[each.path].append(each)
        kept = []
        for path, own in grouped.items():
            if len(own) > 1:
                words = {what: {str(each.row.get(name) or "") for each in own} - {""} for name, what in _ONE_OF.items()}
                several = {what: found for what, found in words.items() if len(found) > 1}
                if several:
                    said = " and ".join(f"{what} ({', '.join(sorted(found))})" for what, found in several.items())
                    self.reject(path, f"its rows name several {said}. Correct the table")
                    continue
                for name in _FIRST:
                    first = self.differing.first(name, path.name, [str(each.row.get(name) or "") for each in own])
                    for each in own:
                        each.row |= {name: first} if name in each.row else {}
            kept += own
        return kept

    def _once(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """A row an image, the worst of several."""
        grouped: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in rows:
            grouped[row["path"]].append(row)
        made, several = [], []
        for path, own in grouped.items():
            for _ in own[1:]:
                self.reject(path, "the same image as a row above")
            if len({row["label"] for row in own}) > 1:
                several.append(Path(path).name)
            made.append(max(own, key=lambda row: ("", "benign", "malignant").index(row["label"])))
        if several:
            self.repairs.append(
                f"{counted(len(several), 'image has', 'images have')} rows with several labels: the worst is taken "
                f"({first_few(several, 5)})"
            )
        return made

    def _set_splits(self, kept: Sequence[Candidate]) -> None:
        """The column `split` from `split_official` (words with commas between, where an image is in several)."""
        how = self.options.choice("split", ("repaired", "official", "none"))
        if how == "none" or not any(each.row.get("split_official") for each in kept):
            return
        named = [_splits(str(each.row.get("split_official", ""))) for each in kept]
        of_patient: defaultdict[str, set[str]] = defaultdict(set)
        for each, splits in zip(kept, named, strict=True):
            of_patient[each.row["patient_id"]] |= set(splits)
        several = {patient for patient, splits in of_patient.items() if len(splits) > 1}
        assigned: defaultdict[str, set[str]] = defaultdict(set)
        moved = both = 0
        repaired = (
            ", with all images of patients in several parts of it moved to train" if several and how == "repaired" else ""
        )
        for each, splits in zip(kept, named, strict=True):
            each.row["official_split"] = "" if repaired else "true"
            each.row["split_origin"] = f"the official split of the data set{repaired}"  # one text for all: a run records it
            official = splits[-1] if splits else ""  # of an image in both train and test: test, whole as published
            if each.row["patient_id"] not in several or how == "official":
                each.row["split"] = official
                assigned[each.row["patient_id"]] |= {official} - {""}
                both += len(splits) > 1
                continue
            each.row["split"] = first = next(split for split in SPLITS if split in of_patient[each.row["patient_id"]])
            moved += first not in splits
            both += len(splits) > 1
        if several and how == "repaired":
            self.repairs.append(
                f"{counted(len(several), 'patient')} stood in several parts of the official split: all their images are in "
                f"train now; {counted(moved, 'image')} moved there, {counted(both, 'image')} stood in both parts"
            )
        elif several:
            leaking = sum(len(splits) > 1 for splits in assigned.values())
            if both:  # twins of one film: joined, they stand in one part and leak nothing
                self.repairs.append(
                    f"{counted(both, 'image')} stood in several parts of the official split: kept once, in the last of them"
                )
            if leaking:
                self.notes.append(
                    f"warning: split=official leaves {counted(leaking, 'patient')} in several parts of the split: leakage. A "
                    "training refuses this; use split=repaired"
                )


def relative_to_image(file: Path, image: Path) -> str:
    """A file as a lesion names it: from the image's folder, so that both can be moved together."""
    try:
        return Path(os.path.relpath(file, image.parent)).as_posix()
    except ValueError:  # another drive of Windows
        return file.as_posix()


def options_of(rules: Sequence[str], *, official: bool = False) -> dict[str, str]:
    """The options that every importer of a collection has, with the rules that suit it, the default first."""
    words = "; ".join(f"{name}{' (default)' if name == rules[0] else ''}: {RULES[name].description}" for name in rules)
    return {"rule": words, **({"split": OFFICIAL} if official else {}), "verify": VERIFY}


def _splits(words: str) -> list[str]:
    found = {split for word in words.split(",") if (split := split_of(word))}
    return [split for split in SPLITS if split in found]


def _fill(row: dict[str, Any], found: FileCheck) -> None:
    """What the header says where the tables are silent."""
    meta, dicom = found.meta, found.header.dicom
    says = {
        "laterality": meta.laterality,
        "view": meta.view,
        "scanner": f"{meta.manufacturer} {meta.model_name}".strip(),
        "age": "" if dicom is None or dicom.age is None else f"{dicom.age:g}",
    }
    for name, value in says.items():
        if value and not row.get(name):
            row[name] = value


def _placed(lesion: Lesion, size: tuple[int, int] | None, clamped: Counter[str]) -> Lesion:
    """The lesion in pixels of the file, within the image; what had to be changed is counted."""
    if size is not None:
        lesion = lesion.scaled(*size)
    edge = size or lesion.size
    if edge is None:
        return lesion
    if lesion.polygon and _outside(lesion, *edge):
        lesion = replace(lesion, polygon=())
        clamped["outside of the image: the outline was dropped"] += 1
    cut = lesion.clamped(*edge)
    if lesion.box is not None and cut.box is None:
        clamped["outside of the image: the box was dropped"] += 1
    elif cut != lesion:
        clamped["reaching over the image's edge: cut there"] += 1
    return replace(cut, size=edge if cut.box is not None or cut.polygon else cut.size)


def _once_each(lesions: Sequence[Lesion]) -> list[Lesion]:
    """Without repetitions; two without a place may well be two."""
    return [
        lesion
        for at, lesion in enumerate(lesions)
        if not (lesion.box or lesion.polygon or lesion.mask) or lesion not in lesions[:at]
    ]


def _outside(lesion: Lesion, width: int, height: int) -> bool:
    """Whether an image of this size holds nothing of the outline."""
    across, down = zip(*lesion.polygon, strict=True)
    return max(across) < 0 or max(down) < 0 or min(across) >= width or min(down) >= height
