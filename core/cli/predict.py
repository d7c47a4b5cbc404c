"""The command `predict`: scores and decisions for image files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.cli.access_recording import record_files
from core.cli.arguments import Commands, add_command, frame_option, json_option, run_argument, score_anyway_option
from core.cli.image_files import ImageFiles
from core.cli.output import new_file, note, print_json, print_table, progress_bar
from core.cli.runs import chance_words
from core.cli.workspace import open_run

# First lines of the tables that `predict` writes: now, and before there was a column `refusal`.
_CSV_HEADS = (b"file,score,calibrated,decision,refusal,note", b"file,score,calibrated,decision,note")

if TYPE_CHECKING:
    from core.predict import Prediction


def add_commands(commands: Commands) -> None:
    parser = add_command(commands, "predict", predict, "predict scores and decisions for image files")
    run_argument(parser)
    parser.add_argument(
        "files",
        type=Path,
        nargs="+",
        metavar="FILE",
        action=ImageFiles,
        help="images, folders, or patterns such as '*.png'",
    )
    frame_option(parser)
    score_anyway_option(parser)
    parser.add_argument("--csv", type=Path, metavar="out.csv", help="write the table to this file")
    json_option(parser)


def predict(arguments: argparse.Namespace) -> int:
    """Print verdicts; a file that cannot be read or gets none is listed with its reason and makes the exit code 1."""
    from core.predict import Predictor
    from core.runs.test_set.accesses import PREDICTION

    if arguments.csv:
        new_file(arguments.csv, ".csv", arguments.files, lambda head: head.startswith(_CSV_HEADS))
    run = open_run(arguments.run)
    predictor = Predictor.from_run(run.path)
    record_files(arguments.files, PREDICTION, "predict", root=run.path.parent, run=run.path)
    rows: list[dict[str, Any]] = []
    wanted = {"frame": arguments.frame, "score_anyway": arguments.score_anyway}
    with progress_bar("predicting") as progress:
        for path, result in zip(arguments.files, predictor.predict_many(arguments.files, progress, **wanted), strict=True):
            rows.append(_prediction_row(path, result))
    if arguments.csv:
        import pandas as pd

        arguments.csv.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(rows).to_csv(arguments.csv, index=False)
        note(f"written: {arguments.csv}")
    if arguments.json:
        summary = {"run": run.name, "threshold": predictor.threshold, "chance": predictor.chance or None}
        print_json(summary | {"predictions": rows})
    else:
        print_table([_prediction_line(row) for row in rows], ("file", "score", "calibrated", "decision", "note"))
        threshold = f"threshold {predictor.threshold:.3f}, chosen on validation"
        note(f"score: from 0 to 1, higher is more suspicious, no probability; {threshold}. Research use only.")
        if any(row["refusal"] for row in rows) and not arguments.score_anyway:
            note("--score-anyway gives a score, but no decision, to readable images without a verdict.")
        if predictor.chance:
            note(f"warning: {chance_words(predictor.chance)}")
    return 0 if all(row["score"] is not None for row in rows) else 1


def _prediction_row(path: Path, result: Prediction | tuple[Path, str]) -> dict[str, Any]:
    # The table is UTF-8, and a file name from another system may not be.
    name = path.as_posix().encode("utf-8", "backslashreplace").decode("utf-8")
    row: dict[str, Any] = {"file": name, "score": None, "calibrated": None, "decision": None, "refusal": None, "note": ""}
    if isinstance(result, tuple):
        return row | {"refusal": result[1], "note": result[1]}
    notes = [result.verdict.rstrip("."), *(["scored anyway"] if result.scored_anyway else [])] if result.refusal else []
    return row | {
        "score": None if result.score is None else round(result.score, 6),
        "calibrated": None if result.calibrated is None else round(result.calibrated, 6),
        "decision": result.decision,
        "refusal": result.refusal or None,
        "note": "; ".join([*notes, *result.warnings]),
    }


def _prediction_line(row: dict[str, Any]) -> tuple[str, ...]:
    """A row of the printed table; the score of an image without a verdict is marked."""
    numbers = ["" if row[name] is None else f"{row[name]:.3f}" for name in ("score", "calibrated")]
    if row["refusal"] and numbers[0]:
        numbers[0] += " (scored anyway)"
    return (row["file"], *numbers, row["decision"] or "no verdict", row["note"])
