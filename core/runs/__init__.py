"""The run folder, the contract between trainer, dashboard and command line. Needs no torch."""

from __future__ import annotations

from core.runs.events import Event
from core.runs.forking import fork
from core.runs.run import Run, list_runs
from core.runs.status import Status

__all__ = ["Event", "Run", "Status", "fork", "list_runs"]
