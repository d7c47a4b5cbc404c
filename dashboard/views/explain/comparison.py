"""What is shown side by side: an image and the other view of its breast, or an image by two runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from core.runs import Run
from dashboard.cache import images
from dashboard.cache.images import ImageRef
from dashboard.state import datasets, training_runs
from dashboard.ui import test_set_access

VIEWS = ("CC", "MLO")


@dataclass(frozen=True)
class Case:
    """One image by one run. `row` is its manifest row, None for an upload; `name` distinguishes it from the other one."""

    run: Run
    image: ImageRef
    row: Any
    name: str
    warning: str = ""


def other_view(run: Run, row: Any) -> Any:
    """The row of the same breast's other view (CC for MLO, MLO for CC) in the run's manifest; None when there is none.

    Where the breast has several, the first one by path.
    """
    if row is None or row["view"] not in VIEWS or not row["laterality"]:
        return None
    rows = datasets.manifest_frame(run.path / "manifest.csv")
    wanted = VIEWS[1 - VIEWS.index(row["view"])]
    same = (rows["patient_id"] == row["patient_id"]) & (rows["laterality"] == row["laterality"])
    found = rows[same & (rows["split"] == row["split"]) & (rows["view"] == wanted)].sort_values("path")
    return None if found.empty else found.iloc[0]


def by_view(run: Run, row: Any, partner: Any) -> list[Case]:
    """Both views of the breast, CC first."""
    rows = sorted((row, partner), key=lambda each: VIEWS.index(each["view"]))
    return [Case(run, images.image_ref(each["path"]), each, f"{each['laterality']} {each['view']}") for each in rows]


def other_runs(run: Run) -> list[Run]:
    """The other runs that have a model, newest first."""
    return [each for each in training_runs.list_runs() if training_runs.has_model(each) and each.name != run.name]


def by_run(first: Case, second: Run) -> list[Case]:
    """The same image by two runs, with a warning where the second has learned from it."""
    warning = ""
    if split_of(second, first.image) in ("train", "val"):
        used = "trained on this image" if split_of(second, first.image) == "train" else "chose its threshold on this image"
        warning = f"{second.name} {used}: its score for this image is not evidence about new images."
    return [first, Case(second, first.image, first.row, second.name, warning)]


def closed(run: Run, image: ImageRef) -> bool:
    """Whether the image is in the run's test set and that has not been evaluated."""
    found = test_set_access.sealed_file(image.source, image.key, run)[1]
    return found is not None and found.folder == run.path


def split_of(run: Run, image: ImageRef) -> str:
    """The split that the run's manifest puts this file into, "" when it does not know it."""
    rows: pd.DataFrame = datasets.manifest_frame(run.path / "manifest.csv")
    found = rows.loc[rows["path"] == str(image.source), "split"]
    return "" if found.empty else str(found.iloc[0])
