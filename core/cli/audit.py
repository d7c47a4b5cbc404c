"""`python -m core audit`: whether a run's heatmaps can be believed."""

from __future__ import annotations

import argparse

from core.cli.output import note, print_json, print_table, printable, progress_bar
from core.cli.workspace import open_run
from core.files.typed import to_plain
from core.wording import counted

NAMED = 10  # flagged or unreadable images that are listed


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
    print(
        f"{printable(found.run)}, {found.split}: heatmaps of {counted(found.images, 'image')} of "
        f"{counted(found.patients, 'patient')}"
    )
    for method in found.methods:
        print(f"\n{method.method}, read from {method.layer}")
        print_table(method.table_rows(), ("figure", "value", "interval", "note"))
        for sentence in method.verdict:
            print(printable(f"- {sentence}"))
        for case in method.flagged[:NAMED]:
            note(printable(f"flagged: {case.path}: {case.flagged}"))
        if len(method.flagged) > NAMED:
            note(f"flagged: {len(method.flagged) - NAMED} more (--json names all)")
    print()
    for sentence in found.notes:
        print(printable(sentence))
    for path, reason in found.excluded[:NAMED]:
        note(printable(f"left out: {path}: {reason}"))
    if len(found.excluded) > NAMED:
        note(f"left out: {len(found.excluded) - NAMED} more (--json names all)")
    note(f"written: {audit_path(run, found.split).as_posix()}")
    return 0
