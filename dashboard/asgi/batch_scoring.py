"""Many uploaded files through one model: archives unpacked, a row each as it is known, to be ended between two files."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.data.unpacking import CLUTTER, Limits, unpack
from core.errors import BadRun, LabError
from core.images.encode import encode_jpeg
from core.predict import Predictor
from core.runs import Run
from core.verdict_table import Row, verdict_rows
from dashboard.access import uploads
from dashboard.asgi.scoring import record_scoring
from dashboard.state import models, training_runs

MOST = 500  # images
THUMBNAIL = 96  # px, the longer side
LIMITS = Limits(4 * 1000**3, MOST, "Send fewer at a time, or use `python -m core predict` on this computer.")  # of a request
_ARCHIVE = b"PK\x03\x04"
_TABLES = (".csv", ".txt", ".json", ".xml", ".md", ".xlsx")  # what lies beside images in archives


@dataclass
class BatchResult:
    """What is known so far: `rows` as core.verdict_table has them, with the names that the files were sent under; `thumbnails`
    (JPEG) of each row's prepared images, `notes` what its note is made of; `files` in all, of which `done` are scored."""

    run: Run
    predictor: Predictor
    files: int
    done: int = 0
    rows: list[Row] = field(default_factory=list)
    thumbnails: list[list[bytes]] = field(default_factory=list)
    notes: list[tuple[str, ...]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def shared_notes(self) -> list[str]:
        """What every row that was read has to say: to be said once, where there are several."""
        read = [notes for notes, pictures in zip(self.notes, self.thumbnails, strict=True) if pictures]
        return [note for note in read[0] if all(note in notes for notes in read)] if len(read) > 1 else []

    @property
    def summary(self) -> dict[str, Any]:
        """As `python -m core predict --json` prints it."""
        thresholds = {"threshold": self.predictor.threshold, "view_thresholds": dict(self.predictor.thresholds.views)}
        return {"run": self.run.name, **thresholds, "chance": self.predictor.chance or None, "predictions": self.rows}


def open_model(name: str) -> tuple[Run, Predictor]:
    """The run of this name, "" for the newest one with a model, and its model. Raises BadRun: there is none."""
    runs = [run for run in training_runs.list_runs() if training_runs.has_model(run)]
    if not runs:
        raise BadRun("There is no trained model yet. Train one on the Train page.")
    if name and name not in [run.name for run in runs]:
        raise BadRun(f"run {name!r}: there is no such run with a model. Those there are: {', '.join(run.name for run in runs)}")
    run = training_runs.open_run(name) if name else runs[0]
    return run, models.predictor(run)


def score_files(name: str, sent: Sequence[str], *, stopping: Callable[[], bool] = lambda: False) -> Iterator[BatchResult]:
    """Score uploaded files, of which some may be archives; yields the one result again each time it has grown, at first empty.

    Raises:
        LabError: there is no model, an archive is refused, or there are too many images.
    """
    run, predictor = open_model(name)
    with ExitStack() as stack:
        files = _files(sent, stack)
        if not files:
            raise LabError("expected images, or a .zip with images, got none. Choose files.")
        if len(files) > MOST:
            raise LabError(f"expected at most {MOST} images, got {len(files)}. Use `python -m core predict` for more.")
        result = BatchResult(run, predictor, len(files))
        names = {path.as_posix(): shown for path, shown in files.items()}
        yield result
        recorded: dict[str, list[str]] = {}
        for path, shown in files.items():  # before anything is scored
            if warning := record_scoring(run, path):
                recorded.setdefault(warning, []).append(shown)
        result.warnings += [f"{_several(shown)}: {warning}" for warning, shown in recorded.items()]
        for judged in verdict_rows(predictor, list(files)):
            result.done += len(judged.row.get("files", (judged.row["file"],)))
            result.rows.append(_renamed(judged.row, names))
            result.thumbnails.append([_thumbnail(each) for each in judged.pictures])
            result.notes.append(judged.notes)
            yield result
            if stopping():
                return
        result.done = len(files)
        yield result


def _several(names: Sequence[str]) -> str:
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def _thumbnail(pixels: NDArray[np.uint8]) -> bytes:
    import cv2

    height, width = pixels.shape
    scale = THUMBNAIL / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return encode_jpeg(np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8), 85)


def _files(sent: Sequence[str], stack: ExitStack) -> dict[Path, str]:
    """The images to score, and the name of each: an archive's are unpacked into a folder that goes with `stack`."""
    found: dict[Path, str] = {}
    left = LIMITS
    for file in map(Path, sent):
        try:
            stream = stack.enter_context(file.open("rb"))
        except FileNotFoundError as error:
            raise LabError(
                f"{file.name}: the upload is no longer here: they are deleted after an hour. Send it again."
            ) from error
        if stream.read(4) != _ARCHIVE:
            found[file] = file.name
            stream.close()
            continue
        place = tempfile.TemporaryDirectory(prefix="mammolab-batch-", dir=uploads.unpacking_folder())
        folder = Path(stack.enter_context(place)) / "files"
        files = unpack([(file.name, stream)], folder, left)
        stream.close()
        inside = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in CLUTTER)
        # All archives of a request together: many small ones would fill the disk as one large one does.
        left = replace(left, total=left.total - sum(path.stat().st_size for path in inside), files=left.files - files)
        found |= {path: path.relative_to(folder).as_posix() for path in inside if path.suffix.lower() not in _TABLES}
    return found


def _renamed(row: Row, names: dict[str, str]) -> Row:
    """The row with the names that the files were sent under in place of where they lie on the server."""

    def plain(text: str) -> str:
        for path, name in names.items():
            text = text.replace(path, name).replace(str(Path(path)), name)
        return text

    return {
        key: plain(value) if isinstance(value, str) else [plain(each) for each in value] if isinstance(value, list) else value
        for key, value in row.items()
    }
