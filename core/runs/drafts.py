"""Drafts: folders of new runs, filled under a hidden name, then moved to their own in one step."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from core.config import NAMED_WEIGHTS, Config, dump_config
from core.data import write_manifest
from core.errors import BadRun
from core.files.folders import remove_strays, write_text
from core.runs.status import Status, write_status

DRAFT, DELETED = ".new-", ".deleted-"  # folders that are no run yet, and none any more; lists pass over them
_DRAFT_SECONDS = 3600.0  # a draft that is older belongs to a program that was killed


def sweep(root: Path) -> None:
    """Remove what deleted runs and killed programs left in a folder of runs."""
    remove_strays(root, DELETED)
    remove_strays(root, DRAFT, older_than=_DRAFT_SECONDS)


def fill(folder: Path, config: Config, rows: pd.DataFrame) -> None:
    """Write what a run has before it is trained. Raises OSError."""
    weights = config.model.weights
    if weights not in NAMED_WEIGHTS:
        # The run may be started from another folder than it was made in.
        model = config.model.model_copy(update={"weights": Path(weights).absolute().as_posix()})
        config = config.model_copy(update={"model": model})
    lesions = config.training.lesions
    if lesions.patch_manifest:
        lesions = lesions.model_copy(update={"patch_manifest": Path(lesions.patch_manifest).absolute().as_posix()})
        config = config.model_copy(update={"training": config.training.model_copy(update={"lesions": lesions})})
    write_text(folder / "config.yaml", dump_config(config, skip=("dashboard",)))
    write_manifest(rows, folder / "manifest.csv")
    (folder / "control").mkdir()
    (folder / "events.jsonl").touch()
    status = Status(created=time.time(), epochs=config.training.epochs, monitor=config.training.monitor)
    write_status(folder / "status.json", status)


def settle(draft: Path, names: Iterator[str]) -> Path:
    """Move the finished draft to the first free name."""
    taken = ""
    for name in names:
        target = draft.with_name(name)
        if os.path.lexists(target):
            taken = name
            continue
        try:
            return draft.rename(target)
        except OSError:
            if not os.path.lexists(target):
                raise
            taken = name  # somebody took it in between
    raise BadRun(f"there is already a run named {taken}; choose another name, or leave it out")
