"""The commands `train` and `pipeline`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from core.cli.arguments import Commands, add_command, config_options, json_option
from core.cli.output import note, print_json, printable, progress_bar
from core.cli.runs import headline, with_limits
from core.cli.training_progress import follow
from core.cli.workspace import load, open_run
from core.errors import BadConfig, Refused
from core.wording import OPTIMISTIC

STOPPED = 130  # a training that was asked to stop: what follows it in a script should not take it for finished

if TYPE_CHECKING:
    from core.gradcam import Evidence, Heatmap
    from core.predict import Predictor
    from core.preprocessing import Prepared
    from core.runs import Run


def add_commands(commands: Commands) -> None:
    parser = add_command(commands, "train", train, "train a model into a run folder")
    config_options(parser)
    parser.add_argument("--run", metavar="NAME", help="name of the run (default: date, architecture, number)")
    parser.add_argument("--resume", metavar="RUN", help="resume a stopped or interrupted run, or start a queued one")
    parser.add_argument("--detach", action="store_true", help="train in a background process that outlives this terminal")
    parser.add_argument("--no-queue", action="store_true", help="start even if another training uses the device")
    parser.add_argument("--at-once", dest="no_queue", action="store_true", help=argparse.SUPPRESS)  # former name
    json_option(parser)

    parser = add_command(commands, "pipeline", pipeline, "check the data, train, evaluate, explain and report")
    config_options(parser)
    parser.add_argument("--run", metavar="NAME", help="name of the run")


def train(arguments: argparse.Namespace) -> int:
    """Train, from a configuration or from where a run was interrupted."""
    from core.metrics.chance import warning_of
    from core.metrics.leakage_mark import leakage_warning_of
    from core.metrics.levels import UNITS
    from core.runs import Run
    from core.training.distributed import World, destroy_process_group
    from core.training.launchers import run_to_end

    world = World.join()  # under torchrun, the first process creates or finds the run and prints for all
    path, resume = world.broadcast_object(lambda: _run_to_train(arguments))
    run = Run.open(path)
    if not world.is_rank_zero:
        state = run_to_end(run, resume=resume, world=world).state
        destroy_process_group()
        return 0 if state == "done" else STOPPED
    if arguments.detach:
        from core.training.launchers import start_process

        print(f"{run.path.as_posix()}: process {start_process(run, resume=resume)}")
        return 0
    status = follow(run, resume=resume, queue=not arguments.no_queue, world=world)
    destroy_process_group()
    if arguments.json:
        metrics, _ = headline(run)
        result = {"run": run.name, "folder": run.path.as_posix(), "state": status.state, "reason": status.reason}
        print_json(result | metrics)
    else:
        reason = f" ({printable(status.reason)})" if status.reason else ""
        print(f"{printable(run.path.as_posix())}: {status.state}{reason}")
        metrics, _ = headline(run)
        if metrics["val_auc"] is not None:
            units = UNITS[run.model_card().scored]
            print(f"validation AUC of {units} {with_limits(metrics['val_auc'], metrics['val_auc_interval'])}, {OPTIMISTIC}")
        if chance := metrics["chance"]:
            print(warning_of(chance))
        if leakage := metrics["leakage"]:
            print(printable(leakage_warning_of(leakage)))
    return 0 if status.state == "done" else STOPPED


def _run_to_train(arguments: argparse.Namespace) -> tuple[Path, bool]:
    """Folder of the run that is asked for, made if it is a new one, and whether it was begun before."""
    from core.runs import Run
    from core.training.rows import load_rows

    if arguments.resume is not None:  # also "", which a script has with an unset variable: never a new training
        if arguments.run or arguments.set:
            raise BadConfig("--resume continues a run with its own settings: leave out --run and --set, or start a new run")
        run = open_run(arguments.resume, arguments.config)
        resume = run.begun
    else:
        config = load(arguments)
        with progress_bar("demo set") as progress:
            rows = load_rows(config, progress)
        run = Run.create(config, rows, name=arguments.run)
        resume = False
    return run.path, resume


def pipeline(arguments: argparse.Namespace) -> int:
    """Check the data, train, evaluate, explain, report."""
    from core.cli.evaluation import access_words
    from core.cli.evaluation_text import show
    from core.data.checks import check_manifest
    from core.evaluate import evaluate as evaluate_run
    from core.report import report as write_report
    from core.runs import Run
    from core.training.rows import load_rows

    config = load(arguments)
    note("1/5 data")
    with progress_bar("demo set") as progress:
        rows = load_rows(config, progress)
    with progress_bar("checking") as progress:
        checked = check_manifest(rows, progress=progress)
    for problem in checked.problems:
        note(f"  {problem.kind}: {problem.message}")
    if checked.leakage or not checked.usable:
        note("error: the data set cannot be used as it is (see above)")
        return 1
    note("2/5 train")
    run = Run.create(config, rows, name=arguments.run)
    if follow(run, resume=False).state != "done":
        note(f"stopped before any test-set access. Resume with `python -m core train --resume {run.name}`, then evaluate it")
        return STOPPED
    if not run.has_model:
        note(f"error: training ended without a model: {run.status().reason}")
        return 1
    for split in ("val", "test"):
        note(f"3/5 evaluate {split}")
        if split == "test":
            note(f"  {access_words(run)}")
        with progress_bar(f"scoring {split}") as progress:
            evaluation = evaluate_run(run, split, progress=progress, where="pipeline")
        show(evaluation)
    note("4/5 explain")
    for path in _explain_some(run):
        note(f"  {path.as_posix()}")
    note("5/5 report")
    print(write_report(run).as_posix())
    return 0


def _explain_some(run: Run, count: int = 4) -> list[Path]:
    """Overlays of the malignant test images with the highest scores, into the run's `explain` folder."""
    from core.evaluate import read_predictions
    from core.gradcam import overlay
    from core.images.encode import encode_png
    from core.predict import Predictor
    from core.runs.test_set.access_log import record_for_run
    from core.runs.test_set.accesses import HEATMAPS

    scored = read_predictions(run, "test")
    chosen = scored[scored["label"] == "malignant"].sort_values(["score", "path"], ascending=[False, True]).head(count)
    predictor = Predictor.from_run(run.path)
    record_for_run(run.path, HEATMAPS, "pipeline", len(chosen))
    folder = run.path / "explain"
    folder.mkdir(exist_ok=True)
    written = []
    for source in map(Path, chosen["path"]):
        try:
            shown = _explained(predictor, source)
        except Refused as error:
            note(f"  {source.name}: no heatmap. {error}")
            continue
        for path, prepared, heat in shown:
            target = folder / f"{path.stem}.png"
            target.write_bytes(encode_png(overlay(prepared.pixels, heat)))
            written.append(target)
    return written


def _explained(predictor: Predictor, source: Path) -> list[tuple[Path, Prepared, Heatmap | Evidence]]:
    """An image with its heatmap; for a model of two views all images of its breast. Raises Refused: there is no score."""
    from core.predict_breasts import explain_breast, predict_breast_of

    if not predictor.judges_breasts:
        prediction = predictor.predict(source)
        return [(source, prediction.prepared, predictor.explain(prediction))]
    breast = predict_breast_of(predictor, source)
    maps = explain_breast(predictor, breast)
    return [(image.path or source, image.prepared, heat) for image, heat in zip(breast.used, maps, strict=True)]
