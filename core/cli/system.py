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
