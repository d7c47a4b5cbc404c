"""Explain: where in an image a score comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from core.wording import plain
from dashboard.cache import results
from dashboard.cache.explanations import Ask, Explained, View, without_map
from dashboard.cache.images import ImageRef
from dashboard.state import services, widgets
from dashboard.ui import chance_notices, components, test_set_access, uploads
from dashboard.views.explain import choosing, heatmap_audit, panels
from dashboard.views.explain.comparison import Case, by_run, by_view, closed, other_runs, other_view
from dashboard.views.explain.saving import PICTURES, Look, colours, remember_look, saving, view_of

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from core.runs import Run

PAGE = "Explain"  # as records of accesses to test images name it
LOOKS = {"image": "One image", "audit": "Audit of all"}
SOURCES = {"val": "Validation", "test": "Test", "upload": "Upload"}
TARGETS = {"malignant": "malignant", "benign": "benign", "both": "both"}
PLACES = {"input": "Model input", "original": "Original"}
BESIDE = {"image": "Alone", "view": "CC and MLO", "run": "Two runs"}
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
        audit = widgets.segmented("Look at", LOOKS, "explain:look") == "audit"
    if audit:
        heatmap_audit.show(run)
        return
    with right:
        source = source_picker(run)
    workbench(run, source)


def source_picker(run: Run) -> str:
    """Where images come from; the test set only once it has been opened on Evaluate."""
    uploads.forget_lost("explain:source", "explain", "val")
    opened = results.evaluation(run, "test") is not None
    options = [name for name in SOURCES if name != "test" or opened]
    return widgets.segmented("Images from", {name: SOURCES[name] for name in options}, "explain:source")


# ---------------------------------------------------------------- which image


@st.fragment
@components.errors_shown()
def workbench(run: Run, source: str) -> None:
    """Only this reruns when an image, the method or the layer changes."""
    components.require_there(run)
    pictures, controls = st.columns([2, 1], gap="medium")
    with controls:
        if source == "upload":
            image, row, listed = uploads.uploaded("explain"), None, None
        else:
            image, row, listed = choosing.from_split(run, source)
        ask = asking(run)
        boxes = boxes_shown(run, row)
    with pictures:
        if image is None:
            if source == "upload":
                components.empty_state(
                    "No image yet", "Upload a mammogram: DICOM, PNG, JPEG, PGM or TIFF.", icon=":material/add_photo_alternate:"
                )
            return
        look = looking(run, row, boxes, controls)
        shown = cases(run, image, row, look)
        seen(shown)
        anyway = chance_notices.wants_score_anyway("explain", [case.image.key for case in shown])
        found = explanations(shown, ask._replace(anyway=anyway))
        if found is None:
            return
        if any(each.heat is None for each in found):
            unjudged(shown, found)
            return
        views = [view_of(case, each, look) for case, each in zip(shown, found, strict=True)]
        notes(shown, found)
        verdicts(shown, found)
        picture(shown, found, views, ask, look)
    with controls:
        saving(run, shown, found, views, look, ask, listed)


def seen(shown: list[Case]) -> None:
    """Record test images with their heatmaps before they are shown; of an upload say so."""
    from core.runs.test_set.accesses import HEATMAPS

    if shown[0].row is None:
        test_set_access.named(shown[0].image, PAGE, HEATMAPS, [case.run for case in shown])
        return
    for case in shown:
        test_set_access.of_run(HEATMAPS, PAGE, case.run, [str(case.row["path"])])


# ---------------------------------------------------------------- what is asked for


def asking(run: Run) -> Ask:
    """Method, class and layer from their widgets."""
    from core.gradcam import AUTO, CLASSLESS, METHODS, SLOW

    layers = results.layer_choices(run)
    usual = next(choice for choice in layers if choice.usual)
    titles = {"": f"auto: {usual.title}"} | {choice.name: choice.title for choice in layers if not choice.usual}
    kept_layer = services.recall("explain:layer", "")
    refused = results.unfit_methods(run, kept_layer if kept_layer in titles else "")
    methods = {AUTO: AUTO} | {name: name for name in METHODS if name not in refused}
    methods |= {name: f"{name} (unsuitable here)" for name in METHODS if name in refused}
    explained = [f"{AUTO}: what fits the architecture", *METHODS.values()]
    explained += [f"Does not fit this network: {name}, because {reason}." for name, reason in refused.items()]
    method = widgets.select("Method", methods, "explain:method", help="\n\n".join(explained))
    targets = {"malignant": "either class"} if method in CLASSLESS else TARGETS
    target = widgets.select("Evidence for", targets, "explain:target")
    words = "The map's cells, columns × rows. Earlier layers are sharper and say less about the decision."
    layer = widgets.select("Layer", titles, "explain:layer", help=words)
    if method not in SLOW:
        return Ask(method, target, layer)
    words = "Score-CAM masks the image with a layer's feature maps, one forward pass each: first those that vary most."
    channels = widgets.select("Feature maps tried", CHANNELS, "explain:channels", default="128", help=words)
    return Ask(method, target, layer, int(channels))


def boxes_shown(run: Run, row: Any) -> bool:
    """Whether lesion boxes are drawn, from their switch; off where the manifest has none for this breast."""
    from core.data import lesion_boxes

    rows = [] if row is None else [each for each in (row, other_view(run, row)) if each is not None]
    there = any(lesion_boxes(each) for each in rows)
    words = "Where the manifest says that a lesion is." if there else "The manifest has no lesion box for this image."
    return widgets.toggle("Lesion boxes", "explain:boxes", default=True, help=words, disabled=not there)


def looking(run: Run, row: Any, boxes: bool, controls: DeltaGenerator) -> Look:
    """Where the map is drawn and what stands beside it, from buttons above the pictures; the other run from `controls`."""
    others = {each.name: each.name for each in other_runs(run)}
    offered = {"image"} | ({"view"} if other_view(run, row) is not None else set()) | ({"run"} if others else set())
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if run.model_card().synthetic or is_synthetic(row):
            st.badge("SYNTHETIC", color="orange", help="Demo images, or a model trained on them.")
        place = widgets.segmented("On", PLACES, "explain:place", hide_label=True)
        words = {name: BESIDE[name] for name in BESIDE if name in offered}
        beside = widgets.segmented("Beside it", words, "explain:beside", hide_label=True) if len(offered) > 1 else "image"
        if beside != "image" and row is not None:
            st.badge(f"truth: {row['label']}", color="gray")
    with controls:
        second = widgets.select("Other run", others, "explain:second") if beside == "run" else ""
    return Look(place, beside, boxes, second)


def cases(run: Run, image: ImageRef, row: Any, look: Look) -> list[Case]:
    """What is explained: the image, or it and what stands beside it."""

    alone = Case(run, image, row, image.name)
    if look.beside == "view":
        return by_view(run, row, other_view(run, row))
    if look.beside != "run":
        return [alone]
    second = services.open_run(look.second)
    if row is not None and closed(second, image):  # an upload is shown as it is everywhere: recorded, with a warning
        st.warning(
            f"This image is in the test set of {second.name}, which has not been opened. Open it on Evaluate first.",
            icon=":material/lock:",
        )
        return [alone]
    return by_run(Case(run, image, row, run.name), second)


def explanations(shown: list[Case], ask: Ask) -> list[Explained] | None:
    """One for each case; None while a slow method is at work, whose progress is then shown."""
    from core.gradcam import SLOW as SLOW_METHODS

    asked = [(case, ask_of(case, ask)) for case in shown]
    if ask.method not in SLOW_METHODS:
        forget_slow([])
        with st.spinner("Computing the heatmap", show_time=False):
            return [
                results.explanation(case.run, case.image, each.method, each.target, each.layer, score_anyway=each.anyway)
                for case, each in asked
            ]
    found = []
    forget_slow([results.explanation_name(case.run, case.image, each) for case, each in asked])
    for case, each in asked:
        result = results.explanation_task(case.run, case.image, each)
        if isinstance(result, services.Task):
            working(result.name)
            return None
        found.append(result)
    return found


def ask_of(case: Case, ask: Ask) -> Ask:
    """What this run's network can be asked: a layer that it does not have becomes its usual one."""
    known = {choice.name for choice in results.layer_choices(case.run)}
    return ask if ask.layer in known else ask._replace(layer="")


def forget_slow(wanted: list[str]) -> None:
    """Stop what this session had asked of a slow method and no longer looks at."""
    for name in st.session_state.get(SLOW, []):
        if name not in wanted:
            services.stop_task(name)
    st.session_state[SLOW] = wanted


@st.fragment(run_every=0.5)
def working(name: str) -> None:
    """Progress of a slow method with a way to stop it; the page when it is done."""
    task = services.task(name)
    if task is None or task.state == "done":
        st.rerun()
    elif task.running:
        components.task_progress(task)
        st.caption("Score-CAM looks at the image through one feature map after another. The page can be left meanwhile.")
        st.button("Stop", icon=":material/stop:", on_click=lambda: services.stop_task(name), key="explain:stop")
    else:
        if task.state == "failed":
            components.show_error(task.error)
        else:
            st.info(f"Stopped after {task.done} of {task.total} feature maps.", icon=":material/stop_circle:")
        if st.button("Compute it", icon=":material/play_arrow:", type="primary", key="explain:again"):
            services.forget_task(name)
            st.rerun()


# ---------------------------------------------------------------- what is shown


def is_synthetic(row: Any) -> bool:
    """Whether the manifest says so of this image."""
    return row is not None and str(row.get("synthetic", "")).lower() in ("true", "1", "yes")


def unjudged(shown: list[Case], found: list[Explained]) -> None:
    """Why there is no verdict, where it would be; then the image without a map."""
    for case, each in zip(shown, found, strict=True):
        if each.heat is None:
            about = f"{case.name}: " if len(shown) > 1 else ""
            chance_notices.no_verdict(each.prediction, "explain", case.image.key, about=about)
    notes(shown, found)
    pieces = []
    for case, each in zip(shown, found, strict=True):
        height, width = each.prediction.prepared.pixels.shape
        view = without_map(each)
        pieces.append(panels.Panel(view, f"Model input, {width} × {height} px", case.image.name, bare=True))
    show_panels(pieces, Ask(), subject=shown[0].image.key, linked=False)
    if any(each.heat is not None for each in found):
        how_to_read()


def verdicts(shown: list[Case], found: list[Explained]) -> None:
    """Score, decision and truth in a row: of one image, or of two side by side."""
    row = shown[0].row
    truth = "" if row is None else str(row["label"])
    predictions = [each.prediction for each in found]
    for case, prediction in zip(shown, predictions, strict=True):
        if prediction.scored_anyway:
            about = f"{case.name}: " if len(shown) > 1 else ""
            chance_notices.no_verdict(prediction, "explain", case.image.key, about=about)
    if len(shown) > 1:
        parts = [
            said(f"{case.name}: score", f"{prediction.score:.3f}", chance_notices.decided(prediction))
            for case, prediction in zip(shown, predictions, strict=True)
        ]
        st.markdown("   ·   ".join(parts))
        return
    prediction = predictions[0]
    right = "" if not truth or prediction.decision is None else ("correct" if truth == prediction.decision else "wrong")
    parts = [
        said("Decision", prediction.decision or "none", "scored anyway" if prediction.refusal else right),
        said("Score", f"{prediction.score:.3f}", f"threshold {prediction.threshold_words}"),
        said("Truth", truth or "not known", ""),
    ]
    st.markdown("   ·   ".join(parts))
    if prediction.decision is not None and (placed := chance_notices.placed(shown[0].run, prediction)):
        st.markdown(placed)


def said(name: str, value: str, detail: str) -> str:
    """One part of the row above the pictures: what it is, its value, and what else there is to say."""
    more = f" ({plain(detail)})" if detail else ""
    return f"{plain(name)} **{plain(value)}**{more}"


def picture(shown: list[Case], found: list[Explained], views: list[View], ask: Ask, look: Look) -> None:
    """The panels on black, then what has to be known to read them."""

    height, width = views[0].image.shape
    where = "Model input" if look.place == "input" else "Original"
    alone = len(shown) == 1
    pieces = [panels.Panel(views[0], f"{where}, {width} × {height} px", shown[0].image.name, bare=True)] if alone else []
    for case, each, view in zip(shown, found, views, strict=True):
        heat = each.drawn
        what = "Evidence for either class" if heat.target == "both" else f"Evidence for {heat.target}"
        detail = f"{heat.method} at {heat.layer}, {heat.cells[1]} × {heat.cells[0]} cells"
        if look.beside == "view":
            detail = f"{case.image.name} · {detail}"
        if look.beside == "run":
            prepared = each.prediction.prepared
            rows, columns = prepared.pixels.shape
            detail += f" · input {columns} × {rows} px, recipe {prepared.recipe_hash[:8]}"
        name = what if alone else f"{case.name}: {what.lower()}"
        pieces.append(panels.Panel(view, name, detail, note=map_note(case, each)))
    subject = shown[0].image.key + look.place
    show_panels(pieces, ask, subject=subject, linked=look.beside != "view")
    how_to_read()


def show_panels(pieces: list[panels.Panel], ask: Ask, *, subject: str, linked: bool) -> None:
    """Pictures in a row, at the size and in the colours of this page."""
    height, width = pieces[0].view.image.shape
    panels.show(
        pieces,
        key=PICTURES,
        height=PICTURE_HEIGHT,
        ratio=min(max(width / height, PICTURE_RATIOS[0]), PICTURE_RATIOS[1]),
        look=colours() | {"swipe": services.recall("explain:swipe", False) is True},
        scale=scale_words(ask),
        subject=subject,
        linked=linked,
        on_look=remember_look,
    )


def how_to_read() -> None:
    """What a heatmap is not, and how it is zoomed."""
    st.caption(
        "A heatmap shows where this network looked, not where a disease is; strengths of two images do not compare. "
        "Wheel or + − zooms, drag or arrows move, holding the space bar hides the map. Press ? in a picture for all keys."
    )


def scale_words(ask: Ask) -> tuple[str, str, str]:
    """What the ends of the colour bar mean, and a line under it."""
    if ask.target == "both":
        return "benign", "malignant", "shares of the strongest in each image"
    return "0: none", "1: strongest", "Colours are relative to this image"


def notes(shown: list[Case], found: list[Explained]) -> None:
    """Above the picture: what reader, preparation and gate were unsure about."""
    for case, each in zip(shown, found, strict=True):
        name = f"{case.name}: " if len(shown) > 1 else ""
        for warning in (*each.prediction.warnings, *([case.warning] if case.warning else [])):
            st.warning(f"{name}{warning}", icon=":material/warning:")


def map_note(case: Case, found: Explained) -> str:
    """What has to be known of a map, to be written onto its picture: why it is empty, or that its method does not fit."""
    from core.gradcam import AUTO

    heat, parts = found.drawn, []
    layer = next((choice.name for choice in results.layer_choices(case.run) if choice.name == heat.layer), "")
    if heat.flat:
        parts.append(f"No heatmap: {heat.reason}.")
    elif heat.reason:
        parts.append(f"One class has no colour: {heat.reason}.")
    if reason := results.unfit_methods(case.run, layer).get(heat.method):
        parts.append(f"{heat.method} does not fit this network: {reason}. Choose {AUTO} to see a map that does.")
    return " ".join(parts)


with components.page(
    "Explain", "Where in an image a score comes from: heatmaps over what the model saw, or over the original."
):
    show()
