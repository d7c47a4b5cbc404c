"""The commands `demo`, `data import`, `data importers` and `data check`; `data relabel` and `data merge` are in manifests."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from core.cli.arguments import Commands, add_command, add_group, json_option, manifest_options, new_manifest
from core.cli.manifests import add_manifest_commands, totals, words
from core.cli.output import new_file, note, note_first, note_import, print_json, print_table, printable, progress_bar
from core.cli.splits import add_split_commands
from core.config import DataConfig
from core.errors import BadConfig

_NAMED = 20  # files left out that are named on the terminal; all stand in the exclusions


def add_commands(commands: Commands) -> None:
    parser = add_command(commands, "demo", demo, "write the built-in synthetic data set")
    parser.add_argument("--out", type=Path, default=Path(DataConfig().manifest).parent, help="folder (default: %(default)s)")
    parser.add_argument("--patients", type=int, default=80, help="number of patients, four images each (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed writes the same images (default: %(default)s)")
    parser.add_argument("--if-missing", action="store_true", help="do nothing if the folder already holds a data set")

    group = add_group(commands, "data", "import and check data sets")
    parser = add_command(group, "import", import_, "write a manifest for a data set; images are not copied or renamed")
    parser.add_argument("name", help="an importer (see `data importers`), or auto: the collection that the files are")
    parser.add_argument("path", type=Path, help="the data set's folder or file")
    manifest_options(parser, "M.csv")
    parser.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="an option of the importer; repeatable"
    )
    parser.add_argument(
        "--classes", metavar="NAME=LABEL,...", help="what folders named after classes mean, such as 0=benign,1=malignant"
    )
    json_option(parser)
    parser = add_command(group, "importers", importers, "describe the importers and their options")
    json_option(parser)
    add_manifest_commands(group)
    parser = add_command(
        group,
        "check",
        check,
        "find unreadable files, copies of images, leakage and imbalance; exit code 1 if the data are unusable",
    )
    parser.add_argument("manifest", type=Path, metavar="M.csv", help="the manifest to check")
    json_option(parser)
    add_split_commands(group)


def demo(arguments: argparse.Namespace) -> int:
    """Write the synthetic data set."""
    from core.demo import make_demo

    manifest = arguments.out / "manifest.csv"
    if arguments.if_missing and manifest.exists():
        return 0
    note("Writing the synthetic demo set ...")
    with progress_bar("demo set") as progress:
        manifest = make_demo(arguments.out, patients=arguments.patients, seed=arguments.seed, progress=progress)
    print(manifest)
    return 0


def import_(arguments: argparse.Namespace) -> int:
    """Write a manifest for a data set that is on this machine, and beside it what was left out and why."""
    from core.data.checks import count
    from core.data.identity import patients_known
    from core.data.importers import exclusions_path, import_data, write_import

    new_manifest(arguments, [arguments.path])
    exclusions = exclusions_path(arguments.out)
    new_file(exclusions, ".csv", [arguments.path], lambda head: head.startswith(b"what,reason\n"))
    options = _options(arguments)
    with progress_bar("import") as progress:
        report = import_data(arguments.name, arguments.path, progress=progress, **options)
    write_import(report, arguments.out)
    note_first("left out", [f"{path}: {reason}" for path, reason in report.rejected], _NAMED, f", all of them in {exclusions}")
    note_import(report.notes)
    for text in report.repairs:
        note(f"repaired: {text}")
    for text in report.unknown:
        note(f"not known: {text}")
    summary = {"manifest": arguments.out.as_posix(), **totals(report.frame), "left_out": len(report.rejected)}
    splits = count(report.frame)
    if arguments.json:
        found = {"splits": splits.to_dict(orient="records"), "repairs": report.repairs, "unknown": report.unknown}
        rejected = [[str(path), reason] for path, reason in report.rejected]
        beside = {"exclusions": exclusions.as_posix() if report.rejected else None}
        print_json(summary | beside | found | {"notes": report.notes, "rejected": rejected})
        return 0
    known = patients_known(report.frame)
    print(f"{summary['manifest']}: {words(summary, known=known)}, {summary['left_out']} left out")
    if len(splits) > 2:  # a split, and all
        print_table(splits.to_numpy().tolist(), list(splits.columns))
    return 0


def _options(arguments: argparse.Namespace) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for option in arguments.option:
        key, separator, value = option.partition("=")
        if not separator:
            raise BadConfig(f"--option {option}: expected NAME=VALUE")
        options[key.strip()] = value
    return options | ({"classes": arguments.classes} if arguments.classes else {})


def importers(arguments: argparse.Namespace) -> int:
    """Describe the importers."""
    from core.data.importers import importers as every_importer

    known, broken = every_importer()
    if arguments.json:
        found: list[dict[str, Any]] = [
            {"name": i.name, "description": i.description, "options": i.options} for i in known.values()
        ]
        print_json([*found, *({"name": name, "error": reason} for name, reason in broken.items())])
        return 0
    for importer in known.values():
        print(f"{importer.name}\n    {importer.description}")
        for option, text in importer.options.items():
            print(f"    --option {option}=...   {text}")
    for name, reason in broken.items():
        print(f"{name}\n    not usable: {printable(reason)}")
    return 0


def check(arguments: argparse.Namespace) -> int:
    """Check a manifest and the files it names."""
    from core.data.checks import check_manifest
    from core.data.manifest import read_manifest

    frame = read_manifest(arguments.manifest)
    with progress_bar("checking") as progress:
        report = check_manifest(frame, progress=progress)
    if arguments.json:
        paths = frame["path"].astype("str")
        problems = [asdict(each) | {"paths": paths.iloc[list(each.rows)].to_list()} for each in report.problems]
        counts = report.counts.to_dict(orient="records")
        print_json({"ok": report.ok, "leakage": report.leakage, "problems": problems, "counts": counts})
    else:
        print_table(report.counts.to_numpy().tolist(), list(report.counts.columns))
        for problem in report.problems:
            print(f"{problem.kind}: {problem.message}")
        verdict = "usable, with the remarks above" if report.usable else "not usable: see above"
        print("no problem found" if report.ok else verdict)
    return 0 if report.usable else 1
