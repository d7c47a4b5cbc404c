"""The pictures that Explain shows: the map on its image, and the PNG files made of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from core.errors import LabError
from core.images.encode import encode_png
from core.runs import Run
from core.runs.test_set.accesses import HEATMAPS
from dashboard.cache import images, lesions, results
from dashboard.cache.explanations import (
    Ask,
    Explained,
    Picture,
    View,
    drawn,
    file_name,
    on_input,
    on_original,
    save,
    side_by_side,
)
from dashboard.cache.lesions import NO_LESIONS, Lesions
from dashboard.state import models, preferences, settings
from dashboard.ui import components, notices, test_set_access
from dashboard.views.explain.comparison import Case

PICTURES = "explain:pictures"
MANY = 24  # overlays that one press saves at most


@dataclass(frozen=True)
class Display:
    """How maps are shown: `place` of PLACES, `beside` of BESIDE; lesion outlines on or off; the other run's name."""

    place: str
    beside: str
    outlines: bool
    second: str = ""


def view_of(case: Case, found: Explained, display: Display) -> View:
    """The map on the model's input or on the original, with the row's lesions."""
    picture, shape = results.original(case.image, models.predictor(case.run).recipe)
    shown = lesions_of(case, shape) if display.outlines else NO_LESIONS
    return on_input(found, shown) if display.place == "input" else on_original(found, picture, shape, shown)


def lesions_of(case: Case, shape: tuple[int, int]) -> Lesions:
    """What the run's manifest draws on the case's image, of (height, width)."""
    return NO_LESIONS if case.row is None else lesions.of_row(case.image, case.row, shape)


def style() -> dict[str, Any]:
    """How the map was drawn last: opacity, colormap, outline (on or off)."""
    from core.gradcam import COLORMAPS, OPACITY

    opacity, colormap = preferences.get("explain:opacity", OPACITY), preferences.get("explain:colormap", COLORMAPS[0])
    good = isinstance(opacity, int | float) and 0 <= opacity <= 1
    return {
        "opacity": float(opacity) if good else OPACITY,
        "colormap": colormap if colormap in COLORMAPS else COLORMAPS[0],
        "outline": preferences.get("explain:outline", True) is not False,
    }


def store_style() -> None:
    """Remember opacity, colours, outline and swipe as set in the browser."""
    for name, value in (st.session_state[PICTURES]["look"] or {}).items():
        if name in ("opacity", "colormap", "outline", "swipe"):
            preferences.set(f"explain:{name}", value)


def saving(
    run: Run,
    shown: list[Case],
    found: list[Explained],
    views: list[View],
    display: Display,
    ask: Ask,
    listed: pd.DataFrame | None,
) -> None:
    """Save the overlay to the run, download it, or save those of the whole list."""
    from core.gradcam import SLOW

    more = "" if len(shown) == 1 else f"and-{shown[1].name}"
    name = file_name(shown[0].image.name, found[0], original=display.place == "original", more=more)
    overlay = saved_picture(views)
    if st.button("Save overlay to the run", type="primary", icon=":material/save:", width="stretch", key="explain:save"):
        path = save(run.path, name, overlay)
        st.toast(f"Saved: {settings.display_path(path)}", icon=":material/check_circle:")
    buttons = st.container(horizontal=True, gap="small")  # below each other where the column is narrow
    with buttons:
        components.download("Download", encode_png(overlay), name, "image/png", "explain:download")
    if listed is not None and len(listed) > 1 and ask.method not in SLOW:
        count = min(MANY, len(listed))
        words = f"The first {count} of this list, into the run's explain folder."
        if buttons.button(f"Save heatmaps of {count}", key="explain:many", help=words):
            save_many(run, listed.head(count), ask, display)


def saved_picture(views: list[View]) -> Picture:
    """The overlays in a row, as they are shown."""
    return side_by_side([drawn(view, **style()) for view in views])


def save_many(run: Run, rows: pd.DataFrame, ask: Ask, display: Display) -> None:
    """Save the overlays of several images with a progress bar; images that cannot be read are listed."""
    bar = st.progress(0.0, text="Saving")
    refused: list[str] = []
    for done, (_, row) in enumerate(rows.iterrows(), start=1):
        case = Case(run, images.image_ref(row["path"]), row, "")
        try:
            test_set_access.record_run(HEATMAPS, "Explain", run, [str(row["path"])])
            found = results.explanation(run, case.image, ask)
            if found.heat is None:
                refused.append(f"{case.image.name}: {found.prediction.verdict}")
                continue
            overlay = saved_picture([view_of(case, found, display)])
        except LabError as error:
            refused.append(str(error))
            continue
        save(run.path, file_name(case.image.name, found, original=display.place == "original"), overlay)
        bar.progress(done / len(rows), text=f"Saving · {done} of {len(rows)}")
    bar.empty()
    st.success(f"Saved {len(rows) - len(refused)} overlays to {settings.display_path(run.path / 'explain')}.")
    for reason in refused[:3]:
        notices.show_error(reason)
