"""What lies below a folder, for importers that recognise their collection by it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from core.data.importers.folder_walk import Walk, walk
from core.data.importers.records import TABLES, has_columns

Require = Callable[[Sequence[Path]], None]

IMAGES = (".dcm", ".dicom", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".pgm")
_LARGEST_TABLE = 1 << 26  # bytes that are looked into to recognise a collection


@dataclass
class Tree:
    """`root`: the folder, or that of the table that was named."""

    root: Path
    walked: Walk
    _columns: dict[tuple[Path, tuple[str, ...]], bool] = field(default_factory=dict)

    @classmethod
    def of(cls, source: Path, tick: Callable[[], None] | None = None, require: Require | None = None) -> Tree:
        """List everything below `source`; `require` is called with all of it before any of it is read, and may raise."""
        root = source if source.is_dir() else source.parent
        walked = walk(root, tick)
        if require is not None:
            require(walked.files)
        return cls(root, walked)

    @property
    def files(self) -> list[Path]:
        """Every file, sorted."""
        return self.walked.files

    @cached_property
    def images(self) -> list[Path]:
        """The files that have the name of an image."""
        return [path for path in self.files if path.suffix.lower() in IMAGES]

    @cached_property
    def parts(self) -> frozenset[str]:
        """Every name of a folder and file below the root, in lower case."""
        found: set[str] = {self.root.name.lower()}
        for path in self.files:
            found.update(part.lower() for part in path.relative_to(self.root).parts)
        return frozenset(found)

    def named(self, pattern: str) -> list[Path]:
        """Files whose whole name matches, capitals or not."""
        compiled = re.compile(pattern, re.IGNORECASE)
        return [path for path in self.files if compiled.fullmatch(path.name)]

    def tables(self, needed: Sequence[str], pattern: str = ".*") -> list[Path]:
        """Tables with these columns, those nearest to the root first."""
        compiled = re.compile(pattern, re.IGNORECASE)
        found = [path for path in self.files if path.suffix.lower() in TABLES and compiled.fullmatch(path.name)]
        found.sort(key=lambda path: (len(path.parts), path.suffix.lower() != ".csv", path))
        return [path for path in found if self._has(path, tuple(needed))]

    def nearly(self, needed: Sequence[str]) -> str:
        """For a message that no table has these columns: "; X.csv is there, without the column Y", or ""."""
        for name in needed if len(needed) > 1 else ():
            if close := self.tables([other for other in needed if other != name]):
                return f"; {close[0].name} is there, without the column {name}"
        return ""

    def _has(self, path: Path, needed: tuple[str, ...]) -> bool:
        key = (path, needed)
        if key not in self._columns:
            try:
                small = path.stat().st_size <= _LARGEST_TABLE or path.suffix.lower() == ".csv"
            except OSError:
                small = False
            self._columns[key] = small and has_columns(path, needed)
        return self._columns[key]

    def inside(self, path: Path) -> tuple[str, ...]:
        """The names from below the root to the file."""
        return path.relative_to(self.root).parts
