"""Which images of another collection show a picture of the run's own, under another name, identifier or form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from core.data.copies import find_copies
from core.data.copies.find import one_thread_each
from core.data.copies.store import FingerprintStore
from core.data.duplicates import connected
from core.data.file_inspection import inspect_files
from core.data.overlap import ORDER, did

Progress = Callable[[int, int], None]


def copies_of(own: pd.DataFrame, rows: pd.DataFrame, progress: Progress | None = None) -> tuple[dict[Any, str], str]:
    """Compare the pictures of another collection with a run's: (why a row is a copy, by row index; what could not be compared).

    Args:
        own: the run's manifest, with `content_hash` (SHA-256 in hex, "" unknown).
        rows: of the other manifest.
        progress: called in this thread with (done, total) of the step that is under way; an exception it raises ends the work.
    """
    own = own[own["split"].isin(ORDER)]
    paths = rows["path"].astype("str").to_list()
    with FingerprintStore() as store, one_thread_each():
        inspected = inspect_files(paths, progress, seen=store.take)
        contents = [*_own_contents(own, store, progress), *("" if file.reason else file.content_hash for file in inspected)]
        found = find_copies([*own["path"].astype("str"), *paths], contents, store=store, progress=progress)
        compared = store.pixels(contents[: len(own)])
    same: dict[str, int] = {}
    links = [(same.setdefault(content, row), row) for row, content in enumerate(contents) if content]
    links += [(group[0], other) for group in found.pixels for other in group[1:]]
    reasons = {}
    splits = own["split"].astype("str").to_list()
    for group in connected(len(contents), [*links, *found.near]):
        theirs = [row for row in group if row < len(own)]
        for row in [row for row in group if row >= len(own)] if theirs else []:
            files = [each for each in theirs if contents[each] == contents[row]]
            split = min((splits[each] for each in files or theirs), key=ORDER.index)
            reasons[rows.index[row - len(own)]] = f"{did(split)} {'this file' if files else 'a copy of this picture'}"
    missing = sum(content not in compared for content in contents[: len(own)])
    is_, it = ("is", "it") if missing == 1 else ("are", "them")
    doubt = (
        f"{missing:,} of the run's {len(own):,} images {is_} gone, changed or unreadable: copies of {it} were not looked for"
    )
    return dict(sorted(reasons.items())), doubt if missing else ""


def _own_contents(own: pd.DataFrame, store: FingerprintStore, progress: Progress | None) -> Sequence[str]:
    """What was in the run's files, "" where nothing is known of it and the file is another one now, or gone."""
    hashes = own["content_hash"].astype("str").to_list() if "content_hash" in own.columns else [""] * len(own)
    known = store.pixels([content for content in hashes if content])
    unknown = [row for row, content in enumerate(hashes) if content not in known]
    files = inspect_files([str(Path(own["path"].iloc[row])) for row in unknown], progress, seen=store.take)
    store.flush()
    for row, file in zip(unknown, files, strict=True):
        usable = not file.reason and file.content_hash == (hashes[row] or file.content_hash)
        hashes[row] = file.content_hash if usable else ""
    return hashes
