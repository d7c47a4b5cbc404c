"""The command `report`."""

from __future__ import annotations

import argparse
from pathlib import Path

from core.cli.arguments import Commands, add_command, run_argument
from core.cli.output import note
from core.cli.workspace import open_run


def add_commands(commands: Commands) -> None:
    parser = add_command(commands, "report", report, "write an HTML report of a run, following TRIPOD+AI and CLAIM")
    run_argument(parser)
    answers = parser.add_mutually_exclusive_group()
    answers.add_argument(
        "--notes",
        type=Path,
        metavar="FILE",
        help="the authors' answers (funding, ethics, setting ...); stored as report.yaml in the run's folder",
    )
    answers.add_argument("--questions", action="store_true", help="only write a report.yaml to fill in")


def report(arguments: argparse.Namespace) -> int:
    """Write the HTML report of a run, or the questions that only its authors can answer."""
    from core.report import keep_notes, write_questions
    from core.report import report as write_report

    run = open_run(arguments.run)
    if arguments.questions:
        print(write_questions(run).as_posix())
        note("fill it in, then write the report: what is left empty is listed as open")
        return 0
    if arguments.notes:
        keep_notes(run, arguments.notes)
    print(write_report(run).as_posix())
    return 0
