"""The command `study plan`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from core.cli.arguments import config_options, json_option
from core.cli.output import note, print_json, print_table, printable, progress_bar
from core.cli.workspace import load
from core.wording import duration, setting

if TYPE_CHECKING:
    from core.studies.plan import Plan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `study plan` takes."""
    parser.add_argument("study", metavar="NAME", help="name of the study")
    parser.add_argument("--minutes", type=float, required=True, metavar="N", help="minutes that the whole study may take here")
    parser.add_argument("--question", default="", metavar="TEXT", help="what the study asks")
    parser.add_argument("--dry-run", action="store_true", help="show the plan, and make no study")
    config_options(parser)
    json_option(parser)


def plan(arguments: argparse.Namespace) -> int:
    """Choose settings by the data, the machine and the time; write the study."""
    from core.studies import Study
    from core.studies.plan import plan as make_plan
    from core.training.rows import load_rows

    config = load(arguments)
    with progress_bar("demo set") as progress:
        rows = load_rows(config, progress)
    with progress_bar("looking at images") as progress:
        found = make_plan(config, rows, minutes=arguments.minutes, question=arguments.question, progress=progress)
    study = None
    if not arguments.dry_run:
        with progress_bar("looking for copies") as progress:
            study = Study.create(arguments.study, found.design, found.config, rows, plan=found.as_dict(), progress=progress)
    if arguments.json:
        made = {} if study is None else {"study": study.name, "folder": study.path.as_posix()}
        print_json({**made, "runs": len(found.design.jobs), **found.as_dict()})
        return 0
    _show(found)
    if study is not None:
        note(f"next: python -m core study run {study.name}")
    return 0


def _show(found: Plan) -> None:
    data = found.data
    print(
        f"{data.images:,} images of {data.patients:,} patients ({data.malignant_patients:,} with a malignant one), those of "
        f"a test split not counted; {printable(found.machine.device)}, {found.machine.cores} cores"
    )
    rows = [(each.setting, setting(each.value), printable(each.why)) for each in found.choices]
    print_table(rows, ("setting", "value", "why"))
    print(f"{len(found.design.jobs)} runs, {duration(60 * found.minutes)} at most by estimate, of {found.budget:g} minutes")
    for each in found.notes:
        note(printable(each))
