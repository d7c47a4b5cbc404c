"""Breasts as samples: which images of a manifest are of one breast, for models that judge all views of it together.

Images with the same patient, side and, where the manifest says so, examination (exam_id) are of one breast; how many there are
and of which views is left open. An image whose side nobody knows is a breast of its own. A breast is malignant when any of its
images is.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.config import Config
from core.data.manifest import LABELS
from core.errors import BadConfig, BadManifest
from core.metrics.levels import PATHS
from core.model.view_codes import CC, EITHER, MLO, view_code
from core.wording import counted

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Breasts:
    """The breasts of a table with a row an image, in the order of their first images.

    `members` int64 (B, K) has the rows of each breast's images, in the table's order, and then -1; `labels` float32 (B,) is 1
    for malignant, NaN where no image has a label; `views` int64 (N,) the kind of each image's view (core.model.view_codes).
    """

    members: Rows
    labels: NDArray[np.float32]
    views: Rows

    def __len__(self) -> int:
        return len(self.members)

    @cached_property
    def leaders(self) -> Rows:
        """For each image the row of its breast's first one, int64 (N,)."""
        return self.members[self.owners, 0]

    @cached_property
    def owners(self) -> Rows:
        """For each image the number of its breast, int64 (N,)."""
        found = np.empty(len(self.views), dtype=np.int64)
        there = self.members >= 0
        found[self.members[there]] = np.repeat(np.arange(len(self)), there.sum(1))
        return found

    def select(self, chosen: Rows) -> tuple[Rows, Rows, Rows]:
        """Of these breasts (b,): the rows of their images (m,), `slots` (b, k) with places among these and -1 where a breast
        has fewer images, and for each image the place of its breast among the chosen (m,)."""
        members = self.members[chosen]
        there = members >= 0
        counts = there.sum(1)
        slots = np.full((len(chosen), int(counts.max(initial=0))), -1, dtype=np.int64)
        slots[np.arange(slots.shape[1]) < counts[:, None]] = np.arange(int(counts.sum()))
        return members[there], slots, np.repeat(np.arange(len(chosen)), counts)


def breasts_of(frame: pd.DataFrame) -> Breasts:
    """The breasts of a manifest's rows: columns patient_id, laterality, view, label, path, and exam_id where it is known."""
    numbers, _ = pd.factorize(_keys(frame))
    order = np.argsort(numbers, kind="stable")
    counts = np.bincount(numbers) if len(numbers) else np.zeros(0, dtype=np.int64)
    members = np.full((len(counts), int(counts.max(initial=1))), -1, dtype=np.int64)
    members[np.arange(members.shape[1]) < counts[:, None]] = order
    views = np.fromiter(map(view_code, frame["view"].astype("str")), dtype=np.int64, count=len(frame))
    return Breasts(members, _labels(frame, numbers, len(counts)), views)


def _keys(frame: pd.DataFrame) -> pd.Series:
    """What images of one breast have in common, as one value a row."""
    sides = frame["laterality"].astype("str")
    parts = [frame["patient_id"].astype("str"), sides]
    if "exam_id" in frame.columns:
        parts.append(frame["exam_id"].astype("str"))
    known = sides.isin(("L", "R"))
    parts.append(frame["path"].astype("str").where(~known, ""))
    return pd.Series(list(zip(*parts, strict=True)), index=frame.index, dtype=object)


def _labels(frame: pd.DataFrame, numbers: Rows, count: int) -> NDArray[np.float32]:
    labels = np.full(count, np.nan, dtype=np.float32)
    for value, label in enumerate(LABELS):  # malignant last: it wins
        labels[numbers[(frame["label"] == label).to_numpy()]] = value
    return labels


def breast_rows(frame: pd.DataFrame, breasts: Breasts | None = None) -> pd.DataFrame:
    """One row a breast: `path` of its first image, `paths` of all as a JSON list, its label, the views that it has ("CC+MLO")
    and otherwise what stands at the first image. The index is the first images'.

    Args:
        breasts: `breasts_of(frame)`, where the caller has it.
    """
    found = breasts_of(frame) if breasts is None else breasts
    table = frame.iloc[found.members[:, 0]].copy()
    paths, views = frame["path"].astype("str").to_numpy(), frame["view"].astype("str").to_numpy()
    own = [rows[rows >= 0] for rows in found.members]
    table["view"] = ["+".join(sorted(set(views[rows]) - {""})) for rows in own]
    table["label"] = ["" if np.isnan(label) else LABELS[int(label)] for label in found.labels]
    table[PATHS] = [json.dumps(paths[rows].tolist(), ensure_ascii=False) for rows in own]
    return table


def paths_of(cell: str) -> list[str]:
    """The paths in a cell of the column `paths`. Raises BadManifest: it is not what `breast_rows` writes."""
    try:
        found = json.loads(cell)
    except ValueError as error:
        raise BadManifest(f"paths: expected a JSON list of file names, got {cell[:80]!r}") from error
    if not isinstance(found, list) or not found or not all(isinstance(each, str) for each in found):
        raise BadManifest(f"paths: expected a JSON list of file names, got {cell[:80]!r}")
    return found


def breast_notes(frame: pd.DataFrame) -> list[str]:
    """How many breasts these images make, and what some of them lack; each note is a sentence without its full stop."""
    breasts = breasts_of(frame)
    there = breasts.members >= 0
    shown = np.where(there, breasts.views[np.where(there, breasts.members, 0)], -1)
    either = (shown == EITHER).any(1)
    has = [(shown == view).any(1) | either for view in (CC, MLO)]
    lacking = int((~(has[0] & has[1])).sum()) + int((either & (there.sum(1) == 1)).sum())
    several = int(((shown == CC).sum(1) > 1).sum() + ((shown == MLO).sum(1) > 1).sum())
    sideless = int((~frame["laterality"].astype("str").isin(("L", "R"))).sum())
    viewless = int((breasts.views == EITHER).sum())
    notes = [f"model.views 2: {counted(len(frame), 'image')} make {counted(len(breasts), 'breast')}"]
    if lacking:
        notes.append(f"{counted(lacking, 'breast lacks', 'breasts lack')} CC or MLO: judged from the views there are")
    if several:
        notes.append(f"in {counted(several, 'case')} a breast has several images of one view: all are used")
    if sideless:
        notes.append(f"{counted(sideless, 'image does', 'images do')} not say the side: each counts as a breast of its own")
    if viewless:
        notes.append(f"{counted(viewless, 'image is', 'images are')} of no known view: used as either view")
    return notes


def require_breasts(frame: pd.DataFrame, config: Config) -> None:
    """Refuse what two views cannot be trained with; does nothing for one view.

    Raises:
        BadManifest: no breast of these rows has a second image.
        BadConfig: thresholds by view are asked for, and there will be no scores of single views.
    """
    if config.model.views == 1:
        return
    if config.evaluation.per_view_thresholds:
        raise BadConfig(
            "evaluation.per_view_thresholds: got true, but with model.views 2 there is one score for all views of a breast. "
            "Set it to false"
        )
    if breasts_of(frame).members.shape[1] < 2:
        raise BadManifest(
            "model.views is 2, but no breast has a second image: images of one breast have the same patient_id, laterality "
            "(L or R) and, where there is such a column, exam_id. Fill these columns, or set model.views to 1."
        )
