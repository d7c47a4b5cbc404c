"""Preview of a run's first batch as its model gets it, after preprocessing and augmentation."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.config import Config
from core.data.batches import ORDERS, batches, epoch_order
from core.data.breasts import breasts_of
from core.data.cache import PreparedCache
from core.data.manifest import LABELS
from core.files.paths import cache_root
from core.runs.run import Run


@dataclass(frozen=True)
class BatchPreview:
    """Images of one batch: `pixels` uint8 (N, H, W), with the label and the path of each."""

    pixels: NDArray[np.uint8]
    labels: tuple[str, ...]
    paths: tuple[str, ...]


def used_rows(run: Run) -> pd.DataFrame:
    """The run's manifest without the images that were left out. Raises BadManifest: manifest.csv is missing or damaged."""
    rows = run.manifest()
    return rows[~rows["path"].isin(list(run.excluded()))]


def first_batch(config: Config, rows: pd.DataFrame, limit: int = 16) -> BatchPreview | None:
    """The first images (at most `limit`, with two views whole breasts) of epoch 1 with the run's order, augmentation and seed.

    `rows` are those it uses (`used_rows`). None while the images are not prepared: nothing is decoded here. Images that
    were blended (mixup) are shown before that.
    """
    rows = rows[rows["split"] == "train"].reset_index(drop=True)
    if rows.empty:
        return None
    training = config.training
    order, together = ORDERS[training.imbalance], training.batch_size * training.advanced.accumulation_steps
    cache = PreparedCache(cache_root(), config.preprocessing)
    breasts = breasts_of(rows) if config.model.views == 2 else None
    labels = (rows["label"] == LABELS[1]).to_numpy().astype(np.float32) if breasts is None else breasts.labels
    samples = epoch_order(labels, order, training.seed, 1, together)[: training.batch_size]
    first, _, owners = (samples, None, np.arange(len(samples))) if breasts is None else breasts.select(samples)
    count = max(1, int((np.bincount(owners).cumsum() <= limit).sum()))
    first = first[owners < count]
    if not all(cache.has(rows["path"].iloc[index]) for index in first):
        return None
    # A batch of `count` holds the same images as the first of a larger one: order and augmentation go by row.
    source = batches(
        rows,
        cache,
        config.preprocessing,
        batch_size=count,
        augmentation=config.augmentation,
        seed=training.seed,
        epoch=1,
        order=order,
        together=together,
        prefetch=1,
        breasts=breasts,
    )
    with closing(source):
        batch = next(source)
    indices = first.tolist()
    return BatchPreview(
        pixels=np.round(batch.images[:, 0].numpy() * 255).clip(0, 255).astype(np.uint8),
        labels=tuple(str(rows["label"].iloc[index]) for index in indices),
        paths=tuple(str(rows["path"].iloc[index]) for index in indices),
    )
