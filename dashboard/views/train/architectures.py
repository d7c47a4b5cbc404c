"""The architectures to choose from, in a table: size, weights, and what a step costs here. Part of the Train page."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from core.config import Config
from core.errors import LabError, TrainingFailed
from core.wording import plain, size
from dashboard.state import tasks, training_runs
from dashboard.ui import background, html_tables, notices

if TYPE_CHECKING:
    from core.training.model_list import ModelEntry
    from dashboard.state.tasks import Report

TASK = "model-costs"
HEAD = ("Architecture", "Parameters", "Step", "Memory", "ImageNet weights", "Licence")
PLACES = {"cache": "here (hub cache)", "package": "here (package)", "hub": "to download", "none": "none"}


def show(config: Config) -> None:
    """The table, folded: it is made when somebody unfolds it, with the form's input size, batch and device."""
    with st.expander("Architectures", key="train:architectures", on_change="rerun", icon=":material/table_rows:") as shown:
        if not shown.open:
            return
        try:
            found = _listed(config)
        except LabError as error:  # the form says what is wrong with it, too
            notices.show_error(error)
            return
        html_tables.table(HEAD, [_row(each) for each in found])
        height, width = config.preprocessing.shape
        st.caption(
            f"A step: {config.training.batch_size} images of {height} × {width} px, the whole network trained. Memory beside "
            "the libraries. Any other timm name works too."
        )
        _measuring(config, [each.name for each in found if each.costs is None])


def _listed(config: Config) -> list[ModelEntry]:
    from core.training.model_list import list_models

    return list_models(config)


def _row(entry: ModelEntry) -> tuple[str, ...]:
    weights, costs = entry.weights, entry.costs
    step = "–" if costs is None else f"{costs.seconds:.1f} s · {costs.images_per_second:.1f} images/s"
    memory = "–" if costs is None else size(costs.memory)
    licence = "–" if weights.kind == "none" else weights.licence or "not stated"
    return entry.name, f"{entry.parameters / 1e6:.1f} M", step, memory, PLACES[weights.kind], licence


def _measuring(config: Config, left: list[str]) -> None:
    if background.running(TASK, stop="train:stop_measuring", note="Each takes about a minute, more for the large ones."):
        return
    if not left:
        return
    busy = bool(training_runs.active_runs())
    if st.button(
        "Measure what is missing",
        icon=":material/timer:",
        key="train:measure_all",
        disabled=busy,
        help="A training uses this computer now: both would be slower, and the measured times wrong."
        if busy
        else "Makes a few training steps of each architecture that was not measured on this computer yet.",
    ):
        tasks.forget_task(TASK)
        tasks.start_task(TASK, "Measuring", partial(_measure, config, left))
        st.rerun()


def _measure(config: Config, names: list[str], report: Report) -> None:
    from core.training.model_list import measure_models

    problems = measure_models(config, names, report)
    if problems:
        raise TrainingFailed("\n\n".join(plain(problem) for problem in problems.values()))
