"""Tune the recipe on a real image: everything that follows the sliders at once, then what the model gets of it."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from core.config import Recipe
from core.images.encode import encode_png
from core.inspection import parameter_words
from core.runs import Run
from core.runs.test_set.accesses import PREDICTION
from core.wording import first_few, number, plain
from dashboard.cache import images, lesions, results
from dashboard.cache.images import ImageRef
from dashboard.state import datasets, preferences, training_runs, widgets
from dashboard.ui import chance_notices, components, image_components, lesion_switch, notices, pages, test_set_access
from dashboard.views.preprocess import controls, does_it_help, live_preview, recipes

PAGE = pages.PAGES["preprocess"].title  # as records of accesses to test images name it
PANEL = "preprocess:panel"
NAMED = 3  # differences from a model's recipe that are named before "and 2 more"


def show() -> None:
    """Image picker, then everything that follows the sliders."""
    image = components.image_picker(key="preprocess")
    if image is None:
        return
    image = replace(image, frame=st.session_state.get(f"preprocess:frame:{image.key}"))
    with st.spinner("Reading the image", show_time=False):
        mammogram = images.mammogram(image, recipes.draft())
    components.synthetic_image_notice("preprocess", mammogram.meta)
    tune(image)


@st.fragment
@notices.errors_shown()
def tune(image: ImageRef) -> None:
    """Picture and controls side by side; below them what takes longer. Only this reruns when the recipe changes."""
    outcome()
    recipe = recipes.draft()
    warnings(image, recipe)
    picture, settings = st.columns([7, 3], gap="medium")
    with picture:
        as_stored = stored_inverted(image, recipe)
        found = lesions.of_image(image, pixel_shape(image, recipe))
        lesion_switch.problem(found)
        shown = lesion_switch.switch(found.known, "preprocess:outlines")
        live_preview.preview(image, recipe, found, key="preprocess:bench", outlined=shown, as_stored=as_stored)
        st.caption(
            "Drag the bar to compare, wheel or + − to zoom down to single pixels, drag to move. Click to place the loupe. "
            "Press ? in the picture for all keys."
        )
    with settings:
        current = controls.presets(recipe)
        live_preview.sliders(recipe, key=PANEL, on_change=_moved)
        controls.buttons(image, recipe, current)
    does_it_help.show(recipe)
    grid(recipe)
    left, right = st.columns(2, gap="medium")
    with left:
        model_input(image, recipe)
    with right:
        scoring(image, recipe)
    steps(image, recipe)


def _moved() -> None:
    values = st.session_state[PANEL]["changed"]
    if values:
        values["tile_grid"] = int(values["tile_grid"])
        recipes.change(**{name: values[name] for name in live_preview.LIVE})


def outcome() -> None:
    """Show once whether the recipe was saved."""
    if saved_hash := st.session_state.pop(controls.SAVED, None):
        st.toast(f"Saved. The next training uses recipe {saved_hash}.", icon=":material/check_circle:")
    if reason := st.session_state.pop(controls.FAILED, None):
        notices.show_error(reason)


def warnings(image: ImageRef, recipe: Recipe) -> None:
    """Warnings of the reader and of the preparation, above the picture."""
    found = [warning for step in images.arranged(image, recipe).steps for warning in step.warnings]
    notices.warnings([*images.mammogram(image, recipe).warnings, *found])


def stored_inverted(image: ImageRef, recipe: Recipe) -> bool:
    """Tag an image that is stored inverted; whether its "before" is to be shown as it is stored."""
    if not images.analysis(image, recipe).inverted:
        return False
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.badge("inverted", color="blue", icon=":material/invert_colors:", help="Stored with black and white exchanged.")
        names = {"model": "as the model sees", "stored": "as stored"}
        return widgets.segmented("Before", names, "preprocess:stored", hide_label=True) == "stored"


def pixel_shape(image: ImageRef, recipe: Recipe) -> tuple[int, int]:
    """(height, width) of the file's image."""
    height, width = images.mammogram(image, recipe).pixels.shape
    return height, width


# ---------------------------------------------------------------- what comes out


def grid(recipe: Recipe) -> None:
    """The same recipe on several images of the current data set."""
    path = datasets.current_manifest()
    if path is None:
        return
    frame = test_set_access.visible(PAGE, path)
    if len(frame) < 2:
        return
    title, many, again = st.columns([6, 2, 2], vertical_alignment="bottom")
    title.markdown("## The same recipe on other images", anchors=False)
    with many:
        count = int(widgets.segmented("Images", ["6", "8", "12"], "preprocess:wall", default="6", hide_label=True))
    seed = int(preferences.get("preprocess:wall_seed", 0))
    again.button(
        "Other images",
        icon=":material/shuffle:",
        on_click=lambda: preferences.set("preprocess:wall_seed", seed + 1),
        width="stretch",
        disabled=len(frame) <= count,
    )
    rows = live_preview.choose(frame, count, seed)
    test_set_access.record_shown(PAGE, path, rows["path"])
    refs = [images.image_ref(str(row.path), components.image_title(row)) for row in rows.itertuples()]
    picked = live_preview.grid(refs, rows, recipe, key="preprocess:wall")
    st.caption(
        f"On copies of at most {images.SMALL_SIDE} px, so that twelve keep up: fine texture looks coarser than in "
        "training. Click one to tune on it at full resolution."
    )
    if picked:
        pages.choose_image("preprocess", picked)
        st.rerun()


def model_input(image: ImageRef, recipe: Recipe) -> None:
    """The real pixels that the model gets, each a crisp square."""
    exact = images.prepared(image, recipe)
    height, width = exact.pixels.shape
    st.markdown("## What the model sees", anchors=False)
    image_components.image_on_black(
        encode_png(exact.pixels),
        key="preprocess:input",
        height=380,
        pixelated=True,
        caption=f"{width} × {height} px · recipe {exact.recipe_hash}",
    )


def scoring(image: ImageRef, recipe: Recipe) -> None:
    """With a trained model: how its recipe differs, and its score for this one."""
    st.markdown("## Score of a model", anchors=False)
    run = training_runs.current_run(with_model=True)
    if run is None:
        st.caption("No trained model yet. Once there is one, its score and heatmap can follow the sliders here.")
        return
    components.run_picker(with_model=True, label="Model", key="preprocess:run")
    found = controls.from_model(run, recipe)
    if found:
        named = first_few((f"{each.title}: {each.theirs}, here {each.ours}" for each in found), NAMED, "; ")
        notices.warning(f"{run.name} was trained with another recipe. {named}.")
    if widgets.toggle("Score while tuning", "preprocess:score", default=False):
        score(run, image, recipe, foreign=bool(found))


@notices.errors_shown()
def score(run: Run, image: ImageRef, recipe: Recipe, *, foreign: bool) -> None:
    """Score and heatmap under the recipe of the sliders, beside the score under the model's own."""
    from dashboard.cache.explanations import drawn, on_input

    test_set_access.record_of_model(run, image, PAGE, PREDICTION)
    found = results.what_if(run, image, recipe)
    own = results.explanation(run, image)
    first, second, third = st.columns(3)
    refusal = own.prediction.refusal or found.prediction.refusal
    here = None if refusal else found.prediction.score
    first.metric("With these settings" if foreign else "Score", number(here))
    second.metric("With its own recipe", number(own.prediction.score))
    basis = found.prediction.threshold_basis
    third.metric("Threshold", number(found.prediction.threshold), help=plain(basis) or None)
    if refusal:
        refused = own.prediction if own.prediction.refusal else found.prediction
        notices.error(plain(f"{refused.verdict} The Explain page gives its score anyway."), icon="block")
    else:
        st.caption(plain(chance_notices.decided(own.prediction, "With its own recipe")))
    above = images.mammogram(image, recipe).warnings
    notices.warnings([warning for warning in own.prediction.warnings if warning not in above], "score")
    if found.heat is not None and not refusal:
        overlay = drawn(on_input(found))
        image_components.image_on_black(
            images.preview_jpeg(overlay), key="preprocess:heat", height=300, caption="Evidence for malignant"
        )
    if foreign:
        st.caption(
            "A what-if: the model was not trained on images prepared like this, and its threshold was not chosen for them. "
            "Report only the score with its own recipe."
        )


def steps(image: ImageRef, recipe: Recipe) -> None:
    """What was done, in order, with milliseconds."""
    done = [*images.mammogram(image, recipe).steps, *images.prepared(image, recipe).steps]
    with st.expander(f"What was done: {len(done)} steps, {sum(step.milliseconds for step in done):.0f} ms"):
        rows = [
            {"step": step.name, "with": parameter_words(step.parameters), "ms": round(step.milliseconds, 1)} for step in done
        ]
        st.dataframe(rows, hide_index=True)


with components.page(
    "Preprocess", "Tune how a mammogram becomes what the model sees. Training, preview and prediction use the same function."
):
    show()
