"""Fitting of a gate: distances from training images, the limit from validation images. One forward pass an image."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from core.data.cache import CachedImage, PreparedCache
from core.errors import NotEnoughData, UnreadableImage
from core.gate.distance import Distance
from core.gate.features import features_of, statistics_of
from core.gate.origin import refusal_of_origin
from core.model import Classifier, as_input, model_lock

# More would move the results by less than another seed does, and a gate is to cost less than an epoch.
MOST_TRAIN, MOST_VALIDATION = 400, 400
_BATCH_PIXELS, _BATCH_IMAGES = 2_000_000, 16
_SEED = 20_13
Progress = Callable[[int, int], None]


def fit_gate(
    model: Classifier,
    cache: PreparedCache,
    rows: pd.DataFrame,
    *,
    progress: Progress | None = None,
) -> Distance:
    """As `fitting`, to the end. `progress(done, total)` is called after each batch; what it raises ends the work."""
    steps = fitting(model, cache, rows)
    while True:
        try:
            done, total = next(steps)
        except StopIteration as end:
            found: Distance = end.value
            return found
        if progress is not None:
            progress(done, total)


def fitting(model: Classifier, cache: PreparedCache, rows: pd.DataFrame) -> Generator[tuple[int, int], None, Distance]:
    """A gate for `model`, in eval mode on its device, from the rows of a manifest whose split is train or val.

    At most MOST_TRAIN and MOST_VALIDATION images, drawn by a fixed seed. Images that cannot be read, or that no model should
    judge (see `origin`), teach nothing. Yields (images looked at, all images) after each batch, and returns the gate; who
    wants it no longer closes the generator.

    Raises:
        NotEnoughData: fewer than two images of a split can be learned from.
    """
    chosen = {
        split: _chosen(rows.loc[rows["split"] == split, "path"].astype("str").tolist(), most)
        for split, most in (("train", MOST_TRAIN), ("val", MOST_VALIDATION))
    }
    total, done = sum(map(len, chosen.values())), 0
    seen: dict[str, tuple[NDArray[np.float32] | None, NDArray[np.float32]]] = {}
    height, width = cache.recipe.shape
    size = max(1, min(_BATCH_IMAGES, _BATCH_PIXELS // (height * width)))
    for split, paths in chosen.items():
        features, statistics = [], []
        for start in range(0, len(paths), size):
            images = _readable(cache, paths[start : start + size])
            if images:
                found = _features(model, np.stack([image.pixels for image in images]))
                features += [] if found is None else [found]
                statistics += [statistics_of(image.pixels, image.breast) for image in images]
            done += len(paths[start : start + size])
            yield done, total
        if len(statistics) < 2:
            raise NotEnoughData(
                f"the gate needs two images of the {split} split to learn from, got {len(statistics)}: "
                "check that the run's images are where its manifest says"
            )
        seen[split] = (np.concatenate(features) if features else None, np.stack(statistics))
    return Distance.fit(seen["train"], seen["val"])


def _chosen(paths: list[str], most: int) -> list[str]:
    if len(paths) <= most:
        return paths
    rows = np.random.default_rng(_SEED).choice(len(paths), most, replace=False)
    return [paths[row] for row in np.sort(rows)]


def _readable(cache: PreparedCache, paths: Sequence[str]) -> list[CachedImage]:
    images = []
    for path in paths:
        try:
            image = cache.get(path)
        except UnreadableImage:  # the evaluation lists it with its reason
            continue
        found = image.breast_found
        if not refusal_of_origin(image.image_meta, breast_found=found, recipe=cache.recipe, warnings=image.warnings):
            images.append(image)
    return images


def _features(model: Classifier, pixels: NDArray[np.uint8]) -> NDArray[np.float32] | None:
    with model_lock(model), torch.inference_mode():
        found = features_of(model, as_input(pixels, model.mean.device))
    return found if found is not None and np.isfinite(found).all() else None
