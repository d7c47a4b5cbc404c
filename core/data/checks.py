"""Checks of a manifest and its files, before a model learns from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from core.config import DataConfig, EvaluationConfig
from core.data.composition import label_from_collection
from core.data.copies.find import one_thread_each
from core.data.copies.store import FingerprintStore
from core.data.duplicates import Duplicate, How, find_duplicates
from core.data.file_inspection import FileInspection, inspect_files
from core.data.identity import nobody_known, patient_doubts, without_patient
from core.data.manifest import LABELS, SPLITS, is_excluded, labelled, left_out_notes, unlabelled_note
from core.data.splits import assign_splits, leaking_patients, patients_written_apart, require_trainable
from core.errors import BadManifest, Leakage
from core.wording import counted, first_few

Kind = Literal[
    "missing_file",
    "unreadable",
    "no_breast",
    "colour",
    "duplicate",
    "duplicate_across_splits",
    "near_duplicate",
    "near_duplicate_across_splits",
    "named_copy",
    "named_copy_across_splits",
    "leakage",
    "patients",
    "patients_unknown",
    "imbalance",
    "composition",
    "collection",
    "missing_split",
    "few_patients",
    "untrainable",
    "unlabelled",
    "excluded",
]

_DUPLICATES: dict[How, tuple[Kind, Kind]] = {
    "file": ("duplicate", "duplicate_across_splits"),
    "pixels": ("duplicate", "duplicate_across_splits"),
    "near": ("near_duplicate", "near_duplicate_across_splits"),
    "name": ("named_copy", "named_copy_across_splits"),
}
_SAME: dict[How, tuple[str, str]] = {
    "file": (" with identical content", " have identical content"),
    "pixels": (" with the same pixels", " have the same pixels"),
    "near": (" that show the same picture", " show the same picture"),
    "name": (" that are copies by their names", " are copies by their names"),
}
FEW_PATIENTS = 10  # with a label, in one split: below this a metric's interval spans most of the scale
RARE_SHARE = 0.1  # of images with the rarer label
_NAMED = 5


@dataclass(frozen=True)
class Problem:
    """One thing found: `rows` are positions in the frame, from 0; empty when it concerns the set as a whole."""

    kind: Kind
    message: str
    rows: tuple[int, ...] = ()


@dataclass(frozen=True)
class CheckReport:
    """`counts` has a row a split and one for all: images, benign, malignant, unlabelled, patients, malignant patients.

    Unlabelled images are counted apart: they are no part of a training or a metric. `ok`: nothing found.
    `leakage`: a patient or copies of an image in two splits; training refuses that.
    `usable`: a training can start, if need be without the missing and unreadable images. Where a split is to be made, it
    is tried with the shares and the seed that the configuration has by default. What forbids it is among the problems.
    """

    problems: list[Problem]
    counts: pd.DataFrame
    ok: bool
    leakage: bool
    usable: bool


def check_manifest(frame: pd.DataFrame, *, progress: Callable[[int, int], None] | None = None) -> CheckReport:
    """Inspect every image of a frame from read_manifest and report everything that is wrong, without changing anything.

    Images that an earlier check has read, and unchanged since, are not read again (core.data.file_inspection), nor compared
    again with one another (core.data.copies).

    Excluded images (column `excluded`) are not looked at: whatever is wrong with them does no harm.

    `progress(done, total)` is called in this thread, first of files, then of images that are compared; an exception it raises
    ends the check.
    """
    away = is_excluded(frame)
    if not away.any():
        return _check(frame, progress)
    places = np.flatnonzero(~away)
    found = _check(frame.iloc[places], progress)
    problems = [replace(problem, rows=tuple(places[list(problem.rows)].tolist())) for problem in found.problems]
    note = Problem("excluded", left_out_notes(frame)[0], tuple(np.flatnonzero(away).tolist()))
    return replace(found, problems=[*problems, note], ok=False)


def _check(frame: pd.DataFrame, progress: Callable[[int, int], None] | None) -> CheckReport:
    with FingerprintStore() as store, one_thread_each():
        files = inspect_files(frame["path"].astype("str").to_list(), progress, seen=store.take)
        contents = ["" if file.reason else file.content_hash for file in files]
        duplicates = find_duplicates(frame, contents, store=store, progress=progress)
    bad = np.array([bool(file.missing or file.unreadable) for file in files], dtype=bool)
    copies = [Problem(_DUPLICATES[each.how][each.across], duplicate_words(each, frame), each.rows) for each in duplicates]
    problems = [*_file_problems(frame, files), *copies, *_leakage(frame), *_patients(frame)]
    unlabelled = np.flatnonzero((frame["label"] == "").to_numpy())
    if len(unlabelled):
        problems.append(Problem("unlabelled", unlabelled_note(frame), tuple(unlabelled.tolist())))
    rest = labelled(frame[~bad])
    problems += [*_split_problems(rest), *_balance(rest), *_composition(rest), *_collection(rest)]
    leakage = any(problem.kind == "leakage" or problem.kind.endswith("_across_splits") for problem in problems)
    refusal = _refusal(frame, files, bad)
    if refusal is not None and not (leakage and isinstance(refusal, Leakage)):  # leakage is reported in full above
        empty = (frame["split"] == "").to_numpy()
        gaps = () if empty.all() else tuple(np.flatnonzero(empty).tolist())
        problems.append(Problem("missing_split" if gaps else "untrainable", str(refusal), gaps))
    return CheckReport(problems, count(frame), ok=not problems, leakage=leakage, usable=not leakage and refusal is None)


def count(frame: pd.DataFrame) -> pd.DataFrame:
    """Images and patients by label, a row a split (train, val, test, none) and a last row for all."""
    rows = []
    names = [name for name in (*SPLITS, "") if (frame["split"] == name).any()]
    for name in [*names, None]:
        part = frame if name is None else frame[frame["split"] == name]
        malignant = part["label"] == "malignant"
        rows.append(
            {
                "split": "all" if name is None else name or "none",
                "images": len(part),
                "benign": int((part["label"] == "benign").sum()),
                "malignant": int(malignant.sum()),
                "unlabelled": int((part["label"] == "").sum()),
                "patients": int(part["patient_id"].nunique()),
                "malignant patients": int(part.loc[malignant, "patient_id"].nunique()),
            }
        )
    return pd.DataFrame(rows)


def _file_problems(frame: pd.DataFrame, files: Sequence[FileInspection]) -> list[Problem]:
    problems = []
    missing = tuple(row for row, file in enumerate(files) if file.missing)
    if missing:
        named = first_few(frame["path"].iloc[list(missing)], _NAMED)
        verb = "is" if len(missing) == 1 else "are"
        words = f"{len(missing)} of {counted(len(files), 'file')} {verb} missing: {named}"
        problems.append(Problem("missing_file", words, missing))
    problems += [Problem("unreadable", file.unreadable, (row,)) for row, file in enumerate(files) if file.unreadable]
    problems += [Problem("no_breast", file.doubt, (row,)) for row, file in enumerate(files) if file.doubt]
    problems += [Problem("colour", file.colour, (row,)) for row, file in enumerate(files) if file.colour]
    return problems


def duplicate_words(found: Duplicate, frame: pd.DataFrame) -> str:
    """One sentence of a group of copies: how many, how they are known, where they stand, under which labels and patients."""
    part = frame.iloc[list(found.rows)]
    differ = "".join(
        f", under different {what}"
        for what, column in (("labels", "label"), ("patients", "patient_id"))
        if part[column].nunique() > 1
    )
    where = f" stand in {' and '.join(found.splits)}{differ}" if found.across else f"{_SAME[found.how][1]}{differ}"
    what = _SAME[found.how][0] if found.across else ""
    return f"{len(found.rows)} {'images' if found.how == 'near' else 'files'}{what}{where}: {first_few(part['path'], _NAMED)}"


def _leakage(frame: pd.DataFrame) -> list[Problem]:
    rows = {
        str(patient): group.tolist() for patient, group in pd.Series(range(len(frame))).groupby(frame["patient_id"].to_numpy())
    }
    several = [
        Problem(
            "leakage", f"patient {patient} stands in {' and '.join(splits)} ({len(rows[patient])} images)", tuple(rows[patient])
        )
        for patient, splits in leaking_patients(frame).items()
    ]
    apart = [
        Problem("leakage", f"patient {each.words} ({len(each.rows)} images)", each.rows)
        for each in patients_written_apart(frame)
    ]
    return several + apart


def _patients(frame: pd.DataFrame) -> list[Problem]:
    doubts = patient_doubts(frame["patient_id"].astype("str").to_list(), frame["split"].astype("str").to_list())
    unknown = nobody_known(frame)
    return [
        *([Problem("patients_unknown", unknown)] if unknown else []),
        *(Problem("patients", doubt.message, doubt.rows) for doubt in doubts),
    ]


def _split_problems(frame: pd.DataFrame) -> list[Problem]:
    empty = (frame["split"] == "").to_numpy()
    if frame.empty or empty.any():
        return []  # all of it is split by patient when a training starts; a part of it is a refusal
    remarks = {
        "train": "there is no train split: this manifest can be evaluated on, not trained on",
        "val": "there is no val split: a part of the train patients becomes val when a training starts",
        "test": "there is no test split: a training works, but nothing can tell how good the model is on new patients",
    }
    return [Problem("missing_split", remark) for name, remark in remarks.items() if not (frame["split"] == name).any()]


def _balance(frame: pd.DataFrame) -> list[Problem]:
    problems = []
    for name in [name for name in (*SPLITS, "") if (frame["split"] == name).any()]:
        part = frame[frame["split"] == name]
        where = name or "the set"
        share = min(float((part["label"] == label).mean()) for label in LABELS)
        if share == 0:
            problems.append(Problem("imbalance", f"{where} has images of one label only"))
        elif share < RARE_SHARE:
            problems.append(Problem("imbalance", f"{where}: the rarer label has only {share:.1%} of the images"))
        patients = {label: int(part.loc[part["label"] == label, "patient_id"].nunique()) for label in LABELS}
        few = [f"{number} with a {label} image" for label, number in patients.items() if 0 < number < FEW_PATIENTS]
        if few:
            problems.append(
                Problem("few_patients", f"{where}: few patients ({', '.join(few)}): metrics on it will be uncertain")
            )
    return problems


def _composition(frame: pd.DataFrame) -> list[Problem]:
    """That patients of one label have fewer images or sides; nothing where nobody knows the patients."""
    from core.metrics.composition import associations, composition_warnings  # scipy with it: pages wait for it only here

    known = frame[~without_patient(frame)]
    found = associations(known, EvaluationConfig().confidence)
    return [Problem("composition", sentence) for sentence in composition_warnings(found)]


def _collection(frame: pd.DataFrame) -> list[Problem]:
    warning = label_from_collection(frame)
    return [Problem("collection", warning)] if warning else []


def _refusal(frame: pd.DataFrame, files: Sequence[FileInspection], bad: np.ndarray) -> BadManifest | None:
    """What a training with the default shares would raise, first with all rows, then without those it cannot read."""
    shares = DataConfig()
    try:
        rows = assign_splits(frame, shares.val_fraction, shares.test_fraction, shares.split_seed)
        require_trainable(rows)
        hashes = pd.Series([file.content_hash for file in files], index=frame.index, dtype="str")
        rows = rows.assign(content_hash=hashes[rows.index])
    except BadManifest as error:
        return error
    try:
        require_trainable(rows[~pd.Series(bad, index=frame.index)[rows.index].to_numpy()])
    except BadManifest as error:
        without = f"without the {int(bad.sum())} missing or unreadable images: " if bad.any() else ""
        return type(error)(f"{without}{error}")
    return None
