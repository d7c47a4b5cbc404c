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
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO

from pydantic_core import from_json

from core.errors import BadRun
from core.files.untrusted import open_regular, open_to_write

Event = dict[str, Any]

LONGEST_LINE = 1 << 20  # bytes; ours have a few hundred
LARGEST = 1 << 30  # bytes: a training of ten days that tells four steps a second
MOST_EVENTS = 4_000_000

_BLOCK = 1 << 16
_LARGEST_NUMBER = 1e15
_MOST_FIGURES = 100  # names in "val" and in "images"
# These are numbers, or null, wherever they stand; and these are texts, and objects of numbers.
_NUMBERS = frozenset(
    {"epoch", "epochs", "step", "steps", "global_step", "first_epoch", "last_epoch", "best_epoch", "done", "total"}
    | {"loss", "epoch_loss", "train_loss", "val_loss", "learning_rate", "images_per_second", "eta_seconds", "seconds"}
    | {"threshold", "memory", "memory_total", "parameters", "threads", "processes", "time"}
)
_TEXTS = frozenset({"type", "message", "about", "phase", "what", "state", "reason", "path", "device", "precision", "run"})
_FIGURES = frozenset(("val", "images", "measured"))


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
            with open_regular(self._path) as reader:
                offset = _offset_after(reader, sequence, self._path)
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

    After `read()`, `restarted` tells that the file was cut or replaced since the last call (the run was resumed from
    an earlier checkpoint): the list then holds every event from the first, and what was read before is void.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._last_line = b""
        self.restarted = False

    def read(self, limit: int | None = None) -> list[Event]:
        """The events that were added since the last call, at most `limit` of them; [] when there are none.

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
            for line in _whole_lines(stream, self._path):
                if limit is not None and len(events) >= limit:
                    break
                event = _decode(line)
                if event is not None:
                    events.append(event)
                    _require_few(len(events), self._path)
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

    Raises:
        BadRun: the file is no regular file, has a line beyond all measure, or is too large to be read.
    """
    stream = _opened(path)
    if stream is None:
        return []
    events: list[Event] = []
    with stream:
        if after > 0:
            stream.seek(_offset_after(stream, after, path))
        for line in _whole_lines(stream, path):
            event = _decode(line)
            if event is not None and event["seq"] > after:
                events.append(event)
                _require_few(len(events), path)
    return events


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


_MEND = "Put the file back as it was, or take it out of the folder: the run then has no curves, and keeps its model."


def _require_few(count: int, path: Path) -> None:
    if count > MOST_EVENTS:
        raise BadRun(f"{path}: expected at most {MOST_EVENTS:,} events, got more: no training writes so many. {_MEND}")


def _whole_lines(stream: BinaryIO, path: Path) -> Iterator[bytes]:
    """The lines from here on, without a torn last one."""
    while line := _line(stream, path):
        if line.endswith(b"\n"):
            yield line


def _line(stream: BinaryIO, path: Path) -> bytes:
    """The next line, whole or torn; b"" at the end."""
    line = stream.readline(LONGEST_LINE + 1)
    if len(line) > LONGEST_LINE:
        raise BadRun(f"{path}: damaged: expected lines of at most {LONGEST_LINE:,} bytes, got a longer one. {_MEND}")
    return line


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
    """The event on a line, or None for a line that is none (a disk error, an editor) or has values that no training writes."""
    try:
        event = from_json(line, allow_inf_nan=False)  # five times as quick as json.loads: a page opens runs of 100,000 steps
    except ValueError:
        return None
    return event if isinstance(event, dict) and _is_event(event) else None


def _is_event(event: Event) -> bool:
    """Whether later code can compute with it: numbers are numbers of a sensible size, texts are texts."""
    sequence = event.get("seq")
    if type(sequence) is not int or not 1 <= sequence < _LARGEST_NUMBER:
        return False
    for name, value in event.items():
        if value is None:
            continue
        if name in _NUMBERS:
            if not _is_number(value):
                return False
        elif name in _TEXTS:
            if not isinstance(value, str):
                return False
        elif name in _FIGURES and not _are_figures(value):
            return False
    return True


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and -_LARGEST_NUMBER < value < _LARGEST_NUMBER  # type: ignore[operator]


def _are_figures(value: object) -> bool:
    if not isinstance(value, dict) or len(value) > _MOST_FIGURES:
        return False
    return all(each is None or _is_number(each) for each in value.values())


def _last_event(stream: BinaryIO, path: Path) -> tuple[int, int]:
    """(offset behind the last whole line, seq of the last event), reading backwards from the end."""
    start = stream.seek(0, os.SEEK_END)
    end, ended = 0, False
    head = b""  # the beginning of what was read so far: the end of a line that may begin earlier
    while start > 0:
        step = min(_BLOCK, start)
        start -= step
        stream.seek(start)
        content = stream.read(step) + head
        lines = content.split(b"\n")
        if not ended and len(lines) > 1:
            ended, end = True, start + len(content) - len(lines[-1])
            lines.pop()  # torn
        head = lines[0]
        if len(head) > LONGEST_LINE:
            raise BadRun(f"{path}: damaged: expected lines of at most {LONGEST_LINE:,} bytes, got a longer one. {_MEND}")
        if not ended:
            continue
        for line in reversed(lines if start == 0 else lines[1:]):
            event = _decode(line)
            if event is not None:
                return end, int(event["seq"])
    return end, 0


def _offset_after(stream: BinaryIO, sequence: int, path: Path) -> int:
    """Offset of the first line whose seq is above `sequence` (the end of the file when there is none)."""
    low, high = 0, stream.seek(0, os.SEEK_END)
    while high - low > _BLOCK:
        middle = (low + high) // 2
        stream.seek(middle)
        _line(stream, path)  # the rest of a line
        position = stream.tell()
        event = None
        while position < high and event is None:
            line = _line(stream, path)
            event = _decode(line)
            if event is None:
                position += len(line)
        if event is None or event["seq"] > sequence:
            high = middle
        else:
            low = position
    stream.seek(low)
    offset = low
    while line := _line(stream, path):
        event = _decode(line)
        if event is not None and event["seq"] > sequence:
            break
        offset += len(line)
    return offset
