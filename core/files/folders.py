"""Small promises about files and processes that a run folder rests on, the same on Linux, macOS and Windows."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from core.files.atomic import LEFTOVER, TEMPORARY, replacing, write_text

__all__ = ["process_alive", "remove_folder", "remove_leftovers", "remove_strays", "write_atomically", "write_text"]

_WINDOWS = os.name == "nt"


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


def process_alive(pid: int) -> bool:
    """Whether a process with this id exists on this machine (it may be another program that got the same id)."""
    if pid <= 0:
        return False
    if _WINDOWS:
        return _process_alive_windows(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # it exists and belongs to someone else
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Linux: a killed process that its parent has not collected still has an id. Elsewhere: not known, so False."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[:1] == ["Z"]


def _process_alive_windows(pid: int) -> bool:
    # os.kill(pid, 0) would send Ctrl-C there.
    import ctypes

    query_limited_information, still_active, access_denied = 0x1000, 259, 5
    kernel = ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined,unused-ignore]
    handle = kernel.OpenProcess(query_limited_information, False, pid)
    if not handle:
        # What may not be asked about exists and belongs to someone else, as EPERM says elsewhere.
        return bool(ctypes.get_last_error() == access_denied)  # type: ignore[attr-defined,unused-ignore]
    try:
        code = ctypes.c_ulong()
        return bool(kernel.GetExitCodeProcess(handle, ctypes.byref(code))) and code.value == still_active
    finally:
        kernel.CloseHandle(handle)
