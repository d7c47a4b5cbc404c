"""The training loss while it is being added up, on the device: reading it would wait for a GPU."""

from __future__ import annotations

import math

import torch

from core.errors import TrainingFailed
from core.training.checkpoint import TrainState
from core.training.failures import diverged


class RunningLoss:
    """Mean loss of the last update, and of the epoch so far; notices a loss or gradient that is NaN or infinite."""

    def __init__(self, state: TrainState, device: torch.device, precision: str) -> None:
        self.state = state
        self.precision = precision
        self._dtype, self._device = torch.float32 if device.type == "mps" else torch.float64, device
        self._sum = self.scalar(state.loss_sum)
        self._last = self.scalar(0.0)

    def scalar(self, value: float) -> torch.Tensor:
        """A number on the device."""
        return torch.tensor(value, dtype=self._dtype, device=self._device)

    def add(self, total: torch.Tensor, images: int) -> None:
        """Take in an update whose images have losses that add up to `total`."""
        self._last = total / images
        self._sum += total
        self.state.loss_count += images

    def check_gradient(self, norm: torch.Tensor) -> None:
        """Let a gradient of this norm count as a loss that is no number, where it is none."""
        self._sum += torch.where(torch.isfinite(norm), 0.0, math.nan)

    def restart(self) -> None:
        """A new epoch begins."""
        self.state.loss_sum, self.state.loss_count = 0.0, 0
        self._sum = self.scalar(0.0)

    @property
    def last(self) -> float:
        """Mean over the images of the last update."""
        return float(self._last)

    def mean(self) -> float:
        """Mean over the images of the epoch so far. Raises TrainingFailed: it is NaN or infinite, or a gradient was."""
        self.state.loss_sum = float(self._sum)
        if not math.isfinite(self.state.loss_sum):
            raise TrainingFailed(diverged(self.precision))
        return self.state.loss_sum / max(1, self.state.loss_count)
