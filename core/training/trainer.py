"""The arithmetic of a training: batches to updates of the weights, in exactly repeatable steps.

A window is the `accumulation_steps` batches (fewer at the end of an epoch) that make one update. Training can be left
and taken up between any two windows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from core.config import Config
from core.data.batches import Batch, batch_count, batches
from core.errors import TrainingFailed
from core.model import Classifier
from core.training.checkpoint import Progress
from core.training.failures import diverged
from core.training.machine import Machine
from core.training.phases import Phase, parameter_groups, rate_factor
from core.training.preparation import Rows
from core.training.validation import class_weights

_LARGEST_NORM = 1.0  # of the gradient
_STEP_STREAM = 0x73746570  # keeps dropout's draws apart from those of order and augmentation


class Trainer:
    """Model, optimizer and scaler of one training, with `progress`."""

    def __init__(self, model: Classifier, rows: Rows, config: Config, machine: Machine, progress: Progress) -> None:
        self.model = model
        self.rows = rows
        self.config = config
        self.machine = machine
        self.progress = progress
        self.steps = batch_count(len(rows.train), config.training.batch_size)
        self.phase: Phase | None = None
        self.optimizer: torch.optim.AdamW | None = None
        self.scaler = torch.amp.GradScaler(machine.device.type, enabled=machine.scaled)
        self.benign_weight, self.malignant_weight = 1.0, 1.0
        if config.training.imbalance == "weights":
            malignant = int((rows.train["label"] == "malignant").sum())
            self.benign_weight, self.malignant_weight = class_weights(malignant, len(rows.train))
        self._loss_sum = self._scalar(progress.loss_sum)
        self._window_loss = self._scalar(0.0)

    # ------------------------------------------------------------------ phases and state

    def begin(self, phase: Phase) -> None:
        """Freeze or unfreeze for this phase, with a fresh optimizer."""
        self.phase = phase
        if phase.frozen:
            self.model.freeze_backbone()
        else:
            self.model.unfreeze_backbone()
        groups = parameter_groups(self.model, phase, self.config.training.weight_decay)
        self.optimizer = torch.optim.AdamW(groups, lr=phase.learning_rate)

    def states(self) -> dict[str, Any]:
        """State dicts for a checkpoint."""
        optimizer = self.optimizer.state_dict() if self.optimizer is not None else {}
        return {"model": self.model.state_dict(), "optimizer": optimizer, "scaler": self.scaler.state_dict()}

    def restore(self, states: dict[str, Any], *, optimizer: bool) -> None:
        """Take over the states of a checkpoint; the optimizer's only when its phase goes on."""
        self.scaler.load_state_dict(states["scaler"])
        if optimizer and self.optimizer is not None:
            self.optimizer.load_state_dict(states["optimizer"])

    # ------------------------------------------------------------------ an epoch

    def windows(self) -> Iterator[int]:
        """Train the rest of the epoch; after each window yields how many images it had, with `progress` up to date."""
        training, progress = self.config.training, self.progress
        source = batches(
            self.rows.train,
            self.rows.cache,
            self.rows.recipe,
            batch_size=training.batch_size,
            augmentation=self.config.augmentation,
            seed=training.seed,
            epoch=progress.epoch,
            order="sampler" if training.imbalance == "sampler" else "shuffle",
            start=progress.step,
            workers=1 if self.machine.device.type == "cpu" else 4,
        )
        self.model.train()
        try:
            while window := list(islice(source, training.accumulation_steps)):
                yield self._update(window)
        finally:
            source.close()

    def _update(self, window: list[Batch]) -> int:
        """Gradients of all batches of the window, as if they were one, then one update of the weights."""
        assert self.optimizer is not None and self.phase is not None
        progress = self.progress
        images = sum(len(batch.labels) for batch in window)
        self._set_rates(self.optimizer, self.phase)
        self._window_loss = self._scalar(0.0)
        for batch in window:
            progress.step += 1
            progress.global_step += 1
            self._seed()
            loss = self._loss(batch)
            self._window_loss += loss.detach() / images
            self._loss_sum += loss.detach()
            # The mean over the window, whose last batch may be smaller.
            self.scaler.scale(loss / images).backward()
        self.scaler.unscale_(self.optimizer)
        trained = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        norm = nn.utils.clip_grad_norm_(trained, _LARGEST_NORM)
        if not self.machine.scaled:  # with a scaler, an overflow is ordinary: it leaves the update out
            self._loss_sum += torch.where(torch.isfinite(norm), 0.0, math.nan)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        progress.update += 1
        progress.loss_count += images
        return images

    def _loss(self, batch: Batch) -> torch.Tensor:
        """Sum over the batch of the weighted cross-entropies."""
        device = self.machine.device
        images = batch.images.to(device, non_blocking=True)
        labels = batch.labels.to(device, non_blocking=True)
        with self.machine.autocast():
            logits = self.model(images)
        weights = torch.where(labels > 0.5, self.malignant_weight, self.benign_weight)
        return functional.binary_cross_entropy_with_logits(logits.float(), labels, weight=weights, reduction="sum")

    def _set_rates(self, optimizer: torch.optim.Optimizer, phase: Phase) -> None:
        windows = -(-self.steps // self.config.training.accumulation_steps) * phase.epochs
        factor = rate_factor(self.config.training.schedule, self.progress.update, windows)
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * factor

    def _seed(self) -> None:
        """Dropout of a step depends on seed, epoch and step alone, not on what was drawn before, by whomever."""
        key = (self.config.training.seed, self.progress.epoch, self.progress.step, _STEP_STREAM)
        torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> np.uint64(1)))

    # ------------------------------------------------------------------ figures

    @property
    def learning_rate(self) -> float:
        """The phase's own rate at the last update."""
        assert self.optimizer is not None
        return float(self.optimizer.param_groups[0]["lr"])

    @property
    def window_loss(self) -> float:
        """Mean loss over the images of the last update."""
        return float(self._window_loss)

    def mean_loss(self) -> float:
        """Training loss of the epoch so far, mean over its images.

        Raises:
            TrainingFailed: it is NaN or infinite, or a gradient was.
        """
        self.progress.loss_sum = float(self._loss_sum)
        if not math.isfinite(self.progress.loss_sum):
            raise TrainingFailed(diverged(self.machine.precision))
        return self.progress.loss_sum / max(1, self.progress.loss_count)

    def next_epoch(self) -> None:
        """Set `progress` to the start of the next epoch."""
        progress = self.progress
        progress.epoch += 1
        progress.step = 0
        progress.loss_sum, progress.loss_count, progress.epoch_seconds = 0.0, 0, 0.0
        self._loss_sum = self._scalar(0.0)

    def _scalar(self, value: float) -> torch.Tensor:
        dtype = torch.float32 if self.machine.device.type == "mps" else torch.float64
        return torch.tensor(value, dtype=dtype, device=self.machine.device)
