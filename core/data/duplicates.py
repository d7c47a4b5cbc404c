"""Images of a manifest that are copies of one another: the same file, pixels or picture, or copies by their names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from re import IGNORECASE, Pattern
from re import compile as pattern
from typing import Literal

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from core.data.copies import find_copies
from core.data.copies.store import FingerprintStore
from core.data.identity import spelling, without_patient
from core.data.importers.file_names import original_of_copy
from core.data.manifest import SPLITS
from core.images.placeholder import is_placeholder

How = Literal["file", "pixels", "near", "name"]

# How file managers and Huang and Lin's collection name copies: 12 (2).png, but benign (2).png, without a digit, is an own name;
# 12-copy.png, 12 - Copy (2).png, 12 copy 2.png.
_NUMBERED = pattern(r"(?P<original>.*[0-9].*?)\s*\([0-9]{1,4}\)")
_COPIED = pattern(r"(?P<original>.+?)[_\-. ]+(?:copy|copie|kopie|copia|duplicate)(?:[_\-. ]*\(?[0-9]{1,4}\)?)?", IGNORECASE)
_TYPE = pattern(r"_(?:jpe?g|png|tiff?|bmp|webp|pgm|dcm)$", IGNORECASE)  # Roboflow makes x_jpg.rf.<hash>.jpg of x.jpg


@dataclass(frozen=True)
class Duplicate:
    """Rows (positions from 0) that are copies of one another, `splits` that they stand in, and how that is known.

    file: the same bytes. pixels: the same pixels in other files. near: the same picture, changed. name: by file names, or by
    the manifest's column copy_of, and nothing else.
    """

    how: How
    rows: tuple[int, ...]
    splits: tuple[str, ...]

    @property
    def across(self) -> bool:
        """Whether they stand in several splits: leakage."""
        return len(self.splits) > 1


def find_duplicates(
    frame: pd.DataFrame,
    contents: Sequence[str],
    *,
    store: FingerprintStore | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Duplicate]:
    """All copies among the images of a manifest's frame, the surest kind first; a pair is reported under one kind only.

    Args:
        contents: the SHA-256 of each file, "" where it cannot be read.
        store, progress: as of `core.data.copies.find_copies`.
    """
    found = find_copies(frame["path"].astype("str").to_list(), contents, store=store, progress=progress)
    files = _groups(contents)
    links = [(group[0], other) for group in files for other in group[1:]]
    same = [*links, *((group[0], other) for group in found.pixels for other in group[1:])]
    pixels = connected(len(frame), same)
    near = connected(len(frame), [*same, *found.near])
    named = connected(len(frame), [*same, *found.near, *_named(frame)])
    splits = frame["split"].astype("str").to_list()
    known: set[tuple[int, ...]] = set()
    duplicates = []
    kinds: tuple[tuple[How, Iterable[tuple[int, ...]]], ...] = (
        ("file", files),
        ("pixels", pixels),
        ("near", near),
        ("name", named),
    )
    for how, groups in kinds:
        for rows in groups:
            if rows not in known:
                known.add(rows)
                there = tuple(name for name in SPLITS if any(splits[row] == name for row in rows))
                duplicates.append(Duplicate(how, rows, there))
    return duplicates


def connected(number: int, links: Iterable[tuple[int, int]]) -> list[tuple[int, ...]]:
    """The groups of more than one of `number` things that links connect, directly or through others."""
    pairs = np.array(list(links), np.int64).reshape(-1, 2)
    if not len(pairs):
        return []
    graph = coo_array((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(number, number))
    _, groups = connected_components(graph, directed=False)
    touched = np.unique(pairs)
    return [group for group in _groups(groups[touched].tolist(), touched.tolist()) if len(group) > 1]


def patient_links(frame: pd.DataFrame) -> list[tuple[int, int]]:
    """Links between the images of each patient, also where one is written in several ways; a word for nobody links nothing."""
    keys = {name: "" if is_placeholder(name) else spelling(name) for name in set(frame["patient_id"].astype("str"))}
    groups = _groups([keys[name] for name in frame["patient_id"].astype("str")])
    return [(group[0], other) for group in groups for other in group[1:]]


def _groups(keys: Sequence[Hashable], positions: Sequence[int] | None = None) -> list[tuple[int, ...]]:
    """Positions with the same key, several of them; "" is no key."""
    found: defaultdict[Hashable, list[int]] = defaultdict(list)
    for position, key in zip(range(len(keys)) if positions is None else positions, keys, strict=True):
        if key != "":
            found[key].append(position)
    return [tuple(group) for group in found.values() if len(group) > 1]


def _named(frame: pd.DataFrame) -> list[tuple[int, int]]:
    """Links between copies by their names. Images of two known patients are none, whatever their file names."""
    unknown = without_patient(frame)
    given = frame["copy_of"].astype("str").to_list() if "copy_of" in frame.columns else [""] * len(frame)
    paths = [PurePath(path.replace("\\", "/")).stem for path in frame["path"].astype("str")]
    originals = [said or _original(stem) for said, stem in zip(given, paths, strict=True)]
    copied = {original.casefold() for original in originals if original}
    keys = [(original or stem).casefold() for original, stem in zip(originals, paths, strict=True)]
    patients = frame["patient_id"].astype("str").where(~unknown, "").to_list()
    links = []
    for rows in _groups([key if key in copied else "" for key in keys]):
        if any(given[row] for row in rows) or len({patients[row] for row in rows} - {""}) < 2:
            links += [(rows[0], row) for row in rows[1:]]
    return links


def _original(stem: str) -> str:
    """The name of the image that a file is a copy of by its own, also of a copy of a copy; "" for none."""
    name = stem
    while (original := original_of_copy(name) or _matched(_NUMBERED, name) or _matched(_COPIED, name)) != "":
        name = original
    return _TYPE.sub("", name) if name != stem else ""


def _matched(names: Pattern[str], name: str) -> str:
    found = names.fullmatch(name)
    return found["original"] if found else ""
