"""The last thing a training does: its best model learns which images it should not judge (see core.gate)."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import torch

from core.errors import LabError
from core.gate import fit_gate, write_gate
from core.model import load_model
from core.training.preparation import Rows

_LATER = "Until `python -m core gate RUN`, or an evaluation, does it, images far from the training images are not found out."


def fit_gate_of(folder: Path, rows: Rows, device: torch.device, *, within: float | None = None) -> str:
    """Fit and keep the gate of the model in a run's folder; returns why there is none in words, "" when there is.

    `within`: give up when it would take more seconds.
    """
    try:
        model, card = load_model(folder)
        used = pd.concat([rows.train.assign(split="train"), rows.val.assign(split="val")], ignore_index=True)
        gate = fit_gate(model.to(device).eval(), rows.cache, used, within=within)
        if gate is None:
            return f"It would have taken longer than {within:.0f} seconds after the stop. {_LATER}"
        write_gate(folder, gate, card)
    except LabError as error:
        return f"{error} {_LATER}"
    except torch.OutOfMemoryError:  # the training's own memory is still held
        return f"The device has no memory left for it. {_LATER}"
    return ""
