"""Manifests that hold out one site (or scanner, or any column's value) each: train on the others, test on the one left out.

They are made of a run's training and validation images alone. Its test set stays where it is: whoever tries recipes on sites
has not seen it.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from core.data.splits import require_trainable
from core.errors import BadManifest, LabError

_FEWEST = 5  # patients of a class at the value left out: fewer carry no AUC


@dataclass(frozen=True)
class HeldOut:
    """One value: the manifest that holds it out, or why there is none."""

    value: str
    manifest: pd.DataFrame | str
    images: int
    patients: int


def leave_one_out(frame: pd.DataFrame, column: str) -> tuple[HeldOut, ...]:
    """A manifest for each value of `column`, sorted; patients stay together.

    The value's images are the test split. Patients with an image of it are left out of training, and so are images of unknown
    value, which might be of it. The others keep their split.

    Args:
        frame: a manifest with splits.

    Raises:
        BadManifest: there is no such column, or it has fewer than two known values.
    """
    if column not in frame.columns:
        raise BadManifest(f"leave one out: expected a column {column} in the manifest; it has {', '.join(frame.columns)}.")
    rows = frame[frame["split"].isin(("train", "val"))].copy()
    values = rows[column].astype("object").where(rows[column].notna(), "").astype("str").str.strip()
    known = sorted(set(values) - {"", "nan", "unknown"})
    if len(known) < 2:
        raise BadManifest(f"leave one out: expected at least two values of {column} in train and val, got {known or 'none'}.")
    found = []
    for value in known:
        inside = values == value
        own = rows[inside].assign(split="test")
        others = rows[~inside & values.isin(known) & ~rows["patient_id"].isin(set(own["patient_id"]))]
        manifest: pd.DataFrame | str = pd.concat((others, own)).reset_index(drop=True)
        counts = own.groupby("label")["patient_id"].nunique()
        fewest = min(int(counts.get(label, 0)) for label in ("malignant", "benign"))
        if fewest < _FEWEST:
            manifest = f"only {fewest} patients of a class there: too few for an AUC, at least {_FEWEST} needed"
        else:
            try:
                assert isinstance(manifest, pd.DataFrame)
                require_trainable(manifest)
            except LabError as error:
                manifest = f"the other values cannot be trained on: {error}"
        found.append(HeldOut(value, manifest, int(inside.sum()), int(own["patient_id"].nunique())))
    return tuple(found)
