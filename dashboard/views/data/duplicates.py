"""Copies of images, side by side; the repair of a split that leaks; and what the label follows from without the breast."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from core.data.checks import CheckReport, Problem
from core.errors import LabError
from core.metrics.features import feature_title
from core.wording import counted, plain
from dashboard.cache.images import image_ref, thumbnail
from dashboard.state import datasets, tasks, widgets
from dashboard.ui import background, html_tables, image_components, notices, test_set_access
from dashboard.ui.image_components import Tile

KINDS = {
    "duplicate_across_splits": "Same image in several splits",
    "near_duplicate_across_splits": "Same picture, changed, in several splits",
    "named_copy_across_splits": "Copies by their names in several splits",
    "duplicate": "Same image",
    "near_duplicate": "Same picture, changed",
    "named_copy": "Copies by their names",
}
GROUPS = 4  # on a page
COLUMNS = 4  # images of a group that are shown


@st.fragment
@notices.errors_shown()
def side_by_side(found: CheckReport, manifest: Path, page: str) -> None:
    """The groups of copies that a check found, leakage first, a few at a time; test images only where they are switched on."""
    order = list(KINDS)
    groups = sorted((problem for problem in found.problems if problem.kind in KINDS), key=lambda each: order.index(each.kind))
    if not groups:
        return
    st.markdown(f"## Copies: {counted(len(groups), 'group')}", anchors=False)
    pages = -(-len(groups) // GROUPS)
    with st.columns([1, 3])[0]:
        number = widgets.whole("Page of copies", 1, pages, "data:copies", default=1) if pages > 1 else 1
    shown = groups[(number - 1) * GROUPS : number * GROUPS]
    frame = test_set_access.visible(page, manifest)
    for place, problem in enumerate(shown):
        _group(problem, manifest, page, set(frame.index), place)


def _group(problem: Problem, manifest: Path, page: str, visible: set[int], place: int) -> None:
    """One group: its kind, and its images beside one another."""
    frame = datasets.manifest_frame(manifest)
    rows = [row for row in problem.rows if frame.index[row] in visible]
    hidden = len(problem.rows) - len(rows)
    with st.container(border=True):
        st.markdown(f"**{KINDS[problem.kind]}** · {counted(len(problem.rows), 'image')}")
        test_set_access.record_shown(page, manifest, [str(frame["path"].iloc[row]) for row in rows[:COLUMNS]])
        tiles = [_tile(frame.iloc[row].to_dict()) for row in rows[:COLUMNS]]
        if tiles:
            image_components.gallery(tiles, key=f"data:copies:{place}", columns=COLUMNS, height=190)
        more = len(rows) - len(tiles)
        notes = [f"and {more:,} more"] if more else []
        notes += [f"{counted(hidden, 'test image')} hidden"] if hidden else []
        if notes:
            st.caption(", ".join(notes))


def _tile(row: dict) -> Tile:
    name = Path(str(row["path"])).name
    detail = " · ".join(part for part in (str(row["split"]), str(row["patient_id"])) if part)
    label, color = str(row["label"]), image_components.label_color(str(row["label"]))
    try:
        found = thumbnail(image_ref(str(row["path"])))
    except LabError:
        return Tile(b"", name, label, color, missing="not readable", detail=detail)
    return Tile(found.picture, name, label, color, detail=detail)


def repair(found: CheckReport, manifest: Path) -> None:
    """A button that writes a manifest with the split repaired, and what moved once it is written."""
    name = datasets.repair_name(manifest)
    if background.running(name, stop="data:repair:cancel"):
        return
    task = tasks.task(name)
    if task is not None and task.state == "done":
        path, done = task.result
        notices.success(f"Written: {plain(path.name)}. {' '.join(_sentence(each) for each in done.notes)}")
        if st.button("Use the repaired data set", type="primary", icon=":material/check:", key="data:repair:use"):
            tasks.forget_task(name)
            datasets.set_current_manifest(path)
            st.rerun()
        return
    if found.leakage and st.button("Repair the split", icon=":material/build:", key="data:repair"):
        datasets.set_current_manifest(manifest)  # the one that is written would become it by itself where none was chosen
        datasets.start_repair(manifest)
        st.rerun()


def baseline(manifest: Path) -> None:
    """A button that predicts the label from metadata alone, and what that gave."""
    st.markdown("## The label without the breast", anchors=False)
    name = datasets.baseline_name(manifest)
    if background.running(name, stop="data:baseline:cancel"):
        return
    task = tasks.task(name)
    if task is None or task.state != "done":
        st.markdown("How well collection, image size, scanner, age and view alone predict the label, before any training.")
        if st.button("Predict the label from metadata", icon=":material/query_stats:", key="data:baseline"):
            datasets.start_baseline(manifest)
            st.rerun()
        return
    found = task.result
    notices.info(found.sentence)
    html_tables.table(
        ["Predicted from", f"AUC, {found.confidence:.0%} interval"],
        [[feature_title(column), auc] for column, auc in found.rows],
    )
    st.caption(f"{found.folds}-fold cross-validation; {counted(found.patients, 'patient')} kept apart between the folds.")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."
