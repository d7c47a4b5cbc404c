"""Runs: trained, resumed, found, evaluated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.api import WHERE
from core.cli import workspace as commands
from core.cli.output import note, progress_bar
from core.config import load_config
from core.runs import Event, Run
from core.runs import list_runs as runs_in

if TYPE_CHECKING:
    from core.evaluate import Evaluation

Follow = bool | Callable[[Event], None]
_SPLITS = {"training": "train", "validation": "val"}  # as people say them


def train(
    manifest: Path | str | None = None,
    *,
    config: Path | str | None = None,
    overrides: Mapping[str, Any] | None = None,
    name: str | None = None,
    progress: Follow = True,
    queue: bool = True,
) -> Run:
    """Train a model here until the end, as `python -m core train` does; everything it did is in the run's folder.

    Interrupting it once (Ctrl-C, or the notebook's stop button) ends it in order and keeps the best model so far: the run is
    returned, its `status().state` is "stopped", and `resume` goes on with it.

    Args:
        manifest: the data set; by default `data.manifest` of the configuration. The demo set is written where it is missing.
        config: configuration file; by default config.yaml in the current folder, or the built-in defaults where there is none.
        overrides: settings instead of those of the file: {"training.epochs": 3} or {"training": {"epochs": 3}}.
        name: of the run; by default date, architecture and number.
        progress: True for a line an epoch and a bar on standard error, False for silence, or a function that is called with
            every event (see checkpoints/README.md).
        queue: wait while another training uses the device.

    Raises:
        BadConfig: an unknown setting or an impossible value.
        BadManifest, Leakage: the data set cannot be used as it is.
        MissingWeights: pretrained weights that cannot be had here.
        BadRun: the name is taken.
        TrainingFailed: the training could not go on.
    """
    from core.training.rows import load_rows

    settings = dict(overrides or {})
    if manifest is not None:
        settings["data.manifest"] = Path(manifest)
    chosen = Path(config) if config is not None else commands.default_config_file()
    resolved = load_config(chosen, settings)
    with progress_bar("demo set") if progress is True else nullcontext() as bar:
        rows = load_rows(resolved, bar)
    return _train(Run.create(resolved, rows, name=name), resume=False, progress=progress, queue=queue)


def resume(run: Path | str | Run, *, progress: Follow = True, queue: bool = True) -> Run:
    """Go on with a training that was stopped or interrupted, as `python -m core train --resume RUN` does.

    Args and errors as `train`.

    Raises:
        BadRun: there is no such run, it is finished, or it is being trained already.
    """
    found = open_run(run)
    return _train(found, resume=found.begun, progress=progress, queue=queue)


def _train(run: Run, *, resume: bool, progress: Follow, queue: bool) -> Run:
    from core.cli.training_progress import follow
    from core.training.launchers import run_to_end

    if progress is True:
        follow(run, resume=resume, queue=queue)
    else:
        run_to_end(run, resume=resume, on_event=progress or None, queue=queue)
    return run


def open_run(run: Path | str | Run, *, config: Path | str | None = None) -> Run:
    """The run of this name in the runs folder (`checkpoints` in config.yaml), or in the folder of this path.

    Args:
        config: the configuration file that says where runs are; by default config.yaml in the current folder.

    Raises:
        BadRun: there is none, or it cannot be used.
    """
    if not isinstance(run, Path | str):
        run = run.path
    return commands.open_run(str(run), None if config is None else Path(config))


def list_runs(folder: Path | str | None = None) -> list[Run]:
    """All runs in a folder, newest first; by default in the runs folder (`checkpoints` in config.yaml)."""
    return runs_in(commands.default_config().checkpoints if folder is None else folder)


def evaluate_run(
    run: Path | str | Run, split: str = "val", *, manifest: Path | str | None = None, name: str = "", progress: bool = True
) -> Evaluation:
    """Score a split and compute every metric of it, as `python -m core evaluate RUN` does; stored in the run's folder.

    Evaluating "test" accesses the test set. That is counted and recorded before any metric is given, stands in the report, and
    a note on standard error says so. `core.read_evaluation(run, split)` gives the stored metrics without another access.

    Args:
        split: "train", "val" or "test"; "training" and "validation" are understood. Not looked at with a `manifest`.
        manifest: of another collection, as an external test set; it is counted and recorded like a test set.
        name: what the external test set is called; by default after its manifest.
        progress: whether a bar and notes are shown on standard error.

    Raises:
        BadManifest: no such split; the manifest cannot be used, or the name is another set's.
        BadRun: there is no such run, it has no model, or "test" (or an external test) is asked for while it is being trained.
        NotEnoughData: none of the images can be scored.
        NotRecorded: the access to the test set cannot be written down.
    """
    from core.cli.evaluation import access_words
    from core.evaluate import evaluate, evaluate_external

    found = open_run(run)
    if manifest is not None:
        with progress_bar("scoring") if progress else nullcontext() as bar:
            return evaluate_external(found, manifest, name, progress=bar, where=WHERE)
    split = _SPLITS.get(split, split)
    if split == "test" and progress:
        note(access_words(found))
    with progress_bar(f"scoring {split}") if progress else nullcontext() as bar:
        return evaluate(found, split, progress=bar, where=WHERE)
