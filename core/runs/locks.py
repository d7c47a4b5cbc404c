"""Locks of a run folder. To take one never makes a folder anew, and never opens what is no regular file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from core.errors import BadRun
from core.files.untrusted import irregular
from core.runs.folder import was_deleted

TRAINING = ".lock"  # held while it is trained, or its model changed
EVALUATION = ".evaluation.lock"  # held while figures are written
ACCESSES = ".test_accesses.lock"  # held while an access to its test set is written down


def take(folder: Path, name: str, timeout: float = -1.0) -> FileLock:
    """Take a lock of the run in `folder`, waiting at most `timeout` seconds (-1: until it is free).

    Raises:
        Timeout: somebody else holds it.
        BadRun: the run was deleted or renamed; its lock is no regular file.
        OSError: the folder cannot be written to.
    """
    path = folder / name
    if not folder.is_dir():
        raise was_deleted(folder)
    kind = irregular(path)
    if kind:
        raise BadRun(f"{folder.name}: {name} is {kind}, where a lock is a regular file. Take that entry out of {folder}.")
    lock = FileLock(path, thread_local=False)
    try:
        lock.acquire(timeout=timeout)
    except FileNotFoundError as error:  # the folder was moved away while we waited
        raise was_deleted(folder) from error
    # The library makes a missing folder anew: such a one has nothing in it but locks.
    if not _only_locks(folder):
        return lock
    lock.release()
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
        folder.rmdir()
    raise was_deleted(folder)


@contextmanager
def holding(folder: Path, name: str) -> Iterator[None]:
    """Hold a lock of the run in `folder`, waited for as long as it takes. Raises BadRun as `take`, also for an OSError."""
    try:
        lock = take(folder, name)
    except OSError as error:
        raise BadRun(f"{folder.name}: its folder cannot be written to ({error.strerror or error}).") from error
    try:
        yield
    finally:
        lock.release()


def _only_locks(folder: Path) -> bool:
    try:
        return {entry.name for entry in folder.iterdir()} <= {TRAINING, EVALUATION, ACCESSES}
    except OSError:
        return True


__all__ = ["ACCESSES", "EVALUATION", "TRAINING", "Timeout", "holding", "take"]
