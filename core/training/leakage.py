"""The search for leakage before the first step: copies are kept on one side of a split that was drawn here; in a given split
they are refused, or recorded where the configuration allows it.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pandas as pd

from core.data.duplicates import Duplicate, find_duplicates
from core.data.leakage import REMEDY, leakage_words
from core.data.manifest import write_manifest
from core.data.repair import repair_splits
from core.errors import BadRun, Leakage
from core.files.folders import write_text
from core.files.untrusted import read_json
from core.runs.events import Event, PrepareEvent, WarningEvent
from core.runs.run import MANIFEST
from core.runs.split_origin import read_split_origin, write_split_origin
from core.runs.test_set.provenance import read_parent
from core.training.run_logger import RunLogger
from core.training.timing import Throttle

Progress = Callable[[int, int], None]
Result = TypeVar("Result")

FILE = "leakage.json"
_TURN = 0.2  # seconds between two looks at a request to stop


class _Stopped(Exception):
    """Ends the search."""


def search_copies(logger: RunLogger, frame: pd.DataFrame, throttle: Throttle) -> Generator[Event, None, list[Duplicate] | None]:
    """The copies among a run's rows, which have content hashes; None: a stop was requested. Yields "prepare" events."""
    contents = frame["content_hash"].astype("str").to_list()

    def look(progress: Progress) -> list[Duplicate]:
        return find_duplicates(frame, contents, progress=progress)

    return (yield from searched(logger, look, len(frame), throttle))


def searched(
    logger: RunLogger, look: Callable[[Progress], Result], total: int, throttle: Throttle
) -> Generator[Event, None, Result | None]:
    """What `look` gives, which is called with a function that takes (done, total); None: a stop was requested. Yields "prepare"
    events.

    It runs in a thread of its own, so that a stop is heeded meanwhile.
    """
    at, stopping = (0, total), threading.Event()

    def progress(done: int, total: int) -> None:
        nonlocal at
        at = (done, total)
        if stopping.is_set():
            raise _Stopped

    throttle.restart()
    with ThreadPoolExecutor(1, thread_name_prefix="leakage") as pool:
        search = pool.submit(look, progress)
        try:
            while not wait([search], timeout=_TURN).done:
                if throttle.due():
                    yield logger.event(PrepareEvent(type="prepare", done=at[0], total=at[1], what="copies"))
                if logger.run.requested("stop"):
                    stopping.set()
        finally:
            stopping.set()
    try:
        return search.result()
    except _Stopped:
        return None


def keep_together(logger: RunLogger, frame: pd.DataFrame, duplicates: Sequence[Duplicate]) -> Generator[Event, None, bool]:
    """Move copies to one side of a split that MammoLab drew for this run, of which nothing was seen yet: whether any were.

    A split that the manifest gave is left to its owner, and so is that of a fork, whose weights have seen its sides; of a
    given test set no image is moved. What moved is in the manifest, in split.json and in the event.

    Raises:
        BadRun: split.json is damaged.
    """
    run = logger.run
    origin = read_split_origin(run.path)
    if origin is None or origin.run or origin.how not in ("drawn", "validation drawn") or read_parent(run.path) is not None:
        return False
    apart = [each for each in duplicates if each.across and (origin.how == "drawn" or "test" not in each.splits)]
    if not apart:
        return False
    data = run.config().data
    repair = repair_splits(frame, apart, val_fraction=data.val_fraction, test_fraction=data.test_fraction, seed=data.split_seed)
    after = {move.path: move.after for move in repair.moved}
    manifest = run.manifest()
    splits = [after.get(path, split) for path, split in zip(manifest["path"].astype("str"), manifest["split"], strict=True)]
    write_manifest(manifest.assign(split=pd.Series(splits, index=manifest.index, dtype="str")), run.path / MANIFEST)
    write_split_origin(run.path, replace(origin, moved=origin.moved + len(after)))
    message = f"The split was drawn by patient, and copies of images stood on several of its sides: {'; '.join(repair.notes)}."
    yield logger.event(WarningEvent(type="warning", about="split", message=message))
    return True


def require_none(logger: RunLogger, frame: pd.DataFrame, duplicates: Sequence[Duplicate]) -> Generator[Event, None, None]:
    """Store in the run's folder what leaks between its splits. Yields a "warning" where leakage is allowed.

    Raises:
        Leakage: something does, and `data.allow_leakage` is off.
    """
    found = leakage_words(frame, duplicates)
    if found and not logger.run.config().data.allow_leakage:
        example = next((each for each in duplicates if each.across), None)
        named = "" if example is None else f" (for example {_example(frame, example)})"
        raise Leakage(f"{found}{named}. {REMEDY}")
    write_text(logger.run.path / FILE, json.dumps({"found": found}, ensure_ascii=False) + "\n")
    if found:
        message = f"Leakage is allowed: {found}. Every metric of this run carries that mark."
        yield logger.event(WarningEvent(type="warning", about="leakage", message=message))


def read_leakage(folder: Path) -> str:
    """What the search found when the run began; "" for nothing, and of a run of an earlier version. Raises BadRun: damaged."""
    path = folder / FILE
    if not path.exists():
        return ""
    try:
        found = read_json(path)["found"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadRun(f"{path}: it is damaged ({type(error).__name__}). Restore the file, or start a new run.") from error
    if not isinstance(found, str):
        raise BadRun(f"{path}: expected words, got {type(found).__name__}. Restore the file, or start a new run.")
    return found


def _example(frame: pd.DataFrame, found: Duplicate) -> str:
    """Two of the files, from two splits."""
    splits = frame["split"].astype("str")
    first = next(row for row in found.rows if splits.iloc[row])
    other = next(row for row in found.rows if splits.iloc[row] not in ("", splits.iloc[first]))
    return " and ".join(f"{frame['path'].iloc[row]} in {splits.iloc[row]}" for row in (first, other))
