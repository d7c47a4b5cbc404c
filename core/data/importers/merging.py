"""Merging of rows about the same image: published tables have one row per lesion."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.data.identity import spelling
from core.data.importers.differing import Differing
from core.data.lesions import lesion_boxes, number_lists
from core.data.manifest import EXCLUDED, TRUTH, excludes, number
from core.data.tables import shown
from core.errors import BadManifest
from core.images.dicom.reader import years_of
from core.wording import counted, first_few

_LISTS = {"lesions": 4, "lesion_circles": 3}  # numbers in each entry
OLDEST = 120  # years: an age above is a mistake, or stands for one that is not known (999)
_OF_THE_IMAGE = ("age", "density", "scanner", "exam_id")  # the same in all rows of an image; a lesion has none of its own
_BY_FILE = ("lesion_masks",)  # entries with | between


@dataclass
class TableRow:
    """One row: `label` is "" where its word has no meaning; `patient` comes from `rule` ("" for nowhere yet)."""

    line: int
    path: str
    label: str
    patient: str
    rule: str
    laterality: str
    view: str
    split: str
    extra: dict[str, str] = field(default_factory=dict)
    refusal: str = ""  # why its label is none


@dataclass(frozen=True)
class Merged:
    """`rows`: one an image, in the table's order; `rejected`: (line, reason); `notes`: what the merging decided."""

    rows: list[TableRow]
    rejected: list[tuple[int, str]]
    notes: list[str]


def same_file(path: str) -> object:
    """Equal for every spelling of one file: through links, in other capitals where they do not count, with .. in between."""
    try:
        found = os.stat(path)  # noqa: PTH116  half a million of them
    except (OSError, ValueError):
        return os.path.normcase(path)
    return (found.st_dev, found.st_ino) if found.st_ino else os.path.normcase(os.path.realpath(path))


def merge(rows: Sequence[TableRow]) -> Merged:
    """An image with any malignant row is malignant, one with any unlabelled row else unlabelled. Images whose rows contradict
    each other otherwise are left out."""
    groups: defaultdict[object, list[TableRow]] = defaultdict(list)
    for row in rows:
        groups[same_file(row.path)].append(row)
    kept: list[TableRow] = []
    rejected: list[tuple[int, str]] = []
    merged = mixed = 0
    unclear: list[str] = []
    differing = Differing()
    for group in groups.values():
        reason = _contradiction(group)
        if reason:
            rejected += [(row.line, reason) for row in group]
            continue
        one = _one(group, unclear, differing)
        kept.append(one)
        merged += len(group) > 1
        mixed += len({row.label for row in group}) > 1
        why = _why(group, one.label)
        rejected += [(row.line, f"the same image as line {one.line}: one row per image, {why}") for row in group[1:]]
    notes = []
    if merged:
        notes.append(
            f"{counted(merged, 'image has', 'images have')} several rows (a row a lesion): an image with any malignant row "
            "is malignant" + (f"; {mixed} of them {'has' if mixed == 1 else 'have'} malignant and other rows" if mixed else "")
        )
    if unclear:
        notes.append(f"images whose rows name different sides or views have neither: {first_few(unclear, 5)}")
    notes += differing.notes("that of the first malignant row is taken, else the first")
    return Merged(kept, sorted(rejected), notes)


def _why(group: Sequence[TableRow], label: str) -> str:
    if all(row.label == label for row in group):
        return f"which is {label or 'unlabelled'} in each of them"
    if not label:
        return "which is unlabelled because one of them is"
    because = next(row.line for row in group if row.label == label)
    return f"which is {label} because line {because} is"


def _contradiction(group: Sequence[TableRow]) -> str:
    """Why no image can be made of these rows, or ""."""
    first = group[0]
    lines = " and ".join(str(row.line) for row in group[:5])
    if not any(row.label == "malignant" for row in group):
        unknown = next((row for row in group if row.refusal), None)
        if unknown is not None:
            other = f"; the same image is benign in line {first.line}" if first.label else ""
            return f"{unknown.refusal}{other}"
    patients = list(dict.fromkeys(row.patient for row in group if row.patient))
    if len({spelling(patient) for patient in patients}) > 1:
        return f"lines {lines} are the same image under different patients ({', '.join(map(shown, patients[:3]))})"
    splits = list(dict.fromkeys(row.split for row in group if row.split))
    if len(splits) > 1:
        return f"lines {lines} are the same image in different splits ({', '.join(splits)})"
    return ""


def _one(group: Sequence[TableRow], unclear: list[str], differing: Differing) -> TableRow:
    worst = sorted(group, key=lambda row: row.label != "malignant")  # stable: the first malignant row, or the first
    named = next((row for row in group if row.patient), group[0])
    sides = {row.laterality for row in group} - {""}
    views = {row.view for row in group} - {""}
    if len(sides) > 1 or len(views) > 1:
        unclear.append(Path(group[0].path).name)
    extra: dict[str, str] = {}
    for name in group[0].extra:
        values = [row.extra[name] for row in worst if row.extra[name]]
        if name.lower() in _LISTS:
            extra[name] = _joined(values)
        elif name.lower() == EXCLUDED:  # by any of its rows
            extra[name] = next(filter(excludes, values), "")
        elif name.lower() in _BY_FILE:
            extra[name] = "|".join(dict.fromkeys(values))
        elif name.lower() in _OF_THE_IMAGE:
            extra[name] = differing.first(name.lower(), Path(group[0].path).name, values)
        else:
            extra[name] = values[0] if values else ""
    return TableRow(
        line=group[0].line,
        path=group[0].path,
        label=worst[0].label if all(row.label for row in group) or worst[0].label == "malignant" else "",
        patient=named.patient,
        rule=named.rule,
        laterality=sides.pop() if len(sides) == 1 else "",
        view=views.pop() if len(views) == 1 else "",
        split=next((row.split for row in group if row.split), ""),
        extra=extra,
    )


def _joined(cells: Sequence[str]) -> str:
    entries: list[Any] = []
    for cell in dict.fromkeys(cells):
        entries += [entry for entry in json.loads(cell) if entry not in entries]
    return json.dumps(entries) if entries else ""


def sound(name: str, cell: str) -> str:
    """The cell as a manifest takes it, or "" where it would not: ages that are none, lesions that are no list of boxes."""
    name = name.lower()
    if name == "age":
        return _age(cell)
    if name == "lesions":
        return cell if boxes_or_none(cell) is not None else ""
    if name in _LISTS:
        return cell if number_lists(cell, _LISTS[name]) is not None else ""
    if name == "synthetic":
        return cell if cell.lower() in TRUTH else ""
    return cell


def _age(cell: str) -> str:
    """Years as text, also of a DICOM age (045Y, 006M), or "" where it is none from 0 to OLDEST."""
    dicom = years_of(cell)
    years = number(cell) if dicom is None else dicom
    if years is None or not 0 <= years <= OLDEST:
        return ""
    return cell if dicom is None else f"{years:g}"


def boxes_or_none(cell: str) -> list[tuple[float, float, float, float]] | None:
    """The lesion boxes in a cell, or None when it holds something else."""
    try:
        return lesion_boxes({"lesions": cell})
    except BadManifest:
        return None
