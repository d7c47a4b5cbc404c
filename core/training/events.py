"""events.jsonl: one JSON object a line, only ever appended to while a run is going; every reader sees whole lines.

Every event has `seq` (1, 2, 3, ... without gaps), `time` (seconds since 1970) and `type`; the other fields depend on
the type. Resuming a run cuts off the events that came after its last checkpoint, since those steps run again.
"""

from __future__ import annotations

import json
import math
import os
import threading
import time
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO

from pydantic_core import from_json

Event = dict[str, Any]

_BLOCK = 1 << 16


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
            complete = {"seq": self._sequence + 1, "time": round(time.time(), 3), **_finite(event)}
            start = stream.tell()
            try:
                _write_all(stream, _encode(complete))
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
            with self._path.open("rb") as reader:
                offset = _offset_after(reader, sequence)
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
            self._path.touch()
            stream = FileIO(self._path, "r+")  # no buffer: what is written is at once visible
            end, self._sequence = _last_event(stream)
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

    After `read()`, `restarted` tells that the file was cut or replaced since the last call (the run was resumed from
    an earlier checkpoint): the list then holds every event from the first, and what was read before is void.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._last_line = b""
        self.restarted = False

    def read(self, limit: int | None = None) -> list[Event]:
        """The events that were added since the last call, at most `limit` of them; [] when there are none."""
        try:
            stream = self._path.open("rb")
        except FileNotFoundError:
            self.restarted = self._offset > 0
            self._offset, self._last_line = 0, b""
            return []
        with stream:
            self.restarted = not self._continues(stream)
            if self.restarted:
                self._offset, self._last_line = 0, b""
            stream.seek(self._offset)
            events: list[Event] = []
            for line in stream:
                if not line.endswith(b"\n") or (limit is not None and len(events) >= limit):
                    break
                event = _decode(line)
                if event is not None:
                    events.append(event)
                self._offset += len(line)
                self._last_line = line
            return events

    def _continues(self, stream: BinaryIO) -> bool:
        """Whether the last line we took still stands where it stood."""
        if not self._offset:
            return True
        stream.seek(self._offset - len(self._last_line))
        return stream.read(len(self._last_line)) == self._last_line


def read_events(path: Path, after: int = 0) -> list[Event]:
    """All events with `seq` above `after`, without a torn last line; [] when the file is missing.

    Finds its place by bisection, so that asking a long file for its last events is quick.
    """
    try:
        stream = path.open("rb")
    except FileNotFoundError:
        return []
    with stream:
        if after > 0:
            stream.seek(_offset_after(stream, after))
        events = [_decode(line) for line in stream if line.endswith(b"\n")]
    return [event for event in events if event is not None and event["seq"] > after]


def _write_all(stream: FileIO, content: bytes) -> None:
    while content:
        content = content[stream.write(content) :]  # a nearly full disk takes a part, then raises


def _finite(value: Any) -> Any:
    """The value with NaN and infinities as None: JSON has no word for them."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


def _encode(event: Event) -> bytes:
    return json.dumps(event, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8") + b"\n"


def _decode(line: bytes) -> Event | None:
    """The event on a line, or None for a line that is none (a disk error, an editor)."""
    try:
        event = from_json(line)  # five times as quick as json.loads: a page opens runs of 100,000 steps
    except ValueError:
        return None
    return event if isinstance(event, dict) and isinstance(event.get("seq"), int) else None


def _last_event(stream: BinaryIO) -> tuple[int, int]:
    """(offset behind the last whole line, seq of the last event), reading backwards from the end."""
    size = stream.seek(0, os.SEEK_END)
    start, tail = size, b""
    while start > 0:
        step = min(_BLOCK, start)
        start -= step
        stream.seek(start)
        tail = stream.read(step) + tail
        whole, newline, torn = tail.rpartition(b"\n")
        if not newline:
            continue
        lines = whole.split(b"\n")
        for line in reversed(lines if start == 0 else lines[1:]):  # the first may be the end of a longer line
            event = _decode(line)
            if event is not None:
                return size - len(torn), int(event["seq"])
    return size - len(tail.rpartition(b"\n")[2]), 0


def _offset_after(stream: BinaryIO, sequence: int) -> int:
    """Offset of the first line whose seq is above `sequence` (the end of the file when there is none)."""
    low, high = 0, stream.seek(0, os.SEEK_END)
    while high - low > _BLOCK:
        middle = (low + high) // 2
        stream.seek(middle)
        stream.readline()  # the rest of a line
        position = stream.tell()
        event = None
        while position < high and event is None:
            line = stream.readline()
            event = _decode(line)
            if event is None:
                position += len(line)
        if event is None or event["seq"] > sequence:
            high = middle
        else:
            low = position
    stream.seek(low)
    offset = low
    for line in stream:
        event = _decode(line)
        if event is not None and event["seq"] > sequence:
            break
        offset += len(line)
    return offset
