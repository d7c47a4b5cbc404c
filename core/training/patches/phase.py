"""The patch phase: before whole images, the network learns to tell lesions from tissue, with a head of its own.

    patches -> backbone -> pooled features -> patch head -> cross-entropy over tissue, benign and malignant lesion

Afterwards the patch head is thrown away, and the training on whole images begins with this backbone, as with a pretrained one
(Shen et al., Sci Rep 2019;9:12495; Petrini et al., IEEE Access 2022;10:77723). It is as repeatable as the rest: every draw is a
function of seed, epoch and place, and a phase that was cut off resumes from its last checkpoint.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.errors import BadConfig, BadRun, TrainingFailed
from core.model.classifier import evaluating
from core.runs.events import Event, PatchEpochEvent, PrepareEvent
from core.training.checkpoint import PATCH_STATE, Checkpointer
from core.training.control import ControlRequests
from core.training.failures import diverged
from core.training.patches.images import CLASSES, Patch, PatchImages
from core.training.phases import Phase, parameter_groups, rate_factor
from core.training.rng import seeded, step_seed
from core.training.run_logger import RunLogger
from core.training.single_process import single_image_batch_norm
from core.training.timing import LoopTiming, Throttle
from core.training.trainer import Trainer

_PATCHES_PER_IMAGE = 4  # of a batch at most: a patch is a tenth of an image, and there are three classes to tell apart
_TISSUE_WEIGHT = 0.5  # two patches of tissue come with each lesion
_STREAM = 1 << 20  # added to the epoch, so that dropout draws otherwise than on whole images


def patch_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean loss of patches: `logits` (N, 3) of CLASSES, `targets` int64 (N,), of which UNKNOWN (the number after
    the classes) means a lesion of either kind."""
    log_shares = functional.log_softmax(logits, dim=1)
    lesion = torch.logsumexp(log_shares[:, 1:], dim=1, keepdim=True)
    losses = -torch.cat([log_shares, lesion], dim=1).gather(1, targets[:, None])[:, 0]
    weights = torch.where(targets == 0, _TISSUE_WEIGHT, 1.0)
    return (losses * weights).sum() / weights.sum()


def lesions_found(logits: Tensor, targets: Tensor) -> Tensor:
    """How many patches are classified right as lesion or tissue, whichever kind of lesion: a number, int64."""
    return ((logits.argmax(1) > 0) == (targets > 0)).sum()


class PatchPhase:
    """The training on patches of one run, which shares its network, device and records with `trainer`."""

    def __init__(self, trainer: Trainer, images: PatchImages, phase: Phase) -> None:
        """`phase`: what of the network is trained, and how fast; its epochs are those of the patches."""
        self.trainer, self.images, self.phase = trainer, images, phase
        training = trainer.config.training
        self.seed, self.epochs = training.seed, phase.epochs
        height, width = trainer.config.preprocessing.shape
        # Large patches take as much memory as whole images do.
        together = min(_PATCHES_PER_IMAGE, max(1, height * width // images.size**2))
        self.batch_size = training.batch_size * together
        model, device = trainer.model, trainer.device.device
        try:
            model.check_input(images.size, images.size)
        except BadConfig as error:
            raise BadConfig(
                f"training.lesions.patch_size: {model.name} does not take patches of {images.size} x {images.size} pixels. "
                "Choose another size, or a convolutional architecture"
            ) from error
        model.unfreeze_backbone(phase.stages)
        with evaluating(model), torch.no_grad():  # one patch in training mode would move BatchNorm's statistics
            features = model.forward_features(torch.zeros(1, 1, images.size, images.size, device=device)).shape[1]
        with seeded(step_seed(self.seed, _STREAM, 0)):
            self.head = nn.Linear(features, len(CLASSES)).to(device)
            nn.init.normal_(self.head.weight, std=0.01)
        groups = parameter_groups(model, phase, training.advanced.weight_decay, training.advanced.layerwise_learning_rate_decay)
        own = {"params": list(self.head.parameters()), "peak": phase.head_learning_rate, "weight_decay": 0.0}
        self.optimizer = torch.optim.AdamW([*groups, own], lr=phase.learning_rate)
        self.scaler = torch.amp.GradScaler(trainer.device.type, enabled=trainer.device.use_grad_scaler)

    def state_dicts(self) -> dict[str, Any]:
        """What a checkpoint has in the middle of the phase."""
        return {"head": self.head.state_dict(), "optimizer": self.optimizer.state_dict(), "scaler": self.scaler.state_dict()}

    def restore(self, states: dict[str, Any]) -> None:
        """Load what `state_dicts` gave. Raises BadRun: it is not that of this network."""
        try:
            self.head.load_state_dict(states["head"])
            self.optimizer.load_state_dict(states["optimizer"])
            self.scaler.load_state_dict(states["scaler"])
        except (RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
            words = " ".join(str(error).split())[:200]
            raise BadRun(f"last.pt: its patch phase is not that of this network ({words}). Start a new run.") from error

    def events(
        self, logger: RunLogger, control: ControlRequests, checkpointer: Checkpointer, timing: LoopTiming
    ) -> Generator[Event, None, bool]:
        """Train all epochs that are left; True when a stop was requested."""
        state, world = self.trainer.state, self.trainer.world
        plans = yield from self._plans(logger, timing)
        if plans is None:
            return True
        counts = [-(-len(plan) // self.batch_size) for plan in plans]
        total = sum(counts)
        logger.update(phase=self.phase.name, epoch=0, step=0, epochs=self.trainer.config.training.epochs)
        report = Throttle(timing.between_steps)
        for epoch, (plan, count) in enumerate(zip(plans, counts, strict=True), 1):
            first = sum(counts[: epoch - 1])
            if state.patch_step >= first + count:
                continue
            sums = torch.zeros(3, dtype=torch.float64, device="cpu")  # of this epoch since it began or was resumed
            began = time.monotonic()
            source = self.images.batches(
                plan,
                batch_size=self.batch_size,
                start=state.patch_step - first,
                augmentation=self.trainer.config.augmentation,
                seed=self.seed,
                epoch=_STREAM + epoch,
                workers=self.trainer.device.num_workers,
            )
            with closing(source):
                for images, targets in source:
                    clock = time.monotonic()
                    sums += self._step(images, targets, epoch, state.patch_step, total)
                    state.patch_step += 1
                    state.seconds += time.monotonic() - clock
                    (due,) = world.broadcast(report.due(force=state.patch_step == total))
                    if due:
                        yield logger.event(PrepareEvent(type="prepare", done=state.patch_step, total=total, what="patches"))
                    (due,) = world.broadcast(checkpointer.due() or control.pending)
                    if due:
                        self._save(logger, checkpointer)
                        if control.wait_while_paused():
                            return True
            loss, right, shown = sums.tolist()
            event_of_epoch = PatchEpochEvent(type="patch_epoch", epoch=epoch, epochs=self.epochs, patches=int(shown))
            event_of_epoch |= {"loss": loss / shown, "accuracy": right / shown, "seconds": round(time.monotonic() - began, 2)}
            yield logger.event(event_of_epoch)
        world.sync_buffers(tensor.data for tensor in (*self.trainer.model.parameters(), *self.trainer.model.buffers()))
        return False

    def _plans(self, logger: RunLogger, timing: LoopTiming) -> Generator[Event, None, list[list[Patch]] | None]:
        """The patches of all epochs, whose number the learning rate follows; None: a stop was requested."""
        plans: list[list[Patch]] = []
        report = Throttle(timing.between_images)
        for epoch in range(1, self.epochs + 1):
            plans.append(self.images.of_epoch(self.seed, _STREAM + epoch))
            due, stop = self.trainer.world.broadcast(report.due(), logger.run.requested("stop"))
            if due:
                yield logger.event(PrepareEvent(type="prepare", done=epoch, total=self.epochs, what="lesions"))
            if stop:
                return None
        return plans

    def _step(self, images: Tensor, targets: Tensor, epoch: int, step: int, total: int) -> Tensor:
        """One update of the weights; (sum of losses, patches classified right, patches), float64 (3,)."""
        trainer = self.trainer
        device = trainer.device.device
        images, targets = images.to(device, non_blocking=True), targets.to(device, non_blocking=True)
        factor = rate_factor(trainer.config.training.schedule, min(step, total - 1), total)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        trainer.model.train()
        with single_image_batch_norm(trainer.model, images), seeded(step_seed(self.seed, _STREAM + epoch, step)):
            with trainer.device.autocast():
                logits = self.head(trainer.model.forward_features(images))
            loss = patch_loss(logits.float(), targets)
            self.scaler.scale(loss).backward()
        if not torch.isfinite(loss.detach()):
            raise TrainingFailed(diverged(trainer.config.training.precision))
        self.scaler.unscale_(self.optimizer)
        if limit := trainer.config.training.advanced.gradient_clip_norm:
            nn.utils.clip_grad_norm_([p for group in self.optimizer.param_groups for p in group["params"]], limit)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        right = lesions_found(logits.detach(), targets)
        return torch.tensor([float(loss.detach()) * len(targets), float(right), float(len(targets))], dtype=torch.float64)

    def _save(self, logger: RunLogger, checkpointer: Checkpointer) -> None:
        self.trainer.state.sequence = logger.settle()
        checkpointer.save(self.trainer.state, self.trainer.state_dicts() | {PATCH_STATE: self.state_dicts()})
