"""`doctor`: what works on this machine."""

from __future__ import annotations

import argparse

from core.cli.output import print_json


def doctor(arguments: argparse.Namespace) -> int:
    """Print what was found; the exit code is 1 when something that MammoLab needs is missing."""
    from core.doctor import examine

    findings = examine()
    if arguments.json:
        print_json([vars(finding) for finding in findings])
    else:
        width = max(len(finding.subject) for finding in findings)
        for finding in findings:
            print(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.subject.ljust(width)}  {finding.detail}")
    return 0 if all(finding.ok for finding in findings) else 1


def cache(arguments: argparse.Namespace) -> int:
    """Say where prepared images are kept and how much they take; or delete them."""
    from core.cli.runs import default_config
    from core.data.cache import cache_root, size_of
    from core.training.prepared import clear

    root = cache_root()
    size = size_of(root)
    deleted = clear(default_config().checkpoints) if arguments.clear else 0
    if arguments.json:
        print_json({"folder": root.as_posix(), "bytes": size, "deleted_files": deleted})
    else:
        freed = f": {deleted:,} files deleted; they are made again when they are needed" if arguments.clear else ""
        print(f"{root.as_posix()}: {size / 1e6:,.1f} MB of prepared images{freed}")
    return 0
