"""Counts and charts of a data set, and its patients. Part of the Data page."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import streamlit as st

from core.config import EvaluationConfig
from core.data.composition import UNLABELLED
from core.plots.style import base_figure
from core.wording import plain
from dashboard.cache import compositions
from dashboard.state import datasets, settings, tasks, widgets
from dashboard.ui import background, components, composition_table, image_components, notices, test_set_access
from dashboard.views.data import PAGE

TITLES = {
    "split": "split",
    "view": "view",
    "laterality": "side",
    "density": "density",
    "birads": "BI-RADS",
    "scanner": "scanner",
    "age": "age",
    "collection": "collection",
    "subset": "subset",
    "label_source": "label source",
    "size": "image size",
}
PER_PAGE = 50  # patients


def counts(manifest: Path) -> None:
    """Images and patients by split and label; then images by any other column that says something."""
    config = settings.current().data
    table, made, problem = compositions.by_split(manifest, config)
    if problem:
        notices.warning(f"No split can be made of this data set: {plain(problem)}")
    if made:
        notices.info(
            f"The manifest has no split. This is the one that training makes, by patient: "
            f"{config.val_fraction:.0%} validation, {config.test_fraction:.0%} test, seed {config.split_seed}."
        )
    order = [name for name in ("train", "val", "test", "") if (table["split"] == name).any()]
    wide = table.pivot_table(index="split", columns="label", values="images", aggfunc="sum", fill_value=0).reindex(order)
    wide = wide[[name for name in ("benign", "malignant", "") if name in wide.columns]]
    left, right = st.columns([3, 2], gap="medium")
    with left:
        shown = wide.rename(index={"": "no split"}, columns={"": UNLABELLED})
        _bars(shown, "split", "data:counts", manifest.stem)
    with right:
        ordered = table.assign(split=pd.Categorical(table["split"], order, ordered=True)).sort_values(["split", "label"])
        words = {"split": ordered["split"].astype(str).replace("", "none"), "label": ordered["label"].replace("", UNLABELLED)}
        components.table(ordered.assign(**words))
    _by_column(manifest)
    st.markdown("## Images per patient", anchors=False)
    composition_table.show(compositions.per_patient_of(manifest, EvaluationConfig().confidence))


def _bars(table: pd.DataFrame, column: str, key: str, name: str) -> None:
    """Bars by category, one for each label beside one another; `name` is that of the data set."""
    chart = base_figure("" if column == "split" else TITLES[column], "images")
    for label in table.columns:
        chart.add_bar(
            x=[str(name) for name in table.index],
            y=table[label].tolist(),
            name=str(label),
            marker_color=image_components.label_color(str(label)),
            hovertemplate="%{x}: %{y} images<extra>" + str(label) + "</extra>",
        )
    chart.update_layout(barmode="group", bargap=0.35, xaxis_type="category")
    alt = f"images by {TITLES[column]} and label"
    components.chart(chart, key, height=380, alt=alt, subject=column, saved_as=f"{name} {alt}")


def _by_column(manifest: Path) -> None:
    tables = compositions.tables(manifest)
    offered = {name: TITLES[name].capitalize() if name != "birads" else "BI-RADS" for name in tables if name != "split"}
    offered["size"] = "Image size"
    st.markdown("## Images by", anchors=False)
    column = widgets.segmented("Images by", offered, "data:by", hide_label=True)
    table = tables[column] if column in tables else _sizes(manifest)
    if table is None:
        return
    left, right = st.columns([3, 2], gap="medium")
    with left:
        _bars(table, column, "data:by_chart", manifest.stem)
    with right:
        known = table["malignant"] + table["benign"]
        shares = [f"{bad / every:.1%}" if every else "" for bad, every in zip(table["malignant"], known, strict=True)]
        listed = table.assign(**{"malignant of labelled": shares}).rename_axis(TITLES[column]).reset_index()
        components.table(listed)


def _sizes(manifest: Path) -> pd.DataFrame | None:
    """The table by image size, which takes reading each file's header; until then the button that does."""
    name = compositions.sizes_name(manifest)
    if background.running(name, stop="data:sizes:cancel"):
        return None
    task = tasks.task(name)
    if task is not None and task.state == "done":
        found: pd.DataFrame = task.result
        return found
    st.markdown("The size of an image stands in its file: reading all headers takes about a second for 600 to 1,100 images.")
    if st.button("Read the sizes", key="data:sizes", icon=":material/straighten:"):
        with notices.errors_shown():
            tasks.forget_task(name)
            compositions.start_sizes(manifest)
            st.rerun()
    return None


# ---------------------------------------------------------------- patients


@st.fragment
@notices.errors_shown()
def patients(manifest: Path) -> None:
    """A row a patient, a page at a time; those of a sealed test set only where test images are switched on."""
    frame = datasets.manifest_frame(manifest)
    if compositions.facts(manifest).patients is None:
        notices.warning("No image of this data set has a known patient: each counts as one of its own here.")
    table = compositions.patients(manifest)
    if not test_set_access.is_on(PAGE, manifest):
        hidden = set(frame.loc[test_set_access.sealed(manifest), "patient_id"])
        table = table[~table["patient_id"].isin(hidden)] if hidden else table
    filters, labels, pager = st.columns([3, 3, 2], vertical_alignment="bottom")
    with filters:
        text = widgets.text("Find", "data:find_patient", placeholder="patient", hide_label=True).strip().lower()
    with labels:
        label = widgets.optional("Label", ["benign", "malignant", UNLABELLED], "data:patient_label")
    if text:
        table = table[table["patient_id"].str.lower().str.contains(text, regex=False)]
    if label:
        table = table[table["label"] == label]
    if table.empty:
        components.empty_state("No patient matches", "Loosen the filters above.", icon=":material/filter_alt_off:")
        return
    number = -(-len(table) // PER_PAGE)
    with pager:
        page = widgets.whole("Page", 1, number, "data:patient_page", default=1, hide_label=True) if number > 1 else 1
    first = (page - 1) * PER_PAGE
    shown = table.iloc[first : first + PER_PAGE].rename(columns={"patient_id": "patient"})
    empty = [name for name in ("age",) if table[name].isna().all()]
    empty += [name for name in ("sides", "views", "split") if (table[name] == "").all()]
    empty += ["excluded"] if not table["excluded"].any() else []
    st.dataframe(shown.drop(columns=empty), hide_index=True, height="content")
    last = min(first + PER_PAGE, len(table))
    st.caption(f"Patients {first + 1:,}–{last:,} of {len(table):,}; the label is the worst of the patient's images.")
