"""The parts of the Evaluate page, in five groups, and which of them is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import streamlit as st

from dashboard.state import preferences, widgets
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
    "Subgroups & shortcuts": {
        "Subgroups": subgroups.subgroups,
        "Shortcuts": shortcuts.shortcuts,
        "Patients": patients.patients,
    },
    "Cases": {"Mistakes": cases.cases, "All images": tables.images},
    "Compare": {
        "Compare runs": comparison.comparing,
        "Internal and external": external.sources,
        "Reader": reader.reader,
    },
}
# They show metrics as they were stored, at the threshold in use: the slider moves nothing there, and is not shown.
WITHOUT_SLIDER = {
    calibration.calibrating,
    tables.metrics,
    subgroups.subgroups,
    shortcuts.shortcuts,
    patients.patients,
    comparison.comparing,
    external.sources,
    reader.reader,
}
# What parts and groups were called before: addresses and stored choices still lead there.
_EARLIER = {
    "fairness & shortcuts": "subgroups",
    "fairness": "subgroups",
    "shortcut audit": "shortcuts",
    "figures": "all numbers",
    "errors": "mistakes",
    "comparison": "compare runs",
}
_GROUP, _PART = "evaluate:group", "evaluate:part:"
_FOLLOWED = "evaluate:part_of_address"


def choose() -> Part:
    """The widgets that choose a group and a part of it; gives what draws the part. Each group keeps its own."""
    follow_address()
    group = widgets.segmented("What to look at", list(GROUPS), _GROUP, hide_label=True)
    parts = GROUPS[group]
    return parts[widgets.segmented(f"Part of {group}", list(parts), _PART + group, hide_label=True)]


def follow_address() -> None:
    """Open the part that the page's address names (?part=Calibration), once: then the buttons decide."""
    named = str(st.query_params.get("part") or st.query_params.get("tab") or "")
    if named and st.session_state.get(_FOLLOWED) != named:
        st.session_state[_FOLLOWED] = named
        found = place_of(named)
    else:  # a choice that was stored under an earlier name
        stored = str(preferences.get(_GROUP, ""))
        found = place_of(stored) if stored and stored not in GROUPS else None
    if found is not None:
        group, part = found
        preferences.set(_GROUP, group)
        if part:
            preferences.set(_PART + group, part)


def place_of(name: str) -> tuple[str, str] | None:
    """(group, part) of a part's or group's name, written in any case, also an earlier one; part "" for a group alone."""
    words = name.strip().casefold().replace("-", " ").replace("_", " ")
    for group in GROUPS:
        if words == group.casefold():
            return group, ""
    words = _EARLIER.get(words, words)
    for group, parts in GROUPS.items():
        for part in parts:
            if words == part.casefold():
                return group, part
    return None
