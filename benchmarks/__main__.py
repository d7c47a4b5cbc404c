"""`python -m benchmarks [NAME ...]`: run the named measurements; without a name, say which there are."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from benchmarks import bootstrap, prepare

BENCHMARKS: dict[str, tuple[str, Callable[[], None]]] = {
    "bootstrap": ("2,000 resamples of 10,000 images against a scikit-learn loop", bootstrap.run),
    "prepare": ("a 4096 x 3328 mammogram to model input, with and without a kept analysis", prepare.run),
}


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    names = parser.parse_args().names
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"unknown benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    if not names:
        for name, (text, _) in BENCHMARKS.items():
            print(f"{name}: {text}")
    for name in names:
        print(f"== {name}: {BENCHMARKS[name][0]}")
        BENCHMARKS[name][1]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
