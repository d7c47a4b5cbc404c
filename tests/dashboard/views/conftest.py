"""Runs that were scored, for the tests of the pages about a run."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders.tiny_run import config_yaml, write_split_images

from core.evaluate import evaluate
from core.runs import Run
from dashboard.state import preferences


@pytest.fixture
def scored(run: Run) -> Run:
    """Scored on validation."""
    evaluate(run, "val")
    return run


@pytest.fixture
def opened(scored: Run) -> Run:
    """With the test set scored, too, and shown on Evaluate."""
    evaluate(scored, "test")
    preferences.set("evaluate:split", "test")
    return scored


@pytest.fixture
def data(workspace: Path) -> Path:
    """The manifest of a small data set with splits, and a config.yaml of a short training on it."""
    config_yaml(workspace)
    return write_split_images(workspace / "data" / "tiny")
