"""What a model says about an image or a breast, or why it says nothing; made by core.predict and core.predict_breasts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.images.mammogram import ImageMeta, Mammogram
from core.preprocessing import Prepared

Decision = Literal["benign", "malignant"]


class _Verdict:
    """What a prediction of an image and one of a breast say alike."""

    score: float | None
    decision: Decision | None
    refusal: str

    @property
    def scored_anyway(self) -> bool:
        """Whether the score is of what the model should not judge: to be marked wherever it is shown."""
        return bool(self.refusal) and self.score is not None

    @property
    def verdict(self) -> str:
        """The decision; or, where there is none, the reason in a sentence."""
        return self.decision or no_verdict(self.refusal)


@dataclass(frozen=True)
class Prediction(_Verdict):
    """What the model says about one image, or why it says nothing.

    `refusal` is "" for an image that the model judges. Otherwise it says in words why there is no verdict: `decision` and
    `calibrated` are None then, and so is `score` unless "score anyway" was asked for (`scored_anyway`).

    `score` is the model's own P(malignant) in [0, 1]; `decision` is "malignant" when it reaches `threshold`, which was chosen
    on validation scores. A model may have thresholds by view: `threshold` is then that of this image's `view`, and
    `threshold_basis` says so ("" for a model with one for all). The view is what the run's manifest says of its images, else
    what the file says; "" is unknown. `calibrated` is the score as a probability, by the calibration fitted on validation; None
    for a model without one. `distance` is how far the image is from those the model was trained on, 1 being as far as it may
    be; None where that is not known. `warnings` are to be shown with the verdict, wherever it is shown.
    `mammogram` is the image as it was read, None for one that was prepared before; `path` is None for one from bytes. `judges`
    are the numbers, from 0, of the models of an ensemble that the score is the mean of; () for all, and for any other model.
    """

    score: float | None
    threshold: float
    decision: Decision | None
    prepared: Prepared
    meta: ImageMeta
    warnings: tuple[str, ...] = ()
    refusal: str = ""
    calibrated: float | None = None
    distance: float | None = None
    mammogram: Mammogram | None = None
    path: Path | None = None
    view: str = ""
    threshold_basis: str = ""
    judges: tuple[int, ...] = ()

    @property
    def threshold_words(self) -> str:
        """The threshold of this image in words: "0.412", or "0.433, that of MLO images"."""
        return f"{self.threshold:.3f}" + (f", {self.threshold_basis}" if self.threshold_basis else "")


@dataclass(frozen=True)
class BreastImage:
    """One image of a breast that was judged. `left_out` says why it took no part, "" where it did; `distance` is as of a
    Prediction."""

    prepared: Prepared
    meta: ImageMeta
    view: str = ""
    left_out: str = ""
    distance: float | None = None
    mammogram: Mammogram | None = None
    path: Path | None = None


@dataclass(frozen=True)
class BreastPrediction(_Verdict):
    """What a model that judges breasts says about one, or why it says nothing.

    `score`, `threshold`, `decision`, `calibrated`, `refusal`, `warnings` and `judges` are as of a Prediction, for the breast as
    a whole.
    `images` has those that could be read, in the order given; one that the model should not judge is left out, and the breast
    is judged from the others. `unread` are the files that could not be read, with their reasons.
    """

    score: float | None
    threshold: float
    decision: Decision | None
    images: tuple[BreastImage, ...]
    warnings: tuple[str, ...] = ()
    refusal: str = ""
    calibrated: float | None = None
    unread: tuple[tuple[Path, str], ...] = ()
    judges: tuple[int, ...] = ()

    @property
    def used(self) -> tuple[BreastImage, ...]:
        """The images that the score was made from; without a score those that it would have been made from."""
        return tuple(image for image in self.images if not image.left_out)

    @property
    def views(self) -> str:
        """Which views the score was made from: "CC+MLO"; "" where none of them is known."""
        return "+".join(sorted({image.view for image in self.used} - {""}))


def no_verdict(refusal: str) -> str:
    """The sentence that stands where the verdict would be."""
    return f"No verdict: {refusal.rstrip('.')}."


@dataclass(frozen=True)
class Subject:
    """An image on its way to a Prediction; `images` are the reader's and the preparation's own warnings."""

    prepared: Prepared
    meta: ImageMeta
    doubts: tuple[str, ...]
    mammogram: Mammogram | None = None
    path: Path | None = None
    view: str = ""
    judges: tuple[int, ...] = ()

    @property
    def all_doubts(self) -> tuple[str, ...]:
        """What reader and preparation were unsure about: of an image from the cache both are in `doubts`."""
        return (*self.doubts, *self.prepared.warnings)
