"""What the Inspector shows: inspections, kept and encoded for the browser, and the recipes to choose from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ValidationError

from core.config import Recipe
from core.errors import BadRun
from dashboard.cache import images
from dashboard.cache.images import ImageRef
from dashboard.state import held, services

if TYPE_CHECKING:
    from core.inspection import Inspection
    from core.runs.run import Run

DRAFT = "preprocess:recipe"  # where the Preprocess page keeps a recipe that is not saved yet
_THUMBNAIL = 420  # px
_BINS = 64  # of the histograms shown


@dataclass(frozen=True)
class Inspected:
    """An inspection, a JPEG of each of its stages, and what can be saved of it: one HTML file, the model's input as PNG."""

    inspection: Inspection
    thumbnails: tuple[bytes, ...]
    html: str
    png: bytes


def inspected(image: ImageRef, recipe: Recipe) -> Inspected:
    """An image laid open under a recipe. Raises UnreadableImage."""
    return held.held("inspected", image.key, (image.frame, recipe.hash), lambda: _inspected(image, recipe))


def _inspected(image: ImageRef, recipe: Recipe) -> Inspected:
    from core.images.encode import encode_png
    from core.inspection import inspect_image, to_html

    found = inspect_image(images.mammogram(image, recipe), recipe)
    thumbnails = tuple(images.preview_jpeg(stage.picture, _THUMBNAIL) for stage in found.stages)
    return Inspected(found, thumbnails, to_html(found), encode_png(found.prepared.pixels))


def recipes() -> dict[str, str]:
    """The recipes to choose from, in words by name: training's, the one being tuned, those of trained models."""
    found = {"config": "Training's (config.yaml)"}
    if services.recall(DRAFT):
        found["draft"] = "Preprocess page's, not saved"
    return found | {f"run:{run.name}": f"Model {run.name}'s" for run in services.runs() if services.has_model(run)}


def recipe(name: str) -> Recipe:
    """The recipe that `recipes` lists under this name.

    Raises:
        BadConfig: config.yaml cannot be read.
        BadRun: the model's recipe is not one this version knows, or its run is gone.
    """
    try:
        if name.startswith("run:"):
            return services.open_run(name.removeprefix("run:")).model_card().known_recipe(name.removeprefix("run:"))
        if name == "draft" and services.recall(DRAFT):
            return Recipe.model_validate(services.recall(DRAFT))
    except ValidationError as error:
        if name == "draft":  # of an earlier version: Preprocess forgets it too
            return services.settings().preprocessing
        raise BadRun(
            f"{name.removeprefix('run:')}: the model's recipe is not one this version knows. Choose another recipe"
        ) from error
    return services.settings().preprocessing


def run_of(name: str) -> Run | None:
    """The run whose recipe `recipes` lists under this name; None for one that is no model's, or gone."""
    if not name.startswith("run:"):
        return None
    try:
        return services.open_run(name.removeprefix("run:"))
    except BadRun:
        return None


def window_words(windows: Sequence[str], taken: int) -> dict[int, str]:
    """The windows of a file by the number that `Recipe.voi` has for them, 0 for none; `taken` is marked as the recipe's."""
    words = {0: "none: the whole range"} | {number: f"{number}: {text}" for number, text in enumerate(windows, start=1)}
    return {number: f"{text} (the recipe's)" if number == taken else text for number, text in words.items()}


def shares(counts: Sequence[int]) -> list[float]:
    """A histogram of 256 grey levels as percent of its pixels in 64 bins; zeros when there is no pixel."""
    total = sum(counts)
    width = len(counts) // _BINS
    return [100 * sum(counts[start : start + width]) / total if total else 0.0 for start in range(0, len(counts), width)]
