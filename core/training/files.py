"""Small promises about files and processes that a run folder rests on, the same on Linux, macOS and Windows."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

# On Windows a file that someone has open cannot be replaced; readers of a run hold files for milliseconds only.
_REPLACE_TRIES = 40
_REPLACE_PAUSE = 0.05  # seconds

_TEMPORARY = ".tmp"
_WINDOWS = os.name == "nt"


def replace(source: Path, target: Path) -> None:
    """Rename `source` over `target` in one step, waiting a little for a reader that holds `target` (Windows)."""
    for left in reversed(range(_REPLACE_TRIES)):
        try:
            source.replace(target)
            return
        except PermissionError:
            # On POSIX this means a folder we may not write to: waiting does not help.
            if not left or not _WINDOWS:
                raise
            time.sleep(_REPLACE_PAUSE)


def write_atomically(target: Path, write: Callable[[BinaryIO], None]) -> None:
    """Let `write` fill a temporary file beside `target`, then put it in place of `target` once it is on the disk.

    Whoever reads `target` sees the old content or the new, never a part; so does a machine after a power cut.
    When anything fails, the temporary file is removed (on a full disk it would hold the last free bytes).
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}{_TEMPORARY}")
    try:
        with temporary.open("wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


def write_text(target: Path, text: str) -> None:
    """Replace `target` by `text` (UTF-8, line ends as they are), atomically."""
    content = text.encode("utf-8")

    def write(stream: BinaryIO) -> None:
        stream.write(content)

    write_atomically(target, write)


def remove_leftovers(folder: Path) -> None:
    """Delete temporary files that a killed writer left behind. Only for the one process that holds the folder's lock."""
    for path in folder.glob(f".*{_TEMPORARY}"):
        path.unlink(missing_ok=True)


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

    query_limited_information, still_active = 0x1000, 259
    kernel = ctypes.windll.kernel32  # type: ignore[attr-defined,unused-ignore]
    handle = kernel.OpenProcess(query_limited_information, False, pid)
    if not handle:
        return False
    try:
        code = ctypes.c_ulong()
        return bool(kernel.GetExitCodeProcess(handle, ctypes.byref(code))) and code.value == still_active
    finally:
        kernel.CloseHandle(handle)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable. Windows cannot open folders, and does not need it."""
    if _WINDOWS:
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        return  # some network file systems refuse to sync folders; the file's content is safe all the same
    finally:
        os.close(descriptor)
