"""evaluation.json, an entry a split, and predictions/<split>.csv, a row an image."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from filelock import FileLock

from core.atomic import write_text
from core.errors import BadRun
from core.evaluate.result import COLUMNS, Evaluation
from core.metrics.freezing import DECIMALS
from core.training.lineage import EVALUATION, read_entries

if TYPE_CHECKING:
    from core.training import Run


def lock(run: Run) -> FileLock:
    """The page and the command line may evaluate, or choose a threshold, at the same time."""
    return FileLock(run.path / ".evaluation.lock")


def read_evaluation(run: Run, split: str = "test") -> Evaluation | None:
    """What the last `evaluate` of this split wrote; None when there is none.

    Raises:
        BadRun: evaluation.json or the predictions are damaged.
    """
    entry = read_entries(run.path).get(split)
    if not entry or set(entry) == {"refrozen"}:  # a fork's threshold may be chosen again before its own test
        return None
    try:
        found = Evaluation.from_dict(entry, pd.DataFrame(), run.path)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BadRun(
            f"{run.path / EVALUATION}: the entry of {split} is damaged or of another version ({error}). "
            f"Evaluate again: `python -m core evaluate {run.name} --split {split}`."
        ) from error
    return replace(found, predictions=read_predictions(run, split))


def read_predictions(run: Run, split: str) -> pd.DataFrame:
    """predictions/<split>.csv: COLUMNS, then whatever else it has; everything as text but the score, float64.

    Raises:
        BadRun: the file is missing or not what `evaluate` writes.
    """
    path = run.path / "predictions" / f"{split}.csv"
    try:
        frame = pd.read_csv(path, dtype="str", keep_default_na=False, encoding="utf-8")
        missing = [name for name in COLUMNS if name not in frame.columns]
        if missing:
            raise ValueError(f"no column {', '.join(missing)}")
        return frame.assign(score=frame["score"].astype("float64"))
    except (OSError, ValueError) as error:
        raise BadRun(
            f"{path}: cannot be read ({error}). Evaluate again: `python -m core evaluate {run.name} --split {split}`."
        ) from error


def write_evaluation(folder: Path, evaluation: Evaluation) -> None:
    """Predictions first: an entry in evaluation.json always has its file."""
    stream = io.StringIO()
    evaluation.predictions.to_csv(stream, index=False, lineterminator="\n", float_format=f"%.{DECIMALS}f")
    (folder / "predictions").mkdir(exist_ok=True)
    write_text(folder / "predictions" / f"{evaluation.split}.csv", stream.getvalue())
    write_entries(folder, read_entries(folder) | {evaluation.split: evaluation.to_dict()})


def write_entries(folder: Path, entries: dict[str, Any]) -> None:
    """Replace evaluation.json."""
    write_text(folder / EVALUATION, json.dumps(entries, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
