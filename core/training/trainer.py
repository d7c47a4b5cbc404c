"""The arithmetic of a training: batches to updates of the weights, in exactly repeatable steps.

A window is the `accumulation_steps` batches (fewer at the end of an epoch) that make one update. Training can be left
and taken up between any two windows. Several processes each take their share of every batch, and together make the
updates that one process would have made.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import islice
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from core.config import Config
from core.data.batches import ORDERS, Batch, batch_count, batches, malignant_draws
from core.errors import BadRun, TrainingFailed
from core.model import Classifier
from core.model.device import Machine
from core.training.checkpoint import Progress
from core.training.distributed import World
from core.training.ema import Average
from core.training.failures import diverged
from core.training.head_features import Features
from core.training.image_preparation import Rows
from core.training.losses import Loss, class_weights
from core.training.phases import Phase, parameter_groups, rate_factor
from core.training.rng import drawing, mix_share, step_seed
from core.training.single_process import lone_image


class Trainer:
    """Model, optimizer, scaler and average of one training, with `progress`."""

    def __init__(
        self,
        model: Classifier,
        rows: Rows,
        config: Config,
        machine: Machine,
        progress: Progress,
        world: World | None = None,
        compiled: nn.Module | None = None,
    ) -> None:
        """`compiled`: a compiled form of `model`, which shares its weights, to make the steps with."""
        self.model = model
        self.rows = rows
        self.config = config
        self.machine = machine
        self.progress = progress
        self.world = world or World()
        self.batch_size = config.training.batch_size * self.world.size
        self.steps = batch_count(len(rows.train), self.batch_size)
        self.phase: Phase | None = None
        self.features: Features | None = None
        self.optimizer: torch.optim.AdamW | None = None
        self.average = Average(model, config.training.advanced.ema_decay) if config.training.advanced.ema_decay else None
        self.scaler = torch.amp.GradScaler(machine.device.type, enabled=machine.scaled)
        weights = (1.0, 1.0)
        if config.training.imbalance == "weights":
            malignant = int((rows.train["label"] == "malignant").sum())
            weights = class_weights(malignant_draws(malignant, len(rows.train), self.together), len(rows.train))
        self.loss = Loss.of(config.training, weights)
        self._compiled = model if compiled is None else compiled
        self._network: nn.Module = self._compiled
        self._loss_sum = self._scalar(progress.loss_sum)
        self._window_loss = self._scalar(0.0)

    @property
    def together(self) -> int:
        """Images whose gradients make one update of the weights."""
        return self.batch_size * self.config.training.advanced.accumulation_steps

    # ------------------------------------------------------------------ phases and state

    def begin(self, phase: Phase) -> None:
        """Freeze or unfreeze for this phase, with a fresh optimizer."""
        training = self.config.training
        self.phase, self.features, self._network = phase, None, self._compiled
        self.model.unfreeze_backbone(phase.stages)
        groups = parameter_groups(
            self.model, phase, training.advanced.weight_decay, training.advanced.layerwise_learning_rate_decay
        )
        # One pass over all weights instead of a dozen; a resumed optimizer keeps the way it was begun in.
        fused = True if self.machine.device.type == "cpu" else None
        self.optimizer = torch.optim.AdamW(groups, lr=phase.learning_rate, fused=fused)
        if self.average is not None:
            self.average.follow(self.model)

    @property
    def scored(self) -> Classifier:
        """The model to validate and to keep: the average of the weights, where one is made."""
        return self.model if self.average is None else self.average.model

    def align(self) -> None:
        """Give all processes the first one's BatchNorm statistics, which each of them gathers on its own images."""
        models = [self.model] if self.average is None else [self.model, self.average.model]
        self.world.align(buffer for model in models for buffer in model.buffers())

    def states(self) -> dict[str, Any]:
        """State dicts for a checkpoint."""
        optimizer = self.optimizer.state_dict() if self.optimizer is not None else {}
        average = self.average.state() if self.average is not None else {}
        return {
            "model": self.model.state_dict(),
            "optimizer": optimizer,
            "scaler": self.scaler.state_dict(),
            "average": average,
        }

    def restore(self, states: dict[str, Any], *, optimizer: bool) -> None:
        """Take over the states of a checkpoint; the optimizer's only when its phase goes on.

        Raises:
            BadRun: they are not those of this network and optimizer.
        """
        try:
            self.scaler.load_state_dict(states["scaler"])
            if self.average is not None:
                self.average.model.load_state_dict(states["average"])
            if optimizer and self.optimizer is not None:
                self.optimizer.load_state_dict(states["optimizer"])
        except (RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
            words = " ".join(str(error).split())[:200]
            raise BadRun(
                f"last.pt: its optimizer or average is not that of this network ({words}). Start a new run."
            ) from error

    # ------------------------------------------------------------------ an epoch

    def windows(self) -> Iterator[int]:
        """Train the rest of the epoch; after each window yields how many images it had, with `progress` up to date."""
        source = self._source()
        self.model.train()
        try:
            while True:
                began = time.monotonic()
                window = list(islice(source, self.config.training.advanced.accumulation_steps))
                self.progress.wait_seconds += time.monotonic() - began
                if not window:
                    return
                yield self._update(window)
        finally:
            source.close()  # type: ignore[attr-defined]

    def _source(self) -> Iterator[Batch]:
        training, progress = self.config.training, self.progress
        order = ORDERS[training.imbalance]
        if self.features is not None:  # every process makes the whole batch: it is a matter of microseconds
            return self.features.batches(
                batch_size=self.batch_size,
                seed=training.seed,
                epoch=progress.epoch,
                order=order,
                start=progress.step,
                together=self.together,
            )
        if self.world.size > 1 and not isinstance(self._network, DistributedDataParallel):
            self._network = DistributedDataParallel(self._compiled)
        return batches(
            self.rows.train,
            self.rows.cache,
            self.rows.recipe,
            batch_size=training.batch_size,
            augmentation=self.config.augmentation,
            seed=training.seed,
            epoch=progress.epoch,
            order=order,
            start=progress.step,
            together=self.together,
            rank=self.world.rank,
            world=self.world.size,
            workers=self.machine.readers,
            pin=self.machine.pins,
        )

    def _update(self, window: list[Batch]) -> int:
        """Gradients of all batches of the window, as if they were one, then one update of the weights."""
        assert self.optimizer is not None and self.phase is not None
        progress = self.progress
        shared = self.world.size if self.features is None else 1
        first = progress.step * self.batch_size
        images = min(len(window) * self.batch_size, len(self.rows.train) - first)
        self._set_rates(self.optimizer, self.phase)
        total = self._scalar(0.0)
        for batch in window:
            progress.step += 1
            progress.global_step += 1
            # The mean over the window, whose last batch may be smaller; processes' gradients are averaged, hence `shared`.
            total += self._backward(batch, shared / images, last=batch is window[-1])
        if shared > 1:
            self.world.sum(total)
        self._window_loss = total / images
        self._loss_sum += total
        self.scaler.unscale_(self.optimizer)
        norm = self._clip(self.optimizer)
        if not self.machine.scaled:  # with a scaler, an overflow is ordinary: it leaves the update out
            self._loss_sum += torch.where(torch.isfinite(norm), 0.0, math.nan)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        progress.update += 1
        progress.updates += 1
        if self.average is not None:
            self.average.update(progress.updates)
        progress.loss_count += images
        return images

    def _clip(self, optimizer: torch.optim.Optimizer) -> torch.Tensor:
        """Shorten the gradient where it is too long; returns the length that it had."""
        trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        norm = nn.utils.get_total_norm([parameter.grad for parameter in trained if parameter.grad is not None])
        longest = self.config.training.advanced.gradient_clip_norm
        # To look costs nothing on the processor and saves a pass over all gradients; a GPU would have to be waited for.
        if longest and (self.machine.device.type != "cpu" or not norm <= longest):
            nn.utils.clip_grads_with_norm_(trained, longest, norm)
        return norm

    def _backward(self, batch: Batch, scale: float, *, last: bool) -> torch.Tensor:
        """Add the gradients of one batch; returns the sum of its losses."""
        network, progress = self._network, self.progress
        seed = step_seed(self.config.training.seed, progress.epoch, progress.step, self.world.rank)
        # Gradients go from process to process once a window.
        alone = isinstance(network, DistributedDataParallel) and not last
        with network.no_sync() if alone else nullcontext(), lone_image(self.model, batch.images):
            with drawing(seed):
                loss = self._loss(batch)
                scaled = self.scaler.scale(loss * scale)
                if self.model.gradient_checkpointing:  # its backward pass draws again what the forward pass had
                    scaled.backward()
            if not self.model.gradient_checkpointing:
                scaled.backward()
        return loss.detach()

    def _loss(self, batch: Batch) -> torch.Tensor:
        """Sum over the batch of the images' losses."""
        device = self.machine.device
        images, labels, counted = (
            tensor.to(device, non_blocking=True) for tensor in (batch.images, batch.labels, batch.counted)
        )
        alpha = self.config.augmentation.mixup
        if alpha:
            share = mix_share(alpha, self.config.training.seed, self.progress.epoch, self.progress.step)
            # The order is random already, so whoever stands opposite is.
            images, labels = (torch.lerp(tensor.flip(0), tensor, share) for tensor in (images, labels))
        with self.machine.autocast():
            logits = self._network_for(images)(images) if self.features is None else self.model.classify(images)
        return (self.loss(logits.float(), labels) * counted).sum()

    def _network_for(self, images: torch.Tensor) -> nn.Module:
        """What makes the step: a compiled network has been compiled without what `lone_image` does to its layers."""
        return self.model if images.shape[0] == 1 and self._network is self._compiled else self._network

    def _set_rates(self, optimizer: torch.optim.Optimizer, phase: Phase) -> None:
        training = self.config.training
        windows = -(-self.steps // training.advanced.accumulation_steps) * phase.epochs
        losses = self.progress.val_losses[phase.first_epoch - 1 :]
        self._factor = rate_factor(training.schedule, self.progress.update, windows, losses, training.advanced.plateau_patience)
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * self._factor

    # ------------------------------------------------------------------ figures

    @property
    def learning_rate(self) -> float:
        """The phase's own rate at the last update."""
        assert self.phase is not None
        return self.phase.learning_rate * self._factor

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
        progress.loss_sum, progress.loss_count = 0.0, 0
        progress.epoch_seconds = progress.wait_seconds = 0.0
        self._loss_sum = self._scalar(0.0)

    def _scalar(self, value: float) -> torch.Tensor:
        dtype = torch.float32 if self.machine.device.type == "mps" else torch.float64
        return torch.tensor(value, dtype=dtype, device=self.machine.device)
