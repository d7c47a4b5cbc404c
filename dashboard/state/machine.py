"""A description of the device, and the loading of heavy libraries after the first page has been sent."""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Sequence
from functools import partial

from core.errors import LabError
from core.wording import counted
from dashboard.state import settings
from dashboard.state.tasks import Report, once, start_task, task


def device_label() -> str:
    """The device that work runs on. Asks torch only once the warm-up has imported it: a page never waits for that."""
    try:
        wanted = settings.current().training.device
    except LabError:
        wanted = "auto"
    cores = os.cpu_count() or 1
    processor = f"CPU, {counted(cores, 'core')}"
    torch = sys.modules.get("torch")
    if wanted == "cpu" or torch is None or not is_warm():
        return processor
    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name(0))
    if torch.backends.mps.is_available():
        return "Apple GPU (mps)"
    return processor


def is_warm() -> bool:
    """Whether the heavy libraries have been imported in the background."""
    warm = task("warm-up")
    return warm is not None and warm.state == "done"


def warm_up(modules: Sequence[str]) -> None:
    """After the first page was sent: import torch and these modules in the background, once a process.

    `gc.freeze` then keeps them out of every later collection (a full one over torch's objects takes 100-300 ms).
    """
    if once("warm-up"):
        start_task("warm-up", "Loading libraries", partial(_import_all, modules))


def _import_all(modules: Sequence[str], report: Report) -> None:
    import torch

    for name in modules:
        importlib.import_module(name)

    torch.cuda.is_available()
    gc.collect()
    gc.freeze()
