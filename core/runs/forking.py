"""Forks: new runs that start from the weights and the split of another run."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from core.config import Config, dump_config, load_config
from core.data import write_manifest
from core.errors import BadRun, LabError
from core.files.folders import write_text
from core.metrics import rule_of
from core.metrics.operating_points import settings_of
from core.runs.frozen_rule import with_frozen_rule
from core.runs.run import CONFIG, PATCHES_BEFORE, START, Run
from core.runs.split_origin import inherit_split_origin
from core.runs.test_set.access_log import inherit
from core.runs.test_set.provenance import LONGEST, MOST, Parent, evaluation_count, write_parent


def _require_one_network(run: Run) -> None:
    """Raises BadRun for an ensemble."""
    if run.has_model and (members := run.model_card().members):
        raise BadRun(
            f"{run.name}: it is the mean of {len(members)} runs, and has no training of its own to fork. Fork one of these."
        )


def starting_point(run: Run, overrides: Iterable[str] = ()) -> Config:
    """The settings of a fork of `run` that trains on as `run` did, with `overrides` ("training.epochs=5") on top.

    A run from scratch trained all of its network at one rate. Its fork has weights to start from, and would be taken for a
    pretrained network: head first, half of the stages never, another rate. So these are set to what the run had. Its
    thresholds are chosen by the rule that is frozen with the run's model. It stands beside `run`, wherever that was moved to,
    unless the overrides name a folder.

    Raises:
        BadRun: it is an ensemble.
        BadConfig: a setting does not exist, or cannot have its value.
    """
    _require_one_network(run)
    path = run.path / CONFIG
    before = load_config(path, warn=False)
    as_before = ["lesions.patch_epochs=0"]  # the weights have been through them
    if before.model.weights == "none":
        rate = before.training.learning_rate
        as_before += [
            "freeze_epochs=0",
            "advanced.gradual_unfreezing_epochs=0",
            "frozen_backbone_fraction=0",
            f"fine_tune_learning_rate={rate}",
        ]
    overrides = list(overrides)
    kept = with_frozen_rule(before, run).evaluation
    rule = [f"evaluation.{name}={getattr(kept, name)}" for name in settings_of(rule_of(kept))]
    config = load_config(path, [*(f"training.{setting}" for setting in as_before), *rule, *overrides])
    if any(override.partition("=")[0].strip() == "checkpoints" for override in overrides):
        return config
    return config.model_copy(update={"checkpoints": run.path.parent})


def fork(run: Run, config: Config | None = None, *, name: str | None = None) -> Run:
    """Make a run, in state "queued", that begins with the best weights of `run` and with `config` (None: `starting_point`).

    It keeps the rows and the split of `run`: with another split it would be tested on patients that its weights have
    learnt from. Architecture and timm options stay those of `run` too, because the weights are of them. It has the weights
    in its own folder: `run` may be trained on, renamed or deleted before the fork begins. Its parent.json records whose they
    are, and how often the test set had been evaluated; its record of accesses begins with those of `run`, and
    patches_before.csv has what the patch phases before it trained on.

    Raises:
        BadRun: there is no model yet, it is an ensemble, or `config` names another architecture.
        LabError: as `Run.create`.
    """
    run.require_regular()
    if not run.has_model:
        raise BadRun(f"{run.name}: it has no model yet to start from. Wait for its first epoch, or start a new run.")
    _require_one_network(run)
    before = run.config()
    chosen = config or starting_point(run)
    if (chosen.model.name, chosen.model.options) != (before.model.name, before.model.options):
        raise BadRun(
            f"{run.name}: its weights are those of {before.model.name}; a fork cannot have {chosen.model.name}. "
            "Keep model.name and model.options, or start a new run."
        )
    card = run.model_card()
    parent = Parent(
        run=run.name,
        epoch=card.best_epoch if card.best_epoch is not None and 0 <= card.best_epoch <= MOST else 0,
        weights_sha256=card.weights_sha256[:LONGEST],
        evaluations=evaluation_count(run.path),
    )
    weights = (run.path / "model.safetensors").as_posix()
    model = chosen.model.model_copy(update={"weights": weights})
    seen = run.patches_seen()
    frame = run.manifest().drop(columns="content_hash", errors="ignore")
    child = Run.create(chosen.model_copy(update={"model": model}), frame, name=name)
    try:
        _link(Path(weights), child.path / START)
        own = chosen.model.model_copy(update={"weights": START})
        write_parent(child.path, parent)
        inherit_split_origin(child.path, run.path)
        inherit(child.path, run.path)
        if seen is not None:
            write_manifest(seen, child.path / PATCHES_BEFORE)
        write_text(child.path / CONFIG, dump_config(child.config().model_copy(update={"model": own}), skip=("dashboard",)))
    except LabError:  # a fork that forgets what its test set was used for must not be
        child.delete()
        raise
    except OSError as error:
        child.delete()
        raise BadRun(f"{run.name}: its weights cannot be copied ({error.strerror or error}). Free some space.") from error
    child.set_note(f"Forked from {run.name}.")
    return child


def _link(source: Path, target: Path) -> None:
    """The same file under a second name, which costs nothing: a model file is replaced, never changed. Else a copy."""
    with contextlib.suppress(OSError):  # another disk, or one without links
        os.link(source, target)
        return
    shutil.copyfile(source, target)
