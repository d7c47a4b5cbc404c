"""What the Explain page shows of images: verdicts, warnings, and heatmaps with what they mean."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from core.preprocessing.geometry import map_points, scaling
from core.wording import plain, upper_first
from dashboard.cache import lesions, results, tiles
from dashboard.cache.explanations import Ask, Explained, View, without_map
from dashboard.state import models, preferences
from dashboard.ui import chance_notices, notices, viewer
from dashboard.ui.viewer import Pane
from dashboard.views.explain import panels
from dashboard.views.explain.comparison import Case
from dashboard.views.explain.saving import PICTURES, Display, store_style, style

if TYPE_CHECKING:
    from core.gradcam.cam_layers import LayerChoice

PICTURE_HEIGHT = 760  # px, at most: as high as the window leaves room for (frontend/viewing.css)


def method_title(method: str) -> str:
    """`Grad-CAM` for gradcam."""
    from core.gradcam import METHODS

    return METHODS.get(method, method).partition(":")[0]


def layer_title(choice: LayerChoice) -> str:
    """A layer with the size of its map, columns × rows: `last layer (20 × 32)`."""
    return f"last layer ({choice.columns} × {choice.rows})" if choice.usual else choice.title


def no_verdicts(shown: list[Case], found: list[Explained]) -> None:
    """Why there is no verdict, in its place; then the image without a map."""
    refusals(shown, [each if each.heat is None else None for each in found])
    notes(shown, found)
    pieces = []
    for case, each in zip(shown, found, strict=True):
        view = without_map(each)
        pane = pane_of(case, view, "input")
        pieces.append(panels.Panel(view, pane, titled("Model input", pane), case.image.name, bare=True))
    show_panels(pieces, Ask(), subject=shown[0].image.key, linked=False)
    if any(each.heat is not None for each in found):
        how_to_read()


def refusals(shown: list[Case], refused: list[Explained | None]) -> None:
    """Why images get no verdict; None for one that gets one."""
    for case, each in zip(shown, refused, strict=True):
        if each is not None:
            about = f"{case.name}: " if len(shown) > 1 else ""
            chance_notices.no_verdict(each.prediction, "explain", case.image.key, about=about)


def verdicts(shown: list[Case], found: list[Explained]) -> None:
    """Score, decision and truth in a row: of one image, or of two side by side."""
    row = shown[0].row
    truth = "" if row is None else str(row["label"])
    predictions = [each.prediction for each in found]
    refusals(shown, [each if each.prediction.scored_anyway else None for each in found])
    if len(shown) > 1:
        parts = [
            labelled(f"{case.name}: score", f"{prediction.score:.3f}", chance_notices.decided(prediction))
            for case, prediction in zip(shown, predictions, strict=True)
        ]
        st.markdown("   ·   ".join(parts))
        return
    prediction = predictions[0]
    right = "" if not truth or prediction.decision is None else ("correct" if truth == prediction.decision else "wrong")
    parts = [
        labelled("Decision", prediction.decision or "none", "scored anyway" if prediction.refusal else right),
        labelled("Score", f"{prediction.score:.3f}", f"threshold {prediction.threshold_words}"),
        labelled("Truth", truth or "not known", ""),
    ]
    st.markdown("   ·   ".join(parts))
    if cost := models.ensemble(shown[0].run)[1]:
        whose = "those that were not trained on this image" if prediction.judges else "all of them"
        st.caption(f"{plain(upper_first(cost))}. Score and heatmap are the mean of {whose}.")
    if prediction.decision is not None and (placed := chance_notices.placed(shown[0].run, prediction)):
        st.markdown(placed)


def labelled(name: str, value: str, detail: str) -> str:
    """One part of the row above the pictures: what it is, its value, and what else there is to say."""
    more = f" ({plain(detail)})" if detail else ""
    return f"{plain(name)} **{plain(value)}**{more}"


def picture(shown: list[Case], found: list[Explained], views: list[View], ask: Ask, display: Display) -> None:
    """The panels on black, then how to read them."""
    where = "Model input" if display.place == "input" else "Original"
    alone = len(shown) == 1
    places = [pane_of(case, view, display.place) for case, view in zip(shown, views, strict=True)]
    pieces = [panels.Panel(views[0], places[0], titled(where, places[0]), shown[0].image.name, bare=True)] if alone else []
    for case, each, view, pane in zip(shown, found, views, places, strict=True):
        heat = each.drawn
        what = "Evidence for either class" if heat.target == "both" else f"Evidence for {heat.target}"
        layer = next((each for each in results.layer_choices(case.run) if each.name == heat.layer), None)
        detail = f"{method_title(heat.method)}, {heat.layer if layer is None else layer_title(layer)}"
        if display.beside == "view":
            detail = f"{case.image.name} · {detail}"
        if display.beside == "run":
            prepared = each.prediction.prepared
            rows, columns = prepared.pixels.shape
            detail += f" · input {columns} × {rows} px, recipe {prepared.recipe_hash[:8]}"
        name = what if alone else f"{case.name}: {what.lower()}"
        pieces.append(panels.Panel(view, pane, name, detail, note=map_note(case, each)))
    subject = shown[0].image.key + display.place + display.beside
    show_panels(pieces, ask, subject=subject, linked=display.beside != "view")
    how_to_read()


def pane_of(case: Case, view: View, place: str) -> Pane:
    """The image that a view's map lies on, `place` of PLACES, at its own resolution; the loupe begins at the first lesion, else
    where the map is strongest."""
    recipe = models.predictor(case.run).recipe
    picture = viewer.picture(case.image, recipe, tiles.INPUT if place == "input" else tiles.ORIGINAL)
    height, width = view.values.shape
    enlarge = scaling(picture.size[0] / width, picture.size[1] / height)
    outlines = tuple(tuple(map(tuple, map_points(np.asarray(points), enlarge).tolist())) for points in view.outlines)
    share, strength = lesions.spot(outlines, picture.size), np.abs(view.values)
    if share is None and strength.any():
        y, x = np.unravel_index(int(strength.argmax()), strength.shape)
        share = (float(x) + 0.5) / width, (float(y) + 0.5) / height
    spot = None if share is None else (share[0] * picture.size[0], share[1] * picture.size[1])
    found = tiles.staged(case.image, recipe, picture.stage)
    spacing = viewer.spacing(case.image, recipe, found)
    return Pane("", (replace(picture, lesions=outlines),), picture.size, spacing, spot, found.matrix)


def titled(where: str, pane: Pane) -> str:
    """What a picture is, with its size."""
    return f"{where}, {pane.size[0]} × {pane.size[1]} px"


def show_panels(pieces: list[panels.Panel], ask: Ask, *, subject: str, linked: bool) -> None:
    """Pictures in a row, at the size and in the colours of this page."""
    # What the ends of the colour bar mean, and a line under it.
    scale = ("0: none", "1: strongest", "Colours are relative to this image")
    if ask.target == "both":
        scale = ("benign", "malignant", "shares of the strongest in each image")
    panels.show(
        pieces,
        key=PICTURES,
        height=PICTURE_HEIGHT,
        look=style() | {"swipe": preferences.get("explain:swipe", False) is True},
        scale=scale,
        subject=subject,
        linked=linked,
        on_look=store_style,
    )


def how_to_read() -> None:
    """What a heatmap is not, and how it is zoomed."""
    st.caption(
        "A heatmap shows which regions raised this network's score, not where a disease is. Do not compare the colours of two "
        "images. Wheel or + − zooms, drag or arrows move, the space bar (held) hides the map. Press ? for all keys."
    )


def notes(shown: list[Case], found: list[Explained]) -> None:
    """Above the picture: warnings of reader, preparation and gate, in the room of one; without what a refusal says already."""
    said = [
        [*([case.warning] if case.warning else []), *(words for words in each.prediction.warnings if not repeats(each, words))]
        for case, each in zip(shown, found, strict=True)
    ]
    of_all = [words for words in said[0] if all(words in each for each in said)]
    own = [f"{case.name}: {words}" for case, each in zip(shown, said, strict=True) for words in each if words not in of_all]
    notices.warnings([*own, *of_all])


def repeats(found: Explained, warning: str) -> bool:
    """Whether a warning is the reason why there is no verdict, which stands above it."""
    return bool(found.prediction.refusal) and warning in found.prediction.verdict


def map_note(case: Case, found: Explained) -> str:
    """A note on a map, written onto its picture: why it is empty, or that its method is unsuitable."""
    from core.gradcam import AUTO

    heat, parts = found.drawn, []
    layer = next((choice.name for choice in results.layer_choices(case.run) if choice.name == heat.layer), "")
    if heat.flat:
        parts.append(f"No heatmap: {heat.reason}.")
    elif heat.reason:
        parts.append(f"One class has no colour: {heat.reason}.")
    if reason := results.unfit_methods(case.run, layer).get(heat.method):
        parts.append(f"{method_title(heat.method)} is unsuitable for this network: {reason}. Choose {AUTO} for a suitable one.")
    return " ".join(parts)
