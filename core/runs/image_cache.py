"""The cache of prepared images: which trainings use it, and clearing it while none does."""

from __future__ import annotations

import platform
from pathlib import Path

from core.data.cache import clear_all
from core.data.copies.store import delete_fingerprints
from core.data.file_inspection import delete_inspections
from core.errors import BadRun
from core.files.paths import cache_root
from core.runs.device_queue import at_work
from core.runs.run import list_runs
from core.wording import first_few


def users(checkpoints: Path) -> list[str]:
    """Names of the trainings on this machine that read prepared images now: of any runs folder whose training took its turn,
    and the paused or running ones of `checkpoints`.
    """
    statuses = [(run.name, run.status()) for run in list_runs(checkpoints)]
    ours = [name for name, status in statuses if status.live and status.host == platform.node()]
    return list(dict.fromkeys([*ours, *at_work()]))


def clear(checkpoints: Path) -> int:
    """Delete the prepared images of every recipe; returns how many files. They are prepared again when they are needed.

    Raises:
        BadRun: a training uses them.
        LabError: some files could not be deleted.
    """
    names = users(checkpoints)
    if names:
        raise BadRun(f"{first_few(names, 1)}: it trains on the prepared images. Stop it first, or wait until it has ended.")
    delete_inspections()
    delete_fingerprints()
    return clear_all(cache_root())
