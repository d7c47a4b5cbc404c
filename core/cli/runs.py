"""The commands `runs` and `report`, and the metrics that stand for a run in a list."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.cli.arguments import Commands, add_command, json_option, run_argument
from core.cli.output import note, print_json, print_table, printable
from core.cli.workspace import default_config, open_run
from core.errors import BadRun, LabError
from core.wording import OPTIMISTIC, sentences

LONGEST_REASON = 1000  # characters in the list of runs; --json has all
_SAME = 0.005  # an evaluation may leave out images that training scored, and computes in another precision

if TYPE_CHECKING:
    from core.model.card import ModelCard
    from core.runs import Run


def add_commands(commands: Commands) -> None:
    parser = add_command(commands, "runs", list_, "list the runs with their state and main metrics")
    parser.add_argument("--checkpoints", type=Path, help="the runs folder (default: as in config.yaml)")
    json_option(parser)

    parser = add_command(commands, "report", report, "write an HTML report of a run, following TRIPOD+AI and CLAIM")
    run_argument(parser)
    answers = parser.add_mutually_exclusive_group()
    answers.add_argument(
        "--notes",
        type=Path,
        metavar="FILE",
        help="the authors' answers (funding, ethics, setting ...); stored as report.yaml in the run's folder",
    )
    answers.add_argument("--questions", action="store_true", help="only write a report.yaml to fill in")


def list_(arguments: argparse.Namespace) -> int:
    """List the runs; a damaged one with what is wrong with it as its reason."""
    from core.cli.evaluation import test_accesses
    from core.metrics.chance import warning_of
    from core.metrics.leakage_mark import leakage_warning_of
    from core.runs import list_runs

    root = arguments.checkpoints or default_config().checkpoints
    rows: list[dict[str, Any]] = []
    for run in list_runs(root):
        status = run.status()
        metrics, problems = headline(run)
        evaluated, tests, damage = evaluations(run)
        problems += damage
        used = test_accesses(run)
        problems += [used] if isinstance(used, str) else []
        marks = (leakage_warning_of(metrics["leakage"] or ""), warning_of(metrics["chance"] or ""))
        reasons = (" ".join(status.reason.split()), _unusable(run), metrics["cost"] or "", *problems, *marks)
        reason = sentences(dict.fromkeys(part for part in reasons if part))
        rows.append(
            {"run": run.name, "state": status.state, "epoch": status.epoch, "epochs": status.epochs, "reason": reason}
            | metrics
            | {"evaluated": evaluated, "external_tests": tests}
            | {"test_accesses": None if isinstance(used, str) else used}
        )
    if arguments.json:
        print_json(rows)
    elif not rows:
        print(f"no runs in {root}: start one with `python -m core train`")
    else:
        print_table(
            [
                (
                    r["run"],
                    r["state"],
                    f"{r['epoch'] or 0}/{r['epochs']}" if r["epochs"] else "",
                    with_limits(r["val_auc"], r["val_auc_interval"]),
                    with_limits(r["test_auc"], r["test_auc_interval"]),
                    printable(_external_words(r["external_tests"]), LONGEST_REASON),
                    printable(r["reason"] or "", LONGEST_REASON),
                )
                for r in rows
            ],
            (
                "run",
                "state",
                "epoch",
                "val AUC, images (optimistic)",
                "test AUC, images",
                "external tests: AUC, images",
                "reason",
            ),
        )
        levels = {row[f"{split}_auc_confidence"] for row in rows for split in ("val", "test")}
        levels |= {each["auc_confidence"] for row in rows for each in row["external_tests"].values()}
        levels -= {None}
        intervals = f"; intervals are of {' or '.join(f'{level:.0%}' for level in sorted(levels))}" if levels else ""
        if len(levels) > 1:
            intervals += " as each run has it (--json says which)"
        note(f"AUCs are by image, not by breast or patient{intervals}. On val they are {OPTIMISTIC}")
    return 0


def headline(run: Run) -> tuple[dict[str, Any], list[str]]:
    """The metrics that stand for a run, and why some cannot be read: AUC on validation (at training's end) and on test
    (once its model is evaluated)."""
    from core.metrics.chance import chance_of_model
    from core.metrics.leakage_mark import leakage_of_model
    from core.runs.test_set.provenance import EVALUATION, read_entries

    metrics: dict[str, Any] = {"val_auc": None, "test_auc": None, "threshold": None, "chance": None, "leakage": None}
    metrics["cost"] = None
    metrics |= {"val_auc_interval": None, "test_auc_interval": None, "val_auc_confidence": None, "test_auc_confidence": None}
    problems = []
    card: ModelCard | None = None
    try:
        if run.has_model:
            card = run.model_card()
            metrics["cost"] = card.cost or None
            if card.validation is None:
                raise BadRun(f"{run.path / 'model.json'}: it has no validation metrics. Restore the file, or train again")
            metrics["val_auc"] = _number(card.validation.auc)
            if metrics["val_auc"] is not None:
                confidence = _confidence(run)
                metrics["val_auc_interval"] = validation_limits(run, metrics["val_auc"], confidence)
                metrics["val_auc_confidence"] = confidence if metrics["val_auc_interval"] else None
            metrics["threshold"] = _number(card.required_threshold(str(run.path / "model.json")))
            metrics["chance"] = chance_of_model(card, run.path) or None
            metrics["leakage"] = leakage_of_model(card) or None
    except LabError as error:
        problems.append(str(error))
    try:
        test = read_entries(run.path).get("test")
        if test and card and test.get("weights_sha256") == card.weights_sha256:  # not an earlier model's
            metrics |= {f"test_{name}": value for name, value in _stored_auc(test).items()}
    except LabError as error:
        problems.append(str(error))
    except (AttributeError, KeyError, TypeError) as error:
        problems.append(f"{run.path / EVALUATION}: the entry of test is damaged ({type(error).__name__}: {error}).")
    return metrics, problems


def evaluations(run: Run) -> tuple[list[str], dict[str, Any], list[str]]:
    """What the run was evaluated on, external test sets last; the AUC on each of those (auc, auc_interval, auc_confidence,
    images, manifest, and whether it is of the model as it is now), by name; and why an entry cannot be read.
    """
    from core.data import SPLITS
    from core.evaluate import external_splits
    from core.runs.test_set.external import short_name
    from core.runs.test_set.provenance import EVALUATION, read_entries

    tests: dict[str, Any] = {}
    problems = []
    try:
        entries, external = read_entries(run.path), external_splits(run)
    except LabError:  # `headline` says so
        return [], {}, []
    try:
        weights = run.model_card().weights_sha256 if run.has_model else ""
    except LabError:
        weights = ""
    for split in external:
        entry = entries[split]
        try:
            about = {"images": entry.get("images"), "manifest": (entry.get("external") or {}).get("manifest")}
            now = bool(weights) and entry.get("weights_sha256") == weights
            tests[short_name(split)] = _stored_auc(entry) | about | {"of_this_model": now}
        except (AttributeError, KeyError, TypeError) as error:
            problems.append(f"{run.path / EVALUATION}: the entry of {split} is damaged ({type(error).__name__}: {error}).")
    return [*(split for split in SPLITS if entries.get(split)), *external], tests, problems


def _stored_auc(entry: dict[str, Any]) -> dict[str, Any]:
    """The AUC of an entry of evaluation.json, with its limits. Raises AttributeError, KeyError or TypeError: it is damaged."""
    auc = entry["metrics"]["auc"]
    limits = tuple(map(_number, (auc.get("low"), auc.get("high"))))
    known = None not in limits
    confidence = _stored_confidence(entry) if known else None
    return {"auc": _number(auc["value"]), "auc_interval": limits if known else None, "auc_confidence": confidence}


def _external_words(tests: dict[str, Any]) -> str:
    """`inbreast 0.712 [0.640, 0.784]; cmmd 0.655 (of an earlier model)`, a dash where there is none."""
    words = [
        f"{name} {with_limits(each['auc'], each['auc_interval'])}{'' if each['of_this_model'] else ' (of an earlier model)'}"
        for name, each in tests.items()
    ]
    return "; ".join(words) or "-"


def _confidence(run: Run) -> float:
    """The level of the run's intervals; the usual one where its configuration cannot be read."""
    from core.config import EvaluationConfig

    try:
        return run.config().evaluation.confidence
    except LabError:  # its row says what is wrong
        return EvaluationConfig().confidence


def _stored_confidence(entry: dict[str, Any]) -> float | None:
    """The level of an evaluation's intervals; None where an earlier version did not store it."""
    image = entry.get("levels", {}).get("image")
    return _number(image.get("confidence")) if isinstance(image, dict) else None


def _number(value: Any) -> float | None:
    """A number as JSON has it. Raises TypeError for anything else."""
    if value is None or (isinstance(value, int | float) and math.isfinite(value)):
        return value
    raise TypeError(f"expected a number, got {value!r}")


def _unusable(run: Run) -> str:
    """What is wrong with the folder itself, in one line; "" when nothing is."""
    problem = run.problem
    if not problem:
        try:
            run.config()
        except LabError as error:
            problem = str(error)
    return " ".join(problem.split())


def validation_limits(run: Run, value: float, confidence: float) -> tuple[float, float] | None:
    """Limits of the best model's validation AUC at a level of `confidence`, from its stored scores; None where there are too
    few, or where the stored scores have another AUC: they are another model's.
    """
    from core.evaluate.fitted import fitted_predictions
    from core.metrics.delong import auc_interval

    try:
        scored = fitted_predictions(run)
        found = auc_interval(scored["label"], scored["score"], scored["patient_id"], confidence=confidence)
    except (LabError, ValueError):  # listed without limits; `evaluate` says what is wrong with the file
        return None
    return (found.low, found.high) if abs(found.value - value) < _SAME else None


def with_limits(value: Any, limits: Any) -> str:
    """`0.575 [0.494, 0.651]`, without limits where there are none, a dash without a value."""
    if value is None:
        return "-"
    return f"{value:.3f} [{limits[0]:.3f}, {limits[1]:.3f}]" if limits else f"{value:.3f}"


def report(arguments: argparse.Namespace) -> int:
    """Write the HTML report of a run, or the questions that only its authors can answer."""
    from core.report import keep_notes, write_questions
    from core.report import report as write_report

    run = open_run(arguments.run)
    if arguments.questions:
        print(write_questions(run).as_posix())
        note("fill it in, then write the report: what is left empty is listed as open")
        return 0
    if arguments.notes:
        keep_notes(run, arguments.notes)
    print(write_report(run).as_posix())
    return 0
