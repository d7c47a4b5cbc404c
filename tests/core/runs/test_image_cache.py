"""Clearing the prepared images: everything of ours goes, nothing else, and never under a training's feet."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from core.data.cache import clear_all, size_of
from core.errors import BadRun, LabError
from core.files.paths import cache_root
from core.runs import Run
from core.runs.device_queue import Ticket
from core.runs.image_cache import clear, users
from core.runs.status import PROCESS
from core.training.launchers import run_to_end

MakeRun = Callable[..., Run]


@pytest.mark.slow
def test_all_recipes_are_cleared_and_a_later_training_prepares_its_images_again(make_run: MakeRun) -> None:
    runs = [make_run("one", training__epochs=1), make_run("two", training__epochs=1, preprocessing__gamma=0.9)]
    for run in runs:
        run_to_end(run)
    filled = size_of(cache_root())
    assert sum(path.is_dir() for path in cache_root().iterdir()) == 2 and filled > 0  # beside them, the pictures' fingerprints
    assert clear(runs[0].path.parent) == 2 * 2 * 28  # two files for each training and validation image of each recipe
    assert size_of(cache_root()) == 0 and list(cache_root().iterdir()) == []
    assert clear(runs[0].path.parent) == 0
    run_to_end(make_run("three", training__epochs=1))
    assert size_of(cache_root()) == pytest.approx(filled / 2, rel=0.05)


def test_only_what_the_cache_has_written_is_deleted(tmp_path: Path) -> None:
    recipe, key = "0123456789ab", "0123456789" * 4
    ours = [f"{recipe}/01/{key}.npy", f"{recipe}/01/{key}.json", f"{recipe}/01/.{key}.npy.17-99.tmp"]
    others = ["thesis.docx", "photos/01/a.npy", f"{recipe}/01/notes.json", f"{recipe}/readme.txt", f"{key}.npy"]
    for name in ours + others:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    assert clear_all(tmp_path) == len(ours)
    left = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert left == sorted(others)
    assert clear_all(tmp_path / "nowhere") == 0


def test_files_that_cannot_be_deleted_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "0123456789ab" / "01"
    folder.mkdir(parents=True)
    (folder / ("0" * 40 + ".npy")).touch()

    def refuse(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(LabError, match=r"cannot be deleted \(Permission denied\)"):
        clear_all(tmp_path)


def test_while_a_training_uses_them_nothing_is_cleared(make_run: MakeRun) -> None:
    run = make_run("mine")
    checkpoints = run.path.parent
    assert users(checkpoints) == []
    with Ticket("cpu", "of another folder"), Ticket("cpu", "waits behind it"):
        assert users(checkpoints) == ["of another folder"]
        with pytest.raises(BadRun, match="of another folder: it trains on the prepared images"):
            clear(checkpoints)
    run.set_status(state="paused", pid=os.getpid(), process=PROCESS, host=platform.node(), heartbeat=time.time())
    assert users(checkpoints) == ["mine"]
    run.set_status(host="another computer")  # it has its own cache
    assert users(checkpoints) == []
