"""Thresholds chosen again on validation, after training; and what a model of an earlier version lacks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pandas as pd

from core.config.schema import EvaluationConfig
from core.errors import BadRun, NotEnoughData
from core.evaluate.files import lock, read_entries, read_predictions, write_entries
from core.evaluate.result import Refreeze
from core.metrics import CalibrationMethod, ThresholdRule, freeze, rule_of, threshold_fields, thresholds_of

if TYPE_CHECKING:
    from core.training import Run


def refreeze(
    run: Run, rule: ThresholdRule, *, calibration: CalibrationMethod | None = None, reopen: bool = False
) -> dict[str, Any]:
    """Choose the thresholds of all levels anew from predictions/val.csv and freeze them in model.json; returns the card.

    Args:
        calibration: fit this one as well; None keeps the model's.
        reopen: allow it although the test set was opened, which is written down in evaluation.json: whoever has seen test
            figures and then chooses has chosen on the test set.

    Raises:
        BadRun: the test set was opened; the run is being trained; it has no model, or no validation predictions.
        NotEnoughData: validation has one class only, or cannot be calibrated.
    """
    from core.model.store import update_card

    training = run.acquire()
    try:
        with lock(run):
            card, entries = run.model_card(), read_entries(run.path)
            opened = int((entries.get("test") or {}).get("opened", 0))
            if opened and not reopen:
                times = "once" if opened == 1 else f"{opened} times"
                raise BadRun(
                    f"{run.name}: its test set has been opened {times}; a threshold chosen now would be chosen with the test "
                    "set in view. Start a new run, or say --reopen: it is then written down and stands in the report."
                )
            validation = _validation(run)
            chosen = _changes(validation, rule, calibration)
            if opened:
                now = datetime.now(UTC).isoformat(timespec="seconds")
                change = Refreeze(now, float(card["threshold"]), float(chosen["threshold"]), rule.kind, opened)
                # Written down first: a choice that nobody recorded must not happen.
                entries["test"].setdefault("refrozen", []).append(asdict(change))
                write_entries(run.path, entries)
            return update_card(run.path, chosen)
    finally:
        training.release()


def _validation(run: Run) -> pd.DataFrame:
    validation = read_predictions(run, "val")
    foreign = sorted(set(validation["split"]) - {"val"})
    if foreign:
        raise BadRun(
            f"{run.path / 'predictions' / 'val.csv'}: expected validation images only, got some of {', '.join(foreign)}. "
            f"Evaluate again: `python -m core evaluate {run.name} --split val`."
        )
    return validation


def _changes(validation: pd.DataFrame, rule: ThresholdRule, method: CalibrationMethod | None) -> dict[str, Any]:
    thresholds = thresholds_of(validation, rule)
    if isinstance(thresholds["image"], str):
        raise NotEnoughData(thresholds["image"])
    if method is None:
        return threshold_fields(rule, thresholds)
    frozen = freeze(validation, rule, method)
    if frozen.note:
        raise NotEnoughData(frozen.note)
    return frozen.to_card()


def complete(run: Run, card: Mapping[str, Any], validation: pd.DataFrame, settings: EvaluationConfig) -> dict[str, Any]:
    """The card with the thresholds and the calibration that a model of an earlier version lacks, chosen on validation.

    Its own threshold of images stays as it was frozen. Other cards come back as they are.

    Raises:
        BadRun: the run is being trained.
    """
    from core.model.store import update_card

    if "thresholds" in card:
        return dict(card)
    target = card.get("target_sensitivity")
    rule = rule_of(settings) if target is None else ThresholdRule("sensitivity", float(target))
    chosen = freeze(validation, rule, settings.calibration).to_card() | {"threshold": card["threshold"]}
    training = run.acquire()
    try:
        return update_card(run.path, chosen)
    finally:
        training.release()
