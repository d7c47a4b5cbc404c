"""Everything a training reports about itself: events.jsonl, status.json, train.log. Opened once, closed however it ends."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType
from typing import Any

from core.errors import LabError, TrainingFailed, UnreadableImage
from core.files.untrusted import open_to_write
from core.runs.event_log import EventLog
from core.runs.events import ErrorEvent, Event
from core.runs.run import EVENTS, STATUS, Run
from core.runs.status import StatusWriter
from core.training.failures import explain

LOG = "train.log"


class _OneThread(logging.Filter):
    """Lets through what the training thread logs: two trainings in one process keep their logs apart."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.get_ident()

    def filter(self, record: logging.LogRecord) -> bool:
        return record.thread == self._thread


class _LogFile(logging.FileHandler):
    """Appends to a file of the run alone: see open_to_write."""

    def _open(self) -> TextIOWrapper:
        return os.fdopen(open_to_write(Path(self.baseFilename), append=True), "a", encoding=self.encoding)


class RunLogger:
    """Writes events, status and log of one training; to be used, as a context, in the thread that trains."""

    writes = True  # whether this process writes the run folder

    def __init__(self, run: Run) -> None:
        self.run = run
        self.status = StatusWriter(run.path / STATUS)
        self.events = EventLog(run.path / EVENTS)
        # Not from getLogger: that would keep a logger for every run for as long as the process lives.
        self.log = logging.Logger(f"core.training.{run.name}", logging.INFO)
        self._handler: logging.Handler | None = None
        self._ended = False

    def __enter__(self) -> RunLogger:
        self._handler = _LogFile(self.run.path / LOG, encoding="utf-8")
        self._handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        self._handler.addFilter(_OneThread())
        self.log.addHandler(self._handler)
        logging.getLogger("core").addHandler(self._handler)  # with the messages of core.data and core.model
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.status.stop()
        self.events.close()
        if self._handler is not None:
            logging.getLogger("core").removeHandler(self._handler)
            self.log.removeHandler(self._handler)
            with contextlib.suppress(OSError):  # a full disk does not take the rest of the log: the run's state has the reason
                self._handler.close()

    def event(self, event: Event) -> Event:
        """Append an event and log it (steps and progress are too many for the log); returns what was written."""
        if event["type"] not in ("step", "prepare"):
            level = {"error": logging.ERROR, "warning": logging.WARNING}.get(event["type"], logging.INFO)
            words = " ".join(f"{key}={value}" for key, value in event.items() if key != "type")
            self.log.log(level, "%s %s", event["type"], words)
        return self.events.append(event)

    def truncate_events_after(self, sequence: int) -> None:
        """Drop the events of steps that a resumed training makes again."""
        self.events.truncate_after(sequence)

    def begin(self, **changes: Any) -> None:
        """Take the run over: heartbeat, state "running"."""
        self.status.start(state="running", reason="", finished=None, was="", was_reason="", **changes)

    def note(self, **changes: Any) -> None:
        """Change fields of status.json with the next heartbeat: cheap enough for every step."""
        self.status.note(**changes)

    def update(self, **changes: Any) -> None:
        """Change fields of status.json now."""
        self.status.update(**changes)

    def settle(self) -> int:
        """Wait until all events are on the disk; number of the last one."""
        self.events.sync()
        return self.events.sequence

    def end(self, state: str, reason: str) -> None:
        """Write how a training ended that came to its end, or was stopped."""
        self.log.info("%s %s", state, reason)
        self.status.update(state=state, reason=reason, finished=time.time(), eta_seconds=None)
        self._ended = True

    def fail(self, error: Exception) -> tuple[list[Event], LabError]:
        """Record a failure wherever that is still possible; returns the events written and the error to raise."""
        if isinstance(error, OSError) and error.filename is None:  # a failed write names no file: most are in the run's folder
            error.filename = str(self.run.path)
        reason = explain(error)
        self.log.error("%s", reason, exc_info=error)
        events: list[Event] = []
        try:
            events.append(self.event(ErrorEvent(type="error", message=reason)))
        except OSError as problem:
            self.log.error("the error could not be appended to events.jsonl: %s", problem)
        self._end_if_possible("failed", reason)
        if isinstance(error, LabError) and not isinstance(error, UnreadableImage):
            return events, error
        failure = TrainingFailed(reason)
        failure.__cause__ = error
        return events, failure

    def cut_off(self) -> None:
        """The launcher left in the middle (Ctrl-C, a closed generator); after the last event it may."""
        if self._ended:
            return
        reason = "It was cut off by the program that trained it. Resume continues from the last checkpoint."
        self._end_if_possible("stopped", reason)

    def _end_if_possible(self, state: str, reason: str) -> None:
        try:
            self.end(state, reason)
        except OSError as problem:
            self.log.error("status.json could not be written: %s", problem)
            self.status.last_state(state=state, reason=reason, finished=time.time(), eta_seconds=None)


class NullLogger(RunLogger):
    """For a process that is not the first of its training: writes nothing, only that one does."""

    writes = False

    def __enter__(self) -> RunLogger:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return

    def event(self, event: Event) -> Event:
        return event

    def settle(self) -> int:
        return 0

    def _nothing(self, *_: Any, **__: Any) -> None:
        pass

    truncate_events_after = begin = note = update = end = _nothing
