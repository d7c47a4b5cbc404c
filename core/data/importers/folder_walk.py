"""The files below a folder, through linked folders too, each folder once; what is skipped is counted."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from core.wording import counted, first_few

# What systems and programs put beside images.
_CLUTTER = {
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "dicomdir", "lockfile", "version"),
    *("readme", "readme.md", "readme.txt", "licence", "licence.txt", "license", "license.txt", "license.md"),
}
_CLUTTER_FOLDERS = {"__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found", "__pycache__"}


@dataclass
class Walk:
    """`files`, sorted; `clutter`: how many files and folders come with folders (hidden ones, Thumbs.db, __MACOSX);
    `again`: linked folders that lead to one that was read already; `unreadable`: (folder, reason).
    """

    files: list[Path] = field(default_factory=list)
    clutter: int = 0
    again: list[Path] = field(default_factory=list)
    unreadable: list[tuple[Path, str]] = field(default_factory=list)

    def notes(self) -> list[str]:
        """What of this a user has to know."""
        notes = []
        if self.clutter:
            files = counted(self.clutter, "file that comes", "files that come")
            notes.append(
                f"{files} with folders {'was' if self.clutter == 1 else 'were'} passed over "
                "(hidden ones, readme, Thumbs.db, DICOMDIR, __MACOSX)"
            )
        if self.again:
            named = first_few(map(str, self.again), 5)
            notes.append(f"links to folders that were read already, or lie above, were not followed: {named}")
        return notes

    def rejected(self) -> list[tuple[str, str]]:
        """Folders that cannot be listed."""
        return [(str(folder), f"this folder cannot be read: {reason}") for folder, reason in self.unreadable]


def walk(root: Path, tick: Callable[[], None] | None = None) -> Walk:
    """List `root` and every folder below, but none above it that a link leads to.

    `tick` is called for each folder, and may raise to end it.
    """
    found = Walk()
    # A link upwards would bring in everything else; `root` may itself be a link.
    above = (*root.absolute().parents, *Path(os.path.realpath(root)).parents)
    seen = {_identity(parent) for parent in above}
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        if tick is not None:
            tick()
        key = _identity(folder)
        if key in seen:
            found.again.append(folder)
            continue
        seen.add(key)
        try:
            with os.scandir(folder) as entries:
                there = [(Path(entry.path), _is_folder(entry)) for entry in entries]
        except OSError as error:
            found.unreadable.append((folder, error.strerror or str(error)))
            continue
        folders: list[Path] = []
        for path, leads_to_folder in there:
            if is_clutter(path, folder=leads_to_folder):
                found.clutter += 1
            else:
                (folders if leads_to_folder else found.files).append(path)
        waiting += sorted(folders, reverse=True)  # of two links to one place, the first in the alphabet is read
    found.files.sort()
    found.again.sort()
    return found


def is_clutter(path: Path, *, folder: bool) -> bool:
    """Whether a file or folder is none of the user's own: hidden, or put there by a system or program."""
    return path.name.startswith(".") or path.name.lower() in (_CLUTTER_FOLDERS if folder else _CLUTTER)


def with_home(path: Path) -> Path:
    """`path` with ~ and ~user as that user's folder; as it is where it exists so, or there is no such user."""
    try:
        return path if os.path.lexists(path) else path.expanduser()
    except (RuntimeError, ValueError):
        return path


def is_folder(path: Path) -> bool:
    """Whether it is a folder or a link to one; no for what cannot be examined."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _identity(folder: Path) -> object:
    try:
        found = folder.stat()
    except OSError:
        return str(folder)
    return (found.st_dev, found.st_ino) if found.st_ino else os.path.realpath(folder)
