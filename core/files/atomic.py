"""Atomic writes: a temporary file beside the target, then a rename over it.

Whoever reads the target sees the old content or the new, never a part; the same on Linux, macOS and Windows.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

# Temporary files are named `.<target>.<process>.<random>.tmp`: no two writers share one, and no listing shows them.
TEMPORARY = ".tmp"
LEFTOVER = re.compile(rf"\..+\.\d+\.[0-9a-f]{{8}}{re.escape(TEMPORARY)}")  # one that a killed writer left behind

# On Windows a file that someone has open cannot be replaced; readers hold files for milliseconds only.
_REPLACE_TRIES = 40
_REPLACE_PAUSE = 0.05  # seconds

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


@contextlib.contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[BinaryIO]:
    """Open a temporary file for bytes that becomes `path` when the block ends, and vanishes when anything fails.

    A part left behind on a full disk would hold its last free bytes. `durable` waits until the bytes, and the rename, are
    on the disk: then a power cut leaves the old content or the new, too.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}{TEMPORARY}")
    try:
        with temporary.open("wb") as stream:
            yield stream
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    if durable:
        _sync_folder(path.parent)


def write_text(path: Path, text: str) -> None:
    """Replace `path` by `text` (UTF-8, line ends as they are), atomically and durably."""
    content = text.encode("utf-8")
    with replacing(path, durable=True) as stream:
        stream.write(content)


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable. Windows cannot open folders, and does not need it."""
    if _WINDOWS:
        return
    # Some network file systems refuse to sync folders; the file's content is safe all the same.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
