"""Which device to compute on."""

from __future__ import annotations

import torch

from core.errors import BadConfig


def pick_device(name: str = "auto") -> torch.device:
    """The device to compute on: for "auto" the GPU when there is one, else the processor; else what is named.

    A GPU always has its number: "auto", "cuda" and "cuda:0" are one device, and whoever waits for it waits in one line.

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
