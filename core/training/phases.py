"""The plan of a training: phases of epochs, what they train, and the learning rate of every update."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from core.config import TrainingConfig
from core.model import Classifier

_WARM_UP_SHARE = {"one_cycle": 0.25, "cosine": 0.05, "plateau": 0.05, "constant": 0.05}
_START = 1 / 25  # of the peak rate, as one-cycle schedules start
_END = 1e-3  # of the peak rate, where one_cycle and cosine end
_CUT = 1 / 3  # of the rate, with which the plateau schedule continues
_NOTICEABLE = 1e-4  # relative; a loss must fall by more than this to have fallen


@dataclass(frozen=True)
class Phase:
    """Epochs `first_epoch` to `last_epoch` (1-based, both included) that train the same parameters.

    `name` is "patches", "head", "stage 1", "stage 2", ..., "fine_tune" or "scratch". `learning_rate` is the peak rate that
    stands for the phase; `head_learning_rate` that of the last layer. `stages` counts the backbone's stages that are trained
    beside the head, from the last one; None: the whole network.
    """

    name: str
    first_epoch: int
    last_epoch: int
    learning_rate: float
    head_learning_rate: float
    stages: int | None = None

    @property
    def frozen(self) -> bool:
        """Whether only the head is trained."""
        return self.stages == 0

    @property
    def epochs(self) -> int:
        return self.last_epoch - self.first_epoch + 1


def plan_phases(config: TrainingConfig, *, pretrained: bool, stages: int = 1) -> tuple[Phase, ...]:
    """A pretrained model trains its head first, then everything; a new one everything from the start.

    With `advanced.gradual_unfreezing_epochs`, the backbone's `stages` join the head one after the other in between. The
    first ones, as many whole stages as `frozen_backbone_fraction` holds, never do; the last one always does.
    """
    rate, tune = config.learning_rate, config.fine_tune_learning_rate
    if not pretrained:
        return (Phase("scratch", 1, config.epochs, rate, rate),)
    left = int(config.frozen_backbone_fraction * stages)
    most = max(1, stages - left)
    planned = [Phase("head", 1, config.freeze_epochs, rate, rate, 0)]
    if config.advanced.gradual_unfreezing_epochs:
        for count in range(1, most):
            begin = planned[-1].last_epoch + 1
            planned.append(
                Phase(f"stage {count}", begin, begin + config.advanced.gradual_unfreezing_epochs - 1, tune, rate, count)
            )
    trained = most if left else None
    planned.append(Phase("fine_tune", planned[-1].last_epoch + 1, config.epochs, tune, rate, trained))
    cut = [replace(phase, last_epoch=min(phase.last_epoch, config.epochs)) for phase in planned]
    return tuple(phase for phase in cut if phase.epochs > 0)


def patch_phase(config: TrainingConfig, *, pretrained: bool, stages: int = 1) -> Phase:
    """What the patch phase trains (core.training.patches): as much of the network, and as fast, as fine-tuning does."""
    epochs = config.lesions.patch_epochs
    last = plan_phases(config.model_copy(update={"epochs": 10**6}), pretrained=pretrained, stages=stages)[-1]
    return replace(last, name="patches", first_epoch=1, last_epoch=epochs)


def phase_of(phases: tuple[Phase, ...], epoch: int) -> Phase:
    """The phase that `epoch` (1-based) belongs to."""
    return next(phase for phase in phases if phase.first_epoch <= epoch <= phase.last_epoch)


def rate_factor(schedule: str, update: int, updates: int, losses: Sequence[float] = (), patience: int = 0) -> float:
    """Share of the peak learning rate for update number `update` (0-based) of a phase of `updates`, in (0, 1].

    A function of the position and, for "plateau", of the phase's validation losses so far (see `rate_cuts`): a resumed
    training needs no scheduler state.
    """
    warm_up = round(_WARM_UP_SHARE[schedule] * updates)
    if update < warm_up:
        share = (update + 1) / (warm_up + 1)
        if schedule == "one_cycle":
            share = (1 - math.cos(math.pi * share)) / 2
        return _START + (1 - _START) * share
    if schedule == "constant":
        return 1.0
    if schedule == "plateau":
        return max(_END, _CUT ** rate_cuts(losses, patience))
    share = (update - warm_up) / max(1, updates - warm_up)
    return _END + (1 - _END) * (1 + math.cos(math.pi * share)) / 2


def rate_cuts(losses: Sequence[float], patience: int) -> int:
    """How often the plateau schedule has cut the rate after epochs with these validation losses.

    As torch's ReduceLROnPlateau: a cut after more than `patience` epochs without a noticeably lower loss, then as many again.
    """
    best, stale, cuts = math.inf, 0, 0
    for loss in losses:
        if loss < best * (1 - _NOTICEABLE):
            best, stale = loss, 0
        else:
            stale += 1
        if stale > patience:
            cuts, stale = cuts + 1, 0
    return cuts


def parameter_groups(model: Classifier, phase: Phase, weight_decay: float, layer_decay: float = 1.0) -> list[dict[str, Any]]:
    """Groups for AdamW: trainable parameters by peak rate (`peak`), weight decay only on matrices and kernels.

    A layer of the backbone that is n layers below the head has the phase's rate times `layer_decay` ** n, in the grouping
    that timm has for the architecture. Norms' parameters and biases (all that have one dimension) are not decayed.
    """
    head = {id(parameter) for parameter in model.head_parameters()}
    distances = model.layer_depths() if layer_decay < 1 else {}
    groups: dict[tuple[float, bool], dict[str, Any]] = {}
    fusion = (("", parameter) for parameter in model.fusion_parameters())
    for name, parameter in chain(model.backbone.named_parameters(), fusion):
        if not parameter.requires_grad:
            continue
        below = layer_decay ** distances.get(name, 0)
        peak = phase.head_learning_rate if id(parameter) in head else phase.learning_rate * below
        decay = weight_decay if parameter.ndim > 1 else 0.0
        group = {"params": [], "lr": peak, "peak": peak, "weight_decay": decay}
        groups.setdefault((peak, decay > 0), group)["params"].append(parameter)
    return list(groups.values())
