"""The start page: what there is already, the next step, and an example."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from core.config import PRESETS, with_preset
from core.runs import Run
from core.wording import number, plain
from dashboard.cache import results
from dashboard.state import datasets, machine, run_actions, settings, training_runs
from dashboard.state.run_states import state_of
from dashboard.ui import background, components, notices, pages
from dashboard.views.home import example, pictures, workflow


def show() -> None:
    """The workflow with what is done, what is training, and the next step beside a picture: an example, or the data set."""
    manifest = datasets.current_manifest()
    runs = training_runs.list_runs()
    run = training_runs.current_run(with_model=True)
    active = training_runs.active_runs()
    workflow.show(manifest, len(runs), len(active), run)
    if active:
        st.fragment(training_now, run_every=2.0)()
    if run is None:
        if manifest is None:
            demo_step()
        elif active:
            pictures.show(manifest)
        else:
            with st.container(key="narrow_stack_home"):
                left, right = st.columns([2, 3])
            with left:
                first_model(manifest)
            with right, notices.errors_shown():
                pictures.show(manifest)
    else:
        with st.container(key="narrow_stack_home"):
            left, right = st.columns([2, 3])
        with left:
            if manifest is None:
                demo_step()
            else:
                next_step(run)
            if st.button("Present it", icon=":material/slideshow:", key="home:present", help=pages.PAGES["present"].about):
                pages.go_to("present")
        with right, notices.errors_shown():
            example.show(run)
    _other_pages()


@notices.errors_shown()
def training_now() -> None:
    """Every run that is trained, paused or waiting: its progress, its loss curve, and a link."""
    from core.plots import METRIC_TITLES
    from dashboard.cache import run_monitor

    active = training_runs.active_runs()
    if not active:
        st.rerun()
    for run in active[:3]:
        status, followed = run.status(), results.monitor(run)
        words, color = state_of(status, run)
        share, where = run_monitor.progress(status, followed.last)
        with st.container(border=True):
            left, right = st.columns([3, 2], vertical_alignment="center")
            with left:
                with st.container(horizontal=True, vertical_alignment="center"):
                    st.markdown(f"## Training now: {plain(run.name)}", anchors=False, width="content")
                    st.badge(words, color=color)
                st.progress(share, text=where)
                name = run_monitor.monitored(status.monitor)
                value = followed.metric_of_epoch(name)
                if value is not None:
                    title = METRIC_TITLES.get(name, name)
                    st.markdown(f"{title} {number(value)} on validation images (optimistic) after epoch {status.epoch}")
                if st.button("Watch it", icon=":material/monitoring:", key=f"home:watch:{run.name}"):
                    results.watch_run(run)
                    pages.go_to("train")
            with right:
                components.chart(followed.loss(160), f"home:loss:{run.name}", subject=run.name, alt=f"Loss of {run.name}")
    if len(active) > 3:
        st.caption(f"And {len(active) - 3} more, on the Runs page.")


def first_model(manifest: Path) -> None:
    """The step to a first model: of the demo set in one click, of one's own images with the form."""
    if not datasets.current_is_synthetic():
        words = "The data is there. Fine-tuning a network from ImageNet weights is where to start with real images."
        _step("Train a first model", words, "train", "Train a model")
        return
    with st.container(border=True):
        st.markdown("## Next: train a first model", anchors=False)
        st.markdown(
            "The demo set is there. One click trains the small network on it, in a minute or two; its curve appears here, "
            "then an example with its heatmap."
        )
        with st.container(horizontal=True):
            if st.button("Train the demo model", type="primary", icon=":material/play_arrow:", key="home:first"):
                with notices.errors_shown():
                    with st.spinner("The training is being started", show_time=False):
                        train_demo(manifest)
                    st.rerun()
            if st.button("Choose the settings first", icon=":material/tune:", key="home:settings"):
                pages.go_to("train")


def train_demo(manifest: Path) -> Run:
    """Start the preset for a quick demonstration on this data set.

    Raises:
        LabError: it cannot be started.
    """
    base = with_preset(settings.current(), PRESETS["quick"])
    data = base.data.model_copy(update={"manifest": manifest})
    config = base.model_copy(update={"data": data, "checkpoints": settings.checkpoints()})
    run = Run.create(config, datasets.manifest_frame(manifest))
    run_actions.start_training(run)
    training_runs.set_current_run(run.name)
    results.watch_run(run)
    return run


def next_step(run: Run) -> None:
    """What to do with a model: its metrics first, then its heatmaps."""
    if not workflow.scored(run, "val"):
        words = f"**{plain(run.name)}** has a model. See its metrics with confidence intervals, then its heatmaps."
        _step("See how good it is", words, "evaluate", "Evaluate")
    else:
        words = f"**{plain(run.name)}** is evaluated. See where in an image a score comes from, and whether to believe it."
        _step("Explain its scores", words, "explain", "Explain")


def _step(title: str, text: str, page: str, action: str) -> None:
    with st.container(border=True, height="stretch"):
        st.markdown(f"## Next: {title}", anchors=False)
        st.markdown(text)
        if st.button(action, type="primary", icon=":material/arrow_forward:", icon_position="right", key="next_step"):
            pages.go_to(page)


def demo_step() -> None:
    """The first step of all: write the demo set, with its progress."""
    with st.container(border=True):
        st.markdown("## Next: get some images", anchors=False)
        st.markdown(
            "Write the built-in demo set (synthetic mammograms, about a minute), or import your own on the "
            "Data page: a folder, a CSV, RSNA or mini-MIAS."
        )
        background.demo_button(primary=True)


def _other_pages() -> None:
    """The pages that are no step of the workflow, and what this lab computes with."""
    others = [name for name in pages.PAGES if name not in ("home", *workflow.STEPS)]
    st.markdown("## More pages", anchors=False)
    with st.container(key="narrow_quarter_more"):
        columns = st.columns(len(others))
    for column, name in zip(columns, others, strict=True):
        page = pages.PAGES[name]
        with column.container(border=True, height="stretch"):
            st.page_link(pages.script(name), label=f"**{page.material} {page.title}**")
            st.markdown(page.about)
    st.caption(f":material/memory: Training and scoring use: {plain(machine.device_label())}.")


with components.page(
    "Mammogram classification",
    "Train, test and explain a benign/malignant classifier for mammograms, on your own computer.",
):
    show()
