"""Renaming and deleting run folders: only one that is a run beyond doubt, and holds nothing else.

To open a run asks for less: a damaged one is listed and looked at. What cannot be undone asks for more.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from pathlib import Path

from core.errors import BadRun
from core.files.folders import remove_folder
from core.files.untrusted import irregular
from core.runs.drafts import DELETED, sweep
from core.runs.folder import MARKS, foreign_entries, is_junction, require_regular
from core.runs.locks import EVALUATION, SHORT, TRAINING, Timeout, take, take_training
from core.runs.names import display_name
from core.wording import first_few

_MANIFEST = "manifest.csv"
_WINDOWS = os.name == "nt"
_WRITTEN = ("status.json", "events.jsonl")  # a training writes both; one may have been lost
_OF_A_WORKSPACE = ("checkpoints", "data")
_NAMED = 10  # foreign entries that a message names
_MOST_ENTRIES = 100_000  # a run has some hundreds: a folder with more is examined no further, and not deleted


def is_link(path: Path) -> bool:
    """Whether the path itself stands for another folder: a symbolic link, or a junction of Windows."""
    with suppress(OSError):
        return path.is_symlink() or is_junction(path)
    return False


def rename_folder(path: Path, name: str, keep: Iterable[Path] = ()) -> Path:
    """Give the run folder `path` the name `name`; returns where it is then. Raises BadRun as `Run.rename`."""
    target = path.with_name(name)
    if target == path:
        return path
    require_regular(path)
    require_removable(path, "renamed", keep)
    # A change of case only is the same folder on Windows and macOS.
    if os.path.lexists(target) and not (target.exists() and target.samefile(path)):
        raise BadRun(f"there is already a run named {name}; choose another name")
    _move(path, target, "renamed")
    return target


def delete_folder(path: Path, keep: Iterable[Path] = (), *, everything: bool = False) -> None:
    """Delete the run folder `path`; of a link only the link. Raises BadRun as `Run.delete`."""
    require_removable(path, "deleted", keep)
    if not everything:
        require_nothing_foreign(path)
    name = display_name(path)
    if is_link(path):
        try:
            path.unlink()
        except OSError as error:
            raise BadRun(f"{name}: the link cannot be removed ({error.strerror or error}).") from error
        return
    sweep(path.parent)
    grave = path.with_name(f"{DELETED}{uuid.uuid4().hex[:12]}")
    _move(path, grave, "deleted")  # gone at once for everybody, whatever happens while its files are removed
    try:
        remove_folder(grave)
    except OSError as error:
        raise BadRun(
            f"{name}: it is deleted, but not all of its files could be removed ({error.strerror or error}). The rest "
            f"is in {grave}: close what has it open; the next run that is made or deleted here removes it too."
        ) from error


def _move(path: Path, target: Path, action: str) -> None:
    """Rename the folder while nobody trains or scores the run.

    A lock that is no regular file keeps nobody from it: whoever trains or scores refuses such a run.
    """
    name = display_name(path)
    with ExitStack() as locks:
        try:
            if not irregular(path / TRAINING):
                locks.callback(take_training(path).release)
            if not irregular(path / EVALUATION):
                locks.callback(take(path, EVALUATION, SHORT).release)
        except Timeout as error:
            raise BadRun(
                f"{name}: it cannot be {action} now: metrics of it are being written. Wait a moment, and try again."
            ) from error
        except (BadRun, OSError) as error:
            words = error.strerror or error if isinstance(error, OSError) else error
            raise BadRun(f"{name}: it cannot be {action} now. {words}") from error
        if _WINDOWS:  # which moves no folder in which a file is open
            locks.close()
        try:
            path.rename(target)
        except OSError as error:
            raise BadRun(f"{name}: it cannot be {action} ({error.strerror or error}). Close what has it open.") from error


def foreign(path: Path) -> list[str]:
    """What would be deleted with a run although MammoLab did not make it; [] for a link, which goes alone."""
    return [] if is_link(path) else foreign_entries(path)


def require_nothing_foreign(path: Path) -> None:
    """Raises BadRun, which lists them, where entries that are not the run's would be deleted with it."""
    found = foreign(path)
    if found:
        raise BadRun(
            f"{path}: it is not deleted: its folder holds what MammoLab did not make: {first_few(found, _NAMED)}. "
            "Nothing was changed. Move that elsewhere, or have it deleted, too: "
            "`python -m core run delete --everything`, or the tick on the Runs page."
        )


def require_removable(path: Path, action: str, keep: Iterable[Path] = ()) -> None:
    """Refuse to delete or rename a folder that may be more than a run.

    Args:
        action: what is to be done with it, for the message: "deleted", "renamed".
        keep: further folders that must stay where they are, the configured runs folder for one.

    Raises:
        BadRun: it lacks what a training writes, or it is or holds something else: the current folder, the home folder, one of
            `keep`, a file system's root, a repository, a data set, another run.
    """
    _require_evidence(path, action)
    if is_link(path):
        return  # the link goes, not what it leads to
    real = path.resolve()
    reason = _is_more(real, keep)
    if reason:
        raise BadRun(
            f"{path}: it is not {action}: {reason}. Nothing was changed. If it is a run all the same, move what does not "
            "belong to it elsewhere first, or do it by hand."
        )


def _require_evidence(path: Path, action: str) -> None:
    """By name alone, of whatever kind and content: a damaged run has to stay deletable."""
    written = any(os.path.lexists(path / name) for name in _WRITTEN)
    if written and os.path.lexists(path / _MANIFEST):
        return
    lacking = [] if written else [" and ".join(_WRITTEN)]
    if not os.path.lexists(path / _MANIFEST):
        lacking.append(_MANIFEST)
    raise BadRun(
        f"{path}: it is not {action}: it lacks {', '.join(lacking)}, so it may be something else than a run. Nothing was "
        "changed. If it is the rest of a run, remove the folder by hand."
    )


def _is_more(folder: Path, keep: Iterable[Path]) -> str:
    """Why the folder may be more than a run; "" where nothing suggests it."""
    if folder.parent == folder or os.path.ismount(folder):
        return "it is the root of a file system"
    for place, what in _places(keep):
        if _holds(folder, place):
            return f"it is, or holds, {what} ({place})"
    return _foreign_entry(folder)


def _places(keep: Iterable[Path]) -> Iterable[tuple[Path, str]]:
    with suppress(OSError):  # it was deleted
        yield Path.cwd(), "the current folder"
    with suppress(RuntimeError):  # this system does not know it
        yield Path.home(), "your home folder"
    for place in keep:
        yield place, "the runs folder"


def _holds(folder: Path, place: Path) -> bool:
    """Whether `place` is `folder` or lies below it, by any name: links, and case on some systems, do not count."""
    try:
        place = place.absolute().resolve()
    except (OSError, RuntimeError, ValueError):
        return False
    return any(_same(folder, each) for each in (place, *place.parents))


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:  # one is not there
        return os.path.normcase(one) == os.path.normcase(other)


def _foreign_entry(folder: Path) -> str:
    seen = 0
    waiting = [folder]
    while waiting:
        inner = waiting.pop()
        try:
            with os.scandir(inner) as found:
                entries = list(found)
        except OSError:
            continue  # what cannot be looked into is left in place by the deletion as well
        seen += len(entries)
        if seen > _MOST_ENTRIES:
            return f"it holds more than {_MOST_ENTRIES:,} files, a run some hundreds"
        names = {entry.name for entry in entries}
        for entry in entries:
            folded = entry.name.lower()
            if folded == ".git":
                return f"it holds a repository ({inner / entry.name})"
            if inner == folder and folded in _OF_A_WORKSPACE and entry.is_dir():
                return f"it holds {entry.name}/, as a workspace does and a run does not"
            if entry.is_dir(follow_symlinks=False):
                waiting.append(inner / entry.name)
        if inner != folder and _MANIFEST in names and names & set(MARKS):
            return f"it holds another run ({inner})"
    return ""
