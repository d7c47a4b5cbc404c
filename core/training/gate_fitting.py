"""The last part of a training: its best model learns which images it should not judge (see core.gate)."""

from __future__ import annotations

import time
from collections.abc import Generator
from pathlib import Path

import pandas as pd
import torch

from core.errors import LabError
from core.gate import fitting, write_gate
from core.model import load_model
from core.runs.events import Event, PrepareEvent, WarningEvent
from core.training.image_preparation import Rows
from core.training.run_logger import RunLogger
from core.training.timing import LoopTiming, Throttle

GATE = "gate"  # the phase of a run, and `what` of its "prepare" events, while this lasts
_LATER = "Until `python -m core gate RUN`, or an evaluation, does it, images far from the training images are not found out."


def fit_gate(
    logger: RunLogger, rows: Rows, device: torch.device, timing: LoopTiming, *, after_stop: bool = False
) -> Generator[Event, None, None]:
    """Fit and save the gate of the model in the run folder, where there is one. If it fails, that is a warning only.

    Yields "prepare" events. A stop request skips it; `after_stop` it is given up when it would take too long.
    """
    run, report = logger.run, Throttle(timing.between_steps)
    if not (logger.writes and run.has_model):
        return
    phase = run.status().phase
    logger.update(phase=GATE, eta_seconds=None)
    problem = ""
    began = time.monotonic()
    try:
        for done, total in _fitting(run.path, rows, device):
            if report.due(force=done == total):
                yield logger.event(PrepareEvent(type="prepare", done=done, total=total, what=GATE))
            if after_stop and (time.monotonic() - began) * total / done > timing.gate_after_stop:
                problem = f"It would have taken longer than {timing.gate_after_stop:.0f} seconds after the stop."
                break
            if not after_stop and run.requested("stop"):
                problem = "It was skipped as asked."
                break
    except LabError as error:
        problem = str(error)
    except torch.OutOfMemoryError:  # the training's own memory is still held
        problem = "The device has no memory left for it."
    logger.note(phase=phase)
    if problem:
        message = f"Which images the model should not judge was not learned. {problem} {_LATER}"
        yield logger.event(WarningEvent(type="warning", about="gate", message=message))


def _fitting(folder: Path, rows: Rows, device: torch.device) -> Generator[tuple[int, int], None, None]:
    """(images done, all images) after each batch; the gate is saved once all are."""
    model, card = load_model(folder)
    used = pd.concat([rows.train.assign(split="train"), rows.val.assign(split="val")], ignore_index=True)
    gate = yield from fitting(model.to(device).eval(), rows.cache, used)
    write_gate(folder, gate, card)
