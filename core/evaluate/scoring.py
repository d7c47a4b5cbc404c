"""Images of a split -> scores, and what the images themselves say; those without a score are listed with their reason.

A model that judges breasts gives one score for all images of a breast; an image without one is then a missing view.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import accumulate, islice
from typing import TYPE_CHECKING, Any

import pandas as pd

from core.data import SPLITS, labelled, require_no_leakage
from core.data.breasts import breast_rows, breasts_of
from core.data.known_images import training_rows
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
    """By row index, in the order of the rows: `scores`, `facts` of each scored image, and its file's `hashes` (SHA-256).

    Of breasts, scores and facts stand at the first image of each that took part, and `members` has all that did (of images,
    each has itself).
    """

    scores: dict[Any, float] = field(default_factory=dict)
    facts: dict[Any, dict[str, str]] = field(default_factory=dict)
    hashes: dict[Any, str] = field(default_factory=dict)
    excluded: list[Excluded] = field(default_factory=list)
    members: dict[Any, tuple[Any, ...]] = field(default_factory=dict)

    def of(self, rows: Collection[Any]) -> Scored:
        """Of these rows only (of breasts, of those whose first image is among them), with the same images left out."""
        chosen = set(rows)
        images = {image for row in chosen for image in self.members.get(row, ())}

        def part(found: dict[Any, Any], rows: set[Any] = chosen) -> dict[Any, Any]:
            return {row: value for row, value in found.items() if row in rows}

        return Scored(part(self.scores), part(self.facts), part(self.hashes, images), self.excluded, part(self.members))


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
    """Judge every row whose file can be read and is still the one that was split, as `Predictor.predict` would; or every
    breast, as core.predict_breasts does, where the model judges breasts.

    What gets no verdict there has no score here: it is left out with the same reason.
    """
    result = Scored()
    height, width = predictor.recipe.shape
    size = max(1, min(_BATCH_IMAGES, _BATCH_PIXELS // (height * width)))
    samples = _samples(rows, predictor)
    order = rows.loc[[index for sample in samples for index in sample]]
    paths = order["path"].astype("str").tolist()
    hashes = order["content_hash"].astype("str").tolist() if "content_hash" in rows.columns else [""] * len(rows)
    labels = rows["label"].astype("str")
    judge = _judge_breasts if predictor.judges_breasts else _judge
    batch: list[dict[Any, CachedImage]] = []
    # The cache decodes ahead in its own threads while the model scores; closing ends them.
    with closing(cache.iter_prepare(paths)) as prepared:
        files = zip(order.index, paths, hashes, prepared, strict=True)
        for done, sample in _counted(samples):
            images: dict[Any, CachedImage] = {}
            for index, path, expected, rejected in islice(files, len(sample)):
                image = rejected.reason if rejected is not None else image_of(path, expected, cache)
                if isinstance(image, str):
                    result.excluded.append(Excluded(path, image, labels[index], UNREADABLE))
                else:
                    images[index] = image
            batch += [images] if images else []
            if batch and (sum(map(len, batch)) >= size or done == len(paths)):
                judge(batch, predictor, rows, result)
                batch = []
            if progress is not None:
                progress(done, len(paths))
    return result


def _samples(rows: pd.DataFrame, predictor: Predictor) -> list[tuple[Any, ...]]:
    """The row indices of what is judged together."""
    if not predictor.judges_breasts:
        return [(index,) for index in rows.index]
    members = breasts_of(rows).members
    return [tuple(rows.index[own[own >= 0]]) for own in members]


def _counted(samples: list[tuple[Any, ...]]) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Each sample, with how many images there are up to and with it."""
    return zip(accumulate(map(len, samples)), samples, strict=True)


def _judge(batch: list[dict[Any, CachedImage]], predictor: Predictor, rows: pd.DataFrame, result: Scored) -> None:
    """Put the images of a batch into the result, by their row index: scored, or left out with their refusal."""
    images = {index: image for sample in batch for index, image in sample.items()}
    paths = [str(rows.at[index, "path"]) for index in images]
    predictions = predictor.predict_cached(list(images.values()), paths=paths)
    for index, image, prediction in zip(images, images.values(), predictions, strict=True):
        if prediction.score is None:
            result.excluded.append(_refused(rows, index, prediction.refusal))
        else:
            _put(result, prediction.score, {index: image})


def _judge_breasts(batch: list[dict[Any, CachedImage]], predictor: Predictor, rows: pd.DataFrame, result: Scored) -> None:
    """Put the breasts of a batch into the result: scored from the images that took part; the others are left out."""
    from core.predict_breasts import predict_cached_breasts

    breasts = [
        [(str(rows.at[index, "path"]), image, str(rows.at[index, "view"])) for index, image in images.items()]
        for images in batch
    ]
    for images, prediction in zip(batch, predict_cached_breasts(predictor, breasts), strict=True):
        looks = dict(zip(images, prediction.images, strict=True))
        if prediction.score is None:
            result.excluded += [_refused(rows, index, look.left_out or prediction.refusal) for index, look in looks.items()]
            continue
        result.excluded += [_refused(rows, index, look.left_out) for index, look in looks.items() if look.left_out]
        _put(result, prediction.score, {index: image for index, image in images.items() if not looks[index].left_out})


def _put(result: Scored, score: float, images: dict[Any, CachedImage]) -> None:
    first = next(iter(images))
    result.scores[first] = score
    result.facts[first] = facts_of(images[first])
    result.hashes |= {index: image.content_hash for index, image in images.items()}
    result.members[first] = tuple(images)


def _refused(rows: pd.DataFrame, index: Any, reason: str) -> Excluded:
    return Excluded(str(rows.at[index, "path"]), reason, str(rows.at[index, "label"]), REFUSED)


def training_facts(manifest: pd.DataFrame, cache: PreparedCache, tick: Callable[[], None] | None = None) -> dict[Any, dict]:
    """`facts_of` each training image that can be read, by row index; what the cache lacks is prepared now.

    So the answer depends on the images and not on what the cache happens to hold. `tick` is called after each image; an
    exception that it raises ends the work.
    """
    rows = training_rows(manifest)
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


def training_metadata(
    manifest: pd.DataFrame, facts: dict[Any, dict], extra: Sequence[str] = (), views: int = 1
) -> pd.DataFrame | None:
    """Label, patient and metadata of the training images that have `facts`, or with two `views` of their breasts.

    None when fewer than nine in ten of them have any (or one class of them), for what they look like is then not known.
    """
    rows = training_rows(manifest)
    found = rows.loc[list(facts)]
    if len(found) < _ENOUGH * len(rows) or found["label"].nunique() < 2:
        return None
    if views == 2:  # as the predictions have them: a row a breast, with what its first image says
        rows = found = breast_rows(found)
        facts = {index: facts[index] for index in found.index}
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
