"""The argument parser of `python -m core`: every command, in the order of the help."""

from __future__ import annotations

import argparse
from pathlib import Path

from core import RESEARCH_NOTICE, __version__
from core.cli import (
    audit,
    comparison,
    data,
    endpoint,
    ensemble,
    evaluation,
    inspect,
    leave_one_out,
    models,
    predict,
    run_actions,
    runs,
    study,
    system,
    thresholds,
    train,
)
from core.cli.arguments import Commands, add_command, json_option, run_argument, set_option, split_option


def build_parser() -> argparse.ArgumentParser:
    """The parser of `python -m core`; each sub-command sets `command` to its function."""
    parser = argparse.ArgumentParser(prog="python -m core", description=f"MammoLab {__version__}. {RESEARCH_NOTICE}")
    parser.add_argument("--version", action="version", version=f"MammoLab {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for module in (data, inspect, models, train, study, ensemble):
        module.add_commands(commands)
    _evaluation_commands(commands)
    for module in (predict, audit, runs, run_actions, system):
        module.add_commands(commands)
    return parser


def _evaluation_commands(commands: Commands) -> None:
    evaluate = add_command(commands, "evaluate", evaluation.evaluate, "compute and store metrics with confidence intervals")
    run_argument(evaluate)
    split_option(evaluate)
    evaluate.add_argument(
        "--manifest",
        type=Path,
        metavar="M.csv",
        help="score another collection, as an external test set; patients and files of the run are left out",
    )
    evaluate.add_argument(
        "--name", default="", metavar="NAME", help="what the external test set is called (default: after its manifest)"
    )
    evaluate.add_argument(
        "--replace", action="store_true", help="replace another external test set of this name; its record of accesses stays"
    )
    set_option(evaluate)
    evaluate.add_argument(
        "--full", action="store_true", help="also print calibration, subgroups, shortcut audit and net benefit"
    )
    evaluate.add_argument("--report", action="store_true", help="write the HTML report afterwards")
    evaluate.add_argument("--yes", action="store_true", help="access the test set for the first time without asking")
    evaluate.add_argument(
        "--remake",
        action="store_true",
        help="recompute the metrics from stored predictions: nothing is scored, no test set is accessed",
    )
    json_option(evaluate)

    compare = add_command(commands, "compare", comparison.compare, "compare two evaluated runs on the same images (paired)")
    run_argument(compare)
    compare.add_argument("other", metavar="RUN", help="the run to compare with the first")
    split_option(compare)
    compare.add_argument(
        "--level",
        choices=("image", "breast", "patient"),
        help="what a row is (default: image, or breast where a model judges all views of one together)",
    )
    compare.add_argument(
        "--margin",
        type=float,
        metavar="AUC",
        help="also test equivalence: whether the AUCs differ by less than this pre-specified margin",
    )
    json_option(compare)

    sites = add_command(
        commands,
        "leave-one-out",
        leave_one_out.leave_one_out,
        "leave-one-site-out validation: write manifests, train, pool the results",
    )
    run_argument(sites)
    sites.add_argument("--by", required=True, metavar="COLUMN", help="column of the run's manifest, e.g. site")
    sites.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder to write the manifests to")
    sites.add_argument("--train", action="store_true", help="also train and evaluate one run per value (hours)")
    json_option(sites)
    _threshold_commands(commands)


def _threshold_commands(commands: Commands) -> None:
    declared = add_command(
        commands, "endpoint", endpoint.endpoint, "declare or show the primary endpoint, before the test set is accessed"
    )
    run_argument(declared)
    declared.add_argument(
        "--metric", choices=endpoint.METRICS, help="the primary metric; without it, the declared endpoint is shown"
    )
    declared.add_argument(
        "--level", choices=("image", "breast", "patient"), help="default: patient, or image where no patient is known"
    )
    _rule_options(declared)
    declared.add_argument("--reason", metavar="TEXT", help="reason for this choice, for the report")
    json_option(declared)

    threshold = add_command(
        commands, "threshold", thresholds.threshold, "choose the thresholds again on validation predictions"
    )
    run_argument(threshold)
    _rule_options(threshold)
    threshold.add_argument(
        "--by",
        metavar="COLUMN",
        help="show one threshold per value of this column (e.g. site) beside the common one; nothing is stored",
    )
    threshold.add_argument(
        "--calibration",
        choices=("temperature", "logistic", "isotonic", "none"),
        help="also fit this calibration",
    )
    threshold.add_argument(
        "--reopen", action="store_true", help="even if the test set was accessed; this is recorded and reported"
    )
    json_option(threshold)


def _rule_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rule", choices=("sensitivity", "youden", "cost"), help="threshold rule (default: the stored one)")
    parser.add_argument("--target", type=float, metavar="SHARE", help="rule sensitivity: the target")
    parser.add_argument(
        "--cost-ratio", type=float, metavar="N", help="rule cost: false positives that weigh as much as one missed cancer"
    )
    parser.add_argument("--prevalence", type=float, metavar="SHARE", help="rule cost: prevalence in the intended population")
    parser.add_argument(
        "--per-view",
        action=argparse.BooleanOptionalAction,
        help="choose a threshold for CC and for MLO images each, or one for all views (default: as stored)",
    )
