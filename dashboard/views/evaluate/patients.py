"""The unit of analysis: what the scored patients are made of, and the AUC by patient under other rules of combining images."""

from __future__ import annotations

import streamlit as st

from core.data.identity import patients_known
from core.metrics.aggregation import DRAWS, aggregation_rules
from dashboard.ui import composition_table, html_tables
from dashboard.views.evaluate.context import Context, once


def patients(context: Context) -> None:
    """Images and sides of the scored patients by label, and how far the AUC by patient depends on the rule."""
    predictions, confidence = context.found.predictions, context.summary.confidence
    st.markdown("## What patients are made of", anchors=False)
    composition_table.table(predictions, confidence)
    if not patients_known(predictions):
        return
    st.markdown("## One score a patient: other rules", anchors=False)
    rules = once("aggregation", context, lambda: aggregation_rules(predictions, confidence=confidence))
    rows = [[each.name, "yes" if each.balanced else "no", each.auc] for each in rules]
    html_tables.table(["Rule", "Balanced", "ROC AUC by patient"], rows)
    st.caption(
        "Balanced: every patient enters with as many breasts as every other. A large gap between balanced and other rules "
        f"means that the metric by patient rests on how many images patients have. Missing breasts: mean of {DRAWS} draws; the "
        f"{confidence:.0%} limits do not cover which were drawn."
    )
