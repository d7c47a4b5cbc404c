"""A quick answer: settings compared by a probe on a frozen network, without training one.

What a network with its starting weights says of the prepared images is computed once for each combination of settings; a
regularised logistic regression on it is fitted on all folds but one and scores that one. It costs a forward pass an image,
and answers whether the settings change what the network can see, not what a full training would make of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from core.config import Config, ModelConfig
from core.data.cache import PreparedCache
from core.errors import BadConfig, NotEnoughData
from core.files.paths import cache_root
from core.studies.design import Design, flat
from core.studies.folds import COLUMN, TEST, rows_with_folds
from core.studies.results import Counts, StudyResults, summarized
from core.studies.study import checked, configured

BACKBONE = "tf_efficientnet_lite0"  # for networks that start without weights: its own come with the installation
NETWORK = ("model.name", "model.weights", "model.options")
STRENGTH = 0.001  # C of the regression: with more features than patients it has to be small
NOTICE = (
    "A probe is not a full training: it asks what a network with its starting weights sees in the images, and says nothing of "
    "how it would be fine-tuned."
)

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ProbeResults:
    """The `results` over all folds, the networks that were asked, and images that could not be read, with their reasons."""

    results: StudyResults
    backbones: tuple[str, ...]
    unreadable: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        own = {"backbones": list(self.backbones), "unreadable": self.unreadable, "notice": NOTICE}
        return self.results.as_dict() | own


def probe(
    design: Design, config: Config, rows: pd.DataFrame, *, progress: Progress | None = None, searching: Progress | None = None
) -> ProbeResults:
    """Compare settings of the preprocessing or the network over folds of the patients; images of a test split take no part.

    Args:
        rows: of a manifest.
        progress: called with (images seen, images to see, of all combinations).
        searching: follows the search for copies.

    Raises:
        BadConfig: another section's setting is to be compared, or a setting is impossible.
        NotEnoughData: no image can be read.
        LabError: as core.studies.Study.create.
    """
    if strange := unseen(design):
        raise BadConfig(
            f"{strange}: a probe trains no network, so it compares preprocessing, {' and '.join(NETWORK)} only. Make a study"
        )
    checked(design, config)
    configs = [_with_weights(configured(config, cell), compared=_compares_networks(design)) for cell in design.cells]
    used = rows_with_folds(rows, design, config.data, searching)
    used = used[used[COLUMN.format(1)] != TEST].reset_index(drop=True)
    unreadable: dict[str, str] = {}
    features: list[dict[str, NDArray[np.float32]]] = []
    minutes: dict[int, float] = {}
    for number, each in enumerate(configs):
        began = time.perf_counter()
        done = number * len(used)
        features.append(_features(each, used, unreadable, partial(_follow, progress, done, len(configs) * len(used))))
        minutes[number] = (time.perf_counter() - began) / 60
    used = used[~used["path"].isin(list(unreadable))].reset_index(drop=True)
    if used.empty:
        raise NotEnoughData(f"none of the {len(unreadable)} images can be read: {next(iter(unreadable.values()))}")
    tables = {number: _out_of_fold(used, found, design) for number, found in enumerate(features)}
    runs = len(design.jobs)
    results = summarized("probe", design, tables, minutes, Counts(runs, runs, {}), config.evaluation, level="image")
    return ProbeResults(results, tuple(dict.fromkeys(each.model.name for each in configs)), unreadable)


def unseen(design: Design) -> str:
    """The first setting that a probe cannot see; "" for none."""
    return next((name for name in _names(design) if name.split(".")[0] != "preprocessing" and name not in NETWORK), "")


def _names(design: Design) -> list[str]:
    return [name for factor, values in design.factors.items() for value in values for name in flat({factor: value})]


def _compares_networks(design: Design) -> bool:
    return any(name in NETWORK for name in _names(design))


def _follow(progress: Progress | None, before: int, total: int, seen: int) -> None:
    if progress is not None:
        progress(before + seen, total)


def _with_weights(config: Config, *, compared: bool) -> Config:
    """The configuration with a network that starts from weights: one that does not would see noise.

    Raises:
        BadConfig: networks are compared, and this one has no weights to start from.
    """
    from core.model import check_model

    if check_model(config.model).kind != "none":
        return config
    if compared:
        raise BadConfig(
            f"model.name: {config.model.name} starts without weights (model.weights: {config.model.weights}), so before a "
            "training it sees nothing that could be compared. Make a study"
        )
    return config.model_copy(update={"model": ModelConfig(name=BACKBONE)})


def _features(
    config: Config, rows: pd.DataFrame, unreadable: dict[str, str], seen: Callable[[int], None]
) -> dict[str, NDArray[np.float32]]:
    """What the network says of each image, (F,) by path; images that cannot be read are added to `unreadable`."""
    import torch

    from core.model import as_input, build_model, pick_device
    from core.model.device import DeviceConfig
    from core.training.cpu.malloc import retain_freed_memory
    from core.training.head_features import feature_cache, feature_count, filled_up
    from core.training.rng import seeded

    device, batch_size = pick_device(config.training.device), config.training.batch_size
    with seeded(config.training.seed):  # what has no weights is the same each time
        model = build_model(config.model)
    model = model.to(device).to(memory_format=torch.channels_last).eval()
    model.check_input(*config.preprocessing.shape)
    cache = PreparedCache(cache_root(), config.preprocessing)
    known = feature_cache(model, cache, config, device.type, "fp32", feature_count(model, config, DeviceConfig(device, "fp32")))
    found: dict[str, NDArray[np.float32]] = {}
    waiting: list[tuple[str, NDArray[np.uint8]]] = []

    def ask() -> None:
        if not waiting:
            return
        with torch.inference_mode():
            images = filled_up(as_input(np.stack([pixels for _, pixels in waiting]), device), batch_size)
            values = model.forward_features(images).float().cpu().numpy()
        for (path, _), each in zip(waiting, values[: len(waiting)], strict=True):
            found[path] = each
            known.put(path, each)
        waiting.clear()

    paths = rows["path"].astype("str").tolist()
    with retain_freed_memory(device):
        for number, (path, rejected) in enumerate(zip(paths, cache.iter_prepare(paths), strict=True), 1):
            if rejected is not None:
                unreadable[path] = rejected.reason
            elif (stored := known.get(path)) is not None:
                found[path] = stored
            else:
                waiting.append((path, cache.read_pixels(path)))
            if len(waiting) == batch_size or number == len(paths):
                ask()
            seen(number)
    return found


def _out_of_fold(rows: pd.DataFrame, features: dict[str, NDArray[np.float32]], design: Design) -> pd.DataFrame:
    """Scores of each fold by a regression on the others, (repeats x images) rows; NaN-free probabilities."""
    values = np.stack([features[path] for path in rows["path"].astype("str")])
    malignant = (rows["label"] == "malignant").to_numpy()
    parts = []
    for repeat in range(design.repeats):
        folds = rows[COLUMN.format(repeat + 1)].astype("int64").to_numpy()
        for fold in range(design.train_folds or design.folds):
            held_out = folds == fold
            if not held_out.any() or len(set(malignant[~held_out])) < 2:
                continue
            model = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=1000))
            model.fit(values[~held_out], malignant[~held_out])
            scores = model.predict_proba(values[held_out])[:, 1]
            parts.append(
                rows[held_out].assign(score=scores, fold=f"{repeat + 1}.{fold + 1}", repeat=repeat, unit=rows["path"][held_out])
            )
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
