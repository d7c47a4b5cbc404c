"""Where a fork comes from: `parent.json` in its folder, written once. A test set that its parent was evaluated on is no longer
unseen.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from core.errors import BadRun
from core.files.folders import write_text
from core.files.typed import to_plain
from core.files.untrusted import LARGE, read_json

PARENT = "parent.json"
EVALUATION = "evaluation.json"
LONGEST = 500  # characters
MOST = 10**9


@dataclass(frozen=True)
class Parent:
    """The run that a fork began with: its name then, the epoch and the SHA-256 of its weights.

    `evaluations` counts those of the test set, which is the fork's too, by then: for the parent and all before it.
    """

    run: Annotated[str, Field(max_length=LONGEST)]
    epoch: Annotated[int, Field(ge=0, le=MOST)]
    weights_sha256: Annotated[str, Field(max_length=LONGEST)]
    evaluations: Annotated[int, Field(ge=0, le=MOST, alias="opened")]


_PARENT = TypeAdapter(Parent)
_EVALUATIONS = TypeAdapter(Annotated[int, Field(ge=0, le=MOST)])


def read_parent(folder: Path) -> Parent | None:
    """Of the run in this folder; None for one that is no fork. Raises BadRun: parent.json is damaged."""
    path = folder / PARENT
    try:
        return _PARENT.validate_python(read_json(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise BadRun(
            f"{path}: damaged: {_words(error)}. It says which run this one was forked from: restore a copy, or fork again."
        ) from error


def write_parent(folder: Path, parent: Parent) -> None:
    """Say that the run in `folder` was forked from this one."""
    write_text(folder / PARENT, json.dumps(to_plain(parent), indent=1) + "\n")


def evaluation_count(folder: Path) -> int:
    """How often the test set has been evaluated for the run in this folder and, before it was forked, for its parents.

    Raises:
        BadRun: evaluation.json or parent.json is damaged.
    """
    parent = read_parent(folder)
    own = int((read_entries(folder).get("test") or {}).get("opened", 0))
    return own + (parent.evaluations if parent is not None else 0)


def read_entries(folder: Path) -> dict[str, Any]:
    """evaluation.json as it is; {} when there is none. Raises BadRun: it is damaged."""
    path = folder / EVALUATION
    try:
        content = read_json(path, LARGE)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise BadRun(f"{path}: damaged: {_words(error)}. {_COUNTS}") from error
    if not isinstance(content, dict):
        raise BadRun(f"{path}: expected an object with an entry a split, got {type(content).__name__}. Restore it from a copy.")
    for split, entry in content.items():
        if entry is not None and not isinstance(entry, dict):
            raise BadRun(f"{path}: the entry of {split[:40]}: expected an object, got {type(entry).__name__}. {_COUNTS}")
        try:
            _EVALUATIONS.validate_python((entry or {}).get("opened", 0))
        except ValueError as error:
            raise BadRun(
                f"{path}: the entry of {split[:40]}: how often it was evaluated: {_words(error)}. {_COUNTS}"
            ) from error
    return content


_COUNTS = (
    "It counts how often the test set was evaluated: restore it from a copy, or move it away and say in your report that the "
    "count was lost."
)


def _words(error: Exception) -> str:
    """What is wrong, in a line."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))} {first['msg']}".strip()
    return str(getattr(error, "strerror", None) or error)
