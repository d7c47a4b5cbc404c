"""Breasts for a model that judges all views of one together: files -> which are of one breast -> verdict, and a heatmap a view.

An image that cannot be read, or that the model should not judge, is a missing view: the breast is judged from its other images,
and the verdict says so. Images of different sides or patients get none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from core.data.importers.file_names import split_name
from core.data.pairing import identity_of, pair_files
from core.errors import BadRun, LabError, Refused, UnreadableImage
from core.gradcam import Evidence, Heatmap, evidence_in_breast, heatmap_in_breast
from core.images import read
from core.images.large_images import one_large_at_a_time
from core.model.view_codes import CC, EITHER, MLO, view_code
from core.predict import BOTH, Predictor
from core.prediction import BreastImage, BreastPrediction, Prediction, Subject
from core.wording import counted, listed

if TYPE_CHECKING:
    from core.data.cache import CachedImage
    from core.data.known_images import KnownImages


def predict_breast(
    predictor: Predictor, files: Sequence[Path | str], *, views: Mapping[Path, str] | None = None, score_anyway: bool = False
) -> BreastPrediction:
    """Judge one breast from the files of all its images.

    Args:
        views: what files show ("CC", "MLO"), where the caller knows better than the run's manifest, the header and the name.
        score_anyway: give a score, and no decision, also where there is a refusal.

    Raises:
        BadRun: the model judges single images.
        UnreadableImage: none of the files can be read.
    """
    require_breasts(predictor)
    if not files:
        raise ValueError("expected the files of a breast, got none")
    subjects: list[Subject] = []
    unread: list[tuple[Path, str]] = []
    for path in map(Path, files):
        try:
            with one_large_at_a_time():
                subject = predictor.subject_of(read(path, window=predictor.recipe.voi_index), path)
        except LabError as error:
            unread.append((path, str(error)))
            continue
        view = (views or {}).get(path) or subject.view or split_name(path.stem).view
        subjects.append(replace(subject, view=view))
    if not subjects:
        raise UnreadableImage(f"none of the {counted(len(unread), 'file')} of this breast can be read: {unread[0][1]}")
    found = _judge(predictor, [subjects], score_anyway=score_anyway)[0]
    gone = tuple(f"{path.name} is left out, as a missing view: {reason}" for path, reason in unread)
    return replace(found, unread=tuple(unread), warnings=(*gone, *found.warnings))


def predict_breasts(
    predictor: Predictor,
    files: Sequence[Path | str],
    progress: Callable[[int, int], None] | None = None,
    *,
    known: KnownImages | None = None,
    score_anyway: bool = False,
) -> Iterator[tuple[tuple[Path, ...], BreastPrediction | str]]:
    """Judge the breasts that these files show, in the order of their first files: the files of each, and its prediction, or why
    none of its files can be read.

    Args:
        progress: called with (files done, files).
        known: a manifest that says which files are of one breast; the run's own is asked as well.
    """
    require_breasts(predictor)
    done = 0
    for paths, views in pair_files(files, _manifests(predictor, known)):
        try:
            yield paths, predict_breast(predictor, paths, views=views, score_anyway=score_anyway)
        except UnreadableImage as error:
            yield paths, str(error)
        done += len(paths)
        if progress is not None:
            progress(done, len(files))


def _manifests(predictor: Predictor, known: KnownImages | None = None) -> list[KnownImages]:
    """What is asked, in this order, whose image a file is."""
    return [manifest for manifest in (known, predictor.known_images) if manifest is not None]


def predict_breast_of(predictor: Predictor, path: Path | str, *, score_anyway: bool = False) -> BreastPrediction:
    """Judge the breast that this image is of, with all its images that the run's manifest lists.

    Raises: as `predict_breast`.
    """
    known = predictor.known_images
    files = [Path(path)] if known is None else known.breast(path)
    return predict_breast(predictor, files, views=views_of(predictor, files), score_anyway=score_anyway)


def views_of(predictor: Predictor, files: Sequence[Path]) -> dict[Path, str]:
    """What these files show, as far as the run's manifest, their header or their name says."""
    manifests = _manifests(predictor)
    return {file: view for file in files if (view := identity_of(file, manifests).view)}


def predict_cached_breasts(
    predictor: Predictor, breasts: Sequence[Sequence[tuple[str, CachedImage, str]]]
) -> list[BreastPrediction]:
    """As `predict_breast` for breasts whose images, (path, image, view) each, come from the cache of the model's recipe; in one
    batch: the caller keeps it small."""
    require_breasts(predictor)
    return _judge(
        predictor,
        [
            [
                Subject(
                    image.prepared(predictor.recipe),
                    image.image_meta,
                    image.warnings,
                    path=Path(path),
                    view=view,
                    judges=predictor.judges_of(path, image.content_hash),
                )
                for path, image, view in images
            ]
            for images in breasts
        ],
        score_anyway=False,
    )


def explain_breast(
    predictor: Predictor, breast: BreastPrediction, *, target: str = "malignant", **options: Any
) -> tuple[Heatmap | Evidence, ...]:
    """A heatmap for each image that the score was made from (`breast.used`): where in it the evidence for `target` is, the
    other images being as they are.

    Each is scaled for itself; `peak` compares them. With the target "both" it is malignant and benign evidence on one scale.
    `options` are those of core.gradcam.heatmap.

    Raises:
        Refused: there is no score.
    """
    if breast.score is None:
        raise Refused(f"{breast.verdict} So there is no heatmap either. Ask for the score anyway to see one.")
    return tuple(_map(predictor, breast, place, target, options) for place in range(len(breast.used)))


def _map(
    predictor: Predictor, breast: BreastPrediction, place: int, target: str, options: Mapping[str, Any]
) -> Heatmap | Evidence:
    pixels = [image.prepared.pixels for image in breast.used]
    views = [view_code(image.view) for image in breast.used]
    model = predictor.part(breast.judges).model
    if target == BOTH:
        return evidence_in_breast(model, pixels, views, place, **options)
    return heatmap_in_breast(model, pixels, views, place, target=target, **options)


def heatmap_of(
    predictor: Predictor, breast: BreastPrediction, path: Path | str, *, target: str = "malignant", **options: Any
) -> tuple[BreastImage, Heatmap | Evidence]:
    """One of the images that the score was made from, with its map as `explain_breast` has it.

    Raises:
        Refused: there is no score, or this image took no part in it.
    """
    if breast.score is None:
        raise Refused(f"{breast.verdict} So there is no heatmap either. Ask for the score anyway to see one.")
    for place, image in enumerate(breast.used):
        if image.path is not None and Path(image.path) == Path(path):
            return image, _map(predictor, breast, place, target, options)
    raise Refused(f"{Path(path).name}: it took no part in the breast's score, so there is no heatmap of it.")


def predict_view(
    predictor: Predictor, path: Path | str, files: Sequence[Path | str] = (), *, score_anyway: bool = False
) -> tuple[Prediction, BreastPrediction]:
    """One image with the verdict on the breast that it is of, for places that show an image at a time; and that breast.

    Its other images are those of `files`, which somebody gave together with it, or else those that the run's manifest lists.

    Raises:
        BadRun: the model judges single images.
        UnreadableImage: this image cannot be read.
    """
    shown = Path(path)
    groups = pair_files(list(dict.fromkeys([shown, *map(Path, files)])), _manifests(predictor), together=True)
    paths, views = next((paths, views) for paths, views in groups if shown in paths)
    if len(paths) > 1:
        breast = predict_breast(predictor, paths, views=views, score_anyway=score_anyway)
    else:
        breast = predict_breast_of(predictor, shown, score_anyway=score_anyway)
    image = next((image for image in breast.images if image.path == shown), None)
    if image is None:
        raise UnreadableImage(next((reason for file, reason in breast.unread if file == shown), f"{shown}: it cannot be read"))
    refusal = image.left_out or breast.refusal
    beside = [
        f"{other.path.name}{f' ({other.view})' if other.view else ''}"
        for other in breast.used
        if other.path not in (None, shown)
    ]
    together = f"The breast was judged together with {listed(beside)}."
    found = Prediction(
        score=None if image.left_out else breast.score,
        threshold=breast.threshold,
        decision=None if refusal else breast.decision,
        prepared=image.prepared,
        meta=image.meta,
        warnings=(*((together,) if beside and not image.left_out else ()), *breast.warnings),
        refusal=refusal,
        calibrated=None if refusal else breast.calibrated,
        distance=image.distance,
        mammogram=image.mammogram,
        path=shown,
        view=image.view,
        judges=breast.judges,
    )
    return found, breast


def require_breasts(predictor: Predictor) -> None:
    """Raises BadRun: the model judges single images."""
    if not predictor.judges_breasts:
        raise BadRun(
            "this model judges single images (model.views 1), and no breast from several: predict each image, or train a model "
            "with model.views 2"
        )


def _judge(predictor: Predictor, breasts: Sequence[Sequence[Subject]], *, score_anyway: bool) -> list[BreastPrediction]:
    """The one place where a breast becomes a verdict, or gets none. What is computed of each image is computed once."""
    if any(subject.judges for subjects in breasts for subject in subjects):
        return [_judge_out_of_fold(predictor, subjects, score_anyway=score_anyway) for subjects in breasts]
    every = [subject for subjects in breasts for subject in subjects]
    reasons = [predictor.refusal_of(subject) for subject in every]
    seen = [number for number, reason in enumerate(reasons) if score_anyway or not reason]
    features = predictor.features(np.stack([every[number].prepared.pixels for number in seen])) if seen else None
    alone = None if features is None else predictor.alone(features)
    place = {number: position for position, number in enumerate(seen)}
    results, first = [], 0
    for subjects in breasts:
        numbers = range(first, first + len(subjects))
        first += len(subjects)
        looks = [
            _Look(predictor, subject, reasons[number], place.get(number), alone)
            for number, subject in zip(numbers, subjects, strict=True)
        ]
        results.append(_breast(predictor, looks, features, score_anyway=score_anyway))
    return results


def _judge_out_of_fold(predictor: Predictor, subjects: Sequence[Subject], *, score_anyway: bool) -> BreastPrediction:
    """A breast by the models of an ensemble that did not train on it: those that none of its images was shown to."""
    named = [set(subject.judges) for subject in subjects if subject.judges]
    judges = tuple(sorted(set.intersection(*named))) if named else ()
    if named and not judges:
        raise BadRun(
            "each model of this ensemble was trained on an image of this breast, or of what was given as one: none of them can "
            "score it out of fold. Give the images of one breast"
        )
    mine = [replace(subject, judges=()) for subject in subjects]
    found = _judge(predictor.part(judges), [mine], score_anyway=score_anyway)[0]
    words = (predictor.out_of_fold_words(judges),) if judges else ()
    return replace(found, judges=judges, warnings=(*words, *found.warnings))


class _Look:
    """An image of a breast: where its features are (None: it was not looked at), why it is left out, and how far off it is."""

    def __init__(
        self, predictor: Predictor, subject: Subject, reason: str, place: int | None, alone: NDArray[np.float32] | None
    ) -> None:
        self.subject, self.place = subject, place
        seen = None if place is None or alone is None else alone[place]
        self.distance, too_far, self.doubts = predictor.distance_of(subject, seen, judged=place is not None)
        self.reason = reason or too_far


def _breast(predictor: Predictor, looks: Sequence[_Look], features: Tensor | None, *, score_anyway: bool) -> BreastPrediction:
    kept = [look for look in looks if not look.reason]
    refusal = _not_one(look.subject for look in looks) or ("" if kept else looks[0].reason)
    used = kept or ([look for look in looks if look.place is not None] if score_anyway else [])
    score = None
    if features is not None and used and (score_anyway or not refusal):
        rows = features[[look.place for look in used]]
        score = predictor.breast_scores(rows, [len(used)], [look.subject.view for look in used])[0]
    judged = None if refusal else score
    doubts = [f"{_name(look)} is left out, as a missing view: {look.reason}" for look in looks if look.reason and kept]
    doubts += [doubt for look in looks for doubt in look.doubts]
    if (missing := _missing(used)) and len(kept) == len(used):
        doubts.append(missing)
    return BreastPrediction(
        score=score,
        threshold=predictor.threshold,
        decision=None if judged is None else predictor.decide(judged),
        images=tuple(_image(look, left_out="" if look in used or not used else look.reason) for look in looks),
        warnings=predictor.warnings_of([look.subject for look in used or looks], doubts),
        refusal=refusal,
        calibrated=None if judged is None else predictor.probability(judged),
    )


def _image(look: _Look, *, left_out: str) -> BreastImage:
    subject = look.subject
    return BreastImage(subject.prepared, subject.meta, subject.view, left_out, look.distance, subject.mammogram, subject.path)


def _name(look: _Look) -> str:
    return look.subject.path.name if look.subject.path is not None else "an image"


def _not_one(subjects: Iterable[Subject]) -> str:
    """Why these images cannot be of one breast, as far as their files say; "" where nothing speaks against it."""
    metas = [subject.meta for subject in subjects]
    sides = sorted({str(meta.laterality) for meta in metas} - {""})
    if len(sides) > 1:
        return "its images are of both sides (L and R), and a breast has one"
    if len({meta.patient for meta in metas} - {""}) > 1:
        return "its images are of several patients"
    return ""


def _missing(used: Sequence[_Look]) -> str:
    """That a view is missing, in words; "" where both are there, or may be."""
    codes = [view_code(look.subject.view) for look in used]
    if not codes:
        return ""
    lacking = [name for name, code in (("CC", CC), ("MLO", MLO)) if code not in codes]
    if not lacking or (codes.count(EITHER) >= len(lacking) and len(codes) > 1):
        return ""
    if len(codes) == 1 and codes[0] == EITHER:
        return "The breast was judged from one image of an unknown view: the other view is missing."
    return f"The breast was judged without its {' and '.join(lacking)}."
