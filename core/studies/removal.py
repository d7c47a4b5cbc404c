"""Deleting a study: its own files and runs, and nothing that MammoLab did not make."""

from __future__ import annotations

import re

from core.errors import BadRun
from core.files.atomic import LEFTOVER
from core.runs.folder import is_junction
from core.runs.removal import foreign, require_removable
from core.runs.run import Run
from core.studies.report import FILE as REPORT
from core.studies.study import (
    CONFIG,
    CONTROL,
    DESIGN,
    DESIGN_LOCK,
    FAILURES,
    MANIFEST,
    PLAN,
    PROCESS_LOG,
    TRIALS,
    TRIALS_JOURNAL,
    TRIALS_LOCK,
    WORKERS,
    Study,
)
from core.studies.worker import active_workers
from core.wording import first_few

_FILES = {CONFIG, DESIGN, MANIFEST, PLAN, PROCESS_LOG, REPORT, DESIGN_LOCK, TRIALS, TRIALS_LOCK, TRIALS_JOURNAL}
# What lies in its folders: a request, reasons by a run's name, a file a process.
_FOLDERS = {
    CONTROL: re.compile("stop"),
    FAILURES: re.compile(r"(\d+-.+-r\d+f\d+|trial-\d+)\.txt"),
    WORKERS: re.compile(r".+-\d+"),
}
_NAMED = 10  # foreign entries that a message names


def require_deletable(study: Study) -> list[Run]:
    """The runs that would be deleted with the study.

    Raises:
        BadRun: a process works on it, or its folder, or that of a run, holds something that MammoLab did not make.
    """
    study.require_regular()
    if study.path.is_symlink() or is_junction(study.path):
        raise BadRun(f"{study.path}: it is a link to another folder. Remove the link by hand.")
    if active_workers(study):
        raise BadRun(f"{study.name}: it is being trained. Stop it first: python -m core study stop {study.name}")
    known = {run.name: run for run in (*study.runs.values(), *study.trial_runs()) if run is not None}
    strange = []
    for entry in sorted(study.path.iterdir()):
        if entry.name in known:
            if known[entry.name].status().live:
                raise BadRun(f"{study.name}: its run {entry.name} is being trained. Stop it first.")
            require_removable(entry, "deleted")
            strange += [f"{entry.name}/{each}" for each in foreign(entry)]
        elif entry.name in _FOLDERS:
            own = _FOLDERS[entry.name]
            strange += [
                f"{entry.name}/{each.name}" for each in entry.iterdir() if each.is_dir() or not own.fullmatch(each.name)
            ]
        elif not (entry.is_file() and (entry.name in _FILES or LEFTOVER.fullmatch(entry.name))):
            strange.append(entry.name)
    if strange:
        raise BadRun(
            f"{study.path}: it is not deleted: its folder holds what MammoLab did not make: {first_few(strange, _NAMED)}. "
            "Nothing was changed. Move that elsewhere first."
        )
    return list(known.values())


def delete_study(study: Study) -> None:
    """Delete the study with all its runs.

    Raises:
        BadRun: as `require_deletable`; or the system refuses, and the message says where the rest is.
    """
    runs = require_deletable(study)
    for run in runs:
        run.delete()
    try:
        for folder in _FOLDERS:
            for path in (study.path / folder).glob("*"):
                path.unlink()
            if (study.path / folder).is_dir():
                (study.path / folder).rmdir()
        # study.yaml last: until then the folder is a study, which can be deleted again.
        for path in sorted(study.path.iterdir(), key=lambda each: each.name == DESIGN):
            path.unlink()
        study.path.rmdir()
    except OSError as error:
        raise BadRun(
            f"{study.name}: not all of it could be deleted ({error.strerror or error}). The rest is in {study.path}: close "
            "what has it open, and delete it again."
        ) from error
