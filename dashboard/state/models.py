"""The trained models of runs: loaded once, the device that they score on, and what is known of their scores."""

from __future__ import annotations

import platform
import re
from typing import TYPE_CHECKING

import streamlit as st

from core.errors import LabError
from core.metrics.chance import chance_of_model
from core.metrics.leakage_mark import leakage_of_model
from core.metrics.placing import Reference, reference_of
from core.model.card import cost_of
from core.runs import Run
from dashboard.state.file_stamps import of_run, stamp
from dashboard.state.training_runs import has_model, list_runs

if TYPE_CHECKING:
    from core.predict import Predictor

_SCORED = ("model.json", "predictions/val.csv")


def model_stamp(run: Run) -> tuple[int, int]:
    """Changes when the run's model does, its threshold, or its input gate."""
    return stamp(run.path / "model.json"), stamp(run.path / "gate.safetensors")


def predictor(run: Run) -> Predictor:
    """The loaded model of a run, shared by all pages and sessions, loaded again when the model file changes. Raises BadRun."""
    return _predictor(run, prediction_device())


@st.cache_resource(max_entries=2, show_spinner=False, hash_funcs=of_run("model.json", "gate.safetensors"))
def _predictor(run: Run, device: str) -> Predictor:
    from core.predict import Predictor

    return Predictor.from_run(run, device=device)


def unload_all() -> None:
    """Free the memory of the loaded models, the GPU's too."""
    _predictor.clear()


@st.cache_data(max_entries=512, show_spinner=False, hash_funcs=of_run(*_SCORED))
def chance(run: Run) -> str:
    """Why the run's model has not shown to be better than chance; "" when it has, or has no model. See core.metrics.chance."""
    if not has_model(run):
        return ""
    try:
        return chance_of_model(run.model_card(), run.path)
    except LabError:  # the page that uses the model shows what is wrong with its card
        return ""


@st.cache_data(max_entries=512, show_spinner=False, hash_funcs=of_run("model.json"))
def leakage(run: Run) -> str:
    """What leaks between the splits of the run's model; "" where nothing does. See core.metrics.leakage_mark."""
    if not has_model(run):
        return ""
    try:
        return leakage_of_model(run.model_card())
    except LabError:  # the page that uses the model shows what is wrong with its card
        return ""


@st.cache_data(max_entries=512, show_spinner=False, hash_funcs=of_run("model.json"))
def ensemble(run: Run) -> tuple[str, str]:
    """What the run's model is the mean of, and what that costs, in words; ("", "") for a single network and for no model."""
    if not has_model(run):
        return "", ""
    try:
        card = run.model_card()
    except LabError:  # the page that uses the model shows what is wrong with its card
        return "", ""
    return (card.architecture, cost_of(run.path, card)) if card.members is not None else ("", "")


@st.cache_data(max_entries=16, show_spinner=False, hash_funcs=of_run(*_SCORED))
def reference(run: Run) -> Reference | None:
    """The validation scores among which a score of the run's model is placed; None where there are none."""
    return reference_of(run.path)


def prediction_device() -> str:
    """Where a model scores: on the GPU where there is one, but on the processor while a run is trained on that GPU.

    A prediction that took the last of its memory would end the training.
    """
    from core.model import pick_device

    device = pick_device("auto")
    if device.type != "cuda":
        return str(device)
    for run in list_runs():
        status = run.status()
        here = status.live and status.host == platform.node()
        if here and _cuda_index(status.device) == (device.index or 0):
            return "cpu"
    return str(device)


def _cuda_index(device: str) -> int | None:
    """The number of the GPU in "cuda:1 (NVIDIA ...)"; None for another kind of device."""
    found = re.match(r"cuda(?::(\d+))?", device)
    return int(found.group(1) or 0) if found else None
