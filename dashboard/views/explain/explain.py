"""Explain: where in an image a score comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from core.data.lesion_places import with_lesions
from core.runs import Run
from core.runs.test_set.accesses import HEATMAPS
from core.runs.test_set.external import short_name
from dashboard.cache import results
from dashboard.cache.explanations import Ask, Explained
from dashboard.cache.images import ImageRef
from dashboard.state import preferences, tasks, training_runs, widgets
from dashboard.state.tasks import Task
from dashboard.state.widgets import Options
from dashboard.ui import background, chance_notices, components, lesion_switch, notices, test_set_access, uploads
from dashboard.views.explain import choosing, heatmap_audit, showing
from dashboard.views.explain.comparison import Case, by_run, by_view, closed, other_runs, other_view
from dashboard.views.explain.saving import Display, saving, view_of
from dashboard.views.explain.showing import layer_title, method_title

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

PAGE = "Explain"  # as records of accesses to test images name it
MODES = {"image": "One image", "audit": "Heatmap audit"}
_AUDIT = "The heatmap audit counts on all images of a split how often heatmaps point at known lesions."
SOURCES = {"val": "Validation", "test": "Test", "upload": "Upload"}
TARGETS = ["malignant", "benign", "both"]
PLACES = {"input": "Model input", "original": "Original"}
BESIDE = {"image": "No comparison", "view": "CC and MLO", "run": "Two runs"}
CHANNELS = {"32": "32", "128": "128", "512": "512", "0": "all"}
SLOW = "explain:slow"  # in the session: names of the slow methods' tasks that this page has asked for


def show() -> None:
    """Run and image on top; pictures on the left, everything that changes them on the right."""
    row = st.container(horizontal=True, gap="medium")
    with row:
        run = components.run_picker(with_model=True)
    if run is None:
        return
    with row:
        audit = widgets.segmented("Mode", MODES, "explain:look", help=_AUDIT) == "audit"
    if audit:
        heatmap_audit.show(run)
        return
    with row:
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
            showing.no_verdicts(shown, found)
            return
        views = [view_of(case, each, display) for case, each in zip(shown, found, strict=True)]
        showing.notes(shown, found)
        showing.verdicts(shown, found)
        showing.picture(shown, found, views, ask, display)
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


def is_synthetic(row: Any) -> bool:
    """Whether the manifest marks this image as synthetic."""
    return row is not None and str(row.get("synthetic", "")).lower() in ("true", "1", "yes")


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


with components.page(
    "Explain", "Where in an image a score comes from: heatmaps over what the model saw, or over the original."
):
    show()
