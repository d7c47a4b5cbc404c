"""The commands `data repair` and `data baseline`: a split without leakage, and the label predicted from metadata alone."""

from __future__ import annotations

import argparse
from pathlib import Path

from core.cli.arguments import Commands, add_command, json_option, manifest_options, new_manifest
from core.cli.output import note, print_json, print_table, printable, progress_bar


def add_split_commands(group: Commands) -> None:
    """Add them to the group `data`."""
    parser = add_command(
        group,
        "repair",
        repair,
        "write a manifest in which each patient, and all copies of an image, stand in one split; says what moved",
    )
    parser.add_argument("manifest", type=Path, metavar="M.csv", help="the manifest whose split leaks")
    manifest_options(parser)
    json_option(parser)
    parser = add_command(
        group,
        "baseline",
        baseline,
        "predict the label from metadata alone (collection, size, scanner, age, view), before any training",
    )
    parser.add_argument("manifest", type=Path, metavar="M.csv", help="the manifest")
    json_option(parser)


def repair(arguments: argparse.Namespace) -> int:
    """Write the manifest with its split repaired."""
    from core.config import DataConfig
    from core.data.checks import count
    from core.data.manifest import is_excluded, read_manifest, write_manifest
    from core.data.repair import repaired

    new_manifest(arguments, [arguments.manifest])
    with progress_bar("comparing") as progress:
        done = repaired(read_manifest(arguments.manifest), DataConfig(), progress)
    write_manifest(done.frame, arguments.out)
    table = count(done.frame[~is_excluded(done.frame)])
    if arguments.json:
        moved = [{"row": move.row, "path": move.path, "from": move.before, "to": move.after} for move in done.moved]
        counts = table.to_dict(orient="records")
        print_json({"manifest": arguments.out.as_posix(), "moved": moved, "notes": list(done.notes), "counts": counts})
        return 0
    for text in done.notes:
        note(text)
    for move in done.moved:
        print(printable(f"{move.path}: {move.before} -> {move.after}"))
    print_table(table.to_numpy().tolist(), list(table.columns))
    print(arguments.out.as_posix())
    return 0


def baseline(arguments: argparse.Namespace) -> int:
    """Print the AUC of the label predicted from each column, and from all."""
    from core.config import EvaluationConfig
    from core.data.manifest import read_manifest
    from core.data.metadata_baseline import metadata_baseline
    from core.metrics.features import feature_title

    with progress_bar("reading headers") as progress:
        found = metadata_baseline(
            read_manifest(arguments.manifest), confidence=EvaluationConfig().confidence, progress=progress
        )
    if arguments.json:
        print_json(found.as_dict())
        return 0
    rows = [(feature_title(name), str(auc)) for name, auc in found.rows]
    print_table(rows, ("predicted from", f"AUC, {found.confidence:.0%} interval"))
    print(f"{found.sentence} {found.folds}-fold cross-validation, {found.patients:,} patients kept apart.")
    return 0
