"""Locks of a run folder. To take one never makes a folder anew, and never opens what is no regular file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from core.errors import BadRun
from core.small_files import irregular
from core.training.folder import is_run, was_deleted

TRAINING = ".lock"  # held while it is trained, or its model changed
EVALUATION = ".evaluation.lock"  # held while figures are written


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
    lock.acquire(timeout=timeout)
    if is_run(folder):  # the library makes a missing folder anew; such a one has nothing of a run in it
        return lock
    lock.release()
    _remove_remains(path)
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


def _remove_remains(path: Path) -> None:
    """Take away the lock, and the folder that locking has made in place of a run's, if there is nothing else in it."""
    with contextlib.suppress(OSError):
        if [each.name for each in path.parent.iterdir()] in ([path.name], []):
            path.unlink(missing_ok=True)
            path.parent.rmdir()


__all__ = ["EVALUATION", "TRAINING", "Timeout", "holding", "take"]
