"""Every test runs alone: own home, own cache, no network, one thread, fixed seeds."""

from __future__ import annotations

import gc
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
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """`slow_but` and `slow_for` are made `slow` where they apply. The tests that wait for a browser come first: at the end,
    one worker would wait for them alone."""
    unknown: dict[str, set[str]] = {}
    for item in items:
        for mark in (*item.iter_markers("slow_but"), *item.iter_markers("slow_for")):
            assert isinstance(item, pytest.Function)
            case = item.callspec.id
            unknown.setdefault(f"{item.location[0]}: {item.originalname} {mark.name}", set(mark.args)).discard(case)
            if (case in mark.args) is (mark.name == "slow_for"):
                item.add_marker(pytest.mark.slow)
    wrong = [f"{where} names no case {sorted(cases)}" for where, cases in unknown.items() if cases]
    if wrong and not any("::" in argument for argument in config.args):
        raise pytest.UsageError("\n".join(wrong))
    items.sort(key=lambda item: "e2e" not in item.path.parts)


def pytest_collection_finish() -> None:
    """What was imported stays: Python need not look through half a million objects for garbage again and again."""
    gc.collect()
    gc.freeze()


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
