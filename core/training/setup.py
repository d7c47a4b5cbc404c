"""Before the first step: the network, what it computes on, in which precision, and compiled where that is wished."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from core.config import Config
from core.errors import BadConfig, BadRun, LabError
from core.files.untrusted import irregular
from core.model import Classifier, build_model
from core.model.build import outline
from core.model.device import Machine, keep_precision, pick_machine
from core.model.stored import require_memory
from core.runs.run import START
from core.training.checkpoint import Progress
from core.training.cpu.depthwise_bf16 import quicken
from core.training.device import choose_precision, own_machine
from core.training.distributed import World
from core.training.rng import drawing

_COPIES = 4  # of the weights: themselves, their gradients and the optimizer's two averages

_log = logging.getLogger(__name__)


def open_model(config: Config, progress: Progress, states: dict[str, Any] | None, device: torch.device) -> Classifier:
    """The network on its device: new, with its starting weights, or as the checkpoint's `states` have it.

    Raises:
        LabError: it cannot be built, does not take images of this size, or its weights cannot be had.
    """
    require_room(config, device)
    copies = _COPIES + bool(config.training.advanced.ema_decay) if device.type == "cpu" else 1
    if states is None:
        if Path(config.model.weights).name == START and irregular(Path(config.model.weights)):
            raise BadRun(f"{config.model.weights}: expected the run's own weights, got {irregular(Path(config.model.weights))}")
        with drawing(config.training.seed):
            model = build_model(config.model, copies=copies)
        progress.pretrained = model.pretrained
    else:
        model = build_model(config.model.model_copy(update={"weights": "none"}), copies=copies)
        model.pretrained = progress.pretrained
        try:
            model.load_state_dict(states["model"])
        except (RuntimeError, TypeError, AttributeError) as error:
            first = " ".join(str(error).split())[:300]
            raise BadRun(f"last.pt: its weights are not those of {config.model.name}: {first}. Start a new run.") from error
    model.check_input(*config.preprocessing.shape)
    quicken(model)
    return model.to(device).to(memory_format=torch.channels_last)


def require_room(config: Config, device: torch.device) -> None:
    """Refuse what cannot fit into memory, before a step asks for it: the kernel ends processes, and says nothing.

    A lower bound of what training needs: a batch of images and, on the processor, the largest map of one layer for it.

    Raises:
        BadConfig: that is more than is free.
    """
    height, width = config.preprocessing.shape
    images = config.training.batch_size * height * width * 4
    largest = images
    if device.type == "cpu":
        largest = max(images, config.training.batch_size * _largest_map(config))
    try:
        require_memory(largest, f"{config.training.batch_size} images of {height} x {width} pixels in {config.model.name}")
    except MemoryError as error:
        raise BadConfig(f"preprocessing.size, training.batch_size: {error}. Choose smaller ones") from error


def _largest_map(config: Config) -> int:
    """Bytes of the largest tensor that one image becomes on its way through the network; 0 where it cannot be found.

    On torch's meta device, so it takes no memory to find out.
    """
    sizes = _Sizes()
    try:
        model = outline(config.model).eval()
        with torch.device("meta"), torch.no_grad(), sizes:
            model(torch.empty(1, 1, *config.preprocessing.shape))
    except (LabError, RuntimeError, TypeError, ValueError, NotImplementedError):
        return 0  # a size or a step that this network does not take: `check_input` tells
    return sizes.largest


class _Sizes(TorchFunctionMode):
    """Notes the size of the largest tensor that any of torch's functions gives."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = 0

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        # A view, such as a window of an image, takes no memory of its own.
        if isinstance(result, torch.Tensor) and result.is_contiguous() and not result._is_view():
            self.largest = max(self.largest, result.nbytes)
        return result


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
            logits = compiled(images if len(images) > 1 else images.repeat(2, 1, 1, 1))
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
