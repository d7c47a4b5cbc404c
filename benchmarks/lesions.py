"""What lesions of another collection teach a network: the same probe on its features before and after a patch phase.

    network with ImageNet weights              -> features of all images -> logistic regression, five folds of the patients
    the same after a phase on lesion patches   -> features of all images -> the same

AUCs are compared in pairs, with the patients' intervals, and by the share of the training patients that the regression learns
from: a learning curve. Then each regression, as the last layer, draws a class activation map on films whose lesion is known and
of which no patch was cut: how often its peak lies in the lesion. Settings, all from the environment:

    MAMMOLAB_LESIONS_MANIFEST   CSV of images to judge (`python -m core data import`); its own splits are not used
    MAMMOLAB_LESIONS_PATCHES    CSV of films with lesions: split train for the patches, test for the maps
    MAMMOLAB_LESIONS_MODEL      the architecture, tf_efficientnet_lite0
    MAMMOLAB_LESIONS_EPOCHS     epochs of the patch phase, 3
    MAMMOLAB_LESIONS_SET        further settings, for example "preprocessing.size=[320,192]"
    MAMMOLAB_LESIONS_RESULTS    folder, benchmarks/results/lesions; features of the same settings that are there are used again

Patients of MANIFEST who stand in PATCHES, too, would be learnt from and judged: take two collections.
"""

from __future__ import annotations

import hashlib
import math
import os
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from benchmarks.quality import FOLDS, PROBE_C, SEED, folded
from benchmarks.timing import processor_seconds
from core.config import Config, dump_config, load_config
from core.data import read_manifest
from core.data.batches import batches
from core.data.cache import PreparedCache
from core.data.lesion_masks import breast_mask, lesion_mask
from core.data.lesion_places import with_lesions
from core.files.paths import cache_root
from core.heatmap_audit.localisation import localisation
from core.metrics import auc_interval, compare_auc
from core.model import Classifier, as_input, build_model
from core.model.classifier import evaluating
from core.runs import Run
from core.runs.run import LAST
from core.training.checkpoint import load_checkpoint
from core.training.loop import train

PREFIX = "MAMMOLAB_LESIONS_"
SHARES = (0.125, 0.25, 0.5, 1.0)
DRAWS = 5  # of the patients of a share below 1
SMALL = 60  # images of the run that only carries the patch phase
MEASURES = ["hit", "hit_exact", "energy"]
TOLERANCE = 0.03  # of the longer side: 15 px where that has 500, as in the pointing game


def setting(name: str, default: str = "") -> str:
    """What the environment says, else the default."""
    return os.environ.get(PREFIX + name, "") or default


def run() -> None:
    """Features before and after, their AUCs by share of patients, and where their maps peak."""
    if not (setting("MANIFEST") and setting("PATCHES")):
        print(f"set {PREFIX}MANIFEST and {PREFIX}PATCHES; benchmarks/lesions.py says what else there is")
        return
    results = Path(setting("RESULTS", "benchmarks/results/lesions"))
    results.mkdir(parents=True, exist_ok=True)
    frame = folded(read_manifest(Path(setting("MANIFEST"))))
    films = read_manifest(Path(setting("PATCHES")))
    config = _config([])
    results /= _named_after(config)
    results.mkdir(exist_ok=True)
    networks = {"ImageNet": build_model(config.model), "after patches": _after_patches(frame, results)}
    for network in networks.values():
        network.check_input(*config.preprocessing.shape)
    features = {name: _features(network, frame, config, results / f"{name}.npy") for name, network in networks.items()}
    print(curve(features, frame))
    held = films[(films["split"] == "test") & with_lesions(films) & (films["label"] == "malignant")].reset_index(drop=True)
    found = {name: pointing_game(network, features[name], frame, held, config) for name, network in networks.items()}
    for name, table in found.items():
        print(f"{name}: {_words(table)}", flush=True)
    before, after = (table.set_index("path") for table in found.values())
    both = before.index.intersection(after.index)
    gap = after.loc[both, MEASURES] - before.loc[both, MEASURES]
    print(f"difference: {_words(gap.assign(patient_id=before.loc[both, 'patient_id']), chance=False)}")


def _config(more: list[str]) -> Config:
    model = [f"model.name={setting('MODEL', 'tf_efficientnet_lite0')}", "training.advanced.threads=1"]
    return load_config(None, [*model, *setting("SET").split(), *more])


def _named_after(config: Config) -> str:
    """A name for what was computed with these settings and files: of others it would be wrong, and nothing would say so."""
    files = [Path(setting(name)).read_bytes() for name in ("MANIFEST", "PATCHES")]
    return hashlib.sha256(b"\0".join([dump_config(config).encode(), setting("EPOCHS", "3").encode(), *files])).hexdigest()[:12]


def _after_patches(frame: pd.DataFrame, results: Path) -> Classifier:
    """The network as a training has it after its patch phase: a run on a few images is ended there."""
    epochs = setting("EPOCHS", "3")
    stored = results / f"patches-{epochs}.pt"
    if not stored.exists():
        few = frame.groupby("label", group_keys=False).head(SMALL // 2).drop(columns="fold").reset_index(drop=True)
        few = few.assign(split=np.where(np.arange(len(few)) % 4 == 0, "val", "train"))
        few = few[~few["patient_id"].isin(set(few.loc[few["split"] == "val", "patient_id"])) | (few["split"] == "val")]
        began = processor_seconds()
        with tempfile.TemporaryDirectory() as folder:
            lesions = [f"training.lesions.patch_epochs={epochs}", f"training.lesions.patch_manifest={setting('PATCHES')}"]
            made = Run.create(_config([f"checkpoints={Path(folder).as_posix()}", *lesions]), few.reset_index(drop=True))
            for event in train(made):
                if event["type"] == "patch_epoch":
                    print(
                        f"patches, epoch {event['epoch']}: loss {event['loss']:.3f}, right {event['accuracy']:.3f}", flush=True
                    )
                if event["type"] == "phase":
                    break
            found = load_checkpoint(made.path / LAST)
        assert found is not None
        print(f"the patch phase took {(processor_seconds() - began) / 60:.1f} processor minutes", flush=True)
        torch.save(found[1]["model"], stored)
    network = build_model(_config([]).model)
    network.load_state_dict(torch.load(stored, weights_only=True))
    return network


def _features(network: Classifier, frame: pd.DataFrame, config: Config, stored: Path) -> NDArray[np.float32]:
    """float32 (N, F): what the last layer sees of each image."""
    if stored.exists():
        return np.asarray(np.load(stored), np.float32)
    cache = PreparedCache(cache_root(), config.preprocessing)
    source = batches(frame, cache, config.preprocessing, batch_size=8, augmentation=None, seed=0, epoch=0, order="sequence")
    with evaluating(network), torch.inference_mode():
        found = np.concatenate([network.forward_features(batch.images).numpy() for batch in source])
    np.save(stored, found)
    return found


def _probe(features: NDArray[np.float32], labels: NDArray[np.bool_]) -> tuple[StandardScaler, LogisticRegression]:
    scaler = StandardScaler().fit(features)
    return scaler, LogisticRegression(C=PROBE_C, max_iter=1000).fit(scaler.transform(features), labels)


def curve(features: dict[str, NDArray[np.float32]], frame: pd.DataFrame) -> str:
    """AUC within folds by share of the other folds' patients, the difference of both networks, and a power law through it.

    Below all patients: means of the AUCs, differences and limits of several draws, whose scores together would be an ensemble.
    """
    labels, patients, folds = (frame["label"] == "malignant").to_numpy(), frame["patient_id"], frame["fold"].to_numpy()
    first, second = features.values()
    lines = ["| patients | " + " | ".join(features) + " | difference |", "| --- |" + " --- |" * (len(features) + 1)]
    means: dict[str, list[tuple[float, float]]] = {name: [] for name in features}
    for share in SHARES:
        found = []
        for draw in range(DRAWS if share < 1 else 1):
            one, other = (_out_of_fold(seen, labels, patients, folds, share, draw) for seen in (first, second))
            areas = [auc_interval(labels, each, patients, strata=folds, confidence=0.95) for each in (one, other)]
            gap = compare_auc(labels, one, other, patients, strata=folds, confidence=0.95).difference
            found.append([(each.value, each.low, each.high) for each in (*areas, gap)])
        count = round(share * patients.nunique() * (FOLDS - 1) / FOLDS)
        mean = np.mean(found, axis=0)
        row = [f"{value:.3f} [{low:.3f}, {high:.3f}]" for value, low, high in mean[:2]]
        row.append("{:+.3f} [{:+.3f}, {:+.3f}]".format(*mean[2]))
        lines.append("| " + " | ".join([str(count), *row]) + " |")
        for name, (value, _, _) in zip(features, mean[:2], strict=True):
            means[name].append((count, float(value)))
    return "\n".join([*lines, *(f"{name}: {_power_law(points)}" for name, points in means.items())])


def _out_of_fold(
    seen: NDArray[np.float32],
    labels: NDArray[np.bool_],
    patients: pd.Series,
    folds: NDArray[np.int64],
    share: float,
    draw: int,
) -> NDArray[np.float64]:
    """Scores (N,) of each fold by a regression on a share of the other folds' patients."""
    scores = np.zeros(len(labels))
    for fold in range(FOLDS):
        others = patients[folds != fold].unique()
        chosen = np.random.default_rng((SEED, fold, draw)).permutation(others)[: round(share * len(others))]
        learns = (folds != fold) & patients.isin(chosen).to_numpy()
        scaler, model = _probe(seen[learns], labels[learns])
        scores[folds == fold] = model.decision_function(scaler.transform(seen[folds == fold]))
    return scores


def _power_law(points: list[tuple[float, float]]) -> str:
    """How the error 1 - AUC falls with patients, as a line on logarithmic axes, and when the AUC would reach 0.72 and 0.75."""
    x, y = np.log([count for count, _ in points]), np.log([1 - area for _, area in points])
    slope, start = np.polyfit(x, y, 1)
    if slope >= 0:
        return "the error does not fall with patients"
    needed = [f"{math.exp((math.log(1 - goal) - start) / slope):,.0f} for {goal}" for goal in (0.72, 0.75)]
    return f"1 - AUC falls with patients to the power {slope:.3f}; extrapolated, patients needed: {', '.join(needed)}"


def pointing_game(
    network: Classifier, features: NDArray[np.float32], frame: pd.DataFrame, films: pd.DataFrame, config: Config
) -> pd.DataFrame:
    """Where the activation map of a regression on all images lies on these films, a row each: MEASURES and their chance."""
    scaler, model = _probe(features, (frame["label"] == "malignant").to_numpy())
    weights = torch.from_numpy((model.coef_[0] / scaler.scale_).astype(np.float32))
    cache = PreparedCache(cache_root(), config.preprocessing)
    found: list[dict[str, object]] = []
    maps: list[torch.Tensor] = []
    handle = network.backbone.global_pool.register_forward_pre_hook(lambda module, inputs: maps.append(inputs[0]))
    try:
        for row in films.to_dict("records"):
            image = cache.get(str(row["path"]))
            lesion = lesion_mask(row, image.matrix, image.original_shape, config.preprocessing.shape)
            breast = breast_mask(image.pixels, config.preprocessing)
            if not (lesion & breast).any():
                continue
            with evaluating(network), torch.inference_mode():
                network.forward_features(as_input(image.pixels[None]))
                positive = torch.einsum("nchw,c->nhw", maps.pop(), weights).relu()[:, None]
                large = torch.nn.functional.interpolate(positive, config.preprocessing.shape, mode="bilinear")[0, 0].numpy()
            if large.max() > 0:
                measured = localisation(large, lesion, breast, TOLERANCE * max(config.preprocessing.shape))
                found.append({**measured, "path": row["path"], "patient_id": row["patient_id"]})
    finally:
        handle.remove()
    return pd.DataFrame(found)


def _words(table: pd.DataFrame, *, chance: bool = True) -> str:
    """Means with the limits of 95 % of resamples of patients."""
    rng = np.random.default_rng(SEED)
    groups = [rows[MEASURES] for _, rows in table.groupby("patient_id")]
    drawn = [pd.concat([groups[place] for place in rng.integers(len(groups), size=len(groups))]).mean() for _ in range(1000)]
    low, high = pd.DataFrame(drawn).quantile([0.025, 0.975]).to_numpy()
    parts = []
    for place, name in enumerate(MEASURES):
        beside = f" (chance {table[f'{name}:chance'].mean():.3f})" if chance else ""
        parts.append(f"{name} {table[name].mean():.3f} [{low[place]:.3f}, {high[place]:.3f}]{beside}")
    return f"{len(table)} films of {len(groups)} patients: " + "; ".join(parts)
