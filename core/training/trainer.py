"""The arithmetic of a training: from batches to updates of the weights, in exactly repeatable steps.

An optimizer step takes `accumulation_steps` batches (fewer at the end of an epoch). Training can be interrupted and resumed
between any two optimizer steps. Several processes each take their share of every batch, and together make the updates that
one process would have made. What a batch counts are samples: images, or breasts with their images.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from core.config import Config
from core.data.batches import ORDERS, Batch, batch_count, batches, malignant_draws
from core.errors import BadRun
from core.model import Classifier
from core.model.device import DeviceConfig
from core.training.checkpoint import TrainState
from core.training.distributed import World
from core.training.ema import EMA
from core.training.head_features import Features, store_features
from core.training.image_preparation import Rows
from core.training.localization import Localization
from core.training.losses import Loss, class_weights
from core.training.mixing import partners
from core.training.phases import Phase, parameter_groups, rate_factor
from core.training.rng import mix_share, seeded, step_seed
from core.training.running_loss import RunningLoss
from core.training.single_process import single_image_batch_norm


class Trainer:
    """Model, optimizer, gradient scaler and EMA of one training; `state` is up to date after every optimizer step."""

    def __init__(
        self,
        model: Classifier,
        rows: Rows,
        config: Config,
        device: DeviceConfig,
        state: TrainState,
        world: World | None = None,
        compiled: nn.Module | None = None,
        localization: Localization | None = None,
    ) -> None:
        """`compiled`: a compiled form of `model`, which shares its weights, to make the steps with. `localization`: the loss on
        the class activation map, where there is one."""
        self.model = model
        self.rows = rows
        self.config = config
        self.device = device
        self.state = state
        self.world = world or World()
        self.batch_size = config.training.batch_size * self.world.size
        self.samples = len(rows.train_labels)
        self.steps = batch_count(self.samples, self.batch_size)
        self.phase: Phase | None = None
        self.features: Features | None = None
        self.optimizer: torch.optim.AdamW | None = None
        self.ema = EMA(model, config.training.advanced.ema_decay) if config.training.advanced.ema_decay else None
        self.scaler = torch.amp.GradScaler(device.type, enabled=device.use_grad_scaler)
        weights = (1.0, 1.0)
        if config.training.imbalance == "weights":
            malignant = int(rows.train_labels.sum())
            weights = class_weights(malignant_draws(malignant, self.samples, self.update_size), self.samples)
        self.criterion = Loss.of(config.training, weights)
        self.loss = RunningLoss(state, device.device, device.precision)
        self.localization = localization
        self._compiled = model if compiled is None else compiled
        self._network: nn.Module = self._compiled

    @property
    def update_size(self) -> int:
        """Samples whose gradients make one update of the weights."""
        return self.batch_size * self.config.training.advanced.accumulation_steps

    @property
    def images_per_sample(self) -> float:
        """Images of an average training sample: 1, or those of a breast."""
        return len(self.rows.train) / self.samples

    # ------------------------------------------------------------------ phases and state

    def begin(self, phase: Phase) -> None:
        """Freeze or unfreeze for this phase, with a new optimizer."""
        training = self.config.training
        self.phase, self.features, self._network = phase, None, self._compiled
        self.model.unfreeze_backbone(phase.stages)
        groups = parameter_groups(
            self.model, phase, training.advanced.weight_decay, training.advanced.layerwise_learning_rate_decay
        )
        # One pass over all weights instead of a dozen; a resumed optimizer stays as it was made.
        fused = True if self.device.type == "cpu" else None
        self.optimizer = torch.optim.AdamW(groups, lr=phase.learning_rate, fused=fused)
        if self.ema is not None:
            self.ema.track(self.model)

    def restart_average(self) -> None:
        """Restart the average of the weights from what they are now."""
        if self.ema is not None:
            self.ema = EMA(self.model, self.ema.decay)

    def store_features(self) -> Generator[tuple[int, int], None, None]:
        """Compute the frozen backbone's features once for all epochs of this phase, where that pays; yields (done, total)."""
        assert self.phase is not None
        storing = store_features(self.model, self.rows, self.config, self.device, self.phase, self.world)
        self.features = yield from storing
        if self.features is not None:
            self.state.seconds += self.features.seconds

    @property
    def best_weights(self) -> Classifier:
        """The model to validate and to save: the average of the weights, where one is made."""
        return self.model if self.ema is None else self.ema.model

    def sync_buffers(self) -> None:
        """Give all processes the first one's BatchNorm statistics, which each of them gathers on its own images."""
        models = [self.model] if self.ema is None else [self.model, self.ema.model]
        self.world.sync_buffers(buffer for model in models for buffer in model.buffers())

    def state_dicts(self) -> dict[str, Any]:
        """State dicts for a checkpoint."""
        return {
            "model": self.model.state_dict(),
            "optimizer": {} if self.optimizer is None else self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "average": {} if self.ema is None else self.ema.model.state_dict(),
        }

    def restore(self, states: dict[str, Any], *, optimizer: bool) -> None:
        """Load the state dicts of a checkpoint; the optimizer's only when its phase continues.

        Raises:
            BadRun: they are not those of this network and optimizer.
        """
        try:
            self.scaler.load_state_dict(states["scaler"])
            if self.ema is not None:
                self.ema.model.load_state_dict(states["average"])
            if optimizer and self.optimizer is not None:
                self.optimizer.load_state_dict(states["optimizer"])
        except (RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
            words = " ".join(str(error).split())[:200]
            raise BadRun(
                f"last.pt: its optimizer or average is not that of this network ({words}). Start a new run."
            ) from error

    def next_epoch(self) -> None:
        """Set `state` to the start of the next epoch."""
        state = self.state
        state.epoch += 1
        state.step = 0
        state.epoch_seconds = state.wait_seconds = 0.0
        self.loss.restart()

    @property
    def learning_rate(self) -> float:
        """The phase's own rate at the last update."""
        assert self.phase is not None
        return self.phase.learning_rate * self._factor

    # ------------------------------------------------------------------ an epoch

    def optimizer_steps(self) -> Generator[int, None, None]:
        """Train the rest of the epoch; after each optimizer step yields how many samples it had."""
        source = self._source()
        self.model.train()
        try:
            while True:
                began = time.monotonic()
                step = list(islice(source, self.config.training.advanced.accumulation_steps))
                self.state.wait_seconds += time.monotonic() - began
                if not step:
                    return
                yield self._update(step)
        finally:
            source.close()

    def _source(self) -> Generator[Batch, None, None]:
        training, state = self.config.training, self.state
        order = ORDERS[training.imbalance]
        if self.features is not None:  # every process makes the whole batch: it is a matter of microseconds
            return self.features.batches(
                batch_size=self.batch_size,
                seed=training.seed,
                epoch=state.epoch,
                order=order,
                start=state.step,
                together=self.update_size,
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
            epoch=state.epoch,
            order=order,
            start=state.step,
            together=self.update_size,
            rank=self.world.rank,
            world_size=self.world.size,
            workers=self.device.num_workers,
            pin_memory=self.device.pin_memory,
            breasts=self.rows.train_breasts,
            lesions=None if self.localization is None else self.localization.lesions,
        )

    def _update(self, step: list[Batch]) -> int:
        """Gradients of all batches of the step, as if they were one, then one update of the weights."""
        assert self.optimizer is not None and self.phase is not None
        state = self.state
        processes = self.world.size if self.features is None else 1
        samples = min(len(step) * self.batch_size, self.samples - state.step * self.batch_size)
        self._set_learning_rates(self.optimizer, self.phase)
        total = self.loss.scalar(0.0)
        for batch in step:
            state.step += 1
            state.global_step += 1
            # The mean over the step, whose last batch may be smaller; DDP averages over processes, hence `processes`.
            total += self._backward(batch, processes / samples, last=batch is step[-1])
        if processes > 1:
            self.world.sum(total)
        self.loss.add(total, samples)
        self.scaler.unscale_(self.optimizer)
        norm = self._clip_gradient(self.optimizer)
        if not self.device.use_grad_scaler:  # with a scaler, an overflow is ordinary: it leaves the update out
            self.loss.check_gradient(norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        state.update += 1
        state.updates += 1
        if self.ema is not None:
            self.ema.update(state.updates)
        return samples

    def _clip_gradient(self, optimizer: torch.optim.Optimizer) -> torch.Tensor:
        """Scale the gradient down to the largest norm that is allowed; returns the norm that it had."""
        trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        norm = nn.utils.get_total_norm([parameter.grad for parameter in trained if parameter.grad is not None])
        largest = self.config.training.advanced.gradient_clip_norm
        # Looking at it costs nothing on the processor and saves a pass over all gradients; a GPU would have to be waited for.
        if largest and (self.device.type != "cpu" or not norm <= largest):
            nn.utils.clip_grads_with_norm_(trained, largest, norm)
        return norm

    def _backward(self, batch: Batch, scale: float, *, last: bool) -> torch.Tensor:
        """Add the gradients of one batch; returns the sum of its losses."""
        network, state = self._network, self.state
        seed = step_seed(self.config.training.seed, state.epoch, state.step, self.world.rank)
        # Gradients go from process to process once a step.
        alone = isinstance(network, DistributedDataParallel) and not last
        with network.no_sync() if alone else nullcontext(), single_image_batch_norm(self.model, batch.images):
            with seeded(seed):
                loss, beside = self._loss(batch)
                scaled = self.scaler.scale((loss + beside) * scale)
                if self.model.gradient_checkpointing:  # its backward pass draws again what the forward pass had
                    scaled.backward()
            if not self.model.gradient_checkpointing:
                scaled.backward()
        return loss.detach()

    def _loss(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor | float]:
        """Sum over the batch of the samples' losses, which is what is reported; and of the loss on their activation maps."""
        slots, views = batch.grouping(self.device.device)
        images, labels, mask = (
            tensor.to(self.device.device, non_blocking=True) for tensor in (batch.images, batch.labels, batch.sample_mask)
        )
        alpha = self.config.augmentation.mixup
        if alpha:
            share = mix_share(alpha, self.config.training.seed, self.state.epoch, self.state.step)
            # The order is random already, so the batch reversed is a random partner for each sample.
            images = torch.lerp(images[partners(len(images), slots, views, images.device)], images, share)
            labels = torch.lerp(labels.flip(0), labels, share)
        with self.device.autocast():
            network = self.model.forward_head if self.features is not None else self._network_for(images)
            listening: AbstractContextManager[list[torch.Tensor]]
            listening = nullcontext([]) if self.localization is None else self.localization.recording()
            with listening as maps:
                logits = network(images) if slots is None else network(images, slots, views)
        loss = (self.criterion(logits.float(), labels) * mask).sum()
        if self.localization is None or batch.lesions is None:
            return loss, 0.0
        return loss, self.localization.loss(maps[0], batch.lesions.to(self.device.device, non_blocking=True))

    def _network_for(self, images: torch.Tensor) -> nn.Module:
        """What makes the step: a compiled network was compiled without what `single_image_batch_norm` changes in its layers."""
        return self.model if images.shape[0] == 1 and self._network is self._compiled else self._network

    def _set_learning_rates(self, optimizer: torch.optim.Optimizer, phase: Phase) -> None:
        training = self.config.training
        updates = -(-self.steps // training.advanced.accumulation_steps) * phase.epochs
        losses = self.state.val_losses[phase.first_epoch - 1 :]
        self._factor = rate_factor(training.schedule, self.state.update, updates, losses, training.advanced.plateau_patience)
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * self._factor
