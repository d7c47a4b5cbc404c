"""Before the first step: every image prepared once, unreadable ones left out by name, identical files found."""

from __future__ import annotations

import csv
import hashlib
import io
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from core.config import Recipe
from core.data import require_trainable, write_manifest
from core.data.cache import PreparedCache, cache_root
from core.errors import TrainingFailed
from core.training.events import Event
from core.training.files import write_text
from core.training.recorder import Recorder
from core.training.run import EXCLUDED, MANIFEST

_PROGRESS_SECONDS = 0.5
_NAMED = 3


@dataclass(frozen=True)
class Rows:
    """The images to train with and to validate on, and where they are prepared."""

    train: pd.DataFrame
    val: pd.DataFrame
    cache: PreparedCache
    recipe: Recipe


def prepare_rows(recorder: Recorder, recipe: Recipe, *, again: bool) -> Generator[Event, None, Rows | None]:
    """Fill the cache for train and val; yields "prepare", "excluded" and "warning" events. None: a stop was asked for.

    The first time, what cannot be read is left out and written to excluded.csv, and content hashes go to manifest.csv.
    When a run is resumed (`again`) the same images must be there, unchanged, or it would not be the same training.
    The test images are only hashed, to find copies across splits.

    Raises:
        Leakage: an identical file stands in two splits.
        BadManifest: without the unreadable images, a class is missing in train or val.
        TrainingFailed: a resumed run's image is gone or changed.
    """
    run = recorder.run
    frame = run.manifest()
    cache = PreparedCache(cache_root(), recipe)
    known = run.excluded() if again else {}
    frame = frame[~frame["path"].isin(list(known))].reset_index(drop=True)
    used = frame[frame["split"].isin(["train", "val"])]
    rejected: dict[str, str] = {}
    told = time.monotonic()
    for done, result in enumerate(cache.iter_prepare(used["path"].to_list()), start=1):
        if result is not None:
            rejected[result.path] = result.reason
        if time.monotonic() - told >= _PROGRESS_SECONDS or (done == len(used) and not again):
            told = time.monotonic()
            yield recorder.event("prepare", done=done, total=len(used))
            if run.requested("stop"):
                return None
    if again:
        _require_unchanged(frame, cache, rejected)
    else:
        frame = yield from _settle(recorder, frame, cache, rejected)
    splits = {name: frame[frame["split"] == name].reset_index(drop=True) for name in ("train", "val")}
    return Rows(splits["train"], splits["val"], cache, recipe)


def _settle(
    recorder: Recorder, frame: pd.DataFrame, cache: PreparedCache, rejected: dict[str, str]
) -> Generator[Event, None, pd.DataFrame]:
    """Record what is left out and the contents' hashes; the rows that remain."""
    run = recorder.run
    for path, reason in rejected.items():
        yield recorder.event("excluded", path=path, reason=reason)
    if rejected:
        write_text(run.path / EXCLUDED, _table(rejected))
    else:
        (run.path / EXCLUDED).unlink(missing_ok=True)  # of an attempt that ended before its first checkpoint
    hashes, doubtful = [], []
    for path, split in zip(frame["path"], frame["split"], strict=True):
        if path in rejected:
            hashes.append("")
        elif split == "test":
            hashes.append(_hash(Path(path)))
        else:
            image = cache.get(path)
            hashes.append(image.content_hash)
            doubtful += [f"{Path(path).name}: {', '.join(image.warnings)}"] if image.warnings else []
    frame = frame.assign(content_hash=pd.Series(hashes, index=frame.index, dtype="str"))
    write_manifest(frame, run.path / MANIFEST)
    remaining = frame[~frame["path"].isin(list(rejected))].reset_index(drop=True)
    require_trainable(remaining)
    if doubtful:
        more = f"; and {len(doubtful) - _NAMED} more" if len(doubtful) > _NAMED else ""
        message = f"{len(doubtful)} images were prepared with a doubt: {'; '.join(doubtful[:_NAMED])}{more}"
        yield recorder.event("warning", message=message)
    return remaining


def _require_unchanged(frame: pd.DataFrame, cache: PreparedCache, rejected: dict[str, str]) -> None:
    remedy = "Put the files back as they were and resume, or start a new run."
    if rejected:
        reason = next(iter(rejected.values()))
        count = f"{len(rejected)} images" if len(rejected) > 1 else "An image"
        raise TrainingFailed(f"{count} of this run can no longer be read: {reason.rstrip('.')}. {remedy}")
    for path, split, expected in zip(frame["path"], frame["split"], frame.get("content_hash", ""), strict=True):
        if split != "test" and cache.get(path).content_hash != expected:
            raise TrainingFailed(f"{path}: the file has changed since this run began. {remedy}")


def _hash(path: Path) -> str:
    """SHA-256 of a file; "" when it cannot be read (the evaluation of the test set will say so)."""
    if not path.is_file():  # a pipe would block for ever
        return ""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return ""


def _table(rejected: dict[str, str]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("path", "reason"))
    writer.writerows(rejected.items())
    return stream.getvalue()
