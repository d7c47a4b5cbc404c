"""Which rows of another collection are the run's own: of a patient, or a file, that it was trained, tuned or is tested on.

A patient is found by the identifier without the differences that people and programs make by accident (core.data.identity), a
file by its place and by its content. Where both manifests name the collection, equal identifiers count only within one
collection or between those that are known to share patients: patient 12 of one hospital is not patient 12 of another.
"""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from core.data.identity import spelling, without_letters, without_patient
from core.data.merged_manifests import related, without_collection
from core.images.placeholder import is_placeholder
from core.wording import counted

ORDER = ("train", "val", "test")
_DID = {"train": "the run was trained on", "val": "the run was tuned on", "test": "the run's own test set has"}


@dataclass(frozen=True)
class Overlap:
    """`rows`: why a row is the run's own, by row index; `doubts`: what could not be compared, in words."""

    rows: dict[Any, str]
    doubts: tuple[str, ...]


def overlap_of(own: pd.DataFrame, rows: pd.DataFrame) -> Overlap:
    """Compare another collection's rows with a run's manifest.

    Args:
        own: the run's manifest.
        rows: of the other manifest; with `content_hash` (SHA-256 in hex, "" unknown) files are compared by content, too.
    """
    own = own[own["split"].isin(ORDER)]
    known, other = ~without_patient(own), ~without_patient(rows)
    files = _first_split(own, _files(own))
    found = _by_file(rows, files) | _by_patient(own[known], rows[other])
    doubts = [*_doubts(own, bool(known.any()), bool(other.any())), *_lettered(own[known], rows[other])]
    return Overlap(with_patients(rows, found, other), tuple(doubts))


def _doubts(own: pd.DataFrame, known: bool, other: bool) -> list[str]:
    doubts = []
    if not known or not other:
        whose = "the run's data" if not known else "this collection"
        doubts.append(
            f"no patient of {whose} is known: patients of the run were looked for by their files and pictures only, and other "
            "images of them would not be found"
        )
    hashes = own["content_hash"] if "content_hash" in own.columns else pd.Series("", index=own.index)
    without = int((hashes.astype("str").str.len() != 64).sum())
    if without:
        doubts.append(
            f"the run does not say what was in {without:,} of its {len(own):,} files: these were compared by place only"
        )
    return doubts


def _lettered(own: pd.DataFrame, rows: pd.DataFrame) -> list[str]:
    """Patients who differ from one of the run by letters before their number alone: P24947 and 24947."""
    ours, theirs = ({(patient, collection) for patient, collection, _ in _patients(frame)} for frame in (own, rows))
    with_letters: defaultdict[str, set[str]] = defaultdict(set)  # collections by number
    without: defaultdict[str, set[str]] = defaultdict(set)
    for patient, collection in ours:
        with_letters[without_letters(patient)].add(collection)
        without[patient].add(collection)
    found = []
    for patient, collection in theirs:
        bare = without_letters(patient)
        there = with_letters.get(patient, set()) | (without.get(bare, set()) if bare else set())
        if patient and any(_comparable(name, collection) for name in there):
            found.append(patient)
    if not found:
        return []
    return [
        f"{counted(len(found), 'patient')} may be of the run, named with or without letters before the number (such as "
        f"{min(found)}): they were not left out for that. Write patients of both manifests in one way if they are"
    ]


def _files(frame: pd.DataFrame) -> list[tuple[str, ...]]:
    """What a file is known by: its place, and its content where that is known."""
    hashes = frame["content_hash"].astype("str") if "content_hash" in frame.columns else [""] * len(frame)
    pairs = zip(frame["path"].astype("str"), hashes, strict=True)
    return [(os.path.normcase(path), *([content] if len(content) == 64 else [])) for path, content in pairs]


def _first_split(own: pd.DataFrame, keys: list[tuple[str, ...]]) -> dict[str, str]:
    """The split that each key stands in, train before val before test."""
    found: dict[str, str] = {}
    for each, split in zip(keys, own["split"].astype("str"), strict=True):
        for key in each:
            if key not in found or ORDER.index(split) < ORDER.index(found[key]):
                found[key] = split
    return found


def _by_file(rows: pd.DataFrame, files: dict[str, str]) -> dict[Any, str]:
    found: dict[Any, str] = {}
    for index, keys in zip(rows.index, _files(rows), strict=True):
        split = next((files[key] for key in keys if key in files), "")
        if split:
            found[index] = f"{_DID[split]} this file"
    return found


def _by_patient(own: pd.DataFrame, rows: pd.DataFrame) -> dict[Any, str]:
    seen: defaultdict[str, dict[str, str]] = defaultdict(dict)  # patient -> collection -> split
    for patient, collection, split in _patients(own):
        before = seen[patient].get(collection)
        if before is None or ORDER.index(split) < ORDER.index(before):
            seen[patient][collection] = split
    found: dict[Any, str] = {}
    for index, (patient, collection, _) in zip(rows.index, _patients(rows), strict=True):
        same = [split for name, split in seen.get(patient, {}).items() if _comparable(name, collection)]
        if patient and same:
            found[index] = f"{_DID[min(same, key=ORDER.index)]} a patient of this identifier"
    return found


def _patients(frame: pd.DataFrame) -> list[tuple[str, str, str]]:
    """(identifier as it is compared, "" for nobody; collection, "" unknown; split) of each row."""
    collections = frame["collection"].astype("str").str.strip() if "collection" in frame.columns else [""] * len(frame)
    spelled: dict[tuple[str, str], str] = {}
    result = []
    for patient, collection, split in zip(frame["patient_id"].astype("str"), collections, frame["split"], strict=True):
        if (patient, collection) not in spelled:
            plain = without_collection(patient, collection)
            spelled[patient, collection] = "" if is_placeholder(plain) else spelling(plain)
        result.append((spelled[patient, collection], collection, str(split)))
    return result


def _comparable(one: str, other: str) -> bool:
    return not one or not other or related(one, other)


def did(split: str) -> str:
    """What the run did with images of a split: "the run was trained on"."""
    return _DID[split]


def with_patients(rows: pd.DataFrame, found: dict[Any, str], known: np.ndarray | None = None) -> dict[Any, str]:
    """Reasons by row index, with all other images of the patients that an image was found of, in the order of the rows.

    `known`: which rows have a patient, bool (N,), where the caller has that.
    """
    known = ~without_patient(rows) if known is None else known
    patients = rows["patient_id"].astype("str")
    shared = {patients[index]: why for index, why in reversed(list(found.items()))}
    everyone: dict[Any, str] = {}
    for index, patient, is_known in zip(rows.index, patients, known, strict=True):
        if index in found:
            everyone[index] = found[index]
        elif is_known and patient in shared:
            everyone[index] = f"another image of its patient: {shared[patient]}"
    return everyone
