"""The search for leakage before the first step: refused, or recorded where the configuration allows it."""

from __future__ import annotations

import json
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pandas as pd

from core.data.duplicates import Duplicate, find_duplicates
from core.data.leakage import REMEDY, leakage_words
from core.errors import BadRun, Leakage
from core.files.folders import write_text
from core.files.untrusted import read_json
from core.runs.events import Event, PrepareEvent, WarningEvent
from core.training.run_logger import RunLogger
from core.training.timing import Throttle

FILE = "leakage.json"
_TURN = 0.2  # seconds between two looks at a request to stop


class _Stopped(Exception):
    """Ends the search."""


def search_leakage(logger: RunLogger, frame: pd.DataFrame, throttle: Throttle) -> Generator[Event, None, str | None]:
    """What leaks between the splits, "" for nothing, stored in the run's folder; None: a stop was requested. Yields "prepare"
    events, and a "warning" where leakage is allowed.

    Args:
        frame: the run's rows, with content hashes.

    Raises:
        Leakage: something does, and `data.allow_leakage` is off.
    """
    duplicates = yield from _searched(logger, frame, throttle)
    if duplicates is None:
        return None
    found = leakage_words(frame, duplicates)
    if found and not logger.run.config().data.allow_leakage:
        example = next((each for each in duplicates if each.across), None)
        named = "" if example is None else f" (for example {_example(frame, example)})"
        raise Leakage(f"{found}{named}. {REMEDY}")
    write_text(logger.run.path / FILE, json.dumps({"found": found}, ensure_ascii=False) + "\n")
    if found:
        message = f"Leakage is allowed: {found}. Every metric of this run carries that mark."
        yield logger.event(WarningEvent(type="warning", about="leakage", message=message))
    return found


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


def _searched(logger: RunLogger, frame: pd.DataFrame, throttle: Throttle) -> Generator[Event, None, list[Duplicate] | None]:
    """The copies among the images, searched for in a thread of its own, so that a stop is heeded meanwhile."""
    at, stopping = (0, len(frame)), threading.Event()

    def progress(done: int, total: int) -> None:
        nonlocal at
        at = (done, total)
        if stopping.is_set():
            raise _Stopped

    contents = frame["content_hash"].astype("str").to_list()
    throttle.restart()
    with ThreadPoolExecutor(1, thread_name_prefix="leakage") as pool:
        search = pool.submit(find_duplicates, frame, contents, progress=progress)
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


def _example(frame: pd.DataFrame, found: Duplicate) -> str:
    """Two of the files, from two splits."""
    splits = frame["split"].astype("str")
    first = next(row for row in found.rows if splits.iloc[row])
    other = next(row for row in found.rows if splits.iloc[row] not in ("", splits.iloc[first]))
    return " and ".join(f"{frame['path'].iloc[row]} in {splits.iloc[row]}" for row in (first, other))
