"""A run's model on one of its splits: scores of every image, figures with intervals, and what was left out.

The threshold is the one frozen in model.json on validation; nothing here chooses anything. Every evaluation is
counted: a test set that has been looked at many times is no longer one.
"""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from filelock import FileLock
from numpy.typing import NDArray

from core.data import SPLITS, is_synthetic, require_no_leakage
from core.data.files import write_text
from core.errors import BadManifest, BadRun, NotEnoughData, UnreadableImage
from core.metrics import LEVELS, Summary, at_level, summarize

if TYPE_CHECKING:
    from core.data.cache import PreparedCache
    from core.predict import Predictor
    from core.training import Run

log = logging.getLogger(__name__)

COLUMNS = ("path", "patient_id", "laterality", "view", "label", "split", "score")
DECIMALS = 6
_SHA256 = re.compile("[0-9a-f]{64}")
# Small batches: 16 images of 256 px; fewer of larger ones, so that memory stays about the same.
_BATCH_IMAGES, _BATCH_PIXELS = 16, 4_000_000

Progress = Callable[[int, int], None]
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Excluded:
    """An image of the split that has no score, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Evaluation:
    """What one split says about a run's model.

    `levels` holds a Summary by level ("image", "breast", "patient"; scores of one breast or patient are averaged), or
    a note where there is none. `opened` counts how often this split has been evaluated for this run, this time
    included. `predictions` is predictions/<split>.csv: COLUMNS, scores rounded as in the file.
    """

    run: str
    split: str
    levels: dict[str, Summary | str]
    predictions: pd.DataFrame
    excluded: tuple[Excluded, ...]
    opened: int
    last_opened: str
    target_sensitivity: float | None
    synthetic: bool
    weights_sha256: str

    @property
    def summary(self) -> Summary:
        """The figures at image level."""
        summary = self.levels["image"]
        assert isinstance(summary, Summary)
        return summary

    @property
    def images(self) -> int:
        return self.summary.rows

    @property
    def patients(self) -> int:
        return self.summary.patients

    @property
    def threshold(self) -> float:
        return self.summary.threshold

    def table_rows(self) -> list[tuple[str, str, str, str]]:
        """(title, value, interval, note) as text, a row a figure at image level."""
        return self.summary.table_rows()

    def to_dict(self) -> dict[str, Any]:
        """This split's entry of evaluation.json; `metrics` are those at image level."""
        return {
            "run": self.run,
            "split": self.split,
            "opened": self.opened,
            "last_opened": self.last_opened,
            "images": self.images,
            "patients": self.patients,
            "threshold": self.threshold,
            "target_sensitivity": self.target_sensitivity,
            "synthetic": self.synthetic,
            "weights_sha256": self.weights_sha256,
            "metrics": self.summary.as_dict()["metrics"],
            "levels": {level: value if isinstance(value, str) else value.as_dict() for level, value in self.levels.items()},
            "excluded": [{"path": item.path, "reason": item.reason} for item in self.excluded],
        }


def evaluate(
    run: Run,
    split: str = "test",
    *,
    progress: Progress | None = None,
    predictor: Predictor | None = None,
    cache: PreparedCache | None = None,
) -> Evaluation:
    """Score every image of a split of the run's manifest and write predictions/<split>.csv and evaluation.json.

    Images that cannot be read, or whose file is no longer the one that was split, are left out and listed.

    Args:
        split: train, val or test. Opening test is counted.
        progress: called with (images done, images of the split).
        predictor: the run's loaded model, where the caller has it; else it is loaded.
        cache: of prepared images; by default the one in the user's cache folder.

    Raises:
        Leakage: a patient, or an identical file, stands in two splits: the figures would be worthless.
        BadManifest: no such split.
        NotEnoughData: the split has no image, or none that can be read.
        BadRun: the run has no model, or `predictor` is another run's.
    """
    rows = _rows(run, split)
    predictor = _predictor(run, predictor)
    if cache is None:
        from core.data.cache import PreparedCache, cache_root

        cache = PreparedCache(cache_root(), predictor.recipe)
    scores, excluded = _score(rows, predictor, cache, progress)
    if not scores:
        raise NotEnoughData(
            f"{split}: none of its {len(rows)} images can be scored; the first, {excluded[0].path}: {excluded[0].reason}. "
            "Check the manifest with `python -m core data check`."
        )
    predictions = rows.loc[list(scores), list(COLUMNS[:-1])].assign(score=np.round(list(scores.values()), DECIMALS))
    predictions = predictions.reset_index(drop=True)
    settings = run.config().evaluation
    levels = _levels(predictions, predictor.threshold, settings.bootstrap_samples, settings.confidence)
    target = predictor.card.get("target_sensitivity")
    with FileLock(run.path / ".evaluation.lock"):  # the page and the command line may evaluate at the same time
        before = _read_all(run.path).get(split) or {}
        evaluation = Evaluation(
            run=run.name,
            split=split,
            levels=levels,
            predictions=predictions,
            excluded=tuple(excluded),
            opened=int(before.get("opened", 0)) + 1,
            last_opened=datetime.now(UTC).isoformat(timespec="seconds"),
            target_sensitivity=None if target is None else float(target),
            synthetic=bool(predictor.card.get("synthetic")) or is_synthetic(rows),
            weights_sha256=str(predictor.card.get("weights_sha256", "")),
        )
        _write(run.path, evaluation)
    log.info("%s: %s evaluated (opened %d times), %d images left out", run.name, split, evaluation.opened, len(excluded))
    return evaluation


def read_evaluation(run: Run, split: str = "test") -> Evaluation | None:
    """What the last `evaluate` of this split wrote; None when there is none.

    Raises:
        BadRun: evaluation.json or the predictions are damaged.
    """
    entry = _read_all(run.path).get(split)
    if not entry:
        return None
    try:
        return Evaluation(
            run=entry["run"],
            split=entry["split"],
            levels={
                level: value if isinstance(value, str) else Summary.from_dict(value) for level, value in entry["levels"].items()
            },
            predictions=read_predictions(run, split),
            excluded=tuple(Excluded(**item) for item in entry["excluded"]),
            opened=entry["opened"],
            last_opened=entry["last_opened"],
            target_sensitivity=entry["target_sensitivity"],
            synthetic=entry["synthetic"],
            weights_sha256=entry["weights_sha256"],
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise BadRun(
            f"{run.path / 'evaluation.json'}: the entry of {split} is damaged or of another version ({error}). "
            f"Evaluate again: `python -m core evaluate {run.name} --split {split}`."
        ) from error


def read_predictions(run: Run, split: str) -> pd.DataFrame:
    """predictions/<split>.csv, text columns as text.

    Raises:
        BadRun: the file is missing or not what `evaluate` writes.
    """
    path = run.path / "predictions" / f"{split}.csv"
    try:
        frame = pd.read_csv(path, dtype=dict.fromkeys(COLUMNS[:-1], "str"), keep_default_na=False, encoding="utf-8")
        missing = [name for name in COLUMNS if name not in frame.columns]
        if missing:
            raise ValueError(f"no column {', '.join(missing)}")
        return frame.assign(score=frame["score"].astype("float64"))
    except (OSError, ValueError) as error:
        raise BadRun(f"{path}: cannot be read ({error}). Evaluate again: `python -m core evaluate {run.name}`.") from error


def _rows(run: Run, split: str) -> pd.DataFrame:
    if split not in SPLITS:
        raise BadManifest(f"split: expected one of {', '.join(SPLITS)}, got {split!r}")
    frame = run.manifest().reset_index(drop=True)
    require_no_leakage(frame)
    rows = frame[frame["split"] == split]
    if rows.empty:
        there = ", ".join(f"{name} ({count})" for name, count in frame["split"].value_counts().sort_index().items())
        raise NotEnoughData(f"{split}: the run's manifest has no image in this split; it has {there}. Evaluate one of those.")
    return rows


def _predictor(run: Run, predictor: Predictor | None) -> Predictor:
    if predictor is None:
        from core.predict import Predictor

        return Predictor.from_run(run)
    ours, theirs = run.model_card().get("weights_sha256"), predictor.card.get("weights_sha256")
    if ours != theirs:
        raise BadRun(f"{run.name}: the model that was passed is not this run's saved one. Load it again from the run.")
    return predictor


def _score(
    rows: pd.DataFrame, predictor: Predictor, cache: PreparedCache, progress: Progress | None
) -> tuple[dict[Any, float], list[Excluded]]:
    """Scores by row index, in the order of the rows, and the rows that have none."""
    scores: dict[Any, float] = {}
    excluded: list[Excluded] = []
    height, width = predictor.recipe.shape
    size = max(1, min(_BATCH_IMAGES, _BATCH_PIXELS // (height * width)))
    paths = rows["path"].astype("str").tolist()
    hashes = rows["content_hash"].astype("str").tolist() if "content_hash" in rows.columns else [""] * len(rows)
    batch: dict[Any, Pixels] = {}
    # The cache decodes ahead in its own threads while the model scores; closing ends them.
    with closing(cache.iter_prepare(paths)) as prepared:
        for done, (index, path, expected, rejected) in enumerate(
            zip(rows.index, paths, hashes, prepared, strict=True), start=1
        ):
            image = rejected.reason if rejected is not None else _pixels(path, expected, cache)
            if isinstance(image, str):
                excluded.append(Excluded(path, image))
            else:
                batch[index] = image
            if batch and (len(batch) == size or done == len(paths)):
                scores |= zip(batch, predictor.score_pixels(np.stack(list(batch.values()))), strict=True)
                batch = {}
            if progress is not None:
                progress(done, len(paths))
    return scores, excluded


def _pixels(path: str, expected: str, cache: PreparedCache) -> Pixels | str:
    """The prepared image, or why there is none."""
    try:
        image = cache.get(path)
    except UnreadableImage as error:
        return str(error)
    if _SHA256.fullmatch(expected) and image.content_hash != expected:
        return "the file is no longer the one that was put into this split: its content has changed"
    return image.pixels


def _levels(predictions: pd.DataFrame, threshold: float, samples: int, confidence: float) -> dict[str, Summary | str]:
    levels: dict[str, Summary | str] = {}
    for level in LEVELS:
        try:
            table = at_level(predictions, level)
        except NotEnoughData as error:
            levels[level] = str(error)
            continue
        levels[level] = summarize(
            table["label"],
            table["score"],
            threshold,
            table["patient_id"],
            samples=samples,
            confidence=confidence,
            level=level,
        )
    return levels


def _read_all(folder: Path) -> dict[str, Any]:
    path = folder / "evaluation.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise BadRun(
            f"{path}: damaged: {error}. It counts how often the test set was opened: restore it from a copy, or move it away "
            "and say in your report that the count was lost."
        ) from error
    if not isinstance(content, dict):
        raise BadRun(f"{path}: expected an object with an entry a split, got {type(content).__name__}. Restore it from a copy.")
    return content


def _write(folder: Path, evaluation: Evaluation) -> None:
    """Predictions first: an entry in evaluation.json always has its file."""
    stream = io.StringIO()
    evaluation.predictions.to_csv(stream, index=False, lineterminator="\n", float_format=f"%.{DECIMALS}f")
    (folder / "predictions").mkdir(exist_ok=True)
    write_text(folder / "predictions" / f"{evaluation.split}.csv", stream.getvalue())
    everything = _read_all(folder) | {evaluation.split: evaluation.to_dict()}
    write_text(folder / "evaluation.json", json.dumps(everything, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
