"""Tune the recipe on a real image: before and after, histogram, and exactly what the model sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st
from pydantic import ValidationError

from core.config import Recipe, save_section
from core.errors import LabError
from dashboard import components, services
from dashboard.preview import Preview
from dashboard.services import ImageRef

if TYPE_CHECKING:
    from core.preprocessing import Prepared

SIZES = (128, 192, 224, 256, 320, 384, 512, 768, 1024)
DRAFT = "preprocess:recipe"
HISTORY = "preprocess:history"
SAVED, FAILED = "preprocess:saved", "preprocess:failed"


def saved() -> Recipe:
    """The recipe in config.yaml: what training uses."""
    return services.settings().preprocessing


def draft() -> Recipe:
    """The recipe being tuned: kept across pages and reloads until it is saved or reset."""
    kept = services.recall(DRAFT)
    try:
        return Recipe.model_validate(kept) if kept else saved()
    except ValidationError:
        return saved()


def change(**values: Any) -> None:
    """Change fields of the draft; the state before can be had back with undo."""
    before = draft()
    after = Recipe.model_validate({**before.model_dump(), **values})
    if after != before:
        st.session_state.setdefault(HISTORY, []).append(before.model_dump(mode="json"))
        services.remember(DRAFT, None if after == saved() else after.model_dump(mode="json"))


def undo() -> None:
    """Back to the recipe before the last change."""
    if st.session_state.get(HISTORY):
        services.remember(DRAFT, st.session_state[HISTORY].pop())


def use_for_training() -> None:
    """Write the draft into config.yaml's preprocessing section. What came of it is shown by the next run of the fragment."""
    recipe = draft()
    try:
        save_section(services.config_path(), "preprocessing", recipe.model_dump())
    except (LabError, OSError) as error:
        st.session_state[FAILED] = f"The recipe was not saved: {error}"
        return
    services.remember(DRAFT, None)
    st.session_state[SAVED] = recipe.hash


def outcome() -> None:
    """Say once whether the recipe was saved."""
    if saved_hash := st.session_state.pop(SAVED, None):
        st.toast(f"Saved. The next training uses recipe {saved_hash}.", icon=":material/check_circle:")
    if reason := st.session_state.pop(FAILED, None):
        components.show_error(reason)


def show() -> None:
    """Image picker, then everything that follows the sliders."""
    image = components.image_picker(key="preprocess")
    if image is None:
        if services.current_manifest() is not None:
            components.empty_state(
                "No image yet", "Upload a mammogram or give its path.", icon=":material/add_photo_alternate:"
            )
        return
    with st.spinner("Reading the image", show_time=False):
        mammogram = services.mammogram(image)
    from_data_set = services.recall("preprocess:source", "Data set") == "Data set"
    if mammogram.meta.synthetic or (from_data_set and services.current_is_synthetic()):
        components.synthetic_notice()
    workbench(image)


@st.fragment
@components.errors_shown()
def workbench(image: ImageRef) -> None:
    """Compare slider and controls side by side; below them what the model gets. Only this reruns when a slider moves."""
    outcome()
    above = st.container()
    picture, controls = st.columns([7, 3], gap="medium")
    with controls:
        recipe = sliders()
        buttons(recipe)
    view = services.preview(image, recipe)
    with picture:
        components.compare_slider(view.before, view.after, key="preprocess:compare", height=560)
        st.caption("Drag the bar, wheel to zoom, drag to pan, double click to reset.")
    left, right = st.columns([2, 3], gap="medium")
    with left:
        exact = services.prepared(image, recipe)
        with above:  # seen before the picture it is about
            doubts(image, exact)
        model_input(exact)
    with right:
        histogram(view)
        steps(image, exact)


# ---------------------------------------------------------------- controls


def _widget(name: str, value: Any) -> dict[str, Any]:
    """Key, help and callback of the widget of one field, set to `value` (also after undo and reset)."""
    key = f"recipe:{name}"
    st.session_state[key] = value
    return {
        "key": key,
        "help": Recipe.model_fields[name].description,
        "on_change": lambda: change(**{name: st.session_state[key]}),
    }


def _title(name: str) -> str:
    return Recipe.model_fields[name].title or name


def sliders() -> Recipe:
    """A widget for each field of the recipe; returns the draft."""
    recipe = draft()
    st.toggle(_title("clahe"), **_widget("clahe", recipe.clahe))
    first, second = st.columns(2)
    first.slider(
        "Clip limit",
        0.1,
        40.0 if recipe.clip_limit > 10 else 10.0,
        step=0.1,
        disabled=not recipe.clahe,
        **_widget("clip_limit", recipe.clip_limit),
    )
    second.slider(
        "Tile grid", 1, 64 if recipe.tile_grid > 24 else 24, disabled=not recipe.clahe, **_widget("tile_grid", recipe.tile_grid)
    )
    st.session_state["recipe:window"] = (recipe.window_low, recipe.window_high)
    st.slider(
        "Window (% of the breast's grey levels)",
        0.0,
        100.0,
        step=0.1,
        key="recipe:window",
        on_change=_window_moved,
        help="The lower percentile is shown as black, the upper one as white.",
    )
    first, second = st.columns(2)
    first.toggle("Crop", **_widget("crop", recipe.crop))
    second.toggle("Orientation", **_widget("orient", recipe.orient))
    st.toggle(_title("remove_background"), **_widget("remove_background", recipe.remove_background))
    first, second = st.columns(2)
    first.selectbox(_title("polarity"), ["auto", "keep", "invert"], **_widget("polarity", recipe.polarity))
    sizes = sorted({*SIZES, recipe.size}) if isinstance(recipe.size, int) else [*SIZES, recipe.size]
    second.selectbox("Input size", sizes, format_func=_size_text, **_widget("size", recipe.size))
    return recipe


def _window_moved() -> None:
    low, high = st.session_state["recipe:window"]
    change(window_low=min(round(low, 1), 49.0), window_high=max(round(high, 1), 51.0))


def _size_text(size: int | tuple[int, int]) -> str:
    return f"{size} × {size} px" if isinstance(size, int) else f"{size[0]} × {size[1]} px"


def buttons(recipe: Recipe) -> None:
    """Undo, reset, and the page's one primary button."""
    changed = recipe != saved()
    first, second = st.columns(2)
    first.button("Undo", icon=":material/undo:", disabled=not st.session_state.get(HISTORY), on_click=undo, width="stretch")
    second.button(
        "Reset",
        icon=":material/restart_alt:",
        disabled=not changed,
        on_click=lambda: change(**saved().model_dump()),
        width="stretch",
    )
    st.button(
        "Use for training",
        type="primary",
        icon=":material/check:",
        disabled=not changed,
        on_click=use_for_training,
        width="stretch",
    )
    st.caption(
        "Not saved yet: training still uses the recipe in config.yaml." if changed else "This is the recipe that training uses."
    )


# ---------------------------------------------------------------- what comes out


def model_input(exact: Prepared) -> None:
    """The real pixels that the model gets, each a crisp square."""
    from core.images.encode import encode_png

    height, width = exact.pixels.shape
    st.markdown("#### What the model sees", anchors=False)
    components.image_on_black(
        encode_png(exact.pixels),
        key="preprocess:input",
        height=380,
        pixelated=True,
        caption=f"{width} × {height} px · recipe {exact.recipe_hash}",
    )


def histogram(view: Preview) -> None:
    """Grey levels inside the breast before and after."""
    import plotly.graph_objects as go

    st.markdown("#### Grey levels inside the breast", anchors=False)
    levels = [2 + 4 * index for index in range(len(view.histogram_after))]
    chart = go.Figure()
    for name, values, color, dash in (
        ("before", view.histogram_before, "#808495", "dot"),
        ("after", view.histogram_after, "#7468ee", "solid"),
    ):
        chart.add_scatter(
            x=levels,
            y=values,
            name=name,
            mode="lines",
            line={"color": color, "width": 2, "dash": dash, "shape": "hvh"},
            fill="tozeroy" if name == "after" else None,
            hovertemplate="%{y:.1f} %",
        )
    chart.update_layout(
        font_size=14,
        margin={"l": 60, "r": 10, "t": 30, "b": 45},
        hovermode="x unified",
        xaxis_title="grey level (0 black, 255 white)",
        yaxis_title="% of pixels",
        xaxis_range=[0, 255],
        yaxis_rangemode="tozero",
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        uirevision="histogram",
    )
    components.figure(chart, "preprocess:histogram", height=250)


def doubts(image: ImageRef, exact: Prepared) -> None:
    """What the reader or the preparation was unsure about."""
    for warning in dict.fromkeys([*services.mammogram(image).warnings, *exact.warnings]):
        st.warning(warning, icon=":material/warning:")


def steps(image: ImageRef, exact: Prepared) -> None:
    """What was done, in order, with milliseconds."""
    done = [*services.mammogram(image).steps, *exact.steps]
    with st.expander(f"What was done: {len(done)} steps, {sum(step.milliseconds for step in done):.0f} ms"):
        rows = [
            {
                "step": step.name,
                "with": ", ".join(f"{name} {_value(value)}" for name, value in step.parameters.items()),
                "ms": round(step.milliseconds, 1),
            }
            for step in done
        ]
        st.dataframe(rows, width="stretch", hide_index=True)


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


with components.page(
    "Preprocess", "Tune how a mammogram becomes what the model sees. Training, preview and prediction use the same function."
):
    show()
