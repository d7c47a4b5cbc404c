"""The commands `data relabel` and `data merge`: manifests from manifests."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pandas as pd

from core.cli.arguments import Commands, add_command, json_option, manifest_options, new_manifest
from core.cli.output import note_import, print_json
from core.wording import counted


def add_manifest_commands(group: Commands) -> None:
    """Add them to the group `data`."""
    parser = add_command(group, "relabel", relabel, "write a manifest with the labels of another rule, without importing again")
    parser.add_argument("manifest", type=Path, metavar="M.csv", help="a manifest that an importer of a collection wrote")
    parser.add_argument(
        "--rule", required=True, help="the rule, such as birads-without-3; `data importers` lists each collection's"
    )
    manifest_options(parser)
    json_option(parser)
    parser = add_command(
        group,
        "merge",
        merge,
        "write one manifest from several: ids kept apart, and warnings where the data set tells the label",
    )
    parser.add_argument("manifests", type=Path, nargs="+", metavar="M.csv", help="the manifests, at least two")
    manifest_options(parser)
    json_option(parser)


def relabel(arguments: argparse.Namespace) -> int:
    """Write the manifest with other labels, and say what changed."""
    from core.data.label_rules import relabel as relabelled
    from core.data.manifest import read_manifest

    new_manifest(arguments, [arguments.manifest])
    frame, notes = relabelled(read_manifest(arguments.manifest), arguments.rule)
    return _write(arguments, frame, notes)


def merge(arguments: argparse.Namespace) -> int:
    """Write all rows as one manifest, and warn of what the collections share or give away."""
    from core.data.manifest import read_manifest
    from core.data.merged_manifests import merge_manifests

    new_manifest(arguments, arguments.manifests)
    frame, notes = merge_manifests([(path, read_manifest(path)) for path in arguments.manifests])
    return _write(arguments, frame, notes)


def _write(arguments: argparse.Namespace, frame: pd.DataFrame, notes: list[str]) -> int:
    from core.data.manifest import write_manifest

    write_manifest(frame, arguments.out)
    note_import(notes)
    summary = {"manifest": arguments.out.as_posix(), **totals(frame)}
    if arguments.json:
        print_json(summary | {"notes": notes})
    else:
        print(f"{summary['manifest']}: {words(summary)}")
    return 0


def totals(frame: pd.DataFrame) -> dict[str, int]:
    """How many images, patients and labels."""
    labels = frame["label"].value_counts()
    return {
        "images": len(frame),
        "patients": int(frame["patient_id"].nunique()),
        "malignant": int(labels.get("malignant", 0)),
        "benign": int(labels.get("benign", 0)),
        "unlabelled": int(labels.get("", 0)),
    }


def words(summary: dict[str, Any], *, known: bool = True) -> str:
    """`5 images of 3 patients (2 malignant, 3 benign)`; `known`: whether anybody knows the patients."""
    whose = f"of {counted(summary['patients'], 'patient')}" if known else "of patients that are not known"
    unlabelled = f", {summary['unlabelled']} unlabelled" if summary["unlabelled"] else ""
    labels = f"{summary['malignant']} malignant, {summary['benign']} benign{unlabelled}"
    return f"{counted(summary['images'], 'image')} {whose} ({labels})"
