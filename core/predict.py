"""One trained model, ready to judge images: file -> Mammogram -> Prepared -> verdict, or the reason why there is none.

What the Gradio tab, the command line, the pages, the evaluation, the audit and the report all call, so that they cannot
disagree: score, decision, refusal, calibrated probability, warnings and heatmap of an image are made here and nowhere else.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.data.known_images import OUT_OF_FOLD, KnownImages
from core.errors import BadRun, LabError, RecipeMismatch, Refused
from core.gate import (
    Distance,
    MeanDistance,
    doubts_of_origin,
    fit_gate,
    forward,
    read_gate,
    refusal_of_origin,
    statistics_of,
    write_gate,
)
from core.gradcam import (
    SCORE_CHANNELS,
    Evidence,
    Heatmap,
    evidence,
    evidence_in_breast,
    heatmap,
    heatmap_in_breast,
)
from core.images import read
from core.images.large_images import LARGE, one_large_at_a_time
from core.images.mammogram import ImageMeta, Mammogram
from core.metrics.chance import chance_of_model, warning_of
from core.metrics.leakage_mark import leakage_of_model, leakage_warning_of
from core.metrics.operating_points import DECIMALS
from core.model import Classifier, as_input, load_model, model_lock, pick_device
from core.model.card import ModelCard
from core.model.ensemble import Ensemble
from core.model.fusion import slots_of
from core.model.view_codes import view_code
from core.prediction import Decision, Prediction, Subject
from core.preprocessing import Prepared, prepare
from core.runs.folder import require_regular
from core.wording import upper_first

if TYPE_CHECKING:
    import pandas as pd

    from core.data.cache import CachedImage, PreparedCache
    from core.runs import Run

# Small: until a batch is scored, its images are held at full size (up to 50 MB each).
BATCH_SIZE = 4
BOTH = "both"  # as `target` of a heatmap: malignant and benign evidence on one scale
_ONE_VIEW = (
    "The model judges a breast from all its views. It was given one image, and judged it as a breast whose other view is "
    "missing."
)
_SYNTHETIC = "The model was trained on synthetic images only: its score says nothing about a real mammogram."


class Predictor:
    """A loaded model with its recipe and threshold. Safe to share between threads: one image at a time is computed."""

    def __init__(
        self,
        model: Classifier,
        card: ModelCard,
        *,
        device: str = "auto",
        source: str = "model",
        gate: Distance | str = "",
        chance: str = "",
    ) -> None:
        """`gate` is what tells how far an image is from the training images, or in words why that cannot be computed; `chance`
        why the model has not shown to be better than chance (see core.metrics.chance).

        Raises BadRun when the card lacks what a score needs, RecipeMismatch when this version prepares differently.
        """
        self.card = card
        self.threshold = card.required_threshold(source)
        self.thresholds = card.image_thresholds
        self._manifest: Path | None = None
        self.recipe = card.same_recipe(source)
        self.calibration = card.image_calibration
        self.gate: Distance | str = gate or "it was never fitted"
        self.chance = chance
        self.judges_breasts = card.scored == "breast"
        self.device = pick_device(device)
        # As in training: depthwise convolutions take half the time.
        self.model = model.to(self.device).to(memory_format=torch.channels_last).eval()
        self._lock = model_lock(self.model)
        self._parts: dict[tuple[int, ...], Self] = {}

    @classmethod
    def from_run(cls, run: Path | str | Run, *, device: str = "auto") -> Self:
        """Load a run's best model, from its folder or from anything with a `.path`.

        Raises:
            BadRun: the run has no complete model, or one that does not load; its folder has entries that lead elsewhere.
            RecipeMismatch: it was trained on images prepared by another version of the preprocessing.
        """
        folder = Path(run) if isinstance(run, Path | str) else run.path
        require_regular(folder)
        model, card = load_model(folder)
        gate, chance = read_gate(folder, card), chance_of_model(card, folder)
        found = cls(model, card, device=device, source=str(folder), gate=gate, chance=chance)
        found._manifest = folder / "manifest.csv"
        return found

    def fit_gate(
        self, folder: Path, rows: pd.DataFrame, cache: PreparedCache, progress: Callable[[int, int], None] | None = None
    ) -> Distance:
        """Learn how far is too far from the training and validation images among `rows`, keep it in the run's folder, use it.

        Raises:
            NotEnoughData: too few of the images can be read.
            BadRun: the folder cannot be written to.
        """
        gate = self._fitted_gate(cache, rows, progress)
        write_gate(folder, gate, self.card)
        self.gate = gate
        return gate

    def _fitted_gate(self, cache: PreparedCache, rows: pd.DataFrame, progress: Callable[[int, int], None] | None) -> Distance:
        if not isinstance(self.model, Ensemble):
            return fit_gate(self.model, cache, rows, progress=progress)
        gates = []
        for number, member in enumerate(self.model.networks):  # each from the images that it trained on
            judges = rows[OUT_OF_FOLD].astype("str").str.split() if OUT_OF_FOLD in rows.columns else None
            own = rows
            if judges is not None:
                held_out = judges.map(lambda numbers, own=str(number + 1): own in numbers)
                used = rows["split"].isin(("train", "val"))
                own = rows.assign(split=rows["split"].mask(used & held_out, "val").mask(used & ~held_out, "train"))
            gates.append(fit_gate(member, cache, own, progress=progress))
        return MeanDistance.of(gates)

    # ------------------------------------------------------------------ the models of an ensemble

    def part(self, judges: tuple[int, ...]) -> Self:
        """The same with these models of an ensemble alone, by their numbers from 0; () for all of them: itself.

        Raises:
            BadRun: there are not so many.
        """
        if not judges:
            return self
        model = self.model
        if not isinstance(model, Ensemble) or max(judges) >= len(model.networks):
            raise BadRun(
                f"the run's manifest names model {max(judges) + 1} as one that its score is the mean of, and there are "
                f"{len(model.networks) if isinstance(model, Ensemble) else 1}. Restore manifest.csv from a copy"
            )
        if judges not in self._parts:
            found = copy.copy(self)
            found.model = model.part(judges)
            found._lock = model_lock(found.model)
            found._parts = {}
            if isinstance(self.gate, MeanDistance):
                gates = self.gate.gates
                fits = len(gates) == len(model.networks)
                found.gate = MeanDistance.of([gates[number] for number in judges]) if fits else "it is of other models"
            self._parts[judges] = found
        return self._parts[judges]

    def judges_of(self, source: Path | str | bytes | None, content_hash: str = "") -> tuple[int, ...]:
        """Of an ensemble, which of its models did not train on this image, as the run's manifest has it: they alone score it.
        () where all may, and for any other model.

        Raises:
            BadManifest: it is damaged.
        """
        if not isinstance(self.model, Ensemble) or self.known_images is None:
            return ()
        found = tuple(sorted(set(self.known_images.judges(source, content_hash))))
        return () if len(found) == len(self.model.networks) else found

    def out_of_fold_words(self, judges: tuple[int, ...]) -> str:
        """The warning that an image's score is of these models alone."""
        count = len(self.card.members or ())
        was = "was" if count - len(judges) == 1 else "were"
        return (
            f"{count - len(judges)} of the {count} models of this ensemble {was} trained on this image: its score is "
            f"{'that of the other one' if len(judges) == 1 else f'the mean of the other {len(judges)}'} (out-of-fold)."
        )

    # ------------------------------------------------------------------ images to predictions

    def predict(self, source: Path | str | bytes, *, frame: int | None = None, score_anyway: bool = False) -> Prediction:
        """Judge one file, or the bytes of one; `frame` as in core.images.read.

        `score_anyway`: give a score, and no decision, also where there is a refusal.

        Raises:
            UnreadableImage: it is not an image that we can decode.
        """
        with one_large_at_a_time():
            subject = self.subject_of(read(source, frame=frame, window=self.recipe.voi_index), source)
        return self._judge([subject], score_anyway=score_anyway)[0]

    def predict_many(
        self,
        paths: Sequence[Path | str],
        progress: Callable[[int, int], None] | None = None,
        *,
        frame: int | None = None,
        score_anyway: bool = False,
    ) -> Iterator[Prediction | tuple[Path, str]]:
        """Judge files in order, yielding for each a Prediction, or (path, reason) where it could not be read.

        `progress(done, total)` is called as images are finished; `frame` as in core.images.read, for every file;
        `score_anyway` as in `predict`.
        """
        done = 0
        waiting = deque(map(Path, paths))
        while waiting:
            results = self._read_batch(waiting, frame)
            judged = deque(self._judge([each for each in results if isinstance(each, Subject)], score_anyway=score_anyway))
            while results:  # each is let go of before the next is asked for
                result = results.popleft()
                done += 1
                yield judged.popleft() if isinstance(result, Subject) else result
                del result
                if progress is not None:
                    progress(done, len(paths))

    def _read_batch(self, waiting: deque[Path], frame: int | None) -> deque[Subject | tuple[Path, str]]:
        """The next files, taken from `waiting`: at most BATCH_SIZE, and no other beside a large one."""
        results: deque[Subject | tuple[Path, str]] = deque()
        pixels = 0
        while waiting and len(results) < BATCH_SIZE and pixels <= LARGE:
            path = waiting.popleft()
            try:
                with one_large_at_a_time():
                    mammogram = read(path, frame=frame, window=self.recipe.voi_index)
                    results.append(self.subject_of(mammogram, path))
                pixels += mammogram.pixels.size
                del mammogram
            except LabError as error:
                results.append((path, str(error)))
        return results

    def predict_prepared(
        self,
        prepared: Prepared,
        mammogram: Mammogram,
        *,
        source: Path | str | bytes | None = None,
        score_anyway: bool = False,
    ) -> Prediction:
        """As `predict` for an image that the caller has read and prepared already, by the model's recipe.

        `source` is the file, or its bytes, that it was read from: by it the run's manifest knows its view.

        Raises:
            RecipeMismatch: it was prepared by another recipe than the model's.
        """
        self._check(prepared)
        view, judges = self._view(mammogram.meta, source), self.judges_of(source)
        subject = Subject(prepared, mammogram.meta, mammogram.warnings, mammogram, view=view, judges=judges)
        return self._judge([subject], score_anyway=score_anyway)[0]

    def predict_cached(
        self, images: Sequence[CachedImage], *, paths: Sequence[str] | None = None, score_anyway: bool = False
    ) -> list[Prediction]:
        """As `predict` for images from the cache of the model's recipe, in one batch: the caller keeps it small.

        `paths` are their files; without, the run's manifest knows their views by their content.
        """
        sources: Sequence[str | None] = [None] * len(images) if paths is None else paths
        subjects = [
            Subject(
                image.prepared(self.recipe),
                image.image_meta,
                image.warnings,
                view=self._view(image.image_meta, source, image.content_hash),
                judges=self.judges_of(source, image.content_hash),
            )
            for image, source in zip(images, sources, strict=True)
        ]
        return self._judge(subjects, score_anyway=score_anyway)

    def subject_of(self, mammogram: Mammogram, source: Path | str | bytes) -> Subject:
        """The image that was read from `source`, prepared, with its view."""
        path = None if isinstance(source, bytes) else Path(source)
        view = self._view(mammogram.meta, source)
        prepared, judges = prepare(mammogram, self.recipe), self.judges_of(source)
        return Subject(prepared, mammogram.meta, mammogram.warnings, mammogram, path, view, judges)

    @cached_property
    def known_images(self) -> KnownImages | None:
        """What the run's manifest says; None for a model without one. Raises BadManifest where it is damaged."""
        if self._manifest is None or not self._manifest.is_file():
            return None
        from core.data import read_manifest

        return KnownImages(read_manifest(self._manifest))

    def _view(self, meta: ImageMeta, source: Path | str | bytes | None, content_hash: str = "") -> str:
        """As the run's manifest has it, by which the thresholds were chosen; of other images what the file says."""
        if not (self.thresholds.per_view or self.judges_breasts):
            return meta.view
        found = None if self.known_images is None else self.known_images.view(source, content_hash)
        return meta.view if found is None else found

    def _judge(self, subjects: Sequence[Subject], *, score_anyway: bool, own: bool = True) -> list[Prediction]:
        """The one place where an image becomes a verdict, or gets none. `own`: they were prepared by the model's recipe."""
        if any(subject.judges for subject in subjects):
            return self._judge_out_of_fold(subjects, score_anyway=score_anyway, own=own)
        refusals = [self.refusal_of(subject) for subject in subjects]
        wanted = [number for number, refusal in enumerate(refusals) if score_anyway or not refusal]
        scored: dict[int, tuple[float, NDArray[np.float32] | None]] = {}
        if wanted:
            views = [subjects[number].view for number in wanted]
            scores, features = self.forward(np.stack([subjects[number].prepared.pixels for number in wanted]), views)
            rows = [None] * len(wanted) if features is None else list(features)
            scored = {number: (scores[place], rows[place]) for place, number in enumerate(wanted)}
        return [
            self._prediction(subject, refusal, *scored.get(number, (None, None)), score_anyway=score_anyway, own=own)
            for number, (subject, refusal) in enumerate(zip(subjects, refusals, strict=True))
        ]

    def _judge_out_of_fold(self, subjects: Sequence[Subject], *, score_anyway: bool, own: bool) -> list[Prediction]:
        """Each image by the models of the ensemble that did not train on it."""
        found: dict[int, Prediction] = {}
        for judges in dict.fromkeys(subject.judges for subject in subjects):
            numbers = [number for number, subject in enumerate(subjects) if subject.judges == judges]
            mine = [replace(subjects[number], judges=()) for number in numbers]
            for number, each in zip(numbers, self.part(judges)._judge(mine, score_anyway=score_anyway, own=own), strict=True):
                words = (self.out_of_fold_words(judges),) if judges else ()
                found[number] = replace(each, judges=judges, warnings=(*words, *each.warnings))
        return [found[number] for number in range(len(subjects))]

    def refusal_of(self, subject: Subject) -> str:
        """Why what the file says, or plainly shows, forbids a verdict; "" where nothing does."""
        found = subject.prepared.breast_found
        return refusal_of_origin(subject.meta, breast_found=found, recipe=self.recipe, warnings=subject.all_doubts)

    def _prediction(
        self,
        subject: Subject,
        refusal: str,
        score: float | None,
        features: NDArray[np.float32] | None,
        *,
        score_anyway: bool,
        own: bool,
    ) -> Prediction:
        distance, too_far, doubts = self.distance_of(subject, features, judged=score is not None) if own else (None, "", [])
        refusal = refusal or too_far
        shown = score if score_anyway or not refusal else None
        judged = None if refusal else shown
        return Prediction(
            score=shown,
            threshold=self.thresholds.of(subject.view),
            decision=None if judged is None else self.decide(judged, subject.view),
            prepared=subject.prepared,
            meta=subject.meta,
            warnings=self.warnings_of([subject], doubts, alone=True),
            refusal=refusal,
            calibrated=None if judged is None else self.probability(judged),
            distance=distance,
            mammogram=subject.mammogram,
            path=subject.path,
            view=subject.view,
            threshold_basis=self.thresholds.basis(subject.view),
        )

    def distance_of(
        self, subject: Subject, features: NDArray[np.float32] | None, *, judged: bool
    ) -> tuple[float | None, str, list[str]]:
        """How far the image is from those the model was trained on; why that is too far for a verdict, "" where it is not;
        and what to warn of. `judged` False: the network has not seen it."""
        if not isinstance(self.gate, Distance):
            return None, "", [f"Whether this image is like those the model was trained on cannot be checked: {self.gate}."]
        if not judged:
            return None, "", []
        distance = self.gate.relative(features, statistics_of(subject.prepared.pixels, subject.prepared.breast))
        words = self.gate.words(distance)
        if distance is not None and distance > 1 and self.gate.refuses:
            return distance, words, []
        return distance, "", [f"{upper_first(words)}."] if words else []

    def warnings_of(self, subjects: Sequence[Subject], doubts: Sequence[str], *, alone: bool = False) -> tuple[str, ...]:
        """What is to be shown with a verdict on these images: one image, or those of a breast. `alone`: the caller asked about
        a single image."""
        warnings = [doubt for each in subjects for doubt in (*each.all_doubts, *doubts_of_origin(each.meta))]
        if self.judges_breasts and alone:
            warnings.append(_ONE_VIEW)
        if self.card.synthetic and not all(each.meta.synthetic for each in subjects):
            warnings.append(_SYNTHETIC)
        if self.chance:
            warnings.append(warning_of(self.chance))
        if leakage := leakage_warning_of(leakage_of_model(self.card)):
            warnings.append(leakage)
        return tuple(dict.fromkeys([*warnings, *doubts]))

    # ------------------------------------------------------------------ heatmaps

    def explain(
        self,
        image: Prediction | Prepared,
        *,
        method: str = "auto",
        target: str = "malignant",
        layer: str | None = None,
        channels: int = SCORE_CHANNELS,
        progress: Callable[[int, int], None] | None = None,
    ) -> Heatmap:
        """Where in the image the evidence for `target` is; see `core.gradcam.heatmap`.

        Raises:
            Refused: it is a prediction without a score: what the model should not judge, it does not explain either.
            RecipeMismatch: it was prepared by another recipe than the model's.
        """
        prepared, model = self._explainable(image), self._model_for(image)
        wanted: dict[str, Any] = {"method": method, "layer": layer, "channels": channels, "progress": progress}
        if self.judges_breasts:
            view = image.view if isinstance(image, Prediction) else ""
            return heatmap_in_breast(model, [prepared], [view_code(view)], 0, target=target, **wanted)
        return heatmap(model, prepared, target=target, **wanted)

    def evidence(
        self,
        image: Prediction | Prepared,
        *,
        method: str = "auto",
        layer: str | None = None,
        channels: int = SCORE_CHANNELS,
        progress: Callable[[int, int], None] | None = None,
    ) -> Evidence:
        """Malignant and benign evidence in the image on one scale; see `core.gradcam.evidence`.

        Raises: as `explain`.
        """
        prepared, model = self._explainable(image), self._model_for(image)
        if self.judges_breasts:
            view = image.view if isinstance(image, Prediction) else ""
            wanted: dict[str, Any] = {"method": method, "layer": layer, "channels": channels, "progress": progress}
            return evidence_in_breast(model, [prepared], [view_code(view)], 0, **wanted)
        return evidence(model, prepared, method=method, layer=layer, channels=channels, progress=progress)

    def _model_for(self, image: Prediction | Prepared) -> Classifier:
        """What the score of the image is of: of an ensemble perhaps some of its models only."""
        return self.part(image.judges).model if isinstance(image, Prediction) else self.model

    def _explainable(self, image: Prediction | Prepared) -> Prepared:
        if isinstance(image, Prepared):
            self._check(image)
            return image
        if image.score is None:
            raise Refused(f"{image.verdict} So there is no heatmap either. Ask for the score anyway to see one.")
        return image.prepared

    # ------------------------------------------------------------------ scores alone

    def score_pixels(self, pixels: NDArray[np.uint8]) -> list[float]:
        """P(malignant) of pixels, uint8 (N, H, W), that the caller knows to be prepared by `self.recipe` (the cache)."""
        return self.forward(pixels)[0]

    def forward(self, pixels: NDArray[np.uint8], views: Sequence[str] = ()) -> tuple[list[float], NDArray[np.float32] | None]:
        """Scores of pixels, uint8 (N, H, W), and what the network's head saw (N, features) to make them; None where it has no
        such features.

        A model that judges breasts takes each image for one, and `views` (N,) for what it shows.
        """
        if self.judges_breasts:
            seen = self.features(pixels)
            return self.breast_scores(seen, [1] * len(seen), views or [""] * len(seen)), self.alone(seen)
        with self._lock, torch.inference_mode():
            logits, features = forward(self.model, as_input(pixels, self.device))
        return self._scores(logits), None if features is None else features.float().cpu().numpy()

    def features(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Of each image, uint8 (N, H, W), the features (N, F) that `breast_scores` fuses, on the model's device."""
        with self._lock, torch.inference_mode():
            return self.model.forward_features(as_input(pixels, self.device))

    def alone(self, features: Tensor) -> NDArray[np.float32]:
        """What the head would see of each image if it were a breast of its own, (N, F): so the gate learned the images."""
        with self._lock, torch.inference_mode():
            return self.model.fused(features).float().cpu().numpy()

    def breast_scores(self, features: Tensor, counts: Sequence[int], views: Sequence[str]) -> list[float]:
        """A score for each breast, from the features (N, F) of its images, so many (`counts`) one after the other, of these
        `views` (N,)."""
        with self._lock, torch.inference_mode():
            codes = torch.tensor([view_code(view) for view in views], dtype=torch.int64, device=self.device)
            return self._scores(self.model.forward_head(features, slots_of(counts).to(self.device), codes))

    def _scores(self, logits: Tensor) -> list[float]:
        scores = torch.sigmoid(logits.double().cpu())
        if not torch.isfinite(scores).all():
            raise BadRun("the model gives a score that is no number (NaN): its weights are damaged. Train again")
        return [float(score) for score in scores]

    def what_if(self, prepared: Prepared, mammogram: Mammogram, *, source: Path | str | bytes | None = None) -> Prediction:
        """As `predict_prepared` for an image that *another* recipe prepared: for whoever tunes a recipe and asks "what if".

        The weights, the calibration and the threshold belong to `self.recipe`: such a score is never a result.

        Raises:
            RecipeMismatch: it is of another size than the model's images.
        """
        if prepared.pixels.shape != self.recipe.shape:
            raise RecipeMismatch(
                f"expected {self.recipe.shape[0]} x {self.recipe.shape[1]} px, the size of the model's images, got "
                f"{prepared.pixels.shape[0]} x {prepared.pixels.shape[1]} px. Prepare it at the model's size"
            )
        view, judges = self._view(mammogram.meta, source), self.judges_of(source)
        subject = Subject(prepared, mammogram.meta, mammogram.warnings, mammogram, view=view, judges=judges)
        own = prepared.recipe_hash == self.recipe.hash
        return self._judge([subject], score_anyway=False, own=own)[0]

    def decide(self, score: float, view: str = "") -> Decision:
        """ "malignant" when the score reaches the model's threshold for images of this view."""
        return "malignant" if score >= self.thresholds.of(view) else "benign"

    def _check(self, prepared: Prepared) -> None:
        if prepared.recipe_hash != self.recipe.hash or prepared.pixels.shape != self.recipe.shape:
            height, width = prepared.pixels.shape
            raise RecipeMismatch(
                f"expected an image prepared by the model's recipe {self.recipe.hash} ({self.recipe.shape[0]} x "
                f"{self.recipe.shape[1]} px), got one by {prepared.recipe_hash} ({height} x {width} px). "
                "Prepare it with the recipe in the run's model.json"
            )

    def probability(self, score: float) -> float | None:
        """The score, rounded as in predictions/<split>.csv, as a probability; None where the model has no calibration."""
        if self.calibration.method == "none":
            return None
        return float(self.calibration.apply([round(score, DECIMALS)])[0])
