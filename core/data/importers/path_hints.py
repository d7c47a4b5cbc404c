"""Hints about missing files of a table: usually the extension was left out, or capitals differ."""

from __future__ import annotations

import os
import re
from pathlib import Path, PureWindowsPath

from core.data.tables import shown


class PathHints:
    """Lists each folder once."""

    def __init__(self) -> None:
        self._folders: dict[str, dict[str, str]] = {}

    def hint(self, path: str) -> str:
        """ " (...)" with what was probably meant, or "" where nothing is like it, or the file is there."""
        if os.sep == "/" and PureWindowsPath(path).drive:
            return " (a path of a Windows machine: name the folder with the option root, and make the paths relative)"
        if re.search(r"(?:^|/)(?:https?|ftp|s3|gs):/", path):
            return " (an address in a network: download the images, and name their files)"
        folder, name = os.path.split(path)
        if os.path.lexists(path):
            return ""
        names = self._names(folder)
        found = names.get(name.casefold()) or names.get(f"{Path(name).stem}.".casefold()) or names.get(f"{name}.".casefold())
        return f" ({shown(found)} is there: names have to be written as the files have them)" if found else ""

    def _names(self, folder: str) -> dict[str, str]:
        if folder not in self._folders:
            try:
                there = sorted(entry.name for entry in Path(folder).iterdir())
            except (OSError, ValueError):
                there = []
            stems = {f"{Path(name).stem}.".casefold(): name for name in reversed(there)}
            self._folders[folder] = stems | {name.casefold(): name for name in reversed(there)}
        return self._folders[folder]
