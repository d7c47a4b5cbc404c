"""Fingerprints and verdicts on pairs, stored by the hash of the file's content: copying or moving a file changes neither.

Where the store cannot be opened (a folder that cannot be written to) they are held in memory, for this time.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Collection, Iterable, Iterator
from types import TracebackType

import cv2
import numpy as np
from numpy.typing import NDArray

from core.data.copies.fingerprint import CODES, FORMAT, LENGTH, Fingerprint, fingerprint_of
from core.data.file_inspection import program
from core.errors import LabError
from core.files.paths import cache_root
from core.images.mammogram import Mammogram

log = logging.getLogger(__name__)

FILE = "fingerprints.sqlite"
_COMMIT_SECONDS = 1.0
_PATIENCE = 30.0  # seconds for which another writer is waited for
_MANY = 500  # values in one query
_TABLES = (
    "DROP TABLE IF EXISTS prints",  # of an earlier version, with other columns
    "CREATE TABLE IF NOT EXISTS pictures (content TEXT, program TEXT, pixels TEXT, points BLOB, descriptors BLOB, codes BLOB, "
    "PRIMARY KEY (content, program))",
    "CREATE TABLE IF NOT EXISTS verdicts (first TEXT, second TEXT, flip INTEGER, program TEXT, same INTEGER, "
    "PRIMARY KEY (first, second, flip, program)) WITHOUT ROWID",
)
Features = tuple[NDArray[np.uint16], NDArray[np.uint8]]  # points (n, 2) and descriptors (n, 64), as stored


class FingerprintStore:
    """The stored fingerprints: open it with `with`. `take` may be called by any thread, the rest by the one that opened it."""

    def __init__(self) -> None:
        self._program = f"{FORMAT} {cv2.__version__} {program()}"
        self._taken: list[tuple[str, Fingerprint]] = []
        self._lock = threading.Lock()
        self._committed = time.monotonic()

    def __enter__(self) -> FingerprintStore:
        try:
            cache_root().mkdir(parents=True, exist_ok=True)
            self._base = _opened(str(cache_root() / FILE))
        except (sqlite3.Error, OSError) as error:
            log.info("fingerprints are not stored: %s", error)
            self._base = _opened(":memory:")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self.flush()
            self._base.commit()
        except sqlite3.Error as problem:
            log.info("fingerprints are not stored: %s", problem)
        self._base.close()

    def take(self, content: str, image: Mammogram) -> None:
        """Compute the fingerprint of the decoded image of a content's hash; it is stored by the next `flush`."""
        found = fingerprint_of(image.pixels)
        with self._lock:
            self._taken.append((content, found))

    def flush(self) -> None:
        """Store what was taken."""
        with self._lock:
            taken, self._taken = self._taken, []
        rows = [
            (content, self._program, p.pixels, *(part.tobytes() for part in (p.points, p.descriptors, p.codes)))
            for content, p in taken
        ]
        self._write("INSERT OR REPLACE INTO pictures VALUES (?, ?, ?, ?, ?, ?)", rows)

    def pixels(self, contents: Collection[str]) -> dict[str, str]:
        """The hash of the pixels of those contents that have a fingerprint."""
        return {content: str(pixels) for content, pixels in self._of(contents, "pixels")}

    def codes(self, contents: list[str]) -> list[NDArray[np.uint32]]:
        """The codes, uint32 (n, 2), of the features of each of these contents; none where there is no fingerprint."""
        found = dict.fromkeys(contents, np.zeros((0, CODES), np.uint32))
        for content, codes in self._of(contents, "codes"):
            if len(codes) % (4 * CODES) == 0:
                found[content] = np.frombuffer(codes, np.uint32).reshape(-1, CODES)
        return [found[content] for content in contents]

    def features(self, contents: Collection[str]) -> dict[str, Features]:
        """Points and descriptors of those contents that have a fingerprint."""
        found = {}
        for content, points, descriptors in self._of(contents, "points, descriptors"):
            number = len(descriptors) // LENGTH
            if len(descriptors) == number * LENGTH and len(points) == number * 4:
                places = np.frombuffer(points, np.uint16).reshape(number, 2)
                found[content] = (places, np.frombuffer(descriptors, np.uint8).reshape(number, LENGTH))
        return found

    def verdicts(self, pairs: Iterable[tuple[str, str, int]]) -> dict[tuple[str, str, int], bool]:
        """What was found before of pairs of contents under a flip."""
        found = {}
        query = "SELECT same FROM verdicts WHERE first = ? AND second = ? AND flip = ? AND program = ?"
        for pair in pairs:
            row = self._base.execute(query, (*pair, self._program)).fetchone()
            if row is not None:
                found[pair] = bool(row[0])
        return found

    def decide(self, verdicts: dict[tuple[str, str, int], bool]) -> None:
        """Store what was found of pairs."""
        rows = [(*pair, self._program, int(same)) for pair, same in verdicts.items()]
        self._write("INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?, ?, ?)", rows)

    def _of(self, contents: Collection[str], columns: str) -> Iterator[tuple]:
        wanted = list(contents)
        for start in range(0, len(wanted), _MANY):
            part = wanted[start : start + _MANY]
            marks = ",".join("?" * len(part))
            query = f"SELECT content, {columns} FROM pictures WHERE program = ? AND content IN ({marks})"
            yield from self._base.execute(query, (self._program, *part))

    def _write(self, query: str, rows: list[tuple]) -> None:
        if not rows:
            return
        try:
            self._base.executemany(query, rows)
            if time.monotonic() - self._committed > _COMMIT_SECONDS:  # others wait to write meanwhile
                self._base.commit()
                self._committed = time.monotonic()
        except sqlite3.Error as error:
            raise LabError(
                f"{cache_root() / FILE}: fingerprints of images cannot be written ({error}). "
                "Free some space, or set MAMMOLAB_CACHE to a folder on another disk."
            ) from error


def _opened(file: str) -> sqlite3.Connection:
    base = sqlite3.connect(file, timeout=_PATIENCE)
    try:
        for table in _TABLES:
            base.execute(table)
    except sqlite3.Error:
        base.close()
        raise
    return base


def delete_fingerprints() -> None:
    """Delete all of them, with the cache of prepared images."""
    with contextlib.suppress(OSError):  # another process compares images now; what it stores is sound
        (cache_root() / FILE).unlink(missing_ok=True)
