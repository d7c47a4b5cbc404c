"""Every test runs alone: own home, own cache, no network, one thread, fixed seeds."""

from __future__ import annotations

import os

# Before torch or huggingface_hub is imported anywhere: two workers with two threads each are slower than with one.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

# A busy machine is no fault of the code; pytest's own timeout ends what never ends.
settings.register_profile("lab", deadline=None, max_examples=40)
settings.load_profile("lab")


@pytest.hookimpl(tryfirst=True)  # before pytest leaves out what is slow
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`slow_but` is made `slow` where it applies. The tests that wait for a browser come first: at the end, one worker
    would wait for them alone."""
    for item in items:
        for mark in item.iter_markers("slow_but"):
            if isinstance(item, pytest.Function) and item.callspec.id not in mark.args:
                item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: "e2e" not in item.path.parts)


@pytest.fixture(autouse=True)
def _isolated(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("MAMMOLAB_HOME", str(home))
    monkeypatch.setenv("MAMMOLAB_CACHE", str(home / "cache"))
    monkeypatch.setattr(os, "fsync", lambda file: None)  # what power cuts leave, no test can see; disks take most of the time
    np.random.seed(0)  # noqa: NPY002  libraries that still use the global generator


@pytest.fixture
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, as a user who has just made one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
