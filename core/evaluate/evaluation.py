"""Evaluate a split: score it, tell everything about it, write it down and count it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from core.config.schema import EvaluationConfig
from core.data import is_synthetic
from core.errors import BadRun, NotEnoughData
from core.evaluate.baselines import for_rows
from core.evaluate.fitted import keep_fitted
from core.evaluate.further import further_columns
from core.evaluate.metadata import completed
from core.evaluate.parts import current_card, metadata_columns, parts_of, predictions_of, training_images
from core.evaluate.result import VERSION, Evaluation, EvaluationRecord, Refreeze
from core.evaluate.scoring import Progress, Scored, default_cache, predictor_of, rows_of, score
from core.evaluate.store import evaluate_command, lock, read_evaluation, write_evaluation, write_facts
from core.evaluate.thresholds import complete
from core.files.typed import from_plain
from core.model.card import ModelCard
from core.runs.folder import Presence, is_study, require_regular
from core.runs.test_set.access_log import now as time_now
from core.runs.test_set.access_log import record_for_run
from core.runs.test_set.accesses import SCORED
from core.runs.test_set.external import is_external
from core.runs.test_set.provenance import EVALUATION, read_entries

if TYPE_CHECKING:
    from core.data.cache import PreparedCache
    from core.evaluate.opened_set import OpenedSet
    from core.predict import Predictor
    from core.runs import Run

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class How:
    """How an evaluation is made: `progress` is called with (images done, images), `predictor` and `cache` are those that the
    caller has, `settings` None takes the run's, `where` is the page or command, for the record of accesses."""

    progress: Progress | None = None
    predictor: Predictor | None = None
    cache: PreparedCache | None = None
    settings: EvaluationConfig | None = None
    where: str = "evaluate"


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
        split: train, val or test. An evaluation of test is counted.
        progress: called with (images done, images of the split).
        predictor: the run's loaded model, where the caller has it; else it is loaded.
        cache: of prepared images; by default the one in the user's cache folder.
        settings: how many resamples, which confidence; by default the run's. What is frozen does not follow them.
        where: the page or command, for the record of accesses to the test set.

    Raises:
        Leakage: a patient, or an identical file, stands in two splits: the metrics would be worthless.
        BadManifest: no such split.
        NotEnoughData: the split has no image, or none that can be read.
        BadRun: the run has no model, or `predictor` is another run's; test is asked for while the run is being trained, or of
            a study's run; the run was deleted, or moved elsewhere, meanwhile (another name in the same folder is followed);
            its folder has entries that lead elsewhere.
        NotRecorded: the access to the test set cannot be written down.
    """
    require_regular(run.path)
    presence = Presence(run.path)
    rows = rows_of(run, split)
    if split == "test":
        require_own_test_set(run)
        require_ended(run)
    return evaluate_rows(run, split, rows, presence, How(progress, predictor, cache, settings, where))


def require_own_test_set(run: Run) -> None:
    """Raises BadRun for a run of a study: its test split stays sealed."""
    if is_study(run.path.parent):
        raise BadRun(
            f"{run.name}: it is a run of the study {run.path.parent.name}, whose test split stays sealed: a choice among "
            "many runs by their test metrics makes these worthless. Train the chosen settings as a run of their own, or make "
            "one model of the folds (study ensemble), and evaluate that."
        )


def require_ended(run: Run) -> None:
    """Raises BadRun while the run is being trained."""
    if run.status().live:
        raise BadRun(
            f"{run.name}: it is still being trained. A test set evaluated now would be evaluated for weights and a threshold "
            "that may yet change. Wait until it has ended or stop it, or evaluate val."
        )


def evaluate_rows(
    run: Run, split: str, rows: pd.DataFrame, presence: Presence, how: How, external: OpenedSet | None = None
) -> Evaluation:
    """Score rows of a manifest and write everything down under the name `split`; see `evaluate` and `evaluate_external`."""
    predictor = predictor_of(run, how.predictor)
    settings = how.settings or run.config().evaluation
    cache = default_cache(predictor.recipe) if how.cache is None else how.cache
    _fit_gate(run, predictor, cache, how.progress)
    scored, unlabelled = score(rows, predictor, cache, how.progress), None
    run = _now(run, presence)
    if external is not None:
        external, scored, unlabelled = external.settled(rows, scored)
    _require_scores(scored, split, len(rows))
    card = current_card(run, predictor)
    manifest = run.manifest().reset_index(drop=True)
    further = further_columns(manifest, settings)
    if external is not None:  # what the audit learned from other columns could not be asked of these images
        further = tuple(each for each in further if each.name in rows.columns)
    predictions = predictions_of(rows, scored, card, further)
    if split == "val":
        keep_fitted(run, card)
        card = complete(run, card, predictions, settings)
        predictions = predictions_of(rows, scored, card, further)
    tick = None if how.progress is None else partial(how.progress, len(rows), len(rows))
    training, unsaved = training_images(run, split, manifest, further, lambda: cache, tick)
    presence.require()
    parts = parts_of(run, split, predictions, training, card, further, settings)
    run = _now(run, presence)  # a moment ago it may have been renamed; while the lock is held it cannot be
    with lock(run):
        presence.require()
        if unsaved:
            write_facts(run.path, manifest, unsaved)
        evaluation = _counted(run, split, rows, scored, predictions, card, parts, external)
        # Recorded first: metrics of an access that nobody recorded must not exist.
        if external is not None:
            external.record(run.path, split, rows, how.where, evaluation.last_evaluated)
        elif split == "test":
            record_for_run(run.path, SCORED, how.where, evaluation.images, when=evaluation.last_evaluated)
        write_evaluation(run.path, evaluation, unlabelled)
    left_out = len(evaluation.excluded)
    log.info("%s: %s evaluated (%d times), %d images left out", run.name, split, evaluation.evaluations, left_out)
    return evaluation


def _require_scores(scored: Scored, split: str, images: int) -> None:
    if not scored.scores:
        first = f"the first, {scored.excluded[0].path}: {scored.excluded[0].reason}. " if scored.excluded else ""
        labelled = " and have a label" if is_external(split) else ""
        raise NotEnoughData(
            f"{split}: none of its {images} images can be scored{labelled}; {first}"
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
    external: OpenedSet | None,
) -> Evaluation:
    """The evaluation with what the run's folder says of earlier ones; while its lock is held."""
    before = read_entries(run.path).get(split) or {}
    if external is not None and not external.is_stored(before):
        before = external.replacing(split, before)
    history, refrozen = _earlier(run, split, before)
    now, weights = time_now(), card.weights_sha256
    return Evaluation(
        run=run.name,
        split=split,
        predictions=predictions,
        excluded=(*(external.overlap if external is not None else ()), *scored.excluded),
        evaluations=int(before.get("opened", 0)) + 1,
        last_evaluated=now,
        target_sensitivity=card.target_sensitivity,
        synthetic=card.synthetic or is_synthetic(rows),
        weights_sha256=weights,
        rule=card.rule if card.threshold_rule else None,
        history=(*history, EvaluationRecord(now, card.required_threshold(), weights, card.image_thresholds.own)),
        refrozen=refrozen,
        columns=metadata_columns(predictions),
        baselines=for_rows(rows)
        if split == "test" or external is not None
        else "evaluate the test set to compare with published results",
        external=None if external is None else external.about,
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
        raise BadRun(f"{run.name}: not evaluated yet. First: {evaluate_command(run, split)}")
    card = run.model_card()
    if why := found.outdated(card):
        raise BadRun(
            f"{run.name}: {why} Its predictions are of the earlier one: score it again with {evaluate_command(run, split)}."
        )
    config = run.config()
    settings = settings or config.evaluation
    manifest = run.manifest().reset_index(drop=True)
    further = further_columns(manifest, settings)
    cache = partial(default_cache, config.preprocessing)
    if found.external is None:
        predictions = completed(found.predictions, manifest, [each.name for each in further if each.read])
    else:  # the run's manifest says nothing of its images: what was stored with them has to do
        predictions, further = found.predictions, tuple(each for each in further if each.name in found.columns)
    training, unsaved = training_images(run, split, manifest, further, cache)
    parts = parts_of(run, split, predictions, training, card, further, settings)
    evaluation = replace(found, version=VERSION, predictions=predictions, columns=metadata_columns(predictions), **parts)
    with lock(run):
        presence.require()
        if unsaved:
            write_facts(run.path, manifest, unsaved)
        write_evaluation(run.path, evaluation)
    return evaluation


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
    """The evaluations that are written down; an earlier version only counted them and stored the last."""
    if "history" in before:
        return tuple(from_plain(EvaluationRecord, item) for item in before["history"])
    if "last_opened" not in before:
        return ()
    return (EvaluationRecord(before["last_opened"], float(before["threshold"]), str(before["weights_sha256"])),)
