"""Test-set access on the command line: test images among the files of a command are recorded before they are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from core.cli.output import note, printable

if TYPE_CHECKING:
    from core.runs.test_set.identity import TestSet

_Stamp = tuple[int, int] | None


def record_files(
    files: Sequence[Path | str | bytes],
    kind: str,
    where: str,
    *,
    root: Path,
    run: Path | None = None,
    manifest: Path | None = None,
) -> None:
    """Write down which of these files are test images, and say on standard error how many.

    Args:
        files: paths, or the bytes of files.
        kind: of core.runs.test_set.accesses.KINDS.
        where: the command, or "Python".
        root: the folder of runs.
        run: folder of the run that reads them: its own split decides about its images.
        manifest: of a data set whose own test split counts too.

    Raises:
        NotRecorded: the access to test images cannot be written down. Give no result then.
    """
    from core.runs.test_set.access_log import record
    from core.runs.test_set.identity import file_keys, owner, run_folders, sealed_by

    every = list(dict.fromkeys(files))
    runs = [
        _of_run(folder, _stamp(folder / "manifest.csv"), _stamp(folder / "evaluation.json")) for folder in run_folders(root)
    ]
    sets = runs if manifest is None else [*runs, _of_manifest(manifest.absolute(), _stamp(manifest))]
    own = next((each for each in runs if each.folder == run), None)
    seen: dict[bool, list[tuple[str, ...]]] = {True: [], False: []}
    sealed: Counter[str] = Counter()
    known = 0
    for file in every:
        keys = file_keys(file)
        found = sealed_by(keys, sets, run)
        is_own = own is not None and not own.keys.isdisjoint(keys)
        if found is not None or is_own:
            seen[is_own].append(keys)
        if found is not None:
            sealed[f"test set of {owner(found)}, not evaluated yet"] += 1
        else:
            known += is_own
    for is_own, keys_seen in seen.items():
        if keys_seen:
            record(root, kind, where, keys_seen, run=run if is_own else None, manifest=manifest or "", sets=runs)
    if own is not None and known:
        sealed[f"test set of {owner(own)}"] += known
    if sealed:
        counts = ", ".join(f"{count} in the {printable(whose)}" for whose, count in sealed.items())
        note(f"note: of {len(every)} file{'s' if len(every) > 1 else ''}, {counts}: recorded, and in its report")


# A notebook asks image by image: a test set is read again only when its files have changed.
@lru_cache(maxsize=256)
def _of_run(folder: Path, changed: _Stamp, evaluated: _Stamp) -> TestSet:
    from core.runs.test_set.identity import test_set_of

    return test_set_of(folder)


@lru_cache(maxsize=16)
def _of_manifest(path: Path, changed: _Stamp) -> TestSet:
    from core.runs.test_set.identity import test_set_of_manifest

    return test_set_of_manifest(path)


def _stamp(path: Path) -> _Stamp:
    """What changes with a file's content: its time and its size."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
