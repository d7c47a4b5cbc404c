"""The commands `demo`, `data import`, `data importers` and `data check`."""

from __future__ import annotations

import argparse
from pathlib import Path

from core.cli.arguments import Commands, add_command, add_group, json_option
from core.cli.output import new_file, note, print_json, print_table, progress_bar
from core.config import DataConfig
from core.errors import BadConfig
from core.wording import counted


def add_commands(commands: Commands) -> None:
    parser = add_command(commands, "demo", demo, "write the built-in synthetic data set")
    parser.add_argument("--out", type=Path, default=Path(DataConfig().manifest).parent, help="folder (default: %(default)s)")
    parser.add_argument("--patients", type=int, default=80, help="number of patients, four images each (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed writes the same images (default: %(default)s)")
    parser.add_argument("--if-missing", action="store_true", help="do nothing if the folder already holds a data set")

    group = add_group(commands, "data", "import and check data sets")
    parser = add_command(group, "import", import_, "write a manifest for a data set; images are not copied or renamed")
    parser.add_argument("name", help="folder, csv, rsna or mini-mias (see `data importers`)")
    parser.add_argument("path", type=Path, help="the data set's folder or file")
    parser.add_argument("--out", type=Path, required=True, metavar="M.csv", help="the manifest to write")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing manifest")
    parser.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="an option of the importer; repeatable"
    )
    json_option(parser)
    parser = add_command(group, "importers", importers, "describe the importers and their options")
    json_option(parser)
    parser = add_command(
        group,
        "check",
        check,
        "find unreadable files, duplicates, leakage and imbalance; exit code 1 if the data are unusable",
    )
    parser.add_argument("manifest", type=Path, metavar="M.csv", help="the manifest to check")
    json_option(parser)


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
    """Write a manifest for a data set that is on this machine."""
    from core.data.identity import patients_known
    from core.data.importers import import_data
    from core.data.manifest import write_manifest

    # A manifest that is there may hold splits and corrections that somebody made by hand.
    new_file(arguments.out, ".csv", [arguments.path], (lambda head: True) if arguments.overwrite else None)
    options = {}
    for option in arguments.option:
        key, separator, value = option.partition("=")
        if not separator:
            raise BadConfig(f"--option {option}: expected NAME=VALUE")
        options[key.strip()] = value
    with progress_bar("import") as progress:
        report = import_data(arguments.name, arguments.path, progress=progress, **options)
    write_manifest(report.frame, arguments.out)
    for path, reason in report.rejected:
        note(f"left out: {path}: {reason}")
    for text in report.notes:
        note(text if text.startswith("warning: ") else f"note: {text}")
    summary = {
        "manifest": arguments.out.as_posix(),
        "images": len(report.frame),
        "patients": int(report.frame["patient_id"].nunique()),
        "malignant": int((report.frame["label"] == "malignant").sum()),
        "benign": int((report.frame["label"] == "benign").sum()),
        "left_out": len(report.rejected),
    }
    if arguments.json:
        print_json(summary | {"notes": report.notes, "rejected": [[str(path), reason] for path, reason in report.rejected]})
    else:
        whose = (
            f"of {counted(summary['patients'], 'patient')}"
            if patients_known(report.frame)
            else "of patients that are not known"
        )
        print(
            f"{summary['manifest']}: {counted(summary['images'], 'image')} {whose} "
            f"({summary['malignant']} malignant, {summary['benign']} benign), {summary['left_out']} left out"
        )
    return 0


def importers(arguments: argparse.Namespace) -> int:
    """Describe the importers."""
    from core.data.importers import IMPORTERS

    if arguments.json:
        print_json([{"name": i.name, "description": i.description, "options": i.options} for i in IMPORTERS.values()])
        return 0
    for importer in IMPORTERS.values():
        print(f"{importer.name}\n    {importer.description}")
        for option, text in importer.options.items():
            print(f"    --option {option}=...   {text}")
    return 0


def check(arguments: argparse.Namespace) -> int:
    """Check a manifest and the files it names."""
    from core.data.checks import check_manifest
    from core.data.manifest import read_manifest

    with progress_bar("checking") as progress:
        report = check_manifest(read_manifest(arguments.manifest), progress=progress)
    if arguments.json:
        print_json(
            {
                "ok": report.ok,
                "leakage": report.leakage,
                "problems": [{"kind": p.kind, "message": p.message, "rows": list(p.rows)} for p in report.problems],
                "counts": report.counts.to_dict(orient="records"),
            }
        )
    else:
        print_table(report.counts.to_numpy().tolist(), list(report.counts.columns))
        for problem in report.problems:
            print(f"{problem.kind}: {problem.message}")
        verdict = "usable, with the remarks above" if report.usable else "not usable: see above"
        print("no problem found" if report.ok else verdict)
    return 0 if report.usable else 1
