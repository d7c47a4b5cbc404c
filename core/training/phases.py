"""The plan of a training: phases of epochs, what they train, and the learning rate of every update."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from core.config import TrainingConfig
from core.model import Classifier

PhaseName = Literal["head", "fine_tune", "scratch"]

_WARM_UP_SHARE = {"one_cycle": 0.25, "cosine": 0.05, "constant": 0.05}
_START = 1 / 25  # of the peak rate, as one-cycle schedules start
_END = 1e-3  # of the peak rate, where one_cycle and cosine end


@dataclass(frozen=True)
class Phase:
    """Epochs `first_epoch` to `last_epoch` (1-based, both included) that train the same parameters.

    `learning_rate` is the peak rate that stands for the phase; `head_learning_rate` that of the last layer.
    """

    name: PhaseName
    first_epoch: int
    last_epoch: int
    learning_rate: float
    head_learning_rate: float

    @property
    def frozen(self) -> bool:
        """Whether only the head is trained."""
        return self.name == "head"

    @property
    def epochs(self) -> int:
        return self.last_epoch - self.first_epoch + 1


def plan_phases(config: TrainingConfig, *, pretrained: bool) -> tuple[Phase, ...]:
    """A pretrained model trains its head first, then everything; a new one everything from the start."""
    rate = config.learning_rate
    if not pretrained:
        return (Phase("scratch", 1, config.epochs, rate, rate),)
    frozen = min(config.freeze_epochs, config.epochs)
    phases = []
    if frozen:
        phases.append(Phase("head", 1, frozen, rate, rate))
    if frozen < config.epochs:
        phases.append(Phase("fine_tune", frozen + 1, config.epochs, config.fine_tune_learning_rate, rate))
    return tuple(phases)


def phase_of(phases: tuple[Phase, ...], epoch: int) -> Phase:
    """The phase that `epoch` (1-based) belongs to."""
    return next(phase for phase in phases if phase.first_epoch <= epoch <= phase.last_epoch)


def rate_factor(schedule: str, update: int, updates: int) -> float:
    """Share of the peak learning rate for update number `update` (0-based) of a phase of `updates`, in (0, 1].

    A function of the position alone, so that a resumed training needs no scheduler state.
    """
    warm_up = round(_WARM_UP_SHARE[schedule] * updates)
    if update < warm_up:
        share = (update + 1) / (warm_up + 1)
        if schedule == "one_cycle":
            share = (1 - math.cos(math.pi * share)) / 2
        return _START + (1 - _START) * share
    if schedule == "constant":
        return 1.0
    share = (update - warm_up) / max(1, updates - warm_up)
    return _END + (1 - _END) * (1 + math.cos(math.pi * share)) / 2


def parameter_groups(model: Classifier, phase: Phase, weight_decay: float) -> list[dict[str, Any]]:
    """Groups for AdamW: trainable parameters by peak rate (`peak`), weight decay only on matrices and kernels.

    The first group has the phase's own rate. Norms' parameters and biases (all that have one dimension) are not decayed.
    """
    head = model.head_parameters()
    parts: list[tuple[list[nn.Parameter], float]] = [(head, phase.head_learning_rate)]
    if not phase.frozen:
        parts.insert(0, (model.backbone_parameters(), phase.learning_rate))
    groups = []
    for parameters, peak in parts:
        for decayed in (True, False):
            chosen = [p for p in parameters if p.requires_grad and (p.ndim > 1) == decayed]
            if chosen:
                groups.append({"params": chosen, "lr": peak, "peak": peak, "weight_decay": weight_decay if decayed else 0.0})
    return groups
