"""How long a training will take, and what it needs of memory and disk: measured, or not known.

Its time is that of its steps, of starting, of preparing the images and of fitting the gate. The steps' speed is that of an
earlier run of the same set-up on this computer, else of a few steps on images in memory that are
made when somebody asks for it.
"""

from __future__ import annotations

import hashlib
import math
import os
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st
from pydantic import ValidationError

from core.config import PRESETS, Config, with_preset
from core.errors import LabError
from core.files.paths import cache_root
from core.runs import Run
from core.wording import counted, size
from dashboard.cache import results
from dashboard.state import tasks, training_runs
from dashboard.state.tasks import once
from dashboard.ui import background

if TYPE_CHECKING:
    from core.training.preflight import Preflight
    from dashboard.state.tasks import Report

VALIDATION = 0.35  # of a training step's time that an image takes without gradients
# Rough: 76 images and six epochs of the quick preset took 18 s on two cores, where these give 17.
START = 10.0  # seconds for a training's process to load libraries, data set and weights, and to end
PREPARING = 0.06  # of a processor's seconds that an image takes, read and prepared
MEASURING = 0.01  # seconds that the gate takes to measure an image, the network apart
AT_MOST = "at most: training ends early when validation no longer improves"

_WITH = "Starting, preparing the images and fitting the gate are roughly included."


@dataclass(frozen=True)
class Speed:
    """Images per second of training, where that is from, and the bytes of memory that it took; None where nobody counted."""

    rate: float
    source: str
    memory: int | None = None


def show(config: Config, found: Preflight) -> None:
    """Steps and epochs, and what they are expected to cost."""
    epochs = config.training.epochs
    line = f"{counted(found.steps, 'step')} per epoch, up to {counted(epochs, 'epoch')}"
    speed = measured(config) or earlier(config)
    rough = _scaled(config) if speed is None else None
    if rough is not None:
        roughly = minutes(whole(config, found.counts, rough))
        st.markdown(
            f"{line}, **roughly {roughly}** {AT_MOST}.",
            help=f"Estimated from what this network took on this computer with images of another size. {_WITH}",
        )
        _measure(config)
    elif speed is None:
        st.markdown(f"{line}. How long that takes is not known yet: nothing like it has been trained on this computer.")
        _measure(config)
    else:
        seconds = whole(config, found.counts, speed.rate)
        st.markdown(f"{line}, **about {minutes(seconds)}** {AT_MOST}.", help=f"Measured with {speed.source}. {_WITH}")
    used = None if speed is None else speed.memory
    memory = "not known before it has run once" if used is None else f"about {size(used)}"
    st.caption(f"Memory: {memory}. {_disk(config, found)}")


def presets(base: Config, manifest: Path) -> dict[str, str]:
    """How long each preset is expected to take, in words, as far as anything was measured on this computer.

    A step's time grows with the number of pixels, so a speed that was measured for the same network at another size will do.
    """
    found: dict[str, str] = {}
    for name, preset in PRESETS.items():
        try:
            config = with_preset(base, preset)
            counts = results.preflight(config, manifest).counts
        except (LabError, ValidationError):  # the form shows what is wrong with it
            continue
        rate = _scaled(config)
        if rate and counts:
            found[name] = f"~{minutes(whole(config, counts, rate))}"
    return found


def minutes(seconds: float) -> str:
    """A rough time: `1 min`, `25 min`, `3 h`."""
    if seconds < 5400:
        return f"{max(1, round(seconds / 60))} min"
    return f"{round(seconds / 3600)} h"


def probe_in_background(base: Config) -> None:
    """Measure the smallest preset once in a server's life, where nothing like it has been trained: for a first estimate."""
    config = with_preset(base, PRESETS["quick"])
    if _scaled(config) is None and not training_runs.active_runs() and once("probe"):
        tasks.start_task(_name(config), "Measuring", lambda report: _probe(config, report))


def _scaled(config: Config) -> float | None:
    """Images per second of this set-up, from what was measured for it, or for the same network at another size."""
    exact = measured(config) or earlier(config)
    if exact is not None:
        return exact.rate
    pixels = math.prod(config.preprocessing.shape)
    for run in training_runs.list_runs():
        other = results.config_of(run)[0]
        if other is None or other.model.name != config.model.name or run.status().host not in ("", platform.node()):
            continue
        if (speed := _of(run)) is not None:
            return speed.rate * math.prod(other.preprocessing.shape) / pixels
    quick = with_preset(config, PRESETS["quick"])
    speed = measured(quick) if config.model.name == quick.model.name else None
    return None if speed is None else speed.rate * math.prod(quick.preprocessing.shape) / pixels


def seconds_an_epoch(counts: Mapping[str, tuple[int, int, int]], rate: float) -> float:
    """Training and validation of one epoch, where `rate` images per second are trained on; `counts` as in Preflight."""
    train, val = (counts.get(split, (0, 0, 0))[0] for split in ("train", "val"))
    return (train + VALIDATION * val) / rate


def whole(config: Config, counts: Mapping[str, tuple[int, int, int]], rate: float) -> float:
    """Seconds from the start button to the gate's end, with every epoch; `counts` and `rate` as for `seconds_an_epoch`."""
    from core.gate.fitting import MOST_TRAIN, MOST_VALIDATION

    train, val = (counts.get(split, (0, 0, 0))[0] for split in ("train", "val"))
    preparing = PREPARING * (train + val) / min(8, os.cpu_count() or 1)
    gate = (min(train, MOST_TRAIN) + min(val, MOST_VALIDATION)) * (MEASURING + VALIDATION / rate)
    return START + preparing + seconds_an_epoch(counts, rate) * config.training.epochs + gate


def earlier(config: Config) -> Speed | None:
    """The speed of the newest run on this computer whose steps were the same work."""
    wanted = _work(config)
    for run in training_runs.list_runs():
        status = run.status()
        other = results.config_of(run)[0]
        if status.problem or other is None or status.host not in ("", platform.node()) or _work(other) != wanted:
            continue
        if (speed := _of(run)) is not None:
            return speed
    return None


def _of(run: Run) -> Speed | None:
    """The run's speed in steps of the network: epochs of the head alone, on stored features, take a hundredth of it."""
    followed = results.monitor(run)
    last = followed.last
    whole_steps = [event for event in list(followed.history.epochs.values()) if event.get("phase") != "head"]
    if whole_steps:
        rate = max(whole_steps, key=lambda event: event["epoch"]).get("images_per_second")
    elif last.get("phase", {}).get("phase") != "head":
        rate = last.get("step", {}).get("images_per_second")
    else:
        return None
    memory = last.get("step", {}).get("memory")
    if not isinstance(rate, int | float) or rate <= 0:
        return None
    return Speed(float(rate), f"the run {run.name}", memory if isinstance(memory, int) else None)


def _work(config: Config) -> dict[str, Any]:
    """What a step's time depends on."""
    training = config.training
    fields = ("batch_size", "precision", "device", "freeze_epochs", "frozen_backbone_fraction")
    advanced = ("threads", "compile", "cache_backbone_features")
    model = config.model.model_dump(mode="json", include={"name", "options"})
    step = training.model_dump(mode="json", include={*fields, "advanced"})
    step["advanced"] = {name: step["advanced"][name] for name in advanced}
    return {"model": model, "shape": config.preprocessing.shape, **step}


def measured(config: Config) -> Speed | None:
    """What was measured for this set-up in this server's life."""
    task = tasks.task(_name(config))
    return Speed(float(task.result), "a few steps just now") if task is not None and task.state == "done" else None


def _measure(config: Config) -> None:
    if background.running(_name(config)):
        return
    if st.button("Measure it now", icon=":material/timer:", type="tertiary", key="train:measure", help="Trains a few steps."):
        tasks.forget_task(_name(config))
        tasks.start_task(_name(config), "Measuring", lambda report: _probe(config, report))
        st.rerun()


def _probe(config: Config, report: Report) -> float:
    """Images per second in training steps of a model that has learned nothing: its weights do not change the time."""
    from core.model import build_model
    from core.model.device import pick_device_config
    from core.training.device import images_per_second

    machine = pick_device_config(config.training)
    model = build_model(config.model.model_copy(update={"weights": "none"})).to(machine.device)
    return max(images_per_second(model, config, [machine]).values())


def _name(config: Config) -> str:
    return "measure:" + hashlib.sha256(repr(_work(config)).encode()).hexdigest()[:16]


def _disk(config: Config, found: Preflight) -> str:
    """What prepared images take at most (a byte a pixel), and what is free there."""
    height, width = config.preprocessing.shape
    images = sum(counts[0] for counts in found.counts.values())
    try:
        folder = cache_root()
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        free = f" of {size(shutil.disk_usage(folder).free)} free"
    except OSError:
        free = ""
    return f"Disk: up to {size(images * height * width)}{free} for prepared images, unless they are there already."
