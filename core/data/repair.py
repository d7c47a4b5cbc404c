"""Repair of a split in which patients or copies of an image stand on several sides: each goes to one of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.config import DataConfig
from core.data.copies.find import one_thread_each
from core.data.copies.store import FingerprintStore
from core.data.duplicates import Duplicate, connected, find_duplicates, patient_links
from core.data.file_inspection import inspect_files
from core.data.manifest import SPLITS, is_excluded
from core.data.splits import assign_splits
from core.wording import counted


@dataclass(frozen=True)
class Move:
    """A row (position from 0) that went from one split to another."""

    row: int
    path: str
    before: str
    after: str


@dataclass(frozen=True)
class Repair:
    """The frame with its splits repaired, the rows that moved, and what was done in sentences."""

    frame: pd.DataFrame
    moved: tuple[Move, ...]
    notes: tuple[str, ...]


def repaired(frame: pd.DataFrame, config: DataConfig, progress: Callable[[int, int], None] | None = None) -> Repair:
    """`repair_splits` of a manifest's frame with the copies that are found among its files.

    Excluded images (column `excluded`) link nothing, are not read, and keep their split.

    `progress(done, total)` is called in this thread; an exception it raises ends the work. What is read by then is stored.

    Raises:
        BadManifest: as `repair_splits`.
    """
    away = is_excluded(frame)
    if away.any():
        done = repaired(frame[~away], config, progress)
        places = np.flatnonzero(~away)
        splits = frame["split"].astype("str").to_numpy(dtype=object)
        splits[places] = done.frame["split"].astype("str").to_numpy(dtype=object)
        moved = tuple(replace(move, row=int(places[move.row])) for move in done.moved)
        notes = (*done.notes, f"{counted(int(away.sum()), 'excluded image')} not looked at")
        return Repair(frame.assign(split=pd.Series(splits, index=frame.index, dtype="str")), moved, notes)
    with FingerprintStore() as store, one_thread_each():
        files = inspect_files(frame["path"].astype("str").to_list(), progress, seen=store.take)
        contents = ["" if file.reason else file.content_hash for file in files]
        duplicates = find_duplicates(frame, contents, store=store, progress=progress)
    shares = {"val_fraction": config.val_fraction, "test_fraction": config.test_fraction}
    return repair_splits(frame, duplicates, **shares, seed=config.split_seed)


def repair_splits(
    frame: pd.DataFrame, duplicates: Sequence[Duplicate], *, val_fraction: float, test_fraction: float, seed: int
) -> Repair:
    """Put all images that are connected through a patient or through copies into one split.

    Groups that stand in one split stay there. Each other group goes to one of its own splits, the largest group first, so that
    the splits keep their numbers of images and of malignant images as well as possible. A manifest without any split gets one,
    as `assign_splits` makes it of the three last arguments, with the groups for patients. A row without a split among others
    that have one keeps none.

    Raises:
        BadManifest: a new split cannot have both labels everywhere.
    """
    links = [*patient_links(frame), *((each.rows[0], row) for each in duplicates for row in each.rows[1:])]
    groups = connected(len(frame), links)
    before = frame["split"].astype("str").to_numpy(dtype=object)
    if (before == "").all():
        return _drawn(frame, groups, val_fraction, test_fraction, seed)
    after = before.copy()
    malignant = (frame["label"] == "malignant").to_numpy()
    apart = [rows for rows in groups if len({before[row] for row in rows} - {""}) > 1]
    goal = _sizes(before, malignant)
    waiting = {row for rows in apart for row in rows}
    present = _sizes(np.array(["" if row in waiting else split for row, split in enumerate(before)], dtype=object), malignant)
    for rows in sorted(apart, key=lambda rows: (-len(rows), rows)):
        members = [row for row in rows if before[row]]
        size = np.array([len(members), int(malignant[members].sum())], dtype=np.float64)
        there = [name for name in SPLITS if any(before[row] == name for row in members)]
        chosen = min(there, key=lambda name: _excess(goal, present, name, size))
        present[chosen] += size
        after[members] = chosen
    moved = tuple(
        Move(int(row), str(frame["path"].iloc[row]), str(before[row]), str(after[row]))
        for row in np.flatnonzero(before != after)
    )
    repaired = frame.assign(split=pd.Series(after, index=frame.index, dtype="str"))
    notes = _notes(moved, len(apart), before, after)
    if bare := int((after == "").sum()):
        notes = (*notes, f"{counted(bare, 'image has', 'images have')} no split, and a training refuses that: fill the column")
    return Repair(repaired, moved, notes)


def _drawn(
    frame: pd.DataFrame, groups: Sequence[tuple[int, ...]], val_fraction: float, test_fraction: float, seed: int
) -> Repair:
    """The split of a manifest that has none, with everything connected on one side."""
    together = frame["patient_id"].astype("str").to_numpy(dtype=object)
    for rows in groups:
        together[list(rows)] = min(together[list(rows)])
    made = assign_splits(
        frame.assign(patient_id=pd.Series(together, index=frame.index, dtype="str")), val_fraction, test_fraction, seed
    )
    splits = made["split"].reindex(frame.index).fillna("").astype("str")
    sizes = splits.value_counts()
    words = ", ".join(f"{name} {int(sizes.get(name, 0)):,}" for name in SPLITS)
    note = f"the manifest had no split: it was made by patient and by copies, seed {seed} ({words} images)"
    return Repair(frame.assign(split=splits), (), (note,))


def _sizes(splits: NDArray, malignant: NDArray[np.bool_]) -> dict[str, NDArray[np.float64]]:
    """Images and malignant images of each split."""
    return {name: np.array([(splits == name).sum(), (malignant & (splits == name)).sum()], dtype=np.float64) for name in SPLITS}


def _excess(
    goal: dict[str, NDArray[np.float64]], present: dict[str, NDArray[np.float64]], name: str, size: NDArray[np.float64]
) -> float:
    """How far all splits are from their goals, as shares of these, with `size` more in one; less for a split that is behind."""
    total = 0.0
    for each, wanted in goal.items():
        have = present[each] + (size if each == name else 0)
        total += float((((have - wanted) / np.maximum(wanted, 1)) ** 2).sum())
    return total


def _notes(moved: Sequence[Move], apart: int, before: NDArray, after: NDArray) -> tuple[str, ...]:
    if not apart:
        return ("no patient and no copies of an image stand in several splits: nothing was moved",)
    ways = Counter((move.before, move.after) for move in moved)
    what = ", ".join(f"{number} from {start} to {end}" for (start, end), number in sorted(ways.items()))
    shares = ", ".join(f"{name} {int((before == name).sum()):,} → {int((after == name).sum()):,}" for name in SPLITS)
    groups = counted(apart, "group of images stood", "groups of images stood")
    return (
        f"{groups} in several splits; {counted(len(moved), 'image was', 'images were')} moved: {what}",
        f"images: {shares}",
    )
