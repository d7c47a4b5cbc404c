"""Images and sides per patient by label, on Data and Evaluate, and a warning where one label has fewer."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from core.metrics.composition import TITLES, composition_warnings
from core.wording import plain
from dashboard.cache.compositions import PerPatient, per_patient
from dashboard.ui import html_tables, notices

NOBODY = (
    "No patient is known: each image counts by itself, so images and sides per patient cannot be counted. Import the "
    "images with patient_pattern or a patient column."
)


def table(frame: pd.DataFrame, confidence: float) -> None:
    """Images and sides of patients by split and label.

    `frame` has the columns of a manifest or of predictions; `confidence` is the level of the intervals, in (0, 1).
    """
    show(per_patient(frame, confidence))


def show(counted: PerPatient | None) -> None:
    """As `table`, of what was counted before; None where no patient is known."""
    if counted is None:
        notices.info(NOBODY)
        return
    for sentence in composition_warnings(counted.found):
        notices.warning(f"{plain(sentence[:1].upper() + sentence[1:])}.")
    rows = []
    for each in counted.parts:
        spread = f"{each.median:g} ({each.low} to {each.high})"
        sides = (f"{count:,}" for count in (each.two_sides, each.one_side, each.unknown_sides))
        rows.append([each.split or "no split", each.label, f"{each.patients:,}", f"{each.images:,}", spread, *sides])
    html_tables.table(
        [
            "Split",
            "Label",
            "Patients",
            "Images",
            "Images per patient: median (range)",
            "Both sides",
            "One side",
            "Side unknown",
        ],
        rows,
    )
    strengths = [
        f"{each.split or 'all'}, {TITLES[each.what]}: {each.strength}"
        for each in counted.found
        if not isinstance(each.strength, str)
    ]
    if strengths:
        st.caption(
            f"AUC of a patient's label from a count alone, 0.5 is chance, {counted.confidence:.0%} intervals. "
            f"{'; '.join(strengths)}."
        )
