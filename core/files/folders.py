"""Run-folder file helpers: whole writes, removal, and whether a process is alive; the same on Linux, macOS and Windows."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import psutil

from core.files.atomic import LEFTOVER, TEMPORARY, replacing, write_text

__all__ = ["process_alive", "remove_folder", "remove_leftovers", "remove_strays", "write_atomically", "write_text"]

_CLOCK_TICK = 2.0  # seconds: the system counts the start of a process from a boot time in whole seconds


def write_atomically(target: Path, write: Callable[[BinaryIO], None]) -> None:
    """Let `write` fill a temporary file beside `target`, then put it in place of `target` once it is on the disk."""
    with replacing(target, durable=True) as stream:
        write(stream)


def remove_leftovers(folder: Path) -> None:
    """Delete temporary files that a killed writer left behind. Only for the one process that holds the folder's lock."""
    for path in folder.glob(f".*{TEMPORARY}"):
        if LEFTOVER.fullmatch(path.name):
            path.unlink(missing_ok=True)


def remove_folder(folder: Path) -> None:
    """Remove a folder, or as much of it as the system lets go of. Raises OSError when something is left."""
    shutil.rmtree(folder, ignore_errors=True)  # another program may be removing it at the same time
    if folder.exists():
        shutil.rmtree(folder)


def remove_strays(root: Path, prefix: str, older_than: float = 0.0) -> None:
    """Remove our folders of that prefix and this age in seconds, as far as the system lets go of them by now."""
    for stray in root.glob(prefix + "[0-9a-f]" * 12):  # not another program's `.new-project`
        with suppress(OSError):  # another program has just removed it, or made a run of it
            if time.time() - stray.stat().st_mtime >= older_than:
                shutil.rmtree(stray, ignore_errors=True)


def process_alive(pid: int, since: float) -> bool:
    """Whether the process `pid` runs on this machine and did so at `since` (seconds since 1970).

    A process that started later is another program, which was given the number of one that had ended.
    """
    if pid <= 0:
        return False
    try:
        process = psutil.Process(pid)
        return process.create_time() <= since + _CLOCK_TICK and process.status() != psutil.STATUS_ZOMBIE
    except psutil.AccessDenied:
        return True  # it exists, and belongs to somebody else
    except (psutil.NoSuchProcess, ValueError):
        return False
