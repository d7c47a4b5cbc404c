"""Tries cases of the fuzz corpus; as a program, in a process of its own that may die: numbers in, JSON lines out."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import time
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from builders.damage import Case, cases
from core.config import Recipe
from core.errors import UnreadableImage
from core.images import read
from core.images.mammogram import Mammogram
from core.preprocessing import prepare

RECIPE = Recipe()
ADDRESS_SPACE = 12 * 2**30  # bytes; a worker that wants more fails instead of taking the machine with it


@dataclass(frozen=True)
class Outcome:
    """What became of a case: "returned", "refused", or "wrong" with what was wrong in `words`; seconds, bytes."""

    outcome: str
    words: str = ""
    read_s: float = 0.0
    prepare_s: float = 0.0
    memory: int = 0
    cpu_s: float = 0.0


def attempt(source: Any) -> Outcome:
    """Read a source and prepare what it gives; everything but a sound Mammogram or a sound refusal is "wrong"."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        started = time.perf_counter()
        read_s = prepare_s = 0.0
        try:
            mammogram = read(source)
            read_s = time.perf_counter() - started
            words, outcome = _unsound(mammogram), "returned"
            if not words:
                started = time.perf_counter()
                prepared = prepare(mammogram, RECIPE).pixels
                prepare_s = time.perf_counter() - started
                if prepared.dtype != np.uint8 or prepared.shape != RECIPE.shape:
                    words = f"prepared {prepared.dtype} {prepared.shape}"
        except UnreadableImage as error:
            read_s = time.perf_counter() - started
            outcome, words = "refused", str(error)
            if missing := _unsound_refusal(words):
                outcome, words = "wrong", f"{missing}: {words}"
        except BaseException as error:  # noqa: BLE001  what must never come out of read or prepare, pyo3's panics included
            outcome, words = "wrong", f"{type(error).__name__}: {error}"
    if told:
        outcome, words = "wrong", f"{told[0].category.__name__} from {Path(told[0].filename).name}: {told[0].message}"
    elif outcome == "returned" and words:
        outcome = "wrong"
    return Outcome(outcome, words, read_s, prepare_s)


def _unsound(mammogram: Mammogram) -> str:
    pixels = mammogram.pixels
    if pixels.dtype != np.float32 or pixels.ndim != 2 or not pixels.size:
        return f"pixels of type {pixels.dtype} and shape {pixels.shape}"
    if not pixels.flags.c_contiguous:
        return "pixels that are not contiguous"
    low, high = float(pixels.min()), float(pixels.max())
    return "" if 0 <= low <= high <= 1 else f"pixels from {low} to {high}"


def _unsound_refusal(words: str) -> str:
    """A refusal is one line of at most 500 characters: what was expected, what came, what to do."""
    if not ("expected " in words and " got " in words and words.endswith(".")):
        return "a refusal without expected, got and remedy"
    if len(words) > 500 or "\n" in words or not words.isprintable():
        return "a refusal that is not one plain line"
    return "a refusal for want of memory" if "fit in memory" in words else ""


def _peak() -> int:
    """Peak resident bytes of this process so far; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _resident() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return _peak()
    return pages * os.sysconf("SC_PAGE_SIZE")


def _limit_memory() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))


def main() -> None:
    """Try the cases whose numbers stand on the command line, telling on stdout when each begins and ends."""
    _limit_memory()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    with tempfile.TemporaryFile() as noise, tempfile.TemporaryDirectory() as root:
        for stream in (1, 2):  # C libraries write there behind Python's back
            os.dup2(noise.fileno(), stream)
        corpus: list[Case] = cases()
        attempt(corpus[0].make(Path(root)))  # imports are no growth
        for line in sys.stdin:
            number = int(line)
            folder = Path(root) / str(number)
            folder.mkdir()
            source = corpus[number].make(folder)
            size = noise.seek(0, os.SEEK_END)
            print(json.dumps({"begins": number}), file=answers, flush=True)
            before = _resident()
            known = _peak()
            busy = time.process_time()
            found = asdict(attempt(source))
            found["cpu_s"] = time.process_time() - busy
            found["memory"] = max(0, _peak() - before) if _peak() > known else 0
            sys.stderr.flush()
            noise.seek(size)
            if told := noise.read(300):
                found |= {"outcome": "wrong", "words": f"printed {told!r}"}
            print(json.dumps({"ends": number, **found}), file=answers, flush=True)


if __name__ == "__main__":
    main()
