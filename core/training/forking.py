"""A new run that starts where another one ended: its weights, its split, and whatever is changed on purpose."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from core.config import Config, dump_config
from core.errors import BadRun
from core.training.files import write_text
from core.training.run import CONFIG, START, Run


def fork(run: Run, config: Config | None = None, *, name: str | None = None) -> Run:
    """Make a run, in state "queued", that begins with the best weights of `run` and with `config` (None: the same).

    It keeps the rows and the split of `run`: with another split it would be tested on patients that its weights have
    learnt from. Architecture and timm options stay those of `run` too, because the weights are of them. It has the weights
    in its own folder: `run` may be trained on, renamed or deleted before the fork begins.

    Raises:
        BadRun: there is no model yet, or `config` names another architecture.
        LabError: as `Run.create`.
    """
    if not run.has_model:
        raise BadRun(f"{run.name}: it has no model yet to start from. Wait for its first epoch, or start a new run.")
    before = run.config()
    chosen = config or before
    if (chosen.model.name, chosen.model.options) != (before.model.name, before.model.options):
        raise BadRun(
            f"{run.name}: its weights are those of {before.model.name}; a fork cannot have {chosen.model.name}. "
            "Keep model.name and model.options, or start a new run."
        )
    weights = (run.path / "model.safetensors").as_posix()
    model = chosen.model.model_copy(update={"weights": weights})
    frame = run.manifest().drop(columns="content_hash", errors="ignore")
    child = Run.create(chosen.model_copy(update={"model": model}), frame, name=name)
    try:
        _link(Path(weights), child.path / START)
        own = chosen.model.model_copy(update={"weights": START})
        write_text(child.path / CONFIG, dump_config(child.config().model_copy(update={"model": own})))
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
