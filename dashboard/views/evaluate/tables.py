"""Metrics as a table, every image as a list, and the report."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from core.errors import BadRun
from core.files.untrusted import read_bytes
from core.metrics import ViewThresholds
from core.runs import Run
from core.runs.test_set.accesses import LABELS
from core.wording import counted, times
from dashboard.cache import results
from dashboard.ui import background, components, html_tables, notices, pages, test_set_access
from dashboard.views.evaluate.cases import judged
from dashboard.views.evaluate.context import Context

LARGEST = 1 << 28  # bytes of a download


def metrics(context: Context) -> None:
    """The table of all metrics at the threshold in use."""
    summary = context.summary
    rows = summary.table_rows(patients_known=context.patients_known)
    html_tables.table(["Metric", "Value", f"{summary.confidence:.0%} interval", "Note"], rows)
    made = f"the threshold in use, {summary.threshold:.3f}"
    if context.by_view:
        made = f"the thresholds in use, by view: {context.thresholds.words}"
    if not context.up_to_date:
        stored = context.found.thresholds if context.level == "image" else ViewThresholds(summary.threshold)
        made = f"the earlier threshold {stored.stated()} (in use now: {context.thresholds.stated()})"
    st.caption(
        f"At {made}, wherever the slider stands, by {context.units}. "
        + (
            f"Patients, never images, are resampled {times(summary.samples)}: {counted(summary.patients, 'patient')}, "
            f"{summary.malignant_patients:,} with a malignant and {summary.benign_patients:,} with a benign {summary.level}."
            if context.patients_known
            else f"Images are resampled {summary.samples:,} times: whose they are is not known, intervals may be narrow."
        )
    )


def images(context: Context) -> None:
    """Every scored image; click a heading to sort, a row to explain it."""
    found, threshold = context.found, context.threshold
    table = judged(context)
    test_set_access.record_run(LABELS, "Evaluate", context.run, table["path"])
    called = table["unit_decided"] >= threshold
    malignant = table["unit_label"] == "malignant"
    shown = table.assign(
        image=[Path(path).name for path in table["path"]],
        decision=called.map({True: "malignant", False: "benign"}),
        outcome=[_outcome(*pair) for pair in zip(malignant, called, strict=True)],
    )[["image", "patient_id", "laterality", "view", "label", "score", "unit_score", "decision", "outcome"]]
    if context.level == "image":
        shown = shown.drop(columns="unit_score")
    state = st.dataframe(
        shown,
        hide_index=True,
        key=f"evaluate:table:{found.run}:{found.split}:{context.level}",
        on_select="rerun",
        selection_mode="single-row",
        height=420,
        column_config={
            "image": st.column_config.TextColumn("Image", width="medium"),
            "patient_id": "Patient",
            "laterality": "Side",
            "view": "View",
            "label": "Truth",
            "score": st.column_config.NumberColumn("Score", format="%.3f"),
            "unit_score": st.column_config.NumberColumn(f"Score of the {context.level}", format="%.3f"),
            "decision": "Decision",
            "outcome": "Outcome",
        },
    )
    rows = state["selection"]["rows"]
    if st.button(
        "Explain the selected image" if rows else "Select a row to explain its image",
        icon=":material/blur_on:",
        disabled=not rows,
        key="evaluate:explain",
    ):
        pages.choose_explained(str(table["path"].iloc[rows[0]]), found.split)
        pages.go_to("explain")


def _outcome(malignant: bool, called: bool) -> str:
    if malignant:
        return "found" if called else "missed cancer"
    return "false alarm" if called else "cleared"


def content_of(path: Path) -> bytes:
    """A file of a run, to be downloaded. Raises BadRun."""
    try:
        return read_bytes(path, LARGEST)
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or error
        raise BadRun(f"{path}: cannot be read ({words}). Reload the page: the run may have been deleted or renamed.") from error


@notices.errors_shown()
def report(run: Run) -> None:
    """Make the report in the background, then offer it."""
    if background.running(results.report_name(run)):
        return
    path = run.path / "report.html"
    with st.container(horizontal=True):
        if path.is_file():
            components.download("Download report", content_of(path), f"{run.name}-report.html", "text/html", "evaluate:report")
        if st.button(
            "Make it again" if path.is_file() else "Make the report", icon=":material/description:", key="evaluate:make"
        ):
            results.start_report(run)
            st.rerun()
