"""The images that a benchmark is given by an environment variable."""

from __future__ import annotations

import os
from pathlib import Path

from core.data import read_manifest


def taken(setting: str, folder: Path, images: int) -> Path | None:
    """A manifest in `folder` of the first rows, without their split, of the one that `setting` names; None without it."""
    given = os.environ.get(setting)
    if not given:
        return None
    path = folder / "manifest.csv"
    read_manifest(Path(given)).head(images).drop(columns="split").to_csv(path, index=False)
    return path
