"""Arguments that several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from core.cli.output import new_file
from core.cli.workspace import DEFAULT_CONFIG
from core.errors import BadManifest
from core.runs.test_set.external import require_split

Command = Callable[[argparse.Namespace], int]
Commands = argparse._SubParsersAction


def add_command(commands: Commands, name: str, command: Command, text: str, *, former: str = "") -> argparse.ArgumentParser:
    """A sub-command with its help; `former` is a name it had before, which works but is not listed. Returns its parser."""
    description = text[0].upper() + text[1:] + "."
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=description)
    parser.set_defaults(command=command)
    if former:
        commands.choices[former] = parser
    return parser


def add_group(commands: Commands, name: str, text: str) -> Commands:
    """A sub-command that has sub-commands of its own."""
    group = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    return group.add_subparsers(title="commands", required=True, metavar="COMMAND")


def json_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def manifest_options(parser: argparse.ArgumentParser, metavar: str = "N.csv") -> None:
    """Of a command that writes a manifest: where to, and whether one that is there is replaced; see `new_manifest`."""
    parser.add_argument("--out", type=Path, required=True, metavar=metavar, help="the manifest to write")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing manifest")


def new_manifest(arguments: argparse.Namespace, inputs: Sequence[Path]) -> None:
    """Raises BadConfig where the manifest may not be written: one that is there may hold what was corrected by hand."""
    new_file(arguments.out, ".csv", inputs, (lambda head: True) if arguments.overwrite else None)


def frame_index(text: str) -> int:
    """A frame as a person counts, from 1 -> as `core.images.read` counts, from 0. For argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"frames count from 1, got {number}")
    return number - 1


def frame_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--frame",
        type=frame_index,
        metavar="N",
        help="frame of a multi-frame file, from 1 (default: the middle frame of a DICOM stack, the first page of a TIFF)",
    )


def score_anyway_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--score-anyway",
        action="store_true",
        help="also score images that the model should not judge (a CT, a photograph, no breast), without a decision",
    )


def split_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--split",
        type=split_name,
        default="test",
        metavar="SPLIT",
        help="train, val, test, or external-NAME of an external test set (default: %(default)s)",
    )


def split_name(text: str) -> str:
    """A split, or the name of an external test set. For argparse."""
    try:
        return require_split(text)
    except BadManifest as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("split: ")) from error


def set_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="override a setting, e.g. training.epochs=5; repeatable",
    )


def config_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG, help="configuration file (default: %(default)s)")
    set_option(parser)


def run_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="name of a run in the runs folder, or the path of its folder")
