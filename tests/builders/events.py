"""Events of a training that did not take place."""

from __future__ import annotations

from core.runs import Run
from core.runs.event_log import EventLog
from core.runs.events import Event


def append_event(run: Run, event: Event) -> Event:
    """Add one event to the run, as a training would; returns what was written."""
    with EventLog(run.path / "events.jsonl") as log:
        return log.append(event)
