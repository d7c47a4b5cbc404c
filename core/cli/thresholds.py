"""The command that chooses the thresholds again, and the rule that options of a command ask for."""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from core.cli.evaluation_tables import cell
from core.cli.output import note, print_json, print_table, printable
from core.cli.workspace import open_run
from core.errors import BadConfig

if TYPE_CHECKING:
    import pandas as pd

    from core.metrics import ThresholdRule
    from core.runs import Run


def threshold(arguments: argparse.Namespace) -> int:
    """Choose the thresholds again, on validation predictions only."""
    from core.evaluate import read_predictions, refreeze
    from core.metrics import at_level, at_threshold

    run = open_run(arguments.run)
    rule = rule_asked_for(run, arguments)
    if arguments.by is not None:
        return _thresholds_by(run, rule, arguments.by, as_json=arguments.json)
    card = refreeze(run, rule, calibration=arguments.calibration, reopen=arguments.reopen)
    validation, by_view = read_predictions(run, "val"), card.image_thresholds
    rows: list[dict[str, Any]] = []

    def add(level: str, view: str | None, value: float | str, table: pd.DataFrame | None, applied: Any) -> None:
        row: dict[str, Any] = {"level": level, "view": view, "threshold": value, "sensitivity": None, "specificity": None}
        if table is not None:
            row |= {key: at for key, at in at_threshold(table["label"], table["score"], applied).items() if key in row}
        rows.append(row)

    for level, value in card.level_thresholds.items():
        table = None if isinstance(value, str) else at_level(validation, level)
        add(level, None, value, table, by_view.of_rows(validation) if level == "image" else value)
        for view, own in by_view.views.items() if level == "image" else ():
            add(level, view, own, None if isinstance(own, str) else validation[validation["view"] == view], own)
    if arguments.json:
        calibration = card.written().get("calibration")
        print_json({"run": run.name, "rule": asdict(rule), "calibration": calibration, "thresholds": rows})
        return 0
    print(f"{run.name}: frozen in model.json by the rule {rule.kind}")
    print_table(
        [
            (_level_cell(row), row["threshold"], "", "")
            if isinstance(row["threshold"], str)
            else (_level_cell(row), *(f"{row[name]:.3f}" for name in ("threshold", "sensitivity", "specificity")))
            for row in rows
        ],
        ("level", "threshold", "sensitivity", "specificity"),
    )
    note("sensitivity and specificity are those of the validation set, on which the thresholds were chosen: too good.")
    return 0


def _level_cell(row: dict[str, Any]) -> str:
    return f"{row['level']}, {row['view']}" if row["view"] else str(row["level"])


def _thresholds_by(run: Run, rule: ThresholdRule, column: str, *, as_json: bool) -> int:
    """A threshold for each value of a column beside the one for all; shown, not frozen."""
    from core.evaluate import read_evaluation, read_predictions
    from core.metrics import thresholds_by_group

    validation, evaluation = read_predictions(run, "val"), read_evaluation(run, "test")
    judged, words = (validation, "validation") if evaluation is None else (evaluation.predictions, "test")
    confidence = run.config().evaluation.confidence if evaluation is None else evaluation.summary.confidence
    common = run.model_card().required_threshold()
    found = thresholds_by_group(validation, judged, rule, common, column, confidence=confidence)
    if as_json:
        print_json({"run": run.name, "metrics_of": words, "confidence": confidence, **asdict(found)})
        return 0
    print(
        f"{run.name}: thresholds by {column}, chosen on validation by the rule {rule.kind}; metrics of the {words} images, "
        f"{confidence:.0%} intervals"
    )
    rows = [
        (
            group.value,
            group.threshold if isinstance(group.threshold, str) else f"{group.threshold:.3f}",
            *(cell(getattr(group, name)) for name in ("sensitivity", "specificity", "own_sensitivity", "own_specificity")),
        )
        for group in found.groups
    ]
    heads = (column, "own threshold", "sensitivity at one for all", "specificity", "sensitivity at its own", "specificity")
    print_table([tuple(map(printable, row)) for row in rows], heads)
    if run.model_card().image_thresholds.own:
        note(
            "the run itself judges CC and MLO images at thresholds by view: 'one for all' is the common threshold, not "
            "in use for them"
        )
    for title, gap in (("one threshold for all", found.gap), ("each its own", found.own_gap)):
        text = gap if isinstance(gap, str) else f"{gap.difference}"
        print(f"largest difference of specificity, {title}: {text}")
    views = "" if column != "view" else " `--per-view` freezes thresholds for CC and MLO images."
    note(f"nothing was frozen: the run's decisions stay as they are.{views}")
    return 0


def rule_asked_for(run: Run, arguments: argparse.Namespace) -> ThresholdRule:
    """The rule that is frozen now with what was asked for changed; another rule starts from the run's configuration.

    Raises:
        BadConfig: an option out of range, or one of another rule.
    """
    from core.evaluate.thresholds import OPTIONS
    from core.metrics import rule_of

    tops = {"target": 1.0, "cost_ratio": float("inf"), "prevalence": 1.0}
    given = {name: number_within(getattr(arguments, name), f"--{name.replace('_', '-')}", tops[name]) for name in tops}
    asked = {name: value for name, value in given.items() if value is not None}
    configured = rule_of(run.config().evaluation)
    frozen = (run.model_card().rule if run.has_model else None) or configured
    kind = arguments.rule or frozen.kind
    for name, value in asked.items():
        if name not in OPTIONS[kind]:
            option = f"--{name.replace('_', '-')}"
            owner = next(rule for rule, names in OPTIONS.items() if name in names)
            now = "asked for" if arguments.rule else "frozen now"
            raise BadConfig(
                f"{option} {value:g}: expected with the rule {owner} only, got the rule {kind} ({now}). "
                f"Leave {option} out, or give --rule {owner}."
            )
    per_view = frozen.per_view if arguments.per_view is None else bool(arguments.per_view)
    return replace(frozen if kind == frozen.kind else configured, kind=kind, per_view=per_view, **asked)


def number_within(given: float | None, name: str, top: float) -> float | None:
    """`given` where it is None or allowed: above 0 and below `top`, a target sensitivity also at it. Raises BadConfig."""
    closed = name == "--target"
    if given is not None and not (0 < given < top or (closed and given == top)):
        raise BadConfig(f"{name} {given:g}: expected a number above 0 and {'at most' if closed else 'below'} {top:g}")
    return given
