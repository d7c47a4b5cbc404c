"""Batches of prepared images, read ahead by background threads, the same whatever the number of threads.

frame rows -> order of the epoch -> cut into batches -> this rank's share -> cache -> augmentation -> Batch

What is ordered, cut and shared are samples: images, or breasts with all their images.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from core.config import AugmentationConfig, Recipe
from core.data import augment
from core.data.breasts import Breasts
from core.data.cache import PreparedCache
from core.data.manifest import LABELS
from core.data.read_ahead import read_ahead
from core.errors import BadManifest, RecipeMismatch

Order = Literal["shuffle", "spread", "sampler", "sequence"]
ORDERS: dict[str, Order] = {"weights": "spread", "sampler": "sampler", "none": "shuffle"}  # by training.imbalance

LESION_CELL = 8  # px: lesions come in cells of this side, four to that of most networks' last map

# Keeps the draws of the order apart from those of the augmentation, which start with the same seed and epoch.
_ORDER_STREAM = 0x6F726465
# Images of the rarer label in what makes an update: with one in every half of it, none is without.
_OF_THE_RARER = 2


@dataclass(frozen=True, eq=False)
class Batch:
    """`images` float32 (N, 1, H, W) in [0, 1]; `labels` float32 (N,), 1 = malignant; `indices` int64 (N,), the frame's rows.

    `sample_mask` float32 (N,) is 1, or 0 for an image that only fills a rank's last batch up (see `batches`).

    Of breasts, there are B labels, indices (which breast) and mask values, and M images: `slots` int64 (B, K) says which are
    whose, -1 for none, and `views` int64 (M,) what they show (see core.model.fusion). Of images both are None.

    `lesions` uint8 (N or M, h, w), where they were asked for: 1 where a lesion is, in cells coarser than the image.
    """

    images: torch.Tensor
    labels: torch.Tensor
    indices: torch.Tensor
    sample_mask: torch.Tensor
    slots: torch.Tensor | None = None
    views: torch.Tensor | None = None
    lesions: torch.Tensor | None = None

    def pin(self) -> Batch:
        """The same in page-locked memory, from where a GPU fetches it while it computes."""
        return Batch(*(None if tensor is None else tensor.pin_memory() for tensor in vars(self).values()))

    def grouping(self, device: torch.device) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """`slots` and `views` on the device, as `Classifier.forward` takes them."""
        if self.slots is None or self.views is None:
            return None, None
        return self.slots.to(device, non_blocking=True), self.views.to(device, non_blocking=True)


@dataclass(frozen=True, eq=False)
class _Task:
    """Samples to put in one batch, how often each had come before in this epoch, and whether it counts (1.0 or 0.0)."""

    indices: NDArray[np.int64]
    occurrences: NDArray[np.int64]
    sample_mask: NDArray[np.float32]


def batch_count(images: int, batch_size: int, world_size: int = 1) -> int:
    """Number of batches of an epoch on each rank; `batch_size` is that of one rank."""
    return -(-images // (batch_size * world_size))


def malignant_draws(malignant: int, count: int, together: int) -> int:
    """How many of an epoch's `count` images are malignant in the order "spread", of `malignant` that there are.

    As many as there are, or as many more (or, where benign ones are rare, fewer) as give every `together` images, those of
    an update of the weights, two of the rarer class.
    """
    rarer = min(malignant, count - malignant)
    if not rarer:
        return malignant
    drawn = max(rarer, min(count // 2, -(-_OF_THE_RARER * count // together)))
    return drawn if rarer == malignant else count - drawn


def epoch_order(labels: NDArray[np.float32], order: Order, seed: int, epoch: int, together: int = 1) -> NDArray[np.int64]:
    """Rows in the order of this epoch, int64 (N,).

    "sequence": as they are. "shuffle": each once. "sampler": drawn with replacement, both labels as often. "spread": as
    "shuffle", but where the rarer label would be missing from many runs of `together` images, its images come more often,
    the others less (each at most once), and are spread evenly: see `malignant_draws`.

    Raises:
        BadManifest: `sampler` and one label is missing.
    """
    count = len(labels)
    if order == "sequence":
        return np.arange(count, dtype=np.int64)
    generator = np.random.default_rng(np.random.SeedSequence((seed, epoch, _ORDER_STREAM, 0)))
    malignant = int(np.count_nonzero(labels))
    if order == "spread" and malignant_draws(malignant, count, together) != malignant:
        return _spread(labels, malignant_draws(malignant, count, together), generator)
    if order in ("shuffle", "spread"):
        return generator.permutation(count).astype(np.int64)
    groups = [np.flatnonzero(labels == value) for value in (0, 1)]
    if any(len(group) == 0 for group in groups):
        raise BadManifest(
            "training.imbalance=sampler needs benign and malignant images, got one label only. Use weights or none."
        )
    chosen_malignant = generator.random(count) < 0.5
    drawn = np.empty(count, dtype=np.int64)
    for group, chosen in zip(groups, (~chosen_malignant, chosen_malignant), strict=True):
        drawn[chosen] = generator.choice(group, size=int(chosen.sum()))
    return drawn


def _spread(labels: NDArray[np.float32], malignant: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Rows of which `malignant` are so; one of the rarer label in each of as many equal parts as there are of them."""
    count = len(labels)
    rare_label = float(np.count_nonzero(labels) * 2 <= count)
    draws = malignant if rare_label else count - malignant
    rare, others = np.flatnonzero(labels == rare_label), np.flatnonzero(labels != rare_label)
    rounds = [generator.permutation(rare) for _ in range(-(-draws // len(rare)))]  # nobody a second time before all once
    edges = np.arange(draws + 1) * count // draws
    places = generator.integers(edges[:-1], edges[1:])
    order = np.empty(count, dtype=np.int64)
    is_rare = np.zeros(count, dtype=bool)
    is_rare[places] = True
    order[is_rare] = np.concatenate(rounds)[:draws]
    order[~is_rare] = generator.permutation(others)[: count - draws]
    return order


def batches(
    frame: pd.DataFrame,
    cache: PreparedCache,
    recipe: Recipe,
    *,
    batch_size: int,
    augmentation: AugmentationConfig | None,
    seed: int,
    epoch: int,
    order: Order = "shuffle",
    start: int = 0,
    together: int = 1,
    rank: int = 0,
    world_size: int = 1,
    workers: int = 1,
    prefetch: int = 3,
    pin_memory: bool = False,
    breasts: Breasts | None = None,
    leaders: NDArray[np.int64] | None = None,
    lesions: NDArray[np.uint8] | None = None,
) -> Generator[Batch, None, None]:
    """One epoch over the rows of `frame`, without its first `start` batches (to go on where a run was cut off).

    Each image's augmentation depends only on seed, epoch and its row, so neither `start` nor `workers` changes a pixel.
    `None` augments nothing: use it for validation and test.

    With `breasts` (of this frame) a sample is a breast with all its images, and `batch_size` counts breasts. Each image is
    augmented for itself, but mirrored as the first one of its breast is. `leaders` int64 (N,) asks for the latter alone, for
    images that come one by one: the row whose flips each image shares. `lesions` uint8 (N, h, w) of the frame's rows, in
    cells of LESION_CELL pixels, the last ones cut off, come with the batches, changed as the images are.

    With `world_size` ranks, `batch_size` is that of one rank and the ranks' batches together are the batches of one process
    with `batch_size * world_size`. In training orders every rank has equally many images in every batch (the last batch is
    filled up with the epoch's first images, world_size - 1 at most, which do not count); in "sequence" each image comes exactly
    once, so the last batch of a rank may be smaller or missing. `together` as in `epoch_order`. `pin_memory` asks for
    page-locked memory.

    At most `prefetch` batches are prepared ahead by `workers` threads; they end with the iterator, also when it is
    closed early. What they raise is raised here, in its turn.

    Raises:
        RecipeMismatch: the cache holds images of another recipe.
        UnreadableImage: an image cannot be read (PreparedCache.iter_prepare finds these before).
        BadManifest: no rows, a row without a label, or "sampler" with one label only.
        ValueError: sizes out of range.
    """
    if recipe.hash != cache.recipe.hash:
        raise RecipeMismatch(
            f"expected images prepared by recipe {recipe.hash}, got those of {cache.recipe.hash}. Open the cache with it."
        )
    if batch_size < 1 or workers < 1 or prefetch < 1 or start < 0 or not 0 <= rank < world_size:
        raise ValueError(
            f"expected batch_size, workers, prefetch >= 1, start >= 0, 0 <= rank < world_size; got batch_size={batch_size}, "
            f"workers={workers}, prefetch={prefetch}, start={start}, rank={rank}, world_size={world_size}"
        )
    if frame.empty:
        raise BadManifest("no images to make batches of: this split is empty. Check the split column of the manifest.")
    unknown = frame.loc[~frame["label"].isin(LABELS), "path"]
    if len(unknown):  # never taken for benign
        raise BadManifest(f"{len(unknown)} images without a label cannot be learnt from (first: {unknown.iloc[0]}).")
    labels = (frame["label"] == LABELS[1]).to_numpy().astype(np.float32) if breasts is None else breasts.labels
    leaders = breasts.leaders if breasts is not None else leaders
    images = _Images(frame["path"].astype("str").to_list(), cache, augmentation, leaders, (seed, epoch), lesions)
    tasks = _tasks(epoch_order(labels, order, seed, epoch, together), batch_size, world_size, rank, equal=order != "sequence")[
        start:
    ]

    def load(task: _Task) -> Batch:
        batch = _load(task, labels, images, breasts)
        return batch.pin() if pin_memory else batch

    return read_ahead(load, tasks, workers=workers, ahead=prefetch, name="batches")


def _tasks(rows: NDArray[np.int64], batch_size: int, world_size: int, rank: int, *, equal: bool) -> list[_Task]:
    step = batch_size * world_size
    missing = -len(rows) % world_size if equal else 0
    sample_mask = np.repeat(np.array([1, 0], dtype=np.float32), (len(rows), missing))
    rows = np.concatenate([rows, np.resize(rows, missing)])
    before = _occurrences(rows)
    tasks = []
    for first in range(0, len(rows), step):
        share = slice(first + rank, min(first + step, len(rows)), world_size)
        if len(rows[share]):
            tasks.append(_Task(rows[share], before[share], sample_mask[share]))
    return tasks


def _occurrences(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each position, how often its value has come before, int64 (N,)."""
    by_value = np.argsort(rows, kind="stable")
    ordered = rows[by_value]
    positions = np.arange(len(rows))
    first = np.maximum.accumulate(np.where(np.r_[True, ordered[1:] != ordered[:-1]], positions, 0))
    result = np.empty(len(rows), dtype=np.int64)
    result[by_value] = positions - first
    return result


@dataclass(frozen=True)
class _Images:
    """Where the images of an epoch are, and how they are augmented; `stream` is (seed, epoch)."""

    paths: list[str]
    cache: PreparedCache
    augmentation: AugmentationConfig | None
    leaders: NDArray[np.int64] | None
    stream: tuple[int, int]
    lesions: NDArray[np.uint8] | None = None

    def load(self, rows: NDArray[np.int64], occurrences: NDArray[np.int64]) -> NDArray[np.float32]:
        """float32 (N, 1, H, W) of these rows."""
        images = np.empty((len(rows), 1, *self.cache.recipe.shape), dtype=np.float32)
        for position, (row, occurrence) in enumerate(zip(rows.tolist(), occurrences.tolist(), strict=True)):
            pixels = self.cache.read_pixels(self.paths[row])
            if self.augmentation is None:
                augment.to_float(pixels, images[position, 0])
            else:
                augment.apply(pixels, self._change(self.augmentation, row, occurrence), images[position, 0])
        return images

    def load_lesions(
        self, rows: NDArray[np.int64], occurrences: NDArray[np.int64], counts: NDArray[np.float32]
    ) -> torch.Tensor | None:
        """uint8 (N, h, w) of these rows, where there are any; nothing in an image that only fills a batch up (`counts` 0)."""
        if self.lesions is None:
            return None
        found = self.lesions[rows]
        found[counts == 0] = 0
        for position, (row, occurrence) in enumerate(zip(rows.tolist(), occurrences.tolist(), strict=True)):
            if self.augmentation is not None and found[position].any():
                change = self._change(self.augmentation, row, occurrence)
                found[position] = augment.move_mask(found[position], change, LESION_CELL, self.cache.recipe.shape)
        return torch.from_numpy(found)

    def _change(self, augmentation: AugmentationConfig, row: int, occurrence: int) -> augment.Change:
        change = augment.draw(augmentation, *self.stream, row, occurrence)
        if self.leaders is None or self.leaders[row] == row:
            return change
        first = augment.draw(augmentation, *self.stream, int(self.leaders[row]), occurrence)
        return replace(change, flip=first.flip, upside_down=first.upside_down)


def _load(task: _Task, labels: NDArray[np.float32], images: _Images, breasts: Breasts | None) -> Batch:
    # All arrays are this batch's own and writable: torch shares them without a warning.
    own = (labels[task.indices], task.indices.copy(), task.sample_mask.copy())
    if breasts is None:
        loaded = images.load(task.indices, task.occurrences)
        lesions = images.load_lesions(task.indices, task.occurrences, task.sample_mask)
        return replace(Batch(*map(torch.from_numpy, (loaded, *own))), lesions=lesions)
    rows, slots, owners = breasts.select(task.indices)
    loaded = images.load(rows, task.occurrences[owners])
    lesions = images.load_lesions(rows, task.occurrences[owners], task.sample_mask[owners])
    return replace(Batch(*map(torch.from_numpy, (loaded, *own, slots, breasts.views[rows]))), lesions=lesions)
