"""Commands about models: train, runs, report, pipeline."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.cli.follow import follow
from core.cli.headline import validation_limits, with_limits
from core.cli.output import note, print_json, print_table, printable, progress_bar
from core.cli.workspace import default_config, load, open_run
from core.errors import BadConfig, BadRun, LabError
from core.wording import OPTIMISTIC

LONGEST_REASON = 1000  # characters in the list of runs; --json has all
STOPPED = 130  # a training that was asked to stop: what follows it in a script should not take it for finished

if TYPE_CHECKING:
    from core.model.card import ModelCard
    from core.runs import Run


def train(arguments: argparse.Namespace) -> int:
    """Train, from a configuration or from where a run was interrupted."""
    from core.runs import Run
    from core.training.distributed import World, leave
    from core.training.launchers import run_to_end

    world = World.join()  # under torchrun, the first process makes or finds the run, and speaks for all
    path, resume = world.share(lambda: _run_to_train(arguments))
    run = Run.open(path)
    if not world.first:
        state = run_to_end(run, resume=resume).state
        leave()
        return 0 if state == "done" else STOPPED
    if arguments.detach:
        from core.training.launchers import start_process

        print(f"{run.path.as_posix()}: process {start_process(run, resume=resume)}")
        return 0
    status = follow(run, resume=resume, queue=not arguments.at_once)
    leave()
    if arguments.json:
        figures, _ = _headline(run)
        said = {"run": run.name, "folder": run.path.as_posix(), "state": status.state, "reason": status.reason}
        print_json(said | figures)
    else:
        reason = f" ({printable(status.reason)})" if status.reason else ""
        print(f"{printable(run.path.as_posix())}: {status.state}{reason}")
        figures, _ = _headline(run)
        if figures["val_auc"] is not None:
            print(f"validation AUC of images {with_limits(figures['val_auc'], figures['val_auc_interval'])}, {OPTIMISTIC}")
        if chance := figures["chance"]:
            print(chance_words(chance))
    return 0 if status.state == "done" else STOPPED


def _run_to_train(arguments: argparse.Namespace) -> tuple[Path, bool]:
    """Folder of the run that is asked for, made if it is a new one, and whether it was begun before."""
    from core.runs import Run
    from core.training.rows import load_rows

    if arguments.resume is not None:  # also "", which a script has with an unset variable: never a new training
        if arguments.run or arguments.set:
            raise BadConfig("--resume goes on with a run as it is: leave out --run and --set, or start a new run")
        run = open_run(arguments.resume, arguments.config)
        resume = run.begun
    else:
        config = load(arguments)
        with progress_bar("demo set") as progress:
            rows = load_rows(config, progress)
        run = Run.create(config, rows, name=arguments.run)
        resume = False
    return run.path, resume


def list_(arguments: argparse.Namespace) -> int:
    """List the runs; a damaged one with what is wrong with it as its reason."""
    from core.cli.evaluation import test_accesses
    from core.runs import list_runs

    root = arguments.checkpoints or default_config().checkpoints
    rows: list[dict[str, Any]] = []
    for run in list_runs(root):
        status = run.status()
        figures, problems = _headline(run)
        used = test_accesses(run)
        problems += [used] if isinstance(used, str) else []
        said = (" ".join(status.reason.split()), _unusable(run), *problems, chance_words(figures["chance"]))
        reason = "; ".join(dict.fromkeys(part for part in said if part))
        rows.append(
            {"run": run.name, "state": status.state, "epoch": status.epoch, "epochs": status.epochs, "reason": reason}
            | figures
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
                    f"{r['epoch'] or 0}/{r['epochs'] or 0}",
                    with_limits(r["val_auc"], r["val_auc_interval"]),
                    with_limits(r["test_auc"], r["test_auc_interval"]),
                    printable(r["reason"] or "", LONGEST_REASON),
                )
                for r in rows
            ],
            ("run", "state", "epoch", "val AUC, images (optimistic)", "test AUC, images", "reason"),
        )
        note(f"AUCs are by image, not by breast or patient; intervals are of 95 %. val: {OPTIMISTIC}")
    return 0


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


def pipeline(arguments: argparse.Namespace) -> int:
    """Check the data, train, evaluate, explain, report."""
    from core.cli.evaluation import opening_words, show
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
        note(f"stopped: the test set stays closed. Resume with `python -m core train --resume {run.name}`, then evaluate it")
        return STOPPED
    if not run.has_model:
        note(f"error: training ended without a model: {run.status().reason}")
        return 1
    for split in ("val", "test"):
        note(f"3/5 evaluate {split}")
        if split == "test":
            note(f"  {opening_words(run)}")
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
        prediction = predictor.predict(source)
        if prediction.score is None:
            note(f"  {source.name}: no heatmap. {prediction.verdict}")
            continue
        target = folder / f"{source.stem}.png"
        target.write_bytes(encode_png(overlay(prediction.prepared.pixels, predictor.explain(prediction))))
        written.append(target)
    return written


def _headline(run: Run) -> tuple[dict[str, Any], list[str]]:
    """The figures that stand for a run, and why some cannot be read: AUC on validation (at training's end) and on test
    (once its model is evaluated)."""
    from core.metrics.chance import chance_of_model
    from core.runs.test_set.provenance import EVALUATION, read_entries

    figures: dict[str, Any] = {"val_auc": None, "test_auc": None, "threshold": None, "chance": None}
    figures |= {"val_auc_interval": None, "test_auc_interval": None}
    problems = []
    card: ModelCard | None = None
    try:
        if run.has_model:
            card = run.model_card()
            if card.validation is None:
                raise BadRun(f"{run.path / 'model.json'}: it has no validation metrics. Restore the file, or train again")
            figures["val_auc"] = _number(card.validation.auc)
            if figures["val_auc"] is not None:
                figures["val_auc_interval"] = validation_limits(run, figures["val_auc"])
            figures["threshold"] = _number(card.required_threshold(str(run.path / "model.json")))
            figures["chance"] = chance_of_model(card, run.path) or None
    except LabError as error:
        problems.append(str(error))
    try:
        test = read_entries(run.path).get("test")
        if test and card and test.get("weights_sha256") == card.weights_sha256:  # not an earlier model's
            auc = test["metrics"]["auc"]
            figures["test_auc"] = _number(auc["value"])
            limits = tuple(map(_number, (auc.get("low"), auc.get("high"))))
            figures["test_auc_interval"] = limits if None not in limits else None
    except LabError as error:
        problems.append(str(error))
    except (AttributeError, KeyError, TypeError) as error:
        problems.append(f"{run.path / EVALUATION}: the entry of test is damaged ({type(error).__name__}: {error}).")
    return figures, problems


def chance_words(chance: str | None) -> str:
    """The sentence for what core.metrics.chance says of a model."""
    from core.metrics.chance import warning_of

    return warning_of(chance or "")


def _number(value: Any) -> float | None:
    """A figure as JSON has it. Raises TypeError for what is none."""
    if value is None or (isinstance(value, int | float) and math.isfinite(value)):
        return value
    raise TypeError(f"expected a number, got {value!r}")


def _unusable(run: Run) -> str:
    """What is wrong with the folder itself, in words and one line; "" when nothing is."""
    problem = run.problem
    if not problem:
        try:
            run.config()
        except LabError as error:
            problem = str(error)
    return " ".join(problem.split())
