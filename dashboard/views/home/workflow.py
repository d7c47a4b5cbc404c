"""The workflow on Home: a step a page, in the order in which they are used, each with how far this lab has come."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import streamlit as st

from core.errors import LabError
from core.runs import Run
from core.runs.test_set.provenance import read_entries
from core.wording import counted, plain
from dashboard.state import datasets, preferences
from dashboard.ui import pages

STEPS = ("data", "preprocess", "train", "evaluate", "explain", "present")


class Mark(NamedTuple):
    """Whether a step is done, and its state in a few words."""

    done: bool
    words: str


def show(manifest: Path | None, runs: int, active: int, run: Run | None) -> None:
    """The steps as links with their marks; the first that is not done is the next one.

    `runs`: how many there are; `active`: how many of them are at work or wait; `run`: the current one with a model.
    """
    marks = {
        "data": _data(manifest),
        "preprocess": Mark(run is not None, f"as in {run.name}" if run is not None else "the usual steps"),
        "train": _train(runs, active, run),
        "evaluate": _evaluate(run),
        "explain": Mark(preferences.get("explain:image") is not None, "heatmaps" if run is not None else "needs a model"),
        "present": Mark(preferences.get("present:slide") is not None, "slides" if run is not None else "needs a model"),
    }
    following = next((name for name in STEPS if not marks[name].done), "")
    with st.container(key="narrow_steps"):
        columns = st.columns(len(STEPS), gap="small")
    for number, (column, name) in enumerate(zip(columns, STEPS, strict=True), 1):
        with column.container(border=True, height="stretch", gap=None, key=f"step_{name}"):
            st.page_link(pages.script(name), label=f"**{number} {pages.PAGES[name].title}**", help=pages.PAGES[name].about)
            mark = marks[name]
            sign = ":green[:material/check_circle:] done" if mark.done else "**next**" if name == following else "to do"
            st.caption(f"{sign}: {plain(mark.words)}")


def _data(path: Path | None) -> Mark:
    if path is None:
        return Mark(False, "no images yet")
    try:
        counts = datasets.counts_of(path)
    except LabError:
        return Mark(False, "not readable")
    if counts is None:
        return Mark(True, "being read …")
    return Mark(True, f"{counted(counts.images, 'image')}, {counts.patient_words}{counts.excluded_words}")


def _train(runs: int, active: int, run: Run | None) -> Mark:
    words = counted(runs, "run") if runs else "nothing trained yet"
    return Mark(run is not None, f"{words}, {active} at work" if active else words)


def _evaluate(run: Run | None) -> Mark:
    if run is None:
        return Mark(False, "needs a model")
    if not scored(run, "val"):
        return Mark(False, "validation not scored")
    return Mark(True, "validation and test" if scored(run, "test") else "validation; the test set comes last")


def scored(run: Run, split: str) -> bool:
    """Whether the run was evaluated on the split; also where the metrics can no longer be read."""
    try:
        return bool((read_entries(run.path).get(split) or {}).get("opened"))
    except LabError:
        return True
