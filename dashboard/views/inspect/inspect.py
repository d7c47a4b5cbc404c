"""Inspector: the image after each step from the file to what the model sees, with the proof of what was done."""

from __future__ import annotations

import html
from collections.abc import Iterable
from dataclasses import replace

import streamlit as st

from core.config import Recipe
from core.images.mammogram import ImageMeta
from core.inspection import InspectedStage, Inspection, facts, geometry, parameter_words, recipe_facts, value_words
from core.plots.style import base_figure
from core.wording import plain
from dashboard.cache import images, inspections, lesions
from dashboard.cache.images import ImageRef
from dashboard.cache.inspections import Inspected
from dashboard.state import models, preferences, widgets
from dashboard.ui import components, image_components, lesion_switch, notices, pages, viewer
from dashboard.ui.image_components import Tile
from dashboard.views.inspect import panes, recipe_choice

STAGE = "inspect:stage"


def show() -> None:
    """The picker on top, then everything about the image chosen."""
    image = components.image_picker(key="inspect")
    if image is not None:
        board(image)


@st.fragment
@notices.errors_shown()
def board(image: ImageRef) -> None:
    """The viewer beside what is known of the stage, then all stages and tables. Only this reruns when something is chosen."""
    bar = st.container(horizontal=True, vertical_alignment="center", gap="small")
    with bar:
        hanging, rows = panes.hanging(image)
    with st.container(key="narrow_stack_viewer"):
        picture, beside = st.columns([7, 4], gap="medium") if hanging == panes.ONE else (st.container(), st.container())
    with beside:
        recipe = recipe_choice.recipe(widgets.select("Recipe", recipe_choice.choices(), "inspect:recipe"))
        with st.spinner("Reading the image", show_time=False):
            meta = images.mammogram(image, recipe).meta
        tried = window_picker(image, meta, recipe)
        image = frame_picker(image, meta)
        if tried != recipe:
            only_here(recipe)
        with st.spinner("Preparing the image", show_time=False):
            found = inspections.inspected(image, tried)
    inspection = found.inspection
    with bar:
        index = stage_picker(inspection)
    drawn = lesions.of_image(image, inspection.stages[0].shape)
    with picture, st.spinner("Reading the images", show_time=False):
        shown = (
            panes.hung(rows, tried, inspection.stages[index].name)
            if rows
            else [panes.compared(image, inspection, index, drawn)]
        )
        viewer.show(shown, key="inspect:viewer", subject=f"{image.key}:{image.frame}:{hanging}")
    with beside:
        components.synthetic_image_notice("inspect", meta)
        doubts = gate_verdict(image, tried, inspection)
        notices.warnings([*doubts, *inspection.warnings])
        lesion_switch.problem(drawn)
        about(inspection, index)
    strip(found, index)
    with st.container(key="narrow_stack_saving"):
        summary, saving = st.columns([7, 3], gap="medium")
    summary.markdown(
        f"Recipe `{inspection.prepared.recipe_hash}` · **{inspection.milliseconds:.0f} ms** from file to model input. "
        f"{geometry(inspection)}"
    )
    with saving:
        downloads(found)
    st.divider()
    tables(inspection)


def window_picker(image: ImageRef, meta: ImageMeta, recipe: Recipe) -> Recipe:
    """The recipe with the window to try, where the file offers several."""
    if len(meta.windows) < 2:
        return recipe
    taken = min(recipe.voi_index, len(meta.windows))
    words = recipe_choice.windows(meta.windows, taken)
    chosen = st.selectbox(
        "Window (to try here)",
        list(words),
        index=taken,
        format_func=words.__getitem__,
        key=f"inspect:window:{image.key}:{taken}",
    )
    return recipe if chosen == taken else recipe.model_copy(update={"voi_index": chosen})


def only_here(recipe: Recipe) -> None:
    """That the window is tried on this page only, and where it is saved."""
    words, link = st.columns([5, 2], vertical_alignment="center")
    words.info(
        f"Only here: the recipe takes window {recipe.voi_index}, for training and prediction too. Preprocess is where it is "
        "changed.",
        icon=":material/experiment:",
    )
    if link.button("Change it on Preprocess", icon=":material/tune:", key="inspect:to_preprocess"):
        pages.go_to("preprocess")


def frame_picker(image: ImageRef, meta: ImageMeta) -> ImageRef:
    """The image with the frame to take, where the file has several."""
    if meta.frames < 2:
        return image
    chosen = st.slider(
        f"Frame, 1 to {meta.frames}",
        1,
        meta.frames,
        meta.frame + 1,
        key=f"inspect:frame:{image.key}",
        help=f"Without a choice frame {meta.frame + 1} is taken: the middle one of a DICOM stack, the first page of a TIFF.",
    )
    return image if chosen == meta.frame + 1 else replace(image, frame=chosen - 1)


# ---------------------------------------------------------------- all stages


def gate_verdict(image: ImageRef, recipe: Recipe, inspection: Inspection) -> list[str]:
    """Whether a model would judge this image: by the file's header and, for a trained model's recipe, by that model's gate.

    Returns its warnings, beside those of the inspection.
    """
    from core.gate import doubts_of_origin, refusal_of_origin
    from core.prediction import no_verdict

    run = recipe_choice.run_of(preferences.get("inspect:recipe", ""))
    if run is not None and models.predictor(run).recipe == recipe:
        mammogram = images.mammogram(image, recipe)
        prediction = models.predictor(run).predict_prepared(inspection.prepared, mammogram, source=image.source)
        refusal, name = prediction.refusal, f"Gate of {run.name}"
        far = "" if prediction.distance is None else f" Distance: {prediction.distance:.2f} of what is allowed."
        doubts = [warning for warning in prediction.warnings if warning not in inspection.warnings]
    else:
        found = inspection.prepared.breast_found
        refusal = refusal_of_origin(inspection.meta, breast_found=found, recipe=inspection.recipe, warnings=inspection.warnings)
        name, far, doubts = "Gate", "", list(doubts_of_origin(inspection.meta))
        far = "" if refusal else " A model asks more: choose a trained model's recipe to see whether it would judge this image."
    if refusal:
        notices.error(f"{name}: {plain(no_verdict(refusal))}{far}", icon="block")
    else:
        st.markdown(f":material/verified: {plain(name)}: no objection to this image.{far}")
    return doubts


def stage_picker(inspection: Inspection) -> int:
    """The index of the stage that is shown, from a bar with their names."""
    names = [stage.name for stage in inspection.stages]
    # What was chosen on another image may not be a step of this one.
    current = preferences.get(STAGE)
    default = current if current in names else names[-1]
    titles = {stage.name: stage.title for stage in inspection.stages}
    return names.index(widgets.segmented("Stage", titles, STAGE, default=default, hide_label=True))


def strip(found: Inspected, index: int) -> None:
    """The stages as tiles in order; a click chooses."""
    stages = found.inspection.stages
    names = [stage.name for stage in stages]
    tiles = [
        Tile(
            picture,
            caption=f"{number}. {stage.title}",
            detail=_detail(stage, number),
            label="unsure" if stage.step.warnings else "",
            color="#e69f00",
            id=stage.name,
        )
        for number, (stage, picture) in enumerate(zip(stages, found.thumbnails, strict=True), start=1)
    ]
    columns = len(tiles) if len(tiles) < 6 else -(-len(tiles) // 2)
    picked = image_components.gallery(tiles, key="inspect:strip", columns=columns, height=190, clickable=True)
    if picked in names and picked != names[index]:
        preferences.set(STAGE, picked)
        st.rerun(scope="fragment")


def _detail(stage: InspectedStage, number: int) -> str:
    size = f"{stage.shape[1]} × {stage.shape[0]}"
    spent = f"{stage.step.milliseconds:.0f} ms" if number > 1 else ""
    return " · ".join(part for part in (size, spent, "" if stage.changed or number == 1 else "no change") if part)


# ---------------------------------------------------------------- one stage


def about(inspection: Inspection, index: int) -> None:
    """Everything known about a stage."""
    stage, earlier = inspection.stages[index], inspection.stages[max(0, index - 1)]
    st.markdown(f"## {index + 1}. {stage.title}", anchors=False)
    st.markdown(stage.words + ("" if stage.changed or index == 0 else " **No pixel changed.**"))
    notices.warnings(stage.step.warnings, "stage")
    pixels = widgets.segmented("Pixels", ["Inside the breast", "Whole image"], "inspect:pixels", hide_label=True)
    histogram(stage, earlier, inside=pixels != "Whole image")
    _pairs(_facts(stage))


def histogram(stage: InspectedStage, earlier: InspectedStage, *, inside: bool) -> None:
    """Grey levels after the stage, and before it."""
    chart = base_figure("grey level (0 black, 255 white)", "% of pixels")
    drawn: list[tuple[InspectedStage, str, str, str | None]] = [(stage, "#7468ee", "solid", "tozeroy")]
    if earlier is not stage:
        drawn.insert(0, (earlier, "#808495", "dot", None))
    for which, color, dash, fill in drawn:
        values = inspections.percentages((which.inside if inside else which.histogram).tolist())
        width = 256 // len(values)
        chart.add_scatter(
            x=[width / 2 + width * number for number in range(len(values))],
            y=values,
            name=which.title,
            mode="lines",
            line={"color": color, "width": 2, "dash": dash, "shape": "hvh"},
            fill=fill,
            hovertemplate="%{y:.1f} %",
        )
    chart.update_layout(hovermode="x unified", xaxis_range=[0, 255], yaxis_rangemode="tozero", showlegend=True)
    alt = "histogram before and after the step"
    components.chart(chart, "inspect:histogram", height=230, alt=alt, saved_as=f"histogram {stage.title}")


def _facts(stage: InspectedStage) -> list[tuple[str, str]]:
    height, width = stage.shape
    rows = [
        ("size", f"{width} × {height} px"),
        ("range", f"{stage.lowest:.3f}–{stage.highest:.3f}, mean {stage.mean:.3f}"),
        *((name.replace("_", " "), value_words(value)) for name, value in stage.step.parameters.items()),
    ]
    return rows if stage.name == "original" else [*rows, ("time", f"{stage.step.milliseconds:.1f} ms")]


# ---------------------------------------------------------------- file and recipe


def tables(inspection: Inspection) -> None:
    """The file's header, what the reader did, and the recipe's values."""
    file, reader, recipe = st.columns([5, 4, 4], gap="medium")
    with file:
        st.markdown("## Header of the file", anchors=False)
        pseudonym = bool(inspection.meta.patient) and st.toggle(
            "Show the patient's pseudonym",
            key="inspect:pseudonym",
            help="The same for all images of a patient, made with a key that stays on this machine.",
        )
        _pairs(facts(inspection.meta, inspection.stages[0].shape, pseudonym=pseudonym))
    with reader:
        st.markdown("## What the reader did", anchors=False)
        _pairs(
            (step.name, f"{parameter_words(step.parameters) or '–'} · {step.milliseconds:.1f} ms")
            for step in inspection.reading
        )
    with recipe:
        st.markdown("## The recipe", anchors=False)
        _pairs([("Hash", inspection.prepared.recipe_hash), *recipe_facts(inspection.recipe)])


def downloads(found: Inspected) -> None:
    """The inspection as one file to pass on, and the model's input. Named by the recipe: file names often name patients."""
    recipe_hash = found.inspection.prepared.recipe_hash
    left, right = st.container(key="narrow_fit_save").columns(2)
    with left:
        words = "This page as one file that opens offline. It names no file and no patient."
        name = f"inspection-{recipe_hash}.html"
        components.download("HTML", found.html, name, "text/html", "inspect:html", help=words, wide=True)
    with right:
        words = "What the model sees, each of its pixels."
        name = f"model-input-{recipe_hash}.png"
        components.download("Input PNG", found.png, name, "image/png", "inspect:png", help=words, wide=True)


def _pairs(rows: Iterable[tuple[str, str]]) -> None:
    """Names and values under each other."""
    cells = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>" for name, value in rows)
    st.html(f'<dl class="lab-pairs">{cells}</dl>')


with components.page(
    "Inspector",
    "One mammogram after each step from the file to what the model sees: what was done, and what it did to the grey levels.",
):
    show()
