"""Inspection of image files: content hash, readability, and whether there is a breast; stored, so that a check does not read
again what an import has read.

A stored inspection counts while the file's size, times and inode are the same, and this program too. Where it cannot be stored
(a full disk, a cache that another process has locked) the file is inspected again.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import json
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import core
from core.config import Recipe
from core.data.read_ahead import read_ahead
from core.errors import UnreadableImage
from core.files.paths import cache_root
from core.images import one_large_at_a_time, read
from core.images.colour import COLOURED
from core.images.files import content_of, opened, printable_name
from core.images.mammogram import Mammogram
from core.preprocessing import analyse
from core.preprocessing.preview import shrunk

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]

FILE = "looks.sqlite"
# px. The answers on 286 images (RSNA, mini-MIAS, DDSM, DICOM files of all kinds) are those of the full size.
SMALL_SIDE = 256
_LARGE = 1 << 28  # bytes: a stack of gigabytes is hashed from the disk, not held in memory beside its decoded frame
_PIECE = 1 << 20  # bytes
_FRESH = 0.02  # seconds: a change this soon after another can have the same time
_COARSE = 2.1  # seconds, on disks that keep whole seconds (FAT)
_COMMIT_SECONDS = 0.5
_PROGRESS_EVERY = 500
_PACKAGES = ("pydicom", "imagecodecs", "opencv-python-headless", "numpy")


@dataclass(frozen=True)
class FileInspection:
    """The result for one file: the hash of its bytes ("" when there are none), and why it cannot be used ("" if it can).

    `doubt` and `colour` are why it may be no mammogram, although it can be read.
    """

    content_hash: str = ""
    missing: str = ""
    unreadable: str = ""
    doubt: str = ""
    colour: str = ""

    @property
    def reason(self) -> str:
        """Why it cannot be used."""
        return self.missing or self.unreadable


@dataclass(frozen=True)
class Stamp:
    """What shows that a file has changed: size in bytes, times in ns, inode."""

    size: int
    modified: int
    changed: int
    inode: int


@dataclass(frozen=True)
class InspectedFile:
    """An inspection, the image where it was decoded now, and the stamp to store the inspection under (None: do not store)."""

    inspection: FileInspection
    image: Mammogram | None = None
    stamp: Stamp | None = None


def inspect_file(path: Path) -> InspectedFile:
    """Read, hash and decode one file, and find the breast in it; large images one at a time in a process."""
    with one_large_at_a_time():
        return _inspect_file(path)


def _inspect_file(path: Path) -> InspectedFile:
    name = printable_name(path)
    before = _settled_stamp(path)
    try:
        digest, source = _content(path)
    except UnreadableImage as error:
        text = f"{name}: {error}"
        missing = isinstance(error.__cause__, FileNotFoundError)
        return InspectedFile(FileInspection(missing=text) if missing else FileInspection(unreadable=text))
    stamp = before if before == stamp_of(path) else None
    try:
        image = read(source, name=name)
    except UnreadableImage as error:
        # Memory that is short now may be there the next time.
        stamp = None if isinstance(error.__cause__, MemoryError) else stamp
        return InspectedFile(FileInspection(digest, unreadable=str(error)), stamp=stamp)
    breast = analyse(shrunk(image, SMALL_SIDE), Recipe()).breast
    colour = next((f"{name}: {warning}" for warning in image.warnings if warning.startswith(COLOURED)), "")
    doubt = "" if breast.found else f"{name}: {breast.warning.partition(':')[0]}"
    return InspectedFile(FileInspection(digest, doubt=doubt, colour=colour), image, stamp)


def inspect_files(
    paths: Sequence[str], progress: Progress | None = None, *, seen: Callable[[str, Mammogram], None] | None = None
) -> list[FileInspection]:
    """The inspection of each file, in this order: stored ones of unchanged files, new ones of the others.

    `seen(content hash, image)` is called, in other threads, with each image that is decoded now.

    `progress(done, total)` is called in this thread; an exception it raises ends the work. What is done by then is stored.
    """
    report = progress or (lambda done, total: None)
    report(0, len(paths))
    with InspectionStore() as store:
        known: list[FileInspection | None] = []
        for path in paths:
            known.append(store.get(path))
            if len(known) % _PROGRESS_EVERY == 0:
                report(0, len(paths))
        unknown = [path for path, known_one in zip(paths, known, strict=True) if known_one is None]
        found: list[FileInspection] = []
        with contextlib.closing(inspect_ahead(unknown, seen)) as results:
            new = zip(unknown, results, strict=True)
            for inspection in known:
                if inspection is None:
                    path, inspected = next(new)
                    store.put(path, inspected)
                    inspection = inspected.inspection
                found.append(inspection)
                report(len(found), len(paths))
    return found


def content_hashes(paths: Sequence[str], sizes: Collection[int] = ()) -> list[str]:
    """The SHA-256 of each file as far as an import or a check has read it, "" elsewhere.

    Files of one of these `sizes` (bytes) are read if they were not before, once: the hash is stored.
    """
    if not (cache_root() / FILE).exists():  # nothing is stored yet, and nothing is written where nothing is to be read
        stamps = map(stamp_of, map(Path, paths))
        if not any(stamp is not None and stamp.size in sizes for stamp in stamps):
            return [""] * len(paths)
    with InspectionStore() as store:
        return [store.content_hash(path, sizes) for path in paths]


def inspect_ahead(
    paths: Sequence[str], seen: Callable[[str, Mammogram], None] | None = None
) -> Generator[InspectedFile, None, None]:
    """`inspect_file` of each path by threads, in this order, without the images: many waiting ones would fill the memory."""
    workers = min(4, os.cpu_count() or 1)

    def inspect(path: str) -> InspectedFile:
        with one_large_at_a_time():
            found = _inspect_file(Path(path))
            if seen is not None and found.image is not None:
                seen(found.inspection.content_hash, found.image)
        return replace(found, image=None)

    return read_ahead(inspect, paths, workers=workers, ahead=4 * workers, name="check")


class InspectionStore:
    """The stored inspections, for one thread: open it with `with`."""

    def __init__(self) -> None:
        self._base: sqlite3.Connection | None = None
        self._committed = time.monotonic()

    def __enter__(self) -> InspectionStore:
        root = cache_root()
        with self._forgiving():
            root.mkdir(parents=True, exist_ok=True)
            self._base = sqlite3.connect(root / FILE, timeout=2.0)
            self._base.execute("CREATE TABLE IF NOT EXISTS looks (path BLOB PRIMARY KEY, stamp TEXT, program TEXT, look TEXT)")
            self._base.execute("CREATE TABLE IF NOT EXISTS contents (path BLOB PRIMARY KEY, stamp TEXT, hash TEXT)")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._forgiving():
            if self._base is not None:
                self._base.commit()
        if self._base is not None:
            self._base.close()
            self._base = None

    def get(self, path: str) -> FileInspection | None:
        """The stored inspection of this file as it is now, or None."""
        stamp = stamp_of(Path(path)) if self._base is not None else None
        if self._base is None or stamp is None:
            return None
        found: Any = None
        with self._forgiving():
            asked = (os.fsencode(path), _stamp_text(stamp), program())
            query = "SELECT look FROM looks WHERE path = ? AND stamp = ? AND program = ?"
            found = self._base.execute(query, asked).fetchone()
        try:
            look = FileInspection(**json.loads(found[0])) if found else None
        except (TypeError, ValueError):
            return None
        return look if look is not None and all(isinstance(value, str) for value in asdict(look).values()) else None

    def content_hash(self, path: str, sizes: Collection[int] = ()) -> str:
        """As `content_hashes` of one file. An inspection by an earlier version counts, too: the bytes are the same."""
        stamp = stamp_of(Path(path))
        if stamp is None:
            return ""
        found: list[Any] = []
        if self._base is not None:
            with self._forgiving():
                asked = (os.fsencode(path), _stamp_text(stamp))
                found += self._base.execute("SELECT hash FROM contents WHERE path = ? AND stamp = ?", asked).fetchall()
                query = "SELECT json_extract(look, '$.content_hash') FROM looks WHERE path = ? AND stamp = ?"
                found += self._base.execute(query, asked).fetchall()
        known = next((text for (text,) in found if isinstance(text, str) and len(text) == 64), "")
        return known or (self._hashed(path) if stamp.size in sizes else "")

    def _hashed(self, path: str) -> str:
        before = _settled_stamp(Path(path))
        try:
            digest, _ = _content(Path(path))
        except UnreadableImage as error:
            log.info("%s: its content is not known: %s", path, error)
            return ""
        if self._base is not None and before is not None and before == stamp_of(Path(path)):
            with self._forgiving():
                row = (os.fsencode(path), _stamp_text(before), digest)
                self._base.execute("INSERT OR REPLACE INTO contents VALUES (?, ?, ?)", row)
        return digest

    def put(self, path: str, inspected: InspectedFile) -> None:
        """Store an inspection, if it may be stored."""
        if self._base is None or inspected.stamp is None:
            return
        with self._forgiving():
            row = (os.fsencode(path), _stamp_text(inspected.stamp), program(), json.dumps(asdict(inspected.inspection)))
            self._base.execute("INSERT OR REPLACE INTO looks VALUES (?, ?, ?, ?)", row)
            if time.monotonic() - self._committed > _COMMIT_SECONDS:  # others wait to write meanwhile
                self._base.commit()
                self._committed = time.monotonic()

    @contextlib.contextmanager
    def _forgiving(self) -> Iterator[None]:
        """Continue without the store where it is locked, damaged or cannot be written."""
        try:
            yield
        except (sqlite3.Error, OSError, ValueError) as error:
            log.info("inspections of images are not stored: %s", error)
            if self._base is not None:
                self._base.close()
                self._base = None


def delete_inspections() -> None:
    """Delete all stored inspections, with the cache of prepared images."""
    with contextlib.suppress(OSError):  # another process inspects images now; what it stores is sound
        (cache_root() / FILE).unlink(missing_ok=True)


def stamp_of(path: Path) -> Stamp | None:
    """The file's stamp, or None where there is none."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return Stamp(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


def _settled_stamp(path: Path) -> Stamp | None:
    """The stamp, once another change would give another one: of a file that was written just now, wait a moment."""
    stamp = stamp_of(path)
    if stamp is None:
        return None
    latest = max(stamp.modified, stamp.changed)
    age = time.time() - latest / 1e9
    if 0 <= age < _FRESH:
        time.sleep(_FRESH)
    return None if latest % 1_000_000_000 == 0 and age < _COARSE else stamp


def _content(path: Path) -> tuple[str, bytes | Path]:
    """SHA-256 of a file's bytes, and what to decode: the bytes, or the file where they are too many to hold."""
    stamp = stamp_of(path)
    if stamp is None or stamp.size <= _LARGE:
        content = content_of(path)
        return hashlib.sha256(content).hexdigest(), content
    digest = hashlib.sha256()
    with opened(path) as (stream, _):
        while piece := stream.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest(), path


def _stamp_text(stamp: Stamp) -> str:
    return f"{stamp.size}/{stamp.modified}/{stamp.changed}/{stamp.inode}"


@functools.cache
def program() -> str:
    """Changes with whatever decodes images and finds breasts: another program may find something else."""
    digest = hashlib.sha256(core.__version__.encode())
    root = Path(core.__file__).parent
    for path in sorted([*(root / "images").rglob("*.py"), *(root / "preprocessing").glob("*.py"), Path(__file__)]):
        stamp = stamp_of(path)
        digest.update(f"{path.name} {stamp.size if stamp else ''} {stamp.modified if stamp else ''}\n".encode())
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            digest.update(f"{name} {importlib.metadata.version(name)}\n".encode())
    return digest.hexdigest()[:16]
