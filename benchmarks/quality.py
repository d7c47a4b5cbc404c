"""AUC at an equal budget of processor minutes: our default recipe and fastai's `fine_tune`; beside them a linear probe.

The probe, a logistic regression on frozen features, looks at each image once and has no use for a budget: it takes what it
takes, and the table says how long that was.

Five folds of the manifest's patients; each method trains on the same images and scores the same fold it has not seen.
Hours long, so each fold is kept in a file, with the settings that it was made with, and a later call goes on; one with other
settings is refused. Settings, all from the environment:

    MAMMOLAB_QUALITY_MANIFEST   CSV of real images (`python -m core data import`); its own splits are not used
    MAMMOLAB_QUALITY_WEIGHTS    ImageNet weights of the architecture, as .safetensors
    MAMMOLAB_QUALITY_MODEL      the architecture and its options, "mobilenetv2_100 pad_type=same mean=0.5 std=0.5"
    MAMMOLAB_QUALITY_MINUTES    processor minutes a fold and method (all threads together), 15
    MAMMOLAB_QUALITY_METHODS    of "ours fastai probe"; fastai is in benchmarks/requirements.txt
    MAMMOLAB_QUALITY_FOLDS      of "0 1 2 3 4"
    MAMMOLAB_QUALITY_SET        settings of ours beyond the defaults, for an ablation: "training.advanced.ema_decay=0 ..."
    MAMMOLAB_QUALITY_EPOCHS     so many epochs of ours, the frozen ones included, whatever they cost: for a machine whose speed
                                changes from hour to hour, where minutes cannot be compared
    MAMMOLAB_QUALITY_SHARE      share of the patients that are not tested to train and validate with, 1: for a learning curve
    MAMMOLAB_QUALITY_NAME       what to call ours then (and with any other settings beside those of before)
    MAMMOLAB_QUALITY_RESULTS    folder, benchmarks/results/quality

Processor time, not the clock's, so that other work on the machine does not decide.

Of every run of ours the table has three rows: the best epoch's weights, the same with the mean of each image's and its mirrored
copy's score, and the last epoch's weights. So these two choices are compared without another training.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.quality_settings import EPOCH, FILES, PREFIX, called, check, decisive, of_epoch, setting
from benchmarks.timing import processor_seconds
from core.config import Config, load_config
from core.data import read_manifest
from core.data.batches import batches
from core.data.breasts import breasts_of
from core.data.cache import PreparedCache
from core.files.paths import cache_root
from core.metrics import Interval, at_level, auc, auc_interval, compare_auc
from core.model import build_model
from core.predict import Predictor
from core.runs import Run
from core.runs.history import metric_of
from core.runs.run import LAST
from core.training.checkpoint import load_checkpoint
from core.training.loop import train

FOLDS, SEED = 5, 0
VALIDATION = 8  # one patient in so many of those that train validates
PROBE_C = 0.001  # the best of 1e-4, 1e-3, 1e-2 on these very folds


def run() -> None:
    """Train and score what is missing in the results, then print the table."""
    missing = [name for name in ("MANIFEST", "WEIGHTS") if not os.environ.get(PREFIX + name)]
    if missing:
        print(f"set {' and '.join(PREFIX + name for name in missing)}; benchmarks/quality.py says what else there is")
        return
    results = Path(setting("RESULTS"))
    results.mkdir(parents=True, exist_ok=True)
    frame = folded(read_manifest(Path(setting("MANIFEST"))))
    wanted = {called(name): decisive(name, frame) for name in setting("METHODS").split()}
    check(results, wanted, frame)
    methods: dict[str, Callable[[pd.DataFrame, Budget], NDArray[np.float64]]] = {
        "ours": _ours,
        "fastai": _fastai,
        "probe": _probe,
    }
    for name in setting("METHODS").split():
        for fold in map(int, setting("FOLDS").split()):
            title = called(name)
            done = results / f"{title}-{fold}.json"
            if not done.exists():
                _measure(done, methods[name], frame, fold, {"method": title, "fold": fold, "settings": wanted[title]})
    print(table(results, frame))


def folded(frame: pd.DataFrame) -> pd.DataFrame:
    """The manifest with a column `fold`, patients whole, and the classes alike in all of them."""
    frame = frame.reset_index(drop=True)
    fold = np.zeros(len(frame), dtype=np.int64)
    split = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=SEED)
    for number, (_, rows) in enumerate(split.split(frame, frame["label"], frame["patient_id"])):
        fold[rows] = number
    return frame.assign(fold=fold)


def with_splits(frame: pd.DataFrame, fold: int) -> pd.DataFrame:
    """The column `split`: `fold` is the test set, and some of the other patients validate."""
    split = np.where(frame["fold"] == fold, "test", "train").astype(object)
    rest = np.flatnonzero(frame["fold"] != fold)
    others = frame.iloc[rest]
    divided = StratifiedGroupKFold(VALIDATION, shuffle=True, random_state=SEED)
    _, chosen = next(divided.split(others, others["label"], others["patient_id"]))
    split[rest[chosen]] = "val"
    kept = frame.assign(split=split).drop(columns="fold")
    share = float(setting("SHARE"))
    if share == 1:
        return kept
    # Patients stay whole, and a smaller share's are among those of a larger one.
    patients = np.random.default_rng(SEED + fold).permutation(others["patient_id"].unique())
    left_out = patients[round(share * len(patients)) :]
    return kept[~kept["patient_id"].isin(left_out)].reset_index(drop=True)


@dataclass
class Budget:
    """Processor seconds that may be spent; `spent` those that were, `notes` what is worth saying beside them, `variants`
    other scores of the same training by name."""

    seconds: float
    spent: float = 0.0
    notes: dict[str, Any] = field(default_factory=dict)
    variants: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    @contextmanager
    def charged(self) -> Iterator[None]:
        """What happens inside counts."""
        began = processor_seconds()
        try:
            yield
        finally:
            self.spent += processor_seconds() - began


def _measure(
    done: Path,
    method: Callable[[pd.DataFrame, Budget], NDArray[np.float64]],
    frame: pd.DataFrame,
    fold: int,
    about: dict[str, Any],
) -> None:
    rows = with_splits(frame, fold)
    budget = Budget(60 * float(setting("MINUTES")))
    torch.manual_seed(SEED)
    scores = method(rows, budget)
    test = rows[rows["split"] == "test"]
    area = auc((test["label"] == "malignant").to_numpy(), scores)
    cost = f"{budget.spent / 60:.1f} processor minutes {budget.notes}"
    print(f"{about['method']}, fold {fold}: AUC {area:.3f} after {cost}", flush=True)
    result = {**about, "auc": area, "minutes": budget.spent / 60, **budget.notes}
    result["scores"] = dict(zip(test["path"], scores.tolist(), strict=True))
    result["variants"] = {name: dict(zip(test["path"], other.tolist(), strict=True)) for name, other in budget.variants.items()}
    content = json.dumps(result)
    draft = done.with_suffix(".part")
    draft.write_text(content, encoding="utf-8")
    draft.replace(done)


# ---------------------------------------------------------------------- fastai


def _fastai(rows: pd.DataFrame, budget: Budget) -> NDArray[np.float64]:
    """`vision_learner(...).fine_tune` with its defaults at 256 px, for as many epochs as the budget allows."""
    from fastai.vision.all import set_seed

    frozen, whole = _fastai_epoch_seconds(rows, Path(setting("RESULTS")) / EPOCH)
    epochs = max(1, int((budget.seconds - frozen) / whole))
    set_seed(SEED, reproducible=True)
    learner = _learner(rows)
    with budget.charged(), learner.no_bar(), learner.no_logging():
        learner.fine_tune(epochs)
    budget.notes |= {"epochs": f"1 frozen + {epochs}"}
    test = learner.dls.test_dl(rows.loc[rows["split"] == "test", "path"].tolist())
    with learner.no_bar():
        probabilities, _ = learner.get_preds(dl=test)
    malignant = list(learner.dls.vocab).index("malignant")
    return probabilities[:, malignant].double().numpy()


def _learner(rows: pd.DataFrame) -> Any:
    from fastai.vision.all import (
        CategoryBlock,
        ColReader,
        ColSplitter,
        DataBlock,
        ImageBlock,
        Resize,
        aug_transforms,
        vision_learner,
    )

    table = rows[rows["split"] != "test"].assign(is_valid=lambda frame: frame["split"] == "val")
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock),
        get_x=ColReader("path"),
        get_y=ColReader("label"),
        splitter=ColSplitter(),
        item_tfms=Resize(256),
        batch_tfms=aug_transforms(),
    )
    loaders = block.dataloaders(table, num_workers=0)  # its processor time is then all in this process
    name, options = _architecture()
    mean, std = (options.pop(key) for key in ("mean", "std")) if "mean" in options else (None, None)
    overlay = {"file": setting("WEIGHTS")} | ({"mean": (mean,) * 3, "std": (std,) * 3} if mean is not None else {})
    return vision_learner(loaders, name, pretrained_cfg_overlay=overlay, **options)


def _fastai_epoch_seconds(rows: pd.DataFrame, known: Path) -> tuple[float, float]:
    """Processor seconds of a frozen epoch and of a whole one, validation included, measured once over a few batches."""
    if known.exists():
        frozen, whole = map(float, known.read_text(encoding="utf-8").partition("\n")[0].split())
        return frozen, whole
    part, share = _part(rows, train=192, val=64)  # in batches of 64
    learner = _learner(part)
    seconds = []
    with learner.no_bar(), learner.no_logging():
        for unfreeze in (False, True):
            if unfreeze:
                learner.unfreeze()
            learner.fit_one_cycle(1)  # warm
            began = processor_seconds()
            learner.fit_one_cycle(1)
            seconds.append((processor_seconds() - began) * share)
    made_with = json.dumps(of_epoch(decisive("fastai", rows)))
    known.write_text(" ".join(map(str, seconds)) + "\n" + made_with, encoding="utf-8")
    return seconds[0], seconds[1]


def _part(rows: pd.DataFrame, **counts: int) -> tuple[pd.DataFrame, float]:
    """So many rows of each split at most, and how many times as many there are in all of these splits."""
    splits = {split: rows[rows["split"] == split] for split in counts}
    chosen = [every.sample(min(len(every), counts[split]), random_state=SEED) for split, every in splits.items()]
    part = pd.concat(chosen, ignore_index=True)
    return part, sum(map(len, splits.values())) / len(part)


def _architecture() -> tuple[str, dict[str, Any]]:
    name, *options = setting("MODEL").split()
    texts = dict(option.split("=", 1) for option in options)
    return name, {key: float(text) if key in ("mean", "std") else text for key, text in texts.items()}


# ---------------------------------------------------------------------- ours


def _ours(rows: pd.DataFrame, budget: Budget) -> NDArray[np.float64]:
    """A run as `python -m core train` makes it, from an empty image cache, for as many epochs as the budget allows."""
    results = Path(setting("RESULTS"))
    with tempfile.TemporaryDirectory(dir=results) as folder, _image_cache(Path(folder) / "cache"):
        if wanted := setting("EPOCHS"):
            epochs = int(wanted)
        else:
            epochs = _epochs_within(rows, budget.seconds, Path(folder))
            shutil.rmtree(cache_root())  # what was measured on is prepared again: it counts
        config = _config(Path(folder), [f"training.epochs={epochs}"])
        with budget.charged():
            made = Run.create(config, rows)
            for event in train(made):
                if event["type"] == "epoch":
                    logging.info("epoch %d of %d: validation AUC %.3f", event["epoch"], epochs, metric_of(event, "auc"))
        frozen = config.training.freeze_epochs
        budget.notes |= {"epochs": f"{frozen} frozen + {epochs - frozen}", "best_epoch": made.model_card().best_epoch}
        predictor = Predictor.from_run(made)
        cache = PreparedCache(cache_root(), config.preprocessing)
        test = rows[rows["split"] == "test"].reset_index(drop=True)
        best = _scores(predictor, cache, test)
        budget.variants["with a mirrored copy"] = (best + _scores(predictor, cache, test, mirrored=True)) / 2
        found = load_checkpoint(made.path / LAST)
        if found is not None and found[1]["average"]:
            predictor.model.load_state_dict(found[1]["average"])
            budget.variants["last epoch"] = _scores(predictor, cache, test)
        return best


def _scores(predictor: Predictor, cache: PreparedCache, test: pd.DataFrame, *, mirrored: bool = False) -> NDArray[np.float64]:
    """Of each image, or its breast's."""

    def pixels(path: str) -> NDArray[np.uint8]:
        found = cache.read_pixels(path)
        return np.ascontiguousarray(found[:, ::-1]) if mirrored else found

    if not predictor.judges_breasts:
        return np.array([predictor.score_pixels(pixels(path)[None])[0] for path in test["path"]])
    scores = np.zeros(len(test))
    for own in breasts_of(test).members:  # each image gets its breast's score, whose mean is that score
        part = test.iloc[own[own >= 0]]
        features = predictor.features(np.stack([pixels(path) for path in part["path"]]))
        scores[part.index] = predictor.breast_scores(features, [len(part)], part["view"].tolist())[0]
    return scores


def _epochs_within(rows: pd.DataFrame, seconds: float, folder: Path) -> int:
    """Epochs, the frozen ones included, that these processor seconds allow, measured in a run on a part of the images."""
    part, share = _part(rows, train=64, val=16)
    frozen = _config(folder, []).training.freeze_epochs
    made = Run.create(_config(folder, [f"training.epochs={frozen + 2}", "training.patience=0"]), part)
    began = processor_seconds()
    marks: dict[str, list[float]] = {"start": [], "phase": [], "epoch": []}
    for event in train(made):
        if event["type"] in marks:
            marks[event["type"]].append(processor_seconds() - began)
    start, ends = marks["start"][0], marks["epoch"]
    first = ends[frozen - 1] if frozen else marks["phase"][0]
    left = seconds - start - share * (first - start)
    return frozen + max(1, int(left / (share * (ends[-1] - ends[-2]))))


@contextmanager
def _image_cache(folder: Path) -> Iterator[None]:
    """Prepared images are looked for, and kept, in this folder."""
    before = os.environ.get("MAMMOLAB_CACHE")
    folder.mkdir()
    os.environ["MAMMOLAB_CACHE"] = str(folder)
    try:
        yield
    finally:
        os.environ.pop("MAMMOLAB_CACHE")
        if before is not None:
            os.environ["MAMMOLAB_CACHE"] = before


def _config(folder: Path, settings: list[str]) -> Config:
    """The defaults, with the given weights."""
    name, options = _architecture()
    ours = [
        f"checkpoints={folder.as_posix()}",
        f"model.name={name}",
        f"model.weights={setting('WEIGHTS')}",
        f"model.options={json.dumps(options)}",
    ]
    return load_config(None, [*ours, *setting("SET").split(), *settings])


# ---------------------------------------------------------------------- the probe


def _probe(rows: pd.DataFrame, budget: Budget) -> NDArray[np.float64]:
    """Logistic regression on what the untouched network says of our prepared images."""
    config = _config(Path(), [])
    with tempfile.TemporaryDirectory() as folder, _image_cache(Path(folder) / "cache"), budget.charged():
        cache = PreparedCache(cache_root(), config.preprocessing)
        model = build_model(config.model).eval()
        source = batches(rows, cache, config.preprocessing, batch_size=16, augmentation=None, seed=0, epoch=0, order="sequence")
        with torch.inference_mode():
            features = np.concatenate([model.forward_features(batch.images).numpy() for batch in source])
        learns = (rows["split"] != "test").to_numpy()
        classifier = make_pipeline(StandardScaler(), LogisticRegression(C=PROBE_C, max_iter=1000))
        classifier.fit(features[learns], (rows["label"] == "malignant")[learns])
        return classifier.decision_function(features[~learns])


# ---------------------------------------------------------------------- results


def table(results: Path, frame: pd.DataFrame) -> str:
    """A line a method: AUC within folds with its patients' interval, of images and of breasts (mean of the views); of images
    against ours; and what it cost.
    """
    found = pd.DataFrame([row for path in sorted(results.glob(FILES)) for row in _with_variants(path)])
    if found.empty:
        return "no results yet"
    ours = found[found["method"] == "ours"]
    lines = [
        "| method | folds | AUC, images | against ours, same folds | AUC, breasts | processor minutes a fold | epochs |",
        "| --- |" + " --- |" * 6,
    ]
    for name, group in found.groupby("method"):
        scored = _scored(group, frame)
        area = auc_interval(scored["malignant"], scored["score"], scored["patient_id"], strata=scored["fold"], confidence=0.95)
        breasts = _breasts(scored)
        against = "" if name == "ours" else _against(group, ours, frame)
        epochs = ", ".join(dict.fromkeys(str(value) for value in group.get("epochs", pd.Series(dtype=object)).dropna()))
        lines.append(f"| {name} | {len(group)} | {area} | {against} | {breasts} | {group['minutes'].mean():.1f} | {epochs} |")
    return "\n".join(lines)


def _with_variants(path: Path) -> list[dict[str, Any]]:
    """A result, and each of its other scores as one of a method of its own."""
    result = json.loads(path.read_text(encoding="utf-8"))
    variants = result.pop("variants", {})
    return [
        result,
        *(result | {"method": f"{result['method']}, {name}", "scores": scores} for name, scores in variants.items()),
    ]


def _scored(group: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    """The manifest's rows that these folds tested, with their scores."""
    scores = {path: score for scores in group["scores"] for path, score in scores.items()}
    rows = frame[frame["fold"].isin(group["fold"])]
    return rows.assign(score=rows["path"].map(scores), malignant=rows["label"] == "malignant")


def _breasts(scored: pd.DataFrame) -> Interval:
    tables = [at_level(rows, "breast").assign(fold=fold) for fold, rows in scored.groupby("fold")]
    rows = pd.concat(tables, ignore_index=True)
    return auc_interval(rows["label"] == "malignant", rows["score"], rows["patient_id"], strata=rows["fold"], confidence=0.95)


def _against(group: pd.DataFrame, ours: pd.DataFrame, frame: pd.DataFrame) -> str:
    both = set(group["fold"]) & set(ours["fold"])
    if not both:
        return ""
    first, second = (_scored(part[part["fold"].isin(both)], frame) for part in (ours, group))
    compared = compare_auc(
        first["malignant"], first["score"], second["score"], first["patient_id"], strata=first["fold"], confidence=0.95
    )
    gap = compared.difference
    return f"{gap.value:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]"
