"""Where a fork comes from: `parent.json` in its folder, written once. A test set that its parent opened is no longer unseen."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from core.errors import BadRun
from core.training.files import write_text

PARENT = "parent.json"
EVALUATION = "evaluation.json"


@dataclass(frozen=True)
class Parent:
    """The run that a fork began with: its name then, the epoch and the SHA-256 of its weights.

    `opened` counts how often the test set, which is the fork's too, had been opened by then: for the parent and all before it.
    """

    run: str
    epoch: int
    weights_sha256: str
    opened: int


def read_parent(folder: Path) -> Parent | None:
    """Of the run in this folder; None for one that is no fork.

    Raises:
        BadRun: parent.json is damaged.
    """
    path = folder / PARENT
    try:
        return Parent(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise BadRun(
            f"{path}: damaged: {error}. It says which run this one was forked from: restore it from a copy, or fork again."
        ) from error


def write_parent(folder: Path, parent: Parent) -> None:
    """Say that the run in `folder` was forked from this one."""
    write_text(folder / PARENT, json.dumps(asdict(parent), indent=1) + "\n")


def openings(folder: Path) -> int:
    """How often the test set has been opened for the run in this folder and, before it was forked, for its parents.

    Raises:
        BadRun: evaluation.json or parent.json is damaged.
    """
    parent = read_parent(folder)
    own = int((read_entries(folder).get("test") or {}).get("opened", 0))
    return own + (parent.opened if parent is not None else 0)


def read_entries(folder: Path) -> dict[str, Any]:
    """evaluation.json as it is; {} when there is none.

    Raises:
        BadRun: it is damaged.
    """
    path = folder / EVALUATION
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise BadRun(
            f"{path}: damaged: {error}. It counts how often the test set was opened: restore it from a copy, or move it away "
            "and say in your report that the count was lost."
        ) from error
    if not isinstance(content, dict):
        raise BadRun(f"{path}: expected an object with an entry a split, got {type(content).__name__}. Restore it from a copy.")
    return content
