"""events.jsonl: an event a line, written by one training and read by everybody while it grows.

The file only grows while a run trains. Resuming a run cuts off the events after its last checkpoint: those steps run again.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import BinaryIO, cast

from core.errors import BadRun
from core.files.untrusted import open_regular, open_to_write
from core.model.card import without_nan
from core.runs.events import Event, decode, encode, sequence_of

LONGEST_LINE = 1 << 20  # bytes; ours have a few hundred
LARGEST = 1 << 30  # bytes: a training of ten days that writes four steps a second
MOST_EVENTS = 4_000_000

_BLOCK = 1 << 16  # bytes read at once
_MEND = "Put the file back as it was, or take it out of the folder: the run then has no curves, and keeps its model."


class EventLog:
    """The writer: one a run, in the process that trains. Safe for several threads of that process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._stream: FileIO | None = None
        self._sequence = 0

    def __enter__(self) -> EventLog:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def sequence(self) -> int:
        """`seq` of the last event in the file, 0 when there is none."""
        with self._lock:
            self._open()
            return self._sequence

    def append(self, event: Event) -> Event:
        """Write the event with `seq` and `time` added, at once visible to readers; returns what was written."""
        with self._lock:
            stream = self._open()
            complete = cast(Event, {"seq": self._sequence + 1, "time": round(time.time(), 3), **without_nan(event)})
            start = stream.tell()
            try:
                _write_all(stream, encode(complete))
            except OSError:
                self._undo(start)
                raise
            self._sequence += 1
            return complete

    def truncate_after(self, sequence: int) -> int:
        """Drop every event after `sequence`; returns how many there were."""
        with self._lock:
            stream = self._open()
            dropped = self._sequence - sequence
            if dropped <= 0:
                return 0
            lines = _lines_from_the_end(stream, self._path)
            offset = next((end for end, line in lines if 0 < sequence_of(line) <= sequence), 0)
            stream.truncate(offset)
            stream.seek(offset)
            os.fsync(stream.fileno())
            self._sequence = sequence
            return dropped

    def sync(self) -> None:
        """Wait until every event is on the disk (before a checkpoint that refers to them)."""
        with self._lock:
            if self._stream is not None:
                os.fsync(self._stream.fileno())

    def close(self) -> None:
        """Close the file; a later append opens it again."""
        with self._lock:
            if self._stream is not None:
                stream, self._stream = self._stream, None
                stream.close()

    def _open(self) -> FileIO:
        if self._stream is None:
            # A link would lead to another file, which would be cut and written to. No buffer: it is at once visible.
            stream = FileIO(open_to_write(self._path), "r+")
            try:
                end, self._sequence = _last_event(stream, self._path)
            except BadRun:
                stream.close()
                raise
            stream.truncate(end)  # a line torn by a kill
            stream.seek(end)
            self._stream = stream
        return self._stream

    def _undo(self, start: int) -> None:
        """After a write that failed half-way (disk full), leave whole lines only; the next append looks again."""
        stream, self._stream = self._stream, None
        if stream is None:
            return
        try:
            stream.truncate(start)
        finally:
            stream.close()


class EventReader:
    """Reads a growing events.jsonl piece by piece: each `read()` costs only what is new.

    `restarted` says, after `read()`, that the file was cut or replaced since the last call (the run was resumed from
    an earlier checkpoint): the list then holds every event from the first, and what was read before is void.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._last_line = b""
        self.restarted = False

    def read(self) -> list[Event]:
        """The events that were added since the last call; [] when there are none.

        Lines that are no event (a disk error, an editor), or have values that no training writes, are passed over.

        Raises:
            BadRun: the file is no regular file, has a line beyond all measure, or is too large to be read.
        """
        stream = _opened(self._path)
        if stream is None:
            self.restarted = self._offset > 0
            self._offset, self._last_line = 0, b""
            return []
        with stream:
            self.restarted = not self._continues(stream)
            if self.restarted:
                self._offset, self._last_line = 0, b""
            stream.seek(self._offset)
            events: list[Event] = []
            while (line := stream.readline(LONGEST_LINE + 1)).endswith(b"\n") or len(line) > LONGEST_LINE:
                _require_short(line, self._path)
                event = decode(line)
                if event is not None:
                    events.append(event)
                    if len(events) > MOST_EVENTS:
                        expected = f"expected at most {MOST_EVENTS:,} events"
                        raise BadRun(f"{self._path}: {expected}, got more: no training writes so many. {_MEND}")
                self._offset += len(line)
                self._last_line = line
            return events

    def _continues(self, stream: BinaryIO) -> bool:
        """Whether the last line we took still stands where it stood."""
        if not self._offset:
            return True
        stream.seek(self._offset - len(self._last_line))
        return stream.read(len(self._last_line)) == self._last_line


def _opened(path: Path) -> BinaryIO | None:
    """The file, opened for reading; None when there is none."""
    try:
        stream = open_regular(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadRun(f"{path}: cannot be read ({error.strerror or error}). Put the file back as it was.") from error
    size = os.fstat(stream.fileno()).st_size
    if size > LARGEST:
        stream.close()
        raise BadRun(f"{path}: expected at most {LARGEST:,} bytes, got {size:,}: no training writes so much. {_MEND}")
    return stream


def _require_short(line: bytes, path: Path) -> None:
    if len(line) > LONGEST_LINE:
        raise BadRun(f"{path}: damaged: expected lines of at most {LONGEST_LINE:,} bytes, got a longer one. {_MEND}")


def _write_all(stream: FileIO, content: bytes) -> None:
    while content:
        content = content[stream.write(content) :]  # a nearly full disk takes a part, then raises


def _last_event(stream: BinaryIO | FileIO, path: Path) -> tuple[int, int]:
    """(offset behind the last whole line, seq of the last event)."""
    last = 0
    for end, line in _lines_from_the_end(stream, path):
        if line.endswith(b"\n"):
            last = last or end
            sequence = sequence_of(line)
            if sequence:
                return last, sequence
    return last, 0


def _lines_from_the_end(stream: BinaryIO | FileIO, path: Path) -> Iterator[tuple[int, bytes]]:
    """(offset behind it, line with its end) of each line, the last one, which may be torn, first."""
    start = stream.seek(0, os.SEEK_END)
    head = b""  # the rest of a line that begins further to the front
    while start > 0:
        step = min(_BLOCK, start)
        start -= step
        stream.seek(start)
        content = stream.read(step) + head
        end = start + len(content)
        *whole, torn = content.split(b"\n")
        lines = [line + b"\n" for line in whole] + ([torn] if torn else [])
        for line in reversed(lines[1:]):  # the first one may begin further to the front
            yield end, line
            end -= len(line)
        head = content[: end - start]
        _require_short(head, path)
    if head:
        yield len(head), head
