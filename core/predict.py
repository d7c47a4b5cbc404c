"""One trained model, ready to score: file -> Mammogram -> Prepared -> score -> decision.

What the Gradio tab, the command line, the pages and the evaluation all call, so that they cannot disagree.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from core.config import Recipe
from core.errors import BadRun, LabError, RecipeMismatch, UnreadableImage
from core.gradcam import SCORE_CHANNELS, Evidence, Heatmap, evidence, heatmap
from core.images.mammogram import Mammogram
from core.images.turn import LARGE, one_large_at_a_time
from core.metrics.calibration import Calibration
from core.model import Classifier, as_input, load_model, model_lock, pick_device
from core.preprocessing import Prepared, load, prepare
from core.training.folder import require_regular

Decision = Literal["benign", "malignant"]
# Small: until a batch is scored, its images are held at full size (up to 50 MB each).
BATCH_SIZE = 4


class RunLike(Protocol):
    """A run, as far as prediction needs it."""

    @property
    def path(self) -> Path: ...


@dataclass(frozen=True)
class Prediction:
    """What the model says about one image.

    `score` is the model's own P(malignant) in [0, 1]; `decision` is "malignant" when it reaches `threshold`, which was chosen
    on validation scores. `calibrated` is the score as a probability, by the calibration fitted on validation; None for a model
    without one. `path` is None for an image that came as bytes.
    """

    score: float
    threshold: float
    decision: Decision
    prepared: Prepared
    mammogram: Mammogram
    warnings: tuple[str, ...] = ()
    path: Path | None = None
    calibrated: float | None = None


class Predictor:
    """A loaded model with its recipe and threshold. Safe to share between threads: one image at a time is computed."""

    def __init__(self, model: Classifier, card: Mapping[str, Any], *, device: str = "auto", source: str = "model") -> None:
        """Raises BadRun when the card lacks what a score needs, RecipeMismatch when this version prepares differently."""
        self.card = dict(card)
        self.threshold = _threshold(card, source)
        self.recipe = _recipe(card, source)
        self.calibration = Calibration.from_dict(card.get("calibration"))
        self.device = pick_device(device)
        self.model = model.to(self.device).eval()
        self._lock = model_lock(self.model)

    @classmethod
    def from_run(cls, run: Path | str | RunLike, *, device: str = "auto") -> Predictor:
        """Load a run's best model, from its folder or from anything with a `.path`.

        Raises:
            BadRun: the run has no complete model, or one that does not load; its folder has entries that lead elsewhere.
            RecipeMismatch: it was trained on images prepared by another version of the preprocessing.
        """
        folder = Path(run) if isinstance(run, Path | str) else run.path
        require_regular(folder)
        model, card = load_model(folder)
        return cls(model, card, device=device, source=str(folder))

    def predict(self, source: Path | str | bytes, *, frame: int | None = None) -> Prediction:
        """Score one file, or the bytes of one; `frame` as in core.images.read.

        Raises:
            UnreadableImage: it is not a mammogram we can decode, or there is no breast in it.
        """
        with one_large_at_a_time():
            mammogram = load(source, self.recipe, frame=frame)
            prepared = self._prepared(mammogram, source)
        return self._prediction(self.score_prepared(prepared), prepared, mammogram, source)

    def predict_many(
        self,
        paths: Sequence[Path | str],
        progress: Callable[[int, int], None] | None = None,
        *,
        frame: int | None = None,
    ) -> Iterator[Prediction | tuple[Path, str]]:
        """Score files in order, yielding for each a Prediction, or (path, reason) where it could not be scored.

        `progress(done, total)` is called as images are finished; `frame` as in core.images.read, for every file.
        """
        done = 0
        waiting = deque(map(Path, paths))
        while waiting:
            results = self._read_batch(waiting, frame)
            scores = iter(self.score_prepared_many([result[2] for result in results if len(result) == 3]))
            while results:  # each is let go of before the next is asked for
                result = results.popleft()
                done += 1
                if len(result) == 3:
                    path, mammogram, prepared = result
                    yield self._prediction(next(scores), prepared, mammogram, path)
                    del mammogram
                else:
                    yield result
                del result
                if progress is not None:
                    progress(done, len(paths))

    def _read_batch(
        self, waiting: deque[Path], frame: int | None
    ) -> deque[tuple[Path, Mammogram, Prepared] | tuple[Path, str]]:
        """The next files, taken from `waiting`: at most BATCH_SIZE, and no other beside a large one."""
        results: deque[tuple[Path, Mammogram, Prepared] | tuple[Path, str]] = deque()
        pixels = 0
        while waiting and len(results) < BATCH_SIZE and pixels <= LARGE:
            path = waiting.popleft()
            try:
                with one_large_at_a_time():
                    mammogram = load(path, self.recipe, frame=frame)
                    results.append((path, mammogram, self._prepared(mammogram, path)))
                pixels += mammogram.pixels.size
            except LabError as error:
                results.append((path, str(error)))
        return results

    def _prepared(self, mammogram: Mammogram, source: Path | str | bytes) -> Prepared:
        prepared = prepare(mammogram, self.recipe)
        self.require_breast(prepared, "" if isinstance(source, bytes) else Path(source).name)
        return prepared

    def require_breast(self, prepared: Prepared, name: str = "") -> None:
        """Raises UnreadableImage, with the file's `name`, where no breast was found: a score would mean nothing."""
        # A recipe that looks for no breast is one for images that need not hold a whole one.
        if not prepared.breast_found and (self.recipe.crop or self.recipe.remove_background):
            found = next((warning for warning in prepared.warnings if "no breast" in warning), "no breast was found")
            which = f"{name}: " if name else ""
            raise UnreadableImage(
                f"{which}expected a mammogram, got an image whose score would mean nothing ({found.partition(':')[0]}). "
                "Check the file."
            )

    def score_prepared(self, prepared: Prepared) -> float:
        """P(malignant) in [0, 1] of one prepared image.

        Raises:
            RecipeMismatch: it was prepared by another recipe than the model's.
        """
        return self.score_prepared_many([prepared])[0]

    def score_prepared_many(self, prepared: Sequence[Prepared]) -> list[float]:
        """As `score_prepared` for several images, in one batch: the caller keeps it small enough for the memory."""
        if not prepared:
            return []
        for image in prepared:
            self._check(image)
        return self.score_pixels(np.stack([image.pixels for image in prepared]))

    def score_pixels(self, pixels: NDArray[np.uint8]) -> list[float]:
        """P(malignant) of pixels, uint8 (N, H, W), that the caller knows to be prepared by `self.recipe` (the cache)."""
        with self._lock, torch.inference_mode():
            logits = self.model(as_input(pixels, self.device)).double().cpu()
            scores = torch.sigmoid(logits)
        if not torch.isfinite(scores).all():
            raise BadRun("the model gives a score that is no number (NaN): its weights are damaged. Train again")
        return [float(score) for score in scores]

    def explain(
        self,
        prepared: Prepared,
        *,
        method: str = "auto",
        target: str = "malignant",
        layer: str | None = None,
        channels: int = SCORE_CHANNELS,
        progress: Callable[[int, int], None] | None = None,
    ) -> Heatmap:
        """Where in the prepared image the evidence for `target` is; see `core.gradcam.heatmap`.

        Raises:
            RecipeMismatch: it was prepared by another recipe than the model's.
        """
        self._check(prepared)
        return heatmap(self.model, prepared, method=method, target=target, layer=layer, channels=channels, progress=progress)

    def evidence(
        self,
        prepared: Prepared,
        *,
        method: str = "auto",
        layer: str | None = None,
        channels: int = SCORE_CHANNELS,
        progress: Callable[[int, int], None] | None = None,
    ) -> Evidence:
        """Malignant and benign evidence in the prepared image on one scale; see `core.gradcam.evidence`.

        Raises:
            RecipeMismatch: it was prepared by another recipe than the model's.
        """
        self._check(prepared)
        return evidence(self.model, prepared, method=method, layer=layer, channels=channels, progress=progress)

    def what_if(
        self, prepared: Prepared, *, method: str = "auto", target: str = "malignant", layer: str | None = None
    ) -> tuple[float, Heatmap]:
        """Score and heatmap of an image that *another* recipe prepared: for whoever tunes a recipe and asks "what if".

        The weights, the calibration and the threshold belong to `self.recipe`: such a score is never a result.

        Raises:
            RecipeMismatch: it is of another size than the model's images.
        """
        if prepared.pixels.shape != self.recipe.shape:
            raise RecipeMismatch(
                f"expected {self.recipe.shape[0]} x {self.recipe.shape[1]} px, the size of the model's images, got "
                f"{prepared.pixels.shape[0]} x {prepared.pixels.shape[1]} px. Prepare it at the model's size"
            )
        score = self.score_pixels(prepared.pixels[None])[0]
        return score, heatmap(self.model, prepared, method=method, target=target, layer=layer)

    def decide(self, score: float) -> Decision:
        """ "malignant" when the score reaches the model's threshold."""
        return "malignant" if score >= self.threshold else "benign"

    def _check(self, prepared: Prepared) -> None:
        if prepared.recipe_hash != self.recipe.hash or prepared.pixels.shape != self.recipe.shape:
            height, width = prepared.pixels.shape
            raise RecipeMismatch(
                f"expected an image prepared by the model's recipe {self.recipe.hash} ({self.recipe.shape[0]} x "
                f"{self.recipe.shape[1]} px), got one by {prepared.recipe_hash} ({height} x {width} px). "
                "Prepare it with the recipe in the run's model.json"
            )

    def probability(self, score: float) -> float | None:
        """The score as a probability; None where the model has no calibration."""
        return None if self.calibration.method == "none" else float(self.calibration.apply([score])[0])

    def _prediction(self, score: float, prepared: Prepared, mammogram: Mammogram, source: Path | str | bytes) -> Prediction:
        warnings = [*mammogram.warnings, *prepared.warnings]
        if self.card.get("synthetic") and not mammogram.meta.synthetic:
            warnings.append("The model was trained on synthetic images only: its score says nothing about a real mammogram.")
        return Prediction(
            score=score,
            threshold=self.threshold,
            decision=self.decide(score),
            prepared=prepared,
            mammogram=mammogram,
            warnings=tuple(dict.fromkeys(warnings)),
            path=None if isinstance(source, bytes) else Path(source),
            calibrated=self.probability(score),
        )


def _threshold(card: Mapping[str, Any], source: str) -> float:
    value = card.get("threshold")
    if value is None:
        raise BadRun(f"{source}: the model has no threshold. Let its training finish, or train again")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:  # nor NaN
        raise BadRun(
            f"{source}: the threshold in model.json: expected a number from 0 to 1, got {repr(value)[:40]}. "
            "Restore the file, or train again"
        )
    return float(value)


def _recipe(card: Mapping[str, Any], source: str) -> Recipe:
    try:
        recipe = Recipe.model_validate(card.get("recipe"))
    except ValidationError as error:
        raise BadRun(
            f"{source}: the recipe in model.json is not one this version knows ({error.error_count()} problems). "
            "Use the version that trained the model, or train again"
        ) from error
    if recipe.hash != card.get("recipe_hash"):
        raise RecipeMismatch(
            f"{source}: the model was trained on images prepared as {card.get('recipe_hash')}, but this version of MammoLab "
            f"prepares the same recipe as {recipe.hash}: scores would not mean the same. Use the version that trained the "
            "model, or train again"
        )
    return recipe
