"""All copies among files: the same pixels in another container, and the same picture after any usual change."""

from __future__ import annotations

import contextlib
import logging
import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from threadpoolctl import threadpool_limits

from core.data.copies.fingerprint import Floats, descriptors_of, points_of
from core.data.copies.search import candidate_pairs
from core.data.copies.store import Features, FingerprintStore
from core.data.copies.verify import same_picture
from core.data.read_ahead import read_ahead
from core.errors import UnreadableImage
from core.images import one_large_at_a_time, read

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
_BATCH = 64  # pairs of one task


@dataclass(frozen=True)
class Copies:
    """Positions of the files that were compared. `pixels`: groups with the same pixels; `near`: pairs that show one picture."""

    pixels: tuple[tuple[int, ...], ...] = ()
    near: tuple[tuple[int, int], ...] = ()


def find_copies(
    paths: Sequence[str], contents: Sequence[str], *, store: FingerprintStore | None = None, progress: Progress | None = None
) -> Copies:
    """Compare the pictures of files; each content is decoded once, whatever the number of calls.

    Args:
        paths, contents: the files and the SHA-256 of what is in them; "" (unreadable) is compared with nothing. Files with the
            same content are taken for one.
        store: an open one; otherwise one is opened for this call.
        progress: called in this thread with (done, total) of the step that is under way; an exception it raises ends the work,
            and what is done by then is stored.
    """
    with contextlib.ExitStack() as stack:
        opened = store or stack.enter_context(FingerprintStore())
        stack.enter_context(one_thread_each())
        return _find(paths, contents, opened, progress or (lambda done, total: None))


def one_thread_each() -> contextlib.AbstractContextManager[object]:
    """While images are compared in threads of our own: those of BLAS would only wait for one another."""
    return threadpool_limits(1, user_api="blas")


def _find(paths: Sequence[str], contents: Sequence[str], store: FingerprintStore, report: Progress) -> Copies:
    first: dict[str, int] = {}
    for position, content in enumerate(contents):
        if content:
            first.setdefault(content, position)
    _complete(store, {content: paths[position] for content, position in first.items()}, report)
    hashes = store.pixels(first)
    alike: defaultdict[str, list[int]] = defaultdict(list)
    for content, position in first.items():
        if hashes.get(content):
            alike[hashes[content]].append(position)
    groups = tuple(tuple(group) for group in alike.values() if len(group) > 1)
    shown = sorted(group[0] for group in alike.values())  # copies of the same pixels have the same features
    pictures = [contents[position] for position in shown]
    candidates = candidate_pairs(store.codes(pictures), threads=_threads(), tick=lambda: report(0, len(pictures)))
    wanted = [(*_ordered(pictures[i], pictures[j]), flip) for i, j, flip in candidates]
    same = _verified(store, wanted, report)
    report(len(paths), len(paths))
    near = sorted((shown[i], shown[j]) for (i, j, _), yes in zip(candidates, same, strict=True) if yes)
    return Copies(groups, tuple(near))


def _ordered(first: str, second: str) -> tuple[str, str]:
    return (first, second) if first < second else (second, first)


def _complete(store: FingerprintStore, files: dict[str, str], report: Progress) -> None:
    """Fingerprints of those contents that have none yet."""
    known = store.pixels(files)
    missing = [(content, path) for content, path in files.items() if content not in known]

    def look(item: tuple[str, str]) -> None:
        content, path = item
        try:
            with one_large_at_a_time():
                store.take(content, read(Path(path)))
        except UnreadableImage as error:  # it changed since it was inspected: the next check says so
            log.info("%s is compared with no other image: %s", path, error)

    done = len(files) - len(missing)
    report(done, len(files))
    with closing(read_ahead(look, missing, workers=_threads(), ahead=4 * _threads(), name="fingerprints")) as results:
        for _ in results:
            done += 1
            store.flush()
            report(done, len(files))


def _verified(store: FingerprintStore, pairs: list[tuple[str, str, int]], report: Progress) -> list[bool]:
    """Whether each pair of contents shows one picture, the first mirrored by the flip."""
    known = store.verdicts(pairs)
    unknown = [pair for pair in pairs if pair not in known]
    batches = (unknown[start : start + _BATCH] for start in range(0, len(unknown), _BATCH))
    tasks = ((batch, store.features({content for pair in batch for content in pair[:2]})) for batch in batches)
    done = 0
    with closing(read_ahead(_judge, tasks, workers=_threads(), ahead=2 * _threads(), name="copies")) as results:
        for found in results:
            store.decide(found)
            known |= found
            done += len(found)
            report(done, len(unknown))
    return [known[pair] for pair in pairs]


def _judge(
    task: tuple[list[tuple[str, str, int]], dict[str, Features]],
) -> dict[tuple[str, str, int], bool]:
    pairs, stored = task
    features: dict[str, tuple[Floats, Floats]] = {
        content: (points_of(points), descriptors_of(descriptors)) for content, (points, descriptors) in stored.items()
    }
    return {
        (a, b, flip): a in features and b in features and same_picture(features[a], features[b], flip) for a, b, flip in pairs
    }


def _threads() -> int:
    return min(4, os.cpu_count() or 1)
