"""`python -m core ...`: everything the dashboard does, for scripts and clusters.

The exit code is 0 only if the command did what it says: 1 for an error that its message explains, 2 for a
call with wrong arguments, 130 when interrupted (a stopped training too: its run can be resumed). Results go to
standard output, everything else to standard error.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence

from core.errors import LabError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    # Before torch is imported: threads that spin while they wait make a shared machine many times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        return _run(argv)
    except KeyboardInterrupt:  # also while the commands are imported, which takes a second or two
        print("interrupted", file=sys.stderr)
        return 130


def _run(argv: Sequence[str] | None) -> int:
    from core.cli.output import printable
    from core.cli.parser import build_parser

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # Windows consoles default to a code page without "–" or "≥"
            stream.reconfigure(encoding="utf-8", errors="replace")
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s", stream=sys.stderr)
    try:
        arguments = build_parser().parse_args(argv)
        return int(arguments.command(arguments))
    except LabError as error:
        print("\n".join(map(printable, f"error: {error}".split("\n"))), file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 1
