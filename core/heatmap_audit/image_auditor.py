"""One image by one method: the numbers of its map."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core.data.lesion_masks import Mask, breast_mask, has_lesion, lesion_mask
from core.errors import BadManifest, UnreadableImage
from core.gradcam import Heatmap, heatmap
from core.heatmap_audit.detection import lesions_in, marks_of
from core.heatmap_audit.localisation import Map, energy_inside, localisation, shape_map
from core.heatmap_audit.perturbation import area_under, perturbation_curves, random_map
from core.heatmap_audit.randomization import rank_correlation, shifted, shuffled_copy, structural_similarity
from core.heatmap_audit.results import DECIMALS, NO_NUMBERS, PERTURBATION, Case, Finding
from core.heatmap_audit.settings import AuditSettings
from core.model.ensemble import Ensemble

if TYPE_CHECKING:
    from core.config import Recipe
    from core.data.cache import CachedImage
    from core.predict import Predictor
    from core.prediction import Prediction


@dataclass(frozen=True)
class Subject:
    """A prepared image with its masks, and what the model says of it. `lesion` is None where localisation is not asked, and
    `why` says why."""

    path: str
    patient_id: str
    label: str
    prediction: Prediction
    pixels: NDArray[np.uint8]
    breast: Mask
    lesion: Mask | None
    why: str


def subject_of(row: Mapping[str, Any], image: CachedImage, prediction: Prediction, recipe: Recipe) -> Subject:
    """Masks for one manifest row and its prepared image, of which the model said `prediction`: a score, no refusal."""
    pixels = np.array(image.pixels)
    breast = breast_mask(pixels, recipe)
    lesion: Mask | None = None
    why = "benign" if row["label"] != "malignant" else "the manifest does not say where the lesion is"
    if row["label"] == "malignant":
        try:
            if has_lesion(row):
                lesion = lesion_mask(row, image.matrix, image.original_shape, recipe.shape) & breast
                if not lesion.any():
                    lesion, why = None, "the lesion lies outside the breast that the preparation found"
        except (BadManifest, UnreadableImage) as error:
            why = str(error)
    known = "" if lesion is not None else why
    path, patient, label = (str(row[name]) for name in ("path", "patient_id", "label"))
    return Subject(path, patient, label, prediction, pixels, breast, lesion, known)


class Look:
    """One heatmap method of one model, ready to be asked about images."""

    def __init__(self, predictor: Predictor, method: str, settings: AuditSettings) -> None:
        self.predictor, self.method, self.settings = predictor, method, settings
        self.shuffled = shuffled_copy(predictor.model, settings.seed)

    def __call__(self, subject: Subject, *, perturbed: bool) -> Finding:
        """The map of one image and its numbers; with `perturbed` also those that need many forward passes.

        Raises:
            BadConfig: the method gives no map for this architecture.
        """
        prediction = subject.prediction
        assert prediction.score is not None
        heat = self.predictor.explain(prediction, method=self.method)
        flagged = _nothing(heat)
        values: dict[str, float] = {}
        curves: dict[str, list[float]] = {}
        empty = False
        marks: list[list[float]] = []
        lesions = lesions_in(subject.lesion)
        if not flagged:
            values = self._where(subject, heat.values)
            tolerance = self.settings.tolerance * max(heat.values.shape)
            marks, lesions = marks_of(heat.values, subject.lesion, prediction.score, tolerance)
            if perturbed:
                curves = self._curves(subject, heat.values)
                values |= _areas(curves)
                others, empty = self._other_maps(subject, heat.values)
                values |= others
        case = Case(
            path=subject.path,
            patient_id=subject.patient_id,
            label=subject.label,
            score=round(prediction.score, DECIMALS),
            called=prediction.decision == "malignant",
            flagged=flagged,
            lesion=subject.why,
            values={key: round(value, DECIMALS) for key, value in values.items() if math.isfinite(value)},
            marks=marks,
            lesions=lesions,
        )
        return Finding(case, heat.layer, curves, empty)

    def _heat(self, model: Any, pixels: NDArray[np.uint8]) -> Heatmap:
        return heatmap(model, pixels, method=self.method)

    def _where(self, subject: Subject, values: Map) -> dict[str, float]:
        outside = ~subject.breast
        found = {"off_breast": energy_inside(values, outside), "off_breast:uniform": float(outside.mean())}
        if subject.lesion is not None:
            tolerance = self.settings.tolerance * max(values.shape)
            found |= localisation(values, subject.lesion, subject.breast, tolerance)
            shape = localisation(shape_map(subject.breast), subject.lesion, subject.breast, tolerance)
            found |= {f"{key}:centre": value for key, value in shape.items() if ":" not in key}
        return found

    def _curves(self, subject: Subject, values: Map) -> dict[str, list[float]]:
        settings = self.settings
        blind = random_map((values.shape[0], values.shape[1]), subject.path, settings.seed)
        found = perturbation_curves(
            subject.pixels,
            subject.breast,
            {"heatmap": values, "random": blind, "centre": shape_map(subject.breast)},
            self.predictor.part(subject.prediction.judges).score_pixels,
            among_equal=blind,
            steps=settings.steps,
            blur=settings.blur * max(values.shape),
        )
        return {f"{kind} {order}": np.round(curve, DECIMALS).tolist() for (kind, order), curve in found.items()}

    def _other_maps(self, subject: Subject, values: Map) -> tuple[dict[str, float], bool]:
        found: dict[str, float] = {}
        judges = subject.prediction.judges
        moved = self._heat(self.predictor.part(judges).model, shifted(subject.pixels, 1))
        if not _nothing(moved):
            back = np.roll(moved.values, -1, axis=0)
            found["shifted_rank"] = rank_correlation(values, back, subject.breast)
        shuffled = self.shuffled.part(judges) if judges and isinstance(self.shuffled, Ensemble) else self.shuffled
        other = self._heat(shuffled, subject.pixels)
        if _nothing(other):
            return found, True
        found["shuffled_rank"] = rank_correlation(values, other.values, subject.breast)
        found["shuffled_ssim"] = structural_similarity(values, other.values, subject.breast)
        return found, False


def _areas(curves: Mapping[str, list[float]]) -> dict[str, float]:
    """The areas under the curves, under the names of a case's values."""
    found = {}
    for kind in PERTURBATION:
        for order in ("heatmap", "random", "centre"):
            name = kind if order == "heatmap" else f"{kind}:{order}"
            found[name] = area_under(np.array(curves[f"{kind} {order}"]))
    return found


def _nothing(heat: Heatmap) -> str:
    """Why the map holds nothing; empty for one that does."""
    if heat.flat:
        return heat.reason or "the map is flat"
    if not np.isfinite(heat.values).all():
        return NO_NUMBERS
    return "" if heat.values.any() else "the map is empty"
