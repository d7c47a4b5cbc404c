"""Thresholds chosen again on validation, after training; and what a model of an earlier version lacks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pandas as pd

from core.config.schema import EvaluationConfig
from core.errors import BadRun, NotEnoughData
from core.evaluate.fitted import fitted_predictions
from core.evaluate.result import Refreeze
from core.evaluate.store import external_splits, lock, write_entries
from core.files.typed import to_plain
from core.metrics import (
    CalibrationMethod,
    Frozen,
    ThresholdRule,
    ViewThresholds,
    freeze,
    freeze_thresholds,
    rule_of,
    thresholds_of,
    views_of,
)
from core.metrics.levels import unit_of
from core.metrics.operating_points import DECIMALS
from core.runs.test_set.access_log import note_threshold
from core.runs.test_set.external import short_name
from core.runs.test_set.provenance import evaluation_count, read_entries, read_parent
from core.wording import listed, times

if TYPE_CHECKING:
    from core.model.card import ModelCard
    from core.runs import Run

# What each rule goes by; the other fields of a ThresholdRule say nothing with it.
OPTIONS: dict[str, tuple[str, ...]] = {"sensitivity": ("target",), "youden": (), "cost": ("cost_ratio", "prevalence")}


def is_frozen(card: Frozen, rule: ThresholdRule, validation: pd.DataFrame) -> bool:
    """Whether freezing this rule on these validation predictions would leave the rule and every threshold as they are."""
    now = card.rule
    if now is None or now.kind != rule.kind or any(getattr(now, name) != getattr(rule, name) for name in OPTIONS[rule.kind]):
        return False
    frozen, chosen = card.level_thresholds, thresholds_of(validation, rule)
    if not all(_same(frozen[level], value) for level, value in chosen.items()):
        return False
    stored, views = card.image_thresholds.views, views_of(validation, rule)
    return stored.keys() == views.keys() and all(_same(stored[view], value) for view, value in views.items())


def _same(one: float | str, other: float | str) -> bool:
    """Thresholds that differ in the last decimal of the scores alone are one; so are two notes that there is none."""
    if isinstance(one, str) or isinstance(other, str):
        return isinstance(one, str) and isinstance(other, str)
    return abs(one - other) < 2.5 * 10.0**-DECIMALS


def refreeze(run: Run, rule: ThresholdRule, *, calibration: CalibrationMethod | None = None, reopen: bool = False) -> ModelCard:
    """Choose the thresholds of all levels anew from predictions/val.csv and freeze them in model.json; returns the card.

    Args:
        calibration: fit this one as well; None keeps the model's.
        reopen: allow it although the test set, or an external one, was evaluated, which is written down in evaluation.json:
            whoever has seen test metrics and then chooses has chosen on the test set.

    Raises:
        BadRun: the test set, or an external one, was evaluated; the run is being trained; it has no model, or no validation
            predictions.
        NotEnoughData: validation has one class only, or cannot be calibrated.
    """
    from core.model.store import update_card

    training = run.acquire()
    try:
        with lock(run):
            card, entries = run.model_card(), read_entries(run.path)
            evaluated = evaluated_sets(run)
            if evaluated and not reopen:
                raise BadRun(
                    f"{run.name}: {_evaluated_words(run, evaluated)}; a threshold chosen now would be chosen with the test set "
                    "in view. Start a new run, or say --reopen: it is written down and stands in the report."
                )
            validation = _validation(run)
            chosen = _changes(validation, rule, calibration)
            before, after = card.image_thresholds, chosen.image_thresholds
            now = datetime.now(UTC).isoformat(timespec="seconds")
            for split, evaluations in evaluated.items():
                change = Refreeze(now, before.common, after.common, rule.kind, evaluations, before.own, after.own)
                entries.setdefault(split, {}).setdefault("refrozen", []).append(to_plain(change))
            if evaluated:  # written down first: a choice that nobody recorded must not happen
                write_entries(run.path, entries)
            note_threshold(run.path, f"{_exactly(before)} to {_exactly(after)}, {rule.kind}")
            return update_card(run.path, chosen)
    finally:
        training.release()


def evaluated_sets(run: Run) -> dict[str, int]:
    """How often the test set and the external ones were evaluated, by name; those that never were are not named.

    Raises:
        BadRun: evaluation.json or parent.json is damaged.
    """
    entries, own = read_entries(run.path), evaluation_count(run.path)
    others = {split: int(entries[split].get("opened", 0)) for split in external_splits(run)}
    return ({"test": own} if own else {}) | others


def _evaluated_words(run: Run, evaluated: dict[str, int]) -> str:
    names = {split: f"the external test set {short_name(split)}" for split in evaluated} | {"test": "its test set"}
    before = {"test": _before(run)}
    said = [f"{names[split]} has been evaluated {times(count)}{before.get(split, '')}" for split, count in evaluated.items()]
    return listed(said)


def _exactly(thresholds: ViewThresholds) -> str:
    """Thresholds of images as the record of accesses has them."""
    views = "".join(f", {view} {value:.6f}" for view, value in thresholds.own.items())
    return f"{thresholds.common:.6f}" + (f" (by view{views})" if thresholds.per_view else "")


def _before(run: Run) -> str:
    parent = read_parent(run.path)
    return (
        f", {parent.evaluations} of these before it was forked from {parent.run}"
        if parent is not None and parent.evaluations
        else ""
    )


def _validation(run: Run) -> pd.DataFrame:
    validation = fitted_predictions(run)
    foreign = sorted(set(validation["split"]) - {"val"})
    if foreign:
        raise BadRun(
            f"{run.path / 'predictions'}: expected validation images only, got some of {', '.join(foreign)}. "
            f"Evaluate again: `python -m core evaluate {run.name} --split val`."
        )
    return validation


def _changes(validation: pd.DataFrame, rule: ThresholdRule, method: CalibrationMethod | None) -> Frozen:
    chosen = thresholds_of(validation, rule)[unit_of(validation)]
    if isinstance(chosen, str):
        raise NotEnoughData(chosen)
    if method is None:
        return freeze_thresholds(validation, rule)
    frozen = freeze(validation, rule, method)
    if frozen.calibration is not None and frozen.calibration.note:
        raise NotEnoughData(frozen.calibration.note)
    return frozen


def complete(run: Run, card: ModelCard, validation: pd.DataFrame, settings: EvaluationConfig) -> ModelCard:
    """The card with the thresholds and the calibration that a model of an earlier version lacks, chosen on validation.

    Its own threshold of images stays as it was frozen. Other cards come back as they are.

    Raises:
        BadRun: the run is being trained.
    """
    from core.model.store import update_card

    if card.thresholds is not None:
        return card
    rule = card.rule or rule_of(settings)
    chosen = freeze(validation, rule, settings.calibration).model_copy(update={"threshold": card.required_threshold()})
    training = run.acquire()
    try:
        return update_card(run.path, chosen)
    finally:
        training.release()
