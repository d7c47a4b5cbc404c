"""evaluation.json, an entry a split, and predictions/<split>.csv, a row an image, or a breast where the model judges these."""

from __future__ import annotations

import io
import json
import shlex
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from core.data.breasts import paths_of
from core.data.known_images import training_rows
from core.errors import BadManifest, BadRun
from core.evaluate.result import COLUMNS, CalibrationReport, Evaluation
from core.files.atomic import write_text
from core.files.untrusted import read_bytes
from core.metrics.levels import PATHS
from core.metrics.operating_points import DECIMALS
from core.runs.folder import is_study, was_deleted
from core.runs.locks import EVALUATION as LOCK
from core.runs.locks import holding
from core.runs.test_set.external import externals, is_external, require_split, short_name
from core.runs.test_set.provenance import EVALUATION, read_entries

if TYPE_CHECKING:
    from core.runs import Run


LARGEST_TABLE = 1 << 28  # bytes; a million images
MOST_COLUMNS = 1_000
FACTS = "training_images.csv"  # in predictions/: what the files of the training images tell, for the shortcut audit


def lock(run: Run) -> AbstractContextManager[None]:
    """The page and the command line may evaluate, or choose a threshold, at the same time; and somebody may delete the run.

    Raises:
        BadRun: on entering: the run was deleted, or its folder cannot be written to.
    """
    return holding(run.path, LOCK)


def read_evaluation(run: Run, split: str = "test") -> Evaluation | None:
    """What the last `evaluate` of this split wrote; None when there is none.

    Raises:
        BadManifest: no such split.
        BadRun: evaluation.json or the predictions are damaged.
    """
    entry = read_entries(run.path).get(require_split(split))
    if not entry or set(entry) == {"refrozen"}:  # a fork's threshold may be chosen again before its own test
        return None
    try:
        found = Evaluation.from_dict(entry, run.path)
        _require_whole(found)
    except (LookupError, TypeError, ValueError) as error:
        raise BadRun(
            f"{run.path / EVALUATION}: the entry of {split} is damaged or of another version ({error}). "
            f"Evaluate again: {evaluate_command(run, split)}."
        ) from error
    return replace(found, predictions=read_predictions(run, split))


def evaluate_command(run: Run | str, split: str) -> str:
    """The command that evaluates this split, or this external test set, to be shown as code."""
    which = f"--manifest M.csv --name {short_name(split)}" if is_external(split) else f"--split {split}"
    if not isinstance(run, str):  # one in a study is found by its folder alone
        path = run.path
        run = shlex.quote(path.as_posix()) if is_study(path.parent) else run.name
    return f"`python -m core evaluate {run} {which}`"


def external_splits(run: Run) -> list[str]:
    """The names of the external test sets that the run was evaluated on, sorted. Raises BadRun: evaluation.json is damaged."""
    entries = read_entries(run.path)
    return [split for split in externals(entries) if (entries[split] or {}).get("opened")]


def _require_whole(found: Evaluation) -> None:
    """Raises LookupError or ValueError when what everybody shows is missing."""
    if isinstance(found.levels[found.level], str):
        raise ValueError(f"it has no metrics by {found.level}")
    for level, summary in found.levels.items():
        if not isinstance(summary, str) and not {"auc", "sensitivity", "specificity"} <= summary.metrics.keys():
            raise ValueError(f"its metrics by {level} lack some of AUC, sensitivity and specificity")
    for report in (found.calibration, *found.calibrations.values()):
        if not isinstance(report, str):
            if missing := {"none", report.frozen.method} - report.summaries.keys():
                raise ValueError(f"its calibration lacks {', '.join(sorted(missing))}")
            _require_curves(report)


def _require_curves(report: CalibrationReport) -> None:
    for name, bins in report.bins.items():
        curves = [bins.score, bins.observed, bins.low, bins.high]
        if any(curve.shape != bins.count.shape or curve.ndim != 1 or not np.isfinite(curve).all() for curve in curves):
            raise ValueError(f"its calibration curve {name} is no curve")
        if bins.edges.ndim != 1 or not np.isfinite(bins.edges).all():
            raise ValueError(f"its calibration curve {name} has bins without edges")


def read_predictions(run: Run, split: str) -> pd.DataFrame:
    """predictions/<split>.csv: COLUMNS, then whatever else it has; everything as text but the score, float64.

    Raises:
        BadRun: the file is missing or not what `evaluate` writes.
    """
    path = run.path / "predictions" / f"{split}.csv"
    try:
        frame = read_table(path)
        missing = [name for name in COLUMNS if name not in frame.columns]
        if missing:
            raise ValueError(f"no column {', '.join(missing)}")
        scores = frame["score"].astype("float64")
        if not np.all((scores >= 0) & (scores <= 1)):
            raise ValueError("expected scores from 0 to 1")
        for cell in frame[PATHS] if PATHS in frame.columns else ():
            paths_of(cell)
        return frame.assign(score=scores)
    except (OSError, ValueError, BadManifest) as error:
        words = getattr(error, "strerror", None) or error
        raise BadRun(f"{path}: cannot be read ({words}). Evaluate again: {evaluate_command(run, split)}.") from error


def read_table(path: Path) -> pd.DataFrame:
    """A CSV file of a run, everything as text.

    Raises:
        OSError, ValueError: it is missing, no regular file, too large, or no table.
    """
    content = read_bytes(path, LARGEST_TABLE)
    columns = content[: content.find(b"\n") + 1 or len(content)].count(b",") + 1
    if columns > MOST_COLUMNS:  # time and memory grow with them, whatever they hold
        raise ValueError(f"expected at most {MOST_COLUMNS:,} columns, got {columns:,}")
    return pd.read_csv(io.BytesIO(content), dtype="str", keep_default_na=False, encoding="utf-8")


def read_facts(run: Run, manifest: pd.DataFrame) -> dict[Any, dict[str, str]] | None:
    """What an earlier evaluation read from the training images' files, by row index; None when nothing is stored.

    Metrics can so be made again where the images are not, and do not change with what the image cache holds. A stored table
    of other images than the manifest's training images counts as none.
    """
    try:
        table = read_table(run.path / "predictions" / FACTS)
    except (OSError, ValueError):
        return None
    rows = training_rows(manifest)
    index = dict(zip(rows["path"].astype("str"), rows.index, strict=True))
    if "path" not in table.columns or not set(table["path"]) <= set(index) or table["path"].duplicated().any():
        return None
    records: list[dict[Any, str]] = table.drop(columns="path").to_dict("records")
    facts = ({str(name): value for name, value in record.items()} for record in records)
    return {index[path]: record for path, record in zip(table["path"], facts, strict=True)}


def write_facts(folder: Path, manifest: pd.DataFrame, facts: Mapping[Any, Mapping[str, str]]) -> None:
    """Keep what was read from the training images' files, a row an image. Raises BadRun when it cannot be written."""
    table = pd.DataFrame.from_records(list(facts.values()))
    table.insert(0, "path", manifest.loc[list(facts), "path"].astype("str").to_numpy())
    try:
        (folder / "predictions").mkdir(exist_ok=True)
        write_text(folder / "predictions" / FACTS, table.to_csv(index=False, lineterminator="\n"))
    except OSError as error:
        if not folder.is_dir():
            raise was_deleted(folder) from error
        raise BadRun(f"{folder.name}: {FACTS} cannot be written ({error.strerror or error}). Free some space.") from error


def write_evaluation(folder: Path, evaluation: Evaluation, unlabelled: pd.DataFrame | None = None) -> None:
    """Predictions first: an entry in evaluation.json always has its file.

    `unlabelled`: scores of images without a label, for predictions/unlabelled-<split>.csv, in place of earlier ones; None
    leaves what is there.
    """
    stream = io.StringIO()
    evaluation.predictions.to_csv(stream, index=False, lineterminator="\n", float_format=f"%.{DECIMALS}f")
    try:
        (folder / "predictions").mkdir(exist_ok=True)
        write_text(folder / "predictions" / f"{evaluation.split}.csv", stream.getvalue())
        if unlabelled is not None:
            _write_unlabelled(folder / "predictions" / f"unlabelled-{evaluation.split}.csv", unlabelled)
        write_entries(folder, read_entries(folder) | {evaluation.split: evaluation.to_dict()})
    except OSError as error:
        if not folder.is_dir():
            raise was_deleted(folder) from error
        raise BadRun(f"{folder.name}: the metrics cannot be written ({error.strerror or error}). Free some space.") from error


def _write_unlabelled(path: Path, unlabelled: pd.DataFrame) -> None:
    if unlabelled.empty:
        path.unlink(missing_ok=True)
        return
    text = unlabelled.to_csv(index=False, lineterminator="\n", float_format=f"%.{DECIMALS}f")
    write_text(path, text)


def write_entries(folder: Path, entries: dict[str, Any]) -> None:
    """Replace evaluation.json."""
    write_text(folder / EVALUATION, json.dumps(entries, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
