"""The start page: what there is already, the next step, and an example."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from core.config import PRESETS, with_preset
from core.errors import LabError
from core.runs import Run
from core.runs.test_set.provenance import read_entries
from core.wording import counted, number, plain
from dashboard.cache import results
from dashboard.state import datasets, machine, preferences, run_actions, settings, training_runs
from dashboard.state.run_states import state_of
from dashboard.ui import background, components, notices, pages
from dashboard.ui.components import Metric
from dashboard.views.home import example


def show() -> None:
    """State of data, runs and machine in three cards, what is training, the next step beside an example, and the workflow."""
    manifest = datasets.current_manifest()
    runs = training_runs.list_runs()
    trained = [run for run in runs if training_runs.has_model(run)]
    run = training_runs.current_run(with_model=True)
    active = training_runs.active_runs()
    states = [state_of(each.status(), each)[0] for each in active]
    at_work = [f"{states.count(state)} {state}" for state in dict.fromkeys(states)]
    detail = ", ".join([f"{len(trained)} with a model", *at_work]) if runs else "nothing trained yet"
    with st.container(key="narrow_cards"):
        components.metric_cards(
            [
                _data_card(),
                Metric("Runs", str(len(runs)), detail),
                Metric("Device", machine.device_label(), "used for training and scoring"),
            ]
        )
    if active:
        st.fragment(training_now, run_every=2.0)()
    if run is None:
        if manifest is None:
            demo_step()
        elif not active:
            first_model(manifest)
    else:
        with st.container(key="narrow_stack_home"):
            left, right = st.columns([2, 3])
        with left:
            if manifest is None:
                demo_step()
            else:
                _step(
                    "See how good it is",
                    f"**{plain(run.name)}** has a model. See its metrics with confidence intervals, then its heatmaps.",
                    "evaluate",
                    "Evaluate",
                )
            if st.button("Present it", icon=":material/slideshow:", key="home:present", help=pages.PAGES["present"].about):
                pages.go_to("present")
        with right, notices.errors_shown():
            example.show(run)
    _workflow(manifest is not None, run)


def _data_card() -> Metric:
    path = datasets.current_manifest()
    if path is None:
        return Metric("Data set", "none", "nothing imported yet")
    try:
        counts = datasets.counts_of(path)
    except LabError:
        return Metric("Data set", "not readable", settings.display_path(path))
    if counts is None:
        return Metric("Data set", "being read …", settings.display_path(path))
    what = f"{counts.patient_words}, {counts.malignant:,} malignant{counts.excluded_words}"
    return Metric("Data set", counted(counts.images, "image"), what)


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


def _workflow(data: bool, run: Run | None) -> None:
    """The pages in the order in which they are used, and how far this lab has come."""
    done = {
        "data": data,
        "train": run is not None,
        "evaluate": run is not None and _scored(run, "val"),
        "explain": preferences.get("explain:image") is not None,
        "test": run is not None and _scored(run, "test"),
    }
    steps = [("data", "Data"), ("train", "Train"), ("evaluate", "Evaluate"), ("explain", "Explain"), ("test", "Test set, last")]
    shown = "".join(f"<li{' class=done' if done[key] else ''}>{title}</li>" for key, title in steps)
    st.markdown("## Workflow", anchors=False)
    st.html(f"<ol class='lab-steps' aria-label='Steps of the workflow; a tick is a step that is done'>{shown}</ol>")
    others = [name for name in pages.PAGES if name != "home"]
    for start in range(0, len(others), 4):
        with st.container(key=f"narrow_quarter_{start}"):
            columns = st.columns(4)
        for column, name in zip(columns, others[start : start + 4], strict=False):
            page = pages.PAGES[name]
            with column.container(border=True, height="stretch"):
                tick = " :green[✓]" if done.get(name) else ""
                st.page_link(pages.script(name), label=f"**{page.material} {page.title}**{tick}")
                st.markdown(page.about)


def _scored(run: Run, split: str) -> bool:
    """Whether the run was evaluated on the split; also where the metrics can no longer be read."""
    try:
        return bool((read_entries(run.path).get(split) or {}).get("opened"))
    except LabError:
        return True


with components.page(
    "Mammogram classification",
    "Train, test and explain a benign/malignant classifier for mammograms, on your own computer.",
):
    show()
