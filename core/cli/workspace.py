"""The configuration, the run and the study that a command is about."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from core.cli.output import printable
from core.errors import BadRun

if TYPE_CHECKING:
    from core.config import Config
    from core.runs import Run
    from core.studies import Study

DEFAULT_CONFIG = Path("config.yaml")


def load(arguments: argparse.Namespace) -> Config:
    from core.config import load_config

    return load_config(arguments.config, arguments.set)


def default_config_file() -> Path | None:
    """config.yaml in the current folder; None where there is none, for the built-in defaults."""
    return DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else None


def default_config(path: Path | None = None) -> Config:
    """The configuration that says where runs are: the given or the folder's config.yaml, else the built-in defaults."""
    from core.config import load_config

    if path is None:
        return load_config(default_config_file())
    return load_config(path if path.exists() else None)


def open_run(name: str, config: Path | None = None, *, damaged: bool = False) -> Run:
    """The run of this name in the runs folder, or in the folder of this path.

    A bare name is looked for among the runs first, then as a folder here; a path is taken as it is, then below the runs folder.
    `damaged`: also one whose folder has entries that lead elsewhere (links, named pipes), to delete it.

    Raises:
        BadRun: there is none, or it cannot be used; `name` is empty, or says a folder by its place alone ("." or "..").
    """
    from core.runs import Run

    root = default_config(config).checkpoints
    path = Path(name)
    # A script whose variable is not set gives "" or "./": never the folder that it happens to be in.
    if not name.strip() or not path.name or path.name == ".." or "\0" in name:
        raise BadRun(
            f"{name!r}: expected the name of a run, or the path of its folder that ends in its name. {_known_runs(root)} "
            "If it comes from a script, its variable may not be set."
        )
    bare = path.name == name
    for candidate in (root / name, path) if bare else (path, root / name):
        if candidate.is_dir():
            run = Run.open(candidate)
            if not damaged:
                run.require_regular()
            return run
    raise BadRun(f"{printable(name)}: no such run. {_known_runs(root)} Give one of them, or the path of a run folder.")


def _known_runs(root: Path) -> str:
    from core.runs import list_runs

    known = sorted(printable(run.name) for run in list_runs(root))
    return f"Runs in {root}: {', '.join(known) or 'none'}."


def open_study(name: str) -> Study:
    """The study of this name in the runs folder, or in the folder of this path. Raises BadRun: there is none."""
    from core.runs.folder import is_study
    from core.studies import Study, list_studies

    root = default_config().checkpoints
    path = Path(name)
    if not name.strip() or not path.name or path.name == ".." or "\0" in name:
        raise BadRun(f"{name!r}: expected the name of a study, or the path of its folder")
    for candidate in (root / name, path) if path.name == name else (path, root / name):
        if is_study(candidate):
            return Study.open(candidate)
    known = ", ".join(printable(each.name) for each in list_studies(root)) or "none"
    raise BadRun(f"{printable(name)}: no such study. Studies in {root}: {known}. `python -m core study new` makes one.")
