"""Folds of the patients: everybody is held out once a repeat, with all images and all copies of them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from core.config import DataConfig
from core.data.duplicates import Duplicate, find_duplicates
from core.data.file_inspection import content_hashes
from core.data.identity import spelling
from core.data.manifest import LABELS
from core.data.repair import repair_splits
from core.data.splits import DRAWN, assign_splits
from core.errors import BadManifest, Leakage
from core.studies.design import Design

TEST = -1  # the fold of an image of the test split: it takes no part
COLUMN, GROUP = "fold_{}", "fold_group"  # of a study's manifest: the fold by repeat from 1, and what stays together
OWN = re.compile(r"fold_(\d+|group)")

Progress = Callable[[int, int], None]


def rows_with_folds(frame: pd.DataFrame, design: Design, data: DataConfig, progress: Progress | None) -> pd.DataFrame:
    """The rows that take part and those of the test split, with the fold of each repeat and a number for what stays together.

    Where the manifest has no split, the test split is drawn as a training draws it; it takes no part either. Copies of images
    are looked for first, which `progress` follows.

    Raises:
        BadManifest: as `draw_folds` and core.data.assign_splits, or none of the files is there.
        Leakage: a patient, or a copy of an image, is in the given test split and outside of it.
    """
    own = [name for name in frame.columns if not OWN.fullmatch(str(name))]
    rows = assign_splits(frame[own], data.val_fraction, data.test_fraction, data.split_seed).reset_index(drop=True)
    paths = rows["path"].astype("str").to_list()
    there = [Path(path) for path in paths if Path(path).is_file()]
    if not there:
        raise BadManifest(f"none of the {len(paths)} files is there, for example {paths[0]}. Is the drive connected?")
    duplicates = find_duplicates(rows, content_hashes(paths, {path.stat().st_size for path in there}), progress=progress)
    apart = [each for each in duplicates if each.across]
    if apart and rows.attrs.get(DRAWN, {}).get("how") == "drawn":
        repair = repair_splits(
            rows, apart, val_fraction=data.val_fraction, test_fraction=data.test_fraction, seed=data.split_seed
        )
        after = {move.path: move.after for move in repair.moved}
        splits = [after.get(path, split) for path, split in zip(paths, rows["split"], strict=True)]
        rows = rows.assign(split=pd.Series(splits, index=rows.index, dtype="str"))
    rows = rows.assign(**{GROUP: groups_of(rows, duplicates)})
    return with_folds(rows, design)


def with_folds(rows: pd.DataFrame, design: Design, *, first: int = 0) -> pd.DataFrame:
    """The rows with the columns of the repeats from `first` on; they have the column GROUP."""
    groups = np.asarray(rows[GROUP], dtype=np.int64)
    for repeat in range(first, design.repeats):
        found = draw_folds(rows, groups, design.folds, design.seed + repeat)
        rows = rows.assign(**{COLUMN.format(repeat + 1): found})
    return rows


def draw_folds(rows: pd.DataFrame, groups: NDArray[np.int64], folds: int, seed: int) -> NDArray[np.int64]:
    """The fold of each row, (N,) from 0; TEST for rows of the split test, which stay apart.

    `groups` (see `groups_of`) go as a whole; labels and collections are spread evenly (scikit-learn's StratifiedGroupKFold).

    Raises:
        BadManifest: there are too few patients of a label for so many folds.
        Leakage: a patient, or a copy of an image, is in the test split and outside of it.
    """
    outside = (rows["split"] != "test").to_numpy()
    shared = set(groups[outside]) & set(groups[~outside])
    if shared:
        example = rows["path"].iloc[int(np.flatnonzero(np.isin(groups, list(shared)) & ~outside)[0])]
        raise Leakage(
            f"{len(shared)} patients, or copies of their images, are in the test split and outside of it (for example {example}"
            "). `data repair` writes a manifest with the split repaired."
        )
    found = np.full(len(rows), TEST, dtype=np.int64)
    inside = rows[outside]
    labels, own = inside["label"].astype("str").to_numpy(), groups[outside]
    for label in LABELS:
        patients = len(set(own[labels == label]))
        if patients < folds:
            raise BadManifest(f"{folds} folds need as many patients with a {label} image, got {patients}. Choose fewer folds.")
    collections = inside["collection"].astype("str").to_numpy() if "collection" in inside.columns else np.full(len(inside), "")
    strata = np.array([f"{label}\0{collection}" for label, collection in zip(labels, collections, strict=True)])
    # Rare strata cannot be spread: they count by their label alone.
    few = {name for name in set(strata) if len(set(own[strata == name])) < folds}
    strata = np.array([name.split("\0")[0] if name in few else name for name in strata])
    inside_folds = np.zeros(len(inside), dtype=np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of strata with fewer rows than folds: what matters is checked below
        split = StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(np.zeros(len(inside)), strata, own)
        for number, (_, held_out) in enumerate(split):
            inside_folds[held_out] = number
    found[outside] = inside_folds
    for number in range(folds):
        missing = set(LABELS) - set(labels[inside_folds == number])
        if missing:
            raise BadManifest(
                f"fold {number + 1} of {folds} has no {' and no '.join(sorted(missing))} image. Choose fewer folds."
            )
    return found


def fold_rows(manifest: pd.DataFrame, repeat: int, fold: int) -> pd.DataFrame:
    """The rows with the split of one training: `fold` is val, the other folds train, test stays test."""
    numbers = manifest[COLUMN.format(repeat + 1)].astype("int64").to_numpy()
    split = np.where(numbers == TEST, "test", np.where(numbers == fold, "val", "train"))
    others = [name for name in manifest.columns if not OWN.fullmatch(name)]
    return manifest[others].assign(split=pd.Series(split, index=manifest.index, dtype="str"))


def groups_of(rows: pd.DataFrame, duplicates: Sequence[Duplicate]) -> NDArray[np.int64]:
    """A number for each row, (N,), equal where rows have to stay together: those of a patient, however she is spelled, and of
    patients of whom there are copies of the same pictures."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    names = pd.Categorical([spelling(name) for name in rows["patient_id"].astype("str")]).codes.astype(np.int64)
    links = [(names[each.rows[0]], names[other]) for each in duplicates for other in each.rows[1:]]
    count = int(names.max()) + 1 if names.size else 0
    first, second = np.array(links, dtype=np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(first.size), (first, second)), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1][names], dtype=np.int64)
