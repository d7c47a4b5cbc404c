"""The command that compares two evaluated runs on the same images."""

from __future__ import annotations

import argparse

from core.cli.output import note, print_json, print_table, printable
from core.cli.thresholds import number_within
from core.cli.workspace import open_run
from core.wording import counted


def compare(arguments: argparse.Namespace) -> int:
    """Two runs on the same images: paired differences with intervals."""
    from core.evaluate import compare as compare_them

    first, second = open_run(arguments.run), open_run(arguments.other)
    margin = number_within(arguments.margin, "--margin", 1.0)
    found = compare_them(first, second, arguments.split, arguments.level)
    equivalent = {} if margin is None else {"margin": margin, "equivalence": found.equivalence(margin)}
    if arguments.json:
        print_json(found.as_dict() | equivalent)
        return 0
    print(printable(f"{found.second} against {found.first}, {found.split}, {found.level} level: {found.matching}"))
    whose = "" if found.level == "patient" else f" of {counted(found.statistics.patients, 'patient')}"
    print(f"{counted(found.statistics.rows, found.level)}{whose}, compared in pairs")
    if found.rule:
        print(f"score of a {found.level}: {found.rule}")
    for warning in found.warnings:
        print(printable(f"warning: {warning}"))
    for name, by_view in zip((found.first, found.second), found.by_view, strict=True):
        if by_view:
            print(printable(f"{name}: thresholds by view: {by_view}"))
    print_table(
        found.table_rows(),
        ("metric", found.first, found.second, f"difference, {found.statistics.confidence:.0%} interval", "p", "test"),
    )
    if equivalent:
        print(equivalent["equivalence"])
    note("p values of several metrics are not adjusted for one another: name the one that counts before you look.")
    return 0
