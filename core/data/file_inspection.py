"""A close look at every image of a data set, kept, so that a check does not read again what an import has read.

A kept look counts while the file's size, times and place on the disk are the same, and this program too. Where it cannot be
kept (a full disk, a cache that another process holds) the file is just looked at again.
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
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2

import core
from core.config import Recipe
from core.errors import UnreadableImage
from core.files.paths import cache_root
from core.images import one_large_at_a_time, read
from core.images.colour import COLOURED
from core.images.files import content_of, opened, printable_name
from core.images.mammogram import Mammogram
from core.preprocessing import analyse

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
_TOLD_EVERY = 500
_PACKAGES = ("pydicom", "imagecodecs", "opencv-python-headless", "numpy")


@dataclass(frozen=True)
class Look:
    """What a look at one file gave: the hash of its bytes ("" when there are none), and why it cannot be used ("" if it can).

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
    """What tells that a file has changed: size in bytes, times in ns, place."""

    size: int
    modified: int
    changed: int
    inode: int


@dataclass(frozen=True)
class Looked:
    """A look, the decoded image where it was decoded now, and the stamp under which the look may be kept (None: not at all)."""

    look: Look
    image: Mammogram | None = None
    stamp: Stamp | None = None


def look_closely(path: Path) -> Looked:
    """Read, hash and decode one file, and look for a breast in it; large images one at a time in a process."""
    with one_large_at_a_time():
        return _looked_closely(path)


def _looked_closely(path: Path) -> Looked:
    name = printable_name(path)
    before = _settled_stamp(path)
    try:
        digest, source = _content(path)
    except UnreadableImage as error:
        text = f"{name}: {error}"
        return Looked(Look(missing=text) if isinstance(error.__cause__, FileNotFoundError) else Look(unreadable=text))
    stamp = before if before == stamp_of(path) else None
    try:
        image = read(source, name=name)
    except UnreadableImage as error:
        # Memory that is short now may be there the next time.
        kept = None if isinstance(error.__cause__, MemoryError) else stamp
        return Looked(Look(digest, unreadable=str(error)), stamp=kept)
    breast = analyse(_small(image), Recipe()).breast
    colour = next((f"{name}: {warning}" for warning in image.warnings if warning.startswith(COLOURED)), "")
    doubt = "" if breast.found else f"{name}: {breast.warning.partition(':')[0]}"
    return Looked(Look(digest, doubt=doubt, colour=colour), image, stamp)


def _small(image: Mammogram) -> Mammogram:
    """A copy of at most SMALL_SIDE px: whether there is a breast shows on it, too, in a fraction of the time."""
    height, width = image.pixels.shape
    scale = SMALL_SIDE / max(height, width)
    if scale >= 1:
        return image
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return replace(image, pixels=cv2.resize(image.pixels, size, interpolation=cv2.INTER_AREA))


def look_at_all(paths: Sequence[str], progress: Progress | None = None) -> list[Look]:
    """A look at each file, in this order: kept ones where the file is as it was, new ones of the others.

    `progress(done, total)` is called in this thread; an exception it raises ends the work. What was looked at by then is kept.
    """
    tell = progress or (lambda done, total: None)
    tell(0, len(paths))
    with KeptLooks() as kept:
        known: list[Look | None] = []
        for path in paths:
            known.append(kept.get(path))
            if len(known) % _TOLD_EVERY == 0:
                tell(0, len(paths))
        unknown = [path for path, look in zip(paths, known, strict=True) if look is None]
        looks: list[Look] = []
        with _ended(ThreadPoolExecutor(min(4, os.cpu_count() or 1), thread_name_prefix="check")) as pool:
            new = zip(unknown, pool.map(_without_image, unknown), strict=True)
            for look in known:
                if look is None:
                    path, looked = next(new)
                    kept.put(path, looked)
                    look = looked.look
                looks.append(look)
                tell(len(looks), len(paths))
    return looks


def content_hashes(paths: Sequence[str], sizes: Collection[int] = ()) -> list[str]:
    """The SHA-256 of each file as far as an import or a check has read it, "" elsewhere.

    Files of one of these `sizes` (bytes) are read where nobody has yet, once: what was found is kept.
    """
    if not (cache_root() / FILE).exists():  # nothing is kept yet, and nothing is written where nothing is to be read
        stamps = map(stamp_of, map(Path, paths))
        if not any(stamp is not None and stamp.size in sizes for stamp in stamps):
            return [""] * len(paths)
    with KeptLooks() as kept:
        return [kept.content_hash(path, sizes) for path in paths]


def _without_image(path: str) -> Looked:
    """Results wait in line to be taken: with their pixels they would fill the memory."""
    return replace(look_closely(Path(path)), image=None)


class KeptLooks:
    """The looks that are kept, for one thread: open it with `with`."""

    def __init__(self) -> None:
        self._base: sqlite3.Connection | None = None
        self._committed = time.monotonic()

    def __enter__(self) -> KeptLooks:
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

    def get(self, path: str) -> Look | None:
        """The look at this file as it is now, or None."""
        stamp = stamp_of(Path(path)) if self._base is not None else None
        if self._base is None or stamp is None:
            return None
        found: Any = None
        with self._forgiving():
            asked = (os.fsencode(path), _stamp_text(stamp), _program())
            query = "SELECT look FROM looks WHERE path = ? AND stamp = ? AND program = ?"
            found = self._base.execute(query, asked).fetchone()
        try:
            look = Look(**json.loads(found[0])) if found else None
        except (TypeError, ValueError):
            return None
        return look if look is not None and all(isinstance(value, str) for value in asdict(look).values()) else None

    def content_hash(self, path: str, sizes: Collection[int] = ()) -> str:
        """As `content_hashes` of one file. A look by an earlier program counts, too: the bytes are the same."""
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

    def put(self, path: str, looked: Looked) -> None:
        """Keep a look, if it may be kept."""
        if self._base is None or looked.stamp is None:
            return
        with self._forgiving():
            row = (os.fsencode(path), _stamp_text(looked.stamp), _program(), json.dumps(asdict(looked.look)))
            self._base.execute("INSERT OR REPLACE INTO looks VALUES (?, ?, ?, ?)", row)
            if time.monotonic() - self._committed > _COMMIT_SECONDS:  # others wait to write meanwhile
                self._base.commit()
                self._committed = time.monotonic()

    @contextlib.contextmanager
    def _forgiving(self) -> Iterator[None]:
        """Go on without keeping anything where the file is locked, damaged or cannot be written."""
        try:
            yield
        except (sqlite3.Error, OSError, ValueError) as error:
            log.info("looks at images are not kept: %s", error)
            if self._base is not None:
                self._base.close()
                self._base = None


def forget_looks() -> None:
    """Delete all that is kept, with the cache of prepared images."""
    with contextlib.suppress(OSError):  # another process looks at images now; what it keeps is sound
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


@contextlib.contextmanager
def _ended(pool: ThreadPoolExecutor) -> Iterator[ThreadPoolExecutor]:
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _stamp_text(stamp: Stamp) -> str:
    return f"{stamp.size}/{stamp.modified}/{stamp.changed}/{stamp.inode}"


@functools.cache
def _program() -> str:
    """Changes with whatever decodes images and looks for breasts: another program may find something else."""
    digest = hashlib.sha256(core.__version__.encode())
    root = Path(core.__file__).parent
    for path in sorted([*(root / "images").rglob("*.py"), *(root / "preprocessing").glob("*.py"), Path(__file__)]):
        stamp = stamp_of(path)
        digest.update(f"{path.name} {stamp.size if stamp else ''} {stamp.modified if stamp else ''}\n".encode())
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            digest.update(f"{name} {importlib.metadata.version(name)}\n".encode())
    return digest.hexdigest()[:16]
