"""Explain: where in an image a score comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from core.data.lesion_places import with_lesions
from core.runs import Run
from core.runs.test_set.accesses import HEATMAPS
from core.runs.test_set.external import short_name
from core.wording import plain
from dashboard.cache import results
from dashboard.cache.explanations import Ask, Explained, View, without_map
from dashboard.cache.images import ImageRef
from dashboard.state import preferences, tasks, training_runs, widgets
from dashboard.state.tasks import Task
from dashboard.state.widgets import Options
from dashboard.ui import background, chance_notices, components, lesion_switch, notices, test_set_access, uploads
from dashboard.views.explain import choosing, heatmap_audit, panels
from dashboard.views.explain.comparison import Case, by_run, by_view, closed, other_runs, other_view
from dashboard.views.explain.saving import PICTURES, Display, saving, store_style, style, view_of

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from core.gradcam.cam_layers import LayerChoice

PAGE = "Explain"  # as records of accesses to test images name it
MODES = {"image": "One image", "audit": "Audit of all images"}
SOURCES = {"val": "Validation", "test": "Test", "upload": "Upload"}
TARGETS = ["malignant", "benign", "both"]
PLACES = {"input": "Model input", "original": "Original"}
BESIDE = {"image": "No comparison", "view": "CC and MLO", "run": "Two runs"}
CHANNELS = {"32": "32", "128": "128", "512": "512", "0": "all"}
SLOW = "explain:slow"  # in the session: names of the slow methods' tasks that this page has asked for
PICTURE_HEIGHT = 640  # px, at most: as high as the window leaves room for (frontend/heat.css)
PICTURE_RATIOS = (0.6, 1.35)  # width to height of a picture's frame, least and most


def show() -> None:
    """Run and image on top; pictures on the left, everything that changes them on the right."""
    left, middle, right = st.columns([3, 4, 5])
    with left:
        run = components.run_picker(with_model=True)
    if run is None:
        return
    with middle:
        audit = widgets.segmented("Mode", MODES, "explain:look") == "audit"
    if audit:
        heatmap_audit.show(run)
        return
    with right:
        uploads.forget_lost("explain:source", "explain", "val")
        opened = results.evaluation(run, "test") is not None
        others = {name: f"External: {short_name(name)}" for name in results.external_splits(run)}
        own = {name: SOURCES[name] for name in ("val", "test") if name != "test" or opened}
        offered = own | others | {"upload": SOURCES["upload"]}
        source = widgets.segmented("Images from", offered, "explain:source")
    workbench(run, source)


# ---------------------------------------------------------------- which image


@st.fragment
@notices.errors_shown()
def workbench(run: Run, source: str) -> None:
    """Only this reruns when an image, the method or the layer changes."""
    notices.require_existing(run)
    pictures, controls = st.columns([2, 1], gap="medium")
    with controls:
        if source == "upload":
            image, row, listed = uploads.uploaded("explain"), None, None
        else:
            image, row, listed = choosing.from_split(run, source)
        ask = ask_options(run)
        outlines = outlines_shown(run, row)
    with pictures:
        if image is None:
            if source == "upload":
                components.empty_state(
                    "No image yet", "Upload a mammogram: DICOM, PNG, JPEG, PGM or TIFF.", icon=":material/add_photo_alternate:"
                )
            return
        display = display_options(run, row, outlines, controls)
        shown = cases(run, image, row, display)
        record(shown)
        anyway = chance_notices.wants_score_anyway("explain", [case.image.key for case in shown])
        found = explanations(shown, ask._replace(anyway=anyway))
        if found is None:
            return
        if any(each.heat is None for each in found):
            no_verdicts(shown, found)
            return
        views = [view_of(case, each, display) for case, each in zip(shown, found, strict=True)]
        notes(shown, found)
        verdicts(shown, found)
        picture(shown, found, views, ask, display)
    with controls:
        saving(run, shown, found, views, display, ask, listed)


def record(shown: list[Case]) -> None:
    """Record test images with their heatmaps before they are shown; of an upload say so."""
    if shown[0].row is None:
        test_set_access.record_file(shown[0].image, PAGE, HEATMAPS, [case.run for case in shown])
        return
    for case in shown:
        test_set_access.record_run(HEATMAPS, PAGE, case.run, [str(case.row["path"])])


# ---------------------------------------------------------------- what is asked for


def ask_options(run: Run) -> Ask:
    """Method, class and layer from their widgets."""
    from core.gradcam import AUTO, CLASSLESS, METHODS, SLOW

    layers = results.layer_choices(run)
    usual = next(choice for choice in layers if choice.usual)
    titles = {"": layer_title(usual)} | {choice.name: choice.title for choice in layers if not choice.usual}
    stored = preferences.get("explain:layer", "")
    refused = results.unfit_methods(run, stored if stored in titles else "")
    methods = {AUTO: AUTO} | {name: method_title(name) for name in METHODS if name not in refused}
    methods |= {name: f"{method_title(name)} (unsuitable here)" for name in METHODS if name in refused}
    explained = [f"{AUTO}: what fits the architecture", *METHODS.values()]
    explained += [f"{method_title(name)} is unsuitable for this network: {reason}." for name, reason in refused.items()]
    method = widgets.select("Method", methods, "explain:method", help="\n\n".join(explained))
    targets: Options = {"malignant": "either class"} if method in CLASSLESS else TARGETS
    target = widgets.select("Evidence for", targets, "explain:target")
    words = "The map's cells, columns × rows. Earlier layers are sharper and say less about the decision."
    layer = widgets.select("Layer", titles, "explain:layer", help=words)
    if method not in SLOW:
        return Ask(method, target, layer)
    words = "Score-CAM masks the image with a layer's feature maps, one forward pass each: first those that vary most."
    channels = widgets.select("Feature maps tried", CHANNELS, "explain:channels", default="128", help=words)
    return Ask(method, target, layer, int(channels))


def method_title(method: str) -> str:
    """`Grad-CAM` for gradcam."""
    from core.gradcam import METHODS

    return METHODS.get(method, method).partition(":")[0]


def layer_title(choice: LayerChoice) -> str:
    """A layer with the size of its map, columns × rows: `last layer (20 × 32)`."""
    return f"last layer ({choice.columns} × {choice.rows})" if choice.usual else choice.title


def outlines_shown(run: Run, row: Any) -> bool:
    """Whether lesions are drawn, from their switch; off where the manifest has none for this breast."""
    rows = [] if row is None else [each for each in (row, other_view(run, row)) if each is not None]
    return lesion_switch.switch(bool(rows) and bool(with_lesions(pd.DataFrame(rows)).any()), "explain:boxes")


def display_options(run: Run, row: Any, outlines: bool, controls: DeltaGenerator) -> Display:
    """What the map is drawn on and compared with, from buttons above the pictures; the other run from `controls`."""
    others = [each.name for each in other_runs(run)]
    offered = {"image"} | ({"view"} if other_view(run, row) is not None else set()) | ({"run"} if others else set())
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if run.model_card().synthetic or is_synthetic(row):
            notices.synthetic_badge("Demo images, or a model trained on them.")
        place = widgets.segmented("Overlay on", PLACES, "explain:place", hide_label=True)
        words = {name: BESIDE[name] for name in BESIDE if name in offered}
        beside = widgets.segmented("Compare", words, "explain:beside", hide_label=True) if len(offered) > 1 else "image"
        if beside != "image" and row is not None:
            st.badge(f"truth: {row['label']}", color="gray")
    with controls:
        second = widgets.select("Other run", others, "explain:second") if beside == "run" else ""
    return Display(place, beside, outlines, second)


def cases(run: Run, image: ImageRef, row: Any, display: Display) -> list[Case]:
    """What is explained: the image, or it and the one it is compared with."""
    alone = Case(run, image, row, image.name)
    if display.beside == "view":
        return by_view(run, row, other_view(run, row))
    if display.beside != "run":
        return [alone]
    second = training_runs.open_run(display.second)
    if row is not None and closed(second, image):  # an upload is shown as it is everywhere: recorded, with a warning
        notices.warning(
            f"This image is in the test set of {second.name}, which has not been evaluated. Open it on Evaluate first.",
            icon="lock",
        )
        return [alone]
    return by_run(Case(run, image, row, run.name), second)


def explanations(shown: list[Case], ask: Ask) -> list[Explained] | None:
    """One for each case; None while a slow method is running, whose progress is then shown."""
    from core.gradcam import SLOW as SLOW_METHODS

    asked = []
    for case in shown:  # a layer that another run's network does not have becomes its usual one
        known = {choice.name for choice in results.layer_choices(case.run)}
        asked.append((case, ask if ask.layer in known else ask._replace(layer="")))
    if ask.method not in SLOW_METHODS:
        forget_slow([])
        with st.spinner("Computing the heatmap", show_time=False):
            return [results.explanation(case.run, case.image, each) for case, each in asked]
    found = []
    forget_slow([results.explanation_name(case.run, case.image, each) for case, each in asked])
    for case, each in asked:
        result = results.explanation_task(case.run, case.image, each)
        if isinstance(result, Task):
            without_result(result)
            return None
        found.append(result)
    return found


def forget_slow(wanted: list[str]) -> None:
    """Stop this session's slow methods that the page no longer shows."""
    for name in st.session_state.get(SLOW, []):
        if name not in wanted:
            tasks.stop_task(name)
    st.session_state[SLOW] = wanted


def without_result(task: Task) -> None:
    """Progress of a slow method; of one that was stopped or failed, that, and a button that begins again."""
    note = "Score-CAM masks the image with one feature map after another. You can leave this page meanwhile."
    if background.running(task.name, stop="explain:stop", note=note):
        return
    if task.state == "done":
        st.rerun()
    if task.state == "stopped":
        notices.info(f"Stopped after {task.done} of {task.total} feature maps.", icon="stop_circle")
    if st.button("Compute it", icon=":material/play_arrow:", type="primary", key="explain:again"):
        tasks.forget_task(task.name)
        st.rerun()


# ---------------------------------------------------------------- what is shown


def is_synthetic(row: Any) -> bool:
    """Whether the manifest marks this image as synthetic."""
    return row is not None and str(row.get("synthetic", "")).lower() in ("true", "1", "yes")


def no_verdicts(shown: list[Case], found: list[Explained]) -> None:
    """Why there is no verdict, in its place; then the image without a map."""
    refusals(shown, [each if each.heat is None else None for each in found])
    notes(shown, found)
    pieces = []
    for case, each in zip(shown, found, strict=True):
        height, width = each.prediction.prepared.pixels.shape
        view = without_map(each)
        pieces.append(panels.Panel(view, f"Model input, {width} × {height} px", case.image.name, bare=True))
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
    if prediction.decision is not None and (placed := chance_notices.placed(shown[0].run, prediction)):
        st.markdown(placed)


def labelled(name: str, value: str, detail: str) -> str:
    """One part of the row above the pictures: what it is, its value, and what else there is to say."""
    more = f" ({plain(detail)})" if detail else ""
    return f"{plain(name)} **{plain(value)}**{more}"


def picture(shown: list[Case], found: list[Explained], views: list[View], ask: Ask, display: Display) -> None:
    """The panels on black, then how to read them."""
    height, width = views[0].image.shape
    where = "Model input" if display.place == "input" else "Original"
    alone = len(shown) == 1
    pieces = [panels.Panel(views[0], f"{where}, {width} × {height} px", shown[0].image.name, bare=True)] if alone else []
    for case, each, view in zip(shown, found, views, strict=True):
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
        pieces.append(panels.Panel(view, name, detail, note=map_note(case, each)))
    subject = shown[0].image.key + display.place
    show_panels(pieces, ask, subject=subject, linked=display.beside != "view")
    how_to_read()


def show_panels(pieces: list[panels.Panel], ask: Ask, *, subject: str, linked: bool) -> None:
    """Pictures in a row, at the size and in the colours of this page."""
    height, width = pieces[0].view.image.shape
    # What the ends of the colour bar mean, and a line under it.
    scale = ("0: none", "1: strongest", "Colours are relative to this image")
    if ask.target == "both":
        scale = ("benign", "malignant", "shares of the strongest in each image")
    panels.show(
        pieces,
        key=PICTURES,
        height=PICTURE_HEIGHT,
        ratio=min(max(width / height, PICTURE_RATIOS[0]), PICTURE_RATIOS[1]),
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
    """Above the picture: warnings of reader, preparation and gate."""
    for case, each in zip(shown, found, strict=True):
        name = f"{case.name}: " if len(shown) > 1 else ""
        for warning in (*each.prediction.warnings, *([case.warning] if case.warning else [])):
            notices.warning(f"{name}{warning}")


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


with components.page(
    "Explain", "Where in an image a score comes from: heatmaps over what the model saw, or over the original."
):
    show()
