"""The command `models`: architectures, their weights, and what a training step costs on this machine."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.cli.arguments import Commands, add_command, json_option, set_option
from core.cli.output import note, print_json, print_table, progress_bar
from core.cli.workspace import DEFAULT_CONFIG, default_config_file
from core.wording import size

if TYPE_CHECKING:
    from core.config import Config
    from core.training.model_list import ModelEntry


def add_commands(commands: Commands) -> None:
    parser = add_command(
        commands, "models", models, "list architectures with their size, pretrained weights, and step time and memory here"
    )
    parser.add_argument(
        "names", metavar="NAME", nargs="*", help="architectures (default: the suggested ones and the configured one)"
    )
    parser.add_argument(
        "--measure",
        action="store_true",
        help="make a few training steps of each that was not measured on this machine yet (about a minute each)",
    )
    parser.add_argument("--again", action="store_true", help="with --measure: also of those that were measured before")
    parser.add_argument(
        "--config", type=Path, default=DEFAULT_CONFIG, help="file with input size, batch and device (default: %(default)s)"
    )
    set_option(parser)
    json_option(parser)


def models(arguments: argparse.Namespace) -> int:
    """Print the architectures; the exit code is 1 when one could not be measured."""
    from core.config import load_config
    from core.training.model_list import list_models, measure_models

    given = arguments.config if arguments.config != DEFAULT_CONFIG else default_config_file()
    config = load_config(given, arguments.set)
    found = list_models(config, arguments.names)
    problems: dict[str, str] = {}
    if arguments.measure:
        wanted = [each.name for each in found if arguments.again or each.costs is None]
        with progress_bar("measuring", "model") as progress:
            problems = measure_models(config, wanted, progress)
        found = list_models(config, arguments.names)
    for problem in problems.values():
        note(f"not measured: {problem}")
    if arguments.json:
        print_json({"input": list(config.preprocessing.shape), "models": [_plain(each, problems) for each in found]})
    else:
        _show(found, config)
    return 1 if problems else 0


def _plain(entry: ModelEntry, problems: dict[str, str]) -> dict[str, Any]:
    weights = entry.weights
    costs = None if entry.costs is None else {**asdict(entry.costs), "images_per_second": entry.costs.images_per_second}
    return {
        "name": entry.name,
        "parameters": entry.parameters,
        "weights": {"source": weights.kind, "name": weights.name, "licence": weights.licence or None},
        "measured": costs,
        "problem": problems.get(entry.name),
    }


def _show(found: list[ModelEntry], config: Config) -> None:
    rows = []
    for entry in found:
        weights, costs = entry.weights, entry.costs
        measured = ("–", "–", "–")
        if costs is not None:
            measured = (f"{costs.seconds:.2f}", f"{costs.images_per_second:.1f}", size(costs.memory))
        origin = (
            ("none", "") if weights.kind == "none" else (f"{weights.kind}: {weights.name}", weights.licence or "not stated")
        )
        rows.append((entry.name, f"{entry.parameters / 1e6:.1f}", *measured, *origin))
    print_table(rows, ("model", "parameters (M)", "step (s)", "images/s", "memory", "ImageNet weights", "licence"))
    height, width = config.preprocessing.shape
    note(
        f"steps of {config.training.batch_size} images of {height} x {width} px, the whole network trained; memory beside the "
        "libraries. Weights from a cache or a package are on this machine; from the hub they have to be downloaded"
    )
    if any(entry.costs is None for entry in found):
        note("– is not measured yet: add --measure")
