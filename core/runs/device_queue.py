"""The queue of each device: one training at a time, across threads, processes and programs.

<home>/line/<host>/<device>/     .lock                      held while the queue changes
                                 00000012.json, 00000012.lock   a ticket: who waits or trains; its lock is held meanwhile

The system gives a lock back when its process ends, however it ends: a ticket whose lock is free belongs to nobody and
is removed by the next one who reads the queue.
"""

from __future__ import annotations

import json
import platform
import re
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from core.errors import TrainingFailed
from core.files.paths import home
from core.files.untrusted import read_json

_NUMBER = re.compile(r"[0-9]{8,15}")
_UNNAMED = "another training"  # who holds a ticket that cannot be read
_LONGEST_NAME = 200  # characters
_LONGEST_PATH = 4096  # characters
_LONG = 10.0  # seconds; joining a queue takes milliseconds


@dataclass(frozen=True)
class QueuedRun:
    """Who holds a ticket: the run's name, and its folder where it is known; the run may belong to another lab."""

    name: str
    folder: Path | None = None


class Ticket:
    """A place in the queue of a device, held from its making until `leave`. A context."""

    def __init__(self, device: str, name: str, run_folder: Path | None = None) -> None:
        """Join the end of the queue of `device` ("cpu", "cuda:0"); `name` and `run_folder` are what others read who wait
        behind.

        Raises:
            TrainingFailed: the queue's folder cannot be written to.
        """
        self.folder = _folder(device)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with _changing(self.folder):
                self.number = max(_numbers(self.folder), default=0) + 1
                self._lock = FileLock(_file(self.folder, self.number, "lock"), thread_local=False)
                self._lock.acquire(timeout=_LONG)  # who reads the queue may hold it for a moment
                _file(self.folder, self.number, "json").write_text(
                    json.dumps({"run": name, "folder": None if run_folder is None else str(run_folder.absolute())}),
                    encoding="utf-8",
                )
        except OSError as error:  # a Timeout is one too
            raise TrainingFailed(
                f"{self.folder}: the queue of {device} cannot be written to ({error.strerror or error}). "
                "Set MAMMOLAB_HOME to a folder you can write to."
            ) from error

    def ahead(self) -> list[str]:
        """Names of the trainings that come first, the one at work foremost; [] when it is our turn."""
        before = (number for number in _numbers(self.folder) if number < self.number)
        return [found.name for number in before if (found := _holder(self.folder, number))]

    def leave(self) -> None:
        """Give the ticket up; the next one moves up. Does nothing the second time."""
        if not self._lock.is_locked:
            return
        try:
            _remove(self.folder, self.number, self._lock)
        finally:
            self._lock.release()

    def __enter__(self) -> Ticket:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.leave()


def waiting(device: str) -> list[QueuedRun]:
    """The trainings that are at work or wait on `device` here, in their order; a new one comes after them."""
    return _in_order(_folder(device))


def at_work() -> list[str]:
    """Names of the trainings that are at work here, one a device at most."""
    folders = sorted(each for each in _host().glob("*") if each.is_dir())
    return [found[0].name for folder in folders if (found := _in_order(folder))]


def _in_order(folder: Path) -> list[QueuedRun]:
    return [found for number in _numbers(folder) if (found := _holder(folder, number))]


def _host() -> Path:
    return home() / "line" / _safe(platform.node() or "host")


def _folder(device: str) -> Path:
    return _host() / _safe(device)


def _numbers(folder: Path) -> list[int]:
    return sorted(int(path.stem) for path in folder.glob("*.json") if _NUMBER.fullmatch(path.stem))


def _holder(folder: Path, number: int) -> QueuedRun | None:
    """Who holds the ticket; None, and the ticket removed, when nobody does any more."""
    lock = FileLock(_file(folder, number, "lock"), thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return _read(folder, number)
    try:
        _remove(folder, number, lock)
    finally:
        lock.release()
    return None


def _changing(folder: Path) -> FileLock:
    """Held while tickets come and go: nobody takes a number whose files are just being removed."""
    return FileLock(folder / ".lock", timeout=_LONG)


def _remove(folder: Path, number: int, lock: FileLock) -> None:
    """Remove the ticket whose lock is held here; leaves it unlocked."""
    with _changing(folder):
        _file(folder, number, "json").unlink(missing_ok=True)
        lock.release()  # Windows removes no file that is open
        _file(folder, number, "lock").unlink(missing_ok=True)


def _read(folder: Path, number: int) -> QueuedRun | None:
    try:
        found = read_json(_file(folder, number, "json"))
        name, place = found["run"], found.get("folder")
    except FileNotFoundError:
        return None  # it left a moment ago
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return QueuedRun(_UNNAMED)
    known = isinstance(place, str) and 0 < len(place) <= _LONGEST_PATH and "\0" not in place
    return QueuedRun(name[:_LONGEST_NAME] if isinstance(name, str) and name else _UNNAMED, Path(place) if known else None)


def _file(folder: Path, number: int, kind: str) -> Path:
    return folder / f"{number:08d}.{kind}"


def _safe(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text)
