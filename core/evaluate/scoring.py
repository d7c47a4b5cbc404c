"""Images of a split -> scores, and what the images themselves say; those without a score are listed with their reason."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from core.data import SPLITS, labelled, require_no_leakage
from core.data.manifest import is_excluded
from core.errors import BadManifest, BadRun, NotEnoughData, UnreadableImage
from core.evaluate.metadata import facts_of, metadata
from core.evaluate.result import REFUSED, UNREADABLE, Excluded

if TYPE_CHECKING:
    from core.config import Recipe
    from core.data.cache import CachedImage, PreparedCache
    from core.predict import Predictor
    from core.runs import Run

Progress = Callable[[int, int], None]

_ENOUGH = 0.9  # of the training images: so many must be readable to be learned from
_SHA256 = re.compile("[0-9a-f]{64}")
# Small batches: 16 images of 256 px; fewer of larger ones, so that memory stays about the same.
_BATCH_IMAGES, _BATCH_PIXELS = 16, 4_000_000


@dataclass
class Scored:
    """By row index, in the order of the rows: `scores`, `facts` of each scored image, and its file's `hashes` (SHA-256)."""

    scores: dict[Any, float] = field(default_factory=dict)
    facts: dict[Any, dict[str, str]] = field(default_factory=dict)
    hashes: dict[Any, str] = field(default_factory=dict)
    excluded: list[Excluded] = field(default_factory=list)

    def of(self, rows: Collection[Any]) -> Scored:
        """Of these rows only, with the same images left out."""
        chosen = set(rows)

        def part(found: dict[Any, Any]) -> dict[Any, Any]:
            return {row: value for row, value in found.items() if row in chosen}

        return Scored(part(self.scores), part(self.facts), part(self.hashes), self.excluded)


def rows_of(run: Run, split: str) -> pd.DataFrame:
    """The split's rows of the run's manifest.

    Raises:
        BadManifest: no such split.
        Leakage: a patient, or an identical file, stands in two splits, which the run's configuration does not allow.
        NotEnoughData: the split has no image.
    """
    if split not in SPLITS:
        raise BadManifest(f"split: expected one of {', '.join(SPLITS)}, got {split!r}")
    frame = run.manifest().reset_index(drop=True)
    if not run.config().data.allow_leakage:  # the run's model carries the mark
        require_no_leakage(frame[~is_excluded(frame)])
    rows = labelled(frame[frame["split"] == split])
    if rows.empty:
        there = ", ".join(f"{name} ({count})" for name, count in frame["split"].value_counts().sort_index().items())
        raise NotEnoughData(f"{split}: the run's manifest has no image in this split; it has {there}. Evaluate one of those.")
    return rows


def predictor_of(run: Run, predictor: Predictor | None) -> Predictor:
    """The run's model, loaded where the caller has none. Raises BadRun: the run has no model, or the given one is another's."""
    if predictor is None:
        from core.predict import Predictor

        return Predictor.from_run(run)
    if run.model_card().weights_sha256 != predictor.card.weights_sha256:
        raise BadRun(f"{run.name}: the model that was passed is not this run's saved one. Load it again from the run.")
    return predictor


def default_cache(recipe: Recipe) -> PreparedCache:
    """The cache of prepared images in the user's cache folder."""
    from core.data.cache import PreparedCache
    from core.files.paths import cache_root

    return PreparedCache(cache_root(), recipe)


def score(rows: pd.DataFrame, predictor: Predictor, cache: PreparedCache, progress: Progress | None) -> Scored:
    """Judge every row whose file can be read and is still the one that was split, as `Predictor.predict` would.

    What gets no verdict there has no score here: it is left out with the same reason.
    """
    result = Scored()
    height, width = predictor.recipe.shape
    size = max(1, min(_BATCH_IMAGES, _BATCH_PIXELS // (height * width)))
    paths = rows["path"].astype("str").tolist()
    hashes = rows["content_hash"].astype("str").tolist() if "content_hash" in rows.columns else [""] * len(rows)
    labels = rows["label"].astype("str")
    batch: dict[Any, CachedImage] = {}
    # The cache decodes ahead in its own threads while the model scores; closing ends them.
    with closing(cache.iter_prepare(paths)) as prepared:
        for done, (index, path, expected, rejected) in enumerate(
            zip(rows.index, paths, hashes, prepared, strict=True), start=1
        ):
            image = rejected.reason if rejected is not None else image_of(path, expected, cache)
            if isinstance(image, str):
                result.excluded.append(Excluded(path, image, labels[index], UNREADABLE))
            else:
                batch[index] = image
            if batch and (len(batch) == size or done == len(paths)):
                _judge(batch, predictor, rows, result)
                batch = {}
            if progress is not None:
                progress(done, len(paths))
    return result


def _judge(batch: dict[Any, CachedImage], predictor: Predictor, rows: pd.DataFrame, result: Scored) -> None:
    """Put the images of a batch into the result, by their row index: scored, or left out with their refusal."""
    paths = [str(rows.at[index, "path"]) for index in batch]
    predictions = predictor.predict_cached(list(batch.values()), paths=paths)
    for index, image, prediction in zip(batch, batch.values(), predictions, strict=True):
        if prediction.score is None:
            path, label = (str(rows.at[index, name]) for name in ("path", "label"))
            result.excluded.append(Excluded(path, prediction.refusal, label, REFUSED))
        else:
            result.scores[index] = prediction.score
            result.facts[index] = facts_of(image)
            result.hashes[index] = image.content_hash


def training_facts(manifest: pd.DataFrame, cache: PreparedCache, tick: Callable[[], None] | None = None) -> dict[Any, dict]:
    """`facts_of` each training image that can be read, by row index; what the cache lacks is prepared now.

    So the answer depends on the images and not on what the cache happens to hold. `tick` is called after each image; an
    exception that it raises ends the work.
    """
    rows = manifest[manifest["split"] == "train"]
    paths = rows["path"].astype("str").tolist()
    found: dict[Any, dict] = {}
    with closing(cache.iter_prepare(paths)) as prepared:
        for index, path, rejected in zip(rows.index, paths, prepared, strict=True):
            if rejected is None:
                with suppress(UnreadableImage):  # it was deleted since it was prepared
                    found[index] = facts_of(cache.get(path))
            if tick is not None:
                tick()
    return found


def training_metadata(manifest: pd.DataFrame, facts: dict[Any, dict], extra: Sequence[str] = ()) -> pd.DataFrame | None:
    """Label, patient and metadata of the training images that have `facts`.

    None when fewer than nine in ten of them have any (or one class of them), for what they look like is then not known.
    """
    rows = manifest[manifest["split"] == "train"]
    found = rows.loc[list(facts)]
    if len(found) < _ENOUGH * len(rows) or found["label"].nunique() < 2:
        return None
    known = metadata(rows, facts, extra)
    own = found[["label", "patient_id", "view", "laterality"]].astype("str")
    return own.join(known[[name for name in known.columns if name not in own.columns]])


def image_of(path: str, expected: str, cache: PreparedCache) -> CachedImage | str:
    """The prepared image, or why there is none: `expected` is the SHA-256 of its file, "" where nobody wrote it down."""
    try:
        image = cache.get(path)
    except UnreadableImage as error:
        return str(error)
    if _SHA256.fullmatch(expected) and image.content_hash != expected:
        return "the file is no longer the one that was put into this split: its content has changed"
    return image
