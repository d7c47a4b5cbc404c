"""Results of studies, computed again when another of their runs is finished."""

from __future__ import annotations

import streamlit as st

from core.studies import Study, StudyResults, results_of


def results(study: Study) -> StudyResults:
    """What the study's finished runs say. Raises LabError: its files, or a run's predictions, are damaged."""
    runs = [(job.name, run.status()) for job, run in study.runs.items() if run is not None]
    stamp = tuple((name, status.state, status.finished) for name, status in runs)
    return _results(str(study.path), (study.path / "study.yaml").stat().st_mtime_ns, stamp)


@st.cache_data(max_entries=32, show_spinner=False)
def _results(path: str, design: int, stamp: tuple[tuple[str, str, float | None], ...]) -> StudyResults:
    return results_of(Study(path))
