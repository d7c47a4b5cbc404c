"""A few images of the current data set, for Home before there is a model. Never a sealed test image, and no names.

They are read in the background: large files take seconds, and no page waits for them.
"""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from core.errors import LabError
from dashboard.cache import images
from dashboard.state import datasets, tasks
from dashboard.state.file_stamps import stamp
from dashboard.state.tasks import Report, Task
from dashboard.ui import image_components, notices, test_set_access
from dashboard.ui.image_components import Tile, label_color

COUNT, HEIGHT = 6, 150  # images; px of a row of three


def show(manifest: Path) -> None:
    """The images as they come; nothing where there is none to show."""
    task = _task(manifest)
    if task.state == "failed" or (task.state == "done" and not task.result):
        return
    with st.container(border=True, key="home_pictures"):
        st.markdown("## Images of this data set", anchors=False)
        st.fragment(_draw, run_every=1.0 if task.running else None)(manifest, task.running)


@notices.errors_shown()
def _draw(manifest: Path, waiting: bool) -> None:
    task = _task(manifest)
    if waiting and not task.running:
        st.rerun()
    if task.result is None:
        st.caption(":material/hourglass_top: Images are being read …")
        return
    image_components.gallery(task.result, key="home:pictures", columns=3, height=HEIGHT)
    if datasets.is_synthetic(manifest):
        notices.synthetic_badge("The demo set: not real mammograms.")


def _task(manifest: Path) -> Task:
    name = f"pictures:{manifest}:{stamp(manifest)}"
    return tasks.task(name) or tasks.start_task(name, "Reading images", lambda report: find(manifest, report))


def find(manifest: Path, report: Report) -> list[Tile]:
    """One image each of a few patients, benign and malignant in turn, with the label below. Raises BadManifest."""
    frame = datasets.manifest_frame(manifest)
    frame = frame[(frame["split"] != "test") & ~test_set_access.sealed(manifest)].drop_duplicates("patient_id")
    turns = frame.assign(_turn=frame.groupby("label").cumcount()).sort_values(["_turn", "label"], kind="stable")
    tiles: list[Tile] = []
    for path, label in turns[["path", "label"]].head(3 * COUNT).itertuples(index=False):
        report(len(tiles), COUNT)
        try:
            picture = images.thumbnail(images.image_ref(str(path))).picture
        except LabError:  # the Data page lists what cannot be read
            continue
        tiles.append(Tile(picture, label=str(label), color=label_color(str(label))))
        if len(tiles) == COUNT:
            break
    return tiles
