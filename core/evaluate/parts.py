"""What an evaluation is made of, from scores: predictions with metadata, and every metric of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from core.config.schema import EvaluationConfig
from core.data.breasts import breast_rows
from core.data.identity import patients_known
from core.errors import BadRun
from core.evaluate.fitted import saved_predictions
from core.evaluate.further import FurtherColumn
from core.evaluate.metadata import metadata
from core.evaluate.notes import in_images
from core.evaluate.result import COLUMNS
from core.evaluate.scoring import Scored, training_facts, training_metadata
from core.evaluate.store import read_facts, read_predictions
from core.evaluate.summaries import (
    calibration_of,
    decision_of,
    levels_of,
    omnibus_of,
    shortcuts_of,
    subgroups_of,
    uncertainty_of,
)
from core.metrics import Level
from core.metrics.levels import PATHS, unit_of
from core.metrics.operating_points import DECIMALS
from core.model.card import ModelCard

if TYPE_CHECKING:
    from core.data.cache import PreparedCache
    from core.predict import Predictor
    from core.runs import Run


def training_images(
    run: Run,
    split: str,
    manifest: pd.DataFrame,
    further: tuple[FurtherColumn, ...],
    cache: Callable[[], PreparedCache],
    tick: Callable[[], None] | None = None,
) -> tuple[pd.DataFrame | None, dict[Any, dict[str, str]]]:
    """What the shortcut audit learns from (None where too little is known of the training images), and what was read from
    their files just now, to be stored with the run."""
    if split == "train" or (split == "val" and not (manifest["split"] == "train").any()):  # of an ensemble they are the same
        return None, {}
    stored = read_facts(run, manifest)
    facts = training_facts(manifest, cache(), tick) if stored is None else stored
    views = 2 if run.model_card().scored == "breast" else 1
    training = training_metadata(manifest, facts, [each.name for each in further if each.read], views)
    return training, facts if stored is None and training is not None else {}


def current_card(run: Run, predictor: Predictor) -> ModelCard:
    """model.json as it is now: thresholds may have been chosen again since the model was loaded. Not if it has trained on."""
    now = run.model_card()
    return now if now.weights_sha256 == predictor.card.weights_sha256 else predictor.card


def metadata_columns(predictions: pd.DataFrame) -> tuple[str, ...]:
    return tuple(name for name in predictions.columns if name not in (*COLUMNS, "calibrated", PATHS))


def predictions_of(rows: pd.DataFrame, scored: Scored, card: ModelCard, further: tuple[FurtherColumn, ...]) -> pd.DataFrame:
    """COLUMNS, the calibrated score (where the model is calibrated), then the metadata. A row an image; or of a model that
    judges breasts a row a breast, with the `paths` of the images that took part."""
    if card.scored == "breast":
        rows = breast_rows(rows.loc[[image for images in scored.members.values() for image in images]])
        frame = rows.loc[list(scored.scores), [*COLUMNS[:-1], PATHS]].astype("str")
    else:
        frame = rows.loc[list(scored.scores), list(COLUMNS[:-1])].astype("str")
    frame["score"] = np.round(list(scored.scores.values()), DECIMALS)
    calibration = card.image_calibration
    if calibration.method != "none":
        frame["calibrated"] = [f"{value:.{DECIMALS}f}" for value in calibration.apply(frame["score"])]
    known = metadata(rows, scored.facts, [each.name for each in further if each.read])
    return frame.join(known[[name for name in known.columns if name not in frame.columns]]).reset_index(drop=True)


def parts_of(
    run: Run,
    split: str,
    predictions: pd.DataFrame,
    training: pd.DataFrame | None,
    card: ModelCard,
    further: tuple[FurtherColumn, ...],
    settings: EvaluationConfig,
) -> dict[str, Any]:
    on_validation = split == "val"
    saved = saved_predictions(run, card)
    validation = saved if saved is not None else predictions if on_validation else _validation(run)
    unit = unit_of(predictions)
    others: tuple[Level, ...] = ("breast", "patient")
    views = card.image_thresholds
    applied = views.of_rows(predictions)
    parts = {
        "levels": levels_of(predictions, card.level_thresholds, settings, views),
        "view_thresholds": dict(views.views),
        "calibration": calibration_of(
            predictions,
            card,
            validation,
            settings,
            on_validation=on_validation,
            level=unit,
        ),
        "calibrations": {
            level: calibration_of(predictions, card, validation, settings, on_validation=on_validation, level=level)
            for level in others
        },
        "decisions": {level: decision_of(predictions, card, settings, level=level, validation=validation) for level in others},
        "uncertainty": {} if on_validation else uncertainty_of(predictions, card, validation, card.rule, settings),
        "subgroups": subgroups_of(predictions, applied, settings),
        "omnibus": omnibus_of(predictions, applied, settings),
        "equivalence_margin": settings.equivalence_margin,
        "shortcuts": shortcuts_of(predictions, training, further, settings),
        "further": further,
        "decision": decision_of(predictions, card, settings, level=unit, validation=validation),
    }
    return parts if patients_known(predictions) else in_images(parts)


def _validation(run: Run) -> pd.DataFrame | str:
    try:
        return read_predictions(run, "val")
    except BadRun:
        return f"there are no validation scores to fit it on: `python -m core evaluate {run.name} --split val`"
