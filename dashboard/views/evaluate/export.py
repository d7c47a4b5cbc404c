"""What can be taken along from Evaluate: the predictions as a table, and all charts in one file."""

from __future__ import annotations

from contextlib import suppress

import plotly.graph_objects as go
import streamlit as st

from core.errors import NotEnoughData
from core.evaluate import CalibrationReport, Evaluation
from core.runs import Run
from core.runs.test_set.external import is_external, short_name
from dashboard.ui import chart_export, components, notices
from dashboard.views.evaluate import calibration, charts, screening, shortcuts, subgroups, tables
from dashboard.views.evaluate.context import Context

_READY, _AT_ONCE = "evaluate:charts_ready", "evaluate:charts_at_once"


def export(run: Run, found: Evaluation, context: Context | None) -> None:
    """A button with the CSV of predictions, and a .zip of all charts; `context` None: no metrics at this level, no charts."""
    with st.popover("Export", icon=":material/download:", key="evaluate:export"), notices.errors_shown():
        predictions(run, found.split, found.images)
        if context is not None:
            st.fragment(_charts)(context)


def predictions(run: Run, split: str, images: int) -> None:
    """The scores of a split, as they stand in the run's folder."""
    name = short_name(split) if is_external(split) else split
    components.download(
        "Predictions (CSV)",
        lambda: tables.content_of(run.path / "predictions" / f"{split}.csv"),
        f"{components.file_name(f'{run.name} {name}')}.csv",
        "text/csv",
        "evaluate:csv",
        help=f"The scores of {images:,} images, one row per image: path, patient, side, view, label, split, score, and "
        "what else is known of it.",
    )


@notices.errors_shown()
def _charts(context: Context) -> None:
    """Charts are made when they are asked for: the page should not wait for those that nobody looks at."""
    if st.session_state.get(_READY) != context.key:
        st.button(
            "All charts (.zip)", icon=":material/folder_zip:", key="evaluate:charts", on_click=_wanted, args=(context.key,)
        )
        return
    at_once = bool(st.session_state.pop(_AT_ONCE, False))
    chart_export.charts_zip(figures(context), context.file, context.file("charts"), key="evaluate:charts_zip", at_once=at_once)
    st.caption("At the threshold in use, wherever the slider stands. They are drawn by this browser, in the theme of the page.")


def _wanted(key: str) -> None:
    st.session_state[_READY] = key
    st.session_state[_AT_ONCE] = True


def figures(context: Context) -> dict[str, go.Figure]:
    """Every chart about this split by itself, by name; those without enough data are left out."""
    found = {name.replace("_", " "): each.chart for name, each in charts.following(context).items() if each.chart.data}
    report = context.found.calibration_at(context.level)
    if isinstance(report, CalibrationReport):
        method = report.frozen.method if report.frozen.method in calibration.METHODS else ""
        names = ("reliability", "reliability calibrated")
        found |= dict(zip(names, calibration.figures(context, report, method), strict=False))
    with suppress(NotEnoughData):
        found["predictive values"] = screening.made(context, context.frozen)[1]
    if context.found.subgroups:
        found |= {f"subgroups {metric}": subgroups.forest(context, metric) for metric in subgroups.SHOWN}
    if not isinstance(context.found.shortcuts, str):
        found["shortcuts"] = shortcuts.bars(context.found.shortcuts)
    return found
