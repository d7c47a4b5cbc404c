"""Hanging mammograms: which images of an examination are looked at together, and in which order from left to right."""

from __future__ import annotations

from typing import Any

import pandas as pd

from core.images.placeholder import is_placeholder

CC, MLO = "CC", "MLO"
Place = tuple[str, str]  # side and view
# As if the patient faced the reader: her right breast on the left.
ORDER: tuple[Place, ...] = (("R", CC), ("L", CC), ("R", MLO), ("L", MLO))


def examination(rows: pd.DataFrame, row: Any) -> dict[Place, Any]:
    """The rows of the image's patient (and examination, where the manifest names it) by side and view, of CC and MLO.

    `row` is one of them and has its own place, if it is of such a view; of several others for a place the first by path counts.
    """
    own = (str(row["laterality"]), str(row["view"]))
    if own not in ORDER or is_placeholder(str(row["patient_id"])):  # nobody's: other images are of other people
        return {}
    same = rows["patient_id"] == row["patient_id"]
    if "exam_id" in rows.columns:
        same &= rows["exam_id"] == row["exam_id"]
    found: dict[Place, Any] = {}
    for _, other in rows[same].sort_values("path").iterrows():
        found.setdefault((str(other["laterality"]), str(other["view"])), other)
    return {place: row if place == own else found[place] for place in ORDER if place == own or place in found}


def hangings(found: dict[Place, Any], own: Place) -> dict[str, list[Place]]:
    """What can be shown at once of an examination around the image at `own`, by name: the places from left to right.

    `views`: both views of its breast; `breasts`: both breasts in its view; `all`: everything, where there is more than either.
    """
    side, view = own
    offered = {
        "views": [place for place in ORDER if place[0] == side and place in found],
        "breasts": [place for place in ORDER if place[1] == view and place in found],
    }
    offered = {name: places for name, places in offered.items() if len(places) == 2}
    return offered | ({"all": list(found)} if len(found) > 2 else {})
