"""Head training on cached backbone features: what a frozen network computes of each image is computed once.

    images (and augmented copies of them) -> frozen backbone, once -> (copies, N, F) in memory -> epochs of a few milliseconds

With one copy, an epoch's losses are those of stepping the whole frozen network, but for rounding. Where breasts are judged,
each image's features are stored, and the head fuses them again in every step.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from itertools import chain, zip_longest

import pandas as pd
import torch

from core.config import AugmentationConfig, Config
from core.data.batches import Batch, Order, batch_count, batches, epoch_order
from core.data.breasts import Breasts
from core.model import Classifier
from core.model.classifier import evaluating
from core.model.device import DeviceConfig
from core.training.distributed import World
from core.training.image_preparation import Rows
from core.training.phases import Phase
from core.training.rng import choose_copies

LARGEST = 1 << 30  # bytes of stored features; beyond, there are fewer copies, or the network is stepped instead


@dataclass(frozen=True, eq=False)
class Features:
    """`train` float32 (copies, N, F), `val` float32 (M, F), each image's in the order of the rows, on the device; `labels` of
    the samples, which are images, or the `breasts` that they make.

    `images_per_second` of the frozen network, `seconds` it took.
    """

    train: torch.Tensor
    val: torch.Tensor
    labels: torch.Tensor
    images_per_second: float
    seconds: float
    breasts: Breasts | None = None

    def batches(
        self, *, batch_size: int, seed: int, epoch: int, order: Order, start: int, together: int = 1
    ) -> Generator[Batch, None, None]:
        """The epoch's batches, the same samples in the same order as core.data.batches, with features as `images` (N, F).

        Which of its copies an image shows is drawn from seed and epoch, for all images of a breast alike.
        """
        copies, device = len(self.train), self.train.device
        labels = self.labels.cpu().numpy()
        order_of_epoch = epoch_order(labels, order, seed, epoch, together)
        shown = choose_copies(len(labels), copies, seed, epoch)
        sample_mask = torch.ones(batch_size, device=device)
        for first in range(start * batch_size, len(labels), batch_size):
            chosen = order_of_epoch[first : first + batch_size]
            rows, slots, owners = (chosen, None, None) if self.breasts is None else self.breasts.select(chosen)
            copy = shown[chosen] if owners is None else shown[chosen][owners]
            yield Batch(
                self.train[torch.from_numpy(copy).to(device), torch.from_numpy(rows).to(device)],
                self.labels[torch.from_numpy(chosen).to(device)],
                torch.from_numpy(chosen),
                sample_mask[: len(chosen)],
                None if slots is None else torch.from_numpy(slots),
                None if self.breasts is None else torch.from_numpy(self.breasts.views[rows]),
            )


def store_features(
    model: Classifier, rows: Rows, config: Config, device: DeviceConfig, phase: Phase, world: World
) -> Generator[tuple[int, int], None, Features | None]:
    """Run the frozen backbone over all images; yields (done, total) of this process after each batch.

    Every process yields equally often, also where the others have a batch and it has none: what is agreed on after each
    batch comes in the same order in all of them. `total` is that of the first process, whose share is never the smaller one.

    None: it does not pay or does not fit, so the network is to be stepped as in any other phase.
    """
    copies = _copy_count(model, rows, config, phase)
    if not copies:
        return None
    began, done = time.monotonic(), 0
    total = copies * -(-len(rows.train) // world.size) - (-len(rows.val) // world.size)
    passes = [(rows.train, None if copy == 0 else config.augmentation, copy) for copy in range(copies)]
    stored: list[torch.Tensor] = []
    for frame, augmentation, copy in chain(passes, [(rows.val, None, 0)]):
        autocast = device.autocast() if frame is rows.train else nullcontext()  # validation is always in full precision
        result = torch.zeros(0)
        turns = range(batch_count(len(frame), config.training.batch_size, world.size))
        share = _compute(model, frame, rows, config, device, augmentation, copy, world, autocast)
        for _, found in zip_longest(turns, share):
            if found is not None:
                indices, features = found
                if not result.numel():
                    result = torch.zeros((len(frame), features.shape[1]), device=device.device)
                result[indices] = features
                done += len(indices)
            yield done, total
        if not result.numel():  # fewer images than processes: this one had none
            result = torch.zeros((len(frame), feature_count(model, config, device)), device=device.device)
        stored.append(world.sum(result))
    seconds = time.monotonic() - began
    labels = torch.from_numpy(rows.train_labels.copy()).to(device.device)
    rate = done * world.size / max(seconds, 1e-9)
    return Features(torch.stack(stored[:-1]), stored[-1], labels, rate, seconds, rows.train_breasts)


def feature_count(model: Classifier, config: Config, device: DeviceConfig) -> int:
    """Features that the head gets of an image."""
    with evaluating(model), torch.inference_mode():
        blank = torch.zeros(1, 1, *config.preprocessing.shape, device=device.device)
        return int(model.forward_features(blank).shape[1])


def _copy_count(model: Classifier, rows: Rows, config: Config, phase: Phase) -> int:
    """Copies to store of each training image; 0 where stepping the network is as quick, or the only way."""
    training = config.training
    if not (training.advanced.cache_backbone_features and phase.frozen and phase.epochs > 1 and model.has_separable_head):
        return 0
    augmented = any(config.augmentation.model_dump(exclude={"mixup"}).values())
    copies = min(1 + training.advanced.cached_augmentations, phase.epochs) if augmented else 1
    one = 4 * feature_count(model, config, DeviceConfig(model.mean.device, "fp32"))
    # While copies are put together, they are in memory twice.
    return max(0, min(copies, (LARGEST // one - len(rows.val)) // (2 * len(rows.train))))


def _compute(
    model: Classifier,
    frame: pd.DataFrame,
    rows: Rows,
    config: Config,
    device: DeviceConfig,
    augmentation: AugmentationConfig | None,
    copy: int,
    world: World,
    autocast: AbstractContextManager[object],
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """(row numbers, features float32) of this process's share of the images."""
    source = batches(
        frame,
        rows.cache,
        rows.recipe,
        batch_size=config.training.batch_size,
        augmentation=augmentation,
        seed=config.training.seed,
        epoch=copy,  # what epoch n would have shown, had the network been stepped
        order="sequence",
        rank=world.rank,
        world_size=world.size,
        workers=device.num_workers,
        pin_memory=device.pin_memory,
        leaders=None if augmentation is None or rows.train_breasts is None else rows.train_breasts.leaders,
    )
    with evaluating(model), closing(source):
        for batch in source:
            images = batch.images.to(device.device, non_blocking=True)
            with torch.no_grad(), autocast:
                features = model.forward_features(images)
            yield batch.indices.to(device.device), features.float()
