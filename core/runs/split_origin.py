"""Where a run's sets come from: `split.json` in its folder, written once when the run is made, and taken over by a fork.

It cannot be found out later: a manifest with a split says nothing of who made it, and drawing again with the same seed gives
the same sets only where the rows are the same.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import Field, TypeAdapter

from core.config.schema import DataConfig
from core.data.splits import DRAWN
from core.errors import BadRun
from core.files.folders import write_text
from core.files.untrusted import read_json
from core.runs.folder import is_run

FILE = "split.json"
COLUMN = "split_origin"  # of a manifest: what its importer says of the split
NOT_RECORDED = "How the sets were made was not recorded: the run is of an earlier version of MammoLab."
_LONGEST = 300  # characters of a name, or of what a manifest says

Text = Annotated[str, Field(max_length=_LONGEST)]


@dataclass(frozen=True)
class SplitOrigin:
    """`how`: MammoLab drew all of it, or validation beside a test set that the manifest gave, or the manifest gave it; of a
    copy of the manifest of the run `run`, how that run's was made, "unknown" where that was not recorded.

    `given`: what the manifest says of a split that it gave ("folders", "column fold of the imported table"), "" for nothing.
    Seed and fractions are those of a drawing, None without one. `moved` images went to another set after it, when the training
    found copies of them.
    """

    how: Literal["drawn", "validation drawn", "given", "unknown"]
    given: Text = ""
    seed: int | None = None
    val_fraction: float | None = None
    test_fraction: float | None = None
    run: Text = ""
    moved: Annotated[int, Field(ge=0)] = 0  # images that went to another set after the drawing, so that copies are together

    def words(self, unit: str) -> str:
        """In a sentence or two; `unit` is what was drawn, "patients" or "images"."""
        source = self.given or "in its column split; how that was made is not recorded"
        drawn = f"drawn by MammoLab with seed {self.seed}, stratified by label"
        said = {
            "drawn": f"The manifest gave no split: {unit} were {drawn}, for shares of {self.val_fraction or 0:.0%} "
            f"(validation) and {self.test_fraction or 0:.0%} (test) of the images.",
            "validation drawn": f"The manifest gave the test set ({source}), which was kept; validation was {drawn}, for a "
            f"share of {self.val_fraction or 0:.0%} of the other images.",
            "given": f"The manifest gave all three sets ({source}), which were kept.",
            "unknown": "How they were made there was not recorded.",
        }[self.how]
        if self.moved:
            one = "image was" if self.moved == 1 else "images were"
            said += f" Then {self.moved:,} {one} moved to another set, so that copies of an image stand in one."
        return f"The sets were copied from the manifest of the run {self.run}. There: {said}" if self.run else said


_ORIGIN = TypeAdapter(SplitOrigin)


def origin_of(rows: pd.DataFrame, data: DataConfig) -> SplitOrigin:
    """Of the sets of a new run; `rows` are as core.data.splits.assign_splits gives them: `attrs` say what it drew."""
    drawn: dict[str, Any] = rows.attrs.get(DRAWN) or {"how": "given"}
    given = "" if drawn["how"] == "drawn" else _said(rows)
    folder = Path(data.manifest).absolute().parent
    if drawn["how"] == "given" and Path(data.manifest).name == "manifest.csv" and is_run(folder):
        try:
            before = read_split_origin(folder)
        except BadRun:
            before = None
        return replace(before or SplitOrigin("unknown"), run=_readable(folder.name))
    return SplitOrigin(given=given, **drawn)


def _readable(name: str) -> str:
    return name.encode("utf-8", "replace").decode("utf-8")[:_LONGEST]


def _said(rows: pd.DataFrame) -> str:
    """What the manifest says of its split, where all rows that have one say the same."""
    if COLUMN not in rows.columns:
        return ""
    values = {" ".join(value.split()) for value in rows[COLUMN].astype("str")} - {"", "nan"}
    return _readable(values.pop()) if len(values) == 1 else ""


def read_split_origin(folder: Path) -> SplitOrigin | None:
    """Of the run in this folder; None where it was not recorded. Raises BadRun: split.json is damaged."""
    path = folder / FILE
    try:
        return _ORIGIN.validate_python(read_json(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or str(error).split("\n", maxsplit=1)[0]
        raise BadRun(
            f"{path}: damaged: {words}. It says how the sets were made: restore a copy, or remove it and say so in your report."
        ) from error


def write_split_origin(folder: Path, origin: SplitOrigin) -> None:
    """Write it into the folder of a new run. Raises OSError."""
    write_text(folder / FILE, json.dumps(asdict(origin), indent=1) + "\n")


def inherit_split_origin(child: Path, parent: Path) -> None:
    """A fork has the sets of its parent, and so their origin; where that was not recorded, the fork records none.

    Raises:
        BadRun: the parent's record is damaged.
        OSError: the fork's folder cannot be written to.
    """
    origin = read_split_origin(parent)
    if origin is None:
        (child / FILE).unlink(missing_ok=True)
    else:
        write_split_origin(child, origin)
