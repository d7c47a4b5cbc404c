"""The command `pipeline`: data check, train, evaluate, explain, report."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from core.cli.arguments import Commands, add_command, config_options
from core.cli.output import note, progress_bar
from core.cli.train import STOPPED
from core.cli.training_progress import follow
from core.cli.workspace import load

if TYPE_CHECKING:
    from core.runs import Run


def add_commands(commands: Commands) -> None:
    parser = add_command(commands, "pipeline", pipeline, "check the data, train, evaluate, explain and report")
    config_options(parser)
    parser.add_argument("--run", metavar="NAME", help="name of the run")


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
        note(f"stopped before any test-set access. Resume with `python -m core train --resume {run.name}`, then evaluate it")
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
