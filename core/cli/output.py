"""How commands talk: progress on standard error, results on standard output."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

from core.errors import BadConfig


def open_bar(description: str, unit: str) -> tqdm:
    """A bar on standard error that appears after two seconds; in a log file it writes a line every ten seconds at most."""
    interval = 0.1 if sys.stderr.isatty() else 10.0
    return tqdm(desc=description, unit=unit, delay=2, mininterval=interval, file=sys.stderr, dynamic_ncols=True, leave=False)


@contextmanager
def progress_bar(description: str, unit: str = "image") -> Iterator[Callable[[int, int], None]]:
    """A callback (done, total) that draws a bar on standard error once the work has taken two seconds."""
    bar = open_bar(description, unit)

    def update(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)

    try:
        yield update
    finally:
        bar.close()


def print_json(value: Any) -> None:
    """Print one JSON document. NaN never appears: a missing number is null."""
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False, default=str))


def print_table(rows: Sequence[Sequence[object]], header: Sequence[str]) -> None:
    """Print aligned columns; numbers to the right."""
    cells = [[_on_one_line(str(cell)) for cell in row] for row in rows]
    widths = [max(len(head), *(len(row[i]) for row in cells)) if cells else len(head) for i, head in enumerate(header)]
    print("  ".join(head.ljust(width) for head, width in zip(header, widths, strict=True)).rstrip())
    for row, raw in zip(cells, rows, strict=True):
        aligned = [
            cell.rjust(width) if isinstance(value, (int, float)) else cell.ljust(width)
            for cell, value, width in zip(row, raw, widths, strict=True)
        ]
        print("  ".join(aligned).rstrip())


def _on_one_line(text: str) -> str:
    """A cell without what would break the table: file names may hold line breaks."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def new_file(path: Path, suffix: str, inputs: Sequence[Path]) -> None:
    """Refuse to write a result over one of its inputs, or under an ending that would lie about it.

    Raises:
        BadConfig: `path` is one of `inputs`, or does not end in `suffix`.
    """
    if path.suffix.lower() != suffix:
        raise BadConfig(f"{path}: expected a file name that ends in {suffix}")
    if any(path.resolve() == given.resolve() for given in inputs):
        raise BadConfig(f"{path}: this is the file to read, it would be overwritten. Name another file to write")


def note(text: str) -> None:
    """Tell the person something that is not the result."""
    print(text, file=sys.stderr, flush=True)


def figure(value: float | None) -> str:
    """A figure with three decimals, or a dash where there is none."""
    return "–" if value is None else f"{value:.3f}"
