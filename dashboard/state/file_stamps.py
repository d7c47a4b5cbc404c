"""Cache keys of files: a path and when the file changed, as `hash_funcs` of Streamlit's caches.

    @st.cache_data(hash_funcs=of_files())          # arguments that are paths
    @st.cache_data(hash_funcs=of_run("model.json"))  # a Run, by these files of its folder

What another process writes is thus read at the next call.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.runs import Run

HashFuncs = dict[str | type[Any], Callable[[Any], object]]


def stamp(path: Path) -> int:
    """Changes when the file does: its time of change in ns, 0 where there is no file."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def of_files() -> HashFuncs:
    """Arguments that are paths count by path and time of change. Bytes, since a name need not be valid Unicode."""
    return {type(Path()): lambda path: (os.fsencode(path), stamp(path))}


def of_run(*names: str) -> HashFuncs:
    """A run counts by its folder and by the times of change of these files in it."""

    def key(run: Run) -> tuple[object, ...]:
        return os.fsencode(run.path), *(stamp(run.path / name) for name in names)

    return {Run: key}
