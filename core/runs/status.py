"""The status of a run (status.json): what it is doing, which process does it, and whether that is still there."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from core.files.folders import process_alive, write_text
from core.files.untrusted import read_bytes, read_json

State = Literal["queued", "running", "paused", "stopped", "done", "failed", "interrupted"]

HEARTBEAT_SECONDS = 2.0
# A trainer that has not written for this long is taken for dead: a host that lost power, a killed container.
STALE_SECONDS = 30.0
# A process of its own writes nothing until its libraries are loaded, which a cold disk makes long.
STARTING_SECONDS = 300.0

# Hosts' clocks differ by a little; a heartbeat that is further ahead of ours was not written by a trainer that is alive.
CLOCK_SKEW = 300.0
_LATEST = 7_258_118_400.0  # seconds: the year 2200. Beyond it, dates cannot be computed with
_MOST = 10**9  # epochs, steps; seconds left


def _cut(text: str, longest: int = 4_000) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _possible_heartbeat(value: float | None) -> float | None:
    return value if value is not None and 0 <= value <= _LATEST else None


Time = Annotated[float, Field(ge=0, le=_LATEST)]  # seconds since 1970
Count = Annotated[int, Field(ge=0, le=_MOST)]
Reason = Annotated[str, AfterValidator(_cut)]
Word = Annotated[str, AfterValidator(lambda text: _cut(text, 200))]

# Tells this process from an earlier one that had the same id (in a container, the server is always process 1).
PROCESS = uuid.uuid4().hex

# Final states of trainers of this process that could not be written: the file still has "running".
_unwritten: dict[Path, Status] = {}

# When runs were made, by their file and its time of change: pages list all of them every other second.
_created: dict[Path, tuple[tuple[int, int, int], float]] = {}
_MOST_KNOWN = 10_000


@dataclass(frozen=True)
class Status:
    """What status.json says. Times are seconds since 1970 or None, `epoch` counts finished epochs.

    `state` is as written in the file, but for "interrupted": the file says running or paused and nobody is there.
    `launcher` is "thread" (of the dashboard), "process", "command line" or "torchrun".
    `was` and `was_reason` are what a run that waits to be resumed goes back to when it leaves the queue.
    `problem` says, in words, what is wrong with the folder; "" when nothing is. What is read from a file is within the bounds
    of these types: longer texts are cut, an impossible heartbeat is none, any other value makes the status a damaged one.
    """

    state: State = "queued"
    reason: Reason = ""
    pid: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    host: Word = ""
    process: Word = ""
    launcher: Word = ""
    heartbeat: Annotated[float | None, AfterValidator(_possible_heartbeat)] = None
    created: Time | None = None
    started: Time | None = None
    finished: Time | None = None
    epoch: Count = 0
    epochs: Count = 0
    phase: Word = ""
    step: Count = 0
    steps: Count = 0
    monitor: Word = ""
    best_epoch: Count | None = None
    best_value: Annotated[float, Field(ge=-1e12, le=1e12)] | None = None
    eta_seconds: Annotated[float, Field(ge=-_MOST, le=_MOST)] | None = None
    device: Word = ""
    was: State | Literal[""] = ""
    was_reason: Reason = ""
    problem: Annotated[str, AfterValidator(lambda text: "")] = ""  # never from the file

    @property
    def live(self) -> bool:
        """Whether a trainer is at work (or paused) on it now."""
        return self.state in ("running", "paused")

    @property
    def waiting(self) -> bool:
        """Whether somebody waits with it for a device, or is about to begin."""
        return self.state == "queued" and self.pid is not None

    @property
    def resumable(self) -> bool:
        """Whether it ended before its last epoch, so that resuming makes sense."""
        return self.state in ("interrupted", "stopped", "failed")


_SHAPE = TypeAdapter(Status)  # passes over fields it does not know


def read_status(path: Path) -> Status:
    """The status with "interrupted" worked out. Never raises: `problem` describes a missing or broken file."""
    last_state = _unwritten.get(path)
    try:
        status = _SHAPE.validate_json(read_bytes(path))
    except FileNotFoundError:
        return _broken(f"{path.name} is missing")
    except OSError as error:
        return _broken(f"{path.name} cannot be read: {error.strerror or error}")
    except ValidationError as error:
        first = error.errors()[0]
        return last_state or _broken(f"{path.name} is damaged: {'.'.join(map(str, first['loc']))} {first['msg']}")
    except ValueError as error:
        return last_state or _broken(f"{path.name} is damaged: {error}")
    if last_state and status.process == PROCESS and (status.heartbeat or 0.0) <= (last_state.heartbeat or 0.0):
        return last_state
    if status.live and not _trainer_present(status, time.time()):
        reason = status.reason or (
            "The program that trained it ended unexpectedly: it was killed, the machine went down, or the run's folder "
            "can no longer be written to. Nothing before its last checkpoint is lost: resume it."
        )
        return dataclasses.replace(status, state="interrupted", reason=reason)
    if status.waiting and not _trainer_present(status, time.time()):
        if status.was:
            return dataclasses.replace(status, state=status.was, reason=status.was_reason, pid=None, was="", was_reason="")
        output = "; its output is in process.log in the run's folder" if status.launcher == "process" else ""
        reason = f"The program that was to train it ended before it began{output}."
        return dataclasses.replace(status, pid=None, reason=reason)
    return status


def created_at(path: Path) -> float:
    """When the run was made, for putting runs in order: 0 where status.json has no time, or a future one."""
    try:
        found = os.lstat(path)
        stamp = found.st_mtime_ns, found.st_size, found.st_ino
        known = _created.get(path)
        if known is None or known[0] != stamp:
            if len(_created) >= _MOST_KNOWN:
                _created.clear()
            created = read_json(path)["created"]
            known = _created[path] = stamp, float(created) if isinstance(created, int | float) and created >= 0 else 0.0
    except (OSError, ValueError, TypeError, LookupError):
        return 0.0
    return known[1] if known[1] <= time.time() + CLOCK_SKEW else 0.0


def _broken(problem: str) -> Status:
    problem = _cut(problem)
    return Status(state="failed", reason=problem, problem=problem)


def _trainer_present(status: Status, now: float) -> bool:
    starting = status.waiting and not status.process
    if status.heartbeat is None or now - status.heartbeat > (STARTING_SECONDS if starting else STALE_SECONDS):
        return False
    if status.heartbeat - now > CLOCK_SKEW:
        return False
    if status.host != platform.node():
        return True  # another host: its heartbeat is all we can see
    if status.pid == os.getpid():
        return status.process == PROCESS
    return status.pid is not None and process_alive(status.pid, since=status.heartbeat)


class StatusWriter:
    """The one writer of a run's status.json while it trains: changes at once, and a heartbeat from its own thread.

    A disk that fails for a moment does not end the training here: the heartbeat tries again, and only an explicit
    `update` raises OSError.
    """

    def __init__(self, path: Path, heartbeat_seconds: float = HEARTBEAT_SECONDS) -> None:
        self._path = path
        self._heartbeat_seconds = heartbeat_seconds
        self._lock = threading.Lock()
        self._status = dataclasses.replace(read_status(path), problem="")
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, **changes: Any) -> None:
        """Take the run over: this process, this host, heartbeats from now on."""
        self.update(pid=os.getpid(), host=platform.node(), process=PROCESS, **changes)
        self._thread = threading.Thread(target=self._beat, name=f"heartbeat {self._path.parent.name}", daemon=True)
        self._thread.start()

    def note(self, **changes: Any) -> None:
        """Change fields; they reach the disk with the next heartbeat. Cheap enough for every step."""
        with self._lock:
            self._status = dataclasses.replace(self._status, **changes)

    def update(self, **changes: Any) -> None:
        """Change fields and write them now."""
        with self._lock:
            self._status = dataclasses.replace(self._status, **changes)
            self._write()

    def last_state(self, **changes: Any) -> None:
        """Record how it ended where `update` has failed: in place on a full disk, whose blocks the file has already; else
        for this process alone, whose pages then still show it.
        """
        with self._lock:
            self._status = dataclasses.replace(self._status, heartbeat=time.time(), **changes)
            content = _text(self._status).encode("utf-8")
            try:
                with self._path.open("r+b") as stream:
                    stream.write(content)
                    stream.truncate()
            except OSError:
                _unwritten[self._path] = self._status

    def stop(self) -> None:
        """End the heartbeat; what was last written stays."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _beat(self) -> None:
        while not self._ended.wait(self._heartbeat_seconds):
            with self._lock:
                try:
                    self._write()
                except OSError as error:
                    self._status = dataclasses.replace(self._status, reason=f"status.json could not be written: {error}")

    def _write(self) -> None:
        self._status = dataclasses.replace(self._status, heartbeat=time.time())
        write_status(self._path, self._status)


def write_status(path: Path, status: Status) -> None:
    """Put `status` into status.json, atomically."""
    write_text(path, _text(status))
    _unwritten.pop(path, None)


def _text(status: Status) -> str:
    content = {key: value for key, value in dataclasses.asdict(status).items() if key != "problem"}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
