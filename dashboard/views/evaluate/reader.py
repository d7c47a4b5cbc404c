"""The model beside a reader, where the manifest has one: paired comparison, and the reader's points on the ROC plane."""

from __future__ import annotations

import streamlit as st

from core.wording import plain
from dashboard.ui import components, html_tables
from dashboard.views.evaluate.context import Scene, once


def reader(scene: Scene) -> None:
    """A sentence, a chart of the model's ROC curve with the reader's points, and both tables; at the level above."""
    from core.evaluate.reader import compare_reader
    from core.metrics import Interval

    found = once(
        "reader",
        scene,
        lambda: compare_reader(scene.found.predictions, scene.run.manifest(), scene.level, scene.summary.confidence),  # type: ignore[arg-type]
    )
    if found is None or isinstance(found, str):
        st.info(
            found or "The manifest has no reader's assessment: a column birads, or reader with numbers.", icon=":material/info:"
        )
        return
    apart = found.difference.low > 0 or found.difference.high < 0
    better = "model" if found.difference.value > 0 else "reader"
    words = f"**The {better} ranks them better**" if apart else "**No difference is shown**, which is no equivalence"
    p = f"{'' if found.p < 0.001 else '= '}{html_tables.p_value(found.p)}"
    st.markdown(
        f"{words}: model {found.model}, reader {found.reader}, model minus reader {found.difference:+.3f} (p {p}), "
        f"paired on {found.rows:,} of {found.total:,} {scene.units} with a rating (column {plain(found.column)})."
    )
    left, right = html_tables.halves("reader")
    points = [
        (point.rating, point.sensitivity.value, point.specificity.value)
        for point in found.points
        if isinstance(point.sensitivity, Interval) and isinstance(point.specificity, Interval)
    ]
    with left:
        from core.plots.reader import reader_figure

        components.chart(
            reader_figure(found.curve, points), "evaluate:reader", alt="the model's ROC curve and the reader's points"
        )
    with right:
        rows = [
            [f"{point.rating} or more suspicious", f"{point.called:,}", point.sensitivity, point.specificity]
            for point in found.points
        ]
        html_tables.table(["Reader calls malignant from", "Called", "Sensitivity", "Specificity"], rows, stacked=True)
    st.caption(
        "The curve is of the rows with a rating. BI-RADS 0 (more images wanted) stands between 3 and 4; 6 is left out. Of "
        "several images the most suspicious rating counts. Where readings decided who was biopsied, the reader is favoured: a "
        "cancer that nobody suspected is rarely found."
    )
