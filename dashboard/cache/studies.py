"""Results of studies, computed again when another of their runs is finished."""

from __future__ import annotations

import streamlit as st

from core.studies import SearchResults, Study, StudyResults, results_of, search_of
from core.studies.study import TRIALS


def results(study: Study) -> StudyResults:
    """What the study's finished runs say. Raises LabError: its files, or a run's predictions, are damaged."""
    runs = [(job.name, run.status()) for job, run in study.runs.items() if run is not None]
    stamp = tuple((name, status.state, status.finished) for name, status in runs)
    return _results(str(study.path), (study.path / "study.yaml").stat().st_mtime_ns, stamp)


@st.cache_data(max_entries=32, show_spinner=False)
def _results(path: str, design: int, stamp: tuple[tuple[str, str, float | None], ...]) -> StudyResults:
    return results_of(Study(path))


def search(study: Study, *, importance: bool = True) -> SearchResults | None:
    """What the study's search has found; None for a study without one.

    Args:
        importance: also how much each setting matters, which takes longer.

    Raises:
        LabError: its files are damaged, or the database of its trials cannot be used.
    """
    design = study.design()
    if design.search is None:
        return None
    database = study.path / TRIALS
    stamp = database.stat().st_mtime_ns if not design.search.storage and database.is_file() else 0
    if design.search.storage:  # nobody says when a server's trials change
        return search_of(study, importance=importance)
    return _search(str(study.path), (study.path / "study.yaml").stat().st_mtime_ns, stamp, importance)


@st.cache_data(max_entries=32, show_spinner=False)
def _search(path: str, design: int, trials: int, importance: bool) -> SearchResults | None:
    return search_of(Study(path), importance=importance)
