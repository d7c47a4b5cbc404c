"""The images: pick or import a data set, look at it, count it, find what is wrong with it."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from core.data.identity import patients_known
from core.data.manifest import is_excluded
from core.wording import counted
from dashboard.state import datasets, widgets
from dashboard.ui import background, components, notices, test_set_access
from dashboard.ui.components import Metric
from dashboard.views.data import PAGE, changes, composition, gallery, importing, problems

VIEWS = ["Images", "Counts", "Patients", "Problems", "Changes", "Import"]


def show() -> None:
    """The current data set under one of these views; without any, the ways to get one."""
    manifests = datasets.find_manifests()
    if not manifests:
        _no_data()
        return
    with st.container(key="narrow_fit_data"):
        left, right = st.columns([2, 3], vertical_alignment="bottom")
    with left:
        manifest = components.manifest_picker()
    with right:
        view = widgets.segmented("View", VIEWS, "data:view", hide_label=True)
    if manifest is None:
        return
    if view == "Import":  # about another data set: nothing of this one stands above it
        importing.form()
        st.markdown("## Or take the demo set", anchors=False)
        background.demo_button(primary=False, label="Use the demo set")
        return
    frame = datasets.manifest_frame(manifest)
    if datasets.is_synthetic(manifest):
        notices.synthetic_notice()
    _cards(frame)
    if view == "Images":
        test_set_access.switch(PAGE, manifest)
        gallery.images(manifest)
    elif view == "Counts":
        composition.counts(manifest)
    elif view == "Patients":
        test_set_access.switch(PAGE, manifest)
        composition.patients(manifest)
    elif view == "Changes":
        changes.show(manifest)
    else:
        problems.show(manifest)


def _no_data() -> None:
    if not importing.begun():
        with st.container(border=True):
            st.markdown("## Write the demo set", anchors=False)
            st.markdown("Synthetic mammograms with lesions, DICOM and PNG, made here in about a minute: enough to try all.")
            background.demo_button(primary=True)
    with st.container(border=True):
        importing.form(primary=False)


def _cards(frame: pd.DataFrame) -> None:
    away = int(is_excluded(frame).sum())
    frame = frame[~is_excluded(frame)] if away else frame
    patients = counted(frame["patient_id"].nunique(), "patient") if patients_known(frame) else "patients unknown"
    malignant = int((frame["label"] == "malignant").sum())
    known = int((frame["label"] != "").sum())  # the others are unlabelled: part of no share
    share = malignant / known if known else 0.0
    of = "images" if known == len(frame) else f"{known:,} labelled images"
    splits = frame.loc[frame["split"] != "", "split"].value_counts()
    given = " / ".join(str(int(splits.get(name, 0))) for name in ("train", "val", "test"))
    names = frame.loc[frame["view"] != "", "view"].value_counts().index.tolist()
    views = ", ".join(names[:2]) + (f" +{len(names) - 2}" if len(names) > 2 else "") or "not given"
    sides = frame["laterality"].value_counts()
    components.metric_cards(
        [
            Metric("Images", f"{len(frame):,}", patients + (f", {away:,} more excluded" if away else "")),
            Metric("Malignant", f"{malignant:,}", f"{share:.1%} of {of}"),
            Metric(
                "Train / val / test",
                *(given, "images") if len(splits) else ("not split yet", "by patient, when training starts"),
            ),
            Metric("Views", views, f"{sides.get('L', 0):,} left, {sides.get('R', 0):,} right"),
        ]
    )


with components.page(
    "Data", "The images to learn from: pick a data set, look at it, and find what is wrong with it before a model does."
):
    show()
