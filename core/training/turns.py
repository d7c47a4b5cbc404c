"""One training a device at a time: whoever comes while it is busy waits in line, across threads, processes and programs.

<home>/line/<host>/<device>/     .lock                      held while the line changes
                                 00000012.json, 00000012.lock   a place: who waits or trains; its lock is held meanwhile

The system gives a lock back when its process ends, however it ends: a place whose lock is free belongs to nobody and
is removed by the next one who looks.
"""

from __future__ import annotations

import json
import platform
import re
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from core.errors import TrainingFailed
from core.images.pseudonym import home

_LONG = 10.0  # seconds; to join a line takes milliseconds


class Place:
    """A place in the line for a device, held from its making until `leave`. A context."""

    def __init__(self, device: str, name: str) -> None:
        """Join the end of the line for `device` ("cpu", "cuda:0"); `name` is what others read who wait behind.

        Raises:
            TrainingFailed: the line's folder cannot be written to.
        """
        self.folder = home() / "line" / _safe(platform.node() or "host") / _safe(device)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / ".lock", timeout=_LONG):
                self.number = max(self._numbers(), default=0) + 1
                self._lock = FileLock(self._file(self.number, "lock"), thread_local=False)
                self._lock.acquire(timeout=0)
                self._file(self.number, "json").write_text(json.dumps({"run": name}), encoding="utf-8")
        except OSError as error:  # a Timeout is one too
            raise TrainingFailed(
                f"{self.folder}: the line for {device} cannot be written to ({error.strerror or error}). "
                "Set MAMMOLAB_HOME to a folder you can write to."
            ) from error

    def ahead(self) -> list[str]:
        """Names of the trainings that come first, the one at work foremost; [] when it is our turn."""
        return [name for number in self._numbers() if number < self.number and (name := self._occupant(number)) is not None]

    def leave(self) -> None:
        """Give the place up; the next one in line moves up. Does nothing the second time."""
        if self._lock.is_locked:
            self._file(self.number, "json").unlink(missing_ok=True)
            self._lock.release()
            self._file(self.number, "lock").unlink(missing_ok=True)

    def __enter__(self) -> Place:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.leave()

    def _numbers(self) -> list[int]:
        return sorted(int(path.stem) for path in self.folder.glob("*.json") if path.stem.isdigit())

    def _occupant(self, number: int) -> str | None:
        """Who holds the place; None, and the place removed, when nobody does any more."""
        lock = FileLock(self._file(number, "lock"), thread_local=False)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return self._name(number)
        self._file(number, "json").unlink(missing_ok=True)
        lock.release()
        self._file(number, "lock").unlink(missing_ok=True)
        return None

    def _name(self, number: int) -> str | None:
        try:
            return str(json.loads(self._file(number, "json").read_text(encoding="utf-8"))["run"])
        except FileNotFoundError:
            return None  # it left a moment ago
        except (OSError, ValueError, KeyError, TypeError):
            return "another training"

    def _file(self, number: int, kind: str) -> Path:
        return self.folder / f"{number:08d}.{kind}"


def _safe(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text)
