"""The parts of the Evaluate page, in five groups, and which of them is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dashboard.state import widgets
from dashboard.views.evaluate import (
    calibration,
    cases,
    charts,
    comparison,
    external,
    patients,
    reader,
    screening,
    shortcuts,
    subgroups,
    tables,
    thresholds,
)
from dashboard.views.evaluate.context import Context

Part = Callable[[Context], None]
GROUPS: Mapping[str, Mapping[str, Part]] = {
    "Overview": {"Curves": charts.charts, "Calibration": calibration.calibrating, "All numbers": tables.metrics},
    "Threshold": {"Choose a threshold": thresholds.choosing, "Screening": screening.screening},
    "Fairness & shortcuts": {"Subgroups": subgroups.subgroups, "Shortcuts": shortcuts.shortcuts, "Patients": patients.patients},
    "Cases": {"Mistakes": cases.cases, "All images": tables.images},
    "Compare": {
        "Compare runs": comparison.comparing,
        "Internal and external": external.sources,
        "Reader": reader.reader,
    },
}
_GROUP, _PART = "evaluate:group", "evaluate:part:"


def choose() -> Part:
    """The widgets that choose a group and a part of it; gives what draws the part. Each group keeps its own."""
    group = widgets.segmented("What to look at", list(GROUPS), _GROUP, hide_label=True)
    parts = GROUPS[group]
    if len(parts) == 1:
        return next(iter(parts.values()))
    return parts[widgets.segmented(f"Part of {group}", list(parts), _PART + group, hide_label=True)]
