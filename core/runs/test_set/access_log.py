"""Writing accesses to test sets down, before they are given; see accesses.py for what is written where."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from core.errors import BadRun, NotRecorded
from core.files.atomic import replacing, write_text
from core.files.untrusted import irregular, read_bytes
from core.runs.folder import runs_root
from core.runs.locks import ACCESSES, Timeout, take
from core.runs.test_set.accesses import (
    FILE,
    LIMIT,
    SCORED,
    SETS,
    THRESHOLD,
    Access,
    accesses,
    holds,
    judged,
    of_root,
    parse_record,
    weights_of,
)
from core.runs.test_set.identity import TestSet, all_test_sets, test_set_of

log = logging.getLogger(__name__)

FOLD = 1 << 20  # bytes from which on lines that say the same are folded
INLINE = 12  # keys of images that stand in the line itself
PATIENCE = 10.0  # seconds to wait for another writer
_LONGEST = {"run": 200, "where": 100, "manifest": 1000, "detail": 300, "inherited": 200}


def now() -> str:
    """The time as records write it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def record(
    root: Path,
    kind: str,
    where: str,
    keys: Iterable[Sequence[str]],
    *,
    images: int | None = None,
    run: Path | None = None,
    manifest: Path | str = "",
    detail: str = "",
    when: str = "",
    sets: Iterable[TestSet] | None = None,
    external: str = "",
) -> Access:
    """Write down an access before it is given.

    Args:
        root: the folder of runs.
        kind: of KINDS or NOTES.
        where: the page or command.
        keys: of each image (core.runs.test_set.identity); of `run`'s whole test set where they are not listed.
        images: how many images, where not all of `keys`.
        run: folder of the run by which it is; None for an access to a data set.
        manifest: of the data set.
        detail: what else there is to say: the recipe's hash.
        when: `now()`, where the caller writes the same time elsewhere.
        sets: those of the runs in `root`, where the caller has them; else they are read.
        external: the name of the external test set of `run` that the images are of; "" for images of its own test set.

    Raises:
        NotRecorded: it cannot be written. Give no access then.
    """
    root = runs_root(root)
    every = list(keys)
    flat = frozenset(key for each in every for key in each)
    access = Access(
        when=when or now(),
        kind=kind,
        where=where,
        images=len(every) if images is None else images,
        run=run.name if run is not None else "",
        manifest=str(manifest),
        detail=detail,
        id=uuid.uuid4().hex[:16],
        model=weights_of(run) if run is not None and kind == SCORED else "",
        external=external,
    )
    if run is not None:  # its own record comes first, and has to succeed
        _append(run, [judged(replace(access, run=""), run)])
    try:
        _append(root, [_with_keys(root, access, flat)], of_all=True)
    except NotRecorded:
        if run is None:
            raise
        log.warning("%s: %s is in the record of %s only", root, access.words, run.name)
    for found in all_test_sets(root) if sets is None else sets:
        if found.folder is None or found.folder == run or not found.keys & flat:
            continue
        try:
            _append(found.folder, [judged(access, found.folder)])
        except NotRecorded as error:
            log.warning("%s; it is in %s", error, root / FILE)
    return access


def record_for_run(folder: Path, kind: str, where: str, images: int | None = None, *, when: str = "") -> Access:
    """Write down an access to test images of the run in this folder; `images` None: to all of them. Raises NotRecorded."""
    found = test_set_of(folder)
    count = found.images if images is None else images
    return record(folder.parent, kind, where, [tuple(found.keys)], images=count, run=folder, when=when)


def note_threshold(folder: Path, detail: str) -> None:
    """The threshold is chosen again: what came before it came before the threshold. Raises NotRecorded."""
    if (folder / FILE).exists():
        _append(folder, [Access(now(), THRESHOLD, "threshold", 0, detail=detail, id=uuid.uuid4().hex[:16])])


def adopt(folder: Path, root: Path) -> None:
    """Give a new run the accesses to its test images that were made before it existed.

    Raises:
        NotRecorded: they cannot be written.
    """
    try:
        earlier = of_root(runs_root(root), test_set_of(folder))
    except BadRun as error:  # reported to whoever asks the run; it keeps nobody from training
        log.warning("%s", error)
        return
    if earlier:
        _append(folder, [replace(each, before_threshold=True, keys=(), test_set="") for each in earlier])


def inherit(child: Path, parent: Path) -> None:
    """Give a fork its parent's accesses: its test set is the same. Raises BadRun (damaged), NotRecorded."""
    there = accesses(child)
    news = [each for each in accesses(parent) if not any(holds(own, each) for own in there)]
    if news:
        _append(child, [replace(each, before_threshold=True, inherited=each.inherited or parent.name) for each in news])


def _with_keys(root: Path, access: Access, keys: frozenset[str]) -> Access:
    """With which images it was to: in the line, or in a file of its own where they are many."""
    if len(keys) <= INLINE:
        return replace(access, keys=tuple(sorted(keys)))
    import hashlib

    content = json.dumps(sorted(keys))
    name = hashlib.sha256(content.encode()).hexdigest()[:16]
    path = root / SETS / f"{name}.json"
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, content)
        except OSError as error:
            raise _unwritable(path, error) from error
    return replace(access, test_set=name)


def _append(folder: Path, lines: Sequence[Access], *, of_all: bool = False) -> None:
    """Add lines to the record of a run's folder, or (`of_all`) of the folder of runs, which is made where there is none: the
    whole file anew, and none other at the same time.

    Raises:
        NotRecorded: it cannot be written, or is full.
    """
    path = folder / FILE
    try:
        with _locked(folder, of_all=of_all):
            try:
                before = read_bytes(path, LIMIT)
            except FileNotFoundError:
                before = b""
            if before and not before.endswith(b"\n"):
                before += b"\n"
            content = before + b"".join(map(_line, lines))
            if len(content) > FOLD:
                content = _folded(folder, content)
            if len(content) > LIMIT:
                raise ValueError(f"it has more than {LIMIT:,} bytes; keep a copy with your study and begin a new runs folder")
            with replacing(path, durable=True) as stream:
                stream.write(content)
    except Timeout as error:
        raise NotRecorded(f"{path}: another program has been writing to it for {PATIENCE:.0f} s. Try again.") from error
    except BadRun as error:  # the run has gone, or its lock is no regular file
        raise NotRecorded(str(error)) from error
    except (OSError, ValueError) as error:
        raise _unwritable(path, error) from error


@contextmanager
def _locked(folder: Path, *, of_all: bool) -> Iterator[None]:
    """Hold the lock of a record. Raises Timeout, OSError, BadRun (a run that was deleted does not come back by this)."""
    if of_all:
        folder.mkdir(parents=True, exist_ok=True)
        kind = irregular(folder / ACCESSES)
        if kind:
            raise OSError(f"{ACCESSES} is {kind}")
        with FileLock(folder / ACCESSES, timeout=PATIENCE):
            yield
        return
    lock = take(folder, ACCESSES, PATIENCE)
    try:
        yield
    finally:
        lock.release()


def _unwritable(path: Path, error: Exception) -> NotRecorded:
    reason = getattr(error, "strerror", None) or error
    return NotRecorded(
        f"{path}: an access to a test set has to be written down here, and cannot be ({reason}); so it is not given. "
        "Make the folder writable, or set checkpoints to another one."
    )


def _line(access: Access) -> bytes:
    plain = {
        # Names from other systems may not be UTF-8; escaped, they can be written and read.
        name: value.encode("utf-8", "backslashreplace").decode("utf-8")[: _LONGEST.get(name, 100)]
        if isinstance(value, str)
        else value
        for name, value in asdict(access).items()
        if name == "when" or (value not in ("", (), None) and (name, value) != ("times", 1))
    }
    return json.dumps(plain).encode("ascii") + b"\n"


def _folded(folder: Path, content: bytes) -> bytes:
    """With lines that say the same folded into one that counts them; as it is where a line cannot be read."""
    try:
        lines = parse_record(content, folder / FILE)
    except BadRun:
        return content
    folded: dict[tuple[Any, ...], Access] = {}
    keys: dict[tuple[Any, ...], frozenset[str]] = {}
    for each in lines:
        kind = _kind(each)
        first = folded.get(kind)
        keys[kind] = keys.get(kind, frozenset()) | set(each.keys)
        folded[kind] = each if first is None else _both(first, each)
    stated = [_with_keys(folder, replace(each, keys=()), keys[kind]) if keys[kind] else each for kind, each in folded.items()]
    return b"".join(map(_line, stated))


def _kind(each: Access) -> tuple[Any, ...]:
    flags = (each.before_threshold, each.inherited, each.test_set, each.model, each.external)
    return (each.kind, each.where, each.run, each.manifest, each.detail, *flags)


def _both(first: Access, second: Access) -> Access:
    latest = max(first.latest, second.latest)
    images, times = max(first.images, second.images), first.times + second.times
    return replace(first, when=min(first.when, second.when), last=latest, images=images, times=times)
