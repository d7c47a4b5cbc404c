"""Image preparation before the first step: each image once, unreadable ones left out by name, identical files found."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.config import Recipe
from core.data import LABELS, require_trainable, write_manifest
from core.data.breasts import Breasts, breast_notes, breasts_of
from core.data.cache import PreparedCache
from core.errors import LabError, TrainingFailed
from core.files.folders import write_text
from core.files.paths import cache_root
from core.runs.events import Event, ExcludedEvent, PrepareEvent, WarningEvent
from core.runs.run import EXCLUDED, MANIFEST
from core.training.distributed import World
from core.training.leakage import keep_together, read_leakage, require_none, search_copies
from core.training.run_logger import RunLogger
from core.training.timing import LoopTiming, Throttle

_NAMED = 3
_REMEDY = "Put the files back as they were and resume, or start a new run."

Result = TypeVar("Result")


@dataclass(frozen=True)
class Rows:
    """The images to train with and to validate on, where they are prepared, and what leaks between the splits, "" for none.

    With two `views` the samples are their breasts, else the images themselves.
    """

    train: pd.DataFrame
    val: pd.DataFrame
    cache: PreparedCache
    recipe: Recipe
    leakage: str = ""
    views: int = 1

    @cached_property
    def train_breasts(self) -> Breasts | None:
        """The breasts to train with; None where images are the samples."""
        return breasts_of(self.train) if self.views == 2 else None

    @cached_property
    def val_breasts(self) -> Breasts | None:
        """The breasts to validate on; None where images are the samples."""
        return breasts_of(self.val) if self.views == 2 else None

    @cached_property
    def train_labels(self) -> NDArray[np.float32]:
        """Of each training sample, float32 (N,), 1 = malignant."""
        return _labels(self.train, self.train_breasts)

    @cached_property
    def val_labels(self) -> NDArray[np.float32]:
        """Of each validation sample, float32 (N,), 1 = malignant."""
        return _labels(self.val, self.val_breasts)


def _labels(frame: pd.DataFrame, breasts: Breasts | None) -> NDArray[np.float32]:
    if breasts is not None:
        return breasts.labels
    return np.asarray(frame["label"] == LABELS[1], dtype=np.float32)


def prepare_rows(
    logger: RunLogger, recipe: Recipe, world: World, timing: LoopTiming, *, resumed: bool
) -> Generator[Event, None, Rows | None]:
    """Fill the cache for train and val; yields "prepare", "excluded" and "warning" events. None: a stop was requested.

    The first process does it, for all.

    The first time, what cannot be read is left out and written to excluded.csv, and content hashes go to manifest.csv.
    When a run is resumed (`resumed`), the same images must be there, unchanged, or it would not be the same training.
    The test images are only read to find copies across splits: files, pixels and pictures that are the same. Where MammoLab
    drew the split, copies are moved to one side of it.

    Raises:
        Leakage: a patient or copies of an image stand in two splits, and `data.allow_leakage` is off.
        BadManifest: without the unreadable images, a class is missing in train or val.
        TrainingFailed: a resumed run's image is gone or changed.
    """
    rows: Rows | None = None
    problem: LabError | None = None
    if world.is_rank_zero:
        try:
            rows = yield from _prepare_rows(logger, recipe, timing, resumed=resumed)
        except LabError as error:
            problem = error

    def outcome() -> Rows | None:
        if problem is not None:
            raise problem
        return rows

    return world.broadcast_object(outcome)


def _prepare_rows(
    logger: RunLogger, recipe: Recipe, timing: LoopTiming, *, resumed: bool
) -> Generator[Event, None, Rows | None]:
    run, report = logger.run, partial(_report, logger, Throttle(timing.between_images), resumed=resumed)
    frame = run.manifest()
    cache = PreparedCache(cache_root(), recipe)
    known = run.excluded() if resumed else {}
    frame = frame[~frame["path"].isin(list(known))].reset_index(drop=True)
    used = frame[frame["split"].isin(["train", "val"])]
    tried = yield from report(cache.iter_prepare(used["path"].to_list()), len(used))
    if tried is None:
        return None
    rejected = {result.path: result.reason for result in tried if result is not None}
    if resumed:
        _require_readable(rejected)
    rows = used if resumed else frame[~frame["path"].isin(list(rejected))]  # of the test images nothing is compared
    hashing = _contents(cache, rows["path"].to_list(), rows["split"].to_list())
    contents = yield from report(hashing, len(rows), what="hashes")
    if contents is None:
        return None
    found = dict(zip(rows["path"], contents, strict=True))
    if resumed:
        _require_unchanged(used, found)
    else:
        hashes = [found.get(path, ("", ()))[0] for path in frame["path"]]
        frame = frame.assign(content_hash=pd.Series(hashes, index=frame.index, dtype="str"))
        remaining = frame[~frame["path"].isin(list(rejected))].reset_index(drop=True)
        duplicates = yield from search_copies(logger, remaining, Throttle(timing.between_images))
        if duplicates is None:
            return None
        if (yield from keep_together(logger, remaining, duplicates)):  # images that were test images are prepared now
            return (yield from _prepare_rows(logger, recipe, timing, resumed=False))
        yield from _settle(logger, frame, remaining, found, rejected)
        yield from require_none(logger, remaining, duplicates)
        frame = remaining
    splits = {name: frame[frame["split"] == name].reset_index(drop=True) for name in ("train", "val")}
    views = run.config().model.views
    if views == 2 and not resumed:
        notes = {name: breast_notes(part) for name, part in splits.items()}
        if any(len(found) > 1 for found in notes.values()):  # beyond their number
            message = " ".join(f"{name.capitalize()}: {'; '.join(found)}." for name, found in notes.items())
            yield logger.event(WarningEvent(type="warning", about="views", message=message))
    return Rows(splits["train"], splits["val"], cache, recipe, read_leakage(run.path), views)


def _report(
    logger: RunLogger, throttle: Throttle, results: Generator[Result, None, None], total: int, *, resumed: bool, what: str = ""
) -> Generator[Event, None, list[Result] | None]:
    """All of `results`, with "prepare" events while they come. None: a stop was requested."""
    found: list[Result] = []
    throttle.restart()
    with closing(results):
        for result in results:
            found.append(result)
            if throttle.due(force=len(found) == total and not resumed):
                event = PrepareEvent(type="prepare", done=len(found), total=total)
                yield logger.event(event | {"what": what} if what else event)
                if logger.run.requested("stop"):
                    return None
    return found


def _contents(cache: PreparedCache, paths: list[str], splits: list[str]) -> Generator[tuple[str, tuple[str, ...]], None, None]:
    """(SHA-256, warnings of its preparation) of each file, in this order. Test images are not prepared, only read."""

    def inspect(path: str, split: str) -> tuple[str, tuple[str, ...]]:
        if split == "test":
            return _hash(Path(path)), ()
        image = cache.get(path)
        return image.content_hash, tuple(image.warnings)

    # Reading and hashing release the GIL.
    pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1), thread_name_prefix="hashes")
    try:
        yield from pool.map(inspect, paths, splits)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _settle(
    logger: RunLogger,
    frame: pd.DataFrame,
    remaining: pd.DataFrame,
    contents: dict[str, tuple[str, tuple[str, ...]]],
    rejected: dict[str, str],
) -> Generator[Event, None, None]:
    """Record what is left out of the frame and the contents' hashes; the rows that remain can be trained with."""
    run = logger.run
    for path, reason in rejected.items():
        yield logger.event(ExcludedEvent(type="excluded", path=path, reason=reason))
    if rejected:
        write_text(run.path / EXCLUDED, excluded_table(rejected))
    else:
        (run.path / EXCLUDED).unlink(missing_ok=True)  # of an attempt that ended before its first checkpoint
    write_manifest(frame, run.path / MANIFEST)
    if rejected and not len(remaining[remaining["split"] != "test"]):
        reason = next(iter(rejected.values()))
        raise TrainingFailed(f"none of the {len(rejected)} images can be read, for example {reason} Is the drive connected?")
    require_trainable(remaining, allow_leakage=run.config().data.allow_leakage)
    doubtful = [f"{Path(path).name}: {', '.join(doubts)}" for path, (_, doubts) in contents.items() if doubts]
    if doubtful:
        more = f"; and {len(doubtful) - _NAMED} more" if len(doubtful) > _NAMED else ""
        message = f"{len(doubtful)} images were prepared with a doubt: {'; '.join(doubtful[:_NAMED])}{more}"
        yield logger.event(WarningEvent(type="warning", message=message))


def _require_readable(rejected: dict[str, str]) -> None:
    if rejected:
        reason = next(iter(rejected.values()))
        count = f"{len(rejected)} images" if len(rejected) > 1 else "An image"
        raise TrainingFailed(f"{count} of this run can no longer be read: {reason.rstrip('.')}. {_REMEDY}")


def _require_unchanged(used: pd.DataFrame, contents: dict[str, tuple[str, tuple[str, ...]]]) -> None:
    for path, expected in zip(used["path"], used["content_hash"], strict=True):
        if contents[path][0] != expected:
            raise TrainingFailed(f"{path}: the file has changed since this run began. {_REMEDY}")


def _hash(path: Path) -> str:
    """SHA-256 of a file; "" when it cannot be read (the evaluation of the test set will report it)."""
    try:
        if not path.is_file():  # a pipe would block for ever
            return ""
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return ""


def excluded_table(rejected: dict[str, str]) -> str:
    """The content of excluded.csv: {path: reason}."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("path", "reason"))
    writer.writerows(rejected.items())
    return stream.getvalue()
