"""Runs that were scored, for the tests of the pages about a run."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders.copied import copied
from builders.tiny_run import config_yaml, write_split_images

from core.evaluate import evaluate
from core.runs import Run
from dashboard.state import preferences


def _evaluated(before: Path, folder: Path, split: str, cache: Path) -> Path:
    """A copy of a workspace with a run, which is evaluated on one more split."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAMMOLAB_HOME", str(folder / "home"))
        patch.setenv("MAMMOLAB_CACHE", str(cache))
        for name in ("data", "checkpoints"):
            copied(before / name, folder / name)
        evaluate(Run.open(folder / "checkpoints" / "tiny"), split)
    return folder


@pytest.fixture(scope="session")
def _scored(_trained: Path, _prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _evaluated(_trained, tmp_path_factory.mktemp("scored"), "val", _prepared)


@pytest.fixture(scope="session")
def _opened(_scored: Path, _prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _evaluated(_scored, tmp_path_factory.mktemp("opened"), "test", _prepared)


@pytest.fixture
def scored(run: Run, _scored: Path) -> Run:
    """Scored on validation."""
    copied(_scored / "checkpoints", run.path.parent)
    return run


@pytest.fixture
def opened(scored: Run, _opened: Path) -> Run:
    """With the test set scored, too, and shown on Evaluate."""
    copied(_opened / "checkpoints", scored.path.parent)
    preferences.set("evaluate:split", "test")
    return scored


@pytest.fixture
def data(workspace: Path) -> Path:
    """The manifest of a small data set with splits, and a config.yaml of a short training on it."""
    config_yaml(workspace)
    return write_split_images(workspace / "data" / "tiny")
