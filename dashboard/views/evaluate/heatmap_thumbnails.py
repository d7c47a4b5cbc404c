"""Heatmaps as small pictures, made in the background and cached: a caller gets those that are ready."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from core.errors import LabError
from core.prediction import BreastImage, Prediction
from core.runs import Run
from dashboard.cache import images, results
from dashboard.state import models, tasks, training_runs
from dashboard.state.tasks import Report, Task
from dashboard.ui.image_components import Tile

if TYPE_CHECKING:
    from core.gradcam import Evidence, Heatmap
    from core.predict import Predictor

LINE = 3  # px, round the hot places: seen on a thumbnail, too
SIDE = 480  # px; a thumbnail on a dense screen, and the case that is looked at
READING = (
    "Colour: evidence for malignant, from dark (weak) to yellow (the strongest in this image); the line is at half of the "
    "strongest. A heatmap shows where this network looked, not where a disease is."
)


@dataclass(frozen=True)
class Heat:
    """The image with the evidence for malignancy over it, as JPEG; `reason` says why there is none, or what is odd about it."""

    image: bytes
    reason: str = ""


def ready(run: Run, paths: Sequence[str]) -> dict[str, Heat]:
    """The heatmaps that are there by now, by path."""
    store = _store(str(run.path), models.model_stamp(run))
    return {path: store[path] for path in paths if path in store}


def want(run: Run, paths: Sequence[str]) -> None:
    """Have the missing ones of these heatmaps made in the background. Call it when the images themselves are on the page."""
    store = _store(str(run.path), models.model_stamp(run))
    missing = [path for path in paths if path not in store]
    if missing and not failed(run):
        _start(run, store, missing)


def task(run: Run) -> Task | None:
    """The background work on the heatmaps of the run's model, running or ended."""
    return tasks.task(_name(run))


def failed(run: Run) -> str:
    """Why the model cannot make heatmaps at all; "" when it can. It is not tried again by itself."""
    found = task(run)
    return found.error if found is not None and found.state == "failed" else ""


def input_and_heatmap(run: Run, path: str) -> list[Tile]:
    """An image as the model sees it and its heatmap, or what stands in their place: not readable, not made yet."""
    try:
        tiles = [Tile(results.input_thumbnail(path, run.model_card().known_recipe(), SIDE), "model input")]
    except LabError as error:
        return [Tile(b"", missing=str(error))]
    made = ready(run, [path]).get(path)
    if made is not None:
        tiles.append(Tile(made.image, "its heatmap", missing=made.reason))
    elif training_runs.active_runs():
        tiles.append(Tile(b"", missing="its heatmap is made once no training is running"))
    elif not failed(run):
        want(run, [path])
        tiles.append(Tile(b"", missing="the heatmap is being made …"))
    return tiles


def again(run: Run) -> None:
    """Forget a failure."""
    tasks.forget_task(_name(run))


def _name(run: Run) -> str:
    return f"heat:{run.path}:{models.model_stamp(run)}"


@st.cache_resource(max_entries=8, show_spinner=False)
def _store(path: str, changed: tuple[int, int]) -> dict[str, Heat]:
    return {}


def judged(model: Predictor, path: str) -> Prediction:
    """What the model says of an image file. Raises UnreadableImage."""
    image = images.image_ref(path)
    prepared, mammogram = images.prepared(image, model.recipe), images.mammogram(image, model.recipe)
    return model.predict_prepared(prepared, mammogram, source=image.source)


def _explained(model: Predictor, path: str) -> tuple[Prediction | BreastImage, Heatmap | Evidence]:
    """The image with its heatmap; for a model of two views as a part of its breast."""
    if model.judges_breasts:
        from core.predict_breasts import heatmap_of, predict_breast_of

        return heatmap_of(model, predict_breast_of(model, path), path)
    prediction = judged(model, path)
    return prediction, model.explain(prediction, method="auto", target="malignant")


def _start(run: Run, store: dict[str, Heat], paths: Sequence[str]) -> None:
    """One thread per run; what is asked for while it works is asked for again at the next look."""

    def work(report: Report) -> None:
        model = models.predictor(run)
        for done, path in enumerate(paths):
            report(done, len(paths))
            try:
                prediction, found = _explained(model, path)
            except LabError as error:
                store[path] = Heat(b"", str(error))
                continue
            from core.gradcam import render

            tinted = render(prediction.prepared.pixels, found, side=SIDE, outline=LINE)
            store[path] = Heat(images.preview_jpeg(tinted, SIDE), found.reason if found.flat else "")

    tasks.start_task(_name(run), "Computing heatmaps", work)
