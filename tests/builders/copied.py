"""A folder that was made once, copied for a test that may change it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

_NAMES_PATHS = (".csv", ".json", ".jsonl", ".yaml")


def copied(template: Path, folder: Path) -> Path:
    """A copy of `template` as `folder`, whose tables, records and settings name the files of the copy."""
    shutil.copytree(template, folder, dirs_exist_ok=True)
    for path in folder.rglob("*"):
        if path.suffix in _NAMES_PATHS:
            content = before = path.read_text(encoding="utf-8")
            for write in (str, Path.as_posix, lambda place: json.dumps(str(place))[1:-1]):
                content = content.replace(write(template), write(folder))
            if content != before:
                path.write_text(content, encoding="utf-8")
    return folder
