"""The image viewer: images after one of their steps, at native resolution, side by side (frontend/viewing.js)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from core.config import Recipe
from core.errors import LabError
from core.preprocessing.geometry import map_points
from core.preprocessing.prepared import Matrix
from dashboard.cache import images, lesions, previews, tiles
from dashboard.cache.images import ImageRef
from dashboard.cache.lesions import NO_LESIONS, Lesions, Polygon
from dashboard.cache.tiles import Staged
from dashboard.ui.image_components import component
from dashboard.ui.preview_address import preview_url

VIEWING = ("element", "here", "envelope", "live", "around", "swipe", "icons", "toolbar", "viewmath", "tilestore", "viewing")
_viewer = component("viewer", uses=VIEWING)


@dataclass(frozen=True)
class Picture:
    """An image after a step of a recipe. `matrix` (3, 3) leads from its own pixels to those of its pane."""

    image: ImageRef
    recipe: Recipe
    stage: str
    size: tuple[int, int]
    label: str = ""
    lesions: tuple[Polygon, ...] = ()
    matrix: Matrix = field(default_factory=lambda: np.eye(3))

    def data(self) -> dict[str, Any]:
        """What the browser needs of it."""
        token = previews.open_image(self.image)
        (a, c, e), (b, d, f) = self.matrix[:2].tolist()
        return {
            "name": f"{token}:{self.stage}:{self.recipe.voi_index if self.stage == tiles.ORIGINAL else self.recipe.hash}",
            "url": preview_url(token),
            "query": {"recipe": self.recipe.model_dump_json(), "stage": self.stage},
            "size": self.size,
            "label": self.label,
            "lesions": self.lesions,
            "matrix": [a, b, c, d, e, f],
        }


@dataclass(frozen=True)
class Pane:
    """One place for pictures that lie over each other: of two, a bar parts the first from the second.

    `size` (width, height) of the pane in pixels of its own, `spacing` (row, column) in mm of one of these, where it is known.
    `spot` is where the loupe begins; `frame` (3, 3) leads from the original's coordinates to the pane's. `hung` is the side at
    which the chest wall is to be seen, where breasts are hung side by side, and `chest_wall` the one at which the pictures have
    it. `problem` says why there is no picture.
    """

    title: str = ""
    pictures: tuple[Picture, ...] = ()
    size: tuple[int, int] = (1, 1)
    spacing: tuple[float, float] | None = None
    spot: tuple[float, float] | None = None
    frame: Matrix = field(default_factory=lambda: np.eye(3))
    chest_wall: str = "left"
    hung: str = ""
    problem: str = ""

    def data(self) -> dict[str, Any]:
        """What the browser needs of it."""
        return {
            "title": self.title,
            "pictures": [picture.data() for picture in self.pictures],
            "size": self.size,
            "spacing": self.spacing,
            "spot": self.spot,
            "frame": self.frame.tolist(),
            "anchor": self.hung or "center",
            "side": -1 if self.hung == "right" else 1,
            "mirrored": bool(self.hung) and self.hung != self.chest_wall and not self.problem,
            "problem": self.problem,
        }


def show(panes: Sequence[Pane], *, key: str, subject: str, height: int = 900) -> None:
    """The panes in a row, at most `height` px high and never beyond the window. What was zoomed, turned, windowed and measured
    stays while `subject` and the number of panes are the same."""
    data = {"panes": [pane.data() for pane in panes], "subject": subject, "height": height}
    _viewer(data=data, key=key, on_lost_change=lambda: None)


def picture(
    image: ImageRef,
    recipe: Recipe,
    stage: str,
    shown: Lesions = NO_LESIONS,
    label: str = "",
    matrix: Matrix | None = None,
) -> Picture:
    """An image after a step, with these lesions; `matrix` as in Picture. Raises UnreadableImage."""
    found = tiles.staged(image, recipe, stage)
    outlines = lesions.mapped(shown, found.matrix)
    return Picture(image, recipe, stage, found.size, label, outlines, np.eye(3) if matrix is None else matrix)


def pane(image: ImageRef, recipe: Recipe, stage: str, *, title: str = "", hung: str = "") -> Pane:
    """An image after a step, alone in its pane, with the lesions that the current data set knows; or why it cannot be read."""
    try:
        found = tiles.staged(image, recipe, stage)
        mammogram = images.mammogram(image, recipe)
    except LabError as error:
        return Pane(title, hung=hung, problem=str(error))
    shown = lesions.of_image(image, (mammogram.pixels.shape[0], mammogram.pixels.shape[1]))
    only = picture(image, recipe, stage, shown)
    # where nobody knows the side of the chest wall, the picture stays as it is stored
    known = not images.analysis(image, recipe).chest_wall.unsure
    return Pane(
        title,
        (only,),
        only.size,
        spacing(image, recipe, found),
        spot(image, recipe, found, only.lesions),
        found.matrix,
        found.chest_wall if known else hung,
        hung,
    )


def spacing(image: ImageRef, recipe: Recipe, found: Staged) -> tuple[float, float] | None:
    """(row, column) in mm of one pixel of an image after a step, where its file says so."""
    known = images.mammogram(image, recipe).meta.pixel_spacing
    across, down = np.abs(np.diag(found.matrix))[:2]
    return None if known is None else (known[0] / float(down), known[1] / float(across))


def spot(image: ImageRef, recipe: Recipe, found: Staged, outlines: Sequence[Polygon]) -> tuple[float, float]:
    """Where the loupe begins, in the pixels of an image after a step: at its first lesion, else where most is to be seen."""
    lesion = lesions.spot(outlines, found.size)
    if lesion is not None:
        return lesion[0] * found.size[0], lesion[1] * found.size[1]
    arranged = images.arranged(image, recipe)
    height, width = arranged.levels.shape
    u, v = images.before(image, recipe).spot
    ((x, y),) = map_points(np.array([[u * width, v * height]]), found.matrix @ np.linalg.inv(arranged.matrix))
    return min(max(float(x), 0.0), found.size[0] - 1.0), min(max(float(y), 0.0), found.size[1] - 1.0)
