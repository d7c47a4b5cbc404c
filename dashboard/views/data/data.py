"""The images: pick or import a data set, look at it, count it, find what is wrong with it."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from core.config import EvaluationConfig, Recipe
from core.data.checks import CheckReport
from core.data.identity import patients_known
from core.data.importers import IMPORTERS
from core.data.manifest import labelled
from core.data.splits import assign_splits
from core.errors import LabError
from core.plots.style import base_figure
from core.wording import counted
from dashboard.cache.images import image_ref, thumbnail
from dashboard.state import datasets, preferences, settings, tasks, widgets
from dashboard.ui import background, components, composition_table, image_components, notices, pages, test_set_access
from dashboard.ui.components import Metric
from dashboard.ui.image_components import Tile
from dashboard.views.data import duplicates, import_options

PAGE = "Data"  # as records of accesses to test images name it
VIEWS = ["Images", "Counts", "Problems", "Import"]
SHOWN_AS = {"stored": "as stored", "model": "as the model sees"}
INVERTED = "inverted"
ROWS, COLUMNS = 3, 6
SHOWN = 200  # problems: a browser takes no more at once


def show() -> None:
    """The current data set under one of four views; without any, the ways to get one."""
    manifests = datasets.find_manifests()
    if not manifests:
        _no_data()
        return
    with st.container(key="narrow_fit_data"):
        left, right = st.columns([3, 2], vertical_alignment="bottom")
    with left:
        manifest = components.manifest_picker()
    with right:
        view = widgets.segmented("View", VIEWS, "data:view", hide_label=True)
    if manifest is None:
        return
    frame = datasets.manifest_frame(manifest)
    if datasets.is_synthetic(manifest):
        notices.synthetic_notice()
    _cards(frame)
    if view == "Images":
        test_set_access.switch(PAGE, manifest)
        images(manifest)
    elif view == "Counts":
        counts(frame)
    elif view == "Problems":
        problems(manifest)
    else:
        import_form()
        st.markdown("## Or take the demo set", anchors=False)
        background.demo_button(primary=False, label="Use the demo set")


def _no_data() -> None:
    left, right = st.columns(2, gap="medium")
    with left.container(border=True):
        st.markdown("## Write the demo set", anchors=False)
        st.markdown("Synthetic mammograms with lesions, DICOM and PNG, made here in about a minute. Enough to try everything.")
        background.demo_button(primary=True)
    with right.container(border=True):
        import_form(primary=False)


def _cards(frame: pd.DataFrame) -> None:
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
            Metric("Images", f"{len(frame):,}", patients),
            Metric("Malignant", f"{malignant:,}", f"{share:.1%} of {of}"),
            Metric(
                "Train / val / test",
                *(given, "images") if len(splits) else ("not split yet", "by patient, when training starts"),
            ),
            Metric("Views", views, f"{sides.get('L', 0):,} left, {sides.get('R', 0):,} right"),
        ]
    )


# ---------------------------------------------------------------- thumbnails


@st.fragment
@notices.errors_shown()
def images(manifest: Path) -> None:
    """A page of thumbnails on black with label and filter; a click opens the image in Preprocess."""
    frame = test_set_access.visible(PAGE, manifest)
    with st.container(key="narrow_filter"):
        labels, splits, search, pager = st.columns([2, 2, 3, 2], vertical_alignment="bottom")
    with labels:
        label = widgets.optional("Label", ["benign", "malignant"], "data:label")
    present = [name for name in ("train", "val", "test") if (frame["split"] == name).any()]
    with splits:
        split = widgets.optional("Split", present, "data:split") if present else None
    with search:
        text = widgets.text("Find", "data:find", placeholder="patient or file name", hide_label=True).strip().lower()
    as_stored = widgets.segmented("Shown", SHOWN_AS, "data:look", hide_label=True) == "stored"
    recipe = None if as_stored else settings.current().preprocessing
    rows = frame
    if label:
        rows = rows[rows["label"] == label]
    if split:
        rows = rows[rows["split"] == split]
    if text:
        rows = rows[
            (rows["patient_id"] + " " + rows["path"].map(lambda path: Path(path).name))
            .str.lower()
            .str.contains(text, regex=False)
        ]
    if rows.empty:
        components.empty_state("No image matches", "Loosen the filters above.", icon=":material/filter_alt_off:")
        return
    number = -(-len(rows) // (ROWS * COLUMNS))
    with pager:
        page = widgets.whole("Page", 1, number, "data:page", default=1, hide_label=True) if number > 1 else 1
    first = (page - 1) * ROWS * COLUMNS
    shown = list(rows.iloc[first : first + ROWS * COLUMNS].itertuples())
    test_set_access.record_shown(PAGE, manifest, [str(row.path) for row in shown])
    with st.container(key="data-grid"):  # as high as its images before they are there: nothing jumps
        with st.spinner("Reading images", show_time=False), ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
            tiles = list(pool.map(partial(_tile, recipe=recipe), shown))
        picked = image_components.gallery(tiles, key="data:gallery", columns=COLUMNS, height=190, clickable=True)
    last = min(first + ROWS * COLUMNS, len(rows))
    how = SHOWN_AS["stored"] if recipe is None else f"{SHOWN_AS['model']}, before it is shrunk to its input size"
    inverted = sum(tile.detail.startswith(INVERTED) for tile in tiles)
    turned = f" {inverted} of these are stored inverted, with black and white exchanged." if inverted else ""
    st.caption(f"Images {first + 1}–{last} of {len(rows):,}, {how}.{turned} Click one to open it in Preprocess.")
    if picked:
        pages.choose_image("preprocess", picked)
        pages.go_to("preprocess")


def _tile(row: Any, recipe: Recipe | None) -> Tile:
    common: dict[str, str] = {
        "caption": f"{row.laterality} {row.view}".strip(),
        "label": row.label,
        "color": image_components.label_color(row.label),
        "id": row.path,
    }
    known = [part for part in (str(row.patient_id), row.split) if part]
    try:
        found = thumbnail(image_ref(row.path), recipe)
    except LabError:
        return Tile(b"", missing="not readable: see Problems", detail=" · ".join(known), **common)
    return Tile(found.picture, detail=" · ".join([INVERTED, *known] if found.inverted else known), **common)


# ---------------------------------------------------------------- counts


def counts(frame: pd.DataFrame) -> None:
    """Images and patients by split and label; where the manifest has no split, the one that training would make."""
    config = settings.current().data
    if (frame["split"] == "").all():
        frame = assign_splits(frame, config.val_fraction, config.test_fraction, config.split_seed)
        notices.info(
            f"The manifest has no split. This is the one that training makes, by patient: "
            f"{config.val_fraction:.0%} validation, {config.test_fraction:.0%} test, seed {config.split_seed}."
        )
    table = frame.groupby(["split", "label"]).agg(images=("path", "size"), patients=("patient_id", "nunique")).reset_index()
    order = [name for name in ("train", "val", "test", "") if (table["split"] == name).any()]
    chart = base_figure("", "images")
    for label in ("benign", "malignant"):
        values = table[table["label"] == label].set_index("split")["images"].reindex(order).fillna(0)
        chart.add_bar(
            x=[name or "no split" for name in order],
            y=values.tolist(),
            name=label,
            marker_color=image_components.label_color(label),
            hovertemplate="%{x}: %{y} images<extra>" + label + "</extra>",
        )
    chart.update_layout(barmode="group", bargap=0.35)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        components.chart(chart, "data:counts", height=380, alt="images by split and label")
    with right:
        ordered = table.assign(split=pd.Categorical(table["split"], order, ordered=True)).sort_values(["split", "label"])
        st.dataframe(ordered.assign(split=ordered["split"].astype(str).replace("", "none")), hide_index=True)
    st.markdown("## Images per patient", anchors=False)
    composition_table.table(labelled(frame), EvaluationConfig().confidence)


# ---------------------------------------------------------------- problems


def problems(manifest: Path) -> None:
    """The check of the data set: start, progress, and what it found with reasons."""
    name = datasets.check_name(manifest)
    if background.running(name, stop="data:check:cancel"):
        return
    task = tasks.task(name)
    if task is not None and task.state == "stopped":
        notices.info("The check was stopped. A new check continues where it stopped.", icon="cancel")
    if task is not None and task.state == "done":
        test_set_access.switch(PAGE, manifest)
        report(task.result, manifest)
        duplicates.repair(task.result, manifest)
        duplicates.side_by_side(task.result, manifest, PAGE)
    else:
        st.markdown("Reads every file: missing or unreadable ones, copies of images, patients in two splits, imbalance.")
    if st.button(
        "Check the data" if task is None else "Check again", type="primary", icon=":material/fact_check:", key="data:check"
    ):
        datasets.start_check(manifest)
        st.rerun()
    duplicates.baseline(manifest)
    _left_out(manifest)


def report(found: CheckReport, manifest: Path) -> None:
    """What check_manifest found: one line per problem, the worst first, with its rows; test images only where switched on."""
    if found.ok and not found.problems:
        notices.success("Nothing found: every file is readable, no duplicates, no patient in two splits.")
        return
    if found.leakage:
        notices.error(
            "Patients or copies of images are in more than one split: training refuses this manifest until this is corrected."
        )
    for problem in found.problems[:SHOWN]:
        if problem.kind == "patients_unknown":
            notices.warning(problem.message[:1].upper() + problem.message[1:] + ".")
            continue
        with st.container(border=True):
            count = counted(len(problem.rows), "row")
            st.markdown(f"**{problem.kind.replace('_', ' ').capitalize()}** · {count}")
            st.text(problem.message if test_set_access.is_on(PAGE, manifest) else test_set_access.redacted(problem, manifest))
    if len(found.problems) > SHOWN:
        st.markdown(f"And {len(found.problems) - SHOWN:,} more: `python -m core data check` lists them all.")


def _left_out(manifest: Path) -> None:
    """Notes of the import of this manifest, and the files it left out."""
    left_out = preferences.get(f"left_out:{manifest}", {})
    for note in sorted(left_out.get("notes", []), key=lambda text: not text.startswith("warning: ")):
        if note.startswith("warning: "):
            notices.warning(note.removeprefix("warning: "))
        else:
            notices.info(note)
    if left_out.get("rejected"):
        st.markdown(f"## Left out by the import: {left_out['count']}", anchors=False)
        rows = [{"file": path, "reason": reason} for path, reason in left_out["rejected"]]
        st.dataframe(rows, hide_index=True)


# ---------------------------------------------------------------- import


def import_form(*, primary: bool = True) -> None:
    """Importer, folder, options; the manifest it writes becomes the current data set. Files are never copied."""
    st.markdown("## Import your images", anchors=False)
    st.markdown("Creates a list of your images (CSV) in `data/`. Nothing is copied or changed.")
    name = st.selectbox(
        "Layout", list(IMPORTERS), format_func=lambda key: f"{key} · {IMPORTERS[key].description}", key="import:name"
    )
    source = st.text_input("Folder or file on this machine", key="import:source", placeholder="/path/to/images").strip()
    options = import_options.fields(IMPORTERS[name])
    if background.running("import", stop="import:cancel"):
        return
    if (task := tasks.task("import")) is not None and task.state == "stopped":
        notices.info("The import was stopped. Nothing was written.", icon="cancel")
    if st.button(
        "Import", type="primary" if primary else "secondary", icon=":material/input:", key="import:go", disabled=not source
    ):
        tasks.forget_task("import")
        with notices.errors_shown():
            datasets.start_import(name, Path(source), options)
            st.rerun()


with components.page(
    "Data", "The images to learn from: pick a data set, look at it, and find what is wrong with it before a model does."
):
    show()
