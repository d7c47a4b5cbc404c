"""Which images the patch phase learns from: those with a lesion whose place is known, and none that will validate or test.

the run's own training images, or another manifest's -> without the run's validation and test patients, files and pictures
-> prepared -> lesions placed in them
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd

from core.config import Config
from core.data import read_manifest, write_manifest
from core.data.cache import PreparedCache, Rejected
from core.data.identity import without_patient
from core.data.lesion_masks import PlacedLesion, placed_lesions
from core.data.lesion_places import with_lesions
from core.data.manifest import is_excluded
from core.data.overlap import overlap_of, with_patients
from core.data.overlap_pictures import copies_of
from core.errors import BadConfig, BadManifest, LabError, NotEnoughData, TrainingFailed, UnreadableImage
from core.files.folders import write_text
from core.runs.events import Event, ExcludedEvent, PrepareEvent, WarningEvent
from core.runs.run import EXCLUDED, PATCHES
from core.training.distributed import World
from core.training.image_preparation import Rows, excluded_table
from core.training.leakage import Progress, searched
from core.training.patches.images import PatchImages
from core.training.run_logger import RunLogger
from core.training.timing import LoopTiming, Throttle
from core.wording import counted

_FEWEST = 4  # images with a lesion
_REMEDY = "Put the files back as they were and resume, or start a new run."


def require_patches(config: Config, train: pd.DataFrame) -> None:
    """Refuse what a patch phase will refuse, before any image is prepared. `train`: the run's own training rows.

    Raises:
        LabError: as `patch_images`.
    """
    lesions, shape = config.training.lesions, config.preprocessing.shape
    if not lesions.patch_epochs:
        return
    if lesions.patch_size > min(shape):
        raise BadConfig(
            f"training.lesions.patch_size: a patch of {lesions.patch_size} pixels does not fit into prepared images of "
            f"{shape[0]} x {shape[1]}. Choose at most {min(shape)}"
        )
    if lesions.patch_manifest:
        _listed(Path(lesions.patch_manifest))
    else:
        _with_lesions(train, "training images")


def patch_images(
    logger: RunLogger, rows: Rows, config: Config, timing: LoopTiming, world: World, *, resumed: bool
) -> Generator[Event, None, PatchImages | None]:
    """The images of the patch phase, prepared, with their lesions. Yields "prepare", "excluded" and "warning" events. None: a
    stop was requested.

    Of another manifest the rows that are used are written to patches.csv, with what is in their files; a phase that is
    `resumed` goes by that file. The first process does it, for all.

    Raises:
        BadManifest: the manifest of the patches cannot be used, or what it says of lesions cannot be read.
        NotEnoughData: too few images with a lesion are left.
        TrainingFailed: patches.csv, or an image in it, is gone or has changed.
    """
    found: PatchImages | None = None
    problem: LabError | None = None
    if world.is_rank_zero:
        try:
            found = yield from _patch_images(logger, rows, config, timing, resumed=resumed)
        except LabError as error:
            problem = error

    def outcome() -> PatchImages | None:
        if problem is not None:
            raise problem
        return found

    return world.broadcast_object(outcome)


def _patch_images(
    logger: RunLogger, rows: Rows, config: Config, timing: LoopTiming, *, resumed: bool
) -> Generator[Event, None, PatchImages | None]:
    lesions = config.training.lesions
    if not lesions.patch_manifest:
        return (
            yield from _placed(logger, _with_lesions(rows.train, "training images"), rows.cache, lesions.patch_size, timing)
        )
    recorded: pd.DataFrame | None
    if not resumed:  # what an attempt without a checkpoint wrote does not count: the manifest may have been mended since
        chosen = yield from _chosen(logger, Path(lesions.patch_manifest), timing)
        if chosen is None:
            return None
        recorded = yield from _recorded(logger, chosen, rows.cache, timing)
        if recorded is None:
            return None
    else:
        recorded = logger.run.patch_rows()
        if recorded is None or "content_hash" not in recorded.columns:
            raise TrainingFailed(f"{PATCHES}: expected the images that this run cuts patches from, got none. {_REMEDY}")
        _require_unchanged(recorded, rows.cache)
    return (yield from _placed(logger, recorded, rows.cache, lesions.patch_size, timing))


def _with_lesions(frame: pd.DataFrame, what: str) -> pd.DataFrame:
    found = frame[with_lesions(frame)]
    if len(found) < _FEWEST:
        raise NotEnoughData(
            f"training.lesions.patch_epochs: of {counted(len(frame), 'image')} ({what}) {len(found)} say where a lesion is, "
            f"and a patch phase needs {_FEWEST}. Fill the column lesions, lesion_masks or lesion_circles, name a manifest that "
            "has them (training.lesions.patch_manifest), or set patch_epochs to 0."
        )
    return found


def _listed(path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All rows of another manifest, and those with a lesion that may be learnt from."""
    listed = read_manifest(path)
    # Where some rows have a split, one without a split is in none of them.
    wanted = "train" if (listed["split"] != "").any() else ""
    used = listed[~is_excluded(listed) & (listed["split"] == wanted)]
    return listed, _with_lesions(used, f"{path.name}, {'split train' if wanted else 'all'}")


def _chosen(logger: RunLogger, path: Path, timing: LoopTiming) -> Generator[Event, None, pd.DataFrame | None]:
    """The other manifest's rows with a lesion, without those that the run validates or tests on."""
    listed, used = _listed(path)
    own = logger.run.manifest()
    judged = own[own["split"].isin(["val", "test"])].reset_index(drop=True)
    # All images of their patients are compared: one without a lesion may show that a patient is the run's.
    same = overlap_of(judged, listed)
    left = used[~used.index.isin(list(same.rows))]
    patients = left.loc[~without_patient(left), "patient_id"]
    theirs = listed[listed["patient_id"].isin(patients) | listed.index.isin(left.index)]

    def look(progress: Progress) -> tuple[dict[Any, str], str]:
        return copies_of(judged, theirs, progress) if len(theirs) else ({}, "")

    found = yield from searched(logger, look, len(theirs), Throttle(timing.between_images))
    if found is None:
        return None
    kept = left[~left.index.isin(list(with_patients(theirs, found[0])))]
    doubts = [*same.doubts, *([found[1]] if found[1] else [])]
    gone = len(used) - len(kept)
    if gone:
        doubts.insert(
            0, f"{counted(gone, 'image')} left out: their patients, files or pictures are in this run's validation or test set"
        )
    if doubts:
        message = f"Patches from {path.name}: {'; '.join(doubts)}."
        yield logger.event(WarningEvent(type="warning", about="patches", message=message))
    return _with_lesions(kept, f"{path.name}, without this run's validation and test patients")


def _recorded(
    logger: RunLogger, frame: pd.DataFrame, cache: PreparedCache, timing: LoopTiming
) -> Generator[Event, None, pd.DataFrame | None]:
    """Prepare the images and write down which are used; what cannot be read is left out by name."""
    rejected: dict[str, str] = {}
    report = Throttle(timing.between_images)
    with closing(cache.iter_prepare(frame["path"].to_list())) as prepared:
        for done, result in enumerate(prepared, 1):
            if isinstance(result, Rejected):
                rejected[result.path] = result.reason
                yield logger.event(ExcludedEvent(type="excluded", path=result.path, reason=result.reason))
            if report.due(force=done == len(frame)):
                yield logger.event(PrepareEvent(type="prepare", done=done, total=len(frame), what="lesions"))
                if logger.run.requested("stop"):
                    return None
    if rejected:
        write_text(logger.run.path / EXCLUDED, excluded_table(logger.run.excluded() | rejected))
    kept = _with_lesions(frame[~frame["path"].isin(list(rejected))], "those that can be read")
    hashes = [cache.get(path).content_hash for path in kept["path"]]
    kept = kept.assign(content_hash=pd.Series(hashes, index=kept.index, dtype="str"))
    write_manifest(kept, logger.run.path / PATCHES)
    return kept


def _require_unchanged(frame: pd.DataFrame, cache: PreparedCache) -> None:
    for path, expected in zip(frame["path"], frame["content_hash"], strict=True):
        try:
            found = cache.get(path).content_hash
        except UnreadableImage as error:
            raise TrainingFailed(f"An image of the patch phase can no longer be read: {error} {_REMEDY}") from error
        if found != expected:
            raise TrainingFailed(f"{path}: the file has changed since this run cut patches from it. {_REMEDY}")


def _placed(
    logger: RunLogger, frame: pd.DataFrame, cache: PreparedCache, size: int, timing: LoopTiming
) -> Generator[Event, None, PatchImages | None]:
    """The lesions of each image in prepared pixels; images of which none lies in the prepared image are left out."""
    paths: list[str] = []
    placed: list[list[PlacedLesion]] = []
    outside = 0
    report = Throttle(timing.between_images)
    for done, row in enumerate(frame.to_dict("records"), 1):
        image = cache.get(str(row["path"]))
        try:
            found = placed_lesions(row, image.matrix, image.original_shape, cache.recipe.shape)
        except (BadManifest, UnreadableImage) as error:
            raise BadManifest(f"{row['path']}: {error}") from error
        if found:
            paths.append(str(row["path"]))
            placed.append(found)
        else:
            outside += 1
        if report.due():
            yield logger.event(PrepareEvent(type="prepare", done=done, total=len(frame), what="lesions"))
            if logger.run.requested("stop"):
                return None
    if outside:
        message = f"Patches: {counted(outside, 'image')} left out, whose lesions lie outside of the part that is prepared."
        yield logger.event(WarningEvent(type="warning", about="lesions", message=message))
    if len(paths) < _FEWEST:
        raise NotEnoughData(
            f"training.lesions.patch_epochs: {len(paths)} images have a lesion in their prepared part, needed: {_FEWEST}."
        )
    return PatchImages(paths, placed, cache, size)
