"""The last thing a training does: its best model learns which images it should not judge (see core.gate)."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from pathlib import Path

import pandas as pd
import torch

from core.errors import LabError
from core.gate import fitting, write_gate
from core.model import load_model
from core.training.image_preparation import Rows

GATE = "gate"  # the phase of a run, and `what` of its events of progress, while this lasts
_LATER = "Until `python -m core gate RUN`, or an evaluation, does it, images far from the training images are not found out."


def fit_gate_of(
    folder: Path, rows: Rows, device: torch.device, *, within: float | None = None, stopped: Callable[[], bool] | None = None
) -> Generator[tuple[int, int], None, str]:
    """Fit and keep the gate of the model in a run's folder; returns why there is none in words, "" when there is.

    Yields (images looked at, all images) after each batch. `within`: give up when it would take more seconds. `stopped`:
    asked after each batch whether somebody does not want to wait for it.
    """
    began = time.monotonic()
    try:
        model, card = load_model(folder)
        used = pd.concat([rows.train.assign(split="train"), rows.val.assign(split="val")], ignore_index=True)
        steps = fitting(model.to(device).eval(), rows.cache, used)
        while True:
            try:
                done, total = next(steps)
            except StopIteration as end:
                write_gate(folder, end.value, card)
                return ""
            yield done, total
            if within is not None and (time.monotonic() - began) * total / done > within:
                return f"It would have taken longer than {within:.0f} seconds after the stop. {_LATER}"
            if stopped is not None and stopped():
                return f"It was skipped as asked. {_LATER}"
    except LabError as error:
        return f"{error} {_LATER}"
    except torch.OutOfMemoryError:  # the training's own memory is still held
        return f"The device has no memory left for it. {_LATER}"
