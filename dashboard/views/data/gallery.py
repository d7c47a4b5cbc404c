"""Thumbnails of a data set with filters; a click opens the image in Preprocess. Part of the Data page."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from core.config import Recipe
from core.data.manifest import is_excluded
from core.errors import LabError
from dashboard.cache import compositions
from dashboard.cache.images import image_ref, thumbnail
from dashboard.state import settings, widgets
from dashboard.ui import components, image_components, notices, pages, test_set_access
from dashboard.ui.image_components import Tile
from dashboard.views.data import PAGE

SHOWN_AS = {"stored": "as stored", "model": "as the model sees"}
INVERTED = "inverted"
EXCLUDED = "excluded"
ROWS, COLUMNS = 3, 6


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
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        as_stored = widgets.segmented("Shown", SHOWN_AS, "data:look", hide_label=True) == "stored"
        offered = _only(manifest, frame)
        only = widgets.pills("Only", offered, "data:only", hide_label=True) if offered else []
    recipe = None if as_stored else settings.current().preprocessing
    rows = _filtered(manifest, frame, label, split, text, only)
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
            tiles = list(pool.map(partial(tile, recipe=recipe), shown))
        picked = image_components.gallery(tiles, key="data:gallery", columns=COLUMNS, height=190, clickable=True)
    last = min(first + ROWS * COLUMNS, len(rows))
    how = SHOWN_AS["stored"] if recipe is None else f"{SHOWN_AS['model']}, before it is shrunk to its input size"
    inverted = sum(each.detail.startswith(INVERTED) for each in tiles)
    turned = f" {inverted} of these are stored inverted, with black and white exchanged." if inverted else ""
    st.caption(f"Images {first + 1}–{last} of {len(rows):,}, {how}.{turned} Click one to open it in Preprocess.")
    if picked:
        pages.choose_image("preprocess", picked)
        pages.go_to("preprocess")


def _only(manifest: Path, frame: pd.DataFrame) -> list[str]:
    """What the images can be narrowed down to, besides label and split."""
    there = {
        "with lesion": bool(compositions.lesions(manifest).any()),
        "unlabelled": bool((frame["label"] == "").any()),
        EXCLUDED: bool(is_excluded(frame).any()),
    }
    return [name for name, some in there.items() if some]


def _filtered(
    manifest: Path, frame: pd.DataFrame, label: str | None, split: str | None, text: str, only: list[str]
) -> pd.DataFrame:
    rows = frame
    if "with lesion" in only:  # `visible` keeps the index of the whole manifest
        rows = rows[compositions.lesions(manifest)[rows.index.to_numpy()]]
    if "unlabelled" in only:
        rows = rows[rows["label"] == ""]
    if EXCLUDED in only:
        rows = rows[is_excluded(rows)]
    if label:
        rows = rows[rows["label"] == label]
    if split:
        rows = rows[rows["split"] == split]
    if text:
        names = rows["patient_id"] + " " + rows["path"].str.replace(r".*[/\\]", "", regex=True)
        rows = rows[names.str.lower().str.contains(text, regex=False)]
    return rows


def tile(row: Any, recipe: Recipe | None = None) -> Tile:
    """A thumbnail of this row of a manifest (a named tuple), with what is known of it."""
    common: dict[str, str] = {
        "caption": f"{row.laterality} {row.view}".strip(),
        "label": row.label or "unlabelled",
        "color": image_components.label_color(row.label),
        "id": row.path,
    }
    away = [EXCLUDED] if is_excluded(pd.DataFrame([row]))[0] else []
    known = [*away, *(part for part in (str(row.patient_id), row.split) if part)]
    try:
        found = thumbnail(image_ref(row.path), recipe)
    except LabError:
        return Tile(b"", missing="not readable: see Problems", detail=" · ".join(known), **common)
    return Tile(found.picture, detail=" · ".join([INVERTED, *known] if found.inverted else known), **common)
