"""The picture of each kind of slide, as high as it may be."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from core.errors import LabError
from core.plots import loss_figure, metric_figure, roc_figure
from core.runs import Run
from core.runs.events import StepEvent
from core.runs.history import History
from core.story import Slide, caught, scored
from dashboard.cache import images
from dashboard.state import datasets
from dashboard.ui import components, iframes, image_components, test_set_access
from dashboard.ui.image_components import Tile, label_color
from dashboard.views.evaluate import heatmap_thumbnails

TILES, COLUMNS = 12, 6
FONT = 20  # px
SPEEDS = {"1 epoch a second": 1.0, "2": 2.0, "5": 5.0}


def data(run: Run, slide: Slide, height: int) -> None:
    """Images of both labels in turn, of training and validation."""
    manifest = run.path / "manifest.csv"
    frame = datasets.manifest_frame(manifest)
    frame = frame[frame["split"].isin(["train", "val"]) & ~test_set_access.sealed(manifest)].drop_duplicates("patient_id")
    chosen = frame.assign(_turn=frame.groupby("label").cumcount()).sort_values(["_turn", "label"], kind="stable").head(TILES)
    tiles = []
    for row in chosen.itertuples():
        about = {"label": str(row.label), "color": label_color(str(row.label))}
        try:
            tiles.append(Tile(images.thumbnail(images.image_ref(str(row.path))).picture, **about))
        except LabError:
            tiles.append(Tile(b"", missing="not readable", **about))
    image_components.gallery(tiles, key="present:data", columns=COLUMNS, height=max(120, height // 2 - 50))


def preprocessing(run: Run, slide: Slide, height: int) -> None:
    """The same image before and after the contrast step, under one bar; or as it is stored beside what the network sees."""
    recipe = run.model_card().known_recipe()
    image = images.image_ref(_example(run))
    after = images.preview_jpeg(images.prepared(image, recipe).pixels)
    if recipe.clahe:
        before = images.preview_jpeg(images.prepared(image, recipe.model_copy(update={"clahe": False})).pixels)
        image_components.compare_slider(
            before, after, key="present:clahe", height=height, labels=("without CLAHE", "with CLAHE")
        )
        return
    stored = images.thumbnail(image).picture
    image_components.gallery(
        [Tile(stored, "as stored"), Tile(after, "as the network sees it")], key="present:seen", columns=2, height=height - 40
    )


def training(run: Run, slide: Slide, height: int) -> None:
    """The recorded curves, which can be played again."""
    events = run.events()
    last = max((event["epoch"] for event in events if event["type"] == "epoch"), default=0)
    with st.container(horizontal=True, vertical_alignment="center"):
        speed = st.segmented_control(
            "Speed", list(SPEEDS), default=next(iter(SPEEDS)), key="present:speed", label_visibility="collapsed"
        )
        if st.button("Play", icon=":material/play_arrow:", key="present:play"):
            st.session_state["present:began"] = time.monotonic()
    playing = "present:began" in st.session_state

    def draw() -> None:
        shown = float(last)
        if "present:began" in st.session_state:
            shown = (time.monotonic() - st.session_state["present:began"]) * SPEEDS.get(speed or "", 1.0)
            if shown >= last:
                del st.session_state["present:began"]
                st.rerun()
        later = (place for place, event in enumerate(events) if event["type"] == "step" and _epoch(event) > shown)
        history = History.of(events[: max(1, next(later, len(events)))])
        history.planned = last
        room: dict[str, Any] = {"span": "planned", "height": height - 60}
        left, right = st.columns(2)
        with left:
            components.chart(
                large(loss_figure(history, **room), height),
                "present:loss",
                alt=f"Loss of {run.name}",
                saved_as=f"{run.name} loss",
            )
        with right:
            chart = large(metric_figure(history, ["auc"], **room), height)
            components.chart(chart, "present:auc", alt=f"AUC of {run.name}", saved_as=f"{run.name} AUC")

    st.fragment(draw, run_every=0.4 if playing else None)()


def large(figure: Any, height: int) -> Any:
    """The chart with text that is read from the last row."""
    size = max(FONT, height // 30)
    return figure.update_layout(font={"size": size}, legend={"font": {"size": size}}).update_annotations(font_size=size)


def _epoch(event: StepEvent) -> float:
    return event["epoch"] - 1 + event["step"] / max(1, event["steps"])


def curve(run: Run, slide: Slide, height: int) -> None:
    """The ROC curve with a threshold to move, and what it misses and calls wrongly."""
    from core.metrics.curves import roc

    rows = scored(run, slide.split)
    malignant = (rows["label"] == "malignant").to_numpy()
    left, right = st.columns([3, 2], gap="large")
    with right:
        threshold = st.slider("Threshold", 0.0, 1.0, slide.threshold, 0.001, format="%.3f", key="present:threshold")
        called = (rows["score"] >= threshold).to_numpy()
        with st.container(key="slide_numbers"):
            st.metric("Missed cancers", f"{int((~called & malignant).sum())} of {int(malignant.sum())}")
            st.metric("False alarms", f"{int((called & ~malignant).sum())} of {int((~malignant).sum())}")
        if abs(threshold - slide.threshold) > 5e-4:
            st.caption(f"Moved for the demonstration. {caught(rows, slide.threshold)}")
    with left:
        figure = large(roc_figure(roc(malignant, rows["score"]), threshold=threshold, height=height), height)
        saved_as = f"{run.name} {slide.split} ROC"
        components.chart(figure, "present:roc", alt="ROC curve", subject=run.name, saved_as=saved_as)


def case(run: Run, slide: Slide, height: int) -> None:
    """The image as the network sees it, and its heatmap as soon as that is made."""

    def draw() -> None:
        tiles = heatmap_thumbnails.input_and_heatmap(run, slide.path)
        if waiting and all(tile.image for tile in tiles):
            st.rerun()
        image_components.gallery(tiles, key=f"present:{slide.kind}", columns=2, height=height - 70)
        st.caption(heatmap_thumbnails.READING)

    waiting = not all(tile.image for tile in heatmap_thumbnails.input_and_heatmap(run, slide.path))
    st.fragment(draw, run_every=1.0 if waiting else None)()


def live(run: Run, slide: Slide, height: int) -> None:
    """The Test image tab, scrolled in its frame."""
    of = iframes.token(datasets.current_manifest())
    iframes.gradio(urlencode({"run": run.name, "of": of}), height=height, grows=False)


CASES = ("correct", "error")  # kinds of slides with an image and its heatmap
DRAW: dict[str, Callable[[Run, Slide, int], None]] = {
    "data": data,
    "preprocessing": preprocessing,
    "training": training,
    "roc": curve,
    **dict.fromkeys(CASES, case),
    "live": live,
}


def _example(run: Run) -> str:
    """A malignant training image, or the first one. Raises LabError: there is none."""
    manifest = run.path / "manifest.csv"
    frame = datasets.manifest_frame(manifest)
    frame = frame[frame["split"].isin(["train", "val"]) & ~test_set_access.sealed(manifest)]
    if frame.empty:
        raise LabError("the run has no image that may be shown")
    return str(frame.sort_values("label", ascending=False, kind="stable")["path"].iloc[0])
