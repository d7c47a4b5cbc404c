"""Test-set access on the command line: test images among the files of a command are recorded before they are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from core.cli.output import note, printable


def record_files(
    files: Sequence[Path], kind: str, where: str, *, root: Path, run: Path | None = None, manifest: Path | None = None
) -> None:
    """Write down which of these files are test images, and say on standard error how many.

    Args:
        kind: of core.runs.test_set.accesses.KINDS.
        where: the command.
        root: the folder of runs.
        run: folder of the run that reads them: its own split decides about its images.
        manifest: of a data set whose own test split counts too.

    Raises:
        NotRecorded: the access to test images cannot be written down. Give no result then.
    """
    from core.runs.test_set.access_log import record
    from core.runs.test_set.identity import all_test_sets, file_keys, owner, sealed_by, test_set_of_manifest

    every = list(dict.fromkeys(files))
    runs = all_test_sets(root)
    sets = runs if manifest is None else [*runs, test_set_of_manifest(manifest)]
    own = next((each for each in runs if each.folder == run), None)
    seen: dict[bool, list[tuple[str, ...]]] = {True: [], False: []}
    sealed: Counter[str] = Counter()
    opened = 0
    for path in every:
        keys = file_keys(path)
        found = sealed_by(keys, sets, run)
        is_own = own is not None and not own.keys.isdisjoint(keys)
        if found is not None or is_own:
            seen[is_own].append(keys)
        if found is not None:
            sealed[f"unopened test set of {owner(found)}"] += 1
        else:
            opened += is_own
    for is_own, keys_seen in seen.items():
        if keys_seen:
            record(root, kind, where, keys_seen, run=run if is_own else None, manifest=manifest or "", sets=runs)
    if own is not None and opened:
        sealed[f"test set of {owner(own)}"] += opened
    if sealed:
        counts = ", ".join(f"{count} in the {printable(whose)}" for whose, count in sealed.items())
        note(f"note: of {len(every)} file{'s' if len(every) > 1 else ''}, {counts}: recorded, and in its report")
