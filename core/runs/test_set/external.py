"""External test sets: another collection that a run's frozen model was scored on, and the names that its results have.

In evaluation.json, predictions/ and explain/ such a set stands beside train, val and test under `external-<name>`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from core.data import SPLITS
from core.errors import BadManifest

PREFIX = "external-"
LONGEST = 60  # characters of a name: it is part of file names
_NAME = re.compile(rf"{PREFIX}[a-z0-9][a-z0-9_.-]{{0,{LONGEST - 1}}}")


def is_external(split: str) -> bool:
    """Whether this is the name of an external test set, and not of one of the run's own splits."""
    return _NAME.fullmatch(split) is not None


def require_split(split: str) -> str:
    """The name of a split or of an external test set, as it was given. Raises BadManifest: it is neither."""
    if split not in SPLITS and not is_external(split):
        raise BadManifest(f"split: expected one of {', '.join(SPLITS)}, or {PREFIX}NAME, got {split!r}")
    return split


def short_name(split: str) -> str:
    """What the user called it: `external-inbreast` is inbreast."""
    return split.removeprefix(PREFIX)


def externals(splits: Iterable[str]) -> list[str]:
    """Those of the names that are external test sets, sorted."""
    return sorted(split for split in splits if is_external(split))


def named(name: str) -> str:
    """The split's name for a name that a user chose, with the prefix or without.

    Raises:
        BadManifest: it cannot be a part of file names everywhere.
    """
    split = PREFIX + name.removeprefix(PREFIX)
    if not is_external(split) or name.endswith("."):
        raise BadManifest(
            f"name {name!r}: expected small letters, digits, dots, dashes and underscores, beginning with a letter or digit "
            f"and at most {LONGEST} of them, such as inbreast"
        )
    return split


def external_name(manifest: Path) -> str:
    """The split's name for another data set's manifest: `external-` and the file's name, or its folder's if that says more."""
    stem = manifest.parent.name if manifest.stem == "manifest" and manifest.parent.name else manifest.stem
    name = re.sub(r"[^a-z0-9_.-]+", "-", stem.lower()).strip("-._")[:LONGEST].rstrip("-._")
    return f"{PREFIX}{name or 'data'}"
