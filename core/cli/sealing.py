"""Files of test sets on the command line: refused until `--test-images` is said, which is recorded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from core.cli.output import note

SWITCH = "Say --test-images"


def admit(
    files: Sequence[Path], where: str, *, test_images: bool, root: Path, run: Path | None = None, manifest: Path | None = None
) -> dict[Path, str]:
    """The files that are sealed, each with the reason; that the other test images are looked at is recorded.

    Args:
        where: the command.
        test_images: whether sealed files are admitted, and recorded.
        root: the folder of runs.
        run: folder of the run that looks at them: its own split decides about its images.
        manifest: of a data set whose own test split is sealed too.

    Raises:
        NotRecorded: that test images are looked at cannot be written down.
    """
    from core.training.accesses import IMAGES, PREDICTION, record
    from core.training.test_sets import all_test_sets, file_keys, refusal, sealed_by, test_set_of_manifest

    runs = all_test_sets(root)
    sets = runs if manifest is None else [*runs, test_set_of_manifest(manifest)]
    own = frozenset[str]().union(*(each.keys for each in sets if run is not None and each.folder == run))
    refused: dict[Path, str] = {}
    seen: dict[bool, list[tuple[str, ...]]] = {True: [], False: []}
    for path in dict.fromkeys(files):
        keys = file_keys(path)
        found = sealed_by(keys, sets, run)
        if found is not None and not test_images:
            refused[path] = str(refusal(path.name, found, SWITCH))
        elif found is not None or not own.isdisjoint(keys):
            seen[not own.isdisjoint(keys)].append(keys)
    for of_run, keys_seen in seen.items():
        if keys_seen:
            kind = IMAGES if run is None else PREDICTION
            record(root, kind, where, keys_seen, run=run if of_run else None, manifest=manifest or "", sets=runs)
            count = f"{len(keys_seen)} test image{'s' if len(keys_seen) > 1 else ''}"
            note(f"note: {count} among these files: recorded, and in the report of every run that is tested on them")
    return refused
