"""The fuzz corpus: cases that `core.images.read` must return or refuse, the same ones every time.

A case makes its source in an empty folder when asked: bytes, or a path. `cases(share)` gives all of them or, for a quick
look, an evenly spread share of the random ones and all crafted ones that are light.
"""

from __future__ import annotations

import functools
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from builders.crafted import contents, heavy_contents, paths
from builders.damage_seeds import seeds

Source = bytes | Path | str
FOLDER = "MAMMOLAB_FUZZ_FOLDER"  # environment: a folder of real images to damage as well
_PER_SEED = 32
_REAL_FILES, _REAL_BYTES, _PER_REAL_FILE = 200, 3_000_000, 8


@dataclass(frozen=True)
class Case:
    """One input: what it is, and how to make it in an empty folder."""

    name: str
    make: Callable[[Path], Source]
    light: bool = True


def cases() -> list[Case]:
    """The whole corpus, in a fixed order."""
    return [*crafted_cases(), *random_cases(), *real_cases()]


def crafted_cases() -> list[Case]:
    """Sources made by hand: bombs, contradictions, other formats, extremes, and paths that are no files."""
    found = [Case(name, lambda _, make=make: make()) for name, make in contents().items()]
    found += [Case(name, lambda _, make=make: make(), light=False) for name, make in heavy_contents().items()]
    return found + [Case(f"path: {name}", make) for name, make in paths().items()]


def random_cases(per_seed: int = _PER_SEED) -> list[Case]:
    """Every sound image as it is, in a file with a wrong extension, and damaged in `per_seed` ways."""
    found = []
    for name, content in seeds().items():
        found.append(Case(f"{name} as it is", lambda _, content=content: content))
        found.append(Case(f"{name} misnamed", functools.partial(_misnamed, content, ".png" if "dicom" in name else ".dcm")))
        found += [Case(*each) for each in _damaged(name, content, per_seed)]
    return found


def real_cases() -> list[Case]:
    """Damaged copies of the files in the folder that MAMMOLAB_FUZZ_FOLDER names; none without it."""
    folder = os.environ.get(FOLDER)
    if not folder:
        return []
    files = [path for path in sorted(Path(folder).rglob("*")) if path.is_file() and path.stat().st_size <= _REAL_BYTES]
    return [Case(*each) for path in files[:_REAL_FILES] for each in _damaged(path.name, path.read_bytes(), _PER_REAL_FILE)]


def _misnamed(content: bytes, extension: str, folder: Path) -> Path:
    path = folder / f"image{extension}"
    path.write_bytes(content)
    return path


def _damaged(name: str, content: bytes, count: int) -> Iterator[tuple[str, Callable[[Path], Source]]]:
    for number in range(count):
        kind = list(_DAMAGES)[number % len(_DAMAGES)]
        yield f"{name} {kind} {number}", functools.partial(_damage, kind, content, f"{name} {number}")


def _damage(kind: str, content: bytes, seed: str, _: Path) -> bytes:
    return bytes(_DAMAGES[kind](bytearray(content), random.Random(seed)))


def _mutated(content: bytearray, chance: random.Random, number: int, within: int) -> bytearray:
    for _ in range(number):
        content[chance.randrange(min(len(content), within))] = chance.choice((0, 1, 127, 128, 255, chance.randrange(256)))
    return content


def _cut(content: bytearray, chance: random.Random) -> bytearray:
    return content[: chance.randrange(len(content))]


def _cut_late(content: bytearray, chance: random.Random) -> bytearray:
    return content[: len(content) - chance.randint(1, 40)]


def _without_a_part(content: bytearray, chance: random.Random) -> bytearray:
    start = chance.randrange(len(content))
    return content[:start] + content[start + chance.choice((1, 2, 7, 64, 500)) :]


def _with_a_part(content: bytearray, chance: random.Random) -> bytearray:
    start = chance.randrange(len(content))
    return content[:start] + chance.randbytes(chance.choice((1, 2, 7, 64, 500))) + content[start:]


def _zeroed(content: bytearray, chance: random.Random) -> bytearray:
    start, length = chance.randrange(len(content)), chance.choice((4, 16, 200))
    content[start : start + length] = bytes([chance.choice((0, 255))]) * len(content[start : start + length])
    return content


def _spliced(content: bytearray, chance: random.Random) -> bytearray:
    other = chance.choice(list(seeds().values()))
    return content[: chance.randrange(len(content))] + other[chance.randrange(len(other)) :]


_DAMAGES: dict[str, Callable[[bytearray, random.Random], bytearray]] = {
    "header byte": functools.partial(_mutated, number=1, within=400),
    "three header bytes": functools.partial(_mutated, number=3, within=400),
    "many header bytes": functools.partial(_mutated, number=20, within=400),
    "one byte": functools.partial(_mutated, number=1, within=10**9),
    "twenty bytes": functools.partial(_mutated, number=20, within=10**9),
    "early bytes": functools.partial(_mutated, number=4, within=1200),
    "cut": _cut,
    "cut late": _cut_late,
    "part removed": _without_a_part,
    "part inserted": _with_a_part,
    "part blanked": _zeroed,
    "spliced": _spliced,
}
