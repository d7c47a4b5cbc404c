"""What test sets were used for: an append-only record, a line an access.

`test_accesses.jsonl` lies in each run's folder and in the folder of the runs. An access goes into the one of the folder of
runs, where a run that is made later on the same images finds it, and into those of all runs with such images in their test
set, so that a run which is moved keeps its own. Nothing is ever removed: of a file that grows long, lines that say the same
are folded into one that counts them. Data folders, which may be read-only, are never written to.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from core.atomic import replacing, write_text
from core.errors import BadRun, NotRecorded
from core.small_files import LARGE, parse_json, read_bytes, read_json
from core.training.lineage import read_entries
from core.training.status import read_status
from core.training.test_sets import TestSet, all_test_sets, test_set_of

log = logging.getLogger(__name__)

FILE = "test_accesses.jsonl"
SETS = ".test_sets"  # in the folder of runs: which images a long access was to, a file a set
LIMIT = 1 << 23  # bytes of a record
FOLD = 1 << 20  # bytes from which on lines that say the same are folded
INLINE = 12  # keys of images that stand in the line itself
PATIENCE = 10.0  # seconds to wait for another writer

SCORED, IMAGES, LABELS, HEATMAPS, AUDIT, PREDICTION = "scored", "images", "labels", "heatmaps", "audit", "prediction"
KINDS = {
    SCORED: "scored",
    IMAGES: "images shown",
    LABELS: "labels shown",
    HEATMAPS: "heatmaps",
    AUDIT: "audit of heatmaps",
    PREDICTION: "test file predicted",
}
# Lines that are no access: what was decided after one.
RECIPE, THRESHOLD = "recipe", "threshold"
NOTES = {RECIPE: "recipe saved after test images were shown", THRESHOLD: "threshold chosen again"}
PREPROCESS = "Preprocess"  # the page where recipes are tuned

_LONGEST = {"run": 200, "where": 100, "manifest": 1000, "detail": 300, "inherited": 200}


@dataclass(frozen=True)
class Access:
    """One access to test images, or (see NOTES) what was decided after one.

    `when`: UTC, ISO 8601, "" where an early version kept no time. `kind`: of KINDS or NOTES. `where`: page or command.
    `images`: how many of the test set. `run`: by which run ("" in a run's own record: by itself), or `manifest`: of which data
    set. `before_threshold`: whether the threshold of the run that is asked had not been frozen yet. `inherited`: the run that
    it was copied from when this one was forked. `times`: how many lines it stands for, the last of them at `last`. `keys` or
    `test_set` (a file in SETS) say which images; only the folder of runs needs them.
    """

    when: str
    kind: str
    where: str
    images: int
    run: str = ""
    manifest: str = ""
    detail: str = ""
    before_threshold: bool | None = None
    inherited: str = ""
    times: int = 1
    last: str = ""
    id: str = ""
    keys: tuple[str, ...] = ()
    test_set: str = ""

    @property
    def counts(self) -> bool:
        """Whether it is an access, and not what was decided after one."""
        return self.kind in KINDS

    @property
    def latest(self) -> str:
        return self.last or self.when

    @property
    def words(self) -> str:
        """The kind in words."""
        return KINDS.get(self.kind) or NOTES[self.kind]

    def as_dict(self) -> dict[str, Any]:
        """For JSON output: without what identifies images."""
        return {name: value for name, value in asdict(self).items() if name not in ("keys", "test_set")}


# ---------------------------------------------------------------- write


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
) -> Access:
    """Write down an access before it is given.

    Args:
        root: the folder of runs.
        kind: of KINDS or NOTES.
        where: the page or command.
        keys: of each image (core.training.test_sets); of `run`'s whole test set where they are not told apart.
        images: how many images, where not all of `keys`.
        run: folder of the run by which it is; None for an access to a data set.
        manifest: of the data set.
        detail: what else there is to say: the recipe's hash.
        when: `now()`, where the caller writes the same time elsewhere.
        sets: those of the runs in `root`, where the caller has them; else they are read.

    Raises:
        NotRecorded: it cannot be written. Give no access then.
    """
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
    )
    if run is not None:  # its own record comes first, and has to succeed
        _append(run, [_judged(replace(access, run=""), run)])
    try:
        _append(root, [_with_keys(root, access, flat)])
    except NotRecorded:
        if run is None:
            raise
        log.warning("%s: %s is in the record of %s only", root, access.words, run.name)
    for found in all_test_sets(root) if sets is None else sets:
        if found.folder is None or found.folder == run or not found.keys & flat:
            continue
        try:
            _append(found.folder, [_judged(access, found.folder)])
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
        earlier = _of_root(root, test_set_of(folder))
    except BadRun as error:  # told to whoever asks the run; it keeps nobody from training
        log.warning("%s", error)
        return
    if earlier:
        _append(folder, [replace(each, before_threshold=True, keys=(), test_set="") for each in earlier])


def inherit(child: Path, parent: Path) -> None:
    """Give a fork its parent's accesses: its test set is the same. Raises BadRun (damaged), NotRecorded."""
    there = accesses(child)
    news = [each for each in accesses(parent) if not any(_same(own, each) for own in there)]
    if news:
        _append(child, [replace(each, before_threshold=True, inherited=each.inherited or parent.name) for each in news])


def _judged(access: Access, folder: Path) -> Access:
    """With whether it came before the threshold of the run in this folder was frozen."""
    status = read_status(folder / "status.json")
    try:
        card = read_json(folder / "model.json")
        frozen = isinstance(card, dict) and card.get("threshold") is not None and not status.live
    except (OSError, ValueError):
        frozen = False
    return replace(access, before_threshold=not frozen)


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


def _append(folder: Path, lines: Sequence[Access]) -> None:
    """Add lines to the record of a folder: the whole file anew, and none other at the same time.

    Raises:
        NotRecorded: it cannot be written, or is full.
    """
    path = folder / FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".test_accesses.lock", timeout=PATIENCE):
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
    except (OSError, ValueError) as error:
        raise _unwritable(path, error) from error


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
        lines = _parse(content, folder / FILE)
    except BadRun:
        return content
    folded: dict[tuple[Any, ...], Access] = {}
    keys: dict[tuple[Any, ...], frozenset[str]] = {}
    for each in lines:
        kind = _kind(each)
        first = folded.get(kind)
        keys[kind] = keys.get(kind, frozenset()) | set(each.keys)
        folded[kind] = each if first is None else _both(first, each)
    told = [_with_keys(folder, replace(each, keys=()), keys[kind]) if keys[kind] else each for kind, each in folded.items()]
    return b"".join(map(_line, told))


def _kind(each: Access) -> tuple[Any, ...]:
    flags = (each.before_threshold, each.inherited, each.test_set)
    return (each.kind, each.where, each.run, each.manifest, each.detail, *flags)


def _both(first: Access, second: Access) -> Access:
    latest = max(first.latest, second.latest)
    images, times = max(first.images, second.images), first.times + second.times
    return replace(first, when=min(first.when, second.when), last=latest, images=images, times=times)


# ---------------------------------------------------------------- read


def accesses(folder: Path) -> tuple[Access, ...]:
    """All accesses to the test images of the run in this folder, and what was decided after them, by time.

    Its own, those inherited when it was forked, those of the folder of runs to the same images (also before it existed), and
    the openings in evaluation.json that an earlier version counted.

    Raises:
        BadRun: a record, or evaluation.json, is damaged; that is never taken for "no access".
    """
    found = list(read_record(folder))
    if (folder.parent / FILE).exists():
        own = test_set_of(folder)
        others = _of_root(folder.parent, own, skip=found)
        found += [replace(_judged(each, folder), keys=(), test_set="") for each in others]
    scored = {each.when for each in found if each.kind == SCORED}
    found += [opening for opening in _openings(folder) if opening.when not in scored]
    chosen = max((each.latest for each in found if each.kind == THRESHOLD), default="")
    return tuple(
        sorted(
            (replace(each, before_threshold=True) if each.when < chosen else each for each in found), key=lambda each: each.when
        )
    )


def access_counts(folder: Path) -> dict[str, int]:
    """How often each kind of access to the run's test set was made; {} when never. Raises BadRun as `accesses`."""
    counts: dict[str, int] = {}
    for each in accesses(folder):
        if each.counts:
            counts[each.kind] = counts.get(each.kind, 0) + each.times
    return counts


def counts_in_words(counts: dict[str, int]) -> str:
    """`2 times scored, once images shown`."""
    return ", ".join(f"{KINDS[kind]} {'once' if times == 1 else f'{times} times'}" for kind, times in counts.items())


def read_record(folder: Path) -> tuple[Access, ...]:
    """The lines of a folder's own record, as they were written; () when there is none.

    Raises:
        BadRun: it is damaged, or no regular file.
    """
    path = folder / FILE
    try:
        content = read_bytes(path, LIMIT)
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as error:
        raise _damaged(path, str(getattr(error, "strerror", None) or error)) from error
    return tuple(_parse(content, path))


def _parse(content: bytes, path: Path) -> list[Access]:
    known = {field.name for field in fields(Access)}
    found = []
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            value = parse_json(line)
            if not isinstance(value, dict):
                raise ValueError("expected an object")
            told = {name: item for name, item in value.items() if name in known}
            access = Access(**told | {"keys": tuple(value.get("keys", ()))})
            _check(access)
        except (ValueError, TypeError) as error:
            raise _damaged(path, f"line {number}: {error}") from error
        found.append(access)
    return found


def _check(access: Access) -> None:
    """Raises ValueError for what no record has."""
    if access.kind not in KINDS and access.kind not in NOTES:
        raise ValueError(f"kind {access.kind!r} is none of {', '.join((*KINDS, *NOTES))}")
    texts = (access.when, access.where, access.run, access.manifest, access.detail, access.inherited, access.last, access.id)
    if not all(isinstance(text, str) for text in (*texts, access.test_set, *access.keys)):
        raise ValueError("expected text")
    if access.when and datetime.fromisoformat(access.when).tzinfo is None:
        raise ValueError(f"when {access.when!r}: expected a time with its zone")
    if any(type(number) is not int or number < 0 for number in (access.images, access.times)):
        raise ValueError("expected counts")
    if access.before_threshold not in (None, True, False):
        raise ValueError("before_threshold: expected true or false")
    if not all(mark.isalnum() for mark in access.test_set):
        raise ValueError(f"test_set {access.test_set!r}: expected letters and digits")


def _damaged(path: Path, reason: str) -> BadRun:
    return BadRun(
        f"{path}: damaged: {reason}. It records what the test set was used for: restore it from a copy, or move it away and "
        "say in your report that the record was lost."
    )


def _of_root(root: Path, own: TestSet, skip: Sequence[Access] = ()) -> list[Access]:
    """The accesses in the record of the folder of runs to images of this test set, but those that are among `skip`."""
    ids = {each.id for each in skip}
    folded = [each for each in skip if each.last]
    sets: dict[str, frozenset[str]] = {}
    found = []
    for each in read_record(root):
        if each.id in ids or any(_same(mine, each) for mine in folded):
            continue
        if each.test_set and each.test_set not in sets:
            sets[each.test_set] = _read_set(root / SETS / f"{each.test_set}.json")
        if own.keys & (sets[each.test_set] if each.test_set else frozenset(each.keys)):
            found.append(each)
    return found


def _same(mine: Access, other: Access) -> bool:
    """Whether a line, which may have been folded, holds the other."""
    if mine.id == other.id:
        return True
    alike = (mine.kind, mine.where, mine.manifest) == (other.kind, other.where, other.manifest) and mine.run in ("", other.run)
    return bool(mine.last) and alike and mine.when <= other.when and other.latest <= mine.last


def _read_set(path: Path) -> frozenset[str]:
    try:
        value = read_json(path, LARGE)
        if not isinstance(value, list):
            raise ValueError("expected a list")
        return frozenset(map(str, value))
    except (OSError, ValueError) as error:
        raise _damaged(path, str(getattr(error, "strerror", None) or error)) from error


def _openings(folder: Path) -> list[Access]:
    """The openings in evaluation.json; an earlier version wrote them there only."""
    test = read_entries(folder).get("test") or {}
    found: list[Access] = []
    try:
        count = int(test.get("opened", 0))
        times = [str(each["when"]) for each in test.get("history", ())] or ([str(test.get("last_opened", ""))] if count else [])
        images = int((test.get("images")) or 0)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _damaged(folder / "evaluation.json", f"the entry of test: {error}") from error
    for number, when in enumerate(times):
        # Earlier ones were only counted: the first that is known stands for them too. A first version kept no time at all.
        more = count - len(times) if number == 0 else 0
        found.append(
            Access(when, SCORED, "evaluate", images, times=1 + max(0, more), before_threshold=False, id=f"opening:{when}")
        )
    return found
