"""The form of a fork: a new run from another one's weights, with what is to be different. Part of the Runs page."""

from __future__ import annotations

import streamlit as st

from core.config import Config
from core.runs import Run
from core.runs.forking import fork, starting_point
from dashboard.cache import results
from dashboard.state import run_actions, settings, training_runs
from dashboard.ui import forms, notices, pages, run_controls

PREFIX = "fork:"
SCHEDULE = [
    "training.epochs",
    "training.freeze_epochs",
    "training.learning_rate",
    "training.fine_tune_learning_rate",
    "training.frozen_backbone_fraction",
    "training.batch_size",
    "training.advanced.weight_decay",
    "training.patience",
    "training.seed",
]
SECTIONS = {"augmentation": "Augmentation", "preprocessing": "Recipe"}


def show(run: Run) -> None:
    """What a fork takes over, the fields that may differ, what differs, and the button. Raises BadRun."""
    if not training_runs.has_model(run):
        notices.info("A fork starts from a run's best weights: this one has none yet.")
        return

    base = starting_point(run)
    st.markdown(
        "A fork is a new run that **starts from this one's best weights**, on the **same patients in the same splits** (with "
        "another split its test set would hold patients that the model was trained on). Architecture and data stay the same; "
        "change what you want to try. This run is not changed. Evaluations of its test set count for the fork, too."
    )
    name = st.text_input("Name of the new run", key="fork:name", placeholder="date, architecture and a number")
    values = forms.fields(SCHEDULE, base, prefix=PREFIX)
    values |= forms.groups(SECTIONS, base, prefix=PREFIX)
    config, problems = forms.check(values, base)
    forms.show_problems(problems)
    if config is None:
        return
    different = forms.changed(config, base)
    if different:
        st.markdown("Different: " + ", ".join(f"**{forms.title_of(path)}**" for path in different) + ".")
    else:
        st.markdown("Nothing is different yet: it would continue to train for as many epochs again.")
    if any(path.startswith("preprocessing.") for path in different):
        st.caption("Another recipe: the images are prepared again first, and the model has to adapt to them.")
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    with left:
        launcher = run_controls.launcher_choice()
    with right:
        if st.button("Fork and train", type="primary", icon=":material/fork_right:", key="fork:start", width="stretch"):
            start(run, config, name, launcher)


def start(run: Run, config: Config, name: str, launcher: str) -> None:
    """Create the fork, start or queue it, and show its progress on the Train page."""
    with notices.errors_shown():
        child = fork(run, config.model_copy(update={"checkpoints": settings.checkpoints()}), name=name.strip() or None)
        run_actions.start_training(child, launcher)
        training_runs.set_current_run(child.name)
        results.watch_run(child)
        forms.reset(PREFIX)
        pages.go_to("train")
