"""Folder of uploads of the Gradio tab: one per server, emptied whenever a server starts or ends.

Gradio would put them into the system's temporary folder, under their own names, where they stay for good when the server
is killed. Each server locks its folder while it lives; whoever starts next removes the folders of servers that are gone.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import time
import uuid
from pathlib import Path

from filelock import FileLock, Timeout

from core.files.paths import cache_home

log = logging.getLogger(__name__)

LARGEST = 2 * 1000**3  # bytes of uploads in all; beyond that no upload is taken until older ones are deleted
MOST = 10_000  # files of uploads in all
KEEP = 3600.0  # seconds
_LOCK = ".lock"
_NAME, _UNPACKED = "uploads-", "unpacked-"

_locks: dict[Path, FileLock] = {}


def root() -> Path:
    """The folder that holds one folder per server: below MAMMOLAB_CACHE, else the user's cache folder."""
    return cache_home().absolute()


def open_folder() -> Path:
    """Make this server's folder, readable by its user only, and set it as Gradio's; remove those of servers that are gone.

    Call it before Gradio is imported: some of its modules look at GRADIO_TEMP_DIR once.
    """
    parent = root()
    folder = parent / f"{_NAME}{uuid.uuid4().hex[:12]}"
    parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(parent)
    folder.mkdir(mode=0o700)
    lock = FileLock(folder / _LOCK, thread_local=False)
    lock.acquire(timeout=5)
    _locks[folder] = lock
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    return folder


def unpacking_folder() -> Path | None:
    """Where archives of this server are unpacked while they are scored: it goes with the server, also with one that was
    killed. None where no server is open."""
    folder = next(reversed(_locks), None)
    if folder is None:
        return None
    _beside(folder).mkdir(mode=0o700, exist_ok=True)
    return _beside(folder)


def close_folder(folder: Path) -> None:
    """Delete a folder of this server with everything in it, and what was unpacked."""
    lock = _locks.pop(folder, None)
    shutil.rmtree(_beside(folder), ignore_errors=True)
    _empty(folder)
    if lock is not None:
        lock.release()
    shutil.rmtree(folder, ignore_errors=True)


def sweep(folder: Path, older_than: float = KEEP) -> None:
    """Delete what was uploaded longer ago than that (seconds), and folders that are empty."""
    before = time.time() - older_than
    for path in sorted(folder.rglob("*"), reverse=True):  # what is in a folder comes before the folder
        with contextlib.suppress(OSError):  # being written, or gone already
            if path.name == _LOCK and path.parent == folder:
                continue
            if path.is_dir() and not path.is_symlink():
                if path.stat().st_mtime < before:
                    path.rmdir()
            elif path.lstat().st_mtime < before:
                path.unlink()


def has_room(folder: Path, size: int) -> bool:
    """Whether `size` further bytes may be uploaded: at most LARGEST bytes and MOST files are stored at a time."""
    total, files = size, 1
    for place, _, names in os.walk(folder):
        files += len(names)
        for name in names:
            with contextlib.suppress(OSError):
                total += (Path(place) / name).stat().st_size
    return total <= LARGEST and files <= MOST


def _remove_abandoned(parent: Path) -> None:
    for folder in parent.glob(f"{_NAME}{'[0-9a-f]' * 12}"):
        if folder in _locks or folder.is_symlink() or not folder.is_dir():
            continue
        lock = FileLock(folder / _LOCK, thread_local=False)
        try:
            lock.acquire(timeout=0)
        except (Timeout, OSError):  # its server lives
            continue
        log.info("removing uploads that a server left behind: %s", folder.name)
        shutil.rmtree(_beside(folder), ignore_errors=True)
        _empty(folder)
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def _beside(folder: Path) -> Path:
    """Of a folder of uploads, that of what was unpacked: not below it, where it would count as uploaded."""
    return folder.with_name(folder.name.replace(_NAME, _UNPACKED, 1))


def _empty(folder: Path) -> None:
    """Delete everything but the lock: Windows deletes no file that is open."""
    for path in list(folder.iterdir()) if folder.is_dir() else []:
        if path.name == _LOCK:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink()
