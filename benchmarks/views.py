"""Two views against averaged scores of one, per breast: heads on frozen features, the same patients, epochs and images.

    images -> frozen backbone, once -> features, stored in a file -> for each fold, seed and method a head of a few seconds

Five folds of the manifest's patients. "one view" learns from images, and a breast's score is the mean of its images'; the
others learn from breasts, each with its fusion. All see the same images in as many epochs, in as many updates of as many images
(a batch of 16 images, or of 8 breasts), so they cost the same processor time; the table says how much. Scores of several seeds
are averaged. For whole networks at equal processor minutes: `quality`, with MAMMOLAB_QUALITY_SET="model.views=2 ...".
Settings, all from the environment:

    MAMMOLAB_VIEWS_MANIFEST   CSV of real images with patients, sides and views; its own splits are not used
    MAMMOLAB_VIEWS_WEIGHTS    ImageNet weights of the architecture, as .safetensors
    MAMMOLAB_VIEWS_MODEL      the architecture and its options, "mobilenetv2_100 pad_type=same mean=0.5 std=0.5"
    MAMMOLAB_VIEWS_SIZE       height and width, "512 320"
    MAMMOLAB_VIEWS_COPIES     augmented copies of each image beside itself, 1
    MAMMOLAB_VIEWS_EPOCHS     12
    MAMMOLAB_VIEWS_SEEDS      3
    MAMMOLAB_VIEWS_RESULTS    folder, benchmarks/results/views
"""

from __future__ import annotations

import copy
import os
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from benchmarks.quality import folded, with_splits
from benchmarks.quality_settings import fingerprint
from benchmarks.timing import processor_seconds
from core.config import Config, load_config
from core.data import read_manifest
from core.data.batches import batches
from core.data.breasts import breasts_of
from core.data.cache import PreparedCache
from core.files.paths import cache_root
from core.metrics import at_level, auc_interval, compare_auc
from core.metrics.curves import roc
from core.model import Classifier, build_model
from core.model.device import DeviceConfig
from core.training.checkpoint import TrainState
from core.training.head_features import Features
from core.training.image_preparation import Rows
from core.training.phases import Phase
from core.training.rng import seeded
from core.training.trainer import Trainer
from core.training.validation import validate

PREFIX = "MAMMOLAB_VIEWS_"
DEFAULTS = {
    "MODEL": "mobilenetv2_100 pad_type=same mean=0.5 std=0.5",
    "SIZE": "512 320",
    "COPIES": "1",
    "EPOCHS": "12",
    "SEEDS": "3",
    "RESULTS": "benchmarks/results/views",
}
ONE = "one view, averaged"
METHODS = (ONE, "mean", "max", "attention", "concat")
FOLDS = 5
_CPU = DeviceConfig(torch.device("cpu"), "fp32")


def run() -> None:
    """Compute the features where they are not stored yet, train all heads, print the table."""
    missing = [name for name in ("MANIFEST", "WEIGHTS") if not os.environ.get(PREFIX + name)]
    if missing:
        print(f"set {' and '.join(PREFIX + name for name in missing)}; benchmarks/views.py says what else there is")
        return
    frame = folded(read_manifest(Path(_setting("MANIFEST"))))
    began = processor_seconds()
    features = _features(frame)
    print(f"features: {features.shape}, {(processor_seconds() - began) / 60:.1f} processor minutes")
    print(table([_method(name, frame, features) for name in METHODS]))


@dataclass(frozen=True)
class Result:
    """Scores of all breasts, each from the fold in which it was not learnt from, mean of the seeds; `seeds` the AUC of each."""

    method: str
    breasts: pd.DataFrame
    seeds: tuple[float, ...]
    minutes: float


def table(results: list[Result]) -> str:
    """A line a method: AUC by breast within folds, its difference from one view in pairs, of both 95 % intervals by patient."""
    lines = [
        "| method | AUC, breasts | against one view | single seeds | processor minutes |",
        "| --- |" + " --- |" * 4,
    ]
    first = results[0].breasts
    malignant = (first["label"] == "malignant").to_numpy()
    for each in results:
        score, groups, strata = each.breasts["score"], first["patient_id"], first["fold"]
        area = auc_interval(malignant, score, groups, strata=strata, confidence=0.95)
        against = ""
        if each is not results[0]:
            found = compare_auc(malignant, first["score"], score, groups, strata=strata, confidence=0.95)
            gap = found.difference
            against = f"{gap.value:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]"
        seeds = f"{min(each.seeds):.3f} to {max(each.seeds):.3f}"
        lines.append(f"| {each.method} | {area} | {against} | {seeds} | {each.minutes:.1f} |")
    return "\n".join(lines)


def _setting(name: str) -> str:
    return os.environ.get(PREFIX + name, "") or DEFAULTS[name]


def _config(method: str, seed: int = 0) -> Config:
    name, *options = _setting("MODEL").split()
    height, width = _setting("SIZE").split()
    settings = [
        f"model.name={name}",
        f"model.weights={_setting('WEIGHTS')}",
        f"model.options={{{', '.join(option.replace('=', ': ', 1) for option in options)}}}",
        f"preprocessing.size=[{height}, {width}]",
        f"training.seed={seed}",
        f"training.epochs={_setting('EPOCHS')}",
    ]
    if method != ONE:
        settings += ["model.views=2", f"model.fusion={method}", "training.batch_size=8"]
    return load_config(None, settings)


def _features(frame: pd.DataFrame) -> NDArray[np.float32]:
    """(copies, N, F): of the images as they are, and of augmented copies."""
    config = _config(ONE)
    results = Path(_setting("RESULTS"))
    results.mkdir(parents=True, exist_ok=True)
    about = f"{fingerprint(frame)}-{config.preprocessing.hash}-{config.model.name}-{_setting('COPIES')}"
    kept = results / f"features-{about}.npy"
    if kept.exists():
        return np.asarray(np.load(kept))
    model = build_model(config.model).eval()
    cache = PreparedCache(cache_root(), config.preprocessing)
    leaders, copies = breasts_of(frame).leaders, []
    for number in range(1 + int(_setting("COPIES"))):
        augmentation = config.augmentation if number else None
        source = batches(
            frame,
            cache,
            config.preprocessing,
            batch_size=16,
            augmentation=augmentation,
            seed=0,
            epoch=number,
            order="sequence",
            leaders=leaders,
        )
        with torch.inference_mode(), closing(source):
            copies.append(np.concatenate([model.forward_features(batch.images).numpy() for batch in source]))
    found = np.stack(copies)
    np.save(kept, found)
    return found


def _method(method: str, frame: pd.DataFrame, features: NDArray[np.float32]) -> Result:
    began = processor_seconds()
    single = []
    for seed in range(int(_setting("SEEDS"))):
        parts = [_fold(method, frame, features, fold, seed) for fold in range(FOLDS)]
        single.append(pd.concat(parts, ignore_index=True))
    breasts = single[0].assign(score=np.mean([each["score"] for each in single], axis=0))
    malignant = (breasts["label"] == "malignant").to_numpy()
    areas = tuple(_within_folds(malignant, each) for each in single)
    return Result(method, breasts, areas, (processor_seconds() - began) / 60)


def _within_folds(malignant: NDArray[np.bool_], breasts: pd.DataFrame) -> float:
    parts = [(breasts["fold"] == fold).to_numpy() for fold in range(FOLDS)]
    pairs = [malignant[part].sum() * (~malignant[part]).sum() for part in parts]
    areas = [roc(malignant[part], breasts["score"].to_numpy()[part]).auc for part in parts]
    return float(np.average(areas, weights=pairs))


def _fold(method: str, frame: pd.DataFrame, features: NDArray[np.float32], fold: int, seed: int) -> pd.DataFrame:
    """Scores of the fold's breasts: patient_id, laterality, label, score, fold."""
    rows = with_splits(frame, fold)
    places = {split: np.flatnonzero(rows["split"] == split) for split in ("train", "val", "test")}
    parts = {split: rows.iloc[place].reset_index(drop=True) for split, place in places.items()}
    model = _trained(_config(method, seed), parts, {split: features[:, place] for split, place in places.items()})
    stored, test = torch.from_numpy(features[0, places["test"]]), parts["test"]
    with torch.inference_mode():
        if model.fusion is None:
            scored = test.assign(score=torch.sigmoid(model.forward_head(stored)).numpy())
        else:
            breasts = breasts_of(test)
            order, slots, owners = breasts.select(np.arange(len(breasts)))
            views = torch.from_numpy(breasts.views[order])
            scores = torch.sigmoid(model.forward_head(stored[order], torch.from_numpy(slots), views)).numpy()
            scored = test.iloc[order].assign(score=scores[owners])  # each image with its breast's: the mean is that score
    return at_level(scored, "breast").assign(fold=fold)


def _trained(config: Config, parts: dict[str, pd.DataFrame], features: dict[str, NDArray[np.float32]]) -> Classifier:
    """The head, and fusion, of the epoch with the best validation AUC, on the frozen network."""
    cache = PreparedCache(cache_root(), config.preprocessing)
    rows = Rows(parts["train"], parts["val"], cache, config.preprocessing, views=config.model.views)
    with seeded(config.training.seed):
        model = build_model(config.model)
    state = TrainState()
    trainer = Trainer(model, rows, config, _CPU, state)
    rate, epochs = config.training.learning_rate, config.training.epochs
    trainer.begin(Phase("head", 1, epochs, rate, rate, 0))
    labels = torch.from_numpy(rows.train_labels.copy())
    stored = torch.from_numpy(features["train"]), torch.from_numpy(features["val"][0])
    trainer.features = Features(*stored, labels, 1.0, 0.0, rows.train_breasts)
    best, kept = -1.0, model
    for _ in range(epochs):
        for _ in trainer.optimizer_steps():
            pass
        found = validate(trainer.best_weights, rows, config, _CPU.device, features=trainer.features).metrics["auc"]
        if found > best:
            best, kept = found, copy.deepcopy(trainer.best_weights)
        state.val_losses.append(0.0)
        trainer.next_epoch()
    return kept.eval()


if __name__ == "__main__":
    run()
