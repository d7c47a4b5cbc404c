"""Device, precision and threads of a training."""

from __future__ import annotations

import copy
import math
import os
import time
from dataclasses import replace

import torch

from core.config import Config, TrainingConfig
from core.model import Classifier
from core.model.device import DeviceConfig
from core.training.cpu.malloc import retain_freed_memory
from core.training.distributed import World
from core.training.losses import Loss
from core.training.single_process import single_image_batch_norm

# bf16 must be so much quicker than fp32 to be chosen: below that, the next measurement might choose otherwise.
_CLEARLY = 1.25
_TIMED_STEPS = 3
_TIMED_SECONDS = 3.0  # no further step is timed after this long
_FINE = 1e-6  # seconds


def assign_local_gpu(config: DeviceConfig, world: World) -> DeviceConfig:
    """The GPU of this process where several train together: each computer's processes take its GPUs in turn."""
    if world.size == 1 or config.type != "cuda":
        return config
    device = torch.device("cuda", world.local_rank % torch.cuda.device_count())
    torch.cuda.set_device(device)
    return replace(config, device=device)


def choose_precision(device: DeviceConfig, model: Classifier, config: Config) -> tuple[DeviceConfig, dict[str, float]]:
    """fp32 or bf16 for a processor, by timing steps of a copy of this model; also, images a second of each.

    A GPU's precision is known without: `device` as it is, and {}.
    """
    if device.type != "cpu" or config.training.precision != "auto":
        return device, {}
    rates = images_per_second(model, config, [replace(device, precision=name) for name in ("fp32", "bf16")])
    chosen = "bf16" if rates["bf16"] > _CLEARLY * rates["fp32"] else "fp32"
    return replace(device, precision=chosen), rates


def images_per_second(model: Classifier, config: Config, devices: list[DeviceConfig]) -> dict[str, float]:
    """By precision, how fast a copy of `model` makes training steps on images in memory, without the update itself.

    They take turns, and the quickest step counts. On a processor it is timed by this thread's share of it, which
    other work hardly touches, where the system counts that finely.
    """
    copied = copy.deepcopy(model).train()
    size = config.training.batch_size
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(size, 1, *config.preprocessing.shape, generator=generator).to(devices[0].device)
    labels = (torch.arange(size, device=images.device) % 2).float()
    loss = Loss.of(config.training)
    best = dict.fromkeys((device.precision for device in devices), math.inf)
    fine = devices[0].type == "cpu" and time.get_clock_info("thread_time").resolution <= _FINE
    clock = time.thread_time if fine else time.perf_counter
    end = time.perf_counter() + _TIMED_SECONDS
    with retain_freed_memory(devices[0].device):
        for turn in range(1 + _TIMED_STEPS):
            for device in devices:
                began = clock()
                with single_image_batch_norm(copied, images):
                    with device.autocast():
                        logits = copied(images)
                    loss(logits.float(), labels).mean().backward()
                copied.zero_grad(set_to_none=True)
                if turn:  # the first one, slower, sets up memory and kernels
                    best[device.precision] = min(best[device.precision], max(clock() - began, _FINE))
            if turn and time.perf_counter() > end:
                break
    return {precision: size / seconds for precision, seconds in best.items()}


def thread_count(config: TrainingConfig, *, shares_machine: bool, processes: int = 1) -> int:
    """Processor threads to compute with. `shares_machine`: one core is left to the dashboard, which runs here as well.

    `processes` of one training share the processor equally.
    """
    if config.advanced.threads:
        return config.advanced.threads
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, (cores - 1 if shares_machine else cores) // processes)
