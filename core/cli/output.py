"""Output of commands: progress on standard error, results on standard output."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

from core.errors import BadConfig
from core.files.untrusted import open_regular


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


def printable(text: str, longest: int | None = None) -> str:
    """Text from a file on its way to a terminal: control characters are shown escaped, and what is too long is cut.

    A run's name, note or reason may come from somebody else, and a terminal obeys what it prints: colours, a cleared screen,
    text that runs from right to left.
    """
    shown = "".join(
        each.encode("unicode_escape").decode("ascii") if unicodedata.category(each) in _UNPRINTABLE else each for each in text
    )
    return shown if longest is None or len(shown) <= longest else shown[: longest - 1] + "…"


_UNPRINTABLE = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def print_table(rows: Sequence[Sequence[object]], header: Sequence[str]) -> None:
    """Print aligned columns; numbers to the right."""
    cells = [[printable(str(cell)) for cell in row] for row in rows]
    header = [printable(head) for head in header]
    widths = [max(len(head), *(len(row[i]) for row in cells)) if cells else len(head) for i, head in enumerate(header)]
    print("  ".join(head.ljust(width) for head, width in zip(header, widths, strict=True)).rstrip())
    for row, raw in zip(cells, rows, strict=True):
        aligned = [
            cell.rjust(width) if isinstance(value, (int, float)) else cell.ljust(width)
            for cell, value, width in zip(row, raw, widths, strict=True)
        ]
        print("  ".join(aligned).rstrip())


def new_file(path: Path, suffix: str, inputs: Sequence[Path], earlier: Callable[[bytes], bool] | None = None) -> None:
    """Refuse to write a result over one of its inputs or anything else than an earlier result, or under an ending that lies.

    Args:
        earlier: whether the first 4,096 bytes of a file that is there already are those of an earlier result, which may be
            replaced; None: no file is replaced.

    Raises:
        BadConfig: `path` is one of `inputs`, is something else than an earlier result, or does not end in `suffix`.
    """
    from core.runs.folder import is_run

    if path.suffix.lower() != suffix:
        raise BadConfig(f"{path}: expected a file name that ends in {suffix}")
    if any(_same(path, given) for given in inputs):
        raise BadConfig(f"{path}: this is the file to read, it would be overwritten. Name another file to write")
    try:
        with open_regular(path.resolve()) as stream:
            head = stream.read(4096)
    except FileNotFoundError:
        return
    except OSError as error:
        raise BadConfig(f"{path}: cannot be written to ({error.strerror or error}). Name another file to write") from error
    owner = next((folder for folder in path.resolve().parents if is_run(folder)), None)
    if owner is not None:
        raise BadConfig(f"{path}: it belongs to the run {owner.name}, and would be overwritten. Name another file to write")
    if earlier is None:
        raise BadConfig(f"{path}: there is such a file already. Name another file to write, or give --overwrite")
    if not earlier(head):
        raise BadConfig(
            f"{path}: there is such a file already, and it is not an earlier result of this command. Name another file to "
            "write, or move it away"
        )


def _same(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file, also by links of either kind."""
    try:
        return one.samefile(other)
    except (OSError, ValueError):  # one is not there
        return one.resolve() == other.resolve()


def note(text: str) -> None:
    """Print a message that is not the result, on standard error."""
    print(text, file=sys.stderr, flush=True)


def note_import(notes: Sequence[str]) -> None:
    """Print what is to be said of a manifest that was made; its warnings begin with "warning: "."""
    for text in notes:
        note(text if text.startswith("warning: ") else f"note: {text}")


def note_first(what: str, texts: Sequence[str], most: int, where: str = " (--json names all)") -> None:
    """Print the first of these texts, each after `what`, and how many more there are, with `where` they stand."""
    for text in texts[:most]:
        note(printable(f"{what}: {text}"))
    if len(texts) > most:
        note(f"{what}: {len(texts) - most:,} more{where}")


def asked() -> bool:
    """Whether the person at the terminal says yes; a script is not asked."""
    if not sys.stdin.isatty():
        return True
    sys.stderr.write("Evaluate on it, now that nothing is left to choose? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
