"""A run as one HTML file that opens anywhere, offline, and says what a reviewer asks."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from core.data.files import write_text
from core.report.content import gather
from core.report.page import render

if TYPE_CHECKING:
    from core.predict import Predictor
    from core.training import Run

log = logging.getLogger(__name__)

__all__ = ["report"]


def report(run: Run, *, predictor: Predictor | None = None) -> Path:
    """Write the run's report.html and return its path.

    The file holds everything it shows (figures, images, script); nothing is loaded from anywhere. The same run gives
    the same bytes. It reads what `evaluate` has written and opens no split itself: a split that has not been
    evaluated is said to be missing.

    Args:
        predictor: the run's loaded model, where the caller has it; else it is loaded, for the heatmaps.

    Raises:
        BadRun: the run has no model yet, or its files are damaged.
        OSError: the file cannot be written.
    """
    path = run.path / "report.html"
    write_text(path, render(gather(run, predictor)))
    log.info("report written: %s", path)
    return path
