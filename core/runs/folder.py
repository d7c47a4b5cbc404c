"""Checks of a run folder: regular files and real folders only. Done before anything is read from it or written into it.

A folder that somebody sent may hold `train.log` as a link to a file of ours, or `predictions` as a link to another folder: what
is written to them would land there. A named pipe would be waited for without end.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from core.errors import BadRun
from core.files.atomic import LEFTOVER
from core.files.untrusted import irregular, shared
from core.runs.names import display_name
from core.runs.status import created_at

STUDY = "study.yaml"  # what makes a folder a study, with runs of its own in it
MARKS = ("status.json", "events.jsonl", "model.json")  # by name: with one of these a folder is, or was, a run
_FOLDERS = {"control", "predictions", "explain", "explain/report"}  # those of a run; what lies in others is never touched
_FILES = {"config.yaml", "manifest.csv", "excluded.csv", "last.pt", "model.safetensors", "train.log", *MARKS}

# And what else MammoLab writes at the top of a run folder. An entry of another name is somebody else's.
_OWN = _FILES | {
    *("gate.safetensors", "start.safetensors", "model.json.new", "parent.json", "split.json", "test_accesses.jsonl"),
    *("leakage.json", "endpoint.jsonl", "evaluation.json", "patches.csv", "patches_before.csv"),
    *("process.log", "note.txt", "report.html", "report.yaml"),
    *(".lock", ".evaluation.lock", ".test_accesses.lock"),
    *(".DS_Store", "Thumbs.db", "desktop.ini"),  # of file managers
}
_APPENDED = ("events.jsonl", "train.log", "process.log")  # every other file is replaced as a whole


def is_run(folder: Path) -> bool:
    """Whether the folder has a mark of a run, whatever is wrong with it."""
    return any(os.path.lexists(folder / mark) for mark in MARKS)


def is_study(folder: Path) -> bool:
    """Whether the folder holds a study: its runs lie in it, and it is none itself."""
    return irregular(folder / STUDY) == "" and (folder / STUDY).is_file()


def runs_root(folder: Path) -> Path:
    """The folder of runs: around a study, whose own runs lie in it, that around the study."""
    return folder.parent if is_study(folder) else folder


def irregular_entry(folder: Path) -> str:
    """The first entry that a run does not have: "predictions is a symbolic link"; "" when all are as they should be."""
    waiting = [""]
    for inner in waiting:
        prefix = f"{inner}/" if inner else ""
        wrong = []
        try:
            with os.scandir(f"{folder}/{inner}") as entries:
                for entry in entries:  # the kinds come with the listing: no file is asked for its own
                    name = prefix + entry.name
                    if not _fits(entry, name):
                        wrong.append(name)
                    elif name.lower() in _FOLDERS:  # on some systems it is one, whatever its case
                        waiting.append(name)
        except (OSError, ValueError):  # not there, or its reader reports what is wrong with it
            continue
        if wrong:
            first = min(wrong)
            return f"{first} is {irregular(folder / first) or 'a file'}"
    return ""


def _fits(entry: os.DirEntry[str], name: str) -> bool:
    if entry.is_file(follow_symlinks=False):
        return name not in _FOLDERS
    return entry.is_dir(follow_symlinks=False) and name not in _FILES and not is_junction(entry)


def is_junction(path: os.DirEntry[str] | Path) -> bool:
    """Windows: a folder that stands for another one, which is no symbolic link by name. Raises OSError."""
    if os.name != "nt":
        return False
    tag = getattr(os.lstat(path), "st_reparse_tag", 0)
    return bool(tag == 0xA0000003)  # IO_REPARSE_TAG_MOUNT_POINT


def require_regular(folder: Path) -> None:
    """Raises BadRun when the run folder has an entry that leads elsewhere, or that would be waited for."""
    found = irregular_entry(folder)
    if found:
        raise BadRun(
            f"{folder.name}: {found}, where a run has regular files and folders only. Nothing is read from it or written to "
            f"it: take that entry out of {folder}, or delete the run."
        )


def foreign_entries(folder: Path) -> list[str]:
    """Files and folders in a run folder that MammoLab did not make, sorted; what lies in its own folders is the run's.

    By name alone, of whatever content an entry is. Links do not count: what they lead to is never deleted.
    """
    found = []
    waiting = [""]
    for inner in waiting:
        try:
            entries = list(os.scandir(folder / inner))
        except OSError:  # not there, or no folder
            continue
        for entry in entries:
            path = f"{inner}/{entry.name}" if inner else entry.name
            if entry.is_symlink() or is_junction(entry):
                continue
            is_folder = entry.is_dir(follow_symlinks=False)
            if is_folder and path in _FOLDERS:
                waiting.append(path)
            elif is_folder if inner else not (entry.name in _OWN | _FOLDERS or LEFTOVER.fullmatch(entry.name)):
                found.append(f"{path}/" if is_folder else path)
    return sorted(found)


def require_own_files(folder: Path) -> None:
    """Raises BadRun when a file that a training appends to is another file as well: what is written would stand there, too.

    Reading such a run is harmless, and a copy that shares its files (`cp -al`) is a usual backup.
    """
    for name in _APPENDED:
        found = shared(folder / name)
        if found:
            raise BadRun(
                f"{folder.name}: {name} is {found}, and training would write to both. Nothing was changed. Give the run a "
                f"file of its own: copy {folder / name} and put the copy in its place."
            )


class Presence:
    """A run folder as it was found; checks later whether it is still the same one at the same place."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._identity = _identity(folder)

    def require(self) -> None:
        """Raises BadRun when the folder was deleted or renamed since, also if another one has its name now."""
        if self._identity is None or _identity(self._folder) != self._identity:
            raise was_deleted(self._folder)

    def follow(self) -> Path:
        """Where the folder is now: renamed meanwhile, it is still beside where it was.

        Raises:
            BadRun: it was deleted, or moved elsewhere.
        """
        if self._identity is not None and _identity(self._folder) != self._identity:
            with contextlib.suppress(OSError):
                beside = [each for each in self._folder.parent.iterdir() if each.is_dir() and not each.is_symlink()]
                self._folder = next((each for each in beside if _identity(each) == self._identity), self._folder)
        self.require()
        return self._folder


def identity_of(folder: Path) -> str:
    """What a run folder keeps when it is renamed, and no other one has; "" for one that is not there."""
    found = _identity(folder)
    return "" if found is None else ":".join(map(repr, found))


def _identity(folder: Path) -> tuple[int, int, float] | None:
    try:
        found = folder.stat()
    except (OSError, ValueError):
        return None
    # The number of a deleted folder may be given to the next one.
    return found.st_dev, found.st_ino, created_at(folder / MARKS[0])


def was_deleted(folder: Path) -> BadRun:
    """The error of whoever wanted to write into a run that has gone."""
    return BadRun(f"{folder.name}: it was deleted or renamed meanwhile. What was computed for it is not written anywhere.")


def unwritten(folder: Path, what: str, error: OSError) -> BadRun:
    """The error to raise for one of the system while `what` was done; a folder that is gone is reported as such."""
    return (
        was_deleted(folder) if not folder.is_dir() else BadRun(f"{display_name(folder)}: {what} ({error.strerror or error}).")
    )
