"""The fuzz corpus of tests/builders: every hostile, broken or strange file is returned sound or refused with a reason.

Runs in two worker processes: a crash, or a case of more than 5 s, costs that case only. With the environment variable
MAMMOLAB_FUZZ_FOLDER set to a folder of real images, damaged copies of its first 200 files (below 3 MB) are tried as well.
"""

from __future__ import annotations

import importlib
import sys
from collections import Counter
from pathlib import Path

PATIENCE_S = 5.0  # for one file
_CORPUS = Path(__file__).resolve().parents[1] / "tests"


def run() -> None:
    """Print what became of the cases, the slowest, and the largest growth of memory."""
    sys.path.insert(0, str(_CORPUS))
    results = importlib.import_module("builders.damage_runner").run_cases(patience_s=PATIENCE_S)
    counts = Counter(result.outcome for result in results)
    outcomes = ("returned", "refused", "wrong", "crashed", "hung")
    print(f"{len(results)} cases: " + ", ".join(f"{counts[name]} {name}" for name in outcomes))
    for seconds, name in (("read_s", "read"), ("prepare_s", "prepare")):
        slowest = max(results, key=lambda result: getattr(result, seconds))
        print(f"slowest {name}: {getattr(slowest, seconds):.2f} s ({slowest.case.name})")
    largest = max(results, key=lambda result: result.memory)
    print(
        f"peak memory growth: {largest.memory / 2**20:.0f} MB ({largest.case.name})"
        if largest.memory
        else "memory: not told here"
    )
    for result in results:
        if result.outcome not in ("returned", "refused"):
            print(f"{result.outcome}: {result.case.name}: {result.words[:300]}")
