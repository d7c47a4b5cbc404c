"""Head training on cached backbone features: what a frozen network computes of each image is computed once.

    images (and augmented copies of them) -> frozen backbone, once -> (copies, N, F) in memory -> epochs of a few milliseconds

With one copy, an epoch's losses are those of stepping the whole frozen network, but for rounding. Where breasts are judged,
each image's features are stored, and the head fuses them again in every step.

Features of the images themselves stay on disk (core.data.feature_cache): the other folds and settings of a study, and a quick
answer, find them there. Augmented copies are drawn anew for each training and are not worth the place.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from importlib import metadata
from itertools import chain, zip_longest

import numpy as np
import pandas as pd
import torch

from core.config import AugmentationConfig, Config
from core.data.batches import Batch, Order, batch_count, batches, epoch_order
from core.data.breasts import Breasts
from core.data.cache import PreparedCache
from core.data.feature_cache import FeatureCache
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
    began, done, computed = time.monotonic(), 0, 0
    total = copies * -(-len(rows.train) // world.size) - (-len(rows.val) // world.size)
    passes = [(rows.train, None if copy == 0 else config.augmentation, copy) for copy in range(copies)]
    count = feature_count(model, config, device)
    stored: list[torch.Tensor] = []
    for frame, augmentation, copy in chain(passes, [(rows.val, None, 0)]):
        training = frame is rows.train  # validation is always in full precision
        autocast = device.autocast() if training else nullcontext()
        result = torch.zeros((len(frame), count), device=device.device)
        paths = frame["path"].astype("str").to_list()
        known = None  # augmented copies are of this training alone, and so is the share of one process of several
        if augmentation is None and world.size == 1:
            known = feature_cache(model, rows.cache, config, device.type, device.precision if training else "fp32", count)
        missing = np.arange(len(frame))
        if known is not None:
            found = {row: values for row, path in enumerate(paths) if (values := known.get(path)) is not None}
            if found:
                result[list(found)] = torch.from_numpy(np.stack(list(found.values()))).to(device.device)
                missing = np.setdiff1d(missing, list(found))
                done += len(found)
                yield done, total
        turns = range(batch_count(len(missing), config.training.batch_size, world.size))
        left = frame.iloc[missing]
        share = _compute(model, left, rows, config, device, augmentation, copy, world, autocast) if len(left) else ()
        for _, batch in zip_longest(turns, share):
            if batch is not None:
                indices, features = missing[batch[0].numpy()], batch[1]
                result[torch.from_numpy(indices).to(device.device)] = features
                if known is not None:
                    for row, values in zip(indices.tolist(), features.cpu().numpy(), strict=True):
                        known.put(paths[row], values)
                done += len(indices)
                computed += len(indices)
            yield done, total
        stored.append(world.sum(result))
    seconds = time.monotonic() - began
    labels = torch.from_numpy(rows.train_labels.copy()).to(device.device)
    rate = computed * world.size / max(seconds, 1e-9) if computed else _rate(model, config, device)
    return Features(torch.stack(stored[:-1]), stored[-1], labels, rate, seconds, rows.train_breasts)


def feature_cache(
    model: Classifier, images: PreparedCache, config: Config, device: str, precision: str, count: int
) -> FeatureCache:
    """Where features of unaugmented images are kept, for this backbone computed on this kind of device in this precision."""
    found = hashlib.sha256()
    head = {id(parameter) for parameter in model.head_parameters()}
    own = {name for name, parameter in model.named_parameters() if id(parameter) in head}
    for name, tensor in model.state_dict().items():
        if name not in own:
            found.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
            found.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    parts = [config.model.name, sorted(config.model.options.items()), device, precision, config.training.batch_size]
    parts += [metadata.version("torch"), metadata.version("timm")]
    found.update(json.dumps(parts).encode())
    return FeatureCache(images, found.hexdigest(), count)


def _rate(model: Classifier, config: Config, device: DeviceConfig) -> float:
    """Images per second of the frozen network, by one batch: where all features are known none has been computed."""
    images = torch.zeros(config.training.batch_size, 1, *config.preprocessing.shape, device=device.device)
    with evaluating(model), torch.no_grad(), device.autocast():
        began = time.monotonic()
        model.forward_features(images)
    return len(images) / max(time.monotonic() - began, 1e-9)


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
    """(row numbers on the processor, features float32 on the device) of this process's share of the images."""
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
            count = len(images)
            if augmentation is None:
                images = filled_up(images, config.training.batch_size)
            with torch.no_grad(), autocast:
                features = model.forward_features(images)[:count]
            yield batch.indices, features.float()


def filled_up(images: torch.Tensor, batch_size: int) -> torch.Tensor:
    """Images (N, ...) -> (batch_size, ...), the last one repeated: small batches are computed by other kernels, which round
    otherwise, and what is stored must not depend on which images are missing."""
    return torch.cat([images, images[-1:].expand(batch_size - len(images), *images.shape[1:])])
