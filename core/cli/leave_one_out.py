"""The command that holds out one site (or scanner) each: manifests, trainings on the others, and the mean AUC of all."""

from __future__ import annotations

import argparse
import hashlib
import sys
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.cli.output import print_json, print_table, printable
from core.cli.workspace import open_run
from core.errors import LabError, NotEnoughData
from core.wording import counted

if TYPE_CHECKING:
    import pandas as pd

    from core.data.leave_one_out import HeldOut
    from core.runs import Run

_NAME_PARTS = 20  # letters of the column and of the value that a run's name shows; its hash tells apart what they do not


def leave_one_out(arguments: argparse.Namespace) -> int:
    """Hold out each value of a column in turn: write the manifests, train what is asked for, and sum up what is evaluated."""
    from core.config import dump_config, load_config
    from core.data import write_manifest
    from core.data.leave_one_out import leave_one_out as held_out

    run = open_run(arguments.run)
    arguments.out.mkdir(parents=True, exist_ok=True)
    runs, rows = run.path.parent, []
    for number, each in enumerate(held_out(run.manifest(), arguments.by), start=1):
        row: dict[str, Any] = {"value": each.value, "images": each.images, "patients": each.patients}
        if isinstance(each.manifest, str):
            rows.append(row | {"run": None, "note": each.manifest, "auc": None})
            continue
        name = _run_name(run, arguments.by, each, each.manifest, number)
        folder, manifest, config = runs / name, arguments.out / f"{name}.csv", arguments.out / f"{name}.yaml"
        write_manifest(each.manifest, manifest)
        overrides = [f"data.manifest={manifest.absolute().as_posix()}", f"checkpoints={runs.absolute().as_posix()}"]
        config.write_text(dump_config(load_config(run.path / "config.yaml", overrides)), encoding="utf-8")
        if arguments.train and not folder.exists():
            _train_and_evaluate(config, folder)
        rows.append(row | {"run": name} | _area_of(folder, config, each.manifest))
    if arguments.json:
        print_json({"run": run.name, "by": arguments.by, "held_out": rows, "summary": _pooled(rows)})
        return 0
    print_table(
        [(row["value"], _scored_of(row, "images"), _scored_of(row, "patients"), _area_cell(row)) for row in rows],
        (arguments.by, "images", "patients", "AUC of the run that was trained without it"),
    )
    print(_pooled(rows))
    return 0


def _run_name(run: Run, column: str, held: HeldOut, manifest: pd.DataFrame, number: int) -> str:
    """The name of the run that holds out one value of a column: another column, value or split gives another name.

    Earlier versions numbered the values, whatever the column. A run of such a name that has the same images is used.
    """
    from core.errors import BadRun
    from core.runs.names import clean_name

    former = f"{run.name}-without-{number}"
    if (run.path.parent / former / "manifest.csv").is_file() and not _other_images(run.path.parent / former, manifest):
        return former
    parts = [run.name[: 2 * _NAME_PARTS], "without"]
    for part in (column, held.value):
        try:
            parts.append(clean_name(part[:_NAME_PARTS]))
        except BadRun:  # a value such as "?" has nothing that a name can show
            continue
    key = "\0".join((run.name, column, held.value, *_fingerprint(manifest)))
    return clean_name("-".join((*parts, hashlib.sha256(key.encode()).hexdigest()[:8])))


def _fingerprint(manifest: pd.DataFrame) -> tuple[str, ...]:
    """What the images, patients and labels of each split are identified by."""
    from core.report.material import split_fingerprint

    rows = manifest.drop(columns="content_hash", errors="ignore")  # a manifest may have gained it since
    return tuple(split_fingerprint(rows, split) for split in ("train", "val", "test"))


def _other_images(folder: Path, manifest: pd.DataFrame) -> str:
    """Why the run in `folder` is not the one of this manifest; "" where it is."""
    from core.runs import Run

    try:
        theirs = Run(folder).manifest()
    except LabError as error:
        return str(error)
    if _fingerprint(theirs) == _fingerprint(manifest):
        return ""
    return (
        f"the run {folder.name} has other images, patients, labels or splits than the manifest written now: its AUC is not "
        "that of this value. Rename or delete that run, then train this one"
    )


def _train_and_evaluate(config: Path, folder: Path) -> None:
    """As `train` and `evaluate` do, in this process."""
    from core.cli import main

    for command in (["train", "--config", str(config), "--run", folder.name], ["evaluate", str(folder)]):
        with redirect_stdout(sys.stderr):  # standard output is for the result
            code = main(command)
        if code != 0:
            raise LabError(
                f"{folder.name}: `{' '.join(command)}` has failed; what it printed says why. Run it again, then this."
            )


def _area_of(folder: Path, config: Path, manifest: pd.DataFrame) -> dict[str, Any]:
    """The AUC of the run in `folder` with its level of confidence, or a note why there is none that is of this manifest."""
    from core.evaluate import read_evaluation
    from core.runs import Run

    if folder.exists() and (why := _other_images(folder, manifest)):
        return {"auc": None, "note": why}
    if not (folder / "model.json").is_file():
        return {"auc": None, "note": f"not trained yet: python -m core train --config {config.as_posix()} --run {folder.name}"}
    evaluation = read_evaluation(Run(folder))
    if evaluation is None:
        return {"auc": None, "note": f"not evaluated yet: python -m core evaluate {folder.name}"}
    area = evaluation.summary["auc"]
    if isinstance(area, str):
        return {"auc": None, "note": area}
    scored = {"scored_images": evaluation.images, "scored_patients": evaluation.patients}
    return {"auc": asdict(area), "note": "", "confidence": evaluation.summary.confidence} | scored


def _scored_of(row: dict[str, Any], unit: str) -> str:
    """`69`, or `64 of 69` where the run scored fewer than the manifest has: the AUC is of those."""
    scored = row.get(f"scored_{unit}", row[unit])
    return str(row[unit]) if scored == row[unit] else f"{scored} of {row[unit]}"


def _area_cell(row: dict[str, Any]) -> str:
    from core.metrics import Interval

    return printable(row["note"] if row["auc"] is None else str(Interval(**row["auc"])))


def _pooled(rows: list[dict[str, Any]]) -> str:
    """The mean AUC over the values in words, or why there is none."""
    from core.metrics import Interval
    from core.metrics.pooling import pooled_auc

    known = [row for row in rows if row["auc"] is not None]
    levels = sorted({row["confidence"] for row in known})
    if len(levels) > 1:
        found = " and ".join(f"{level:.0%}" for level in levels)
        return (
            f"no mean: expected intervals of one level of confidence, got {found}. Make them alike with "
            "`python -m core evaluate RUN --remake --set evaluation.confidence=...`"
        )
    try:
        pooled = pooled_auc([Interval(**row["auc"]) for row in known], confidence=levels[0] if levels else 0.95)
    except NotEnoughData as error:
        return str(error)
    return (
        f"mean AUC over {counted(pooled.sites, 'value')} left out {pooled.mean}; where that of a new one would lie "
        f"[{pooled.prediction.low:.3f}, {pooled.prediction.high:.3f}], {levels[0]:.0%} intervals; spread beyond chance "
        f"I² {pooled.i2:.0%}"
    )
