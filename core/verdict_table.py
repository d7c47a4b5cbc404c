"""Verdicts on files as rows of a table: what `predict`, the batch of the Test image page and its endpoints give."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.data.known_images import KnownImages
from core.errors import BadRun
from core.predict import Predictor
from core.predict_breasts import predict_breasts
from core.prediction import BreastPrediction, Prediction
from core.wording import sentences

COLUMNS = ("file", "score", "calibrated", "decision", "refusal", "note", "view", "threshold", "threshold_basis")

Progress = Callable[[int, int], None]
Row = dict[str, Any]


@dataclass(frozen=True)
class Judged:
    """A `row`, the prepared images that it is about, uint8 (H, W), and what its note is made of."""

    row: Row
    pictures: tuple[NDArray[np.uint8], ...] = ()
    notes: tuple[str, ...] = ()


def verdict_rows(
    predictor: Predictor,
    files: Sequence[Path],
    progress: Progress | None = None,
    *,
    frame: int | None = None,
    known: KnownImages | None = None,
    score_anyway: bool = False,
) -> Iterator[Judged]:
    """A row an image, or a row a breast where the model judges these, in the order of the files, each once it is known.

    Of COLUMNS `score`, `calibrated` and `threshold` are numbers or None; `decision` is benign, malignant or None; `refusal`
    says why there is none, None otherwise; `note` has all that is to be said with it. Breasts also have `files` and `left_out`.

    Args:
        progress: called with (files done, files).
        frame: of stacks, from 0.
        known: a manifest that says which files are of one breast.
        score_anyway: a score, and no decision, also where there is a refusal.

    Raises:
        BadRun: `frame` for a model of breasts, or `known` for one of images.
    """
    if not predictor.judges_breasts:
        if known is not None:
            raise BadRun("--manifest: this model judges single images, so nothing has to be paired. Leave it out.")
        results = predictor.predict_many(files, progress, frame=frame, score_anyway=score_anyway)
        return (_image_row(path, result) for path, result in zip(files, results, strict=True))
    if frame is not None:
        raise BadRun("--frame: a model of two views takes the files of a breast, each with one image. Leave it out.")
    found = predict_breasts(predictor, files, progress, known=known, score_anyway=score_anyway)
    return (_breast_row(paths, result) for paths, result in found)


def _breast_row(paths: Sequence[Path], result: BreastPrediction | str) -> Judged:
    names = [_printable_path(path) for path in paths]
    row = _empty_row(" + ".join(names)) | {"files": names}
    if isinstance(result, str):
        return Judged(row | {"refusal": result, "note": result})
    left_out = [_printable_path(path) for path, _ in result.unread]
    left_out += [_printable_path(image.path) for image in result.images if image.left_out and image.path is not None]
    row |= _verdict(result) | {"view": result.views or None, "threshold": result.threshold, "left_out": left_out}
    return Judged(row, tuple(image.prepared.pixels for image in result.images), _notes(result))


def _image_row(path: Path, result: Prediction | tuple[Path, str]) -> Judged:
    row = _empty_row(_printable_path(path))
    if isinstance(result, tuple):
        return Judged(row | {"refusal": result[1], "note": result[1]})
    basis = result.threshold_basis or None
    row |= _verdict(result) | {"view": result.view or None, "threshold": result.threshold, "threshold_basis": basis}
    return Judged(row, (result.prepared.pixels,), _notes(result))


def _empty_row(name: str) -> Row:
    row: Row = {"file": name, "score": None, "calibrated": None, "decision": None, "refusal": None, "note": ""}
    return row | {"view": None, "threshold": None, "threshold_basis": None}


def _printable_path(path: Path) -> str:
    # The table is UTF-8, and a file name from another system may not be.
    return path.as_posix().encode("utf-8", "backslashreplace").decode("utf-8")


def _notes(result: Prediction | BreastPrediction) -> tuple[str, ...]:
    refused = (result.verdict.rstrip("."), *(("scored anyway",) if result.scored_anyway else ())) if result.refusal else ()
    return (*refused, *result.warnings)


def _verdict(result: Prediction | BreastPrediction) -> Row:
    return {
        "score": None if result.score is None else round(result.score, 6),
        "calibrated": None if result.calibrated is None else round(result.calibrated, 6),
        "decision": result.decision,
        "refusal": result.refusal or None,
        "note": sentences(_notes(result)),
    }
