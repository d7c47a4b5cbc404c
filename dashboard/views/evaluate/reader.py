"""The model beside a reader, where the manifest has one: paired comparison, and the reader's points on the ROC plane."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from core.evaluate.reader import ReaderComparison, compare_reader
from core.metrics import Interval
from core.plots.reader import reader_figure
from core.wording import p_value, plain
from dashboard.access.paths import require_allowed
from dashboard.state import datasets
from dashboard.ui import components, html_tables, notices
from dashboard.views.evaluate.context import Context, once


def reader(context: Context) -> None:
    """A sentence, a chart of the model's ROC curve with the reader's points, and both tables; at the level above."""

    def make() -> ReaderComparison | str | None:
        confidence = context.summary.confidence
        return compare_reader(context.found.predictions, _manifest(context), context.level, confidence=confidence)

    found = once("reader", context, make)
    if found is None or isinstance(found, str):
        notices.info(found or "The manifest has no reader's assessment: a column birads, or reader with numbers.")
        return
    p = f"{'' if found.p < 0.001 else '= '}{p_value(found.p)}"
    st.markdown(
        f"**{found.verdict}**: model {found.model}, reader {found.reader}, model minus reader {found.difference:+.3f} (p {p}), "
        f"{found.paired_on} (column {plain(found.column)}). {found.caution[:1].upper()}{found.caution[1:]}."
    )
    _unread(found)
    left, right = html_tables.columns("reader", (380, 420))
    points = [
        (point.short, point.words, point.sensitivity.value, point.specificity.value)
        for point in found.points
        if isinstance(point.sensitivity, Interval) and isinstance(point.specificity, Interval)
    ]
    with left:
        alt, saved_as = "the model's ROC curve and the reader's points", context.file("reader")
        components.chart(reader_figure(found.curve, points), "evaluate:reader", alt=alt, saved_as=saved_as)
    with right:
        rows = [[point.words, f"{point.called:,}", point.sensitivity, point.specificity] for point in found.points]
        html_tables.table(["Called malignant by the reader", "Number called", "Sensitivity", "Specificity"], rows, stacked=True)
    order = (
        " BI-RADS 0 (incomplete: more images are wanted, a recall) stands between 3 and 4, 4 without a letter with 4A; 6 (the "
        "cancer was known) is no assessment."
        if found.categories
        else ""
    )
    st.caption(f"The curve is of what is compared. Of several images the most suspicious rating counts.{order}")


def _manifest(context: Context) -> pd.DataFrame:
    """Of the images: the run's, or that of the external test set. Raises LabError: it is gone."""
    about = context.found.external
    return context.run.manifest() if about is None else datasets.manifest_frame(require_allowed(about.manifest))


def _unread(found: ReaderComparison) -> None:
    """What stands in the reader's column and is no rating."""
    if not found.unread:
        return
    images = sum(each.images for each in found.unread)
    with st.expander(f"Values that were not taken for a rating: {len(found.unread)}, of {images:,} images"):
        html_tables.table(
            ["Value", "Images", "Reason"], [[each.value[:60], f"{each.images:,}", each.reason] for each in found.unread[:50]]
        )
