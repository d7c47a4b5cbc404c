"""Set-up of a training: device, precision, checkpoint or new network, and compilation where that is configured."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import nn
from torch.overrides import TorchFunctionMode

from core.config import Config
from core.data import SPLITS
from core.errors import BadConfig, BadRun, LabError
from core.files.untrusted import irregular
from core.model import Classifier, build_model
from core.model.build import outline
from core.model.card import StartingWeights
from core.model.device import DeviceConfig, pick_device_config, with_precision
from core.model.fusion import slots_of
from core.model.stored import require_memory
from core.model.view_codes import CC, MLO
from core.runs.events import ResumeEvent, StartEvent, WarningEvent
from core.runs.frozen_rule import resumed_config
from core.runs.run import LAST, START, Run
from core.runs.test_set.provenance import read_parent
from core.training import advice
from core.training.checkpoint import TrainState, load_checkpoint
from core.training.cpu.depthwise_bf16 import patch_depthwise_bf16_backward
from core.training.device import assign_local_gpu, choose_precision, thread_count
from core.training.distributed import World
from core.training.image_preparation import Rows
from core.training.localization import Localization
from core.training.phases import Phase, plan_phases
from core.training.rng import seeded
from core.training.run_logger import RunLogger
from core.training.single_process import has_batch_norm
from core.training.trainer import Trainer

_COPIES = 4  # of the weights: themselves, their gradients and the optimizer's two averages

_log = logging.getLogger(__name__)


def open_model(config: Config, state: TrainState, states: dict[str, Any] | None, device: torch.device) -> Classifier:
    """The network on its device: new, with its starting weights, or as the checkpoint's `states` have it.

    Raises:
        LabError: it cannot be built, does not take images of this size, or its weights cannot be had.
    """
    require_room(config, device)
    copies = _COPIES + bool(config.training.advanced.ema_decay) if device.type == "cpu" else 1
    if states is None:
        if Path(config.model.weights).name == START and irregular(Path(config.model.weights)):
            raise BadRun(f"{config.model.weights}: expected the run's own weights, got {irregular(Path(config.model.weights))}")
        with seeded(config.training.seed):
            model = build_model(config.model, copies=copies)
        state.pretrained = model.pretrained
    else:
        model = build_model(config.model.model_copy(update={"weights": "none"}), copies=copies)
        model.pretrained = state.pretrained
        try:
            model.load_state_dict(states["model"])
        except (RuntimeError, TypeError, AttributeError) as error:
            first = " ".join(str(error).split())[:300]
            raise BadRun(f"last.pt: its weights are not those of {config.model.name}: {first}. Start a new run.") from error
    model.check_input(*config.preprocessing.shape)
    patch_depthwise_bf16_backward(model)
    return model.to(device).to(memory_format=torch.channels_last)


def require_room(config: Config, device: torch.device) -> None:
    """Refuse what cannot fit into memory, before a step asks for it: the kernel ends processes without a message.

    A lower bound of what training needs: a batch of images and, on the processor, the largest map of one layer for it.

    Raises:
        BadConfig: that is more than is free.
    """
    height, width = config.preprocessing.shape
    # A breast has an image of each view, as a rule.
    count = config.training.batch_size * config.model.views
    images = count * height * width * 4
    largest = images
    if device.type == "cpu":
        largest = max(images, count * _largest_map(config))
    try:
        require_memory(largest, f"{count} images of {height} x {width} pixels in {config.model.name}")
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
        return 0  # a size or a step that this network does not take: `check_input` reports it
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


@dataclass
class Setup:
    """All that a training begins with. `states`: state dicts of the checkpoint, until they are loaded; None for a new one.

    `threads` compute on the processor; `measured`: images per second by precision, where that was timed.
    """

    config: Config
    state: TrainState
    states: dict[str, Any] | None
    device: DeviceConfig
    threads: int
    model: Classifier
    phases: tuple[Phase, ...]
    measured: dict[str, float]
    resumed: bool


def set_up(logger: RunLogger, world: World, *, resume: bool, shares_machine: bool) -> Setup:
    """Take the run over; device, network and plan of this process.

    Raises:
        LabError: the device is not here or lacks the precision, or the network cannot be had; see `open_model`.
    """
    run = logger.run
    logger.begin(**({"launcher": "torchrun"} if world.size > 1 else {}))
    config = resumed_config(run)
    state, states = (load_checkpoint(run.path / LAST) if resume else None) or (TrainState(), None)
    logger.truncate_events_after(state.sequence)
    device = assign_local_gpu(pick_device_config(config.training), world)
    if device.type == "cuda":
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    threads = thread_count(config.training, shares_machine=shares_machine, processes=world.local_size)
    torch.set_num_threads(threads)
    model = open_model(config, state, states, device.device)
    model.starting_weights = _beginning(run, model.starting_weights, resumed=states is not None)
    measured: dict[str, float] = {}
    if not state.precision:  # chosen once: a resumed run computes as it began
        device, measured = choose_precision(device, model, config)
        state.precision, measured = world.broadcast_object(lambda: (device.precision, measured))
    device = with_precision(device, state.precision)
    learnt = state.pretrained or config.training.lesions.patch_epochs > 0  # before the first epoch on whole images
    phases = plan_phases(config.training, pretrained=learnt, stages=len(model.stages()))
    logger.update(device=device.name, started=run.status().started or time.time())
    return Setup(config, state, states, device, threads, model, phases, measured, resumed=states is not None)


def _beginning(run: Run, loaded: StartingWeights | None, *, resumed: bool) -> StartingWeights | None:
    """What the run started from: of a resumed one as its first event says, None where an earlier version wrote it."""
    if resumed:
        first = next((event for event in run.events() if event["type"] == "start"), None)
        try:
            return None if first is None or "weights" not in first else StartingWeights.model_validate(first["weights"])
        except ValidationError:
            return None
    parent = read_parent(run.path)
    if parent is None or loaded is None:
        return loaded
    return loaded.model_copy(update={"source": "run", "name": parent.run})


def start_event(setup: Setup, run: Run, processes: int) -> StartEvent | ResumeEvent:
    """What to report of the set-up: of a new training, or of one that continues."""
    event: StartEvent | ResumeEvent
    if setup.resumed:
        event = ResumeEvent(type="resume", epoch=setup.state.epoch, step=setup.state.step)
    else:
        counts = run.manifest()["split"].value_counts()
        images = {split: int(counts.get(split, 0)) for split in SPLITS}
        event = StartEvent(type="start", run=run.name, parameters=setup.model.parameter_count, images=images)
        record = setup.model.starting_weights
        if record is not None:
            event["weights"] = record.model_dump(mode="json")
        if setup.measured:
            event["measured"] = {name: round(rate, 2) for name, rate in setup.measured.items()}
    event |= {"device": setup.device.name, "precision": setup.device.precision, "threads": setup.threads}
    if processes > 1:
        event["processes"] = processes
    return event


def build_trainer(
    setup: Setup, rows: Rows, world: World, lesions: NDArray[np.uint8] | None = None
) -> tuple[Trainer, list[WarningEvent]]:
    """The trainer, with a compiled network where that is configured and possible, and the warnings before the first epoch.

    `lesions`: where those of the training images lie (core.training.localization), for a loss on the activation map.
    """
    training, compiled, warnings = setup.config.training, None, []
    if training.advanced.compile:
        compiled, problem = compile_model(setup.model, setup.device, setup.config)
        if problem:
            message = f"The network could not be compiled and trains as it is. {problem}"
            warnings.append(WarningEvent(type="warning", about="compile", message=message))
    if not setup.resumed:
        warnings += advice.about_weights(setup.model.starting_weights)
        warnings += advice.about_classes(rows.train, training, rows.views)
        if rows.views == 1:  # a breast has images enough
            warnings += advice.about_batches(training, batch_norm=has_batch_norm(setup.model))
    localization = None if lesions is None else Localization(setup.model, setup.config, lesions)
    return Trainer(setup.model, rows, setup.config, setup.device, setup.state, world, compiled, localization), warnings


def compile_model(model: Classifier, device: DeviceConfig, config: Config) -> tuple[nn.Module | None, str]:
    """`torch.compile` of the model, tried on a step that leaves no trace; (None, the reason) where that fails.

    It shares the model's weights; the model itself stays as it is, so nothing is saved under other names.
    """
    buffers = [buffer.clone() for buffer in model.buffers()]
    samples, views = config.training.batch_size, config.model.views
    images = torch.zeros(max(2, samples * views), 1, *config.preprocessing.shape, device=device.device)
    grouping: tuple[torch.Tensor, ...] = ()
    if views == 2:
        grouping = (slots_of([2] * samples).to(device.device), torch.tensor([CC, MLO] * samples, device=device.device))
    try:
        compiled = cast(nn.Module, torch.compile(model))
        with device.autocast():
            logits = compiled(images, *grouping)
        logits.float().sum().backward()
    except Exception as error:  # noqa: BLE001  compilers fail in as many ways as there are; training continues without it
        _log.warning("torch.compile failed", exc_info=error)
        return None, f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no words'}"
    finally:
        model.zero_grad(set_to_none=True)
        with torch.no_grad():
            for buffer, before in zip(model.buffers(), buffers, strict=True):
                buffer.copy_(before)
    return compiled, ""
