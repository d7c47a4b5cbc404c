"""Locks of a run folder. Taking one never creates a missing folder, and never opens what is no regular file."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from core.errors import BadRun
from core.files.untrusted import irregular
from core.runs.folder import MARKS, unwritten, was_deleted
from core.runs.names import display_name
from core.runs.status import Status, read_status

TRAINING = ".lock"  # held while it is trained, or its model changed
EVALUATION = ".evaluation.lock"  # held while metrics are written
ACCESSES = ".test_accesses.lock"  # held while an access to its test set is written down
SHORT = 0.5  # seconds to wait for a lock whose holder may keep it for hours


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
    # The library creates a missing folder again: such a folder holds nothing but locks.
    if not _only_locks(folder):
        return lock
    lock.release()
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
        folder.rmdir()
    raise was_deleted(folder)


def take_training(folder: Path) -> FileLock:
    """The lock of whoever trains the run in `folder`, or changes its model; the system releases it when the process ends.

    Raises:
        BadRun: somebody else trains it; it was deleted; its folder cannot be written to.
    """
    try:
        lock = take(folder, TRAINING, SHORT)
    except Timeout as error:
        raise _being_trained(folder, read_status(folder / MARKS[0])) from error
    except OSError as error:
        raise unwritten(folder, "its folder cannot be written to", error) from error
    status = read_status(folder / MARKS[0])
    if (status.live or status.waiting) and status.host != platform.node():  # file locks may not reach across a network
        lock.release()
        raise _being_trained(folder, status)
    return lock


def _being_trained(folder: Path, status: Status) -> BadRun:
    where = f" (process {status.pid} on {status.host})" if status.live or status.waiting else ""
    return BadRun(f"{display_name(folder)}: it is being trained already{where}. Stop it first, or wait.")


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


__all__ = ["ACCESSES", "EVALUATION", "SHORT", "TRAINING", "Timeout", "holding", "take", "take_training"]
