"""The command `audit`: tests of a run's heatmaps."""

from __future__ import annotations

import argparse
from pathlib import Path

from core.cli.arguments import Commands, add_command, json_option, run_argument
from core.cli.output import note, note_first, print_json, print_table, printable, progress_bar
from core.cli.workspace import open_run
from core.files.typed import to_plain

NAMED = 10  # flagged or unreadable images that are listed


def add_commands(commands: Commands) -> None:
    parser = add_command(commands, "audit", audit, "test heatmaps: lesion localisation, chance baseline, randomised weights")
    run_argument(parser)
    parser.add_argument("--split", choices=("train", "val", "test"), default="test", help="default: %(default)s")
    parser.add_argument(
        "--method", action="append", default=[], metavar="NAME", help="method as in `explain` (default: auto); repeatable"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="use at most N images, of whole patients drawn by seed")
    parser.add_argument("--manifest", type=Path, metavar="M.csv", help="use another data set instead of the run's split")
    parser.add_argument("--again", action="store_true", help="start again even if results exist")
    json_option(parser)


def audit(arguments: argparse.Namespace) -> int:
    """Audit the heatmaps of a split, or of another data set; table, verdict, and what was left out."""
    from core.heatmap_audit import audit_heatmaps
    from core.heatmap_audit.store import audit_path

    run = open_run(arguments.run)
    with progress_bar("auditing") as progress:
        found = audit_heatmaps(
            run,
            arguments.split,
            methods=arguments.method or ("auto",),
            limit=arguments.limit,
            manifest=arguments.manifest,
            again=arguments.again,
            progress=progress,
        )
    if arguments.json:
        print_json(to_plain(found))
        return 0
    print(f"{printable(found.run)}, {found.split}: heatmaps of {found.size}")
    for method in found.methods:
        print(f"\n{method.method}, read from {method.layer}")
        print_table(method.table_rows(), ("metric", "value", "interval", "note"))
        for sentence in method.verdict:
            print(printable(f"- {sentence}"))
        note_first("flagged", [f"{case.path}: {case.flagged}" for case in method.flagged], NAMED)
    print()
    for sentence in found.notes:
        print(printable(sentence))
    note_first("left out", [f"{path}: {reason}" for path, reason in found.excluded], NAMED)
    note(f"written: {audit_path(run, found.split).as_posix()}")
    return 0
