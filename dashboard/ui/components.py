"""Pieces that several pages show: page frame, errors, empty states, pickers, charts, cards. Images: image_components.py.

A page is `with components.page("Title", "What it is for"): ...`; the body of a fragment is decorated or wrapped with
`notices.errors_shown()`, because a fragment's own rerun does not pass through the page.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go
import streamlit as st

from core.images.mammogram import ImageMeta
from core.runs import Run
from core.runs.test_set.accesses import IMAGES
from dashboard.cache import images
from dashboard.cache.images import ImageRef
from dashboard.state import datasets, preferences, settings, training_runs, widgets
from dashboard.ui import notices, pages, test_set_access, uploads
from dashboard.ui.image_components import component
from dashboard.ui.pages import PAGES
from dashboard.ui.plotly_script import plotly_script

if TYPE_CHECKING:
    import pandas as pd
    from streamlit.delta_generator import DeltaGenerator

RESEARCH_ONLY = "For research only. Not a medical device, not for diagnosis."
_GRID = "rgba(128, 132, 149, 0.22)"  # visible on a light and on a dark page
_plot = component(
    "plot",
    html='<div class="plotted"><div class="plot"></div><div class="save-chart"><button type="button" aria-haspopup="menu" '
    'aria-expanded="false"><svg viewBox="0 0 24 24" aria-hidden="true"><path d="M5 20h14v-2H5v2ZM13 12.2V4h-2v8.2L7.4 8.6 6 10'
    'l6 6 6-6-1.4-1.4-3.6 3.6Z"/></svg></button><div role="menu" aria-label="Save as" hidden></div>'
    '<span role="status"></span></div></div>',
    uses=("here", "live", "plotly", "save"),
    isolate=False,  # Plotly puts its styles into the document
)


# ---------------------------------------------------------------- page frame and errors


@contextmanager
def page(title: str, purpose: str) -> Iterator[DeltaGenerator]:
    """Heading, the page's body with errors shown in place, and the research-only notice at the end.

    Gives the place in the heading's row, right of what the page is for, for buttons about all of the page.
    """
    with st.container(horizontal=True, vertical_alignment="center", key="page_header"):
        st.title(title, anchor=False, width="content")
        st.markdown(purpose, width="stretch")
        buttons = st.container(horizontal=True, width="content", gap="small", key="page_buttons")
    with notices.errors_shown():
        yield buttons
    st.caption(f":material/science: {RESEARCH_ONLY}")


def synthetic_image_notice(key: str, meta: ImageMeta) -> None:
    """`notices.synthetic_notice` for an image of the picker of this `key`, where its file or its data set is marked so."""
    from_data_set = preferences.get(f"{key}:source", "Data set") == "Data set"
    if meta.synthetic or (from_data_set and datasets.current_is_synthetic()):
        notices.synthetic_notice()


def empty_state(
    title: str, text: str, *, icon: str = ":material/inbox:", page: str | None = None, action: str | None = None
) -> None:
    """What there is to do when there is nothing to show; with `page` (a key of PAGES) the button that leads there."""
    with st.container(border=True, horizontal_alignment="center", gap="small"):
        st.space("small")
        st.markdown(f"## {icon} {title}", text_alignment="center", width="content", anchors=False)
        st.markdown(text, text_alignment="center", width="content")
        if page is not None and st.button(action or f"Go to {page}", type="primary", key=f"empty:{title}"):
            pages.go_to(page)
        st.space("small")


def nothing_trained(text: str, *, with_model: bool = False) -> None:
    """The empty state of pages about runs (`with_model`: about trained ones)."""
    title = "No trained model yet" if with_model else "No run yet"
    empty_state(title, text, icon=":material/model_training:", page="train", action="Train a model")


def download(
    label: str,
    content: str | bytes | Callable[[], bytes],
    name: str,
    mime: str,
    key: str,
    *,
    help: str | None = None,
    wide: bool = False,
) -> None:
    """A download button that leaves the page as it is."""
    width: Any = "stretch" if wide else "content"
    st.download_button(label, content, name, mime, key, help, on_click="ignore", icon=":material/download:", width=width)


def metric_cards(items: Sequence[Metric]) -> None:
    """A row of metrics in equal cards."""
    for column, item in zip(st.columns(len(items)), items, strict=True):
        column.metric(item.label, item.value, help=item.help or None, border=True, delta_description=item.detail or None)


@dataclass(frozen=True)
class Metric:
    """One card. `value` is text (with its unit, at most three decimals); `detail` is a small line: the interval."""

    label: str
    value: str
    detail: str = ""
    help: str = ""


def chart(
    figure: go.Figure,
    key: str,
    *,
    height: int | None = None,
    alt: str = "chart",
    subject: str = "",
    saved_as: str = "",
    follow: Mapping[str, Any] | None = None,
) -> None:
    """A Plotly figure across its column, in the theme's colours, updated in place when it changes.

    With a `subject` (what the chart is about: a run's name) what was zoomed to stays for that subject, also when the
    page around it is built again; a double click resets it.

    Its menu saves it as PNG, SVG or CSV; `saved_as` is the name of these files (run, split, chart) as `file_name` makes it of
    words, by default of the subject and the key.

    `follow` is what changes with a slider (views/evaluate/threshold_slider.py), a value for each of its steps, so that the
    browser needs nobody: {"dial": name, "traces": {index: {attribute: [values]}}, "layout": {"shapes.0.x0": [values]}}.

    Not `st.plotly_chart`: Streamlit 1.67 derives that element's identity from the figure, `key` or not, so a chart with
    one more point is built again, which flickers and loses the zoom.
    """
    from core.plots.words import in_words

    if height is not None:
        figure.update_layout(height=height)
    drawn = as_drawn(figure)
    look = {
        "script": plotly_script(),
        "alt": in_words(figure, alt),
        "title": alt,
        "file": file_name(saved_as or f"{subject} {key.replace(':', ' ')}"),
        "zoom": f"{key}:{subject}" if subject else "",
    }
    _plot(data={"follow": follow, **drawn, **look}, key=key, height=drawn["height"])


def table(frame: pd.DataFrame, **options: Any) -> None:
    """A table whose whole numbers are written with thousands separators; `options` are those of st.dataframe."""
    grouped = {name: st.column_config.NumberColumn(format="localized") for name in frame.select_dtypes("integer").columns}
    st.dataframe(frame, hide_index=True, column_config=grouped, **options)


def as_drawn(figure: go.Figure) -> dict[str, Any]:
    """A figure as pages draw it, for the browser: {"figure": JSON, "height": px}."""
    size = max(14, int(figure.layout.font.size or 0))  # larger where the figure asks for that: on slides
    axis = {"tickfont_size": size, "title_font_size": size, "gridcolor": _GRID, "linecolor": _GRID, "zerolinecolor": _GRID}
    figure.update_xaxes(axis)
    figure.update_yaxes(axis)
    figure.update_layout(legend_font_size=size, hoverlabel_font_size=size)
    return {"figure": figure.to_json(), "height": int(figure.layout.height or 380)}


def file_name(words: str) -> str:
    """Words as the name of a file on any system, without its ending: letters, digits, dots and hyphens, at most 120."""
    return re.sub(r"[^\w.-]+", "-", words).strip("-.")[:120] or "chart"


# ---------------------------------------------------------------- pickers


def run_picker(*, with_model: bool = False, label: str = "Run", key: str = "run_picker") -> Run | None:
    """Choose a run (the same on every page); None, and an empty state with the way out, when there is none to choose."""
    found = {run.name: run for run in training_runs.list_runs() if training_runs.has_model(run) or not with_model}
    if not found:
        nothing_trained("Train a model first; its run then appears here.", with_model=with_model)
        return None
    current = training_runs.current_run(with_model=with_model)
    name = current.name if current and current.name in found else next(iter(found))
    _picker(label, list(found), name, key, str, training_runs.set_current_run)
    return found[name]


def manifest_picker(*, key: str = "manifest_picker") -> Path | None:
    """Choose among the manifests found (the same on every page); None, and an empty state, when there is none."""
    found = datasets.find_manifests()
    if not found:
        empty_state(
            "No data yet", "Write the demo set or import your images.", icon=":material/database:", page="data", action="Data"
        )
        return None
    current = datasets.current_manifest()
    choice = current if current in found else found[0]
    _picker("Data set", found, choice, key, settings.display_path, datasets.set_current_manifest)
    return choice


def image_picker(*, key: str) -> ImageRef | None:
    """Choose an image: of the current manifest, an upload, or a path on this machine; until then None, and an empty state.

    The image chosen is remembered under `key` (a page) across pages and reloads. Test images are offered once they are
    switched on.
    """
    path = datasets.current_manifest()
    sources = [*(["Data set"] if path else []), "Upload", "File path"]
    uploads.forget_lost(f"{key}:source", key, sources[0])
    row = st.container(horizontal=True, vertical_alignment="bottom")
    with row:
        source = widgets.segmented("Source", sources, f"{key}:source", hide_label=True)
    with row.container():
        if source == "Data set" and path is not None:
            image = _from_manifest(path, key)
        else:
            image = uploads.uploaded(key) if source == "Upload" else _typed_path(key)
    if source != "Data set" and image is None:
        empty_state("No image yet", "Upload a mammogram or give its path.", icon=":material/add_photo_alternate:")
    elif source != "Data set" and image is not None:
        test_set_access.record_file(image, PAGES[key].title, IMAGES)
    if source == "Data set" and path is not None:
        test_set_access.switch(PAGES[key].title, path)
        if image is not None:
            test_set_access.record_shown(PAGES[key].title, path, [str(image.source)])
    return image


def _typed_path(key: str) -> ImageRef | None:
    from core.data.importers.folder_walk import with_home

    text = widgets.text("Path of an image on this machine", f"{key}:path").strip()
    return images.image_ref(with_home(Path(text))) if text else None


def _from_manifest(manifest: Path, key: str) -> ImageRef | None:
    frame = test_set_access.visible(PAGES[key].title, manifest)
    if frame.empty:
        empty_state(
            "All images of this data set belong to test patients",
            f"Switch them on with “{test_set_access.SHOW}”, which is recorded, or choose another data set.",
            icon=":material/lock:",
        )
        return None
    titles = {str(row.path): image_title(row) for row in frame.itertuples()}
    path = widgets.select("Image", titles, f"{key}:image")
    return images.image_ref(path, titles[path])


def image_title(row: Any) -> str:
    """A manifest row in a line: file name, side and view, label, split."""
    parts = [Path(row.path).name, f"{row.laterality} {row.view}".strip(), row.label, row.split]
    return " · ".join(part for part in parts if part)


def _picker(
    label: str, options: list[Any], current: Any, key: str, text: Callable[[Any], str], choose: Callable[[Any], None]
) -> None:
    """A select box that always shows `current`, whoever changed it, and calls `choose` when the user picks another."""
    st.session_state[key] = current
    st.selectbox(label, options, format_func=text, key=key, on_change=lambda: choose(st.session_state[key]))
