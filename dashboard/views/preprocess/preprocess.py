"""Tune the recipe on a real image: everything that follows the sliders at once, then what the model gets of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import streamlit as st

from core.config import Recipe
from core.errors import LabError
from core.runs.test_set.accesses import PREDICTION
from core.wording import number, plain
from dashboard.cache import images, results
from dashboard.cache.images import ImageRef
from dashboard.state import datasets, preferences, training_runs, widgets
from dashboard.ui import chance_notices, components, image_components, test_set_access
from dashboard.views.preprocess import live_preview, recipes
from dashboard.views.preprocess.recipes import Difference

if TYPE_CHECKING:
    from core.images.mammogram import ImageMeta
    from core.runs.run import Run

SIZES: tuple[int | tuple[int, int], ...] = (128, 192, 224, 256, (320, 192), 384, (384, 240), 512, (512, 320), 768, 1024)
SAVED, FAILED = "preprocess:saved", "preprocess:failed"
PANEL = "preprocess:panel"
CUSTOM = "Custom"
CHOSEN, WRONG = "preprocess:preset_chosen", "preprocess:preset_wrong"
NAMED = 3  # differences from a model's recipe that are named before "and 2 more"


def show() -> None:
    """Image picker, then everything that follows the sliders."""
    image = components.image_picker(key="preprocess")
    if image is None:
        if datasets.current_manifest() is not None:
            components.empty_state(
                "No image yet", "Upload a mammogram or give its path.", icon=":material/add_photo_alternate:"
            )
        return
    image = replace(image, frame=st.session_state.get(f"preprocess:frame:{image.key}"))
    with st.spinner("Reading the image", show_time=False):
        mammogram = images.mammogram(image, recipes.draft())
    from_data_set = preferences.get("preprocess:source", "Data set") == "Data set"
    if mammogram.meta.synthetic or (from_data_set and datasets.current_is_synthetic()):
        components.synthetic_notice()
    tune(image)


@st.fragment
@components.errors_shown()
def tune(image: ImageRef) -> None:
    """Picture and controls side by side; below them what takes longer. Only this reruns when the recipe changes."""
    outcome()
    recipe = recipes.draft()
    doubts(image, recipe)
    picture, controls = st.columns([7, 3], gap="medium")
    with picture:
        as_stored = stored_inverted(image, recipe)
        live_preview.preview(image, recipe, key="preprocess:bench", spot=lesion(image, recipe), as_stored=as_stored)
        st.caption(
            "Drag the bar to compare, wheel or + − to zoom down to single pixels, drag to move. Click to place the loupe. "
            "Press ? in the picture for all keys."
        )
    with controls:
        current = presets(recipe)
        live_preview.sliders(recipe, key=PANEL, on_change=_moved)
        buttons(image, recipe, current)
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
    """Say once whether the recipe was saved."""
    if saved_hash := st.session_state.pop(SAVED, None):
        st.toast(f"Saved. The next training uses recipe {saved_hash}.", icon=":material/check_circle:")
    if reason := st.session_state.pop(FAILED, None):
        components.show_error(reason)


def doubts(image: ImageRef, recipe: Recipe) -> None:
    """What the reader or the preparation was unsure about: seen before the picture it is about."""
    found = [warning for step in images.arranged(image, recipe).steps for warning in step.warnings]
    for warning in dict.fromkeys([*images.mammogram(image, recipe).warnings, *found]):
        st.warning(warning, icon=":material/warning:")


def stored_inverted(image: ImageRef, recipe: Recipe) -> bool:
    """Tag an image that is stored inverted; whether its "before" is to be shown as it is stored."""
    if not images.analysis(image, recipe).inverted:
        return False
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.badge("inverted", color="blue", icon=":material/invert_colors:", help="Stored with black and white exchanged.")
        names = {"model": "as the model sees", "stored": "as stored"}
        return widgets.segmented("Before", names, "preprocess:stored", hide_label=True) == "stored"


def lesion(image: ImageRef, recipe: Recipe) -> tuple[float, float] | None:
    """Where the data set says that a lesion is, in shares of the picture; None for another image and one without a lesion."""
    from core.data import lesion_boxes

    path = datasets.current_manifest()
    if path is None or isinstance(image.source, bytes):
        return None
    frame = datasets.manifest_frame(path)
    rows = frame[frame["path"] == str(image.source)]
    return None if rows.empty else live_preview.lesion_spot(lesion_boxes(rows.iloc[0]), images.arranged(image, recipe))


# ---------------------------------------------------------------- controls


def presets(recipe: Recipe) -> str:
    """Choose a preset, with a line on what it is for; returns the one that the recipe has."""
    own = recipes.own_presets()
    current = recipes.preset_of(recipe, st.session_state.get(CHOSEN, "")) or CUSTOM
    options = [*recipes.PRESETS, *own, *([CUSTOM] if current == CUSTOM else [])]
    st.session_state["preprocess:preset"] = current
    st.selectbox(
        "Preset",
        options,
        key="preprocess:preset",
        on_change=_take_preset,
        label_visibility="collapsed",
        format_func="Preset: {}".format,
    )
    if words := recipes.FOR.get(current):
        st.caption(words)
    if wrong := st.session_state.pop(WRONG, ""):
        components.show_error(wrong)
    return current


def own_presets(current: str) -> None:
    """Save the present settings as a preset; rename or delete the current one where it is the user's own."""
    with st.popover("Save as preset …", icon=":material/bookmark_add:", width="stretch"):
        st.text_input("Name of the new preset", key="preprocess:preset_name", placeholder="My film scanner")
        st.button("Save as preset", on_click=_save_preset, key="preprocess:save_preset", width="stretch")
        if current in recipes.own_presets():
            st.text_input(f"Another name for {current}", key="preprocess:preset_rename")
            st.button("Rename", on_click=_rename_preset, args=(current,), key="preprocess:rename_preset", width="stretch")
            st.button(f"Delete {current}", on_click=recipes.delete_preset, args=(current,), width="stretch")


def _take_preset() -> None:
    name = st.session_state["preprocess:preset"]
    values = {**recipes.PRESETS, **recipes.own_presets()}.get(name)
    if values:
        st.session_state[CHOSEN] = name
        recipes.change(**values)


def _save_preset() -> None:
    name = st.session_state["preprocess:preset_name"]
    st.session_state[WRONG] = recipes.save_preset(name)
    st.session_state[CHOSEN] = name.strip()


def _rename_preset(old: str) -> None:
    name = st.session_state["preprocess:preset_rename"]
    st.session_state[WRONG] = recipes.rename_preset(old, name)
    st.session_state[CHOSEN] = name.strip()


def buttons(image: ImageRef, recipe: Recipe, preset: str) -> None:
    """Undo, redo, reset, what is seldom changed, presets of one's own, and the page's one primary button."""
    changed = recipe != recipes.saved()
    first, second, third = st.columns(3, gap="small")
    first.button("Undo", disabled=not recipes.can(recipes.UNDO), on_click=recipes.undo, width="stretch")
    second.button("Redo", disabled=not recipes.can(recipes.REDO), on_click=recipes.redo, width="stretch")
    third.button(
        "Reset",
        disabled=not changed,
        on_click=lambda: recipes.change(**recipes.saved().model_dump()),
        width="stretch",
        help="Back to the recipe in config.yaml.",
    )
    with st.popover(_seldom_title(image, recipe), icon=":material/tune:", width="stretch"):
        seldom(image, recipe)
        st.button(
            "Factory settings",
            icon=":material/settings_backup_restore:",
            disabled=recipe == Recipe(),
            on_click=lambda: recipes.change(**Recipe().model_dump()),
            width="stretch",
            help="Every setting as MammoLab came with it, whatever config.yaml says. Undo brings yours back.",
        )
    own_presets(preset)
    st.button(
        "Use for training",
        type="primary",
        icon=":material/check:",
        disabled=not changed,
        on_click=_use_for_training,
        width="stretch",
    )
    st.caption(
        "Not saved yet: training still uses the recipe in config.yaml." if changed else "This is the recipe that training uses."
    )
    run = training_runs.current_run(with_model=True)
    if run is not None and _foreign(run, recipe):
        st.caption(f":orange[:material/warning: {run.name} was trained with another recipe: see below.]")


def _foreign(run: Run, recipe: Recipe) -> list[Difference]:
    """Where the recipe differs from that of a run's model; its size aside, which a what-if takes from the model."""
    theirs = recipes.recipe_of(run)
    return [] if theirs is None else [each for each in recipes.differences(recipe, theirs) if each.field != "size"]


def _use_for_training() -> None:
    try:
        test_set_access.recipe_saved(recipes.draft().hash)
        st.session_state[SAVED] = recipes.use_for_training()
    except (LabError, OSError) as error:
        st.session_state[FAILED] = f"The recipe was not saved: {error}"


def _windows_offered(meta: ImageMeta, recipe: Recipe) -> bool:
    return len(meta.windows) > 1 or (bool(meta.windows) and recipe.voi != 1)


def _seldom_title(image: ImageRef, recipe: Recipe) -> str:
    """Names what `seldom` offers for this image."""
    meta = images.mammogram(image, recipe).meta
    there = {"Window": _windows_offered(meta, recipe), "Frame": meta.frames > 1}
    return ", ".join([*(name for name, offered in there.items() if offered), "Crop", "orientation", "size …"])


def seldom(image: ImageRef, recipe: Recipe) -> None:
    """The settings that decide what is cut and turned, and what of the file is read."""
    meta = images.mammogram(image, recipe).meta
    if _windows_offered(meta, recipe):
        words = {0: "none: the whole range", **dict(enumerate(meta.windows, 1))}
        words.setdefault(recipe.voi, f"{recipe.voi} (this file takes its last)")
        st.selectbox(_title("voi"), list(words), format_func=words.__getitem__, **_widget("voi", recipe.voi))
    if meta.frames > 1:
        key = f"preprocess:frame_widget:{image.key}"
        st.session_state[key] = meta.frame + 1
        slot = f"preprocess:frame:{image.key}"
        st.number_input(
            f"Frame, of {meta.frames}",
            1,
            meta.frames,
            key=key,
            on_change=lambda: st.session_state.update({slot: st.session_state[key] - 1}),
        )
        if image.frame != st.session_state.get(slot):
            st.rerun()
    st.toggle(_title("crop"), **_widget("crop", recipe.crop))
    st.slider(
        _title("crop_margin"), 0.0, 0.25, step=0.01, disabled=not recipe.crop, **_widget("crop_margin", recipe.crop_margin)
    )
    st.toggle(_title("orient"), **_widget("orient", recipe.orient))
    st.toggle(_title("remove_background"), **_widget("remove_background", recipe.remove_background))
    st.toggle(_title("pectoral"), **_widget("pectoral", recipe.pectoral))
    st.selectbox(_title("polarity"), ["auto", "keep", "invert"], **_widget("polarity", recipe.polarity))
    sizes = sorted({*SIZES, recipe.size}, key=lambda size: Recipe(size=size).shape)
    st.selectbox("Input size", sizes, format_func=_size_text, **_widget("size", recipe.size))


def _widget(name: str, value: Any) -> dict[str, Any]:
    """Key, help and callback of the widget of one field, set to `value` (also after undo and reset)."""
    key = f"recipe:{name}"
    st.session_state[key] = value
    return {
        "key": key,
        "help": Recipe.model_fields[name].description,
        "on_change": lambda: recipes.change(**{name: st.session_state[key]}),
    }


def _title(name: str) -> str:
    return Recipe.model_fields[name].title or name


def _size_text(size: int | tuple[int, int]) -> str:
    return f"{size} × {size} px" if isinstance(size, int) else f"{size[0]} × {size[1]} px"


# ---------------------------------------------------------------- what comes out


def grid(recipe: Recipe) -> None:
    """The same recipe on several images of the current data set."""
    path = datasets.current_manifest()
    if path is None:
        return
    frame = test_set_access.visible(components.TITLES["preprocess"], path)
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
    test_set_access.shown(components.TITLES["preprocess"], path, rows["path"])
    picked = live_preview.grid(live_preview.refs_of(rows, components.image_title), rows, recipe, key="preprocess:wall")
    st.caption(
        f"On copies of at most {images.SMALL_SIDE} px, so that twelve keep up: fine texture looks coarser than in "
        "training. Click one to tune on it at full resolution."
    )
    if picked:
        preferences.set("preprocess:source", "Data set")
        preferences.set("preprocess:image", picked)
        st.rerun()


def model_input(image: ImageRef, recipe: Recipe) -> None:
    """The real pixels that the model gets, each a crisp square."""
    from core.images.encode import encode_png

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
    """With a trained model: how its recipe differs, and what it says of this one."""
    st.markdown("## What a model says", anchors=False)
    run = training_runs.current_run(with_model=True)
    if run is None:
        st.caption("No trained model yet. Once there is one, its score and heatmap can follow the sliders here.")
        return
    components.run_picker(with_model=True, label="Model", key="preprocess:run")
    found = _foreign(run, recipe)
    if found:
        named = "; ".join(f"{each.title}: {each.theirs}, here {each.ours}" for each in found[:NAMED])
        more = f"; and {len(found) - NAMED} more" if len(found) > NAMED else ""
        st.warning(f"{run.name} was trained with another recipe. {named}{more}.", icon=":material/warning:")
    if widgets.toggle("Score while tuning", "preprocess:score", default=False):
        score(run, image, recipe, foreign=bool(found))


@components.errors_shown()
def score(run: Run, image: ImageRef, recipe: Recipe, *, foreign: bool) -> None:
    """Score and heatmap under the recipe of the sliders, beside the score under the model's own."""
    from dashboard.cache.explanations import drawn, on_input

    test_set_access.of_file(run, image, components.TITLES["preprocess"], PREDICTION)
    found = results.what_if(run, image, recipe)
    own = results.explanation(run, image)
    first, second, third = st.columns(3)
    refusal = own.prediction.refusal or found.prediction.refusal
    here = None if refusal else found.prediction.score
    first.metric("With these settings" if foreign else "Score", number(here))
    second.metric("With its own recipe", number(own.prediction.score))
    third.metric("Threshold", number(found.prediction.threshold))
    if refusal:
        refused = own.prediction if own.prediction.refusal else found.prediction
        st.error(plain(f"{refused.verdict} The Explain page gives its score anyway."), icon=":material/block:")
    else:
        st.caption(plain(chance_notices.decided(own.prediction, "With its own recipe")))
    for warning in own.prediction.warnings:
        if warning not in images.mammogram(image, recipe).warnings:
            st.warning(plain(warning), icon=":material/warning:")
    if found.heat is not None and not refusal:
        overlay = drawn(on_input(found, []))
        image_components.image_on_black(
            images.preview_jpeg(overlay), key="preprocess:heat", height=300, caption="Evidence for malignant"
        )
    if foreign:
        st.caption(
            "A what-if: the model never saw images prepared like this, and its threshold was not chosen for them. "
            "Only the score with its own recipe is one to report."
        )


def steps(image: ImageRef, recipe: Recipe) -> None:
    """What was done, in order, with milliseconds."""
    from core.inspection import parameter_words

    done = [*images.mammogram(image, recipe).steps, *images.prepared(image, recipe).steps]
    with st.expander(f"What was done: {len(done)} steps, {sum(step.milliseconds for step in done):.0f} ms"):
        rows = [
            {
                "step": step.name,
                "with": parameter_words(step.parameters),
                "ms": round(step.milliseconds, 1),
            }
            for step in done
        ]
        st.dataframe(rows, width="stretch", hide_index=True)


with components.page(
    "Preprocess", "Tune how a mammogram becomes what the model sees. Training, preview and prediction use the same function."
):
    show()
