"""Validation of a model on the whole validation set, and saving it with what was found there.

Scores are computed in full precision whatever the training's, as a prediction will be, so that the threshold chosen here
means the same there.
"""

from __future__ import annotations

import io
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from core import metrics
from core.config import Config
from core.data import is_synthetic
from core.data.batches import batches
from core.data.breasts import breast_rows
from core.errors import TrainingFailed
from core.files.folders import write_text
from core.metrics.chance import chance_of_scores
from core.metrics.levels import PATHS
from core.metrics.operating_points import DECIMALS
from core.model import Classifier, ModelCard, save_model
from core.model.card import ValidationMetrics
from core.model.classifier import evaluating
from core.training.distributed import World
from core.training.failures import diverged
from core.training.head_features import Features
from core.training.image_preparation import Rows
from core.training.losses import Loss, class_weights

_COLUMNS = ["path", "patient_id", "laterality", "view", "label", "split"]


@dataclass(frozen=True)
class Validation:
    """`scores` of the samples (images, or breasts), float64 (N,) with six decimals, as in predictions/val.csv; `metrics` by
    name, `loss` among them."""

    scores: NDArray[np.float64]
    metrics: dict[str, float]
    threshold: float


def validate(
    model: Classifier,
    rows: Rows,
    config: Config,
    device: torch.device,
    *,
    world: World | None = None,
    features: Features | None = None,
) -> Validation:
    """Score the validation set; the model is back in its mode afterwards.

    The loss counts both classes the same where the training loss does, so the two can be compared. Each process of `world`
    scores its share, and every one gets the whole. With `features` only the head has to compute.

    Raises:
        TrainingFailed: the model answers NaN.
    """
    if features is None:
        logits = _logits(model, rows, config.training.batch_size, device, world or World())
    else:
        logits = _head_logits(model, features, rows)
    if not np.isfinite(logits).all():
        raise TrainingFailed(diverged(config.training.precision))
    labels = rows.val_labels.astype(np.float64)
    balanced = config.training.imbalance != "none"
    loss = Loss.of(config.training, class_weights(labels.sum(), labels.size) if balanced else (1.0, 1.0))
    losses = loss(torch.from_numpy(logits), torch.from_numpy(labels), smooth=False)
    scores = np.asarray(np.round(np.exp(-np.logaddexp(0.0, -logits)), DECIMALS), dtype=np.float64)
    found = {"loss": float(losses.mean()), **score_metrics(labels, scores)}
    threshold = metrics.with_room(metrics.rule_of(config.evaluation).choose(labels, scores))
    return Validation(scores, found, threshold)


def score_metrics(labels: NDArray[np.float64], scores: NDArray[np.float64]) -> dict[str, float]:
    """What model.json says of validation scores (N,) beside their loss; `labels` (N,) are 1 for malignant, else 0."""
    half = metrics.at_threshold(labels, scores, 0.5)
    return {
        "auc": metrics.auc(labels, scores),
        "partial_auc": metrics.partial_auc(labels, scores),
        "average_precision": metrics.average_precision(labels, scores),
        "sensitivity_at_90_specificity": metrics.sensitivity_at_specificity(labels, scores, 0.90),
        "specificity_at_90_sensitivity": metrics.specificity_at_sensitivity(labels, scores, 0.90),
        "sensitivity": half["sensitivity"],
        "specificity": half["specificity"],
    }


def save_best_model(folder: Path, model: Classifier, config: Config, rows: Rows, result: Validation, epoch: int) -> None:
    """Save the model with its thresholds and calibration, and predictions/val.csv. `epoch` 0: before the end of the first."""
    table: pd.DataFrame = _samples(rows).assign(score=result.scores)
    frozen = metrics.freeze(table, metrics.rule_of(config.evaluation), config.evaluation.calibration)
    card = ModelCard(
        run=folder.name,
        recipe=config.preprocessing,
        recipe_hash=config.preprocessing.hash,
        model=config.model,
        starting_weights=model.starting_weights,
        best_epoch=epoch,
        validation=ValidationMetrics(**result.metrics),
        synthetic=is_synthetic(rows.train) or is_synthetic(rows.val),
        **dict(frozen)
        | {
            "chance": chance_of_scores(table["label"], table["score"], table["patient_id"]),
            "leakage": rows.leakage,
        },
    )
    save_model(folder, model, card)
    stream = io.StringIO()
    table.to_csv(stream, index=False, lineterminator="\n", float_format=f"%.{DECIMALS}f")
    (folder / "predictions").mkdir(exist_ok=True)
    write_text(folder / "predictions" / "val.csv", stream.getvalue())


def _samples(rows: Rows) -> pd.DataFrame:
    """A row for each validation image, or breast."""
    if rows.val_breasts is None:
        return rows.val[_COLUMNS]
    return breast_rows(rows.val, rows.val_breasts)[[*_COLUMNS, PATHS]]


def _head_logits(model: Classifier, features: Features, rows: Rows) -> NDArray[np.float64]:
    stored, slots, views = features.val, None, None
    if rows.val_breasts is not None:
        order, places, _ = rows.val_breasts.select(np.arange(len(rows.val_breasts)))
        device = stored.device
        stored, slots = stored[torch.from_numpy(order).to(device)], torch.from_numpy(places).to(device)
        views = torch.from_numpy(rows.val_breasts.views[order]).to(device)
    with evaluating(model), torch.inference_mode():
        return model.forward_head(stored, slots, views).cpu().double().numpy()


def _logits(model: Classifier, rows: Rows, batch_size: int, device: torch.device, world: World) -> NDArray[np.float64]:
    """float64 (N,), one a validation sample: each process's own, and 0 elsewhere, added up."""
    result = np.zeros(len(rows.val_labels), dtype=np.float64)
    source = batches(
        rows.val,
        rows.cache,
        rows.recipe,
        batch_size=batch_size,
        augmentation=None,
        seed=0,
        epoch=0,
        order="sequence",
        rank=world.rank,
        world_size=world.size,
        pin_memory=device.type == "cuda",
        breasts=rows.val_breasts,
    )
    with evaluating(model), torch.inference_mode(), closing(source):
        for batch in source:
            logits = model(batch.images.to(device, non_blocking=True), *batch.grouping(device))
            result[batch.indices.numpy()] = logits.cpu().double().numpy()
    return world.sum(torch.from_numpy(result)).numpy()
