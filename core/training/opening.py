"""Before the first step: the network, what it computes on, in which precision, and compiled where that is wished."""

from __future__ import annotations

import logging
from typing import Any, cast

import torch
from torch import nn

from core.config import Config
from core.model import Classifier, build_model
from core.training.checkpoint import Progress
from core.training.depthwise import quicken
from core.training.machine import Machine, choose_precision, keep_precision, own_machine, pick_machine
from core.training.randomness import drawing
from core.training.world import World

_log = logging.getLogger(__name__)


def open_model(config: Config, progress: Progress, states: dict[str, Any] | None, device: torch.device) -> Classifier:
    """The network on its device: new, with its starting weights, or as the checkpoint's `states` have it.

    Raises:
        LabError: it cannot be built, does not take images of this size, or its weights cannot be had.
    """
    if states is None:
        with drawing(config.training.seed):
            model = build_model(config.model)
        progress.pretrained = model.pretrained
    else:
        model = build_model(config.model.model_copy(update={"weights": "none"}))
        model.pretrained = progress.pretrained
        model.load_state_dict(states["model"])
    model.check_input(*config.preprocessing.shape)
    quicken(model)
    return model.to(device).to(memory_format=torch.channels_last)


def open_machine(config: Config, world: World) -> Machine:
    """Device and precision of this process, before anything is measured.

    Raises:
        BadConfig: the device is not on this machine, or cannot compute in the precision asked for.
    """
    machine = own_machine(pick_machine(config.training), world)
    if machine.device.type == "cuda":
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    return machine


def settle_precision(
    machine: Machine, model: Classifier, config: Config, progress: Progress, world: World
) -> tuple[Machine, dict[str, float]]:
    """The machine in the precision this run computes in, noted in `progress`: chosen now, or when it was begun.

    Also, where it was measured, images a second in each precision.
    """
    if progress.precision:
        return keep_precision(machine, progress.precision), {}
    machine, rates = choose_precision(machine, model, config)
    progress.precision, rates = world.share(lambda: (machine.precision, rates))
    return keep_precision(machine, progress.precision), rates


def compile_model(model: Classifier, machine: Machine, config: Config) -> tuple[nn.Module | None, str]:
    """`torch.compile` of the model, tried on a step that leaves no trace; (None, the reason) where that fails.

    It shares the model's weights; the model itself stays as it is, so nothing is saved under other names.
    """
    buffers = [buffer.clone() for buffer in model.buffers()]
    images = torch.zeros(config.training.batch_size, 1, *config.preprocessing.shape, device=machine.device)
    try:
        compiled = cast(nn.Module, torch.compile(model))
        with machine.autocast():
            logits = compiled(images)
        logits.float().sum().backward()
    except Exception as error:  # noqa: BLE001  compilers fail in as many ways as there are; training goes on without
        _log.warning("torch.compile failed", exc_info=error)
        return None, f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no words'}"
    finally:
        model.zero_grad(set_to_none=True)
        with torch.no_grad():
            for buffer, before in zip(model.buffers(), buffers, strict=True):
                buffer.copy_(before)
    return compiled, ""
