"""The commands and their arguments, in one table a person can read."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from core import RESEARCH_NOTICE, __version__
from core.cli import (
    audit,
    comparison,
    control,
    data,
    endpoint,
    evaluation,
    images,
    leave_one_out,
    runs,
    system,
    thresholds,
    verdicts,
)
from core.cli.inputs import ImageFiles
from core.cli.workspace import DEFAULT_CONFIG
from core.config import DataConfig

Command = Callable[[argparse.Namespace], int]


def build_parser() -> argparse.ArgumentParser:
    """The parser of `python -m core`; each sub-command sets `command` to its function."""
    parser = argparse.ArgumentParser(prog="python -m core", description=f"MammoLab {__version__}. {RESEARCH_NOTICE}")
    parser.add_argument("--version", action="version", version=f"MammoLab {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _data_commands(commands)
    _image_commands(commands)
    _run_commands(commands)
    _control_commands(commands)
    doctor = _add(commands, "doctor", system.doctor, "versions, devices, decoders, weights, disk: what works here")
    _json_option(doctor)
    cache = _add(commands, "cache", system.cache, "where prepared images are kept and how much they take; or delete them")
    cache.add_argument("--clear", action="store_true", help="delete them all; refused while a training uses them")
    _json_option(cache)
    password = _add(commands, "password", system.password, "set the password that the dashboard asks for, or remove it")
    password.add_argument("--config", type=Path, default=DEFAULT_CONFIG, help="file to write it to (default: %(default)s)")
    password.add_argument("--stdin", action="store_true", help="read the password from standard input, one line, unasked")
    password.add_argument("--remove", action="store_true", help="ask for no password any more")
    return parser


def _data_commands(commands: argparse._SubParsersAction) -> None:
    demo = _add(commands, "demo", data.demo, "write the built-in synthetic data set")
    demo.add_argument("--out", type=Path, default=Path(DataConfig().manifest).parent, help="folder (default: %(default)s)")
    demo.add_argument("--patients", type=int, default=80, help="four views each (default: %(default)s)")
    demo.add_argument("--seed", type=int, default=0, help="the same seed writes the same images (default: %(default)s)")
    demo.add_argument("--if-missing", action="store_true", help="do nothing when the folder holds a data set already")

    group = commands.add_parser("data", help="import and check data sets").add_subparsers(
        title="data commands", required=True, metavar="COMMAND"
    )
    imports = _add(group, "import", data.import_, "write a manifest for a data set; images are never copied or renamed")
    imports.add_argument("name", help="folder, csv, rsna or mini-mias (`data importers` describes them)")
    imports.add_argument("path", type=Path, help="the data set's folder or file")
    imports.add_argument("--out", type=Path, required=True, metavar="M.csv", help="the manifest to write")
    imports.add_argument("--overwrite", action="store_true", help="replace the manifest that is there already")
    imports.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="an option of the importer; repeatable"
    )
    _json_option(imports)
    importers = _add(group, "importers", data.importers, "describe the importers and their options")
    _json_option(importers)
    check = _add(
        group, "check", data.check, "unreadable files, duplicates, leakage, balance; exit code 1 on leakage or unusable data"
    )
    check.add_argument("manifest", type=Path, metavar="M.csv", help="the manifest to check")
    _json_option(check)


def _image_commands(commands: argparse._SubParsersAction) -> None:
    inspect = _add(commands, "inspect", images.inspect, "every step from one file to the model's input")
    inspect.add_argument("files", type=Path, nargs="+", metavar="FILE", help="one image file")
    inspect.add_argument("--recipe", type=Path, metavar="config.yaml", help="take the recipe from this file")
    _set_option(inspect)
    _frame_option(inspect)
    inspect.add_argument(
        "--window",
        type=int,
        metavar="N",
        help="the file's N-th VOI LUT or window, 0 for none; the same as --set preprocessing.voi=N",
    )
    inspect.add_argument("--out", type=Path, metavar="FOLDER", help="write the image after each step, at full size, as PNG")
    inspect.add_argument(
        "--html", type=Path, metavar="report.html", help="write everything as one file that opens offline and names no patient"
    )
    inspect.add_argument("--pseudonym", action="store_true", help="also tell the patient's pseudonym (not in the HTML)")
    _json_option(inspect)


def _run_commands(commands: argparse._SubParsersAction) -> None:
    train = _add(commands, "train", runs.train, "train a model; the run folder holds everything it did")
    _config_options(train)
    train.add_argument("--run", metavar="NAME", help="name of the run (default: date, architecture, number)")
    train.add_argument("--resume", metavar="RUN", help="resume a stopped or interrupted run, or begin a queued one")
    train.add_argument("--detach", action="store_true", help="train in a process of its own that outlives this terminal")
    train.add_argument("--at-once", action="store_true", help="do not wait while another training uses the device")
    _json_option(train)

    _evaluation_commands(commands)
    _picture_commands(commands)

    listing = _add(commands, "runs", runs.list_, "what is in the runs folder, with state and headline figures")
    listing.add_argument("--checkpoints", type=Path, help="the runs folder (default: as in config.yaml)")
    _json_option(listing)

    report = _add(commands, "report", runs.report, "one self-contained HTML file about a run, along TRIPOD+AI and CLAIM")
    _run_argument(report)
    answers = report.add_mutually_exclusive_group()
    answers.add_argument(
        "--notes",
        type=Path,
        metavar="FILE",
        help="what only the authors can say (funding, ethics, setting ...): kept as report.yaml in the run's folder",
    )
    answers.add_argument("--questions", action="store_true", help="write an empty report.yaml to fill in, and no report")

    pipeline = _add(commands, "pipeline", runs.pipeline, "data check, train, evaluate, explain, report")
    _config_options(pipeline)
    pipeline.add_argument("--run", metavar="NAME", help="name of the run")


def _picture_commands(commands: argparse._SubParsersAction) -> None:
    predict = _add(commands, "predict", verdicts.predict, "scores and decisions for image files")
    _run_argument(predict)
    predict.add_argument(
        "files",
        type=Path,
        nargs="+",
        metavar="FILE",
        action=ImageFiles,
        help="images, folders, or patterns such as '*.png'",
    )
    _frame_option(predict)
    _anyway_option(predict)
    predict.add_argument("--csv", type=Path, metavar="out.csv", help="write the table to this file")
    _json_option(predict)

    explain = _add(commands, "explain", verdicts.explain, "heatmap over what the model saw, or over the original image")
    _run_argument(explain)
    explain.add_argument("file", type=Path, metavar="FILE", help="one image file")
    _frame_option(explain)
    _anyway_option(explain)
    explain.add_argument("--out", type=Path, required=True, metavar="overlay.png", help="the picture to write")
    explain.add_argument(
        "--method",
        default="auto",
        help="auto (what fits the architecture), gradcam, gradcam++, hirescam, layercam, eigencam, scorecam (slow)",
    )
    explain.add_argument(
        "--layer",
        metavar="NAME",
        help="read the map from this layer of the network (a wrong name lists them; default: its last map)",
    )
    explain.add_argument(
        "--target",
        choices=("malignant", "benign", "both"),
        default="malignant",
        help="evidence for which class; both: malignant in orange and benign in blue, on one scale",
    )
    explain.add_argument("--original", action="store_true", help="draw the map over the original image, at its full size")
    explain.add_argument("--opacity", type=float, default=0.7, metavar="0..1", help="of the colours (default: 0.7)")
    explain.add_argument("--colormap", default="inferno", help="inferno, turbo, magma, viridis, cividis, jet")
    explain.add_argument(
        "--channels", type=int, default=128, metavar="N", help="feature maps that scorecam tries, 0 for all (default: 128)"
    )

    gate = _add(commands, "gate", verdicts.gate, "learn again which images a run's model should not judge")
    _run_argument(gate)
    _json_option(gate)

    audited = _add(commands, "audit", audit.audit, "whether the heatmaps can be believed: lesions, chance, shuffled weights")
    _run_argument(audited)
    _split_option(audited)
    audited.add_argument(
        "--method", action="append", default=[], metavar="NAME", help="a method as in explain (default: auto); repeatable"
    )
    audited.add_argument("--limit", type=int, metavar="N", help="at most N images, whole patients drawn by seed")
    audited.add_argument("--manifest", type=Path, metavar="M.csv", help="another data set instead of the run's own split")
    audited.add_argument("--again", action="store_true", help="start over whatever is written already")
    _json_option(audited)


def _evaluation_commands(commands: argparse._SubParsersAction) -> None:
    evaluate = _add(commands, "evaluate", evaluation.evaluate, "metrics with intervals, written into the run folder")
    _run_argument(evaluate)
    _split_option(evaluate)
    _set_option(evaluate)
    evaluate.add_argument(
        "--full", action="store_true", help="print calibration, subgroups, shortcut audit and net benefit too"
    )
    evaluate.add_argument("--report", action="store_true", help="write the HTML report afterwards")
    evaluate.add_argument("--yes", action="store_true", help="do not ask before the first access to the test set")
    evaluate.add_argument(
        "--remake",
        action="store_true",
        help="compute the metrics again from the stored predictions: nothing is scored, and no test set is accessed",
    )
    _json_option(evaluate)

    compare = _add(commands, "compare", comparison.compare, "two evaluated runs on the same images, in pairs")
    _run_argument(compare)
    compare.add_argument("other", metavar="RUN", help="the run to compare with the first")
    _split_option(compare)
    compare.add_argument(
        "--level", choices=("image", "breast", "patient"), default="image", help="what a row is (default: %(default)s)"
    )
    compare.add_argument(
        "--margin",
        type=float,
        metavar="AUC",
        help="also say whether the runs' AUCs are equivalent: differ by less than this, chosen before looking",
    )
    _json_option(compare)

    sites = _add(
        commands,
        "leave-one-out",
        leave_one_out.leave_one_out,
        "train without one site (or scanner) each: manifests, and the sum",
    )
    _run_argument(sites)
    sites.add_argument("--by", required=True, metavar="COLUMN", help="the column of the run's manifest, e.g. site")
    sites.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where the manifests are written")
    sites.add_argument(
        "--train", action="store_true", help="also train and evaluate a run for each value, one after the other (hours)"
    )
    _json_option(sites)

    declared = _add(
        commands, "endpoint", endpoint.endpoint, "declare which metric counts, before the test set is accessed, or show it"
    )
    _run_argument(declared)
    declared.add_argument(
        "--metric", choices=endpoint.METRICS, help="the metric that counts; without it, what was declared is shown"
    )
    declared.add_argument(
        "--level", choices=("image", "breast", "patient"), help="default: patient, or image where no patient is known"
    )
    _rule_options(declared)
    declared.add_argument("--reason", metavar="TEXT", help="why this one, for the report")
    _json_option(declared)

    threshold = _add(
        commands, "threshold", thresholds.threshold, "choose and freeze the thresholds again, on validation predictions"
    )
    _run_argument(threshold)
    _rule_options(threshold)
    threshold.add_argument(
        "--by",
        metavar="COLUMN",
        help="show a threshold for each value of a column (site, say) beside the one for all; nothing is frozen",
    )
    threshold.add_argument(
        "--calibration", choices=("temperature", "logistic", "isotonic", "none"), help="also fit this calibration on validation"
    )
    threshold.add_argument(
        "--reopen", action="store_true", help="although the test set was accessed; this is recorded and stands in the report"
    )
    _json_option(threshold)


def _rule_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rule", choices=("sensitivity", "youden", "cost"), help="default: the one that is frozen now")
    parser.add_argument("--target", type=float, metavar="SHARE", help="with the rule sensitivity: the one to reach")
    parser.add_argument("--cost-ratio", type=float, metavar="N", help="with the rule cost: false alarms a missed cancer weighs")
    parser.add_argument("--prevalence", type=float, metavar="SHARE", help="with the rule cost: of those to be examined")
    parser.add_argument(
        "--per-view",
        action=argparse.BooleanOptionalAction,
        help="choose a threshold for CC and for MLO images each, or one for all views; default: as it is frozen now",
    )


def _control_commands(commands: argparse._SubParsersAction) -> None:
    group = commands.add_parser("run", help="pause, stop, start, fork, rename, annotate or delete a run").add_subparsers(
        title="actions", required=True, metavar="ACTION"
    )
    _run_argument(_add(group, "pause", control.pause, "pause after the current step"))
    _run_argument(_add(group, "go-on", control.go_on, "let a paused run go on"))
    _run_argument(_add(group, "stop", control.stop, "stop and keep the best model, or remove a waiting run from the queue"))
    _run_argument(_add(group, "start", control.start, "begin or resume it in a process of its own"))
    fork = _add(group, "fork", control.fork, "a new run from this one's weights and split, with changed settings")
    _run_argument(fork)
    fork.add_argument("--name", help="name of the new run")
    _set_option(fork)
    rename = _add(group, "rename", control.rename, "give it another name")
    _run_argument(rename)
    rename.add_argument("name", metavar="NAME", help="the new name")
    note = _add(group, "note", control.note, "print or set what is noted about it")
    _run_argument(note)
    note.add_argument("text", nargs="?", help='the new note; "" removes it')
    delete = _add(group, "delete", control.delete, "delete its folder with everything in it")
    _run_argument(delete)
    delete.add_argument("--yes", action="store_true", help="without asking")
    delete.add_argument("--everything", action="store_true", help="also files in its folder that are not the run's")


def _add(commands: argparse._SubParsersAction, name: str, command: Command, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    parser.set_defaults(command=command)
    return parser


def _json_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def _frame_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--frame",
        type=images.frame_index,
        metavar="N",
        help="frame of a file with several, from 1 (default: the middle one of a DICOM stack, the first page of a TIFF)",
    )


def _anyway_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--score-anyway",
        action="store_true",
        help="give a score, but no decision, also to an image that the model should not judge (a CT, a photograph, no breast)",
    )


def _split_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--split", choices=("train", "val", "test"), default="test", help="default: %(default)s")


def _set_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set", action="append", default=[], metavar="FIELD=VALUE", help="override a field, e.g. training.epochs=5; repeatable"
    )


def _config_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG, help="configuration file (default: %(default)s)")
    _set_option(parser)


def _run_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="name of a run in the runs folder, or the path of its folder")
