"""What a training computes on: device, precision, threads."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from core.config import TrainingConfig
from core.errors import BadConfig
from core.model import pick_device

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Machine:
    """The device, and "fp32", "bf16" or "fp16"."""

    device: torch.device
    precision: str

    @property
    def scaled(self) -> bool:
        """Whether gradients need scaling so as not to vanish in the precision's range."""
        return self.precision == "fp16"

    @property
    def name(self) -> str:
        """The device in words: "cpu", "cuda:0 (NVIDIA ...)"."""
        if self.device.type == "cuda":
            return f"{self.device} ({torch.cuda.get_device_name(self.device)})"
        return str(self.device)

    def autocast(self) -> torch.autocast:
        """The context for forward passes; does nothing in fp32."""
        return torch.autocast(self.device.type, dtype=_DTYPES.get(self.precision), enabled=self.precision != "fp32")


def pick_machine(config: TrainingConfig) -> Machine:
    """Device and precision for this configuration, here.

    Raises:
        BadConfig: the device is not on this machine, or cannot compute in the precision asked for.
    """
    device = pick_device(config.device)
    if device.type == "cuda":
        bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        automatic = "bf16" if bf16 else "fp16"
        if config.precision == "bf16" and not bf16:
            raise BadConfig("training.precision: got bf16, which this GPU does not compute in; use auto, fp16 or fp32")
    else:
        automatic = "fp32"  # bf16 pays on some processors only, and nobody has measured this one
        if config.precision == "fp16":
            raise BadConfig(
                f"training.precision: got fp16, which needs a CUDA GPU (the device is {device}); use auto, bf16 or fp32"
            )
    return Machine(device, automatic if config.precision == "auto" else config.precision)


def thread_count(config: TrainingConfig, *, shares_machine: bool) -> int:
    """Processor threads to compute with; when the dashboard runs in the same machine, one core is left to it."""
    if config.threads:
        return config.threads
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores - 1) if shares_machine else cores
