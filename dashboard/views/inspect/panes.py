"""What the Inspector's viewer shows: a stage against the one before, or one stage of several images of an examination."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from core.config import Recipe
from core.data.hanging import Place, examination, hangings
from core.errors import LabError
from core.inspection import Inspection
from dashboard.cache import images, tiles
from dashboard.cache.images import ImageRef
from dashboard.cache.lesions import Lesions
from dashboard.state import datasets, preferences, widgets
from dashboard.ui import test_set_access, viewer
from dashboard.ui.pages import PAGES
from dashboard.ui.viewer import Pane

ONE = "image"
_NAMES = {ONE: "This image", "views": "Both views", "breasts": "Both breasts", "all": "All views"}


def compared(image: ImageRef, inspection: Inspection, index: int, shown: Lesions) -> Pane:
    """A stage over the one before, with a bar between; the first stage alone."""
    recipe, stages = inspection.recipe, inspection.stages
    first, last = stages[max(0, index - 1)], stages[index]
    found = tiles.staged(image, recipe, first.name)
    pictures = [viewer.picture(image, recipe, first.name, shown, first.title)]
    if index:
        matrix = inspection.laid_over(index)
        pictures.append(viewer.picture(image, recipe, last.name, shown, last.title, matrix))
    spot = viewer.spot(image, recipe, found, pictures[0].lesions)
    return Pane("", tuple(pictures), found.size, viewer.spacing(image, recipe, found), spot, found.matrix)


def hanging(image: ImageRef) -> tuple[str, dict[Place, Any]]:
    """Which images are shown at once, from a select box, and their rows from left to right; none where it is this image alone.

    Test images count among them only where they are switched on.
    """
    found, offered = _examination(image), {}
    if found:
        own = next(place for place, row in found.items() if str(row["path"]) == str(image.source))
        offered = hangings(found, own)
    if not offered:
        return ONE, {}
    with st.container(width=150):
        chosen = widgets.select("Views", {name: _NAMES[name] for name in (ONE, *offered)}, "inspect:views", hide_label=True)
    return chosen, {place: found[place] for place in offered.get(chosen, ())}


def _examination(image: ImageRef) -> dict[Place, Any]:
    manifest = datasets.current_manifest()
    if preferences.get("inspect:source", "Data set") != "Data set" or manifest is None or not isinstance(image.source, Path):
        return {}
    rows = test_set_access.visible(PAGES["inspect"].title, manifest)
    own = rows[rows["path"] == str(image.source)]
    return {} if own.empty else examination(rows, own.iloc[0])


def hung(rows: dict[Place, Any], recipe: Recipe, stage: str) -> list[Pane]:
    """A stage of each of these images; breasts of both sides with their chest walls towards each other."""
    manifest = datasets.current_manifest()
    if manifest is not None:
        test_set_access.record_shown(PAGES["inspect"].title, manifest, [str(row["path"]) for row in rows.values()])
    both = len({side for side, _ in rows}) > 1
    panes = []
    for (side, view), row in rows.items():
        title, wall = f"{side} {view}", {"R": "right", "L": "left"}[side] if both else ""
        try:
            panes.append(viewer.pane(images.image_ref(str(row["path"])), recipe, stage, title=title, hung=wall))
        except LabError as error:
            panes.append(Pane(title, hung=wall, problem=str(error)))
    return panes
