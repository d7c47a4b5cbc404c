"""A lab as version 0.1 left it, before modules, settings and records had their present names: two runs and their images.

`finished` was trained for 4 epochs and evaluated on validation and test, `stopped` was stopped after 2 of the same 4; both have
one seed and one thread, so that `stopped`, resumed, ends with the weights of `finished`.
"""

from __future__ import annotations

import shutil
from pathlib import Path

STORED = Path(__file__).parents[1] / "fixtures" / "lab-0.1"


def copy_lab(folder: Path) -> Path:
    """The lab in `folder`, which must not exist, with the paths of its images as they are there."""
    shutil.copytree(STORED, folder)
    for table in folder.glob("checkpoints/*/**/*.csv"):
        text = table.read_text(encoding="utf-8")
        table.write_text(text.replace("{lab}", folder.as_posix()), encoding="utf-8", newline="")
    return folder
