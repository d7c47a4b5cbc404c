"""What to compute on: device and precision."""

from __future__ import annotations

from dataclasses import dataclass, replace

import psutil
import torch

from core.config import TrainingConfig
from core.errors import BadConfig

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class DeviceConfig:
    """The device, and the precision to compute in: "fp32", "bf16" or "fp16"."""

    device: torch.device
    precision: str

    @property
    def type(self) -> str:
        """Kind of the device: "cpu", "cuda", "mps"."""
        return self.device.type

    @property
    def use_grad_scaler(self) -> bool:
        """Whether gradients need scaling so as not to vanish in the precision's range."""
        return self.precision == "fp16"

    @property
    def pin_memory(self) -> bool:
        """Whether batches are wanted in page-locked memory."""
        return self.type == "cuda"

    @property
    def num_workers(self) -> int:
        """Threads that make batches: beside a GPU the processor has little else to do."""
        return 1 if self.type == "cpu" else 4

    @property
    def name(self) -> str:
        """The device for people: "cpu", "cuda:0 (NVIDIA ...)"."""
        if self.type == "cuda":
            return f"{self.device} ({torch.cuda.get_device_name(self.device)})"
        return str(self.device)

    def memory(self) -> tuple[int, int]:
        """(bytes that this training holds, bytes that there are): of a GPU's memory; else the resident memory of this
        process, whatever else it does, and the computer's."""
        if self.type != "cuda":
            return psutil.Process().memory_info().rss, psutil.virtual_memory().total
        return torch.cuda.memory_reserved(self.device), torch.cuda.get_device_properties(self.device).total_memory

    def autocast(self) -> torch.autocast:
        """The context for forward passes; does nothing in fp32."""
        return torch.autocast(self.type, dtype=_DTYPES.get(self.precision), enabled=self.precision != "fp32")


def pick_device(name: str = "auto") -> torch.device:
    """The device to compute on: for "auto" the GPU when there is one, else the processor; else what is named.

    A GPU always has its number: "auto", "cuda" and "cuda:0" are one device, with one queue.

    Raises:
        BadConfig: the device is unknown or not on this machine.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", _current())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise BadConfig(f"training.device: got {name!r}; allowed: auto, cpu, cuda, cuda:0, mps") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise BadConfig(
            f"training.device: got {name!r}, but there are {torch.cuda.device_count()} CUDA devices; use auto or cpu"
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise BadConfig(f"training.device: got {name!r}, but this machine has no MPS device; use auto or cpu")
    if device.type not in ("cpu", "cuda", "mps"):
        raise BadConfig(f"training.device: got {name!r}; allowed: auto, cpu, cuda, cuda:0, mps")
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", _current())
    return device


def _current() -> int:
    """Number of the GPU that torch takes unasked; asking would take hold of the GPU where nobody has yet."""
    return torch.cuda.current_device() if torch.cuda.is_initialized() else 0


def pick_device_config(config: TrainingConfig) -> DeviceConfig:
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
        automatic = "fp32"  # bf16 pays on some processors and networks only: see `choose_precision`
        if config.precision == "fp16":
            raise BadConfig(
                f"training.precision: got fp16, which needs a CUDA GPU (the device is {device}); use auto, bf16 or fp32"
            )
    return DeviceConfig(device, automatic if config.precision == "auto" else config.precision)


def with_precision(config: DeviceConfig, precision: str) -> DeviceConfig:
    """`config` with the precision a run was begun in, so that its steps stay the same; its own where the device lacks that."""
    possible = {"cpu": ("fp32", "bf16"), "cuda": ("fp32", "fp16", config.precision)}.get(config.type, ("fp32",))
    return replace(config, precision=precision) if precision in possible else config
