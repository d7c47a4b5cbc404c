"""Evaluate a split: score it, tell everything about it, write it down and count it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from core.config.schema import EvaluationConfig
from core.data import is_synthetic
from core.data.identity import patients_known
from core.errors import BadRun, NotEnoughData
from core.evaluate.baselines import for_rows
from core.evaluate.fitted import keep_fitted, saved_predictions
from core.evaluate.further import FurtherColumn, further_columns
from core.evaluate.metadata import completed, metadata
from core.evaluate.notes import in_images
from core.evaluate.result import COLUMNS, VERSION, Evaluation, EvaluationRecord, Refreeze
from core.evaluate.scoring import (
    Progress,
    Scored,
    default_cache,
    predictor_of,
    rows_of,
    score,
    training_facts,
    training_metadata,
)
from core.evaluate.store import lock, read_evaluation, read_facts, read_predictions, write_evaluation, write_facts
from core.evaluate.summaries import (
    calibration_of,
    decision_of,
    levels_of,
    omnibus_of,
    shortcuts_of,
    subgroups_of,
    uncertainty_of,
)
from core.evaluate.thresholds import complete
from core.files.typed import from_plain
from core.metrics import Level
from core.metrics.operating_points import DECIMALS
from core.model.card import ModelCard
from core.runs.folder import Presence, require_regular
from core.runs.test_set.access_log import now as time_now
from core.runs.test_set.access_log import record_for_run
from core.runs.test_set.accesses import SCORED
from core.runs.test_set.provenance import EVALUATION, read_entries

if TYPE_CHECKING:
    from core.data.cache import PreparedCache
    from core.predict import Predictor
    from core.runs import Run

log = logging.getLogger(__name__)


def evaluate(
    run: Run,
    split: str = "test",
    *,
    progress: Progress | None = None,
    predictor: Predictor | None = None,
    cache: PreparedCache | None = None,
    settings: EvaluationConfig | None = None,
    where: str = "evaluate",
) -> Evaluation:
    """Score every image of a split of the run's manifest and write predictions/<split>.csv and evaluation.json.

    Images that cannot be read, whose file is no longer the one that was split, or that get no verdict (see core.gate) are left
    out and listed with their reasons. A run of an earlier
    version gets the thresholds and the calibration that it lacks when its validation split is evaluated, and only then.

    Args:
        split: train, val or test. EvaluationRecord test is counted.
        progress: called with (images done, images of the split).
        predictor: the run's loaded model, where the caller has it; else it is loaded.
        cache: of prepared images; by default the one in the user's cache folder.
        settings: how many resamples, which confidence; by default the run's. What is frozen does not follow them.
        where: the page or command, for the record of accesses to the test set.

    Raises:
        Leakage: a patient, or an identical file, stands in two splits: the metrics would be worthless.
        BadManifest: no such split.
        NotEnoughData: the split has no image, or none that can be read.
        BadRun: the run has no model, or `predictor` is another run's; test is asked for while the run is being trained; the run
            was deleted, or moved elsewhere, meanwhile (another name in the same folder is followed); its folder has entries
            that lead elsewhere.
        NotRecorded: the access to the test set cannot be written down.
    """
    require_regular(run.path)
    presence = Presence(run.path)
    rows = rows_of(run, split)
    if split == "test" and run.status().live:
        raise BadRun(
            f"{run.name}: it is still being trained. A test set evaluated now would be evaluated for weights and a threshold "
            "that may yet change. Wait until it has ended or stop it, or evaluate val."
        )
    predictor = predictor_of(run, predictor)
    settings = settings or run.config().evaluation
    cache = default_cache(predictor.recipe) if cache is None else cache
    _fit_gate(run, predictor, cache, progress)
    scored = score(rows, predictor, cache, progress)
    run = _now(run, presence)
    _require_scores(scored, split, len(rows))
    card = _card(run, predictor)
    manifest = run.manifest().reset_index(drop=True)
    further = further_columns(manifest, settings)
    predictions = _predictions(rows, scored, card, further)
    if split == "val":
        keep_fitted(run, card)
        card = complete(run, card, predictions, settings)
        predictions = _predictions(rows, scored, card, further)
    tick = None if progress is None else lambda: progress(len(rows), len(rows))
    training, unsaved = _training_images(run, split, manifest, further, lambda: cache, tick)
    presence.require()
    parts = _parts(run, split, predictions, training, card, further, settings)
    run = _now(run, presence)  # a moment ago it may have been renamed; while the lock is held it cannot be
    with lock(run):
        presence.require()
        if unsaved:
            write_facts(run.path, manifest, unsaved)
        evaluation = _counted(run, split, rows, scored, predictions, card, parts)
        if split == "test":
            # Recorded first: metrics of an access that nobody recorded must not exist.
            record_for_run(run.path, SCORED, where, evaluation.images, when=evaluation.last_evaluated)
        write_evaluation(run.path, evaluation)
    left_out = len(scored.excluded)
    log.info("%s: %s evaluated (%d times), %d images left out", run.name, split, evaluation.evaluations, left_out)
    return evaluation


def _require_scores(scored: Scored, split: str, images: int) -> None:
    if not scored.scores:
        first = scored.excluded[0]
        raise NotEnoughData(
            f"{split}: none of its {images} images can be scored; the first, {first.path}: {first.reason}. "
            "Check the manifest with `python -m core data check`."
        )


def _counted(
    run: Run,
    split: str,
    rows: pd.DataFrame,
    scored: Scored,
    predictions: pd.DataFrame,
    card: ModelCard,
    parts: dict[str, Any],
) -> Evaluation:
    """The evaluation with what the run's folder says of earlier ones; while its lock is held."""
    before = read_entries(run.path).get(split) or {}
    history, refrozen = _earlier(run, split, before)
    now, weights = time_now(), card.weights_sha256
    return Evaluation(
        run=run.name,
        split=split,
        predictions=predictions,
        excluded=tuple(scored.excluded),
        evaluations=int(before.get("opened", 0)) + 1,
        last_evaluated=now,
        target_sensitivity=card.target_sensitivity,
        synthetic=card.synthetic or is_synthetic(rows),
        weights_sha256=weights,
        rule=card.rule if card.threshold_rule else None,
        history=(*history, EvaluationRecord(now, card.required_threshold(), weights, card.image_thresholds.own)),
        refrozen=refrozen,
        columns=_metadata_columns(predictions),
        baselines=for_rows(rows) if split == "test" else "evaluate the test set to compare with published results",
        folder=run.path,
        **parts,
    )


def _now(run: Run, presence: Presence) -> Run:
    """The run under the name that it has by now: scores took minutes, and are not lost for another name. Raises BadRun."""
    from core.runs.run import Run

    folder = presence.follow()
    return run if folder == run.path else Run(folder)


def remake(run: Run, split: str = "test", *, settings: EvaluationConfig | None = None) -> Evaluation:
    """Make every metric of a stored evaluation again from its predictions: nothing is scored, and no test set is accessed.

    For an evaluation of an earlier version, or other settings. Besides predictions/*.csv it takes columns of the run's
    manifest that these lack, and what the training images' files tell, which the run keeps since its first evaluation; only
    where it does not are these files read.

    Raises:
        BadRun: there is no evaluation, or the model or its threshold has changed since; the folder is damaged.
    """
    require_regular(run.path)
    presence = Presence(run.path)
    found = read_evaluation(run, split)
    if found is None:
        raise BadRun(f"{run.name}: not evaluated yet. First: `python -m core evaluate {run.name} --split {split}`")
    card = run.model_card()
    if why := found.outdated(card):
        raise BadRun(
            f"{run.name}: {why} Its predictions are of the earlier one: score it again with "
            f"`python -m core evaluate {run.name} --split {split}`."
        )
    config = run.config()
    settings = settings or config.evaluation
    manifest = run.manifest().reset_index(drop=True)
    further = further_columns(manifest, settings)
    cache = partial(default_cache, config.preprocessing)
    training, unsaved = _training_images(run, split, manifest, further, cache)
    predictions = completed(found.predictions, manifest, [each.name for each in further if each.read])
    parts = _parts(run, split, predictions, training, card, further, settings)
    evaluation = replace(found, version=VERSION, predictions=predictions, columns=_metadata_columns(predictions), **parts)
    with lock(run):
        presence.require()
        if unsaved:
            write_facts(run.path, manifest, unsaved)
        write_evaluation(run.path, evaluation)
    return evaluation


def _training_images(
    run: Run,
    split: str,
    manifest: pd.DataFrame,
    further: tuple[FurtherColumn, ...],
    cache: Callable[[], PreparedCache],
    tick: Callable[[], None] | None = None,
) -> tuple[pd.DataFrame | None, dict[Any, dict[str, str]]]:
    """What the shortcut audit learns from (None where too little is known of the training images), and what was read from
    their files just now, to be kept in the run."""
    if split == "train":
        return None, {}
    stored = read_facts(run, manifest)
    facts = training_facts(manifest, cache(), tick) if stored is None else stored
    training = training_metadata(manifest, facts, [each.name for each in further if each.read])
    return training, facts if stored is None and training is not None else {}


def _fit_gate(run: Run, predictor: Predictor, cache: PreparedCache, progress: Progress | None) -> None:
    """Fit the gate of a run that has none for its present weights: of an earlier version, or stopped before it was fitted."""
    if not isinstance(predictor.gate, str) or run.status().live:
        return

    def report(done: int, total: int) -> None:
        if progress is not None:
            progress(0, total)  # nothing of the split is scored yet; what this raises ends the work

    try:
        predictor.fit_gate(run.path, run.manifest(), cache, report)
    except NotEnoughData as error:
        log.warning("%s: %s", run.name, error)


def _card(run: Run, predictor: Predictor) -> ModelCard:
    """model.json as it is now: thresholds may have been chosen again since the model was loaded. Not if it has trained on."""
    now = run.model_card()
    return now if now.weights_sha256 == predictor.card.weights_sha256 else predictor.card


def _metadata_columns(predictions: pd.DataFrame) -> tuple[str, ...]:
    return tuple(name for name in predictions.columns if name not in (*COLUMNS, "calibrated"))


def _predictions(rows: pd.DataFrame, scored: Scored, card: ModelCard, further: tuple[FurtherColumn, ...]) -> pd.DataFrame:
    """COLUMNS, the calibrated score (where the model is calibrated), then the metadata."""
    frame = rows.loc[list(scored.scores), list(COLUMNS[:-1])].astype("str")
    frame["score"] = np.round(list(scored.scores.values()), DECIMALS)
    calibration = card.image_calibration
    if calibration.method != "none":
        frame["calibrated"] = [f"{value:.{DECIMALS}f}" for value in calibration.apply(frame["score"])]
    known = metadata(rows, scored.facts, [each.name for each in further if each.read])
    return frame.join(known[[name for name in known.columns if name not in frame.columns]]).reset_index(drop=True)


def _parts(
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
        "decision": decision_of(predictions, card, settings),
    }
    return parts if patients_known(predictions) else in_images(parts)


def _validation(run: Run) -> pd.DataFrame | str:
    try:
        return read_predictions(run, "val")
    except BadRun:
        return f"there are no validation scores to fit it on: `python -m core evaluate {run.name} --split val`"


def _earlier(run: Run, split: str, before: dict[str, Any]) -> tuple[tuple[EvaluationRecord, ...], tuple[Refreeze, ...]]:
    """What is written down of this split's earlier evaluations and choices of a threshold: nothing of it may be lost."""
    try:
        return _known(before), tuple(from_plain(Refreeze, item) for item in before.get("refrozen", ()))
    except (LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise BadRun(
            f"{run.path / EVALUATION}: damaged: what it says of earlier looks at {split} cannot be read ({error}). Restore it "
            "from a copy, or move it away and say in your report that the count was lost."
        ) from error


def _known(before: dict[str, Any]) -> tuple[EvaluationRecord, ...]:
    """The evaluations that are written down; an earlier version only counted them and kept the last."""
    if "history" in before:
        return tuple(from_plain(EvaluationRecord, item) for item in before["history"])
    if "last_opened" not in before:
        return ()
    return (EvaluationRecord(before["last_opened"], float(before["threshold"]), str(before["weights_sha256"])),)
