"""One image of the chosen run's validation set, with its heatmap and score: an example of what a model does. Shown on Home.

Chosen and drawn in the background: no page waits for a model to load. Never a sealed test image.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pandas as pd
import streamlit as st

from core.metrics.leakage_mark import leakage_warning_of
from core.runs import Run
from core.wording import number, plain
from dashboard.state import datasets, models, tasks, training_runs
from dashboard.state.file_stamps import stamp
from dashboard.state.tasks import Task
from dashboard.ui import image_components, notices, pages, test_set_access
from dashboard.views.evaluate import heatmap_thumbnails

HEIGHT = 210  # px


class Example(NamedTuple):
    """A scored image: `score` in [0, 1], `threshold` that the model decides with for an image of its view."""

    path: str
    label: str
    score: float
    threshold: float
    synthetic: bool
    basis: str = ""  # which threshold that is, of a model with thresholds by view


def show(run: Run) -> None:
    """Image, heatmap and score; updated every second until they are there. Nothing where the run has no image to show."""
    task = _found(run)
    if task.state == "failed" or (task.state == "done" and task.result is None):
        return
    with st.container(border=True, key="home_example"):
        waiting = task.running or not _complete(run, task.result)
        st.fragment(_draw, run_every=1.0 if waiting else None)(run, waiting)


@notices.errors_shown()
def _draw(run: Run, waiting: bool) -> None:
    notices.require_existing(run)
    task = _found(run)
    complete = not task.running and (task.result is None or _complete(run, task.result))
    if waiting and complete:
        st.rerun()
    example: Example | None = task.result
    if example is None:
        st.caption(":material/hourglass_top: An example is being prepared …")
        return
    left, right = st.columns([1, 1], gap="medium", vertical_alignment="center")
    with left:
        tiles = heatmap_thumbnails.input_and_heatmap(run, example.path)
        image_components.gallery(tiles, key="home:example", columns=2, height=HEIGHT)
    with right:
        flagged = "flagged as malignant" if example.score >= example.threshold else "not flagged"
        basis = f", {plain(example.basis)}" if example.basis else ""
        st.markdown(f"## An example from validation, by {plain(run.name)}", anchors=False)
        if example.synthetic:
            notices.synthetic_badge("The demo set: not a real mammogram.")
        st.markdown(
            f"Score **{number(example.score)}**, threshold {number(example.threshold)}{basis}: **{flagged}**. "
            f"True label: **{example.label}**."
        )
        if leakage := models.leakage(run):
            st.caption(plain(leakage_warning_of(leakage)))
        if chance := models.chance(run):
            st.caption(f"Do not rely on it: this model is not better than chance so far: {chance}.")
        if st.button("Explain it", icon=":material/blur_on:", key="home:explain"):
            training_runs.set_current_run(run.name)
            pages.choose_explained(example.path, "val")
            pages.go_to("explain")


def _complete(run: Run, example: Example) -> bool:
    there = example.path in heatmap_thumbnails.ready(run, [example.path])
    return there or bool(heatmap_thumbnails.failed(run)) or bool(training_runs.active_runs())


def _found(run: Run) -> Task:
    """The background search for an image to show; its result is an Example or None."""
    stamps = (stamp(run.path / "predictions" / "val.csv"), models.model_stamp(run), stamp(run.path / "manifest.csv"))
    name = f"example:{run.path}:{stamps}"
    return tasks.task(name) or tasks.start_task(name, "Looking for an example", lambda report: find(run))


def find(run: Run) -> Example | None:
    """The malignant validation image with the highest score that is no test image of any run; None where there is none.

    Raises LabError (the run's files cannot be read).
    """
    from core.evaluate import read_predictions

    if not (run.path / "predictions" / "val.csv").is_file():
        return None
    manifest = run.path / "manifest.csv"
    frame = datasets.manifest_frame(manifest)
    open_ones = set(frame.loc[~test_set_access.sealed(manifest), "path"])
    scored: pd.DataFrame = read_predictions(run, "val")
    scored = scored[scored["path"].isin(open_ones) & scored["path"].map(lambda path: Path(path).is_file())]
    if scored.empty:
        return None
    chosen = scored.sort_values(["label", "score"], ascending=False).iloc[0]
    card = run.model_card()
    thresholds = card.image_thresholds
    return Example(
        str(chosen["path"]),
        str(chosen["label"]),
        float(chosen["score"]),
        thresholds.of(str(chosen["view"])),
        card.synthetic or datasets.is_synthetic(manifest),
        thresholds.basis(str(chosen["view"])),
    )
