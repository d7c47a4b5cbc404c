"""The command `gate`: fit again which images a run's model should not judge."""

from __future__ import annotations

import argparse

from core.cli.arguments import Commands, add_command, json_option, run_argument
from core.cli.output import print_json, progress_bar
from core.cli.workspace import open_run


def add_commands(commands: Commands) -> None:
    parser = add_command(commands, "gate", gate, "fit again the input gate, which decides what images a model should judge")
    run_argument(parser)
    json_option(parser)


def gate(arguments: argparse.Namespace) -> int:
    """Fit the input gate of a run's model again."""
    from core.data.cache import PreparedCache, cache_root
    from core.predict import Predictor

    run = open_run(arguments.run)
    lock = run.acquire()  # a training would replace the weights meanwhile
    try:
        predictor = Predictor.from_run(run.path)
        with progress_bar("reading images") as progress:
            found = predictor.fit_gate(run.path, run.manifest(), PreparedCache(cache_root(), predictor.recipe), progress)
    finally:
        lock.release()
    result = {"run": run.name, "train": found.train, "validation": found.validation, "refuses": found.refuses}
    if arguments.json:
        print_json(result | {"limit": found.limit})
        return 0
    what = "images beyond the limit get no verdict" if found.refuses else "too few images to refuse any: only a warning"
    print(f"{run.name}: fitted on {found.train} training and {found.validation} validation images; {what}")
    return 0
