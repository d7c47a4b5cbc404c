"""The images: pick or import a data set, look at it, count it, find what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from core.wording import counted
from dashboard.cache import compositions
from dashboard.state import datasets, settings, widgets
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
        if not importing.begun():
            st.markdown("## Or take the demo set", anchors=False)
            background.demo_button(primary=False, label="Use the demo set")
        return
    if datasets.is_synthetic(manifest):
        notices.synthetic_notice()
    compositions.count_ahead(manifest, settings.current())
    _cards(manifest)
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


def _cards(manifest: Path) -> None:
    facts = compositions.facts(manifest)
    patients = "patients unknown" if facts.patients is None else counted(facts.patients, "patient")
    share = facts.malignant / facts.labelled if facts.labelled else 0.0  # the unlabelled are part of no share
    of = "images" if facts.labelled == facts.images else f"{facts.labelled:,} labelled images"
    split = any(facts.splits)
    more = f" +{len(facts.views) - 2}" if len(facts.views) > 2 else ""
    components.metric_cards(
        [
            Metric("Images", f"{facts.images:,}", patients + (f", {facts.excluded:,} more excluded" if facts.excluded else "")),
            Metric("Malignant", f"{facts.malignant:,}", f"{share:.1%} of {of}"),
            Metric(
                "Train / val / test",
                _splits(facts.splits) if split else "not split yet",
                "images" if split else "by patient, when training starts",
            ),
            Metric(
                "Views",
                ", ".join(facts.views[:2]) + more or "not given",
                f"{facts.left:,} left, {facts.right:,} right",
            ),
        ]
    )


def _splits(images: tuple[int, int, int]) -> str:
    """The three numbers, in thousands where they would not fit into the card."""
    return " / ".join(f"{each / 1000:.1f}k" if max(images) >= 10_000 else str(each) for each in images)


with components.page(
    "Data", "The images to learn from: pick a data set, look at it, and find what is wrong with it before a model does."
):
    show()
