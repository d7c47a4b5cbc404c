"""Mistakes and near misses at the threshold; heatmaps come as they are made, the images first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from core.config import Recipe
from core.errors import LabError
from core.runs.test_set.accesses import HEATMAPS, IMAGES
from core.wording import plain
from dashboard.cache import results
from dashboard.state import preferences, widgets
from dashboard.ui import image_components, notices, pages, test_set_access
from dashboard.ui.image_components import Tile
from dashboard.views.evaluate import heatmap_thumbnails
from dashboard.views.evaluate.context import Context

SHOWN = 16
COLUMNS = 8
HEIGHT = 380  # px, of the case that was clicked
KINDS = {"missed": "Missed cancers", "alarms": "False alarms", "near": "Near the threshold"}
CASE = "evaluate:case"


def cases(context: Context) -> None:
    """The worst of a kind as a gallery; the one that was clicked stands above it, larger, with ways to open it."""
    sorted_out = {kind: of_kind(context, kind) for kind in KINDS}
    words = {kind: f"{title} ({len(sorted_out[kind]):,})" for kind, title in KINDS.items()}
    words["near"] = KINDS["near"]
    with st.container(horizontal=True, vertical_alignment="center"):
        kind = widgets.segmented("Cases", words, "evaluate:cases", hide_label=True)
        heated = widgets.toggle("Heatmaps", "evaluate:heatmaps", default=True, help="The evidence for malignancy, by Grad-CAM.")
    rows = sorted_out[kind].head(SHOWN)
    if rows.empty:
        at = "at these thresholds by view" if context.by_view else f"at this threshold ({context.threshold:.3f})"
        st.markdown(f"None {at}.")
        return
    if len(sorted_out[kind]) > SHOWN:
        order = {"missed": "the lowest scores", "alarms": "the highest scores", "near": "the closest"}[kind]
        st.caption(f"The first {SHOWN} of {len(sorted_out[kind]):,}: {order} first. All of them stand under All images.")
    if context.level != "image":
        st.caption(f"Judged by {context.units}; shown is its most extreme image, with the score of the {context.level}.")
    test_set_access.record_run(
        HEATMAPS if heated else IMAGES, "Evaluate", context.run, [*rows["path"], preferences.get(CASE, "")]
    )
    chosen(context)
    gallery(context, rows, kind, heated)


def of_kind(context: Context, kind: str) -> pd.DataFrame:
    """Images of one kind at the current threshold, the most extreme first; `unit_score` is that of the breast or patient."""
    table, threshold = judged(context), context.threshold
    called, malignant = table["unit_decided"] >= threshold, table["unit_label"] == "malignant"
    if kind == "missed":
        rows = table[malignant & ~called].sort_values(["unit_score", "score"])
    elif kind == "alarms":
        rows = table[~malignant & called].sort_values(["unit_score", "score"], ascending=False)
    else:
        rows = table.assign(far=(table["unit_decided"] - threshold).abs()).sort_values(["far", "path"]).head(4 * SHOWN)
    return rows if context.level == "image" else rows.drop_duplicates(_keys(context.level))


def judged(context: Context) -> pd.DataFrame:
    """Every image with score and label of the unit (image, breast, patient) that it belongs to; `unit_decided` is what is
    compared with the slider's threshold."""
    images = context.found.predictions
    if context.level == "image":
        decided = context.table["decided"].to_numpy()
        return images.assign(unit_score=images["score"], unit_label=images["label"], unit_decided=decided)
    keys = _keys(context.level)
    units = context.table.rename(columns={"score": "unit_score", "label": "unit_label", "decided": "unit_decided"})
    return images.merge(units[[*keys, "unit_score", "unit_label", "unit_decided"]], on=keys, how="left")


def _keys(level: str) -> list[str]:
    return ["patient_id", "laterality"] if level == "breast" else ["patient_id"]


def gallery(context: Context, rows: pd.DataFrame, kind: str, heated: bool) -> None:
    """The tiles; while heatmaps are made, a fragment of its own looks for them."""
    paths = [str(path) for path in rows["path"]]
    waiting = (
        heated and len(heatmap_thumbnails.ready(context.run, paths)) < len(paths) and not heatmap_thumbnails.failed(context.run)
    )
    (st.fragment(_gallery, run_every=1.0) if waiting else _gallery)(context, rows, kind, heated, waiting)


@notices.errors_shown()
def _gallery(context: Context, rows: pd.DataFrame, kind: str, heated: bool, waiting: bool) -> None:
    paths = [str(path) for path in rows["path"]]
    found = heatmap_thumbnails.ready(context.run, paths) if heated else {}
    if waiting and (len(found) == len(paths) or heatmap_thumbnails.failed(context.run)):
        st.rerun()
    recipe = context.run.model_card().known_recipe()  # not from the loaded model: loading it takes seconds
    tiles = [_tile(row, recipe, found.get(str(row.path))) for row in rows.itertuples()]
    if heated:
        heatmap_thumbnails.want(context.run, paths)
    picked = image_components.gallery(tiles, key=f"evaluate:{kind}", columns=COLUMNS, height=170, clickable=True)
    if picked:
        preferences.set(CASE, picked)
        st.rerun()
    if waiting:
        st.caption(f":material/hourglass_top: Heatmaps: {len(found)} of {len(paths)}")
    elif heated and heatmap_thumbnails.failed(context.run):
        notices.warning(f"No heatmaps. {plain(heatmap_thumbnails.failed(context.run))}", icon="blur_off")
        st.button("Try again", key="evaluate:heat_again", on_click=lambda: heatmap_thumbnails.again(context.run))
    elif heated:
        st.caption(heatmap_thumbnails.READING)


def _tile(row: Any, recipe: Recipe, heated: heatmap_thumbnails.Heat | None) -> Tile:
    side = f"{row.laterality} {row.view}".strip()
    label, caption, color = f"{row.unit_score:.3f}", side or Path(row.path).name, image_components.label_color(row.unit_label)
    detail = heated.reason if heated is not None else ""
    if heated is not None and heated.image:
        return Tile(heated.image, caption, label, color, row.path, detail=detail)
    try:
        return Tile(results.input_thumbnail(row.path, recipe), caption, label, color, row.path, detail=detail)
    except LabError as error:
        return Tile(b"", caption, label, color, row.path, str(error))


# ---------------------------------------------------------------- one case


def chosen(context: Context) -> None:
    """The case that was clicked: image and heatmap side by side, what is known of it, and the pages that open it."""
    path = preferences.get(CASE)
    rows = judged(context)
    rows = rows[rows["path"] == path]
    if rows.empty:
        st.caption("Click a case to see it larger and to open it on another page.")
        return
    row: Any = next(rows.itertuples())
    with st.container(border=True):
        left, right = st.columns([4, 3], gap="medium")
        with left:
            recipe = context.run.model_card().known_recipe()
            large(row, recipe, heatmap_thumbnails.ready(context.run, [str(path)]).get(str(path)))
        with right:
            facts(context, row)
            links(context, str(path))


def large(row: Any, recipe: Recipe, heated: heatmap_thumbnails.Heat | None) -> None:
    """What the model saw, and under a movable bar the heatmap over it; where there is no heatmap the image alone, and why."""
    try:
        image = results.input_thumbnail(row.path, recipe, heatmap_thumbnails.SIDE)
    except LabError as error:
        image_components.gallery([Tile(b"", missing=str(error))], key="evaluate:chosen", columns=1, height=HEIGHT)
        return
    if heated is None or not heated.image or heated.reason:
        image_components.image_on_black(image, key="evaluate:chosen", height=HEIGHT, caption="what the model saw")
        if heated is not None:
            st.caption(f":material/blur_off: No heatmap: {plain(heated.reason)}.")
        return
    labels = ("what the model saw", "evidence for malignant")
    image_components.compare_slider(image, heated.image, key="evaluate:chosen", height=HEIGHT, labels=labels, bar=0.06)
    st.caption(heatmap_thumbnails.READING)


def facts(context: Context, row: Any) -> None:
    """Score, truth and decision, and the columns of the manifest that say something."""
    called = "malignant" if row.unit_decided >= context.threshold else "benign"
    at = f"{context.threshold + (row.unit_score - row.unit_decided):.3f}"
    if context.level == "image" and (basis := context.thresholds.basis(str(row.view))):
        at += f", {plain(basis)}"
    side = f"{row.laterality} {row.view}".strip()
    st.markdown(f"**{plain(Path(row.path).name)}** · patient {plain(row.patient_id)} {side}")
    st.markdown(f"Score **{row.unit_score:.3f}**, called **{called}** at {at}; in truth **{row.unit_label}**.")
    hidden = ("height", "width", "bits", "folder")
    known = [(name, str(getattr(row, name, ""))) for name in context.found.columns if name not in hidden]
    words = " · ".join(f"{name.replace('_', ' ')} {plain(value)}" for name, value in known if value)
    if words:
        st.caption(words)


def links(context: Context, path: str) -> None:
    """The pages that can take the case from here."""
    with st.container(horizontal=True, gap="small"):
        for page in ("explain", "preprocess", "inspect"):
            title, icon = pages.PAGES[page].title, pages.PAGES[page].material
            kind: Any = "primary" if page == "explain" else "secondary"
            if st.button(title, icon=icon, type=kind, key=f"evaluate:to_{page}"):
                if page == "explain":
                    pages.choose_explained(path, context.found.split)
                else:
                    pages.choose_image(page, path)
                pages.go_to(page)
        if st.button("Close", icon=":material/close:", key="evaluate:close"):
            preferences.set(CASE, None)
            st.rerun(scope="fragment")
