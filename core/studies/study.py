"""A study's folder: its question, its configuration, its rows with their folds, and its runs.

study.yaml    the Design            config.yaml   of all runs, but for what is compared
manifest.csv  the rows, with the fold of each repeat (columns fold_1, fold_2, ...; -1: test split, which takes no part), and a
              number for those that stay together (fold_group)
control/stop  a request to whoever trains the study
failures/     why a run could not be made               workers/      a file for each process that works on it
process.log   what workers in processes of their own print            plan.json     the choices of a plan, with their reasons
optuna.db     of a search: its trials (trial_store.py), where no database server has them
<run>/        ordinary runs, named after what is compared, repeat and fold; trial-0001, ... are those of a search

Nothing else is stored: what is done is seen from the runs, so that a killed study continues where it was.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import uuid
from collections.abc import Callable, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock

from core.config import Config, Recipe, dump_config, load_config
from core.config.yaml_text import plain_yaml, read_yaml
from core.data import require_trainable
from core.data.breasts import require_breasts
from core.data.manifest import read_manifest, write_manifest
from core.errors import BadConfig, BadManifest, BadRun
from core.files.folders import write_text
from core.files.untrusted import irregular, read_bytes, read_json
from core.model import check_model
from core.model.device import pick_device_config
from core.runs.drafts import DRAFT, settle
from core.runs.folder import STUDY, is_junction, is_run, is_study
from core.runs.names import clean_name
from core.runs.run import Run
from core.studies.design import TRIAL, Cell, Design, Job, flat
from core.studies.folds import COLUMN, fold_rows, rows_with_folds, with_folds
from core.studies.search_space import Range, Winner

DESIGN, CONFIG, MANIFEST = STUDY, "config.yaml", "manifest.csv"
PLAN = "plan.json"  # why a planned study is as it is
PROCESS_LOG = "process.log"  # what workers print that run in processes of their own
FAILURES, CONTROL, WORKERS = "failures", "control", "workers"  # folders
TRIALS, TRIALS_LOCK = "optuna.db", ".trials.lock"
DESIGN_LOCK = ".design.lock"  # held by whoever changes study.yaml
TRIALS_JOURNAL = f"{TRIALS}-journal"  # of SQLite: there while it writes, and after a kill
Progress = Callable[[int, int], None]


class Study:
    """A handle on a study's folder; holds nothing that is not on the disk."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).absolute()

    @property
    def name(self) -> str:
        return self.path.name

    @classmethod
    def create(
        cls,
        name: str,
        design: Design,
        config: Config,
        rows: pd.DataFrame,
        *,
        plan: Mapping[str, Any] | None = None,
        progress: Progress | None = None,
    ) -> Study:
        """Make the folder of a new study under `config.checkpoints`. Nothing is made when it raises.

        Every combination of settings is checked, copies of images are looked for and folds are drawn before anything is
        written. `rows` have the columns of a manifest; those without a label take no part. See `rows_with_folds`. `plan` says
        why the study is as it is (core.studies.plan.Plan.as_dict), where it was planned.

        Raises:
            BadConfig: a setting that does not exist, a value that it cannot have, or two combinations that are the same.
            MissingWeights: the pretrained weights of a combination cannot be had here.
            BadManifest: too few patients for so many folds.
            Leakage: the test split shares patients or copies with the other images.
            BadRun: the name is taken or impossible, or the folder cannot be written to.
        """
        root, title = Path(config.checkpoints).absolute(), clean_name(name)
        if design.search is not None and config.training.monitor == "loss" and (other := _other_losses(design)):
            raise BadConfig(
                f"{other} changes the loss, which is what trials are compared by (training.monitor: loss). Monitor auc, or "
                "leave it out of the search"
            )
        if os.path.lexists(root / title):
            raise BadRun(f"{title}: there is a run or a study of this name already. Choose another name.")
        by_views = checked(design, config)
        used = rows_with_folds(rows, design, config.data, progress)
        _require_trainable(used, design, by_views)
        draft = root / f"{DRAFT}{uuid.uuid4().hex[:12]}"
        try:
            draft.mkdir(parents=True)
            write_text(draft / DESIGN, _as_yaml(design))
            write_text(draft / CONFIG, dump_config(config, skip=("dashboard",)))
            write_manifest(used, draft / MANIFEST)
            if plan is not None:
                write_text(draft / PLAN, json.dumps(plan, indent=1) + "\n")
            (draft / CONTROL).mkdir()
            return cls(settle(draft, iter([title])))
        except OSError as error:
            raise BadRun(f"{root}: the study's folder cannot be made ({error.strerror or error}).") from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    @classmethod
    def open(cls, path: Path | str) -> Study:
        """The study in this folder. Raises BadRun: there is none."""
        study = cls(path)
        if not is_study(study.path):
            raise BadRun(f"{study.path}: no study: expected a folder with {DESIGN}. `python -m core study new` makes one.")
        study.require_regular()
        return study

    def require_regular(self) -> None:
        """Raises BadRun where one of the study's own folders or files leads elsewhere: what is written would land there."""
        for name in (FAILURES, CONTROL, WORKERS):
            folder = self.path / name
            if folder.is_symlink() or is_junction(folder) or (folder.exists() and not folder.is_dir()):
                raise BadRun(f"{folder}: expected a folder of the study's own. Take it out; nothing was changed.")
        for name in (CONFIG, MANIFEST, DESIGN, PROCESS_LOG, PLAN, TRIALS, TRIALS_LOCK, TRIALS_JOURNAL, DESIGN_LOCK):
            if kind := irregular(self.path / name):
                raise BadRun(f"{self.path / name}: expected a file, got {kind}. Take it out; nothing was changed.")

    # ------------------------------------------------------------------ read

    def design(self) -> Design:
        """The question. Raises BadConfig: study.yaml is damaged."""
        path = self.path / DESIGN
        if kind := irregular(path):
            raise BadConfig(f"{path}: expected a file, got {kind}")
        values = read_yaml(path, plain_yaml())
        if not isinstance(values, Mapping):
            raise BadConfig(f"{path}: expected the fields of a study, got {type(values).__name__}. Restore it from a copy.")
        return Design.of(dict(values), str(path))

    def plan(self) -> dict[str, Any]:
        """What `core.studies.plan.Plan.as_dict` says of it; {} where it was not planned, or the file is damaged."""
        try:
            found = read_json(self.path / PLAN)
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def config(self) -> Config:
        """The configuration of the reference before its settings are applied. Raises BadConfig: config.yaml is damaged."""
        return load_config(self.path / CONFIG, warn=False)

    def manifest(self) -> pd.DataFrame:
        """The rows with their folds. Raises BadManifest: manifest.csv is damaged, or lacks a repeat's folds."""
        found = read_manifest(self.path / MANIFEST)
        if COLUMN.format(1) not in found.columns:
            raise BadManifest(
                f"{self.path / MANIFEST}: expected a column {COLUMN.format(1)} with the folds. Restore it from a copy."
            )
        return found

    def run_of(self, job: Job) -> Run | None:
        """The run of a job; None before it was made."""
        folder = self.path / job.name
        return Run(folder) if is_run(folder) else None

    @property
    def runs(self) -> dict[Job, Run | None]:
        """The run of each job, in the order in which they are trained."""
        return {job: self.run_of(job) for job in self.design().jobs}

    def trial_runs(self) -> list[Run]:
        """The runs of a search's trials that were made, by number."""
        return [Run(path) for path in sorted(self.path.glob(f"{TRIAL}[0-9]*")) if is_run(path)]

    # ------------------------------------------------------------------ train

    def create_run(self, job: Job, manifest: pd.DataFrame) -> Run:
        """Make the run of a job, in state "queued"; `manifest` is the study's own.

        Raises:
            BadRun: somebody else has just made it.
            LabError: as core.runs.Run.create.
        """
        config = job_config(self.config(), job).model_copy(update={"checkpoints": self.path})
        return Run.create(config, fold_rows(manifest, job.repeat, job.fold), name=job.name)

    def request_stop(self) -> None:
        """Ask whoever trains the study to stop, after the step at hand; what is trained so far is resumed later.

        Raises:
            BadRun: the folder cannot be written to.
        """
        self.require_regular()
        try:
            (self.path / CONTROL).mkdir(exist_ok=True)
            (self.path / CONTROL / "stop").touch()
        except OSError as error:
            raise BadRun(f"{self.name}: a request to stop cannot be written ({error.strerror or error}).") from error
        for run in (*self.runs.values(), *self.trial_runs()):
            if run is not None and (run.status().live or run.status().waiting):
                run.request("stop")

    @property
    def stopping(self) -> bool:
        """Whether a stop was requested and not yet withdrawn."""
        return (self.path / CONTROL / "stop").exists()

    def withdraw_stop(self) -> None:
        """Forget a request to stop."""
        (self.path / CONTROL / "stop").unlink(missing_ok=True)

    def failures(self) -> dict[str, str]:
        """Why runs could not be made, by name: they have no folder that could say so."""
        found = {}
        for path in sorted((self.path / FAILURES).glob("*.txt")):
            if not irregular(path):
                found[path.stem] = read_bytes(path).decode("utf-8", "replace").strip()
        return found

    def set_failure(self, job: Job, reason: str) -> None:
        """Write down why a run could not be made; "" forgets it."""
        path = self.path / FAILURES / f"{job.name}.txt"
        if reason:
            path.parent.mkdir(exist_ok=True)
            write_text(path, reason + "\n")
        else:
            path.unlink(missing_ok=True)

    def extend(
        self, *, repeats: int | None = None, train_folds: int | None = None, values: Mapping[str, list[Any]] | None = None
    ) -> None:
        """Make the study longer (see Design.extended); what is trained stays.

        Raises:
            BadConfig: it would not be longer, or a value is impossible.
            LabError: as `create`.
        """
        with FileLock(self.path / DESIGN_LOCK):
            design = self.design()
            try:
                longer = design.extended(repeats=repeats, train_folds=train_folds, values=values)
            except BadConfig as error:
                raise BadConfig(f"{self.name}: {error}") from error
            by_views = checked(longer, self.config())
            rows = with_folds(self.manifest(), longer, first=design.repeats)
            _require_trainable(rows, longer, by_views)
            write_manifest(rows, self.path / MANIFEST)  # first: whoever reads the design finds its folds
            write_text(self.path / DESIGN, _as_yaml(longer))

    def set_winner(self, winner: Winner) -> None:
        """Write down which trial of its search was the best: from now on it is trained over the folds."""
        with FileLock(self.path / DESIGN_LOCK):
            design = self.design()
            assert design.search is not None
            search = design.search.model_copy(update={"winner": winner})
            write_text(self.path / DESIGN, _as_yaml(design.model_copy(update={"search": search})))


def list_studies(root: Path | str) -> list[Study]:
    """All studies in a folder of runs, by name; [] when it does not exist."""
    try:
        names = sorted(entry.name for entry in os.scandir(root) if not entry.name.startswith("."))
    except OSError:
        return []
    return [Study(Path(root) / name) for name in names if is_study(Path(root) / name)]


def _as_yaml(design: Design) -> str:
    stream = StringIO()
    plain_yaml().dump(design.model_dump(mode="json"), stream)
    return stream.getvalue()


def _other_losses(design: Design) -> str:
    """The first searched setting with which the validation loss is another one; "" for none."""
    changing = ("training.loss", "training.imbalance", "training.advanced.focal_gamma")
    return "" if design.search is None else next((name for name in design.search.space if name in changing), "")


def checked(design: Design, config: Config) -> dict[int, Config]:
    """Of each number of views one configuration: the checks of rows ask for no more.

    Raises:
        BadConfig: a combination is impossible, or the same as another.
        MissingWeights: the pretrained weights of one cannot be had here.
    """
    known: dict[str, Cell] = {}
    by_views: dict[int, Config] = {}
    for cell in _to_check(design):
        chosen = configured(config, cell)
        by_views.setdefault(chosen.model.views, chosen)
        check_model(chosen.model)
        pick_device_config(chosen.training)
        same = known.setdefault(dump_config(_effective(chosen)), cell)
        if same is not cell and design.search is None:
            without = "" if chosen.preprocessing.clahe else " (without CLAHE there is no clip limit and no grid)"
            raise BadConfig(
                f"{same.label} and {cell.label} are the same settings{without}: give each value once, or train one setting "
                "at a time"
            )
    return by_views


def _effective(config: Config) -> Config:
    """The configuration without what has no effect in it."""
    if config.preprocessing.clahe:
        return config
    usual = {name: Recipe.model_fields[name].default for name in ("clip_limit", "tile_grid")}
    return config.model_copy(update={"preprocessing": config.preprocessing.model_copy(update=usual)})


def _require_trainable(rows: pd.DataFrame, design: Design, by_views: Mapping[int, Config]) -> None:
    """Raises BadManifest or Leakage: the rows of one of the trainings cannot be trained on."""
    for repeat, fold in itertools.product(range(design.repeats), range(design.train_folds or design.folds)):
        trained = fold_rows(rows, repeat, fold)
        for chosen in by_views.values():
            require_trainable(trained, allow_leakage=chosen.data.allow_leakage)
            require_breasts(trained, chosen)


def _to_check(design: Design) -> list[Cell]:
    """What has to be possible before anything is written: every combination, or with a search the reference, and each choice
    and each end of a range by itself."""
    if design.search is None:
        return list(design.cells)
    found = [design.cells[0]]
    for name, allowed in design.search.space.items():
        found += [Cell(0, {name: value}) for value in (allowed.ends if isinstance(allowed, Range) else allowed)]
    return found


def job_config(config: Config, job: Job) -> Config:
    """What a job is trained with. Raises: as `configured`."""
    found = configured(config, job.cell)
    training = found.training.model_copy(update={"seed": found.training.seed + job.repeat})
    return found.model_copy(update={"training": training})


def configured(config: Config, cell: Cell) -> Config:
    """The configuration of a cell. Raises BadConfig: a setting does not exist, or cannot have its value."""
    values: dict[str, Any] = config.model_dump(mode="json")
    for name, value in flat(cell.settings).items():
        *sections, last = name.split(".")
        node: Any = values
        for part in sections:
            node = node.get(part) if isinstance(node, dict) else None
        if not isinstance(node, dict) or last not in node:
            raise BadConfig(f"{name}: there is no such setting. `config.yaml` lists them all")
        node[last] = value
    return load_config(None, values, called="settings of the study")
