"""The controls of the Preprocess page below its sliders: presets, undo, further settings, and saving for training."""

from __future__ import annotations

from typing import Any

import streamlit as st

from core.config import Recipe
from core.errors import LabError
from core.images.mammogram import ImageMeta
from core.runs import Run
from dashboard.cache import images
from dashboard.cache.images import ImageRef
from dashboard.state import training_runs
from dashboard.ui import notices, test_set_access
from dashboard.views.preprocess import recipes
from dashboard.views.preprocess.recipes import Difference

SIZES: tuple[int | tuple[int, int], ...] = (128, 192, 224, 256, (320, 192), 384, (384, 240), 512, (512, 320), 768, 1024)
SAVED, FAILED = "preprocess:saved", "preprocess:failed"  # in the session: a recipe's hash; why it was not saved
CUSTOM = "Custom"
_CHOSEN, _WRONG = "preprocess:preset_chosen", "preprocess:preset_wrong"


def presets(recipe: Recipe) -> str:
    """Choose a preset, with a line on what it is for; returns the one that the recipe has."""
    own = recipes.own_presets()
    current = recipes.preset_of(recipe, st.session_state.get(_CHOSEN, "")) or CUSTOM
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
    if words := recipes.DESCRIPTIONS.get(current):
        st.caption(words)
    if wrong := st.session_state.pop(_WRONG, ""):
        notices.show_error(wrong)
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
        st.session_state[_CHOSEN] = name
        recipes.change(**values)


def _save_preset() -> None:
    name = st.session_state["preprocess:preset_name"]
    st.session_state[_WRONG] = recipes.save_preset(name)
    st.session_state[_CHOSEN] = name.strip()


def _rename_preset(old: str) -> None:
    name = st.session_state["preprocess:preset_rename"]
    st.session_state[_WRONG] = recipes.rename_preset(old, name)
    st.session_state[_CHOSEN] = name.strip()


def buttons(image: ImageRef, recipe: Recipe, preset: str) -> None:
    """Undo, redo, reset, further settings, presets of one's own, and the page's one primary button."""
    changed = recipe != recipes.saved()
    first, second, third = st.columns(3, gap="small")
    first.button("Undo", disabled=not recipes.can(recipes.UNDO), on_click=recipes.undo, width="stretch")
    second.button("Redo", disabled=not recipes.can(recipes.REDO), on_click=recipes.redo, width="stretch")
    third.button(
        "Reset",
        disabled=not changed,
        on_click=lambda: recipes.change(**recipes.saved().model_dump()),
        width="stretch",
        help="Restores the recipe in config.yaml.",
    )
    with st.popover(_more_title(image, recipe), icon=":material/tune:", width="stretch"):
        more(image, recipe)
        st.button(
            "Factory settings",
            icon=":material/settings_backup_restore:",
            disabled=recipe == Recipe(),
            on_click=lambda: recipes.change(**Recipe().model_dump()),
            width="stretch",
            help="Every setting as MammoLab is delivered, whatever is in config.yaml. Undo restores yours.",
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
    if run is not None and from_model(run, recipe):
        st.caption(f":orange[:material/warning: {run.name} was trained with another recipe: see below.]")


def from_model(run: Run, recipe: Recipe) -> list[Difference]:
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
    return len(meta.windows) > 1 or (bool(meta.windows) and recipe.voi_index != 1)


def _more_title(image: ImageRef, recipe: Recipe) -> str:
    """Names what `more` offers for this image."""
    meta = images.mammogram(image, recipe).meta
    there = {"Window": _windows_offered(meta, recipe), "Frame": meta.frames > 1}
    return ", ".join([*(name for name, offered in there.items() if offered), "Crop", "orientation", "size …"])


def more(image: ImageRef, recipe: Recipe) -> None:
    """The settings that decide what is cut and turned, and what of the file is read."""
    meta = images.mammogram(image, recipe).meta
    if _windows_offered(meta, recipe):
        words = {0: "none: the whole range", **dict(enumerate(meta.windows, 1))}
        words.setdefault(recipe.voi_index, f"{recipe.voi_index} (this file takes its last)")
        st.selectbox(options=list(words), format_func=words.__getitem__, **_field("voi_index", recipe))
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
    st.toggle(**_field("crop", recipe))
    st.slider(min_value=0.0, max_value=0.25, step=0.01, disabled=not recipe.crop, **_field("crop_margin", recipe))
    st.toggle(**_field("orient", recipe))
    st.toggle(**_field("remove_background", recipe))
    st.toggle(**_field("pectoral", recipe))
    st.selectbox(options=["auto", "keep", "invert"], **_field("polarity", recipe))
    sizes = sorted({*SIZES, recipe.size}, key=lambda size: Recipe(size=size).shape)
    st.selectbox(
        options=sizes, format_func=lambda each: "{} × {} px".format(*Recipe(size=each).shape), **_field("size", recipe)
    )


def _field(name: str, recipe: Recipe) -> dict[str, Any]:
    """Label, key, help and callback of the widget of one field, set to the recipe's value (also after undo and reset)."""
    key, info = f"recipe:{name}", Recipe.model_fields[name]
    st.session_state[key] = getattr(recipe, name)
    change = {"on_change": lambda: recipes.change(**{name: st.session_state[key]})}
    return {"label": info.title or name, "key": key, "help": info.description, **change}
