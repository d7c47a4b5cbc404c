"""The commands `ensemble` and `study ensemble`: the mean of finished runs, as a run of its own."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from core.cli.arguments import Commands, add_command, json_option
from core.cli.output import note, print_json, printable
from core.cli.workspace import default_config, open_run, open_study
from core.errors import BadRun
from core.wording import counted

if TYPE_CHECKING:
    from core.runs import Run
    from core.studies import Study


def add_commands(commands: Commands) -> None:
    parser = add_command(commands, "ensemble", of_runs, "make a run whose score is the mean of several finished runs' scores")
    parser.add_argument("runs", nargs="+", metavar="RUN", help="names or folders of the runs: two or more")
    parser.add_argument("--name", help="name of the new run (default: ensemble, ensemble-2, ...)")
    json_option(parser)


def add_study_command(studies: Commands) -> None:
    """`study ensemble`, which core.cli.study lists."""
    parser = add_command(
        studies, "ensemble", of_study, "make a run whose score is the mean of those of the folds' runs, of one setting"
    )
    parser.add_argument("study", metavar="NAME", help="name or folder of the study")
    parser.add_argument(
        "--setting",
        metavar="N",
        help="which of the compared settings: its place in `study results`, from 1, or its words (default: the reference, or "
        "what a search found)",
    )
    parser.add_argument("--name", help="name of the new run (default: after the study)")
    json_option(parser)


def of_runs(arguments: argparse.Namespace) -> int:
    """The mean of the named runs."""
    from core.studies import ensemble_of

    runs = [open_run(name) for name in arguments.runs]
    return _said(ensemble_of(runs, root=default_config().checkpoints, name=arguments.name), as_json=arguments.json)


def of_study(arguments: argparse.Namespace) -> int:
    """The mean of the runs of one setting of a study."""
    from core.studies import ensemble_of_study

    study = open_study(arguments.study)
    cell = None if arguments.setting is None else _cell(study, arguments.setting)
    return _said(ensemble_of_study(study, cell=cell, name=arguments.name), as_json=arguments.json)


def _cell(study: Study, asked: str) -> int:
    """The number of a setting, from 0. Raises BadRun: there is none."""
    cells = study.design().cells
    labels = {cell.label: cell.number for cell in cells}
    if asked in labels:
        return labels[asked]
    if asked.isdecimal() and 1 <= int(asked) <= len(cells):
        return int(asked) - 1
    known = "; ".join(f"{cell.number + 1}: {cell.label}" for cell in cells)
    raise BadRun(f"--setting {printable(asked)}: {study.name} has no such setting. Its settings: {printable(known)}")


def _said(run: Run, *, as_json: bool) -> int:
    from core.studies.ensemble import costs_of

    card, costs = run.model_card(), costs_of(run)
    if as_json:
        members = [{"run": each.run, "study": each.study, "epoch": each.epoch} for each in card.members or ()]
        validation = None if card.validation is None else card.validation.auc
        print_json(
            {
                "run": run.name,
                "folder": run.path.as_posix(),
                "members": members,
                "threshold": card.threshold,
                "out_of_fold_auc": validation,
                "cost": {
                    "parameters": costs.parameters,
                    "bytes": costs.size,
                    "milliseconds": round(costs.milliseconds, 2),
                    "milliseconds_of_one": round(costs.single, 2),
                },
            }
        )
        return 0
    print(f"{Path(run.path).as_posix()}: the mean of {counted(len(card.members or ()), 'run')}")
    for each in card.members or ():
        epoch = "" if each.epoch is None else f", epoch {each.epoch}"
        print(f"  {printable(f'{each.study}/{each.run}' if each.study else each.run)} ({printable(each.architecture)}{epoch})")
    auc = card.validation.auc if card.validation is not None else None
    shown = "–" if auc is None else f"{auc:.3f}"
    print(f"out-of-fold AUC {shown} (all folds together), threshold {card.image_thresholds.stated()}")
    print("out-of-fold: each image is scored by the runs that held it out")
    print(f"cost: {costs.words}")
    note(f"next: python -m core evaluate {run.name} --split val")
    return 0
