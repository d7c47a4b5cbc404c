"""The run folder, the contract between trainer, dashboard and command line. Needs no torch."""

from core.runs.events import Event
from core.runs.forking import fork
from core.runs.run import Run, list_runs
from core.runs.status import Status
