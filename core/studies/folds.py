"""Folds of the patients: everybody is held out once a repeat, with all images and all copies of them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from core.data.duplicates import Duplicate
from core.data.identity import spelling
from core.data.manifest import LABELS
from core.errors import BadManifest, Leakage

TEST = -1  # the fold of an image of the test split: it takes no part
COLUMN = "fold_{}"  # of a study's manifest, by repeat from 1


def draw_folds(rows: pd.DataFrame, duplicates: Sequence[Duplicate], folds: int, seed: int) -> NDArray[np.int64]:
    """The fold of each row, (N,) from 0; TEST for rows of the split test, which stay apart.

    Patients go as a whole, together with the patients of whom there are copies of the same pictures; labels and collections
    are spread evenly (scikit-learn's StratifiedGroupKFold).

    Raises:
        BadManifest: there are too few patients of a label for so many folds.
        Leakage: a patient, or a copy of an image, is in the test split and outside of it.
    """
    groups = _together(rows, duplicates)
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
    others = [name for name in manifest.columns if not name.startswith("fold_")]
    return manifest[others].assign(split=pd.Series(split, index=manifest.index, dtype="str"))


def _together(rows: pd.DataFrame, duplicates: Sequence[Duplicate]) -> NDArray[np.int64]:
    """A number for each row, equal where rows have to stay together."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    names = pd.Categorical([spelling(name) for name in rows["patient_id"].astype("str")]).codes.astype(np.int64)
    links = [(names[each.rows[0]], names[other]) for each in duplicates for other in each.rows[1:]]
    count = int(names.max()) + 1 if names.size else 0
    first, second = np.array(links, dtype=np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(first.size), (first, second)), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1][names], dtype=np.int64)
